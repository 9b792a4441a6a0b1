"""A bounded table whose entries run out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.sip.expiring import Expiring


def test_a_value_is_there_until_its_time() -> None:
    table: Expiring[str, int] = Expiring(2)
    table.put("a", 1, 10.0, until=12.0)
    assert (table.get("a", 11.9), table.get("a", 12.0), table.get("b", 11.0)) == (1, None, None)


def test_a_value_whose_time_is_over_is_not_kept_and_takes_an_old_one_away() -> None:
    """A time to live of 0 means: not a moment (RFC 1035 §3.2.1)."""
    table: Expiring[str, int] = Expiring(2)
    table.put("a", 1, 0.0, until=9.0)
    table.put("a", 2, 1.0, until=1.0)
    assert table.get("a", 1.0) is None
    assert len(table) == 0


def test_a_forgotten_value_is_gone_and_may_be_forgotten_twice() -> None:
    table: Expiring[str, int] = Expiring(2)
    table.put("a", 1, 0.0, until=9.0)
    table.forget("a")
    table.forget("a")
    assert table.get("a", 0.0) is None


def test_a_full_table_lets_go_what_has_run_out_before_what_has_not() -> None:
    table: Expiring[str, int] = Expiring(2)
    table.put("lasting", 1, 0.0, until=100.0)
    table.put("short", 2, 0.0, until=5.0)
    table.put("new", 3, 6.0, until=100.0)
    assert (table.get("lasting", 6.0), table.get("new", 6.0)) == (1, 3)
    table.put("newest", 4, 6.0, until=100.0)
    assert (table.get("lasting", 6.0), table.get("new", 6.0), table.get("newest", 6.0)) == (None, 3, 4)


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.0, 5.0), st.floats(0.0, 3.0)), max_size=40), st.integers(1, 4))
def test_it_never_holds_more_than_it_may_and_never_gives_what_was_not_put_in(
    puts: list[tuple[int, float, float]], most: int
) -> None:
    table: Expiring[int, float] = Expiring(most)
    now, last = 0.0, {}
    for key, lasting, passing in puts:
        now += passing
        table.put(key, now + lasting, now, until=now + lasting)
        last[key] = now + lasting
        assert len(table) <= most
        for known, until in last.items():
            assert table.get(known, now) in (None, until)
        assert (table.get(key, now) is not None) == (lasting > 0.0 and now + lasting > now)

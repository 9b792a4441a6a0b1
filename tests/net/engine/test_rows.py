"""`net.engine.rows`: calls to one host are kept on different ports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import PortsExhaustedError
from bridge_monitor.net.engine.plan import EngineSettings
from bridge_monitor.net.engine.rows import RowBook


def test_calls_to_one_host_get_different_ports() -> None:
    book = RowBook(EngineSettings(rows=16, port_pairs=4))
    pairs = [book.pair_of(book.take("192.0.2.1")) for _ in range(4)]
    assert sorted(pairs) == [0, 1, 2, 3]
    assert len(book) == 4


def test_more_calls_than_ports_share_them_evenly() -> None:
    book = RowBook(EngineSettings(rows=16, port_pairs=4))
    pairs = [book.pair_of(book.take("192.0.2.1")) for _ in range(8)]
    assert sorted(pairs) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_calls_to_many_hosts_are_spread_over_the_ports() -> None:
    book = RowBook(EngineSettings(rows=16, port_pairs=4))
    pairs = [book.pair_of(book.take(f"192.0.2.{number}")) for number in range(8)]
    assert sorted(pairs) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_no_row_left_is_an_error_until_one_is_given_back() -> None:
    book = RowBook(EngineSettings(rows=3, port_pairs=2))
    rows = [book.take(f"192.0.2.{number}") for number in range(3)]
    assert sorted(rows) == [0, 1, 2]
    with pytest.raises(PortsExhaustedError, match="all 3 rows"):
        book.take("192.0.2.9")
    book.give_back(rows[1])
    assert book.take("192.0.2.9") == rows[1]


def test_the_lowest_free_row_of_a_port_is_used_first() -> None:
    """So the rows in use lie together however many there are, and memory of those never needed stays untouched."""
    book = RowBook(EngineSettings(rows=8, port_pairs=2))
    rows = [book.take(f"192.0.2.{number}") for number in range(6)]
    assert sorted(rows) == [0, 1, 2, 4, 5, 6]
    for row in (2, 5, 0, 6):
        book.give_back(row)
    assert sorted(book.take("192.0.2.9") for _ in range(4)) == [0, 2, 5, 6]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_a_host_never_has_two_calls_on_one_port_while_another_port_has_none(steps: list[tuple[str, bool]]) -> None:
    book = RowBook(EngineSettings(rows=40, port_pairs=4))
    held: list[tuple[int, str]] = []
    for host, take in steps:
        if take and len(held) < 30:
            before = [book.pair_of(row) for row, other in held if other == host]
            row = book.take(host)
            assert row not in {other for other, _ in held}
            if len(set(before)) < 4:
                assert book.pair_of(row) not in before
            held.append((row, host))
        elif held:
            book.give_back(held.pop(0)[0])

"""When our uplink was bad, in virtual time."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.diagnosis.uplink import Responder, Span, Uplink, can_be_excused, is_bad, span_of
from bridge_monitor.domain import Grade, Outcome, ProbeResult, Target


def result(outcome: Outcome, grade: Grade, reason: str | None = None, invalid: tuple[str, ...] = ()) -> ProbeResult:
    return ProbeResult(
        id="1",
        target=Target(None, "sip:echo@192.0.2.7"),
        kind="sip",
        profile="reference",
        vantage="centre",
        call_id="1@x",
        started_at=datetime(2024, 6, 27, 14, tzinfo=UTC),
        duration_seconds=5.5,
        outcome=outcome,
        reason=reason,
        grade=grade,
        invalid=invalid,
    )


class TestOneResult:
    @pytest.mark.parametrize(
        ("outcome", "grade", "reason", "bad"),
        [
            (Outcome.REACHED, Grade.GOOD, None, False),
            (Outcome.REACHED, Grade.DEGRADED, "loss", True),
            (Outcome.REACHED, Grade.FAILED, "rtt", True),
            (Outcome.REACHED, Grade.DEGRADED, "hung_up", None),
            (Outcome.REACHED, Grade.UNTESTED, "options_only", None),
            (Outcome.TIMEOUT, Grade.FAILED, None, True),
            (Outcome.TIMEOUT, Grade.FAILED, "reported_by_peer", None),
            (Outcome.UNREACHABLE, Grade.FAILED, "icmp", True),
            (Outcome.NAME_NOT_FOUND, Grade.FAILED, None, True),
            (Outcome.NO_MEDIA, Grade.FAILED, None, True),
            (Outcome.NO_MEDIA, Grade.FAILED, "hung_up", None),
            (Outcome.ONE_WAY_MEDIA_OUT, Grade.FAILED, None, True),
            (Outcome.BUSY, Grade.BUSY, None, None),
            (Outcome.DECLINED, Grade.FAILED, None, None),
            (Outcome.UNAVAILABLE, Grade.FAILED, "status_503", None),
            (Outcome.CANCELLED, Grade.UNTESTED, None, None),
            (Outcome.LOCAL_FAULT, Grade.INVALID, "engine", None),
        ],
    )
    def test_only_what_the_network_did_speaks_of_the_uplink(
        self,
        outcome: Outcome,
        grade: Grade,
        reason: str | None,
        bad: bool | None,  # noqa: FBT001 - a table's column
    ) -> None:
        assert is_bad(result(outcome, grade, reason)) is bad

    def test_a_measurement_that_this_machine_spoilt_says_nothing(self) -> None:
        assert is_bad(result(Outcome.REACHED, Grade.INVALID, "loss", ("send_late",))) is None

    def test_only_bad_results_that_are_valid_wait_for_the_reference(self) -> None:
        assert can_be_excused(result(Outcome.TIMEOUT, Grade.FAILED))
        assert can_be_excused(result(Outcome.REACHED, Grade.DEGRADED, "loss"))
        assert not can_be_excused(result(Outcome.REACHED, Grade.GOOD))
        assert not can_be_excused(result(Outcome.REACHED, Grade.INVALID, "loss", ("send_late",)))
        assert not can_be_excused(result(Outcome.BUSY, Grade.BUSY))

    def test_a_calls_time_is_from_its_start_to_its_end(self) -> None:
        start = datetime(2024, 6, 27, 14, tzinfo=UTC).timestamp()
        assert span_of(result(Outcome.REACHED, Grade.GOOD)) == Span(start, start + 5.5)


def calls(responder: Responder, *spans: tuple[float, float, bool | None]) -> None:
    """Have calls that begin and end at these times, told in the order of their ends."""
    for number, (start, end, bad) in enumerate(spans):
        responder.began(number, start)
        responder.ended(number, end, bad=bad)


class TestResponder:
    def test_a_bad_call_makes_its_whole_time_bad(self) -> None:
        responder = Responder(1, 1)
        calls(responder, (0, 5, False), (5, 10, True), (10, 15, False))
        assert responder.bad_spans() == [Span(5, 10)]
        assert responder.bad is False

    def test_bad_times_that_meet_are_one(self) -> None:
        responder = Responder(1, 1)
        calls(responder, (20, 25, True), (0, 5, True), (2, 8, True), (8, 10, True))
        assert responder.bad_spans() == [Span(0, 10), Span(20, 25)]

    def test_nothing_is_known_before_the_first_call_that_says_something(self) -> None:
        responder = Responder(1, 1)
        calls(responder, (0, 5, None))
        assert responder.bad is None
        calls(responder, (5, 10, False))
        assert responder.bad is False

    def test_what_began_and_has_not_ended_leaves_the_time_since_in_doubt(self) -> None:
        responder = Responder(1, 1)
        responder.began(1, 7.0)
        assert responder.doubtful_spans() == [Span(7.0, math.inf)]
        responder.ended(1, 12.0, bad=False)
        assert responder.doubtful_spans() == []

    def test_so_many_bad_calls_in_a_row_make_it_bad_from_the_first_of_them_on(self) -> None:
        responder = Responder(2, 1)
        calls(responder, (0, 5, False), (5, 10, True))
        assert (responder.bad, responder.bad_spans(), responder.doubtful_spans()) == (False, [], [Span(5, math.inf)])
        calls(responder, (7, 12, True))
        assert (responder.bad, responder.bad_spans()) == (True, [Span(5, 12)])

    def test_a_good_call_in_between_forgives_a_bad_one(self) -> None:
        responder = Responder(2, 1)
        calls(responder, (0, 5, True), (5, 10, False), (10, 15, True))
        assert responder.bad_spans() == []

    def test_a_good_call_that_did_not_last_was_chance(self) -> None:
        responder = Responder(1, 2)
        calls(responder, (0, 5, True), (6, 9, False), (10, 15, True))
        assert responder.bad_spans() == [Span(0, 5), Span(6, 15)]
        calls(responder, (15, 20, False), (20, 25, False))
        assert (responder.bad, responder.bad_spans()) == (False, [Span(0, 5), Span(6, 15)])

    def test_a_clock_put_back_during_a_call_makes_no_time_negative(self) -> None:
        responder = Responder(1, 1)
        calls(responder, (10, 4, True))
        assert responder.bad_spans() == [Span(10, 10)]

    def test_what_is_long_past_is_forgotten(self) -> None:
        responder = Responder(1, 1)
        calls(responder, (0, 5, True), (8000, 8005, True))
        assert responder.bad_spans() == [Span(8000, 8005)]


class TestUplink:
    def test_with_one_responder_it_alone_decides(self) -> None:
        uplink = Uplink(["a"])
        calls(uplink.responders["a"], (0, 5, False), (5, 10, True))
        assert uplink.was_bad(Span(6, 7)) is True
        assert uplink.was_bad(Span(4, 5)) is True  # they share a moment
        assert uplink.was_bad(Span(0, 4)) is False

    def test_with_two_both_must_have_been_bad_at_once(self) -> None:
        uplink = Uplink(["a", "b"])
        calls(uplink.responders["a"], (0, 10, True))
        calls(uplink.responders["b"], (0, 4, False), (4, 6, True), (6, 20, False))
        assert uplink.was_bad(Span(5, 12)) is True
        assert uplink.was_bad(Span(7, 12)) is False

    def test_two_that_were_bad_one_after_the_other_are_no_bad_uplink(self) -> None:
        uplink = Uplink(["a", "b"])
        calls(uplink.responders["a"], (0, 4, True))
        calls(uplink.responders["b"], (5, 9, True))
        assert uplink.was_bad(Span(0, 9)) is False

    def test_it_is_open_while_a_call_beside_it_is_up(self) -> None:
        uplink = Uplink(["a"])
        uplink.responders["a"].began(1, 5.0)
        assert uplink.was_bad(Span(0, 6)) is None
        assert uplink.was_bad(Span(0, 4)) is False
        uplink.responders["a"].ended(1, 10.0, bad=True)
        assert uplink.was_bad(Span(0, 6)) is True

    def test_one_that_was_surely_fine_settles_it_whatever_the_others_will_say(self) -> None:
        uplink = Uplink(["a", "b"])
        uplink.responders["a"].began(1, 0.0)
        calls(uplink.responders["b"], (0, 9, False))
        assert uplink.was_bad(Span(0, 6)) is False

    def test_one_that_is_open_and_another_that_was_bad_leave_it_open(self) -> None:
        uplink = Uplink(["a", "b"])
        uplink.responders["a"].began(1, 0.0)
        calls(uplink.responders["b"], (0, 9, True))
        assert uplink.was_bad(Span(0, 6)) is None

    def test_without_responders_it_is_never_bad(self) -> None:
        assert Uplink([]).was_bad(Span(0, 6)) is False

    @given(
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.sampled_from([True, False, None])), max_size=8),
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.sampled_from([True, False, None])), max_size=8),
        st.integers(0, 50),
        st.integers(0, 20),
    )
    def test_it_was_bad_exactly_if_bad_calls_of_all_share_a_moment_with_it(
        self,
        first: list[tuple[int, int, bool | None]],
        second: list[tuple[int, int, bool | None]],
        start: int,
        length: int,
    ) -> None:
        uplink = Uplink(["a", "b"])
        for name, spans in (("a", first), ("b", second)):
            calls(uplink.responders[name], *((begin, begin + lasts, bad) for begin, lasts, bad in spans))

        def bad_at(moment: int, spans: list[tuple[int, int, bool | None]]) -> bool:
            return any(bad and begin <= moment <= begin + lasts for begin, lasts, bad in spans)

        expected = any(bad_at(moment, first) and bad_at(moment, second) for moment in range(start, start + length + 1))
        assert uplink.was_bad(Span(start, start + length)) is expected

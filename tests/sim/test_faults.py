"""What each kind of fault must show."""

from __future__ import annotations

from datetime import time

import pytest

from bridge_monitor.domain import Grade, Outcome
from bridge_monitor.quality import Thresholds
from bridge_monitor.sim.faults import (
    Clock,
    Direction,
    Fault,
    FaultKind,
    FaultPlan,
    expected,
    expected_reason,
    is_certain,
)


def test_a_healthy_room_is_expected_to_be_good() -> None:
    assert expected(None) == (Outcome.REACHED, Grade.GOOD)
    assert expected_reason(None) is None


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_has_an_expectation(kind: FaultKind) -> None:
    outcome, grade = expected(Fault(kind, seconds=7.0, rate=0.2))
    assert outcome is not Outcome.LOCAL_FAULT
    assert grade is not Grade.INVALID


@pytest.mark.parametrize(
    ("fault", "outcome", "grade", "reason"),
    [
        (Fault(FaultKind.LOSS, rate=0.2), Outcome.REACHED, Grade.FAILED, "loss"),
        (Fault(FaultKind.LOSS, rate=0.04, direction=Direction.TO_ROOM), Outcome.REACHED, Grade.DEGRADED, "loss"),
        (Fault(FaultKind.LOSS, rate=0.001), Outcome.REACHED, Grade.GOOD, None),
        (Fault(FaultKind.DELAY, seconds=0.2), Outcome.REACHED, Grade.GOOD, None),
        (Fault(FaultKind.DELAY, seconds=0.5), Outcome.REACHED, Grade.DEGRADED, "rtt"),
        (Fault(FaultKind.DELAY, seconds=1.0), Outcome.REACHED, Grade.FAILED, "rtt"),
        (Fault(FaultKind.JITTER, seconds=0.01), Outcome.REACHED, Grade.GOOD, None),
        (Fault(FaultKind.JITTER, seconds=5.0), Outcome.REACHED, Grade.DEGRADED, "jitter"),
        (Fault(FaultKind.SLOW_ANSWER, seconds=6.0), Outcome.REACHED, Grade.DEGRADED, "slow_answer"),
        (Fault(FaultKind.SLOW_ANSWER, seconds=10.0), Outcome.NO_ANSWER, Grade.UNTESTED, None),
        (Fault(FaultKind.BYE_UNANSWERED), Outcome.REACHED, Grade.GOOD, "bye_unanswered"),
        (Fault(FaultKind.DEAD), Outcome.UNREACHABLE, Grade.FAILED, None),
    ],
)
def test_an_amount_is_held_against_the_limits(fault: Fault, outcome: Outcome, grade: Grade, reason: str | None) -> None:
    assert expected(fault) == (outcome, grade)
    assert expected_reason(fault) == reason


def test_limits_and_patience_of_the_caller_count() -> None:
    delay = Fault(FaultKind.DELAY, seconds=0.2)
    assert expected(delay, Thresholds(rtt_degraded_seconds=0.1))[1] is Grade.DEGRADED
    slow = Fault(FaultKind.SLOW_ANSWER, seconds=15.0)
    assert expected(slow, answer_timeout=20.0) == (Outcome.REACHED, Grade.DEGRADED)


def test_loss_both_ways_counts_twice_in_an_echo() -> None:
    fault = Fault(FaultKind.LOSS, rate=0.03)
    assert expected(fault)[1] is Grade.FAILED
    assert expected(Fault(FaultKind.LOSS, rate=0.03, direction=Direction.FROM_ROOM))[1] is Grade.DEGRADED


@pytest.mark.parametrize(
    ("fault", "certain"),
    [
        (Fault(FaultKind.LOSS, rate=0.15, direction=Direction.TO_ROOM), True),
        (Fault(FaultKind.LOSS, rate=0.1, direction=Direction.TO_ROOM), False),
        (Fault(FaultKind.LOSS, rate=0.04, direction=Direction.TO_ROOM), True),
        (Fault(FaultKind.LOSS, rate=0.02, direction=Direction.TO_ROOM), False),
        (Fault(FaultKind.LOSS, rate=0.003, direction=Direction.TO_ROOM), True),
        (Fault(FaultKind.DELAY, seconds=0.31), False),
        (Fault(FaultKind.DELAY, seconds=0.79), False),
        (Fault(FaultKind.DELAY, seconds=0.5), True),
        (Fault(FaultKind.JITTER, seconds=0.031), False),
        (Fault(FaultKind.JITTER, seconds=0.06), True),
        (Fault(FaultKind.SLOW_ANSWER, seconds=5.2), False),
        (Fault(FaultKind.SLOW_ANSWER, seconds=8.0), True),
        (Fault(FaultKind.BANDWIDTH, bits_per_second=199_000), False),
        (Fault(FaultKind.BANDWIDTH, bits_per_second=200_000), True),
        (Fault(FaultKind.BUSY), True),
    ],
)
def test_an_amount_near_a_limit_is_not_certain_in_one_call(fault: Fault, *, certain: bool) -> None:
    assert is_certain(fault) is certain


def test_a_time_of_day_is_shown_as_it_is_written() -> None:
    assert str(Clock(time(14, 30))) == "14:30"
    assert str(Clock(time(14, 30, 5))) == "14:30:05"


def test_an_empty_plan_has_no_faults() -> None:
    assert FaultPlan().faults == ()

from __future__ import annotations

import math
import random
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.schedule import UNLIMITED, Caps
from bridge_monitor.schedule.caps import CATCH_UP_SECONDS, Gate

NOW = 1_719_471_600.0


def start_all(gate: Gate, seconds: float, lateness: random.Random | None = None) -> list[float]:
    """Start calls of no bandwidth as soon as the gate lets them, woken late by up to 40 ms."""
    starts, now = [], NOW
    while now < NOW + seconds:
        gate.take(now, 0.0)
        starts.append(now)
        ready = gate.ready_at(now, 0.0)
        if ready > now:
            now = ready + (lateness.uniform(0, 0.04) if lateness else 0.0)
    return starts


def test_without_caps_all_may_start_at_once() -> None:
    gate = Gate(UNLIMITED)
    for _ in range(1000):
        assert gate.ready_at(NOW, 1e9) == NOW
        gate.take(NOW, 1e9)


def test_calls_at_once_waits_for_an_end() -> None:
    gate = Gate(Caps(calls_at_once=2))
    gate.take(NOW, 5.0)
    assert gate.ready_at(NOW, 5.0) == NOW
    gate.take(NOW, 5.0)
    assert gate.ready_at(NOW, 5.0) == math.inf
    gate.release(5.0)
    assert gate.ready_at(NOW, 5.0) == NOW


def test_bandwidth_waits_for_an_end_and_may_be_used_to_the_last_bit() -> None:
    gate = Gate(Caps(bandwidth_bps=0.3))
    for _ in range(3):
        assert gate.ready_at(NOW, 0.1) == NOW
        gate.take(NOW, 0.1)
    assert gate.ready_at(NOW, 0.1) == math.inf
    for _ in range(3):
        gate.release(0.1)
    assert gate.bandwidth_bps == 0.0
    assert gate.admits(0.3)
    assert not gate.admits(0.31)


def test_starts_are_spread_evenly() -> None:
    """At 20 calls/s a start comes every 50 ms; the first second is no burst either."""
    starts = start_all(Gate(Caps(calls_per_second=20.0)), 5.0)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert min(gaps) > 0.0499
    assert len(starts) == pytest.approx(100, abs=1)


def test_late_wakeups_cost_little_rate() -> None:
    """Woken up to 40 ms late each time, 20 calls/s lose a twentieth, not the two fifths that mere spacing would."""
    starts = start_all(Gate(Caps(calls_per_second=20.0)), 60.0, random.Random(1))
    assert len(starts) > 0.94 * 1200


@given(
    rate=st.floats(min_value=0.05, max_value=400),
    late=st.lists(st.sampled_from([0.0, 0.001, 0.04, 0.3, 1.7]), min_size=1, max_size=60),
)
def test_the_rate_holds_in_any_second(rate: float, late: list[float]) -> None:
    """However late it is woken, never more calls start in a second than the cap (rounded up: calls are whole)."""
    gate = Gate(Caps(calls_per_second=rate))
    starts, now = [], NOW
    for delay in late:
        now += delay
        while (ready := gate.ready_at(now, 0.0)) <= now:
            gate.take(now, 0.0)
            starts.append(now)
        now = ready
    span = max(1.0, 1 / rate)
    for index, start in enumerate(starts):
        assert bisect_left(starts, start + span - 1e-5) - index <= math.ceil(rate * span - 1e-9)


@given(rate=st.floats(min_value=0.05, max_value=400), idle=st.floats(min_value=0, max_value=1e4))
def test_after_idling_no_more_start_at_once_than_are_caught_up(rate: float, idle: float) -> None:
    gate = Gate(Caps(calls_per_second=rate))
    gate.take(NOW, 0.0)
    now, burst = NOW + 1 / rate + idle, 0
    while gate.ready_at(now, 0.0) <= now:
        gate.take(now, 0.0)
        burst += 1
    assert idle <= CATCH_UP_SECONDS or burst == 1
    assert 1 <= burst <= 1 + math.ceil(rate * CATCH_UP_SECONDS)


def test_a_wakeup_at_the_very_time_told_is_not_too_early() -> None:
    gate = Gate(Caps(calls_per_second=3.0))
    gate.take(NOW, 0.0)
    ready = gate.ready_at(NOW, 0.0)
    assert NOW + 0.28 < ready < NOW + 0.34
    assert gate.ready_at(ready - 4e-7, 0.0) == ready - 4e-7


def test_other_caps_hold_from_the_moment_they_are_set() -> None:
    gate = Gate(Caps(calls_per_second=10.0, calls_at_once=2))
    gate.take(NOW, 0.0)
    gate.take(NOW + 0.1, 0.0)
    gate.set_caps(Caps(calls_per_second=1.0))
    assert gate.calls == 2
    assert gate.ready_at(NOW + 0.2, 0.0) == pytest.approx(NOW + 1.1)
    gate.set_caps(UNLIMITED)
    assert gate.ready_at(NOW + 0.2, 0.0) == NOW + 0.2


def test_what_is_held_for_a_hand_call_is_for_nothing_else() -> None:
    gate = Gate(UNLIMITED)
    gate.hold(NOW + 1)
    assert gate.ready_at(NOW, 0.0) == NOW + 1
    assert gate.ready_at(NOW, 0.0, by_hand=True) == NOW
    assert gate.ready_at(NOW + 1, 0.0) == NOW + 1

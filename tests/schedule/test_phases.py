from __future__ import annotations

import math
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.domain import Event, EventPhase, QuietHours, Window
from bridge_monitor.schedule import may_start, next_change, phase_at
from bridge_monitor.schedule.phases import Timetable, timetable

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
CONFERENCE = Window(datetime(2024, 6, 28, 8, 30, tzinfo=ZONE), datetime(2024, 6, 28, 11, 30, tzinfo=ZONE))


@pytest.fixture(scope="module")
def event(kit: Any) -> Event:
    """Two rehearsals with a gap, quiet hours in the second, the guard an hour before the conference."""
    event: Event = kit.event(("2024-06-26T14:00", "2024-06-26T17:00"), ("2024-06-27T14:00", "2024-06-28T07:30"))
    return event


@pytest.mark.parametrize(
    ("local_time", "phase"),
    [
        ("2024-06-20T12:00", EventPhase.BEFORE),
        ("2024-06-26T13:59:59.9", EventPhase.BEFORE),
        ("2024-06-26T14:00", EventPhase.REHEARSAL),
        ("2024-06-26T16:59:59", EventPhase.REHEARSAL),
        ("2024-06-26T17:00", EventPhase.GAP),
        ("2024-06-26T23:00", EventPhase.GAP),
        ("2024-06-27T14:00", EventPhase.REHEARSAL),
        ("2024-06-27T19:59:59", EventPhase.REHEARSAL),
        ("2024-06-27T20:00", EventPhase.QUIET),
        ("2024-06-28T05:59:59", EventPhase.QUIET),
        ("2024-06-28T06:00", EventPhase.REHEARSAL),
        ("2024-06-28T07:30", EventPhase.GUARD),
        ("2024-06-28T08:29:59", EventPhase.GUARD),
        ("2024-06-28T08:30", EventPhase.CONFERENCE),
        ("2024-06-28T11:29:59", EventPhase.CONFERENCE),
        ("2024-06-28T11:30", EventPhase.AFTER),
        ("2025-01-01T00:00", EventPhase.AFTER),
    ],
)
def test_spans_are_half_open(kit: Any, event: Event, local_time: str, phase: EventPhase) -> None:
    assert phase_at(event, kit.local(local_time)) is phase


def test_next_change_walks_through_all_phases_and_ends(kit: Any, event: Event) -> None:
    now: float | None = kit.local("2024-06-20T12:00")
    seen = []
    while now is not None:
        seen.append(phase_at(event, now))
        now = next_change(event, now)
    assert seen == [
        EventPhase.BEFORE,
        EventPhase.REHEARSAL,
        EventPhase.GAP,
        EventPhase.REHEARSAL,
        EventPhase.QUIET,
        EventPhase.REHEARSAL,
        EventPhase.GUARD,
        EventPhase.CONFERENCE,
        EventPhase.AFTER,
    ]


def test_without_an_event_all_time_is_rehearsal() -> None:
    assert phase_at(None, 0.0) is EventPhase.REHEARSAL
    assert next_change(None, 0.0) is None
    assert may_start(None, 0.0, 1e9)
    assert Timetable(None).call_time_left(5.0) == math.inf
    assert Timetable(None).phase_start(5.0) == -math.inf
    assert Timetable(None).longest_call() == math.inf
    assert Timetable(None).refusal(5.0, 20.0, outside_window=True) is None


@pytest.mark.parametrize(
    ("local_time", "call_seconds", "refusal"),
    [
        ("2024-06-26T13:59:59", 0.5, "outside_window"),
        ("2024-06-26T14:00", 60.0, None),
        ("2024-06-26T16:59:00", 60.0, None),
        ("2024-06-26T16:59:00", 60.5, "outside_window"),
        ("2024-06-26T20:00", 1.0, "outside_window"),
        ("2024-06-27T19:59:30", 31.0, "quiet_hours"),
        ("2024-06-27T21:00", 1.0, "quiet_hours"),
        ("2024-06-28T07:29:30", 31.0, "guard"),
        ("2024-06-28T07:30", 1.0, "guard"),
        ("2024-06-28T09:00", 1.0, "conference"),
        ("2024-06-28T12:00", 1.0, "outside_window"),
    ],
)
def test_a_call_is_refused_for_what_it_would_be_up_in(
    kit: Any, event: Event, local_time: str, call_seconds: float, refusal: str | None
) -> None:
    now = kit.local(local_time)
    assert timetable(event).refusal(now, call_seconds) == refusal
    assert may_start(event, now, call_seconds) is (refusal is None)


@pytest.mark.parametrize(
    ("local_time", "call_seconds", "refusal"),
    [
        ("2024-06-26T20:00", 60.0, None),
        ("2024-06-27T21:00", 60.0, None),
        ("2024-06-28T07:29:00", 60.0, None),
        ("2024-06-28T07:29:00", 61.0, "guard"),
        ("2024-06-27T21:00", 86400.0, "guard"),
        ("2024-06-28T08:00", 1.0, "guard"),
        ("2024-06-28T08:30", 1.0, "conference"),
        ("2024-06-28T11:30", 1.0, None),
    ],
)
def test_outside_windows_means_never_in_guard_or_conference(
    kit: Any, event: Event, local_time: str, call_seconds: float, refusal: str | None
) -> None:
    assert timetable(event).refusal(kit.local(local_time), call_seconds, outside_window=True) == refusal


def test_without_guard_the_conference_itself_ends_the_rehearsal(kit: Any) -> None:
    event = kit.event(("2024-06-28T07:00", "2024-06-28T08:30"), guard_minutes=0)
    assert timetable(event).refusal(kit.local("2024-06-28T08:29"), 61.0) == "conference"


def test_a_rehearsal_that_reaches_into_the_guard_ends_with_it(kit: Any) -> None:
    event = kit.event(("2024-06-28T07:00", "2024-06-28T09:30"))
    assert next_change(event, kit.local("2024-06-28T07:00")) == kit.local("2024-06-28T07:30")
    assert phase_at(event, kit.local("2024-06-28T09:00")) is EventPhase.CONFERENCE


def test_windows_that_touch_are_one(kit: Any) -> None:
    event = kit.event(("2024-06-27T14:00", "2024-06-27T15:00"), ("2024-06-27T15:00", "2024-06-27T16:00"))
    assert may_start(event, kit.local("2024-06-27T14:59"), 120.0)
    assert timetable(event).longest_call() == 7200.0


def test_an_event_without_rehearsals_has_no_call_at_all() -> None:
    event = Event("", ZONE, None, (), QuietHours(time(20), time(6)), timedelta(hours=1), CONFERENCE)
    assert phase_at(event, CONFERENCE.start.timestamp() - 7200) is EventPhase.BEFORE
    assert timetable(event).longest_call() == 0.0
    assert timetable(event).call_time_left(CONFERENCE.start.timestamp() - 7200) == 0.0


def test_quiet_hours_of_the_evening_before_reach_into_a_morning_window(kit: Any) -> None:
    event = kit.event(("2024-06-27T04:00", "2024-06-27T08:00"))
    assert phase_at(event, kit.local("2024-06-27T05:00")) is EventPhase.QUIET
    assert phase_at(event, kit.local("2024-06-27T06:00")) is EventPhase.REHEARSAL


def test_quiet_hours_within_a_day_and_none_at_all(kit: Any) -> None:
    noon = kit.local("2024-06-27T12:00")
    window = ("2024-06-27T08:00", "2024-06-27T18:00")
    assert phase_at(kit.event(window, quiet=("11:30", "13:30")), noon) is EventPhase.QUIET
    assert phase_at(kit.event(window, quiet=("13:30", "14:00")), noon) is EventPhase.REHEARSAL
    assert phase_at(kit.event(window, quiet=None), noon) is EventPhase.REHEARSAL
    assert phase_at(kit.event(window, quiet=("09:00", "09:00")), noon) is EventPhase.QUIET


def test_quiet_hours_follow_the_zones_daylight_saving() -> None:
    """On 31 March 2024 Paris jumps from 02:00 to 03:00: 06:00 is seven hours after 22:00, not eight."""
    paris = ZoneInfo("Europe/Paris")
    window = Window(datetime(2024, 3, 30, 20, tzinfo=paris), datetime(2024, 3, 31, 12, tzinfo=paris))
    conference = Window(datetime(2024, 3, 31, 14, tzinfo=paris), datetime(2024, 3, 31, 15, tzinfo=paris))
    event = Event("", paris, None, (window,), QuietHours(time(22), time(6)), timedelta(hours=1), conference)
    start = datetime(2024, 3, 30, 22, tzinfo=paris).timestamp()
    assert phase_at(event, start) is EventPhase.QUIET
    assert next_change(event, start) == start + 7 * 3600


@given(
    hour=st.floats(min_value=-72, max_value=24),
    call_seconds=st.floats(min_value=0, max_value=7200),
    fraction=st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_a_call_that_may_start_is_never_up_outside_a_rehearsal(
    event: Event, hour: float, call_seconds: float, fraction: float
) -> None:
    now = CONFERENCE.start.timestamp() + hour * 3600
    if may_start(event, now, call_seconds):
        assert phase_at(event, now) is EventPhase.REHEARSAL
        assert phase_at(event, now + fraction * call_seconds) is EventPhase.REHEARSAL
        assert call_seconds <= timetable(event).call_time_left(now)
        assert timetable(event).phase_start(now) <= now
    assert next_change(event, now) is None or next_change(event, now) > now  # type: ignore[operator]

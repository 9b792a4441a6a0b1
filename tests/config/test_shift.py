from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.config import callable_spans, shift_event
from bridge_monitor.config.shift import LEAST_AHEAD, LEAST_REHEARSAL
from bridge_monitor.domain import Event, EventPhase, QuietHours, Window
from bridge_monitor.schedule import phase_at

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
DESIGN = Event(
    title="Hội nghị",
    zone=HANOI,
    registration_deadline=datetime(2024, 6, 20, tzinfo=HANOI),
    rehearsals=(Window(datetime(2024, 6, 27, 14, tzinfo=HANOI), datetime(2024, 6, 28, 7, 30, tzinfo=HANOI)),),
    quiet_hours=QuietHours(time(20), time(6)),
    guard=timedelta(hours=1),
    conference=Window(datetime(2024, 6, 28, 8, 30, tzinfo=HANOI), datetime(2024, 6, 28, 11, 30, tzinfo=HANOI)),
)
# A conference in the same night, a window within quiet hours, none at all, a guard longer than the rehearsal.
HARD = (
    replace(DESIGN, quiet_hours=QuietHours(time(13), time(12))),
    replace(DESIGN, rehearsals=()),
    replace(
        DESIGN,
        guard=timedelta(hours=17, minutes=45),
        rehearsals=(Window(DESIGN.rehearsals[0].start, datetime(2024, 6, 27, 14, 45, tzinfo=HANOI)),),
    ),
    replace(DESIGN, zone=ZoneInfo("Europe/Berlin")),
)


def suits(event: Event, now: datetime) -> bool:
    span = next((span for span in callable_spans(event) if now in span), None)
    return span is not None and span.end - now >= LEAST_REHEARSAL and event.conference.start - now >= LEAST_AHEAD


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive
    st.sampled_from([DESIGN, *HARD]),
)
def test_now_always_lies_in_the_rehearsal_with_the_conference_well_ahead(now: datetime, event: Event) -> None:
    shifted = shift_event(event, now)
    assert phase_at(shifted, now.timestamp()) is EventPhase.REHEARSAL
    assert suits(shifted, now)
    assert shifted.title == event.title
    assert shifted.zone is event.zone
    assert shifted.registration_deadline == event.registration_deadline
    assert all(window.end <= shifted.guard_start for window in shifted.rehearsals)


def test_the_event_keeps_its_shape() -> None:
    now = datetime(2026, 11, 25, 3, 12, 44, tzinfo=UTC)  # 10:12:44 in the event's zone
    shifted = shift_event(DESIGN, now)
    assert shifted.rehearsals[0].start == datetime(2026, 11, 25, 3, 12, tzinfo=UTC)
    assert shifted.quiet_hours == QuietHours(time(16, 12), time(2, 12))
    assert shifted.conference.start - shifted.rehearsals[0].start == timedelta(hours=18, minutes=30)
    assert shifted.conference.end - shifted.conference.start == timedelta(hours=3)
    assert shifted.guard == DESIGN.guard


@pytest.mark.parametrize("hour", [14, 18])
def test_an_event_whose_rehearsal_is_now_is_left_alone(hour: int) -> None:
    assert shift_event(DESIGN, datetime(2024, 6, 27, hour, tzinfo=HANOI)) is DESIGN


def test_the_last_minutes_of_a_window_are_not_enough() -> None:
    now = datetime(2024, 6, 27, 19, 30, tzinfo=HANOI)
    shifted = shift_event(DESIGN, now)
    assert shifted.rehearsals[0].start == now


def test_a_window_too_near_to_the_conference_is_replaced() -> None:
    event = replace(DESIGN, rehearsals=(Window(datetime(2024, 6, 28, 6, 40, tzinfo=HANOI), DESIGN.guard_start),))
    now = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    shifted = shift_event(event, now)
    assert shifted.conference.start - now > timedelta(hours=2)
    assert shifted.quiet_hours is None
    assert shifted.rehearsals == (Window(now, shifted.guard_start),)


def test_an_event_without_quiet_hours_stays_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")  # the machine's own zone is of no account
    now = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    shifted = shift_event(replace(DESIGN, quiet_hours=None), now)
    assert shifted.quiet_hours is None
    assert shifted.rehearsals[0].start == now

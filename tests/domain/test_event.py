from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bridge_monitor.domain import Event, QuietHours, Window

NOW = datetime(2024, 6, 27, 7, tzinfo=UTC)


def test_a_window_is_half_open() -> None:
    window = Window(NOW, NOW + timedelta(hours=1))
    assert NOW in window
    assert NOW + timedelta(minutes=59) in window
    assert NOW + timedelta(hours=1) not in window
    assert NOW - timedelta(seconds=1) not in window
    assert "noon" not in window


def test_an_events_guard_starts_before_its_conference() -> None:
    event = Event(
        title="Hội nghị",
        zone=ZoneInfo("Asia/Ho_Chi_Minh"),
        registration_deadline=None,
        rehearsals=(),
        quiet_hours=QuietHours(time(20), time(6)),
        guard=timedelta(minutes=60),
        conference=Window(NOW, NOW + timedelta(hours=3)),
    )
    assert event.guard_start == NOW - timedelta(hours=1)
    # The schedule keeps timetables by event.
    assert hash(event)

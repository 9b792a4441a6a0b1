from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time

from bridge_monitor.config import Configuration, callable_spans
from bridge_monitor.domain import QuietHours

Good = Callable[[], Configuration]


def shown(configuration: Configuration) -> list[str]:
    return [f"{span.start:%d %H:%M}–{span.end:%d %H:%M}" for span in callable_spans(configuration.event)]


def test_windows_are_cut_by_quiet_hours_that_cross_midnight(good: Good) -> None:
    assert shown(good()) == ["26 14:00–26 17:00", "27 14:00–27 20:00", "28 06:00–28 07:30"]


def test_spans_are_in_the_events_zone(good: Good) -> None:
    event = good().event
    first = next(callable_spans(event))
    assert first.start == datetime(2024, 6, 26, 7, 0, tzinfo=UTC)
    assert first.start.utcoffset() == event.conference.start.utcoffset()


def test_without_quiet_hours_the_windows_stay_whole(good: Good) -> None:
    configuration = good()
    event = replace(configuration.event, quiet_hours=None)
    assert shown(replace(configuration, event=event)) == ["26 14:00–26 17:00", "27 14:00–28 07:30"]


def test_quiet_hours_over_all_windows_leave_nothing(good: Good) -> None:
    configuration = good()
    event = replace(configuration.event, quiet_hours=QuietHours(time(8), time(7, 45)))
    assert shown(replace(configuration, event=event)) == []


def test_an_event_without_windows_has_no_spans(good: Good) -> None:
    assert list(callable_spans(replace(good().event, rehearsals=()))) == []

"""Moves an event so that now lies in its rehearsal: for demonstrations.

Owns the shifted dates; must not touch a clock: wall clocks stay true, the event comes to them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bridge_monitor.config.spans import callable_spans
from bridge_monitor.domain import Event, QuietHours, Window

LEAST_REHEARSAL: Final = timedelta(hours=1)
"""So much rehearsal is left after a shift, at least."""

LEAST_AHEAD: Final = timedelta(hours=2)
"""So far ahead the conference lies after a shift, at least."""


def shift_event(event: Event, now: datetime) -> Event:
    """Return the event with its dates moved so that test calls may be placed now.

    The event keeps its shape: the first span in which calls may be up, if it is long enough, begins now, and everything
    else moves by as much, the quiet hours' times of day included. An event without such a span gets one of its own
    until the guard, without quiet hours. An event that already suits is returned as it is. The registration deadline
    stays, since registrations do.

    Args:
        event: The event as configured.
        now: The present, aware.
    """
    if _suits(event, now):
        return event
    moment = now.astimezone(UTC).replace(second=0, microsecond=0)
    for span in callable_spans(event):
        shifted = _moved(event, moment - span.start)
        if _suits(shifted, now):
            return shifted
    guard = min(event.guard, LEAST_AHEAD)
    start = moment + timedelta(minutes=1) + max(LEAST_AHEAD, LEAST_REHEARSAL + guard)
    end = start + (event.conference.end - event.conference.start)
    return replace(
        event,
        rehearsals=(Window(moment.astimezone(event.zone), (start - guard).astimezone(event.zone)),),
        quiet_hours=None,
        guard=guard,
        conference=Window(start.astimezone(event.zone), end.astimezone(event.zone)),
    )


def _suits(event: Event, now: datetime) -> bool:
    if event.conference.start - now < LEAST_AHEAD:
        return False
    return any(now in span and span.end - now >= LEAST_REHEARSAL for span in callable_spans(event))


def _moved(event: Event, by: timedelta) -> Event:
    def move(moment: datetime) -> datetime:
        # Through UTC: arithmetic within a zone would follow its wall clock over a change to or from summer time.
        return (moment.astimezone(UTC) + by).astimezone(event.zone)

    quiet = event.quiet_hours
    if quiet is not None:
        reference = event.rehearsals[0].start
        turned = move(reference).replace(tzinfo=None) - reference.replace(tzinfo=None)
        quiet = QuietHours(
            *((datetime.combine(move(reference), clock) + turned).time() for clock in (quiet.start, quiet.end))
        )
    return replace(
        event,
        rehearsals=tuple(Window(move(window.start), move(window.end)) for window in event.rehearsals),
        quiet_hours=quiet,
        conference=Window(move(event.conference.start), move(event.conference.end)),
    )

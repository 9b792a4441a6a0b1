"""When test calls may be up at all, as spans of time.

Owns nothing but the view: what may happen when is `schedule.phases`' to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from bridge_monitor.domain import Event, EventPhase, Window
from bridge_monitor.schedule.phases import timetable


def callable_spans(event: Event) -> Iterator[Window]:
    """Yield the spans in which test calls may be up, in order, in the event's zone."""
    table = timetable(event)
    start = table.next_change(-math.inf)
    while start is not None:
        end = table.next_change(start)
        if table.phase_at(start) is EventPhase.REHEARSAL and end is not None:
            yield Window(*(datetime.fromtimestamp(edge, UTC).astimezone(event.zone) for edge in (start, end)))
        start = end

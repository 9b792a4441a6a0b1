"""The conference and its rehearsal: what may happen when.

Owns dates and windows; must not read a clock: every question takes the time as an argument (`schedule.phases`).
All datetimes are aware; windows are half-open, [start, end).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, [start, end)."""

    start: datetime
    end: datetime

    def __contains__(self, moment: object) -> bool:
        return isinstance(moment, datetime) and self.start <= moment < self.end


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A daily span in the event's zone in which nobody is called; may cross midnight (20:00–06:00)."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Event:
    """The conference that the rooms are tested for.

    Attributes:
        title: Its title, in the users' language.
        zone: Time zone of all its dates.
        registration_deadline: Contacts are in time strictly before this moment.
        rehearsals: Windows in which test calls may be up, in order, disjoint; an open end is already the guard's start.
        quiet_hours: Daily quiet hours, or None.
        guard: How long before the conference no test call is up any more.
        conference: The conference itself.
    """

    title: str
    zone: ZoneInfo
    registration_deadline: datetime | None
    rehearsals: tuple[Window, ...]
    quiet_hours: QuietHours | None
    guard: timedelta
    conference: Window

    @property
    def guard_start(self) -> datetime:
        """When test calls must have ended: `guard` before the conference."""
        return self.conference.start - self.guard

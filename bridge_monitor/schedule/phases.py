"""The event's phases: what may happen when.

Owns the timetable made of windows, quiet hours, guard and conference, all half-open spans [start, end); must not read a
clock: `now` is POSIX seconds UTC. Quiet hours are wall-clock times in the event's zone, so they follow its DST.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

from bridge_monitor.domain import Event, EventPhase

_REFUSALS: Final = {
    EventPhase.BEFORE: "outside_window",
    EventPhase.QUIET: "quiet_hours",
    EventPhase.GAP: "outside_window",
    EventPhase.GUARD: "guard",
    EventPhase.CONFERENCE: "conference",
    EventPhase.AFTER: "outside_window",
}


class Timetable:
    """An event's phases in order, each once.

    Args:
        event: The event; with None there is one endless rehearsal.
    """

    def __init__(self, event: Event | None) -> None:
        self._starts: list[float] = [-math.inf]
        self._phases: list[EventPhase] = [EventPhase.BEFORE if event else EventPhase.REHEARSAL]
        self._guard, self._over = math.inf, math.inf
        if event is None:
            return
        self._guard, self._over = event.guard_start.timestamp(), event.conference.end.timestamp()
        conference = event.conference.start.timestamp()
        rehearsals = [(window.start.timestamp(), window.end.timestamp()) for window in event.rehearsals]
        quiet = _quiet_spans(event)
        edges = {edge for span in rehearsals + quiet for edge in span} | {self._guard, conference, self._over}

        def phase_of(moment: float) -> EventPhase:
            if moment >= self._over:
                return EventPhase.AFTER
            if moment >= conference:
                return EventPhase.CONFERENCE
            if moment >= self._guard:
                return EventPhase.GUARD
            if _within(rehearsals, moment):
                return EventPhase.QUIET if _within(quiet, moment) else EventPhase.REHEARSAL
            return EventPhase.GAP if any(start <= moment for start, _ in rehearsals) else EventPhase.BEFORE

        for moment in sorted(edges):
            phase = phase_of(moment)
            if phase is not self._phases[-1]:
                self._starts.append(moment)
                self._phases.append(phase)

    def phase_at(self, now: float) -> EventPhase:
        """Return the phase at this moment."""
        return self._phases[bisect_right(self._starts, now) - 1]

    def phase_start(self, now: float) -> float:
        """Return when the phase of this moment began; minus infinity if it always was."""
        return self._starts[bisect_right(self._starts, now) - 1]

    def next_change(self, now: float) -> float | None:
        """Return when the phase next changes, strictly after `now`; None if it never does."""
        following = bisect_right(self._starts, now)
        return self._starts[following] if following < len(self._starts) else None

    def call_time_left(self, now: float) -> float:
        """Return for how many seconds a call started now may be up: 0 outside a rehearsal, infinite without end."""
        if self.phase_at(now) is not EventPhase.REHEARSAL:
            return 0.0
        change = self.next_change(now)
        return math.inf if change is None else change - now

    def longest_call(self) -> float:
        """Return how long the longest call may be that fits into any of the rehearsals, in seconds."""
        rehearsals = (
            end - start
            for phase, (start, end) in zip(self._phases, pairwise([*self._starts, math.inf]), strict=True)
            if phase is EventPhase.REHEARSAL
        )
        return max(rehearsals, default=0.0)

    def refusal(self, now: float, call_seconds: float, *, outside_window: bool = False) -> str | None:
        """Return why a call must not start now, or None if it may.

        Args:
            now: POSIX seconds.
            call_seconds: The longest the call can be up.
            outside_window: Allow it outside windows and in quiet hours, but never so that it is up in guard or
                conference.

        Returns:
            ``outside_window``, ``quiet_hours``, ``guard`` or ``conference``: what the call would be up in.
        """
        end = now + call_seconds
        if outside_window:
            forbidden = end > self._guard and now < self._over
            return _REFUSALS[self.phase_at(max(now, self._guard))] if forbidden else None
        phase = self.phase_at(now)
        if phase is EventPhase.REHEARSAL:
            change = self.next_change(now)
            if change is None or end <= change:
                return None
            phase = self.phase_at(change)
        return _REFUSALS[phase]


@lru_cache(maxsize=8)
def timetable(event: Event | None) -> Timetable:
    """Return the event's timetable; the last few are kept."""
    return Timetable(event)


def phase_at(event: Event | None, now: float) -> EventPhase:
    """Return the event's phase at this moment; without an event all time is rehearsal."""
    return timetable(event).phase_at(now)


def next_change(event: Event | None, now: float) -> float | None:
    """Return when the phase next changes, strictly after `now`; None if it never does."""
    return timetable(event).next_change(now)


def may_start(event: Event | None, now: float, call_seconds: float) -> bool:
    """Return whether a call of at most `call_seconds` may start now: it would be over before the rehearsal is."""
    return timetable(event).refusal(now, call_seconds) is None


def _within(spans: list[tuple[float, float]], moment: float) -> bool:
    return any(start <= moment < end for start, end in spans)


def _quiet_spans(event: Event) -> list[tuple[float, float]]:
    """Return the quiet hours of each day that a rehearsal touches; equal start and end mean the whole day."""
    hours = event.quiet_hours
    if hours is None:
        return []
    days = set()
    for rehearsal in event.rehearsals:
        # Quiet hours that cross midnight reach into a rehearsal from the evening before it.
        day = rehearsal.start.astimezone(event.zone).date() - timedelta(days=1)
        last = rehearsal.end.astimezone(event.zone).date()
        while day <= last:
            days.add(day)
            day += timedelta(days=1)
    overnight = timedelta(days=1 if hours.end <= hours.start else 0)
    return [
        (
            datetime.combine(day, hours.start, event.zone).timestamp(),
            datetime.combine(day + overnight, hours.end, event.zone).timestamp(),
        )
        for day in sorted(days)
    ]

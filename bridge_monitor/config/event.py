"""Reads ``event.yaml``: the conference, its rehearsal windows, quiet hours and guard.

Owns the file's keys and the checks of its dates; must not decide who may be called when (`schedule.phases`).
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, InstanceOf

from bridge_monitor.config import values
from bridge_monitor.config.documents import Document, KeyPath, Strict, dotted, fit, read_document
from bridge_monitor.config.problems import Problems
from bridge_monitor.config.spans import callable_spans
from bridge_monitor.domain import Event, QuietHours, Window

FILE: Final = "event.yaml"

_Moment = Annotated[datetime, BeforeValidator(values.moment)]
_Clock = Annotated[time, BeforeValidator(values.clock)]


class _SpanKeys(Strict):
    start: _Moment
    end: _Moment


class _WindowKeys(Strict):
    start: _Moment
    end: _Moment | None = None


class _QuietKeys(Strict):
    start: _Clock
    end: _Clock


class _EventKeys(Strict):
    title: str
    zone: Annotated[InstanceOf[ZoneInfo], BeforeValidator(values.zone)]
    registration_deadline: _Moment | None = None
    rehearsals: list[Any]
    quiet_hours: _QuietKeys | None = None
    guard: Annotated[float, BeforeValidator(values.duration_between("0 s", "24 h"))] = 3600.0
    conference: _SpanKeys


_LONGEST_WINDOW: Final = timedelta(days=366)  # a longer one is a slip in the year
_FAR_YEAR: Final = 9990
_FAR: Final = {"start": f"{_FAR_YEAR + 1}-01-01 00:00", "end": f"{_FAR_YEAR + 1}-01-02 00:00"}
_STAND_INS: Final = {"title": "-", "zone": "UTC", "rehearsals": [], "conference": _FAR}


class _Placed(NamedTuple):
    """A window with its place in the file."""

    window: Window
    path: KeyPath
    line: int


class EventFile(NamedTuple):
    """What was read; the event is of use only if nothing fatal was found."""

    event: Event | None
    zone: ZoneInfo


def read_event(path: Path, now: datetime, problems: Problems) -> EventFile:
    """Read and check the event.

    Args:
        path: ``event.yaml``.
        now: The present, aware; windows that have ended give a warning.
        problems: Where its problems go.
    """
    document = read_document(path, problems)
    keys = fit(document, _EventKeys, problems, stand_ins=_STAND_INS) if document else None
    if document is None or keys is None:
        return EventFile(None, ZoneInfo("UTC"))
    reader = _Reader(document, keys, problems)
    return EventFile(reader.read(now), keys.zone)


class _Reader:
    def __init__(self, document: Document, keys: _EventKeys, problems: Problems) -> None:
        self._document = document
        self._keys = keys
        self._problems = problems

    def read(self, now: datetime) -> Event:
        keys = self._keys
        conference = self._conference(keys.conference)
        guard = timedelta(seconds=keys.guard)
        placed = self._windows(conference.start - guard)
        event = Event(
            title=keys.title,
            zone=keys.zone,
            registration_deadline=self._moment(keys.registration_deadline, ("registration_deadline",)),
            rehearsals=tuple(entry.window for entry in placed),
            quiet_hours=self._quiet_hours(keys.quiet_hours),
            guard=guard,
            conference=conference,
        )
        self._check_now(event, placed, now)
        return event

    # --- pieces ------------------------------------------------------------------------------------------------------

    def _conference(self, keys: _SpanKeys) -> Window:
        start = self._moment(keys.start, ("conference", "start"))
        end = self._moment(keys.end, ("conference", "end"))
        if end <= start:
            line = self._document.line(("conference", "end"))
            shown = {"start": _shown(start), "end": _shown(end)}
            self._problems.add(self._document.file, line, "window_order", path="conference", **shown)
        return Window(start, end)

    def _windows(self, guard_start: datetime) -> list[_Placed]:
        document, problems = self._document, self._problems
        if document.plain.get("rehearsals") == []:
            problems.add(document.file, document.line(("rehearsals",)), "no_rehearsals")
        placed: list[_Placed] = []
        for place, _ in enumerate(self._keys.rehearsals):
            path: KeyPath = ("rehearsals", place)
            keys = fit(document, _WindowKeys, problems, at=path)
            if keys is None:
                continue
            start = self._moment(keys.start, (*path, "start"))
            end = self._moment(keys.end, (*path, "end"))
            if end is None and guard_start.year >= _FAR_YEAR:
                continue  # until when it lasts is not known
            window = Window(start, end or guard_start)
            if self._is_sane(path, window, guard_start):
                placed.append(_Placed(window, path, document.line(path)))
        placed.sort(key=lambda entry: (entry.window.start, entry.line))
        self._check_overlaps(placed)
        return placed

    def _is_sane(self, path: KeyPath, window: Window, guard_start: datetime) -> bool:
        document = self._document
        key, line = None, document.line((*path, "end"))
        if window.start >= guard_start:
            key, line = "window_after_guard", document.line(path)
        elif window.end <= window.start:
            key = "window_order"
        elif window.end > guard_start:
            key = "window_in_guard"
        elif window.end - window.start > _LONGEST_WINDOW:
            key = "long_window"
        if key is None:
            return True
        shown = {"start": _shown(window.start), "end": _shown(window.end), "guard": _shown(guard_start)}
        self._problems.add(document.file, line, key, path=dotted(path), **shown)
        return False

    def _quiet_hours(self, keys: _QuietKeys | None) -> QuietHours | None:
        if keys is None:
            return None
        if keys.start == keys.end:
            line = self._document.line(("quiet_hours",))
            self._problems.add(self._document.file, line, "equal_quiet_hours", start=f"{keys.start:%H:%M}")
            return None
        return QuietHours(keys.start, keys.end)

    def _moment(self, written: Any, path: KeyPath) -> Any:
        """Return a moment in the event's zone; None stays None."""
        if written is None:
            return None
        zone = self._keys.zone
        try:
            return values.in_zone(written, zone)
        except ValueError as error:
            early = written.replace(tzinfo=zone)
            self._problems.add(
                self._document.file,
                self._document.value_line(path),
                str(error),
                path=dotted(path),
                value=written.isoformat(" ", "minutes"),
                zone=zone.key,
                offset=early.isoformat()[-6:],
            )
            return early

    # --- checks ------------------------------------------------------------------------------------------------------

    def _check_overlaps(self, placed: list[_Placed]) -> None:
        latest: _Placed | None = None
        for entry in placed:
            if latest is not None and entry.window.start < latest.window.end:
                self._problems.add(
                    self._document.file,
                    entry.line,
                    "overlapping_windows",
                    path=dotted(entry.path),
                    start=_shown(entry.window.start),
                    end=_shown(latest.window.end),
                    other=latest.line,
                )
            if latest is None or entry.window.end > latest.window.end:
                latest = entry

    def _check_now(self, event: Event, placed: list[_Placed], now: datetime) -> None:
        file, document, problems = self._document.file, self._document, self._problems
        spans = tuple(callable_spans(event))
        for entry in placed:
            where = {"path": dotted(entry.path), "end": _shown(entry.window.end)}
            if entry.window.end <= now:
                problems.add(file, entry.line, "past_window", **where)
            if not any(span.start < entry.window.end and entry.window.start < span.end for span in spans):
                problems.add(file, entry.line, "quiet_window", **where)
        if event.conference.end <= now:
            problems.add(file, document.line(("conference",)), "past_conference", end=_shown(event.conference.end))
        deadline = event.registration_deadline
        if deadline is not None and deadline > event.conference.start:
            line = document.line(("registration_deadline",))
            problems.add(file, line, "late_deadline", moment=_shown(deadline))


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"

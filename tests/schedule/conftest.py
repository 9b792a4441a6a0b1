"""A rehearsal in virtual time, and a checker that reads nothing but the log of starts and ends."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

import pytest

from bridge_monitor.domain import Event, QuietHours, Window
from bridge_monitor.schedule import Caps, CapSet, Plannable, Planner

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
ROUNDING = 1e-5


@dataclass
class Call:
    site: str
    started: float
    ended: float = math.inf


@dataclass
class Rehearsal:
    """Drives a planner from one moment to another; calls take as long, and end, as the test says."""

    planner: Planner
    now: float
    behave: Callable[[str, float], tuple[float, bool, bool]]
    lateness: Callable[[], float] = lambda: 0.0
    calls: list[Call] = field(default_factory=list)
    up: dict[str, Call] = field(default_factory=dict)
    ends: list[tuple[float, int, str, bool, bool]] = field(default_factory=list)
    wakeups: int = 0
    largest_lag: float = 0.0

    def run_until(self, end: float) -> None:
        while self.now < end:
            self.wakeups += 1
            for site in self.planner.due(self.now):
                self.start(site)
            wakeup = self.planner.next_wakeup(self.now)
            assert wakeup is None or wakeup >= self.now
            # A real loop wakes late, never early.
            planned = math.inf if wakeup is None else wakeup + self.lateness()
            self.now = min(max(planned, self.now), self.ends[0][0] if self.ends else math.inf, end)
            while self.ends and self.ends[0][0] <= self.now:
                _, _, site, bad, busy = heappop(self.ends)
                self.finish(site, bad=bad, busy=busy)

    def start(self, site: str) -> None:
        assert site not in self.up, "two calls to one site"
        seconds, bad, busy = self.behave(site, self.now)
        call = self.up[site] = Call(site, self.now)
        self.calls.append(call)
        heappush(self.ends, (self.now + seconds, len(self.calls), site, bad, busy))

    def finish(self, site: str, *, bad: bool, busy: bool = False) -> None:
        self.up.pop(site).ended = self.now
        self.planner.finished(site, self.now, bad=bad, busy=busy)


class CapChecker:
    """Says whether a log of calls keeps caps, by counting; knows nothing of how the planner keeps them."""

    def __init__(self, sites: Iterable[Plannable], caps: CapSet) -> None:
        self.sites = {site.site: site for site in sites}
        self.caps = caps

    def check(self, calls: Sequence[Call]) -> None:
        groups: dict[tuple[str, str], list[Call]] = defaultdict(list)
        for call in calls:
            site = self.sites[call.site]
            groups["total", ""].append(call)
            groups["province", site.province].append(call)
            groups["carrier", site.carrier].append(call)
        for (kind, name), members in groups.items():
            caps = {
                "total": self.caps.total,
                "province": self.caps.overrides_province.get(name, self.caps.per_province),
                "carrier": self.caps.overrides_carrier.get(name, self.caps.per_carrier),
            }[kind]
            self._check_rate(f"{kind} {name}", members, caps)
            self._check_up(f"{kind} {name}", members, caps)

    def _check_rate(self, who: str, calls: Sequence[Call], caps: Caps) -> None:
        rate = caps.calls_per_second
        if rate is None:
            return
        starts = sorted(call.started for call in calls)
        for index, start in enumerate(starts):
            # In any second at most the cap; a fraction of a call counts as one, since calls are whole.
            span = max(1.0, 1 / rate)
            within = bisect_left(starts, start + span - ROUNDING) - index
            assert within <= math.ceil(rate * span - 1e-9), f"{who}: {within} starts in {span} s from {start}"

    def _check_up(self, who: str, calls: Sequence[Call], caps: Caps) -> None:
        edges = [(call.started, 1, call.site) for call in calls]
        edges += [(call.ended, -1, call.site) for call in calls if call.ended < math.inf]
        up, bandwidth = 0, 0.0
        for moment, step, site in sorted(edges):
            up += step
            bandwidth += step * self.sites[site].bandwidth_bps
            assert caps.calls_at_once is None or up <= caps.calls_at_once, f"{who}: {up} calls up at {moment}"
            limit = caps.bandwidth_bps
            assert limit is None or bandwidth <= limit * 1.000001, f"{who}: {bandwidth} bit/s at {moment}"


def make_event(
    *rehearsals: tuple[str, str],
    quiet: tuple[str, str] | None = ("20:00", "06:00"),
    guard_minutes: float = 60,
    conference: tuple[str, str] = ("2024-06-28T08:30", "2024-06-28T11:30"),
) -> Event:
    """Make an event of local times in Vietnam; without windows, from 14:00 on the day before to the guard."""

    def at(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=ZONE)

    guard = timedelta(minutes=guard_minutes)
    windows = tuple(Window(at(start), at(end)) for start, end in rehearsals)
    whole = Window(at("2024-06-27T14:00"), at(conference[0]) - guard)
    return Event(
        title="Hội nghị trực tuyến toàn quốc",
        zone=ZONE,
        registration_deadline=None,
        rehearsals=windows or (whole,),
        quiet_hours=QuietHours(*(datetime.strptime(text, "%H:%M").time() for text in quiet)) if quiet else None,  # noqa: DTZ007 (a time of day)
        guard=guard,
        conference=Window(at(conference[0]), at(conference[1])),
    )


def local(text: str) -> float:
    """Return POSIX seconds of a local time in Vietnam."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()


class Kit:
    """What the schedule's tests share."""

    Call = Call
    CapChecker = CapChecker
    Rehearsal = Rehearsal
    event = staticmethod(make_event)
    local = staticmethod(local)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    """Tools of the schedule's tests."""
    return Kit

"""The plan: which sites to call now, and when to look again.

Owns what is due, what is up, and the sweep's progress; must not place calls or read a clock.

A driver asks `due` for the sites to call, says `finished` for each when its call has ended, then sleeps until
`next_wakeup` or the next end of a call, whichever comes first. `reserve` and `finished` enclose a call by hand. Times
passed in are POSIX seconds UTC. Windows are judged by them as they are; everything else by a time that stands still
while the clock is set back, so that no wait grows by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from heapq import heappop, heappush
from typing import Final

from bridge_monitor.domain import Event, EventPhase, SweepProgress
from bridge_monitor.domain.values import dataclass
from bridge_monitor.errors import LocalProtocolError
from bridge_monitor.schedule.caps import TOLERANCE_SECONDS
from bridge_monitor.schedule.lanes import Lane, Lanes, Ticket, Turn, Turnstile, Turnstiles
from bridge_monitor.schedule.order import next_slot, sweep_positions
from bridge_monitor.schedule.phases import timetable
from bridge_monitor.schedule.settings import CapSet, Intervals, Plannable
from bridge_monitor.schedule.sweep import Sweep

RETRY_SHARE: Final = 4
"""One start in so many is a retry while other sites wait for the total caps: retries come soon, and stop no sweep."""

HAND_HOLD_SECONDS: Final = 1.0
"""How long a cap that refused a call by hand is kept for it: ask again more often than that, as long as wanted."""


@dataclass(slots=True, eq=False)
class _Entry:
    """A site of the plan."""

    plan: Plannable
    gates: tuple[Turnstile, ...]
    position: float
    obstacle: str | None
    turn: Turn = Turn.FIRST
    due: float = -math.inf
    ticket: Ticket | None = None
    started: float = -math.inf
    finished: float = -math.inf
    retries: int = 0


@dataclass(frozen=True, slots=True)
class _Flight:
    """A call that is up; it keeps the gates it went through, whatever becomes of its site."""

    gates: tuple[Turnstile, ...]
    bandwidth_bps: float
    started: float


class Planner:
    """Who is called when.

    Args:
        sites: The sites to call.
        event: Windows, quiet hours, guard and conference; None for no bounds in time.
        caps: What calls may take.
        intervals: How often sites are called.
        seed: Shuffles the order within provinces; the same seed gives the same order.
    """

    def __init__(
        self, sites: Sequence[Plannable], event: Event | None, caps: CapSet, intervals: Intervals, *, seed: str = ""
    ) -> None:
        self._seed = seed
        self._told, self._ahead = -math.inf, 0.0
        self._total = Turnstile(caps.total)
        self._turnstiles = Turnstiles()
        self._entries: dict[str, _Entry] = {}
        self._gone: dict[str, _Entry] = {}
        self._flights: dict[str, _Flight] = {}
        self._sweep = Sweep()
        self._span: float | None = None
        self._since_retry = 0
        self._install(sites, event, caps, intervals)

    @property
    def calls_in_flight(self) -> int:
        """How many calls are up, those by hand included."""
        return len(self._flights)

    @property
    def obstacles(self) -> dict[str, str]:
        """Sites that can never be called as things are set, and why.

        ``bandwidth_above_cap`` or ``call_longer_than_window``.
        """
        return {code: entry.obstacle for code, entry in self._entries.items() if entry.obstacle}

    def due(self, now: float) -> list[str]:
        """Return the sites to start a call to now, in this order; they are in flight until `finished`."""
        time = self._tick(now)
        left = self._timetable.call_time_left(now)
        if (span := self._timetable.next_change(now)) != self._span:
            self._span = span
            self._lanes.reopen()
        if left <= 0:
            return []
        self._ripen(time)
        started = []
        while (lane := self._next_lane(time)) is not None:
            if lane.call_seconds > left:
                self._lanes.close(lane, time)
            elif self._total.ready_at(time, lane.bandwidth_bps) > time:
                break
            elif not self._lanes.shut_out(lane, time):
                started.append(self._start_planned(lane, time, now))
        return started

    def finished(self, site: str, now: float, *, bad: bool, busy: bool = False) -> None:
        """Take note that a call has ended: free its caps and plan the site's next.

        Args:
            site: The site's code.
            now: POSIX seconds.
            bad: It must be tried again soon: it failed and its verdict isn't settled, or the measurement was invalid
                (`diagnosis.wants_retry`).
            busy: The room was in another call: it is tried again when `min_between_calls` allows.

        Raises:
            LocalProtocolError: No call to the site is in flight.
        """
        time = self._tick(now)
        flight = self._land(site, time)
        entry = self._entry_of(site)
        entry.started, entry.finished = flight.started, time
        if entry.obstacle is None:
            self._sweep.finished(site, flight.started, now)
        due, turn = self._regular_due(entry), Turn.REPEAT
        if busy:
            due, turn = min(due, time + max(self._intervals.min_between_calls, self._intervals.retry)), Turn.RETRY
        elif bad and entry.retries < self._intervals.retries:
            entry.retries += 1
            due, turn = min(due, time + self._intervals.retry), Turn.RETRY
        elif not bad:
            entry.retries = 0
        self._plan(entry, due, turn)

    def not_called(self, site: str, now: float) -> None:
        """Take note that a start handed out was not used: the site's slot was taken elsewhere; it is tried again soon.

        Raises:
            LocalProtocolError: No call to the site is in flight.
        """
        time = self._tick(now)
        self._land(site, time)
        entry = self._entry_of(site)
        self._plan(entry, time + self._intervals.retry, entry.turn)

    def reserve(
        self,
        site: str,
        now: float,
        *,
        call_seconds: float | None = None,
        bandwidth_bps: float | None = None,
        outside_window: bool = False,
    ) -> str | None:
        """Take the slot for a call by hand: it counts in all caps, and the site is in flight until `finished`.

        A cap that refuses keeps what next comes free for `HAND_HOLD_SECONDS`: who wants to wait asks again meanwhile.

        Args:
            site: The site's code.
            now: POSIX seconds.
            call_seconds: The longest the call can be up, if not as planned.
            bandwidth_bps: What it takes on the line, if not as planned.
            outside_window: Allow it outside windows and in quiet hours; never in guard or conference.

        Returns:
            None if the call may start, else why not: ``unknown_site``, ``site_in_call``, ``outside_window``,
            ``quiet_hours``, ``guard``, ``conference``, ``too_soon`` or ``cap``.
        """
        time = self._tick(now)
        entry = self._entries.get(site)
        if entry is None:
            return "unknown_site"
        if site in self._flights:
            return "site_in_call"
        length = entry.plan.call_seconds if call_seconds is None else call_seconds
        if refusal := self._timetable.refusal(now, length, outside_window=outside_window):
            return refusal
        if time + TOLERANCE_SECONDS < entry.finished + self._intervals.min_between_calls:
            return "too_soon"
        bandwidth = entry.plan.bandwidth_bps if bandwidth_bps is None else bandwidth_bps
        gates = (self._total, *entry.gates)
        shut = [gate for gate in gates if gate.ready_at(time, bandwidth, by_hand=True) > time]
        if shut and all(gate.admits(bandwidth) for gate in gates):
            for gate in shut:
                gate.hold(time + HAND_HOLD_SECONDS)
        if shut:
            return "cap"
        if entry.ticket:
            entry.ticket.live = False
        self._flights[site] = _Flight(gates, bandwidth, time)
        for gate in gates:
            gate.take(time, bandwidth)
            gate.hold(time)
            self._lanes.offer(gate, time)
        return None

    def next_wakeup(self, now: float) -> float | None:
        """Return when to ask `due` again, never before `now`; None if not before a call has ended or a reload."""
        time = self._tick(now)
        moments = [math.inf]
        if self._timetable.phase_at(now) is EventPhase.REHEARSAL:
            lane = self._next_lane(time)
            if lane is not None:
                moments.append(self._total.ready_at(time, lane.bandwidth_bps))
            moments.append(self._lanes.next_alarm())
            moments.append(self._next_future())
        wakeup = min(moments) - self._ahead
        change = self._timetable.next_change(now)
        if change is not None:
            wakeup = min(wakeup, change)
        return max(now, wakeup) if wakeup < math.inf else None

    def progress(self) -> SweepProgress:
        """Return how far the running sweep is, or how the last one ended."""
        return self._sweep.progress()

    def lag(self, now: float) -> float:
        """Return how late the most overdue site is, in seconds; 0 outside rehearsals, which are nobody's delay.

        First calls are due "as fast as the caps allow": `progress` shows them.
        """
        time = self._tick(now)
        if self._timetable.phase_at(now) is not EventPhase.REHEARSAL:
            return 0.0
        earliest = min(self._lanes.most_overdue(), self._next_future())
        if self._ripe_retries:
            earliest = min(earliest, self._ripe_retries[0][0])
        opened = self._timetable.phase_start(now) + self._ahead
        return max(0.0, time - max(earliest, opened))

    def replace_sites(
        self, sites: Sequence[Plannable], event: Event | None, caps: CapSet, intervals: Intervals, now: float
    ) -> None:
        """Plan by other sites and settings from now on.

        Calls in flight stay so, also those to sites that are gone, and count in the caps of their province and carrier.
        Sites that stay keep their last call, retries and place in the sweep, as do those that come back within the
        default interval; new ones are called first.
        """
        self._tick(now)
        self._install(sites, event, caps, intervals)

    def _install(self, sites: Sequence[Plannable], event: Event | None, caps: CapSet, intervals: Intervals) -> None:
        positions = sweep_positions(sites, self._seed)
        if len(positions) < len(sites):
            raise LocalProtocolError("a site stands in the plan twice")
        self._timetable = timetable(event)
        self._intervals = intervals
        self._lanes = Lanes()
        self._future: list[tuple[float, int, Ticket]] = []
        self._ripe_retries: list[tuple[float, int, Ticket]] = []
        self._numbers = 0
        self._total.set_caps(caps.total)
        self._turnstiles.renew(sites, caps)
        old_entries, self._entries = self._gone | self._entries, {}
        longest = self._timetable.longest_call()
        for site in sites:
            gates = self._turnstiles.of(site)
            obstacle = None
            if site.call_seconds > longest:
                obstacle = "call_longer_than_window"
            elif not all(gate.admits(site.bandwidth_bps) for gate in (self._total, *gates)):
                obstacle = "bandwidth_above_cap"
            entry = self._entries[site.site] = _Entry(site, gates, positions[site.site], obstacle)
            if old := old_entries.get(site.site):
                entry.turn, entry.due = old.turn, old.due
                entry.started, entry.finished, entry.retries = old.started, old.finished, old.retries
                if entry.turn is Turn.REPEAT:
                    entry.due = self._regular_due(entry)
            if site.site not in self._flights:
                self._plan(entry, entry.due, entry.turn)
        self._gone = {
            code: replace(entry, obstacle="gone")
            for code, entry in old_entries.items()
            if code not in self._entries and (code in self._flights or entry.finished >= self._oldest_of_interest())
        }
        covered = frozenset(code for code, entry in self._entries.items() if entry.obstacle is None)
        self._sweep.cover(covered, self._told)

    def _tick(self, now: float) -> float:
        """Return the time that never runs backwards."""
        if now < self._told:
            self._ahead += self._told - now
            # More of the window may be left than before.
            self._lanes.reopen()
        self._told = now
        return now + self._ahead

    def _oldest_of_interest(self) -> float:
        """Return since when the last call of a site that is gone matters, should the site come back."""
        return self._told + self._ahead - max(self._intervals.default, self._intervals.min_between_calls)

    def _entry_of(self, site: str) -> _Entry:
        """Return the entry of a site that a call is or was in flight to."""
        return self._entries.get(site) or self._gone[site]

    def _plan(self, entry: _Entry, due: float, turn: Turn) -> None:
        """Give a site its one place in the plan."""
        entry.due, entry.turn = due, turn
        if entry.obstacle:
            return
        entry.ticket = Ticket(entry.plan.site, turn)
        if due == -math.inf:
            self._let_wait(entry.ticket, due)
        else:
            self._numbers += 1
            heappush(self._future, (due, self._numbers, entry.ticket))

    def _let_wait(self, ticket: Ticket, due: float) -> None:
        """Let a site that is due wait for its turn."""
        entry = self._entries[ticket.site]
        key = entry.position if ticket.turn is Turn.FIRST else due
        self._lanes.put(ticket, key, entry.gates, (entry.plan.call_seconds, entry.plan.bandwidth_bps))

    def _regular_due(self, entry: _Entry) -> float:
        """Return the site's next slot at its tier's interval.

        The first sweep goes faster than the interval; the slots spread what follows over the whole of it. Hence the
        second call comes after half to one and a half intervals, every later one after one.
        """
        interval = self._intervals.of_tier(entry.plan.tier)
        earliest = max(entry.started + interval / 2, entry.finished + self._intervals.min_between_calls)
        return next_slot(earliest, interval, entry.position)

    def _ripen(self, time: float) -> None:
        """Let the sites wait whose time has come."""
        while self._next_future() <= time + TOLERANCE_SECONDS:
            due, number, ticket = heappop(self._future)
            if ticket.turn is Turn.RETRY:
                heappush(self._ripe_retries, (due, number, ticket))
            else:
                self._let_wait(ticket, due)

    def _next_future(self) -> float:
        _drop_dead(self._future)
        return self._future[0][0] if self._future else math.inf

    def _next_lane(self, time: float) -> Lane | None:
        """Return the lane whose first site is next; lets retries in by their share, or when no one else can start."""
        _drop_dead(self._ripe_retries)
        if self._ripe_retries and self._since_retry >= RETRY_SHARE - 1:
            self._admit_retry()
        lane = self._lanes.choose(time)
        while lane is None and self._ripe_retries:
            self._admit_retry()
            lane = self._lanes.choose(time)
        return lane

    def _admit_retry(self) -> None:
        due, _, ticket = heappop(self._ripe_retries)
        self._let_wait(ticket, due)
        self._since_retry = 0
        _drop_dead(self._ripe_retries)

    def _start_planned(self, lane: Lane, time: float, now: float) -> str:
        self._total.take(time, lane.bandwidth_bps)
        ticket = self._lanes.take(lane, time)
        self._flights[ticket.site] = _Flight((self._total, *lane.gates), lane.bandwidth_bps, time)
        if ticket.turn is not Turn.RETRY:
            self._since_retry += 1
            self._sweep.started(time, now)
        return ticket.site

    def _land(self, site: str, time: float) -> _Flight:
        """End a call's flight: what it took is free."""
        flight = self._flights.pop(site, None)
        if flight is None:
            raise LocalProtocolError(f"no call to site {site} is in flight")
        for gate in flight.gates:
            gate.release(flight.bandwidth_bps)
            self._lanes.offer(gate, time)
        return flight


def _drop_dead(heap: list[tuple[float, int, Ticket]]) -> None:
    """Drop tickets that were taken back from the front of a heap."""
    while heap and not heap[0][2].live:
        heappop(heap)

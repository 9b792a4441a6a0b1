"""Whose turn it is: sites that wait to be called, in lanes of sites that the same caps hold back.

Owns the order of waiting sites; must not know why a site waits (`schedule.planner`). All sites of a lane cross the same
gates with calls of the same length and bandwidth: if its first can't start, none of it can, and no wake-up looks at a
site that can't. A lane stands in the open, where it is chosen from, or in the line before one gate that is shut. A gate
that opens calls the first lane of its line into the open, and the next one when that has been dealt with. So a start
costs a few heap operations, however many sites wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush
from math import inf
from typing import Final, NamedTuple

from bridge_monitor.schedule.caps import TOLERANCE_SECONDS, Gate
from bridge_monitor.schedule.settings import Caps, CapSet, Plannable


class Turn(IntEnum):
    """Why a site is due; the lower goes first."""

    RETRY = 0
    FIRST = 1
    REPEAT = 2


@dataclass(slots=True, eq=False)
class Ticket:
    """A site's one place in the plan; not live once it was used or taken back."""

    site: str
    turn: Turn
    live: bool = True


class Rank(NamedTuple):
    """Order among lanes: by turn, then position in the sweep (`Turn.FIRST`) or the time it was due, then arrival."""

    turn: Turn
    key: float
    number: int


NOWHERE: Final = Rank(Turn.REPEAT, inf, 0)


@dataclass(slots=True, eq=False)
class Lane:
    """Sites that wait for the same reason before the same gates.

    Attributes:
        turn: Why they are due.
        gates: The gates their calls cross.
        call_seconds: The longest their calls can be up.
        bandwidth_bps: What their calls take.
        waiting: Heap of key, number and ticket.
        place: Where it stands: heap of rank, token and lane; None if nowhere.
        rank: Under which rank it stands there.
        token: Marks its one entry in `place` that counts.
        called_by: The gate that called it into the open.
    """

    turn: Turn
    gates: tuple[Turnstile, ...]
    call_seconds: float
    bandwidth_bps: float
    waiting: list[tuple[float, int, Ticket]] = field(default_factory=list)
    place: list[tuple[Rank, int, Lane]] | None = None
    rank: Rank = NOWHERE
    token: int = 0
    called_by: Turnstile | None = None

    def first(self) -> Rank:
        """Return the rank of its first live ticket; `NOWHERE` if it has none."""
        while self.waiting and not self.waiting[0][2].live:
            heappop(self.waiting)
        return Rank(self.turn, *self.waiting[0][:2]) if self.waiting else NOWHERE


class Turnstile(Gate):
    """The gate of a province or carrier, and the line of lanes before it."""

    def __init__(self, caps: Caps) -> None:
        super().__init__(caps)
        self.line: list[tuple[Rank, int, Lane]] = []
        self.called: Lane | None = None
        self.alarm = inf

    def clear(self) -> None:
        """Send everyone in line away."""
        self.line.clear()
        self.called, self.alarm = None, inf


class Turnstiles:
    """The gates of all provinces and carriers."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], Turnstile] = {}

    def renew(self, sites: Iterable[Plannable], caps: CapSet) -> None:
        """Serve these sites and caps from now on, all lines empty; a gate outlives this with the calls it let through.

        Args:
            sites: The sites to call.
            caps: The caps that hold.
        """
        limits: dict[tuple[str, str], Caps] = {}
        for site in sites:
            limits["province", site.province] = caps.of_province(site.province)
            limits["carrier", site.carrier] = caps.of_carrier(site.carrier)
        self._all = {name: gate for name, gate in self._all.items() if gate.calls or name in limits}
        for gate in self._all.values():
            gate.clear()
        for name, limit in limits.items():
            self._all.setdefault(name, Turnstile(limit)).set_caps(limit)

    def of(self, site: Plannable) -> tuple[Turnstile, ...]:
        """Return the gates that calls to this site cross."""
        return self._all["province", site.province], self._all["carrier", site.carrier]


class Lanes:
    """All lanes, the open they are chosen from, and the alarms of gates that open by themselves."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[object, ...], Lane] = {}
        self._open: list[tuple[Rank, int, Lane]] = []
        self._closed: list[tuple[Rank, int, Lane]] = []
        self._alarms: list[tuple[float, int, Turnstile]] = []
        self._numbers = 0

    def put(self, ticket: Ticket, key: float, gates: tuple[Turnstile, ...], call: tuple[float, float]) -> None:
        """Let a site wait.

        Args:
            ticket: Its ticket.
            key: What it is ranked by within its turn.
            gates: The gates its call crosses.
            call: Length (seconds) and bandwidth (bit/s) of its call.
        """
        name = (ticket.turn, *map(id, gates), *call)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(ticket.turn, gates, *call)
        heappush(lane.waiting, (key, self._number(), ticket))
        if lane.place is None or lane.first() < lane.rank:
            self._stand(lane, self._open if lane.place is None else lane.place)

    def choose(self, now: float) -> Lane | None:
        """Return the lane in the open whose first site is next; None if none is there."""
        while self._alarms and self._alarms[0][0] <= now + TOLERANCE_SECONDS:
            _, _, gate = heappop(self._alarms)
            gate.alarm = inf
            self.offer(gate, now)
        while (lane := _front(self._open)) is not None and lane.first() != lane.rank:
            # Its first ticket was taken back: it stands too far in front, or for nothing.
            self._leave(lane, now)
            self._stand(lane, self._open)
        return lane

    def _first_in(self, line: list[tuple[Rank, int, Lane]]) -> Lane | None:
        """Return the first lane of a line that really waits: one whose tickets were taken back would block the gate."""
        while (lane := _front(line)) is not None and lane.first() != lane.rank:
            lane.token = 0
            self._stand(lane, line)
        return lane

    def take(self, lane: Lane, now: float) -> Ticket:
        """Take the first ticket of a chosen lane: its call starts and counts at the gates of the lane."""
        for gate in lane.gates:
            gate.take(now, lane.bandwidth_bps)
        _, _, ticket = heappop(lane.waiting)
        ticket.live = False
        self._leave(lane, now)
        self._stand(lane, self._open)
        return ticket

    def shut_out(self, lane: Lane, now: float) -> bool:
        """Line a chosen lane up before the first of its gates that doesn't let it pass; False if all let it pass."""
        for gate in lane.gates:
            first = self._first_in(gate.line)
            overtakes = first is not None and first.rank < lane.rank
            if overtakes or gate.ready_at(now, lane.bandwidth_bps) > now:
                self._leave(lane, now)
                self._stand(lane, gate.line)
                self.offer(gate, now)
                return True
        return False

    def close(self, lane: Lane, now: float) -> None:
        """Set a chosen lane aside: what is left of the window is too short for its calls."""
        self._leave(lane, now)
        self._stand(lane, self._closed)

    def reopen(self) -> None:
        """Let the lanes that were set aside into the open again."""
        while (lane := _front(self._closed)) is not None:
            self._stand(lane, self._open)

    def offer(self, gate: Turnstile, now: float) -> None:
        """Call the first lane in line into the open if the gate lets it pass, or set the alarm for when it does."""
        if gate.called is not None or (lane := self._first_in(gate.line)) is None:
            return
        ready = gate.ready_at(now, lane.bandwidth_bps)
        if ready <= now:
            gate.called, lane.called_by = lane, gate
            self._stand(lane, self._open)
        elif ready < gate.alarm:
            gate.alarm = ready
            heappush(self._alarms, (ready, self._number(), gate))

    def next_alarm(self) -> float:
        """Return when a gate opens by itself; infinity if none does."""
        return self._alarms[0][0] if self._alarms else inf

    def most_overdue(self) -> float:
        """Return the earliest time that a waiting site was due at, first calls aside; infinity if none waits."""
        firsts = (lane.first() for lane in self._lanes.values() if lane.turn is not Turn.FIRST)
        return min((rank.key for rank in firsts), default=inf)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _stand(self, lane: Lane, place: list[tuple[Rank, int, Lane]]) -> None:
        """Let a lane stand in a place, and nowhere else, by its first ticket; an empty lane stands nowhere."""
        lane.rank, lane.token = lane.first(), self._number()
        lane.place = None if lane.rank is NOWHERE else place
        if lane.place is not None:
            heappush(place, (lane.rank, lane.token, lane))

    def _leave(self, lane: Lane, now: float) -> None:
        """Take a lane out of where it stands; the gate that called it may call the next."""
        lane.token = 0
        gate, lane.called_by = lane.called_by, None
        if gate is not None:
            gate.called = None
            self.offer(gate, now)


def _front(place: list[tuple[Rank, int, Lane]]) -> Lane | None:
    """Return the first lane that still stands in this place; other entries are left-overs and go."""
    while place:
        _, token, lane = place[0]
        if lane.token == token:
            return lane
        heappop(place)
    return None

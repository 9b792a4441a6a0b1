"""Which rooms are simulated, and which of them each entry of a fault plan befalls, and when.

Owns the choice: the same plan, seed and inventory give the same rooms, whatever the time of day. Must not act on it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from bridge_monitor.domain import Inventory, Site
from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sim.faults import Clock, Fault, FaultPlan, Moment
from bridge_monitor.sip import SipUri

_DAY: Final = 86400.0
_FOREVER: Final = float("inf")
_LOOPBACK: Final = ipaddress.ip_network("127.0.0.0/8")


@dataclass(frozen=True, slots=True)
class SimulatedSite:
    """A room that the nation answers for.

    Attributes:
        code: The site's code.
        host: Its address in 127.0.0.0/8.
        port: Its SIP port.
        user: User part of its URI; empty if it has none.
    """

    code: str
    host: str
    port: int
    user: str


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """A fault of one room in the nation's own time, [begin, end) in seconds since its start."""

    fault: Fault
    begin: float
    end: float

    def active(self, seconds: float) -> bool:
        """Whether it is there ``seconds`` after the start."""
        return self.begin <= seconds < self.end


def simulated_sites(inventory: Inventory) -> Iterator[SimulatedSite]:
    """Yield every site with a ``sip:`` endpoint that is an IPv4 address in 127.0.0.0/8, in the order of the list."""
    for site in inventory:
        if site.endpoint is not None and (address := _loopback_address(site.endpoint)) is not None:
            yield SimulatedSite(site.code, *address)


def assign(plan: FaultPlan, inventory: Inventory) -> Mapping[str, tuple[Fault, ...]]:
    """Return the faults of each room that has any, in the plan's order."""
    taken: dict[str, list[Fault]] = {}
    for _ in _assign(plan, inventory, taken):
        pass
    return {code: tuple(faults) for code, faults in taken.items()}


def find_conflicts(inventory: Inventory, plan: FaultPlan) -> list[tuple[Fault, str]]:
    """Return each entry that names a site which an earlier entry has taken at the same time, and what is wrong."""
    return list(_assign(plan, inventory, {}))


def resolve(fault: Fault, started: datetime, zone: ZoneInfo) -> FaultSpan:
    """Return when the fault is there, for a nation started at ``started`` (aware).

    Times of day are of the day the nation starts on; a span that is over by then is the next day's.
    """
    begin = _seconds(fault.begin, started, zone, 0.0)
    end = _seconds(fault.end, started, zone, _FOREVER)
    if isinstance(fault.end, Clock) and end <= begin:
        end += _DAY
    if isinstance(fault.begin, Clock) and end <= 0.0:
        begin, end = begin + _DAY, end + _DAY
    return FaultSpan(fault, begin, end)


def _assign(plan: FaultPlan, inventory: Inventory, taken: dict[str, list[Fault]]) -> Iterator[tuple[Fault, str]]:
    """Fill ``taken`` entry by entry; yield what an entry could not have though it names it."""
    rooms = [inventory[site.code] for site in simulated_sites(inventory)]
    for index, fault in enumerate(plan.faults):
        # A generator for each entry: adding one at the end changes nobody else's rooms.
        rng = np.random.default_rng([plan.seed, index])
        wanted = [room.code for room in rooms if _selects(fault, room, inventory)]
        free = wanted
        if not fault.combine:
            free = [code for code in wanted if not any(_may_overlap(fault, other) for other in taken.get(code, ()))]
        count = 0 if fault.share == 0.0 else max(1, round(fault.share * len(wanted)))
        if count < len(free):
            chosen = sorted(rng.choice(len(free), count, replace=False).tolist())
            free = [free[position] for position in chosen]
        if fault.share == 1.0:
            missing = sorted(set(wanted) & set(fault.sites) - set(free))
            if missing:
                earlier = taken[missing[0]][0]
                yield fault, f"site {', '.join(missing)} already has {earlier.kind} (line {earlier.line}) at that time"
        for code in free:
            taken.setdefault(code, []).append(fault)


def _selects(fault: Fault, room: Site, inventory: Inventory) -> bool:
    if fault.tiers and room.tier not in fault.tiers:
        return False
    return (
        room.code in fault.sites
        or (room.carrier != "" and room.carrier in fault.carriers)
        or inventory.province_of(room.code) in fault.provinces
    )


def _may_overlap(one: Fault, other: Fault) -> bool:
    """Whether two faults can be there at once; seconds and times of day can't be compared before the start."""
    moments = [moment for moment in (one.begin, one.end, other.begin, other.end) if moment is not None]
    clocks = [isinstance(moment, Clock) for moment in moments]
    if any(clocks) and not all(clocks):
        return True
    (begin, end), (other_begin, other_end) = _plain_span(one), _plain_span(other)
    days = (-_DAY, 0.0, _DAY) if any(clocks) else (0.0,)
    return any(begin + day < other_end and other_begin < end + day for day in days)


def _plain_span(fault: Fault) -> tuple[float, float]:
    begin, end = _plain(fault.begin, 0.0), _plain(fault.end, _FOREVER)
    if isinstance(fault.end, Clock) and end <= begin:
        end += _DAY
    return begin, end


def _plain(moment: Moment | None, default: float) -> float:
    if moment is None:
        return default
    if isinstance(moment, Clock):
        return moment.at.hour * 3600.0 + moment.at.minute * 60.0 + moment.at.second
    return moment


def _seconds(moment: Moment | None, started: datetime, zone: ZoneInfo, default: float) -> float:
    if moment is None:
        return default
    if isinstance(moment, Clock):
        day = started.astimezone(zone).date()
        at = datetime.combine(day, moment.at, zone)
        # Subtracting aware datetimes of one zone ignores its clock changes; through UTC it does not.
        return (at.astimezone(started.tzinfo) - started) / timedelta(seconds=1)
    return moment


def _loopback_address(endpoint: str) -> tuple[str, int, str] | None:
    try:
        uri = SipUri.parse(endpoint)
        address = ipaddress.IPv4Address(uri.host)
    except (SipSyntaxError, ValueError):
        return None
    if uri.scheme != "sip" or address not in _LOOPBACK:
        return None
    return str(address), uri.port or 5060, uri.user or ""

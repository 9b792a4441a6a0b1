"""The configuration as the schedule sees it, and the first sweep played through in advance.

Owns the translation and the estimate; the plan itself is `schedule.Planner`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Final

from bridge_monitor.domain import Event, Inventory
from bridge_monitor.probes import Profile
from bridge_monitor.probes.reference import Reference
from bridge_monitor.schedule import CapSet, Intervals, Plannable, Planner

_STEPS_PER_SITE: Final = 50  # a plan that needs more wake-ups than that is never done


@dataclass(frozen=True, slots=True)
class SweepEstimate:
    """How a first sweep would go if every room answered.

    Attributes:
        calls: How many rooms are called.
        starts_at: When its first call starts, POSIX seconds.
        done_at: When its last call has ended; None if the windows end before that.
        done: How many calls have ended when it is done or the windows end.
        never: Rooms that can't be called as things are set, by code, and why (`schedule.Planner.obstacles`).
    """

    calls: int
    starts_at: float
    done_at: float | None
    done: int
    never: Mapping[str, str]


def plannables(inventory: Inventory, profiles: Mapping[str, Profile]) -> list[Plannable]:
    """Return the testable sites as the schedule sees them, in the list's order."""
    plans = []
    for site in inventory.testable():
        profile = profiles[site.probe or ""]
        plans.append(
            Plannable(
                site=site.code,
                tier=site.tier,
                province=inventory.province_of(site.code),
                carrier=site.carrier,
                call_seconds=profile.longest_call_seconds,
                bandwidth_bps=profile.bandwidth_bps,
            )
        )
    return plans


def caps_beside(reference: Reference, caps: CapSet) -> CapSet:
    """Return what the calls to rooms may take: the reference's calls come out of the total bandwidth, not of the calls.

    A total bandwidth that the reference uses up leaves next to nothing, and `Planner.obstacles` then names every room.
    """
    total = caps.total
    if total.bandwidth_bps is None or not reference.responders:
        return caps
    left = max(total.bandwidth_bps - reference.bandwidth_bps, 1.0)
    return replace(caps, total=replace(total, bandwidth_bps=left))


def estimate_first_sweep(
    sites: Sequence[Plannable],
    usual_seconds: Mapping[str, float],
    *,
    event: Event | None,
    caps: CapSet,
    intervals: Intervals,
    start: float,
) -> SweepEstimate:
    """Play the first sweep through in virtual time.

    Args:
        sites: The sites to call.
        usual_seconds: How long a call to each site takes, by code.
        event: Its windows; None for no bounds in time.
        caps: What calls may take.
        intervals: How often sites are called.
        start: When it begins, POSIX seconds.
    """
    planner = Planner(sites, event, caps, intervals)
    never = planner.obstacles
    missing = {plan.site for plan in sites} - never.keys()
    total, now, first = len(missing), start, None
    ends: list[tuple[float, str]] = []
    for _ in range(_STEPS_PER_SITE * len(sites)):
        if not missing:
            break
        for site in planner.due(now):
            first = now if first is None else first
            heappush(ends, (now + usual_seconds[site], site))
        wakeup = planner.next_wakeup(now)
        upcoming = [moment for moment in (wakeup, ends[0][0] if ends else None) if moment is not None]
        if not upcoming:
            break
        now = max(now, min(upcoming))
        while ends and ends[0][0] <= now:
            _, site = heappop(ends)
            planner.finished(site, now, bad=False)
            missing.discard(site)
    done_at = None if missing else now
    return SweepEstimate(len(sites), start if first is None else first, done_at, total - len(missing), never)

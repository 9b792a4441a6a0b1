"""The order of a sweep: every province equally far on at any moment.

Owns positions of sites within a sweep and within their interval; must not know caps or windows. A pure function of the
sites and a seed, whatever the order of the site list.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b

from bridge_monitor.schedule.settings import Plannable


def sweep_positions(sites: Iterable[Plannable], seed: str) -> dict[str, float]:
    """Return each site's position in a sweep, evenly spaced in [0, 1).

    The sites of a province are shuffled and spread over the whole sweep at even distances, from an offset of its own;
    then all provinces are merged. So no province waits until another is done, each gets starts in proportion to its
    sites, and all are done together, which is also the shortest sweep where provinces have caps.
    """
    provinces: dict[str, list[tuple[float, str]]] = {}
    for site in sites:
        provinces.setdefault(site.province, []).append((_fraction(seed, "site", site.site), site.site))
    merged = [
        ((index + _fraction(seed, "province", province)) / len(members), province, code)
        for province, members in provinces.items()
        for index, (_, code) in enumerate(sorted(members))
    ]
    return {code: index / len(merged) for index, (_, _, code) in enumerate(sorted(merged))}


def next_slot(not_before: float, interval: float, position: float) -> float:
    """Return the first moment from `not_before` on that is `position` × `interval` past a multiple of `interval`.

    Sites called in such slots are spread over the interval as evenly as their positions are, and never drift.
    """
    offset = position * interval
    return math.ceil((not_before - offset) / interval) * interval + offset


def _fraction(seed: str, *name: str) -> float:
    """Return a number in [0, 1) that looks random and is the same on every run."""
    digest = blake2b("\0".join((seed, *name)).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48

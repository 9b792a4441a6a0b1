"""Checks how sites refer to each other: parents, tiers, where they attend, what a call to them crosses.

Owns the checks over the whole list; must not read it (`config.sites`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bridge_monitor.config.problems import Problems, guess_code, listing
from bridge_monitor.config.sites import SiteList
from bridge_monitor.domain import Site


def check_tree(sites: SiteList, tiers: tuple[str, ...] | None, problems: Problems) -> None:
    """Note every wrong reference of the list.

    Args:
        sites: The list.
        tiers: Tiers from the top down; None if they are not known: then their order is not checked.
        problems: Where its problems go.
    """
    _Checker(sites, tiers, problems).check()


class _Checker:
    def __init__(self, sites: SiteList, tiers: tuple[str, ...] | None, problems: Problems) -> None:
        self._list = sites
        self._sites = sites.sites
        self._tiers = tiers
        self._rank = {tier: rank for rank, tier in enumerate(tiers or ())}
        self._problems = problems

    def check(self) -> None:
        in_circle: set[str] = set()
        for circle in _circles(self._sites, lambda site: site.parent):
            in_circle.update(circle)
            self._note(circle[0], "cycle", circle=" → ".join((*circle, circle[0])))
        for circle in _circles(self._sites, lambda site: site.via or site.parent):
            if not in_circle.issuperset(circle):
                self._note(circle[0], "via_cycle", circle=" → ".join((*circle, circle[0])))
        for code in self._sites:
            if code in self._list.sound:
                site = self._sites[code]
                if code not in in_circle:
                    self._check_parent(site)
                self._check_attends_at(site)
                if site.via is not None and site.via not in self._sites:
                    self._note_unknown(code, "unknown_via", "via", site.via)

    def _note(self, code: str, key: str, /, **facts: Any) -> None:
        self._problems.add(self._list.file, self._list.lines[code], key, **facts)

    def _note_unknown(self, code: str, key: str, fact: str, other: str) -> None:
        if self._list.complete:
            self._note(code, key, guess=guess_code(other, self._sites), **{fact: other})

    def _check_parent(self, site: Site) -> None:
        rank = self._rank.get(site.tier)
        if site.parent is None:
            if rank and self._tiers:
                self._note(site.code, "missing_parent", code=site.code, tier=site.tier, top=self._tiers[0])
            return
        if rank == 0:
            self._note(site.code, "top_has_parent", code=site.code, tier=site.tier)
            return
        parent = self._sites.get(site.parent)
        if parent is None:
            self._note_unknown(site.code, "unknown_parent", "parent", site.parent)
            return
        above = self._rank.get(parent.tier)
        if rank is not None and above is not None and above >= rank and self._tiers:
            facts = {"parent": parent.code, "parent_tier": parent.tier, "tier": site.tier}
            self._note(site.code, "tier_order", above=listing(self._tiers[:rank]), **facts)

    def _check_attends_at(self, site: Site) -> None:
        if site.attends_at is None:
            return
        host = self._sites.get(site.attends_at)
        if host is None:
            self._note_unknown(site.code, "unknown_attends_at", "host", site.attends_at)
        elif host is site:
            self._note(site.code, "attends_at_itself", code=site.code)
        elif host.attends_at is not None:
            self._note(site.code, "attends_at_chain", code=site.code, host=host.code, further=host.attends_at)


def _circles(sites: Mapping[str, Site], above: Callable[[Site], str | None]) -> Iterator[list[str]]:
    """Yield each circle of sites once, beginning with its first site in the list's order."""
    order = {code: place for place, code in enumerate(sites)}
    done: set[str] = set()
    for start in sites:
        way: dict[str, None] = {}
        code: str | None = start
        while code is not None and code in sites and code not in done and code not in way:
            way[code] = None
            code = above(sites[code])
        if code in way:
            codes = list(way)
            circle = codes[codes.index(str(code)) :]
            first = circle.index(min(circle, key=order.__getitem__))
            yield circle[first:] + circle[:first]
        done.update(way)

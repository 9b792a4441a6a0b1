"""Latest results, evidence and site states behind one interface.

Owns what is known of each site now; must not judge (the judge is passed in), read a clock, or be called from more than
one thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Protocol

from bridge_monitor.domain import Evidence, Grade, Inventory, Outcome, ProbeResult, Site, SiteGrade, SiteState

_BAD: Final = frozenset({Grade.FAILED, Grade.DEGRADED})


class Judge(Protocol):
    """Turns a site's state and a new result into its next state: `diagnosis.judge` with its settings bound."""

    def __call__(self, state: SiteState, result: ProbeResult, /, *, now: datetime) -> SiteState:
        """Return the state after the result; ``now`` is when its call ended."""


class Store(Protocol):
    """Where results go, and what is asked of them."""

    def replace_inventory(self, inventory: Inventory) -> None:
        """Keep the sites of this inventory: new ones begin untested, those that left are forgotten."""

    def add(self, result: ProbeResult, evidence: Evidence | None = None) -> SiteState | None:
        """Keep a result and what its call left behind; return the site's new state (None if no such site is kept)."""

    def latest(self, site: str) -> ProbeResult | None:
        """Return the newest result of a site, whatever it was."""

    def evidence(self, site: str) -> Evidence | None:
        """Return what the site's last failure left behind; it outlives later successes."""

    def state(self, site: str) -> SiteState | None:
        """Return what is known of one site now."""

    def states(self) -> Mapping[str, SiteState]:
        """Return all states by code, as an immutable picture that later results don't change."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Evidence, and whether it is a failure's (then only another failure replaces it)."""

    evidence: Evidence | None
    of_failure: bool


class MemoryStore:
    """A `Store` in memory: gone with the process.

    Args:
        inventory: The sites to keep.
        judge: Turns a state and a result into the next state.
    """

    def __init__(self, inventory: Inventory, judge: Judge) -> None:
        self._judge = judge
        self._states: dict[str, SiteState] = {}
        self._kept: dict[str, _Kept] = {}
        self._picture: Mapping[str, SiteState] | None = None
        self.replace_inventory(inventory)

    def replace_inventory(self, inventory: Inventory) -> None:
        """Keep the sites of this inventory: new ones begin untested, those that left are forgotten.

        A site that stays keeps its state and its evidence, unless it now attends elsewhere or no longer does.
        """
        self._states = {site.code: _state_after_reload(site, self._states.get(site.code)) for site in inventory}
        self._kept = {code: kept for code, kept in self._kept.items() if code in inventory}
        self._picture = None

    def add(self, result: ProbeResult, evidence: Evidence | None = None) -> SiteState | None:
        """Keep a result and what its call left behind.

        A refused call is no result of the site (nothing was sent), and is not kept. Nor is one of a site outside the
        inventory: a bare URI, or a site that left while it was being called.

        Returns:
            The site's state after the result; None if no such site is kept.
        """
        code = result.target.site
        before = self._states.get(code) if code is not None else None
        if code is None or before is None or result.outcome is Outcome.REFUSED:
            return before
        ended_at = result.started_at + timedelta(seconds=result.duration_seconds)
        after = self._judge(before, result, now=ended_at)
        self._states[code] = after
        self._picture = None
        self._keep(code, result, evidence)
        return after

    def latest(self, site: str) -> ProbeResult | None:
        """Return the newest result of a site, whatever it was."""
        state = self._states.get(site)
        return state.last if state else None

    def evidence(self, site: str) -> Evidence | None:
        """Return what the site's last failure left behind; it outlives later successes."""
        kept = self._kept.get(site)
        return kept.evidence if kept else None

    def state(self, site: str) -> SiteState | None:
        """Return what is known of one site now."""
        return self._states.get(site)

    def states(self) -> Mapping[str, SiteState]:
        """Return all states by code, as an immutable picture that later results don't change."""
        if self._picture is None:
            self._picture = MappingProxyType(dict(self._states))
        return self._picture

    def _keep(self, code: str, result: ProbeResult, evidence: Evidence | None) -> None:
        """Keep the evidence of a failure until the next one; of other calls that weren't good, until anything newer."""
        if result.grade in _BAD:
            self._kept[code] = _Kept(evidence, of_failure=True)
            return
        kept = self._kept.get(code)
        if evidence is not None and result.grade is not Grade.GOOD and not (kept and kept.of_failure):
            self._kept[code] = _Kept(evidence, of_failure=False)


def _state_after_reload(site: Site, before: SiteState | None) -> SiteState:
    elsewhere = site.attends_at is not None
    if before is not None and (before.grade is SiteGrade.ATTENDS_ELSEWHERE) == elsewhere:
        return before
    return SiteState(site.code, SiteGrade.ATTENDS_ELSEWHERE if elsewhere else SiteGrade.UNTESTED)

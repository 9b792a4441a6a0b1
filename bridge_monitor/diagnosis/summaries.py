"""Counts over the nation: the worst provinces with what leads there, the worst sites, the advised ones.

Owns counting and ranking; must not explain: counts are no incidents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge_monitor.domain import Inventory, Outcome, Site, SiteGrade, SiteState


@dataclass(frozen=True, slots=True)
class ProvinceSummary:
    """How the sites of one province stand.

    Attributes:
        province: Its code; empty for sites above all provinces.
        testable: Sites that test calls are placed to.
        tested: Those with a verdict: good, degraded or failed.
        good: Sites at that grade; so with the others.
        degraded: …
        failed: …
        busy: Never graded, and busy when last called.
        untested: Nothing known yet.
        attends_elsewhere: Sites whose people sit at another one; not among the testable.
        leading_outcome: What most of its failed sites fail with (degraded ones, if none failed); None if all are good.
        leading_reason: The most frequent reason of those.
        leading_carrier: The carrier with more of the failed (else degraded) sites than any other; None if no carrier
            leads, none is known, or all are good.
    """

    province: str
    testable: int
    tested: int
    good: int
    degraded: int
    failed: int
    busy: int
    untested: int
    attends_elsewhere: int
    leading_outcome: Outcome | None
    leading_reason: str | None
    leading_carrier: str | None

    @property
    def share_failed(self) -> float | None:
        """Failed ÷ tested; None while nothing is tested."""
        return self.failed / self.tested if self.tested else None


def by_province(states: Mapping[str, SiteState], inventory: Inventory) -> list[ProvinceSummary]:
    """Return each province's counts, the worst first: by share failed, then failed, degraded, code."""
    members: dict[str, list[Site]] = {}
    for site in inventory:
        members.setdefault(inventory.province_of(site.code), []).append(site)
    summaries = [_summarise(province, sites, states) for province, sites in members.items()]
    return sorted(summaries, key=lambda one: (-(one.share_failed or 0.0), -one.failed, -one.degraded, one.province))


def rank_worst(states: Mapping[str, SiteState], inventory: Inventory, limit: int) -> list[SiteState]:
    """Return the failed and degraded sites, the worst first, `limit` of them at most.

    Failed before degraded, sites that will speak before others, higher tiers before lower, then by code.
    """
    tiers = {tier: rank for rank, tier in enumerate(inventory.tiers)}

    def rank(state: SiteState) -> tuple[int, bool, int, str]:
        site = inventory[state.site]
        return -state.grade, not site.speaking, tiers.get(site.tier, len(tiers)), site.code

    bad = (state for state in states.values() if _is_bad(state) and state.site in inventory)
    return sorted(bad, key=rank)[:limit]


def advised_sites(states: Mapping[str, SiteState], inventory: Inventory) -> dict[str, list[str]]:
    """Return the codes of the sites with each advisory, in the inventory's order; no word of it is against a line."""
    found: dict[str, list[str]] = {}
    for site in inventory.testable():
        state = states.get(site.code)
        for advisory in state.last_valid.advisories if state and state.last_valid else ():
            found.setdefault(advisory, []).append(site.code)
    return found


def _is_bad(state: SiteState) -> bool:
    return state.grade in {SiteGrade.DEGRADED, SiteGrade.FAILED}


def _summarise(province: str, sites: Iterable[Site], states: Mapping[str, SiteState]) -> ProvinceSummary:
    grades: Counter[SiteGrade] = Counter()
    bad: dict[SiteGrade, list[tuple[Site, SiteState]]] = {SiteGrade.FAILED: [], SiteGrade.DEGRADED: []}
    elsewhere = 0
    for site in sites:
        elsewhere += site.attends_at is not None
        if not site.testable:
            continue
        state = states.get(site.code) or SiteState(site.code, SiteGrade.UNTESTED)
        grades[state.grade] += 1
        if state.grade in bad:
            bad[state.grade].append((site, state))
    leading = bad[SiteGrade.FAILED] or bad[SiteGrade.DEGRADED]
    outcome, reason = _leading_cause([state for _, state in leading])
    return ProvinceSummary(
        province=province,
        testable=grades.total(),
        tested=sum(grades[grade] for grade in (SiteGrade.GOOD, SiteGrade.DEGRADED, SiteGrade.FAILED)),
        good=grades[SiteGrade.GOOD],
        degraded=grades[SiteGrade.DEGRADED],
        failed=grades[SiteGrade.FAILED],
        busy=grades[SiteGrade.BUSY],
        untested=grades[SiteGrade.UNTESTED],
        attends_elsewhere=elsewhere,
        leading_outcome=outcome,
        leading_reason=reason,
        leading_carrier=_leading_carrier(site.carrier for site, _ in leading),
    )


def _leading_cause(states: Iterable[SiteState]) -> tuple[Outcome | None, str | None]:
    """Return the most frequent outcome, and the most frequent reason among results with it."""
    # A site's last evidence may be the first good call after many bad ones: that is no cause of its grade.
    causes = [
        (state.last_valid.outcome, state.last_valid.reason or "")
        for state in states
        if state.last_valid is not None and state.recent and state.recent[-1] is not SiteGrade.GOOD
    ]
    leading = _most_frequent(outcome for outcome, _ in causes)
    if leading is None:
        return None, None
    return Outcome(leading), _most_frequent(reason for outcome, reason in causes if outcome == leading)


def _leading_carrier(carriers: Iterable[str]) -> str | None:
    """Return the carrier named most often; of equals none, since being named is a reproach."""
    named = Counter(carrier for carrier in carriers if carrier).most_common(2)
    leads = len(named) == 1 or (len(named) == 2 and named[0][1] > named[1][1])
    return named[0][0] if leads else None


def _most_frequent(names: Iterable[str]) -> str | None:
    """Return the most frequent name, of equals the first in the alphabet; None for none or the empty one."""
    counts = Counter(names)
    return min(counts, key=lambda name: (-counts[name], name), default=None) or None

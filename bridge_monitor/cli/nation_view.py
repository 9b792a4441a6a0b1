"""The nation as a person reads it: progress of the sweep, the worst provinces, the sites that fail and why.

Owns the drawing of many results; what is worst is decided by `diagnosis`.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridge_monitor.cli.texts import text
from bridge_monitor.diagnosis import ProvinceSummary, advised_sites, by_province, rank_worst
from bridge_monitor.domain import Grade, Inventory, SiteGrade, SiteState, Snapshot
from bridge_monitor.domain.wording import Lang, advisory_text, outcome_text, owner_text, site_grade_text

STYLES: Final = {
    SiteGrade.GOOD: "green",
    SiteGrade.DEGRADED: "yellow",
    SiteGrade.FAILED: "red",
    SiteGrade.BUSY: "cyan",
    SiteGrade.UNTESTED: "white",
    SiteGrade.ATTENDS_ELSEWHERE: "dim",
}
_ORDER: Final = (SiteGrade.GOOD, SiteGrade.DEGRADED, SiteGrade.FAILED, SiteGrade.BUSY, SiteGrade.UNTESTED)


def progress_line(snapshot: Snapshot, lang: Lang, elapsed: float, *, width: int = 40) -> RenderableType:
    """Return one line: how far the sweep is, how many sites are good, degraded, failed, busy, and calls up now."""
    counts = count_grades(snapshot)
    sweep = snapshot.sweep
    line = Table.grid(padding=(0, 1))
    facts = Text()
    for grade in _ORDER[:4]:
        facts.append(f" {counts[grade]} {site_grade_text(grade, lang)}", style=STYLES[grade])
    line.add_row(
        ProgressBar(total=max(sweep.total, 1), completed=sweep.done, width=width),
        f"{sweep.done}/{sweep.total}",
        facts,
        Text(f"{snapshot.calls_in_flight} {text('calls_up', lang)}", style="dim"),
        Text(text("seconds", lang, seconds=f"{elapsed:.0f}"), style="dim"),
    )
    return line


def count_grades(snapshot: Snapshot) -> Counter[SiteGrade]:
    """Return how many testable sites stand at each grade."""
    return Counter(snapshot.states[site.code].grade for site in snapshot.inventory.testable())


def worst(snapshot: Snapshot, lang: Lang, *, provinces: int = 8, sites: int = 12) -> RenderableType:
    """Return the worst provinces with their leading cause, and the worst sites with theirs."""
    inventory = snapshot.inventory
    summaries = [summary for summary in by_province(snapshot.states, inventory) if summary.failed or summary.degraded]
    ranked = rank_worst(snapshot.states, inventory, limit=len(snapshot.states))
    if not ranked:
        return Text(text("none_failing", lang), style="green")
    parts: list[RenderableType] = []
    if len(summaries) > 1:
        parts.append(_provinces(summaries[:provinces], inventory, lang))
    parts.append(_sites(ranked[:sites], inventory, lang))
    if len(ranked) > sites:
        parts.append(Text(text("more", lang, count=len(ranked) - sites), style="dim"))
    return Group(*parts)


def advisory_lines(snapshot: Snapshot, lang: Lang, *, sites: int = 8) -> list[str]:
    """Return a line for each advisory: how many rooms have it, what it says, and the first rooms' codes."""
    lines = []
    for advisory, codes in sorted(advised_sites(snapshot.states, snapshot.inventory).items()):
        named = ", ".join(codes[:sites]) + (", …" if len(codes) > sites else "")
        lines.append(text("advised", lang, count=len(codes), what=advisory_text(advisory, lang), sites=named))
    return lines


def _provinces(summaries: list[ProvinceSummary], inventory: Inventory, lang: Lang) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, show_edge=False, title=text("worst_provinces", lang), title_justify="left")
    table.add_column(text("province", lang))
    for column in ("tested", "failed", "degraded"):
        table.add_column(text(column, lang), justify="right")
    table.add_column(text("cause", lang))
    for summary in summaries:
        cause = outcome_text(summary.leading_outcome, summary.leading_reason, lang) if summary.leading_outcome else ""
        table.add_row(
            f"{summary.province} {inventory[summary.province].name}" if summary.province in inventory else "–",
            str(summary.tested),
            Text(str(summary.failed), style="red" if summary.failed else "dim"),
            Text(str(summary.degraded), style="yellow" if summary.degraded else "dim"),
            cause + (f" ({summary.leading_carrier})" if summary.leading_carrier else ""),
        )
    return table


def _sites(ranked: list[SiteState], inventory: Inventory, lang: Lang) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, show_edge=False, title=text("failing_sites", lang), title_justify="left")
    for column in ("site", "province", "carrier", "cause_of_site", "owner"):
        table.add_column(text(column, lang))
    for state in ranked:
        site = inventory[state.site]
        province = inventory.get(inventory.province_of(state.site))
        cause, owner = _cause(state, lang)
        table.add_row(
            Text(f"{site.code} {site.name}", style=STYLES[state.grade]),
            province.name if province else "",
            site.carrier,
            cause,
            owner,
        )
    return table


def _cause(state: SiteState, lang: Lang) -> tuple[str, str]:
    """Return why a site is not good, and whose it is."""
    last = state.last_valid or state.last
    if last is None:
        return "", ""
    if last.grade is Grade.GOOD:
        # The verdict waits for another good call: its old cause is gone, and nobody's to mend any more.
        return text("good_again", lang), ""
    return outcome_text(last.outcome, last.reason, lang), owner_text(last.outcome, last.reason, lang)

"""``check-config``: every error of every file at once, or what will happen.

Owns the drawing of the summary; its figures are `config.summary`'s.
"""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge_monitor import config as configuration_files
from bridge_monitor.cli.console import EXIT_GOOD, EXIT_UNKNOWN, grouped, messages, output, show_problems
from bridge_monitor.cli.texts import text
from bridge_monitor.config.summary import Roster, SiteCounts, SpanLine, Summary, summarise
from bridge_monitor.domain.wording import Lang, phase_text
from bridge_monitor.errors import ConfigError
from bridge_monitor.net import clock

_WEEKDAYS: Final[dict[str, tuple[str, ...]]] = {
    "vi": ("thứ Hai", "thứ Ba", "thứ Tư", "thứ Năm", "thứ Sáu", "thứ Bảy", "Chủ nhật"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}


def run_check(folder: Path, lang: Lang, *, as_json: bool) -> int:
    """Check the folder; 0 with a summary, 3 with every error."""
    now = clock.utc(clock.posix_now())
    try:
        configuration = configuration_files.load(folder, now=now, lang=lang)
    except ConfigError as error:
        if as_json:
            problems = [dataclasses.asdict(problem) for problem in error.problems]
            output().out(json.dumps({"problems": problems}, ensure_ascii=False), highlight=False)
        show_problems(error, lang)
        return EXIT_UNKNOWN
    for warning in configuration.warnings:
        messages().print(str(warning), style="yellow")
    summary = summarise(configuration, now)
    if as_json:
        output().out(json.dumps(dataclasses.asdict(summary), default=_plain, ensure_ascii=False), highlight=False)
    else:
        _draw(summary, output(), lang)
    return EXIT_GOOD


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def moment(when: datetime, lang: Lang) -> str:
    """Return a date with its weekday, as people of the language write it."""
    weekday = _WEEKDAYS[lang][when.weekday()]
    if lang == "vi":
        return f"{when:%H:%M} {weekday}, ngày {when.day}/{when.month}/{when.year}"
    return f"{weekday} {when:%d %B %Y, %H:%M}"


def _draw(summary: Summary, console: Console, lang: Lang) -> None:
    console.print(Text(summary.title, style="bold"))
    console.print(text("now_is", lang, when=moment(summary.now, lang), zone=summary.zone), style="dim")
    console.print(text("phase_is", lang, phase=phase_text(summary.phase, lang)))
    console.print(_spans(summary, lang))
    console.print(_counts(summary, lang))
    _draw_load(summary, console, lang)
    _draw_accounts(summary, console, lang)
    _draw_first_sweep(summary, console, lang)
    _draw_roster(summary, console, lang)


def _spans(summary: Summary, lang: Lang) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for column in ("what", "from", "until", "calls_may_be_up"):
        table.add_column(text(column, lang))
    for span in summary.spans:
        table.add_row(
            Text(text("span_" + span.kind, lang), style="dim" if span.over else ""),
            moment(span.start, lang),
            moment(span.end, lang) + (f" ({text('over', lang)})" if span.over else ""),
            _callable(span, lang),
        )
    return table


def _callable(span: SpanLine, lang: Lang) -> str:
    if not span.callable:
        return text("never", lang)
    return ", ".join(f"{part.start:%H:%M %d/%m}–{part.end:%H:%M %d/%m}" for part in span.callable)


def _counts(summary: Summary, lang: Lang) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column(f"{text('tier', lang)} / {text('carrier', lang)}")
    for column in ("sites", "called", "attending", "untestable"):
        table.add_column(text(column, lang), justify="right")
    for counts in summary.tiers:
        table.add_row(counts.name, *_figures(counts, lang))
    table.add_row(text("all", lang), *_figures(summary.sites, lang), style="bold")
    table.add_section()
    for counts in summary.carriers:
        table.add_row(counts.name or text("no_carrier", lang), *_figures(counts, lang))
    return table


def _figures(counts: SiteCounts, lang: Lang) -> list[str]:
    figures = (counts.sites, counts.called, counts.attending, counts.not_testable)
    return [grouped(figure, lang) for figure in figures]


def _draw_load(summary: Summary, console: Console, lang: Lang) -> None:
    load = summary.load
    rate = "∞" if load.caps.calls_per_second is None else f"{load.caps.calls_per_second:g}"
    console.print(
        text("load", lang, rate=rate, at_once=load.calls_at_once, mbit=f"{load.bandwidth_bps / 1e6:.1f}"),
    )
    console.print(
        text(
            "load_province", lang, at_once=load.province_calls_at_once, mbit=f"{load.province_bandwidth_bps / 1e6:.1f}"
        ),
    )
    if summary.responders:
        names = ", ".join(f"{name} ({uri})" for name, uri in summary.responders)
        console.print(text("reference", lang, names=names, mbit=f"{summary.reference_bandwidth_bps / 1e6:.2f}"))


def _draw_accounts(summary: Summary, console: Console, lang: Lang) -> None:
    for account in summary.accounts:
        places = (("site", account.sites), ("province", account.provinces), ("carrier", account.carriers))
        parts = [f"{text('account_' + kind, lang)} {', '.join(names)}" for kind, names in places if names]
        line = text(
            "account",
            lang,
            realm=account.realm,
            user=account.user,
            where="; ".join(parts) or text("account_all", lang),
            source=text("secret_" + account.source, lang),
        )
        if not account.at_hand:
            line += text("secret_missing", lang)
        # What an operator wrote is no markup.
        console.print(Text(line, style="" if account.at_hand else "yellow"))


def _draw_first_sweep(summary: Summary, console: Console, lang: Lang) -> None:
    sweep = summary.first_sweep
    if sweep.starts_at is None:
        console.print(text("sweep_never", lang), style="yellow")
    elif sweep.done_at is None:
        console.print(text("sweep_too_long", lang, done=sweep.done, calls=sweep.calls), style="yellow")
    else:
        console.print(
            text(
                "sweep_done",
                lang,
                calls=sweep.calls,
                start=moment(sweep.starts_at, lang),
                end=moment(sweep.done_at, lang),
                takes=str(sweep.takes).split(".", maxsplit=1)[0],
            ),
            style="green",
        )
    for code, reason in sweep.never[:10]:
        console.print(text("sweep_obstacle", lang, site=code, reason=reason), style="yellow")


def _draw_roster(summary: Summary, console: Console, lang: Lang) -> None:
    for key, roster in (("roster_provinces", summary.provinces), ("roster_carriers", summary.carrier_contacts)):
        console.print(
            text(key, lang, in_time=len(roster.in_time), late=len(roster.late), missing=len(roster.missing))
            + _missing(roster)
        )


def _missing(roster: Roster) -> str:
    if not roster.missing:
        return ""
    shown = ", ".join(roster.missing[:12])
    return f" ({shown}{', …' if len(roster.missing) > 12 else ''})"

"""``sweep``: each chosen site called once, with live progress and a table of what fails.

Owns the choice of sites and the waiting for the daemon's slots; calls are the runner's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.live import Live

from bridge_monitor import config as configuration_files
from bridge_monitor.cli.console import (
    EXIT_DEGRADED,
    EXIT_FAILED,
    EXIT_GOOD,
    EXIT_UNKNOWN,
    messages,
    output,
    refuse,
    run_interruptibly,
    show_problems,
)
from bridge_monitor.cli.nation_view import advisory_lines, count_grades, progress_line, worst
from bridge_monitor.cli.texts import refusal, text
from bridge_monitor.config import Configuration
from bridge_monitor.daemon.centre import CallCentre, CentreSettings, open_centre
from bridge_monitor.daemon.collector import settle_collector
from bridge_monitor.daemon.control import daemon_slot
from bridge_monitor.daemon.service import Service, narrowed
from bridge_monitor.domain import Outcome, SiteGrade, Snapshot
from bridge_monitor.domain.wording import Lang, invalid_text
from bridge_monitor.errors import ConfigError, LocalFaultError, RefusedError
from bridge_monitor.net import clock
from bridge_monitor.probes.runner import PlaceCall
from bridge_monitor.probes.shapes import CallSite, Finished, refused
from bridge_monitor.schedule import timetable

_REDRAW_SECONDS: Final = 0.25
_SLOT_PAUSE_SECONDS: Final = 0.5
_CLOSED_LOOK_SECONDS: Final = 0.5
_PASSING: Final = frozenset({"cap", "site_in_call"})


@dataclass(frozen=True, slots=True)
class Choice:
    """Which sites: those of these provinces, of these tiers, and with these codes; empty means all."""

    provinces: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()

    def of(self, configuration: Configuration) -> frozenset[str]:
        """Return the codes of the testable sites chosen."""
        inventory = configuration.inventory
        return frozenset(
            site.code
            for site in inventory.testable()
            if (not self.provinces or inventory.province_of(site.code) in self.provinces)
            and (not self.tiers or site.tier in self.tiers)
            and (not self.sites or site.code in self.sites)
        )

    def unknown(self, configuration: Configuration) -> tuple[str, str, str] | None:
        """Return (option, value, what there is) of the first value that the configuration does not have."""
        inventory = configuration.inventory
        for tier in self.tiers:
            if tier not in inventory.tiers:
                return "--tier", tier, ", ".join(inventory.tiers)
        provinces = [site.code for site in inventory if inventory.province_of(site.code) == site.code]
        for province in self.provinces:
            if province not in provinces:
                return "--province", province, ", ".join(provinces[:70])
        for code in self.sites:
            if code not in inventory:
                return "--site", code, f"{len(inventory)} sites (bridge-monitor sites list)"
        return None


def run_sweep(folder: Path, choice: Choice, lang: Lang, state_dir: Path | None, *, as_json: bool) -> int:
    """Call each chosen site once; return the exit code of the whole."""
    try:
        configuration = configuration_files.load(folder, now=clock.utc(clock.posix_now()), lang=lang)
    except ConfigError as error:
        show_problems(error, lang)
        return EXIT_UNKNOWN
    wrong = choice.unknown(configuration)
    if wrong is not None:
        refuse(text("unknown_choice", lang, option=wrong[0], value=wrong[1], known=wrong[2]))
    codes = choice.of(configuration)
    if not codes:
        refuse(text("nothing_to_call", lang))
    chosen = narrowed(configuration, codes)
    reason = timetable(chosen.event).refusal(clock.posix_now(), _shortest_call(chosen))
    if reason is not None:
        refuse(text("refused", lang, reason=reason, why=refusal(reason, lang)))
    settings = CentreSettings.of(chosen, state_dir, by_hand=True)
    settings = replace(settings, calls_at_once=min(settings.calls_at_once, len(codes)))
    try:
        return run_interruptibly(_sweep(chosen, settings, lang, as_json=as_json))
    except LocalFaultError as error:
        refuse(text("local_fault", lang, why=error))


async def _sweep(configuration: Configuration, settings: CentreSettings, lang: Lang, *, as_json: bool) -> int:
    async with open_centre(settings) as centre:
        settle_collector()
        service = Service(configuration, centre, place=_through_daemon(centre))
        notes = _Notes(service, lang, as_json=as_json)
        sweeping = asyncio.ensure_future(service.runner.run(until_swept=True))
        closing = asyncio.ensure_future(_until_closed(service, configuration))
        watching = asyncio.ensure_future(service.reference.run())
        try:
            async with show_progress(service.snapshot, lang):
                await asyncio.wait({sweeping, closing}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            messages().print(text("interrupted", lang))
        closing.cancel()
        watching.cancel()
        await service.runner.stop()
        await sweeping
        await asyncio.gather(watching, return_exceptions=True)
        notes.conclude()
        return sweep_exit_code(service.snapshot())


def sweep_exit_code(snapshot: Snapshot) -> int:
    """Return 2 if a site failed, else 1 if one is degraded or busy, else 3 if one could not be tested, else 0."""
    counts = count_grades(snapshot)
    if counts[SiteGrade.FAILED]:
        return EXIT_FAILED
    if counts[SiteGrade.DEGRADED] or counts[SiteGrade.BUSY]:
        return EXIT_DEGRADED
    return EXIT_UNKNOWN if counts[SiteGrade.UNTESTED] else EXIT_GOOD


async def _until_closed(service: Service, configuration: Configuration) -> None:
    """Return when no further call may be started and none is up: the next window may be a night away, or never come."""
    if all(site.code in service.plan.obstacles for site in configuration.inventory.testable()):
        return
    shortest = _shortest_call(configuration)
    table = timetable(configuration.event)
    # The end of a window is no event that anybody could set.
    while service.runner.in_flight or table.refusal(clock.posix_now(), shortest) is None:  # noqa: ASYNC110 - see above
        await asyncio.sleep(_CLOSED_LOOK_SECONDS)


def _shortest_call(configuration: Configuration) -> float:
    sites = configuration.inventory.testable()
    return min(configuration.profiles[site.probe or ""].longest_call_seconds for site in sites)


class _Notes:
    """What is said of a sweep: each result as JSON while it runs, or the tables at its end."""

    def __init__(self, service: Service, lang: Lang, *, as_json: bool) -> None:
        self._service = service
        self._lang = lang
        self._as_json = as_json
        self._refused: Counter[str] = Counter()
        self._invalid: Counter[str] = Counter()
        self._started = clock.posix_now()
        service.on_result = self._note

    def _note(self, finished: Finished) -> None:
        result = finished.result
        if result.outcome is Outcome.REFUSED:
            self._refused[result.reason or ""] += 1
        self._invalid.update(result.invalid)
        if self._as_json:
            output().out(json.dumps(result.to_dict(), ensure_ascii=False), highlight=False)

    def conclude(self) -> None:
        """Say what was found, and who was not called and why."""
        snapshot, lang, console = self._service.snapshot(), self._lang, messages()
        if not self._as_json:
            output().print(worst(snapshot, lang, sites=50))
            output().print(self._total(snapshot), style="bold")
            for line in advisory_lines(snapshot, lang):
                output().print(line, style="cyan")
        for site, reason in self._service.plan.obstacles.items():
            console.print(
                text("refused_site", lang, site=site, reason=reason, why=refusal(reason, lang)), style="yellow"
            )
        for reason, count in self._refused.most_common():
            why = refusal(reason, lang)
            console.print(text("refused_count", lang, count=count, reason=reason, why=why), style="yellow")
        for reason, count in self._invalid.most_common():
            console.print(text("invalid_count", lang, count=count, why=invalid_text(reason, lang)), style="magenta")
        left = snapshot.sweep.total - snapshot.sweep.done
        if left:
            console.print(text("sweep_cut", lang, count=left), style="yellow")

    def _total(self, snapshot: Snapshot) -> str:
        counts = count_grades(snapshot)
        return text(
            "sweep_total",
            self._lang,
            seconds=f"{clock.posix_now() - self._started:.0f}",
            **{grade.name.lower(): counts[grade] for grade in SiteGrade},
        )


@contextlib.asynccontextmanager
async def show_progress(snapshot: Callable[[], Snapshot], lang: Lang) -> AsyncIterator[None]:
    """Draw the sweep's progress while the block runs, on a terminal; nothing when piped."""
    console = messages()
    if not console.is_terminal:
        yield
        return
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def redraw(live: Live) -> None:
        while True:
            live.update(progress_line(snapshot(), lang, loop.time() - started), refresh=True)
            await asyncio.sleep(_REDRAW_SECONDS)

    with Live(console=console, auto_refresh=False, transient=False) as live:
        drawing = asyncio.ensure_future(redraw(live))
        try:
            yield
        finally:
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)
            live.update(progress_line(snapshot(), lang, loop.time() - started), refresh=True)


def _through_daemon(centre: CallCentre) -> PlaceCall:
    """Place calls only with the running daemon's slot, so that its caps hold over both processes."""
    state_dir, vantage = centre.settings.state_dir, centre.settings.vantage

    async def place(site: CallSite) -> Finished:
        while True:
            try:
                async with daemon_slot(state_dir, site.target.site or "") as slot:
                    finished = await centre.place(site)
                    if slot is not None:
                        await slot.tell(finished.result, finished.evidence)
                    return finished
            except RefusedError as error:
                if error.reason not in _PASSING:
                    return refused(site, error.reason, vantage=vantage)
            except LocalFaultError:
                return refused(site, "daemon_silent", vantage=vantage)
            await asyncio.sleep(_SLOT_PAUSE_SECONDS)

    return place

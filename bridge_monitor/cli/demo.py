"""``demo``: a simulated nation and the daemon on one machine, and what the daemon finds of the planted faults.

Owns the staging (dates shifted, caps raised, a child that simulates); what it shows is the real daemon's.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.live import Live

from bridge_monitor import config as configuration_files
from bridge_monitor.cli.console import EXIT_GOOD, EXIT_UNKNOWN, configure_log, messages, output, refuse, show_problems
from bridge_monitor.cli.nation_view import count_grades, progress_line, worst
from bridge_monitor.cli.simulate import PARENT_VARIABLE, load_plan
from bridge_monitor.cli.texts import text
from bridge_monitor.config import Configuration, shift_event
from bridge_monitor.daemon.centre import CentreSettings, open_centre
from bridge_monitor.daemon.collector import settle_collector
from bridge_monitor.daemon.service import Service, narrowed
from bridge_monitor.domain import Grade, Outcome, ProbeResult, SiteGrade, Snapshot
from bridge_monitor.domain.wording import Lang
from bridge_monitor.errors import ConfigError, LocalFaultError
from bridge_monitor.net import clock
from bridge_monitor.probes.reference import Reference
from bridge_monitor.probes.shapes import Finished
from bridge_monitor.schedule import Caps, CapSet
from bridge_monitor.sim import Fault, assign, expected, is_certain
from bridge_monitor.web import Server

FIRST_SWEEP_SECONDS: Final = 140.0
"""Starts of the first sweep are spread over this long, so that with the last calls it is done within three minutes."""

_CALLS_AT_ONCE: Final = 1500
_LEAST_CALLS_PER_SECOND: Final = 20.0
_PLAIN_LINE_SECONDS: Final = 10.0
_REDRAW_SECONDS: Final = 0.5
_SIMULATOR_START_SECONDS: Final = 60.0
_SIMULATOR_END_SECONDS: Final = 10.0


Truth = Mapping[str, tuple[Fault, ...]]
"""The faults planted, by site."""


@dataclass(frozen=True, slots=True)
class DemoWish:
    """What was asked for on the command line."""

    config: Path | None = None
    faults: Path | None = None
    sites: int | None = None
    duration: float | None = None
    seed: int | None = None
    port: int = 9810


def run_demo(wish: DemoWish, lang: Lang) -> int:
    """Show the demo; return 0 unless it could not be staged."""
    folder = wish.config or _shipped("vn-2024", lang)
    faults = wish.faults or (_shipped("faults", lang) / "demo.yaml" if wish.config is None else None)
    configure_log(logging.ERROR)
    try:
        real = configuration_files.load(folder, now=clock.utc(clock.posix_now()), lang=lang)
        staged = stage(real, wish.sites, clock.posix_now())
        truth = assign(load_plan(faults, real.inventory, wish.seed), real.inventory)
        with tempfile.TemporaryDirectory(prefix="bridge_monitor-demo-") as state:
            return asyncio.run(_demo(staged, truth, _Stage(folder, faults, Path(state), wish), lang))
    except ConfigError as error:
        show_problems(error, lang)
        return EXIT_UNKNOWN
    except LocalFaultError as error:
        refuse(text("local_fault", lang, why=error))


def stage(configuration: Configuration, sites: int | None, now: float) -> Configuration:
    """Return the configuration as the demo runs it: fewer rooms if asked for, dates shifted, caps raised.

    The rooms kept are spread evenly over the list, so that every part of the country is there.
    """
    testable = [site.code for site in configuration.inventory.testable()]
    if sites is not None and sites < len(testable):
        kept = frozenset(testable[index * len(testable) // sites] for index in range(sites))
        configuration = narrowed(configuration, kept)
        testable = sorted(kept)
    rate = max(_LEAST_CALLS_PER_SECOND, len(testable) / FIRST_SWEEP_SECONDS)
    caps = CapSet(total=Caps(calls_per_second=rate, calls_at_once=_CALLS_AT_ONCE), per_province=Caps())
    event = shift_event(configuration.event, clock.utc(now))
    # Nobody outside this machine is called, hence no reference beyond its uplink.
    return dataclasses.replace(configuration, caps=caps, event=event, reference=Reference())


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where the demo's parts come from."""

    folder: Path
    faults: Path | None
    state: Path
    wish: DemoWish


async def _demo(configuration: Configuration, truth: Truth, where: _Stage, lang: Lang) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    stopped = asyncio.ensure_future(stop.wait())
    async with _simulator(where) as simulator:
        ready = asyncio.ensure_future(_await_ready(simulator))
        await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            await ready
            async with open_centre(
                CentreSettings(
                    state_dir=where.state, sip_host="127.0.0.1", vantage="demo", calls_at_once=_CALLS_AT_ONCE
                )
            ) as centre:
                show = _Show(
                    configuration, truth, Service(configuration, centre, order_key=str(where.wish.seed or "")), lang
                )
                await _perform(show, simulator, stopped, where, lang)
                show.conclude()
            _show_simulation(await _end(simulator), lang)
        else:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
    stopped.cancel()
    messages().print(text("daemon_stopped", lang), style="dim")
    return EXIT_GOOD


async def _perform(
    show: _Show, simulator: asyncio.subprocess.Process, stopped: asyncio.Task[Any], where: _Stage, lang: Lang
) -> None:
    """Run the daemon's inside and draw it until the time is over, somebody stops it, or something ends by itself."""
    drawing = asyncio.ensure_future(show.draw())
    ended = asyncio.ensure_future(simulator.wait())
    serving = asyncio.ensure_future(
        show.service.run(state_dir=where.state, http=("127.0.0.1", where.wish.port), on_listening=show.introduce)
    )
    ends: set[asyncio.Task[Any]] = {drawing, stopped, serving, ended}
    await asyncio.wait(ends, timeout=where.wish.duration, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done() and not ended.done():
        show.say(text("interrupted", lang), style="dim")
    try:
        if ended.done():
            refuse(text("simulator_ended", lang, code=ended.result()))
        if drawing.done():
            await drawing
    finally:
        for task in (drawing, ended, serving):
            task.cancel()
        await asyncio.gather(drawing, ended, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await serving


class _Show:
    """What is seen of the demo."""

    def __init__(self, configuration: Configuration, truth: Truth, service: Service, lang: Lang) -> None:
        self.service = service
        self._configuration = configuration
        self._truth = {code: faults for code, faults in truth.items() if self._is_called(code)}
        self._lang = lang
        self._console = output()
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._first: dict[str, ProbeResult] = {}
        self._swept = False
        service.on_result = self._note

    def introduce(self, server: Server) -> None:
        """Say what this is, and where the metrics are."""
        settle_collector()
        rooms = sum(1 for _ in self._configuration.inventory.testable())
        window = self._configuration.event.rehearsals[0]
        zone = self._configuration.event.zone
        span = f"{window.start.astimezone(zone):%d/%m/%Y %H:%M} – {window.end.astimezone(zone):%d/%m/%Y %H:%M}"
        self.say(text("demo_intro", self._lang, rooms=rooms, faulty=len(self._truth)))
        self.say(text("demo_shift", self._lang, window=span))
        caps = self._configuration.caps.total
        rate = f"{caps.calls_per_second:.0f}" if caps.calls_per_second else "∞"
        self.say(text("demo_caps", self._lang, rate=rate, at_once=caps.calls_at_once))
        self.say(text("listening", self._lang, url=f"{server.url}/metrics"), style="bold")

    async def draw(self) -> None:
        """Draw progress until cancelled; when the first sweep is done, what was found."""
        if not self._console.is_terminal:
            while True:
                await asyncio.sleep(_PLAIN_LINE_SECONDS)
                messages().print(self._line(self.service.snapshot()))
                self._conclude_sweep()
        # The same console as what is said: lines go above the bar.
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(progress_line(self.service.snapshot(), self._lang, self._elapsed), refresh=True)
                self._conclude_sweep()
                await asyncio.sleep(_REDRAW_SECONDS)

    def conclude(self) -> None:
        """Show how it stands at the end."""
        self._conclude_sweep(force=True)
        if self._first_sweep_done(self.service.snapshot()):
            self._console.print(progress_line(self.service.snapshot(), self._lang, self._elapsed))

    def say(self, words: str, style: str | None = None) -> None:
        """Print a line above whatever is being drawn."""
        self._console.print(words, style=style, soft_wrap=True)

    @property
    def _elapsed(self) -> float:
        return self._loop.time() - self._started

    def _is_called(self, code: str) -> bool:
        site = self._configuration.inventory.get(code)
        return site is not None and site.testable

    def _note(self, finished: Finished) -> None:
        """Keep each room's first result that says something; an invalid one gives way to the next."""
        result, code = finished.result, finished.result.target.site
        if code is None or result.outcome in {Outcome.CANCELLED, Outcome.REFUSED}:
            return
        if code not in self._first or self._first[code].grade is Grade.INVALID:
            self._first[code] = result

    def _first_sweep_done(self, snapshot: Snapshot) -> bool:
        return snapshot.sweep.number > 1 or snapshot.sweep.finished_at is not None

    def _conclude_sweep(self, *, force: bool = False) -> None:
        """Say once how the first sweep ended, and how it compares with what was planted."""
        snapshot = self.service.snapshot()
        if self._swept or not (force or self._first_sweep_done(snapshot)):
            return
        self._swept = True
        sweep = snapshot.sweep
        counts = count_grades(snapshot)
        self._console.print(worst(snapshot, self._lang, provinces=10, sites=20))
        if self._first_sweep_done(snapshot) and sweep.started_at is not None:
            end = sweep.finished_at or snapshot.taken_at
            self.say(
                text(
                    "demo_done",
                    self._lang,
                    seconds=f"{(end - sweep.started_at).total_seconds():.1f}",
                    good=counts[SiteGrade.GOOD],
                    degraded=counts[SiteGrade.DEGRADED],
                    failed=counts[SiteGrade.FAILED],
                    busy=counts[SiteGrade.BUSY],
                ),
                style="bold",
            )
        self.say(text("demo_truth", self._lang, **self._compare()), style="bold")

    def _compare(self) -> dict[str, int]:
        """Count faults found and planted, healthy rooms marked, and invalid measurements, over the rooms called."""
        counts = Counter({"found": 0, "planted": 0, "wrong": 0, "invalid": 0})
        for code, result in self._first.items():
            site = self._configuration.inventory[code]
            limits = self._configuration.profiles[site.probe or ""].thresholds_for(site.tier)
            faults = self._truth.get(code, ())
            if result.grade is Grade.INVALID:
                counts["invalid"] += 1
            elif not faults:
                counts["wrong"] += (result.outcome, result.grade) != expected(None)
            elif len(faults) == 1 and faults[0].begin is faults[0].end is None and is_certain(faults[0], limits):
                counts["planted"] += 1
                counts["found"] += (result.outcome, result.grade) == expected(faults[0], limits)
        return dict(counts)

    def _line(self, snapshot: Snapshot) -> str:
        counts = count_grades(snapshot)
        sweep = snapshot.sweep
        return (
            f"{self._elapsed:.0f} s: {sweep.done}/{sweep.total}, {counts[SiteGrade.GOOD]} "
            f"{text('summary_good', self._lang)}, {counts[SiteGrade.DEGRADED]} {text('degraded', self._lang)}, "
            f"{counts[SiteGrade.FAILED]} {text('failed', self._lang)}, {snapshot.calls_in_flight} "
            f"{text('calls_up', self._lang)}"
        )


def _shipped(name: str, lang: Lang) -> Path:
    folder = Path(__file__).resolve().parents[2] / "configs" / name
    if not folder.is_dir():
        refuse(text("no_configs_here", lang, folder=folder))
    return folder


@contextlib.asynccontextmanager
async def _simulator(where: _Stage) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``simulate`` beside us, on the other core where there is one; it ends with us, however we end."""
    arguments = ["-m", "bridge_monitor", "simulate", "--config", str(where.folder), "--json"]
    if where.wish.seed is not None:
        arguments += ["--seed", str(where.wish.seed)]
    if where.faults is not None:
        arguments += ["--faults", str(where.faults)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C is ours to pass on: the rooms must answer until the last BYE.
        start_new_session=True,
        env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
    )
    try:
        yield process
    finally:
        await _end(process)


async def _end(simulator: asyncio.subprocess.Process) -> bytes:
    """End the simulator; return what it had still to say: its report, if it had come up."""
    if simulator.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            simulator.terminate()
    try:
        async with asyncio.timeout(_SIMULATOR_END_SECONDS):
            said, _ = await simulator.communicate()
    except TimeoutError:
        simulator.kill()
        said, _ = await simulator.communicate()
    return said


def _show_simulation(said: bytes, lang: Lang) -> None:
    """Say so if the simulator spoilt the show: then what was found says nothing."""
    for line in said.splitlines():
        report = json.loads(line)
        if report.get("void"):
            why = ", ".join(report["void_reasons"])
            output().print(text("simulation_void", lang, why=why), style="bold red")


async def _await_ready(process: asyncio.subprocess.Process) -> None:
    """Wait until every room answers.

    Raises:
        LocalFaultError: The simulator did not come up.
    """
    if process.stdout is None:
        raise LocalFaultError("simulate: no output to read")
    try:
        async with asyncio.timeout(_SIMULATOR_START_SECONDS):
            line = await process.stdout.readline()
    except TimeoutError:
        raise LocalFaultError("simulate: did not come up in a minute") from None
    if not line:
        raise LocalFaultError("simulate: ended at once; its message is above")

"""``run``: the daemon as a process: signals, log, listening line.

Owns the process's beginning and end; the work is `daemon.service`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from bridge_monitor import config as configuration_files
from bridge_monitor.cli.console import EXIT_GOOD, EXIT_UNKNOWN, configure_log, messages, refuse, show_problems
from bridge_monitor.cli.texts import refusal, text
from bridge_monitor.config import Configuration, contacts, settings
from bridge_monitor.daemon.centre import CallCentre, CentreSettings, open_centre, video_rates
from bridge_monitor.daemon.collector import settle_collector
from bridge_monitor.daemon.service import Service
from bridge_monitor.domain.wording import Lang
from bridge_monitor.errors import ConfigError, LocalFaultError, Problem, RefusedError
from bridge_monitor.net import clock
from bridge_monitor.web import Server

_LOG = structlog.get_logger(__name__)
_CALM_LOOK_SECONDS: Final = 600.0


def run_daemon(folder: Path, lang: Lang, state_dir: Path | None) -> int:
    """Run until SIGTERM or SIGINT; return the process's exit code."""
    configure_log(logging.INFO)
    loader = Loader(folder, lang)
    try:
        configuration = loader()
        for warning in configuration.warnings:
            _LOG.warning("configuration", problem=str(warning))
        return asyncio.run(_run(configuration, loader, CentreSettings.of(configuration, state_dir), lang))
    except ConfigError as error:
        show_problems(error, lang)
    except RefusedError as error:
        refuse(refusal(error.reason, lang))
    except LocalFaultError as error:
        refuse(text("local_fault", lang, why=error))
    return EXIT_UNKNOWN


class Loader:
    """Reads the configuration for the daemon, at its start and at each reload.

    The roster's contents stay out of what it reports, since that goes to the log. What can't change while calls are up
    stays as it was at the start, with a warning.

    Args:
        folder: The configuration's folder.
        lang: Language of the problems.
    """

    def __init__(self, folder: Path, lang: Lang) -> None:
        self._folder = folder
        self._lang = lang
        self._first: Configuration | None = None

    def __call__(self) -> Configuration:
        """Read the files.

        Raises:
            ConfigError: They can't be used.
        """
        now = clock.utc(clock.posix_now())
        try:
            fresh = configuration_files.load(self._folder, now=now, lang=self._lang)
        except ConfigError as error:
            raise ConfigError(tuple(self._without_roster(problem) for problem in error.problems)) from None
        if self._first is None:
            self._first = fresh
            return fresh
        return self._as_started(fresh, self._first)

    def _without_roster(self, problem: Problem) -> Problem:
        if problem.warning or Path(problem.file).name != contacts.FILE:
            return problem
        return replace(problem, what=text("roster_problem", self._lang), mend=text("roster_mend", self._lang))

    def _as_started(self, fresh: Configuration, first: Configuration) -> Configuration:
        """Keep what sockets, engine and results were made with."""
        changed = [key for key in ("listen", "vantage") if getattr(fresh, key) != getattr(first, key)]
        if fresh.reference.calls_at_once > first.reference.calls_at_once:
            # More responders need more rows than the engine was started with.
            changed.append("reference")
            fresh = replace(fresh, reference=first.reference)
        warnings = [self._warning("kept_until_restart", keys=", ".join(changed))] if changed else []
        rows = first.caps.total.calls_at_once or len(first.inventory)
        if video_rates(fresh) and not video_rates(first):
            rows //= 2  # a call with video needs two of them
        caps = fresh.caps
        if (caps.total.calls_at_once or len(fresh.inventory)) > rows:
            caps = replace(caps, total=replace(caps.total, calls_at_once=rows))
            warnings.append(self._warning("cap_above_start", rows=rows))
        return replace(
            fresh, listen=first.listen, vantage=first.vantage, caps=caps, warnings=(*fresh.warnings, *warnings)
        )

    def _warning(self, key: str, **values: object) -> Problem:
        file = str(self._folder / settings.FILE)
        return Problem(file, 0, text(key, self._lang, **values), text("restart_mend", self._lang), warning=True)


async def _run(configuration: Configuration, loader: Loader, wanted: CentreSettings, lang: Lang) -> int:
    loop = asyncio.get_running_loop()
    stop, reload = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # From the first moment on: a reload that comes early must not end the process, which is the kernel's default.
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    async with open_centre(wanted) as centre:
        if centre.orphans_ended:
            _LOG.info("orphans_ended", calls=centre.orphans_ended)
        service = Service(configuration, centre, load=loader, order_key=clock.token())
        beside = [
            asyncio.ensure_future(_reload_when_told(service, reload)),
            asyncio.ensure_future(_collect_when_calm(service)),
        ]
        if not stop.is_set():
            await _serve(service, centre, configuration, stop)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    left = centre.left_to_journal
    messages().print(text("calls_left" if left else "daemon_stopped", lang, count=left))
    return EXIT_GOOD


async def _serve(service: Service, centre: CallCentre, configuration: Configuration, stop: asyncio.Event) -> None:
    """Run the service until it fails or is told to stop."""

    def on_listening(server: Server) -> None:
        settle_collector()
        _LOG.info("listening", metrics=f"{server.url}/metrics", sites=len(configuration.inventory))

    http = (configuration.listen.http_host, configuration.listen.http_port)
    serving = asyncio.ensure_future(
        service.run(state_dir=centre.settings.state_dir, http=http, on_listening=on_listening)
    )
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        _LOG.info("stopping", calls=service.runner.in_flight)
        serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def _collect_when_calm(service: Service) -> None:
    while True:
        await asyncio.sleep(_CALM_LOOK_SECONDS)
        if not service.runner.in_flight:
            settle_collector()


async def _reload_when_told(service: Service, told: asyncio.Event) -> None:
    while True:
        await told.wait()
        told.clear()
        try:
            await service.reload()
        except Exception:  # noqa: BLE001 - our bug in a reload must not end the calls; it is logged whole
            _LOG.exception("reload_failed_inside")

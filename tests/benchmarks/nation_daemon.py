"""The daemon, as ``bridge-monitor run`` wires it, with a note of each first result: what the benchmarks measure.

``nation_daemon.py FOLDER``: prints ``{"listening": URL}`` when it calls, ``{"swept": true}`` once each room had its
first call, and on SIGTERM, last, everything it noted. The notes cost a few microseconds a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from held import Held

from bridge_monitor import config as configuration_files
from bridge_monitor.cli.console import configure_log
from bridge_monitor.daemon.centre import CentreSettings, open_centre
from bridge_monitor.daemon.collector import settle_collector
from bridge_monitor.daemon.service import Service
from bridge_monitor.net import clock
from bridge_monitor.probes.shapes import Finished
from bridge_monitor.web import Server


class Notes:
    """First results by site; how long the loop stood still, and who held it, if somebody asked to know."""

    def __init__(self, rooms: int) -> None:
        self.rooms = rooms
        self.results: dict[str, tuple[Any, ...]] = {}
        self.stalls: list[tuple[float, float]] = []
        self.held = Held()
        self.swept = asyncio.Event()

    def take(self, finished: Finished) -> None:
        """Note a result, if it is the site's first."""
        result, lateness = finished.result, finished.stream.lateness if finished.stream else None
        site = result.target.site
        if site is None or site in self.results:
            return
        started = result.started_at.timestamp()
        self.results[site] = (
            started,
            started + result.duration_seconds,
            str(result.outcome),
            str(result.grade),
            result.reason,
            result.invalid,
            lateness.p99_seconds if lateness else None,
        )
        if len(self.results) == self.rooms:
            self.swept.set()

    async def watch(self, period: float = 0.002) -> None:
        """Note each time the loop came back much later than it was asked to."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + period
            await asyncio.sleep(period)
            late = loop.time() - due
            if late > period:
                self.stalls.append((clock.posix_now(), late))


def tell(**what: Any) -> None:
    """Print one JSON line."""
    print(json.dumps(what), flush=True)  # noqa: T201 (the benchmark reads it)


async def serve(folder: Path, *, watch: bool) -> None:
    """Run until SIGTERM."""
    configuration = configuration_files.load(folder, now=clock.utc(clock.posix_now()))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    notes = Notes(sum(1 for _ in configuration.inventory.testable()))
    if watch:
        notes.held.watch()

    def on_listening(server: Server) -> None:
        settle_collector()
        tell(listening=server.url, engine=centre.equipment.engine.pid)

    async with open_centre(CentreSettings.of(configuration, None)) as centre:
        service = Service(configuration, centre)
        service.on_result = notes.take
        listen = configuration.listen
        serving = asyncio.ensure_future(
            service.run(
                state_dir=centre.settings.state_dir,
                http=(listen.http_host, listen.http_port),
                on_listening=on_listening,
            )
        )
        beside = [asyncio.ensure_future(notes.watch())] if watch else []
        beside.append(asyncio.ensure_future(stop.wait()))
        beside.append(asyncio.ensure_future(notes.swept.wait()))
        await asyncio.wait({serving, *beside[-2:]}, return_when=asyncio.FIRST_COMPLETED)
        tell(swept=len(notes.results))
        await stop.wait()
        for task in beside:
            task.cancel()
        stats = centre.equipment.engine.stats()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    tell(
        results=notes.results,
        stalls=notes.stalls,
        held={"stretches": notes.held.stretches, "cpu": notes.held.cpu},
        engine={"unmatched": stats.unmatched, "overflows": stats.socket_overflows, "short_sends": stats.short_sends},
    )


if __name__ == "__main__":
    configure_log(logging.WARNING)
    asyncio.run(serve(Path(sys.argv[1]), watch="watch" in sys.argv[2:]))

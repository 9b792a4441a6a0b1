"""``simulate``: the nation's rooms, answered for by this process.

Owns the process's beginning and end, and its report; the rooms are `sim`'s.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Final

from rich.console import Console

from bridge_monitor import config as configuration_files
from bridge_monitor.cli.console import EXIT_GOOD, EXIT_UNKNOWN, messages, output, refuse, show_problems
from bridge_monitor.cli.texts import text
from bridge_monitor.config import callable_spans
from bridge_monitor.daemon.collector import settle_collector
from bridge_monitor.domain import Inventory
from bridge_monitor.domain.wording import Lang
from bridge_monitor.errors import ConfigError, LocalFaultError
from bridge_monitor.net import clock
from bridge_monitor.sim import FaultPlan, Nation, NationReport, NationSettings, load_fault_plan, simulated_sites

_PR_SET_PDEATHSIG: Final = 1
PARENT_VARIABLE: Final = "BRIDGE_MONITOR_PARENT"
"""Set by a parent that wants the simulator to end with it, however it ends."""


def run_simulation(
    folder: Path, faults: Path | None, seed: int | None, duration: float | None, lang: Lang, *, as_json: bool
) -> int:
    """Answer until the time is over, SIGTERM or Ctrl-C; 3 if the run is void."""
    _follow_parent()
    try:
        configuration = configuration_files.load(folder, now=clock.utc(clock.posix_now()), lang=lang)
        plan = load_plan(faults, configuration.inventory, seed)
        _refuse_strangers(configuration.inventory, lang)
        windows = tuple((span.start.timestamp(), span.end.timestamp()) for span in callable_spans(configuration.event))
        nation = Nation(configuration.inventory, plan, NationSettings(windows=windows))
        return asyncio.run(_simulate(nation, duration, lang, as_json=as_json))
    except ConfigError as error:
        show_problems(error, lang)
        return EXIT_UNKNOWN
    except LocalFaultError as error:
        refuse(text("local_fault", lang, why=error))


def load_plan(faults: Path | None, inventory: Inventory, seed: int | None) -> FaultPlan:
    """Return the fault plan of a file, with another seed if one is given; without a file nothing is wrong.

    Raises:
        ConfigError: The file can't be used; every problem of it.
    """
    plan = FaultPlan() if faults is None else load_fault_plan(faults, inventory)
    return plan if seed is None else dataclasses.replace(plan, seed=seed)


def _refuse_strangers(inventory: Inventory, lang: Lang) -> None:
    ours = {room.code for room in simulated_sites(inventory)}
    for site in inventory.testable():
        if site.code not in ours:
            refuse(text("not_loopback", lang, site=site.code, endpoint=site.endpoint))


def _follow_parent() -> None:
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is not None:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):
            os.kill(os.getpid(), signal.SIGTERM)


async def _simulate(nation: Nation, duration: float | None, lang: Lang, *, as_json: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    await nation.start()
    try:
        settle_collector()
        rooms, faulty = len(nation.sites), len(nation.planned)
        if as_json:
            # The line a parent waits for: from now on every room answers.
            print(json.dumps({"simulating": rooms, "faulty": faulty}), flush=True)  # noqa: T201 - see above
        else:
            messages().print(text("simulating", lang, sites=rooms, faulty=faulty))
        try:
            async with asyncio.timeout(duration):
                await stop.wait()
        except TimeoutError:
            pass
    finally:
        await nation.stop()
    return _report(nation, output(), lang, as_json=as_json)


def _report(nation: Nation, console: Console, lang: Lang, *, as_json: bool) -> int:
    report = nation.report()
    if as_json:
        console.out(json.dumps(_plain(report)), highlight=False)
    elif report.void:
        console.print(text("simulation_void", lang, why=", ".join(report.void_reasons)), style="bold red")
    else:
        console.print(text("simulation_clean", lang), style="green")
    if report.calls_outside_window and not as_json:
        console.print(text("simulated_outside", lang, count=report.calls_outside_window), style="yellow")
    return EXIT_UNKNOWN if report.void else EXIT_GOOD


def _plain(report: NationReport) -> dict[str, object]:
    return {
        "seconds": report.seconds,
        "void": report.void,
        "void_reasons": report.void_reasons,
        "own": dataclasses.asdict(report.own),
        "packets": report.packets,
        "dialogs_open": report.dialogs_open,
        "calls_outside_window": report.calls_outside_window,
        "calls_answered": sum(truth.sip.answered for truth in report.sites.values()),
    }

"""``nation --calls N``: more and more calls at once, until this machine itself loses packets.

The engine has one core, a reflector in C the other, so that what is reached is the engine's end and not the simulated
nation's. What has to hold: a call that lost anything on this machine says so (it is invalid), at every load.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import harness
import streams

from bridge_monitor.net.engine import EngineSettings, MediaEngine
from bridge_monitor.rtp.report import StreamReport

_FIRST: Final = 500
_SECONDS: Final = 8.0


def run(arguments: list[str]) -> dict[str, Any]:
    """Step up to ``--calls`` and return where loss began."""
    parser = argparse.ArgumentParser(prog="scripts/bench nation --calls", description=__doc__)
    parser.add_argument("--calls", type=int, default=5000)
    options = parser.parse_args(arguments)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.sched_setaffinity(0, {harness.FAR_CORE})
    steps: list[tuple[Any, ...]] = []
    begins, untold, far_end_lost = None, 0, 0
    with tempfile.TemporaryDirectory() as place:
        bare = harness.c_loop_rate(Path(place))
        for calls in range(_FIRST, options.calls + 1, _FIRST):
            with harness.reflector(Path(place) / "reflector") as far:
                reports, cores = asyncio.run(_load(calls, far))
                dropped = far.counts()["dropped"]
            unsent = sum(_due() - report.packets_sent for report in reports)
            lost = sum(report.echo.lost if report.echo else report.packets_sent for report in reports)
            invalid = sum(bool(report.invalid) for report in reports)
            spoilt = sum(_is_lossy(report) and not report.invalid for report in reports)
            if begins is None and (unsent or lost > dropped or invalid):
                begins = calls
            if dropped:
                far_end_lost += 1  # whose packets those were nobody can tell: the step shows nothing of single calls
            else:
                untold += spoilt
            steps.append((calls, f"{cores:.2f}", unsent, lost, dropped, invalid, spoilt))
            harness.say(f"{calls} calls: {cores:.2f} cores, {lost} lost ({dropped} by the far end), {invalid} invalid")
    heads = ("calls at once", "cores", "not sent", "lost", "by the far end", "invalid calls", "lossy, not invalid")
    harness.table("One core for the engine, one for the far end", heads, steps)
    harness.say()
    return {
        "calls_at_once": options.calls,
        "loss_begins_at_calls": begins,
        "lossy_calls_not_invalid": untold,
        "steps": len(steps),
        "steps_the_far_end_spoilt": far_end_lost,
        "c_loop_packets_per_cpu_second": bare,
    }


def _due() -> int:
    return round(_SECONDS * 50)


def _is_lossy(report: StreamReport) -> bool:
    return report.packets_sent < _due() or report.echo is None or report.echo.lost > 0


async def _load(calls: int, far: harness.Reflector) -> tuple[list[StreamReport], float]:
    async with await MediaEngine.start(EngineSettings(rows=calls)) as engine:
        assert engine.pid is not None
        harness.pin(engine.pid, harness.NEAR_CORE)
        legs = []
        begun = time.monotonic()
        for number in range(calls):
            legs.append(streams.begin(engine, far, number, _SECONDS))
            if number % 50 == 49:
                await asyncio.sleep(0.02)
        cpu, at = harness.cpu_seconds(engine.pid), time.monotonic()
        await asyncio.sleep(max(0.5, _SECONDS - (at - begun) - 0.5))
        cores = (harness.cpu_seconds(engine.pid) - cpu) / (time.monotonic() - at)
        reports = await asyncio.gather(*(engine.finished(leg) for leg in legs))
    return list(reports), cores

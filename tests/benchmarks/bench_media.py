"""The media engine against a bare C loop and against sipp: packets per CPU-second under the same load.

All are measured in one run, in turns (engine, C loop, engine behind few addresses, sipp, and again), because the
machine's speed changes with what else it does. What counts is the processor time of the process that is measured;
of the engine only steady state, after every call has begun and before the first one ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import harness
import streams

from bridge_monitor.net.engine import EngineSettings, MediaEngine

HERE: Final = Path(__file__).resolve().parent
PACKETS_PER_SECOND: Final = 50
SHARED_ADDRESSES: Final = 63
"""One a province: all its rooms behind one address translator."""


@dataclass
class Series:
    """Good runs of one contender: packets per CPU-second, and what else is worth a column."""

    name: str
    rates: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)
    voids: int = 0
    note: str = ""


class VoidError(Exception):
    """This run proves nothing."""


Contender = Callable[[argparse.Namespace, Path], tuple[float, float, str]]
"""Runs once; returns packets per CPU-second, the cores it took, and a note. Raises `VoidError`."""


# --- ours -----------------------------------------------------------------------------------------------------------


def run_engine(options: argparse.Namespace, programs: Path, *, addresses: int) -> tuple[float, float, str]:
    """Measure the engine with its calls behind so many addresses."""
    with harness.reflector(programs / "reflector") as far:
        return asyncio.run(_engine(options, far, addresses))


async def _engine(options: argparse.Namespace, far: harness.Reflector, addresses: int) -> tuple[float, float, str]:
    calls, seconds = options.calls, options.seconds
    settings = EngineSettings(rows=calls, **({"tick_seconds": options.tick_ms / 1000} if options.tick_ms else {}))
    async with await MediaEngine.start(settings) as engine:
        assert engine.pid is not None
        harness.pin(engine.pid, harness.NEAR_CORE)
        legs = []
        for number in range(calls):
            legs.append(streams.begin(engine, far, number % addresses, 600.0))
            if number % 10 == 9:
                await asyncio.sleep(0.01)
        await asyncio.sleep(options.warm)
        far.counts()
        before, cpu, at = engine.stats(), harness.cpu_seconds(engine.pid), time.monotonic()
        await asyncio.sleep(seconds)
        after, cpu, took = engine.stats(), harness.cpu_seconds(engine.pid) - cpu, time.monotonic() - at
        counts = far.counts()
        rss = round(harness.pss_mb(engine.pid))
        for leg in legs:
            engine.stop(leg)
        reports = await asyncio.gather(*(engine.finished(leg) for leg in legs))
    if void := harness.why_void(counts):
        raise VoidError(void)
    sent, received = after.rtp_sent - before.rtp_sent, after.rtp_received - before.rtp_received
    # The window's edges fall between ticks: a whole turn of all calls may be on either side.
    if sent < (took * PACKETS_PER_SECOND - 2) * calls:
        raise VoidError(f"the engine sent {sent} of {took * PACKETS_PER_SECOND * calls:.0f} packets")
    if after.unmatched or after.socket_overflows:
        raise VoidError(f"{after.unmatched} unmatched, {after.socket_overflows} overflows")
    invalid = Counter(reason for report in reports for reason in report.invalid)
    if any(count > calls / 100 for count in invalid.values()):
        raise VoidError(f"invalid measurements: {', '.join(f'{count} {why}' for why, count in invalid.items())}")
    worst = max(report.lateness.p99_seconds for report in reports if report.lateness)
    rtts = [report.echo.rtt.median for report in reports if report.echo and report.echo.rtt]
    note = f"worst call's p99 lateness {worst * 1000:.1f} ms, RTT {statistics.median(rtts) * 1e6:.0f} µs, {rss} MB"
    return (sent + received) / cpu, cpu / took, note


# --- the C loop -----------------------------------------------------------------------------------------------------


def run_c_loop(options: argparse.Namespace, programs: Path) -> tuple[float, float, str]:
    """Measure the bare loop."""
    tick = options.tick_ms or EngineSettings().tick_seconds * 1000
    told = harness.c_loop(programs, calls=options.calls, tick_us=round(tick * 1000), seconds=options.seconds)
    if void := harness.why_void(told):
        raise VoidError(void)
    packets = told["sent"] + told["received"]
    if packets < 1.99 * options.calls * PACKETS_PER_SECOND * (options.seconds - 0.1):
        raise VoidError(f"only {packets} packets")
    return (
        packets / told["cpu_seconds"],
        told["cpu_seconds"] / options.seconds,
        f"latest tick {told['tick_late_us']} µs",
    )


# --- sipp -----------------------------------------------------------------------------------------------------------


def run_sipp(options: argparse.Namespace, programs: Path) -> tuple[float, float, str]:
    """Measure sipp's rtp_stream: what it sends, while every call is up, towards a far end that only counts."""
    with harness.reflector(programs / "reflector", "sink") as far, contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "silence.ulaw").write_bytes(b"\xff" * 8000 * 10)
        sip_port = harness.free_port_pair()
        scenario = (HERE / "sipp_answers.xml").read_text(encoding="ascii").replace("MEDIA_PORT", str(far.port))
        (directory / "answers.xml").write_text(scenario, encoding="ascii")
        shutil.copy(HERE / "sipp_streams.xml", directory / "streams.xml")
        common = ["-i", "127.0.0.1", "-nostdin", "-trace_err", "-max_socket", "60000"]
        answers = ["sipp", "-sf", "answers.xml", "-p", str(sip_port), *common]
        streams = ["sipp", "-sf", "streams.xml", "-p", str(sip_port + 1), "-l", str(options.sipp_calls)]
        streams += ["-r", "200", "-m", str(options.sipp_calls), "-rtp_threadtasks", "2000"]
        streams += ["-mi", "127.0.0.1", *common, f"127.0.0.1:{sip_port}"]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": directory}
        running = []
        for command, core in ((answers, harness.FAR_CORE), (streams, harness.NEAR_CORE)):
            running.append(subprocess.Popen(["taskset", "-c", str(core), *command], **silent))
            stack.callback(running[-1].wait)
            stack.callback(running[-1].kill)
            time.sleep(0.2)
        pid = running[-1].pid
        time.sleep(options.sipp_calls / 200 + 1.0)
        far.counts()
        cpu, at = harness.cpu_seconds(pid), time.monotonic()
        time.sleep(options.seconds)
        counts = far.counts()
        cpu, took = harness.cpu_seconds(pid) - cpu, time.monotonic() - at
        errors = [path.read_text(errors="replace") for path in directory.glob("streams_*_errors.log")]
        ended = running[-1].poll() is not None
    if counts["dropped"]:
        raise VoidError(f"the far end dropped {counts['dropped']}")
    sent = counts["received"]
    if not sent or ended:
        raise VoidError("sipp sent nothing" + "".join(errors)[:300])
    share = sent / (took * PACKETS_PER_SECOND * options.sipp_calls)
    return sent / cpu, cpu / took, f"{options.sipp_calls} calls, sends {share:.0%} of what is due, sending only"


# --- all together ---------------------------------------------------------------------------------------------------


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench media", description=__doc__)
    parser.add_argument("--calls", type=int, default=2000, help="calls at once, 50 packets/s each way (%(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured time of each run (%(default)s)")
    parser.add_argument("--warm", type=float, default=1.5, help="time before it, with all calls up (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="good runs of each contender (%(default)s)")
    parser.add_argument("--tick-ms", type=float, help="another tick than the engine's own, also for the C loop")
    parser.add_argument("--sipp-calls", type=int, default=1000, help="sipp's calls at once (%(default)s)")
    parser.add_argument("--only", action="append", help="leave out the other contenders; may be given more than once")
    return parser.parse_args(arguments)


def run(arguments: list[str]) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    options = _options(arguments)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.sched_setaffinity(0, {harness.FAR_CORE})  # starting and stopping calls is no part of what is measured
    contenders: dict[str, Contender] = {
        "engine": lambda o, p: run_engine(o, p, addresses=o.calls),
        "c_loop": run_c_loop,
        "engine_shared": lambda o, p: run_engine(o, p, addresses=SHARED_ADDRESSES),
        "sipp": run_sipp,
    }
    if shutil.which("sipp") is None:
        harness.say("sipp is not installed (Debian package sip-tester): left out")
        del contenders["sipp"]
    if options.only:
        contenders = {name: contender for name, contender in contenders.items() if name in options.only}
    series = {name: Series(name) for name in contenders}
    with tempfile.TemporaryDirectory() as place:
        programs = Path(place)
        for name in ("reflector", "loop"):
            harness.compile_c(name, programs)
        for _ in range(options.runs):
            for name, contender in contenders.items():
                _run_until_good(series[name], contender, options, programs)
    return _figures(options, series)


def _run_until_good(
    series: Series, contender: Contender, options: argparse.Namespace, programs: Path, tries: int = 20
) -> None:
    for _ in range(tries):
        try:
            rate, cores, note = contender(options, programs)
        except VoidError as void:
            series.voids += 1
            harness.say(f"{series.name:14} void: {void}")
            continue
        series.rates.append(rate)
        series.cores.append(cores)
        series.note = note
        harness.say(f"{series.name:14} {rate:9,.0f} packets per CPU-second, {cores:.3f} cores; {note}")
        return
    raise SystemExit(f"scripts/bench: {series.name} had no good run in {tries}: the machine is too busy")


def _figures(options: argparse.Namespace, series: dict[str, Series]) -> dict[str, Any]:
    rows = []
    figures: dict[str, Any] = {}
    for name, one in series.items():
        median = statistics.median(one.rates)
        figures[f"{name}_packets_per_cpu_second"] = round(median)
        figures[f"{name}_cores"] = round(statistics.median(one.cores), 3)
        spread = f"{min(one.rates):,.0f}–{max(one.rates):,.0f}"
        rows.append((name, f"{median:,.0f}", spread, f"{statistics.median(one.cores):.3f}", len(one.rates), one.voids))
    heads = ("contender", "packets/CPU-s", "range", "cores", "runs", "void")
    harness.table(f"{options.calls} calls × {PACKETS_PER_SECOND} packets/s both ways; medians", heads, rows)
    ratios = (
        ("ratio_to_c_loop", "engine", "c_loop", 0.80),
        ("ratio_to_sipp", "engine", "sipp", 2.5),
        ("ratio_shared_addresses", "engine_shared", "engine", 0.9),
    )
    compared = []
    for name, over, under, goal in ratios:
        if over in series and under in series:
            figures[name] = harness.ratio(series[over].rates, series[under].rates)
            compared.append((name, figures[name], f"≥ {goal}", "yes" if figures[name] >= goal else "NO"))
    if compared:
        harness.table("Ratios", ("ratio", "figure", "goal", "reached"), compared)
    harness.say()
    return figures

"""Complete calls (INVITE, 180, 200, ACK, BYE, 200) per CPU-second: our calling side against sipp's own.

Both call ``sipp -sn uas`` at the same pace, in turns, in one run; the caller has one core, the called side the other.
Ours is the product's way of a call without its media (`signalling_caller` says exactly what is in it), from the first
call until the last transaction's timers have run out. sipp is ``sipp -sn uac`` in the middle of its run. A run in which
a call failed, a message had to be sent twice or the pace was not held is void and repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import harness

_DRAIN_SECONDS: Final = 33.0
"""Timer M, 64·T1, holds an answered INVITE's transaction (RFC 6026 §7.2): letting it go is part of a call's cost."""
_MARGIN_SECONDS: Final = 0.5
"""sipp isn't measured so long after its start and before its end."""
_SLOW: Final = 1.03
"""A run that took this much longer than the pace allows was offered less than the others."""
_LATE_SECONDS: Final = 0.25
_MESSAGES: Final = 6


class VoidError(Exception):
    """This run proves nothing."""


@dataclass
class Series:
    """Good runs of one contender: calls per CPU-second."""

    rates: list[float] = field(default_factory=list)
    voids: int = 0


def run_ours(options: argparse.Namespace, uas_port: int, _folder: Path) -> float:
    """Measure our calling side once; return calls per CPU-second."""
    command = [harness.HERE / "signalling_caller.py", uas_port, options.calls, options.rate, options.drain]
    with subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True, cwd=harness.HERE.parent.parent
    ) as caller:
        harness.pin(caller.pid, harness.NEAR_CORE)
        output, _ = caller.communicate()
    if caller.returncode:
        raise SystemExit(f"scripts/bench: our calling side failed with status {caller.returncode}")
    told = json.loads(output)
    if told["completed"] != options.calls or told["left_open"]:
        raise VoidError(f"{told['failed']} calls failed, {told['left_open']} left open")
    if told["repeated"]:
        raise VoidError(f"{told['repeated']} messages came or went twice")
    if told["latest"] > _LATE_SECONDS or told["seconds"] > _SLOW * options.calls / options.rate + 0.1:
        raise VoidError(f"the pace was not held: a call began {told['latest']:.2f} s late")
    return float(told["completed"] / told["cpu_seconds"])


def run_sipp(options: argparse.Namespace, uas_port: int, folder: Path) -> float:
    """Measure sipp's calling side once; return calls per CPU-second."""
    statistic = folder / "uac.csv"
    statistic.unlink(missing_ok=True)
    command = ["sipp", "-sn", "uac", "-r", options.rate, "-m", options.calls, "-i", "127.0.0.1", "-nostdin"]
    command += ["-l", options.calls, "-trace_stat", "-stf", statistic, "-fd", "1", f"127.0.0.1:{uas_port}"]
    planned = options.calls / options.rate
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    ) as caller:
        harness.pin(caller.pid, harness.NEAR_CORE)
        time.sleep(_MARGIN_SECONDS)
        cpu, begun = harness.cpu_seconds(caller.pid), time.monotonic()
        time.sleep(planned - 2 * _MARGIN_SECONDS)
        cpu, took = harness.cpu_seconds(caller.pid) - cpu, time.monotonic() - begun
        caller.wait()
        seconds = time.monotonic() - begun + _MARGIN_SECONDS
    with statistic.open(encoding="ascii", newline="") as file:
        last = list(csv.DictReader(file, delimiter=";"))[-1]
    if caller.returncode or int(last["SuccessfulCall(C)"]) != options.calls:
        raise VoidError(f"sipp ended with status {caller.returncode}, {last['FailedCall(C)']} calls failed")
    if int(last["Retransmissions(C)"]):
        raise VoidError(f"sipp sent {last['Retransmissions(C)']} messages twice")
    if seconds > _SLOW * planned + 0.5:
        raise VoidError(f"sipp took {seconds:.1f} s for {planned:.1f} s of calls")
    # It holds an even pace: what it was offered in the measured time, it did.
    return float(options.rate * took / cpu)


@contextlib.contextmanager
def answering(folder: Path) -> Iterator[int]:
    """Run ``sipp -sn uas`` on the far core; give its port."""
    port = harness.free_port_pair()
    command = ["sipp", "-sn", "uas", "-i", "127.0.0.1", "-p", str(port), "-nostdin"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder) as far:
        harness.pin(far.pid, harness.FAR_CORE)
        time.sleep(0.3)
        try:
            yield port
        finally:
            far.kill()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench signalling", description=__doc__)
    parser.add_argument("--rate", type=float, default=500.0, help="calls a second (%(default)s)")
    parser.add_argument("--calls", type=int, default=4000, help="calls of each run (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="good runs of each side (%(default)s)")
    parser.add_argument("--tries", type=int, default=20, help="tries for each good run (%(default)s)")
    parser.add_argument(
        "--drain",
        type=float,
        default=_DRAIN_SECONDS,
        help="seconds for the last transactions' timers; less leaves their cost out (%(default)s)",
    )
    parsed = parser.parse_args(arguments)
    if parsed.calls < 2 * parsed.rate:
        parser.error("--calls must last for two seconds at --rate at least: sipp is measured in their middle")
    return parsed


def run(arguments: list[str]) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    options = _options(arguments)
    if shutil.which("sipp") is None:
        sys.exit("scripts/bench: sipp is not installed; as root: apt-get install sip-tester")
    os.sched_setaffinity(0, {harness.FAR_CORE})
    contenders: dict[str, Callable[[argparse.Namespace, int, Path], float]] = {"ours": run_ours, "sipp": run_sipp}
    series = {name: Series() for name in contenders}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bare = harness.c_loop_rate(folder)
        for _ in range(options.runs):
            for name, contender in contenders.items():
                _run_until_good(name, series[name], contender, options, folder)
    return _figures(options, series, bare)


def _run_until_good(
    name: str,
    series: Series,
    contender: Callable[[argparse.Namespace, int, Path], float],
    options: argparse.Namespace,
    folder: Path,
) -> None:
    for _ in range(options.tries):
        try:
            with answering(folder) as port:
                rate = contender(options, port, folder)
        except VoidError as void:
            series.voids += 1
            harness.say(f"{name:5} void: {void}")
            continue
        series.rates.append(rate)
        harness.say(f"{name:5} {rate:8,.0f} calls per CPU-second ({1e6 / rate:,.0f} µs a call)")
        return
    raise SystemExit(f"scripts/bench: {name} had no good run in {options.tries}: the machine is too busy")


def _figures(options: argparse.Namespace, series: dict[str, Series], bare: int) -> dict[str, Any]:
    rows = []
    figures: dict[str, Any] = {}
    for name, one in series.items():
        median = statistics.median(one.rates)
        figures[f"{name}_calls_per_cpu_second"] = round(median)
        spread = f"{min(one.rates):,.0f}–{max(one.rates):,.0f}"
        rows.append((name, f"{median:,.0f}", spread, f"{1e6 / median:,.0f}", len(one.rates), one.voids))
    heads = ("calling side", "calls/CPU-s", "range", "µs/call", "runs", "void")
    harness.table(f"{options.rate:.0f} calls/s of {_MESSAGES} messages each; medians", heads, rows)
    figures["ratio_to_sipp"] = harness.ratio(series["ours"].rates, series["sipp"].rates)
    figures["c_loop_packets_per_cpu_second"] = bare
    figure = figures["ratio_to_sipp"]
    row = ("ratio_to_sipp", figure, "≥ 0.20", "yes" if figure >= 0.20 else "NO")
    harness.table("Ratio", ("ratio", "figure", "goal", "reached"), [row])
    harness.say(f"\nthe bare C loop in the same run: {bare:,} packets per CPU-second\n")
    return figures

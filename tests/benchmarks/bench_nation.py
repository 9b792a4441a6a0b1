"""The whole nation called once: every room a real call with ten seconds of two-way audio, and 500 of them faulty.

The daemon, whole, has one core; the simulated nation has the other. A run in which the simulator itself dropped
something or was late is void and repeated. With ``--calls N`` see `limits`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import country
import harness
import limits
import nation

_GOALS: Final = {
    "sweep_seconds": ("≤ 60", lambda figure: figure <= 60),
    "daemon_cores": ("≤ 0.90", lambda figure: figure <= 0.90),
    "daemon_pss_mb": ("≤ 400", lambda figure: figure <= 400),
    "invalid": ("0", lambda figure: figure == 0),
    "healthy_marked": ("0", lambda figure: figure == 0),
}


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench nation", description=__doc__)
    parser.add_argument("--rooms", type=int, default=country.ALL_ROOMS, help="rooms to call (%(default)s)")
    parser.add_argument("--faults", type=int, default=500, help="of them with a planted fault (%(default)s)")
    parser.add_argument("--start-seconds", type=float, default=48.6, help="calls start within this time (%(default)s)")
    parser.add_argument("--runs", type=int, default=1, help="good runs; the median of each figure counts (%(default)s)")
    parser.add_argument("--retries", type=int, default=2, help="void runs that are repeated (%(default)s)")
    parser.add_argument("--calls", type=int, help="instead: calls at once up to this many, and where loss begins")
    parser.add_argument("--misses", type=int, default=10, help="show so many wrong verdicts (%(default)s)")
    return parser.parse_args(arguments)


def run(arguments: list[str]) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    options = _options(arguments)
    if options.calls:
        return limits.run(["--calls", str(options.calls)])
    nation.stay_away()
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        bare = harness.c_loop_rate(Path(place))
        for attempt in range(options.runs + options.retries):
            figures = _run_once(options, Path(place) / str(attempt))
            if figures is not None:
                runs.append(figures)
            if len(runs) == options.runs:
                break
    if not runs:
        raise SystemExit("scripts/bench: every run was void: the machine is too busy for the simulator")
    figures = {name: statistics.median(one[name] for one in runs) for name in runs[0]}
    figures["c_loop_packets_per_cpu_second"] = bare
    goals = {
        **_GOALS,
        "rooms_called": (f"{options.rooms}", lambda called: called == options.rooms),
        "faults_found": (f"{figures['faults_planted']}", lambda found: found == figures["faults_planted"]),
    }
    rows = [
        (name, figure, goals[name][0] if name in goals else "", _said(goals, name, figure))
        for name, figure in figures.items()
    ]
    harness.table(f"{options.rooms} rooms, {len(runs)} run(s), medians", ("figure", "", "goal", "reached"), rows)
    harness.say()
    return figures


def _said(goals: dict[str, Any], name: str, figure: float) -> str:
    return ("yes" if goals[name][1](figure) else "NO") if name in goals else ""


def _run_once(options: argparse.Namespace, place: Path) -> dict[str, Any] | None:
    rate = options.rooms / options.start_seconds
    # A room that never answers has its row for some 45 s, the others for 12.
    at_once = min(options.rooms, round(rate * 13 + options.faults * 0.2) + 20)
    made = country.write(place / "config", options.rooms, options.faults, calls_per_second=rate, calls_at_once=at_once)
    one = nation.run(made, place, within=options.start_seconds + 100)
    figures = figures_of(one, made, options.misses)
    if one.void:
        harness.say(f"void: {one.void}")
        return None
    return figures


def figures_of(one: nation.Run, made: country.Country, misses: int) -> dict[str, Any]:
    """Return the figures of one run."""
    judged = country.judge({code: (r[2], r[3], r[4], bool(r[5])) for code, r in one.results.items()}, made)
    for miss in judged.pop("misses")[:misses]:
        harness.say(f"  {miss}")
    healthy = [result for code, result in one.results.items() if code not in made.expected]
    ended = max(result[1] for result in healthy)
    main, engine = one.cores(one.began, ended)
    p99 = [result[6] for result in healthy if result[6] is not None]
    reasons = Counter(reason for result in one.results.values() for reason in result[5])
    own = one.simulators[0]["own"]
    busiest, far = (" + ".join(f"{part:.2f}" for part in parts) for parts in (one.busiest(), one.simulator_cores()))
    harness.say(
        f"{len(one.results)} of {made.rooms} rooms called in {ended - one.began:.1f} s; main process + engine "
        f"{main:.2f} + {engine:.2f} cores ({busiest} at the most), {one.pss_mb:.0f} MB; simulator, SIP + media, {far} "
        f"at the most, its longest stall {own['loop_lag_seconds']:.3f} s, its packets late by {_late(own)}; "
        f"median call's p99 lateness {statistics.median(p99) * 1000:.1f} ms; {one.engine}; invalid {dict(reasons)}"
    )
    return {
        "rooms_called": len(one.results),
        "sweep_seconds": round(ended - one.began, 1),
        "daemon_cores": round(main + engine, 3),
        "main_cores": round(main, 3),
        "engine_cores": round(engine, 3),
        "daemon_pss_mb": round(one.pss_mb),
        **judged,
    }


def _late(own: dict[str, Any]) -> str:
    """Return how late the simulator's packets left, as text: median, 99 % and most."""
    lateness = own["lateness"]
    if lateness is None:
        return "nothing sent"
    return " / ".join(f"{lateness[name] * 1000:.1f}" for name in ("p50_seconds", "p99_seconds", "max_seconds")) + " ms"

"""What a call and a site cost as the nation grows: the same pace of calls, more and more rooms."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final

import country
import harness
import nation

_SIZES: Final = (1_000, 3_000, 11_000, 30_000)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench growth", description=__doc__)
    parser.add_argument("--rate", type=float, default=150.0, help="calls a second, at every size (%(default)s)")
    parser.add_argument("--sites", type=int, action="append", help=f"a size; may be repeated (default {_SIZES})")
    return parser.parse_args(arguments)


def run(arguments: list[str]) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    options = _options(arguments)
    nation.stay_away()
    rows: list[tuple[Any, ...]] = []
    figures: dict[str, Any] = {}
    before: tuple[int, float] | None = None
    with tempfile.TemporaryDirectory() as place:
        figures["c_loop_packets_per_cpu_second"] = harness.c_loop_rate(Path(place))
        for sites in options.sites or _SIZES:
            # The same room for calls at every size: what grows is the nation alone.
            made = country.write(
                Path(place) / str(sites),
                sites,
                0,
                calls_per_second=options.rate,
                calls_at_once=round(options.rate * 14),
            )
            one = nation.run(made, Path(place), within=sites / options.rate + 60)
            if one.void:
                raise SystemExit(
                    f"scripts/bench: void at {sites} sites, the simulator was dropping or late: {one.void}"
                )
            spent = one.samples[-1].main_cpu - one.samples[0].main_cpu
            engine = one.samples[-1].engine_cpu - one.samples[0].engine_cpu
            called = len(one.results)
            if called < sites:
                raise SystemExit(f"scripts/bench: only {called} of {sites} sites were called in time")
            figures[f"cpu_ms_per_call_{sites}"] = round((spent + engine) / called * 1000, 3)
            figures[f"main_cpu_ms_per_call_{sites}"] = round(spent / called * 1000, 3)
            figures[f"pss_kb_per_site_{sites}"] = round(one.pss_mb * 1000 / sites, 1)
            # What each further site takes: the first ones also carry the interpreter and the calls' own rows.
            further = round((one.pss_mb - before[1]) * 1000 / (sites - before[0]), 1) if before else None
            if further is not None:
                figures[f"pss_kb_per_further_site_{sites}"] = further
            before = (sites, one.pss_mb)
            cells = (figures[f"{name}_{sites}"] for name in _COLUMNS)
            rows.append((f"{sites:,}", called, *cells, "" if further is None else further, f"{one.pss_mb:.0f}"))
            harness.say(f"{sites} sites: {figures[f'cpu_ms_per_call_{sites}']} ms a call, {one.pss_mb:.0f} MB")
    heads = ("sites", "called", "CPU ms a call", "of it main process", "PSS kB a site", "kB a further one", "PSS MB")
    harness.table(f"{options.rate:.0f} calls/s", heads, rows)
    harness.say()
    return figures


_COLUMNS: Final = ("cpu_ms_per_call", "main_cpu_ms_per_call", "pss_kb_per_site")

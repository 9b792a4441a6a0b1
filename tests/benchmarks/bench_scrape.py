"""What Prometheus costs: `/metrics` with the series of every room, scraped every 5 s while the nation is called.

Stretches of five seconds, in the steady state, are in turns scraped once and left alone; medians are compared. One
scrape comes before them, at the start, as from a Prometheus that was there first: it finds nothing rendered (cold).
What results change is rendered ahead of scrapes in both kinds of stretches. The scraper has a process of its own on the
simulator's core.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import country
import harness
import nation
from lateness import LatenessTap, quantile_us

_STRETCH: Final = 5.0
_RUN_UP: Final = 12.0
"""After the first start; then as many calls end as begin."""
_AFTER: Final = 1.0
"""From a stretch's begin to its scrape."""
_AFTERMATH: Final = 0.25
_ORDER: Final = (False, True, True, False)
"""Which stretches are scraped: what drifts over a run counts in both kinds alike."""


@dataclass
class Stretch:
    """A stretch and what was seen in it; moments are POSIX seconds.

    Attributes:
        lateness: Histogram of the packets that left in it.
        calm: The same without those that left during its scrape or a quarter of a second after it; where there was no
            scrape, during the time that a usual one would have taken then.
    """

    scraped: bool
    begin: float
    end: float
    lateness: Any = None
    calm: Any = None
    p99_us: float = 0.0
    stalls: list[float] = field(default_factory=list)
    main_cores: float = 0.0


@dataclass
class Watched:
    """One run, with everything that was scraped: ``cold`` first, then one scrape a scraped stretch."""

    one: nation.Run
    cold: dict[str, float]
    scrapes: list[dict[str, float]]
    stretches: list[Stretch]


class Scraper:
    """The process that scrapes."""

    def __init__(self) -> None:
        program = Path(__file__).resolve().parent / "scraper.py"
        self._process = subprocess.Popen(
            [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def take(self, url: str) -> dict[str, float]:
        """Scrape once, to the last byte; see `scraper.scrape`."""
        where = urllib.parse.urlsplit(url)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{where.hostname} {where.port}\n")
        self._process.stdin.flush()
        told: dict[str, float] = json.loads(self._process.stdout.readline())
        return told

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench scrape", description=__doc__)
    parser.add_argument("--rooms", type=int, default=country.ALL_ROOMS, help="rooms to call (%(default)s)")
    parser.add_argument("--start-seconds", type=float, default=60.0, help="calls start within this time (%(default)s)")
    parser.add_argument("--runs", type=int, default=1, help="good runs; stretches of all are compared (%(default)s)")
    parser.add_argument("--retries", type=int, default=0, help="void runs that are repeated (%(default)s)")
    return parser.parse_args(arguments)


def run(arguments: list[str]) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    options = _options(arguments)
    if options.start_seconds < _RUN_UP + len(_ORDER) * _STRETCH:
        raise SystemExit(f"scripts/bench: {_RUN_UP + len(_ORDER) * _STRETCH:.0f} --start-seconds at least")
    nation.stay_away()
    runs: list[Watched] = []
    with tempfile.TemporaryDirectory() as place:
        bare = harness.c_loop_rate(Path(place))
        for attempt in range(options.runs + options.retries):
            if len(runs) < options.runs:
                watched = _run_once(options, Path(place) / str(attempt))
                if watched.one.void:
                    harness.say(f"void, the simulator was dropping or late: {watched.one.void}")
                else:
                    runs.append(watched)
    if len(runs) < options.runs:
        raise SystemExit("scripts/bench: too many void runs: the machine is too busy for the simulator")
    figures = {**_figures(runs), "c_loop_packets_per_cpu_second": bare}
    rows = [(name, figure, _GOALS.get(name, "")) for name, figure in figures.items()]
    title = f"{options.rooms} rooms at {options.rooms / options.start_seconds:.0f} calls/s, {options.runs} run(s)"
    harness.table(title, ("figure", "", "goal"), rows)
    harness.say()
    return figures


def _run_once(options: argparse.Namespace, place: Path) -> Watched:
    rate = options.rooms / options.start_seconds
    made = country.write(place / "config", options.rooms, 0, calls_per_second=rate, calls_at_once=round(rate * 13) + 20)
    seen: list[dict[str, float]] = []
    stretches: list[Stretch] = []
    taps: list[LatenessTap] = []
    with contextlib.closing(Scraper()) as scraper:

        def scrape_in_turns(listening: dict[str, Any]) -> None:
            begun = time.time()
            taps.append(LatenessTap(listening["engine"]))
            seen.append(scraper.take(listening["listening"]))
            begins = _begins(begun + _RUN_UP, begun + options.start_seconds)
            for begin, scraped in zip(begins, itertools.cycle(_ORDER), strict=False):
                stretches.append(Stretch(scraped, begin, begin + _STRETCH))
                if scraped:
                    _sleep_until(begin + _AFTER)
                    seen.append(scraper.take(listening["listening"]))
                _sleep_until(begin + _STRETCH)

        one = nation.run(made, place, within=options.start_seconds + 60, watch=True, meanwhile=scrape_in_turns)
    for tap in taps:
        tap.close()
    failed = [scrape["failed"] for scrape in seen if "failed" in scrape]
    if failed:
        raise SystemExit(f"scripts/bench: a scrape failed: {failed}")
    if any(scrape["sites"] != options.rooms + 1 for scrape in seen):
        raise SystemExit("scripts/bench: a scrape had not every room's series")
    usual = statistics.median(map(_seconds, seen[1:]))
    for stretch in stretches:
        sham = (stretch.begin + _AFTER, stretch.begin + _AFTER + usual + _AFTERMATH)
        spans = [(scrape["begin"], scrape["end"] + _AFTERMATH) for scrape in seen] if stretch.scraped else [sham]
        stretch.lateness = taps[0].between(stretch.begin, stretch.end)
        stretch.calm = taps[0].between(stretch.begin, stretch.end, spans)
        stretch.p99_us = quantile_us(stretch.lateness, 0.99)
        stretch.stalls = [late for at, late in one.stalls if stretch.begin <= at < stretch.end]
        stretch.main_cores = one.cores(stretch.begin, stretch.end)[0]
    watched = Watched(one, seen[0], seen[1:], stretches)
    _tell(watched)
    return watched


def _begins(first: float, last: float) -> Iterator[float]:
    """Yield the begins of whole stretches between two moments, as many of each kind as of the other."""
    count = int((last - first) / _STRETCH)
    return (first + number * _STRETCH for number in range(count - count % 2))


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def _tell(watched: Watched) -> None:
    """Say what each scrape and each stretch showed."""
    for scrape in (watched.cold, *watched.scrapes):
        harness.say(
            f"scrape {_seconds(scrape):.3f} s, the first byte after {scrape['first'] - scrape['begin']:.3f}; "
            f"{scrape['bytes'] / 1e6:.1f} MB, {scrape['series']:.0f} series{', cold' * (scrape is watched.cold)}"
        )
    for stretch in watched.stretches:
        harness.say(
            f"{'scraped' if stretch.scraped else 'alone  '}: p99 of send lateness {stretch.p99_us:.0f} µs, longest "
            f"stall {_most_ms(stretch.stalls)} ms, main process {stretch.main_cores:.3f} cores"
        )
    for what, seconds in watched.one.held["cpu"].items():
        wall, cpu = (1000 * part for part in max(_held(watched, what), default=(0.0, 0.0)))
        harness.say(
            f"{what}: {seconds:.3f} s of the loop's processor time; held for {wall:.1f} ms at the most, {cpu:.1f} of "
            "them on the processor"
        )
    harness.say(f"invalid {_invalid(watched.one)}")


def _held(watched: Watched, *kinds: str) -> list[tuple[float, float]]:
    """Return how long the loop was held, on the clock and on the processor, since the first stretch."""
    begin, stretches = watched.stretches[0].begin, watched.one.held["stretches"]
    return [(wall, cpu) for what, at, wall, cpu in stretches if at >= begin and what in kinds]


def _figures(runs: list[Watched]) -> dict[str, Any]:
    every = [stretch for watched in runs for stretch in watched.stretches]
    scraped, alone = ([s for s in every if s.scraped is kind] for kind in (True, False))
    warm = [scrape for watched in runs for scrape in watched.scrapes]
    held = [stretch for watched in runs for stretch in _held(watched, "scrape", "ahead")]
    cold = [wall for watched in runs for _, at, wall, _ in watched.one.held["stretches"] if at <= watched.cold["end"]]
    overlapping = [
        late
        for watched in runs
        for at, late in watched.one.stalls
        if any(scrape["begin"] <= at <= scrape["end"] + late for scrape in watched.scrapes)
    ]
    p99, p99_scraped = (statistics.median(s.p99_us for s in kind) for kind in (alone, scraped))
    return {
        "scrapes": len(warm),
        "scrape_megabytes": round(max(scrape["bytes"] for scrape in warm) / 1e6, 1),
        "scrape_series": round(max(scrape["series"] for scrape in warm)),
        "scrape_seconds": round(max(map(_seconds, warm)), 3),
        "scrape_seconds_median": round(statistics.median(map(_seconds, warm)), 3),
        "scrape_seconds_cold": round(max(_seconds(watched.cold) for watched in runs), 3),
        "loop_stall_ms": _most_ms(wall for wall, _ in held),
        "loop_stall_cpu_ms": _most_ms(cpu for _, cpu in held),
        "loop_stall_ms_cold": _most_ms(cold),
        "loop_stall_ms_overlapping": _most_ms(overlapping),
        "longest_stall_ms_scraped": round(statistics.median(_most_ms(s.stalls) for s in scraped), 1),
        "longest_stall_ms_alone": round(statistics.median(_most_ms(s.stalls) for s in alone), 1),
        "lateness_p99_us": round(p99),
        "lateness_p99_us_lowest": round(min(s.p99_us for s in alone)),
        "lateness_p99_us_highest": round(max(s.p99_us for s in alone)),
        "lateness_p99_us_scraped": round(p99_scraped),
        "lateness_p99_us_rise": round(p99_scraped - p99),
        "lateness_p99_us_rise_error": round(_error([s.p99_us for s in alone], [s.p99_us for s in scraped])),
        "lateness_p99_us_rise_by_scrapes": round(_rise_by_scrapes(scraped)),
        "lateness_p99_us_rise_by_nothing": round(_rise_by_scrapes(alone)),
        "main_cores": round(statistics.median(s.main_cores for s in alone), 3),
        "main_cores_scraped": round(statistics.median(s.main_cores for s in scraped), 3),
        "invalid": sum(_invalid(watched.one) for watched in runs),
    }


def _error(*kinds: list[float]) -> float:
    """Return the standard error of the difference of two medians, as of normal samples."""
    return float(sum(1.57 * statistics.variance(kind) / len(kind) for kind in kinds) ** 0.5)


def _rise_by_scrapes(scraped: list[Stretch]) -> float:
    """Return by how much the packets around scrapes raise the p99 of the very stretches they are in.

    What disturbs the machine at other times is in both terms. It can't see what a scrape might do to packets later than
    a quarter of a second after it; what chance alone does is told by the same figure of stretches without a scrape.
    """
    every, calm = (sum(counts) for counts in ([s.lateness for s in scraped], [s.calm for s in scraped]))
    return quantile_us(every, 0.99) - quantile_us(calm, 0.99)


_GOALS: Final = {"scrape_seconds": "≤ 0.3", "loop_stall_ms": "≤ 20", "lateness_p99_us_rise": "≤ 200"}


def _seconds(scrape: dict[str, float]) -> float:
    return scrape["end"] - scrape["begin"]


def _most_ms(seconds: Any) -> float:
    return round(max(seconds, default=0.0) * 1000, 1)


def _invalid(one: nation.Run) -> int:
    return sum(bool(result[5]) for result in one.results.values())

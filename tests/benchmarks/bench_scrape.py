"""What Prometheus costs: `/metrics` with the series of every room, scraped every 5 s while the nation is called.

The first half of the run is left alone, the second is scraped; how late packets leave is compared between calls that
lay wholly in one of them. The scraper is this process, on the simulator's core.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import country
import harness
import nation

_EVERY_SECONDS: Final = 5.0
_RUN_UP_SECONDS: Final = 12.0
"""After the first start; then as many calls end as begin."""


@dataclass
class Scrapes:
    """What the scraper saw: (begin, end, bytes) of each scrape, POSIX seconds."""

    seen: list[tuple[float, float, int]] = field(default_factory=list)

    def take(self, url: str) -> None:
        """Scrape once, to the last byte."""
        where = urllib.parse.urlsplit(url)
        begin = time.time()
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        try:
            connection.request("GET", "/metrics")
            size = len(connection.getresponse().read())
        finally:
            connection.close()
        self.seen.append((begin, time.time(), size))


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench scrape", description=__doc__)
    parser.add_argument("--rooms", type=int, default=country.ALL_ROOMS, help="rooms to call (%(default)s)")
    parser.add_argument("--start-seconds", type=float, default=60.0, help="calls start within this time (%(default)s)")
    return parser.parse_args(arguments)


def run(arguments: list[str]) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    options = _options(arguments)
    nation.stay_away()
    rate = options.rooms / options.start_seconds
    half = _RUN_UP_SECONDS + (options.start_seconds - _RUN_UP_SECONDS) / 2
    scrapes = Scrapes()

    def scrape_second_half(url: str) -> None:
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < options.start_seconds:
            if now >= half:
                scrapes.take(url)
            time.sleep(_EVERY_SECONDS - (time.monotonic() - begun) % _EVERY_SECONDS)

    with tempfile.TemporaryDirectory() as place:
        bare = harness.c_loop_rate(Path(place))
        made = country.write(
            Path(place) / "config", options.rooms, 0, calls_per_second=rate, calls_at_once=round(rate * 13) + 20
        )
        one = nation.run(made, Path(place), within=options.start_seconds + 60, watch=True, meanwhile=scrape_second_half)
    if one.void:
        raise SystemExit(f"scripts/bench: void, the simulator was dropping or late: {one.void}")
    figures = {**_figures(one, scrapes, one.began + half), "c_loop_packets_per_cpu_second": bare}
    rows = [(name, figure, _goal(name)) for name, figure in figures.items()]
    harness.table(f"{options.rooms} rooms at {rate:.0f} calls/s", ("figure", "", "goal"), rows)
    harness.say()
    return figures


def _figures(one: nation.Run, scrapes: Scrapes, middle: float) -> dict[str, Any]:
    begun, last_start = one.began + _RUN_UP_SECONDS / 2, max(result[0] for result in one.results.values())
    alone = _p99_us(one, begun, middle)
    scraped = _p99_us(one, scrapes.seen[0][0], min(last_start, scrapes.seen[-1][1]))
    stalls = [late for at, late in one.stalls if any(begin <= at <= end + late for begin, end, _ in scrapes.seen)]
    usual = [late for at, late in one.stalls if begun <= at < middle]
    return {
        "scrapes": len(scrapes.seen),
        "scrape_megabytes": round(max(size for _, _, size in scrapes.seen) / 1e6, 1),
        "scrape_seconds": round(max(end - begin for begin, end, _ in scrapes.seen), 3),
        "loop_stall_ms": round(max(stalls, default=0.0) * 1000, 1),
        "loop_stall_ms_unscraped": round(max(usual, default=0.0) * 1000, 1),
        "lateness_p99_us": alone,
        "lateness_p99_us_scraped": scraped,
        "lateness_p99_us_rise": scraped - alone,
    }


def _p99_us(one: nation.Run, begin: float, end: float) -> int:
    """Return the median of the calls' own p99 lateness, of calls that lay wholly between two moments."""
    inside = [r[6] for r in one.results.values() if r[6] is not None and r[0] >= begin and r[1] <= end]
    if not inside:
        raise SystemExit("scripts/bench: no call lay wholly in one half; give it more --start-seconds")
    return round(statistics.median(inside) * 1e6)


def _goal(name: str) -> str:
    return {"scrape_seconds": "≤ 0.3", "loop_stall_ms": "≤ 20", "lateness_p99_us_rise": "≤ 200"}.get(name, "")

"""The benchmarks still run and print what is promised; their figures are judged only by ``scripts/bench`` itself."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge_monitor.config import load
from bridge_monitor.net.engine.layout import BINS, bin_edge_ns, lateness_bins
from bridge_monitor.sim import FaultKind, load_fault_plan

HERE = Path(__file__).parent


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, HERE / "bench.py", *arguments], capture_output=True, text=True, check=False, timeout=110
    )


def test_without_a_name_it_says_which_there_are() -> None:
    """A wrong call is answered with the names and a failure."""
    done = _bench()
    assert done.returncode == 2
    assert "media" in done.stdout


@pytest.mark.peer("gcc")
def test_media_ends_with_one_json_line_of_ratios_from_the_same_run() -> None:
    """Each ratio is that of two medians which stand beside it; a handful of calls is enough to see it."""
    small = ["--calls", "40", "--seconds", "0.5", "--warm", "0.2", "--runs", "1"]
    done = _bench("media", *small, "--only", "engine", "--only", "engine_shared", "--only", "c_loop")
    assert done.returncode == 0, done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["bench"] == "media"
    figures = last["figures"]
    ours, bare = figures["engine_packets_per_cpu_second"], figures["c_loop_packets_per_cpu_second"]
    shared = figures["engine_shared_packets_per_cpu_second"]
    assert ours > 0
    assert figures["ratio_to_c_loop"] == pytest.approx(ours / bare, abs=0.002)
    assert figures["ratio_shared_addresses"] == pytest.approx(shared / ours, abs=0.002)


@pytest.mark.peer("gcc")
@pytest.mark.peer("sipp")
def test_media_counts_what_sipp_sends() -> None:
    """Ten calls of sipp's rtp_stream arrive at the far end that counts them."""
    small = ["--sipp-calls", "10", "--seconds", "0.5", "--runs", "1", "--only", "sipp"]
    done = _bench("media", *small)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["figures"]["sipp_packets_per_cpu_second"] > 0


@pytest.mark.full
@pytest.mark.peer("gcc")
@pytest.mark.peer("sipp")
def test_signalling_compares_complete_calls_with_sipps_own() -> None:
    """Every call of both sides is a complete one, or the run would be void; the ratio is that of the two figures."""
    small = ["--rate", "100", "--calls", "200", "--runs", "1", "--drain", "0", "--tries", "5"]
    done = _bench("signalling", *small)
    assert done.returncode == 0, done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["bench"] == "signalling"
    figures = last["figures"]
    ours, theirs = figures["ours_calls_per_cpu_second"], figures["sipp_calls_per_cpu_second"]
    assert ours > 0
    assert figures["ratio_to_sipp"] == pytest.approx(ours / theirs, abs=0.002)
    assert figures["c_loop_packets_per_cpu_second"] > 0


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.peer("gcc")
def test_nation_finds_what_was_planted() -> None:
    """A small nation, whole: the figures' names are those promised, and what they say of the faults is true."""
    done = _bench("nation", "--rooms", "120", "--faults", "48", "--start-seconds", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    assert figures["rooms_called"] == 120
    assert figures["faults_found"] == figures["faults_planted"] == 48
    assert figures["healthy_marked"] == figures["invalid"] == 0
    assert 0 < figures["daemon_cores"] < 1
    assert {"sweep_seconds", "daemon_pss_mb"} < set(figures)


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.peer("gcc")
def test_scrape_tells_what_scrapes_cost() -> None:
    """A small nation: a cold scrape and one in each of two stretches, all of them whole."""
    done = _bench("scrape", "--rooms", "200", "--start-seconds", "33", "--retries", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    assert figures["scrapes"] == 2
    assert figures["scrape_series"] > 10 * 200
    assert 0 < figures["loop_stall_cpu_ms"] <= figures["loop_stall_ms"]
    rise = figures["lateness_p99_us_scraped"] - figures["lateness_p99_us"]
    assert figures["lateness_p99_us_rise"] == pytest.approx(rise, abs=1)


class TestScrape:
    """How `scripts/bench scrape` comes by its figures."""

    def test_half_of_the_stretches_are_scraped_in_an_order_that_no_drift_favours(self) -> None:
        """Both kinds lie as late on the whole, whatever the number of pairs of pairs."""
        bench = _module("bench_scrape")
        kinds = list(zip(bench._begins(12.0, 55.0), itertools.cycle(bench._ORDER), strict=False))
        assert len(kinds) == 8
        scraped, alone = ([begin for begin, kind in kinds if kind is wanted] for wanted in (True, False))
        assert len(scraped) == len(alone)
        assert sum(scraped) == sum(alone)
        assert max(scraped + alone) + bench._STRETCH <= 55.0

    def test_a_quantile_is_found_within_a_bin(self) -> None:
        """A bin is as wide as what is looked for."""
        lateness = _module("lateness")
        histogram = np.zeros(BINS, np.int64)
        where = lateness_bins(np.array([2_000_000]))[0]
        histogram[where] = 1000
        low, high = bin_edge_ns(where - 1) / 1000, bin_edge_ns(where) / 1000
        found = [lateness.quantile_us(histogram, share) for share in (0.01, 0.5, 0.99)]
        assert low <= found[0] < found[1] < found[2] <= high
        assert found[1] == pytest.approx((low * high) ** 0.5)
        with pytest.raises(ValueError, match="no packet"):
            lateness.quantile_us(np.zeros(BINS, np.int64), 0.5)

    def test_what_left_during_a_scrape_can_be_left_out(self) -> None:
        """With all of a look that it touches, and nothing else."""
        sum_of = _module("lateness").sum_of
        looks = [(10 + number * 0.25, np.array([1, number])) for number in range(9)]
        assert list(sum_of(looks, 10.0, 11.0)) == [3, 2 + 3 + 4]
        assert list(sum_of(looks, 10.0, 12.0, [(10.6, 10.9)])) == [5, 2 + 5 + 6 + 7 + 8]
        assert not sum_of(looks, 20.0, 30.0).any()

    def test_the_rise_by_scrapes_is_that_of_the_stretches_they_are_in(self) -> None:
        """Two in a hundred packets that leave late, all around scrapes, raise the p99; disturbances elsewhere don't."""
        bench, late, usual = _module("bench_scrape"), np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
        late[lateness_bins(np.array([8_000_000]))[0]] = 20
        usual[lateness_bins(np.array([1_000_000]))[0]] = 980
        disturbed = bench.Stretch(scraped=True, begin=0.0, end=5.0, lateness=usual + late, calm=usual + late)
        assert bench._rise_by_scrapes([disturbed]) == 0
        hit = bench.Stretch(scraped=True, begin=0.0, end=5.0, lateness=usual + late, calm=usual)
        assert 6000 < bench._rise_by_scrapes([hit]) < 8000

    async def test_a_stretch_ends_where_the_loop_is_given_back(self) -> None:
        """What a coroutine waits for isn't held; a cancellation reaches it."""
        held_module = _module("held")
        held = held_module.Held()
        ended = []

        async def work(seconds: float) -> str:
            try:
                busy_until = time.thread_time() + 0.004
                while time.thread_time() < busy_until:
                    pass
                await asyncio.sleep(seconds)
                busy_until = time.thread_time() + 0.002
                while time.thread_time() < busy_until:
                    pass
            finally:
                ended.append(seconds)
            return "done"

        async def driven(seconds: float) -> Any:
            return await held_module._Driven(held, "work", work(seconds))

        assert await driven(0.05) == "done"
        assert len(held.stretches) == 2
        assert all(0.002 <= cpu < 0.02 for _, _, _, cpu in held.stretches)
        assert held.cpu["work"] < 0.03
        task = asyncio.create_task(driven(60))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [0.05, 60]


class TestCountry:
    """The nation that the benchmarks call."""

    def test_it_is_a_configuration_with_a_fault_of_every_kind(self, tmp_path: Path) -> None:
        country = _module("country")
        made = country.write(tmp_path / "config", 300, 60, calls_per_second=10, calls_at_once=50)
        inventory = load(made.folder, now=datetime.now(UTC)).inventory
        assert sum(1 for _ in inventory.testable()) == made.rooms == 300
        plan = load_fault_plan(made.faults, inventory)
        assert len(made.expected) == len(plan.faults) == 60
        assert {fault.kind for fault in plan.faults} == set(FaultKind)

    def test_more_rooms_than_the_country_has_are_further_communes(self, tmp_path: Path) -> None:
        made = _module("country").write(tmp_path / "config", 11_400, 0, calls_per_second=10, calls_at_once=50)
        inventory = load(made.folder, now=datetime.now(UTC)).inventory
        assert sum(1 for _ in inventory.testable()) == 11_400

    def test_a_wrong_verdict_is_counted_and_an_invalid_one_apart(self, tmp_path: Path) -> None:
        country = _module("country")
        expected = {"02": ("busy", "busy", "–"), "03": ("reached", "degraded", "loss")}
        made = country.Country(tmp_path, tmp_path, expected, 5, (tmp_path,))
        good = ("reached", "good", None, False)
        results = {
            "01": good,
            "02": ("busy", "busy", None, False),
            "03": ("reached", "degraded", "rtt", False),
            "04": ("timeout", "failed", None, False),
            "05": ("timeout", "invalid", None, True),
        }
        judged = country.judge(results, made)
        assert [len(judged.pop("misses")), *judged.values()] == [2, 2, 1, 1, 1]


def _module(name: str) -> Any:
    """Import a module of this directory as the benchmarks do."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    return importlib.import_module(name)

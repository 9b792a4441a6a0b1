"""The benchmarks still run and print what is promised; their figures are judged only by ``scripts/bench`` itself."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge_monitor.config import load
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
        made = country.Country(
            tmp_path, tmp_path, {"02": ("busy", "busy", "–"), "03": ("reached", "degraded", "loss")}, 5
        )
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

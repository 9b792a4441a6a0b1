"""The benchmarks still run and print what is promised; their figures are judged only by ``scripts/bench`` itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.peer("gcc")
@pytest.mark.peer("sipp")
def test_signalling_compares_complete_calls_with_sipps_own() -> None:
    """Every call of both sides is a complete one, or the run would be void; the ratio is that of the two figures."""
    small = ["--rate", "100", "--calls", "200", "--runs", "1", "--drain", "0"]
    done = _bench("signalling", *small)
    assert done.returncode == 0, done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["bench"] == "signalling"
    figures = last["figures"]
    ours, theirs = figures["ours_calls_per_cpu_second"], figures["sipp_calls_per_cpu_second"]
    assert ours > 0
    assert figures["ratio_to_sipp"] == pytest.approx(ours / theirs, abs=0.002)
    assert figures["c_loop_packets_per_cpu_second"] > 0

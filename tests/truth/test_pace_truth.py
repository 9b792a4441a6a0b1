"""Send times against the kernel's, and what spoils a measurement, provoked in the real engine process.

Each fault here is our own: it makes the call invalid with its reason, and is never counted as the line's loss.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.peer("ip", "nft")]

CALLS, WATCHED = 500, 20
LIMIT_NS = 50_000
MOST_BEYOND = 0.02
"""Measured are 0 to 1.2 %, seldom up to 2.6 %: that all be within the limit is the goal, and not reached."""
ATTEMPTS = 3
"""What else the machine does can only add to it: a run beyond the limit is repeated."""


def _begun(process: subprocess.Popen[str]) -> int:
    """Wait until all calls have begun; return the engine's process id."""
    assert process.stdout is not None
    word, pid = process.stdout.readline().split()
    assert word == "begun"
    return int(pid)


def _told(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, problem = process.communicate(timeout=60)
    assert process.returncode == 0, problem
    told: dict[str, Any] = json.loads(out)
    return told


@pytest.mark.peer("tshark")
def test_send_times_are_the_kernel_s(cable: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Five hundred calls at once; each packet of every 25th is compared with a capture in the engine's namespace.

    Half of them are known to 25 µs, and 98 % to 50 µs, in the best of three runs.
    """
    cable.many_rooms()
    cable.filter(
        cable.room,
        "table inet away { chain arriving { type filter hook prerouting priority 0; udp dport 40000-40001 drop; }; }",
    )
    for attempt in range(ATTEMPTS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        off = sorted(map(abs, signed := _offsets(cable, folder)))
        beyond = sum(one > LIMIT_NS for one in off)
        with capsys.disabled():
            print(  # noqa: T201 - the closing note quotes it
                f"\nsend times off by: median {statistics.median(off) / 1000:.1f} µs "
                f"({statistics.median(signed) / 1000:+.1f}), p99 {off[len(off) * 99 // 100] / 1000:.1f} µs, "
                f"worst {off[-1] / 1000:.1f} µs; {beyond} of {len(off)} beyond 50 µs"
            )
        if beyond <= len(off) * MOST_BEYOND:
            break
    # Most of the rest are packets in whose midst the kernel had other work; another process may add to them.
    assert beyond <= len(off) * MOST_BEYOND
    assert statistics.median(off) <= LIMIT_NS / 2


def _offsets(cable: Any, folder: Path) -> list[int]:
    """Return by how much each watched packet's send time is off the capture's, ns."""
    capture = folder / "left.pcap"
    # The watched calls' SSRCs end with a zero byte, 8 bytes of UDP and 8 of RTP before them.
    watched = "udp dst port 40000 and udp[19] = 0"
    dumpcap = cable.capture(cable.ours, cable.our_interface, watched, capture)
    plans = []
    for number in range(CALLS):
        chosen = number % (CALLS // WATCHED) == 0
        host, ssrc = f"10.78.{number // 250}.{number % 250 + 1}", number << 8 | (not chosen)
        once = {"duration_seconds": 3.0, "report_wait_seconds": 0.0}
        plans.append({"remote_host": host, "ssrc": ssrc, "first_seq": 0, "capture": chosen, **once})
    caller = cable.calls(folder / "job.json", plans)
    _begun(caller)
    told = _told(caller)
    time.sleep(0.3)
    dumpcap.terminate()
    dumpcap.wait(10)
    ours = {(ssrc, number): at for ssrc, number, at in told["sent"]}
    kernel = _times(capture)
    assert ours.keys() == kernel.keys()
    assert len(ours) == WATCHED * 150
    return [ours[packet] - kernel[packet] for packet in ours]


def _times(capture: Path) -> dict[tuple[int, int], int]:
    """Return the kernel's time of each packet (CLOCK_REALTIME, ns) by SSRC and sequence number."""
    fields = ["-e", "frame.time_epoch", "-e", "rtp.ssrc", "-e", "rtp.seq"]
    command = ["tshark", "-r", str(capture), "-d", "udp.port==40000,rtp", "-T", "fields", *fields]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    times = {}
    for line in told.splitlines():
        at, ssrc, number = line.split("\t")
        seconds, rest = at.split(".")
        times[int(ssrc, 16), int(number)] = int(seconds) * 10**9 + int(rest.ljust(9, "0"))
    return times


def test_packets_our_own_firewall_refuses_are_not_the_line_s_loss(cable: Any, tmp_path: Path) -> None:
    """``sendmmsg`` reports them: the call is invalid (`short_send`), and its loss stays nothing."""
    cable.start_room("echo_room.py")
    cable.filter(
        cable.ours,
        """table inet own {
            counter refused { }
            chain leaving {
                type filter hook output priority 0
                udp dport 40000 @th,80,16 { 40-44, 77, 120 } counter name refused drop
            }
        }""",
    )
    plans = [{"ssrc": number, "first_seq": first, "duration_seconds": 2.0} for number, first in ((1, 30), (2, 1000))]
    told = _told_after_begun(cable.calls(tmp_path / "job.json", plans, rows=2, port_pairs=2))
    refused, whole = told["reports"]
    assert "short_send" in refused["invalid"]
    assert "short_send" not in whole["invalid"]
    assert told["stats"]["short_sends"] == 7
    assert (refused["packets_sent"], refused["echo"]["sent"], refused["echo"]["lost"]) == (100, 93, 0)
    assert (whole["echo"]["sent"], whole["echo"]["lost"]) == (100, 0)


def test_an_overflowing_queue_of_ours_invalidates_the_calls_it_serves(cable: Any, tmp_path: Path) -> None:
    """The count is the kernel's own; calls on other sockets stay valid."""
    cable.start_room("echo_room.py")
    plans = [{"ssrc": number, "first_seq": 0, "duration_seconds": 3.0} for number in (1, 2)]
    facts = {"rows": 2, "port_pairs": 2, "buffer_bytes": 4096, "port_range": [30000, 30003]}
    caller = cable.calls(tmp_path / "job.json", plans, **facts)
    _begun(caller)
    time.sleep(0.5)
    flood = "import socket; s = socket.socket(2, 2); [s.sendto(bytes(200), ('10.77.0.1', 30000)) for _ in range(400)]"
    assert cable.start(cable.room, "python3", "-c", flood).wait(10) == 0
    time.sleep(0.5)
    table = Path(f"/proc/{caller.pid}/net/udp").read_text("ascii").splitlines()[1:]
    drops = {int(row.split()[1].split(":")[1], 16): int(row.split()[-1]) for row in table}
    told = _told(caller)
    assert drops[30000] > 0
    assert drops[30002] == 0
    assert told["stats"]["socket_overflows"] == drops[30000]
    reasons = {port: report["invalid"] for port, report in zip(told["ports"], told["reports"], strict=True)}
    assert "socket_overflow" in reasons[30000]
    assert "socket_overflow" not in reasons[30002]


def test_a_pace_that_was_not_kept_is_measured_and_invalidates_the_call(cable: Any, tmp_path: Path) -> None:
    """The engine is stopped for 45 ms ten times: no stall of 100 ms, but too many late packets."""
    cable.start_room("echo_room.py")
    caller = cable.calls(tmp_path / "job.json", [{"duration_seconds": 3.0}], rows=2, port_pairs=2)
    engine = _begun(caller)
    for _ in range(10):
        time.sleep(0.15)
        os.kill(engine, signal.SIGSTOP)
        time.sleep(0.045)
        os.kill(engine, signal.SIGCONT)
    (report,) = _told(caller)["reports"]
    assert "send_late" in report["invalid"]
    lateness = report["lateness"]
    assert lateness["samples"] == report["packets_sent"] == 150
    assert lateness["p50_seconds"] < 0.010
    assert 0.020 < lateness["p99_seconds"] <= lateness["max_seconds"]


@pytest.mark.peer("gcc")
def test_a_stopped_engine_process_invalidates_every_call(cable: Any, tmp_path: Path, relay_program: Path) -> None:
    """Also one whose figures look whole: what came meanwhile waited in the kernel, with its true time.

    One has a way of 300 ms, so that some fifteen packets arrive while the engine stands still for 400.
    """
    cable.start_room("echo_room.py")
    way = ["10.77.0.2", "41000", "10.77.0.2", "40000", "delay=300000", ""]
    relay = cable.start(cable.room, str(relay_program), str(tmp_path / "book"), *way)
    assert relay.stdout is not None
    assert relay.stdout.readline() == "ready\n"
    plans = [{"ssrc": port, "duration_seconds": 2.0, "rtp_port": port} for port in (41000, 40000)]
    caller = cable.calls(tmp_path / "job.json", plans, rows=2, port_pairs=2)
    engine = _begun(caller)
    time.sleep(0.5)
    os.kill(engine, signal.SIGSTOP)
    time.sleep(0.4)
    os.kill(engine, signal.SIGCONT)
    told = _told(caller)
    assert told["stats"]["stalls"] >= 1
    for report, way_seconds in zip(told["reports"], (0.3, 0.0), strict=True):
        assert {"engine_stalled", "send_late"} <= set(report["invalid"])
        assert report["lateness"]["max_seconds"] > 0.3
        assert (report["echo"]["sent"], report["echo"]["lost"]) == (100, 0)
        # The way's, not the stop's: receive times are the kernel's. Only a packet that was just being sent has more.
        assert way_seconds <= report["echo"]["rtt"]["p95"] < way_seconds + 0.05


STEP = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static long long first;
int clock_gettime(clockid_t clock, struct timespec *now) {
    struct timespec since;
    long done = syscall(SYS_clock_gettime, clock, now);
    if (done || clock != CLOCK_REALTIME) return (int)done;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &since);
    if (!first) first = since.tv_sec * 1000000000LL + since.tv_nsec;
    if (since.tv_sec * 1000000000LL + since.tv_nsec - first > 2500000000LL) now->tv_nsec += 30000000;
    if (now->tv_nsec >= 1000000000) { now->tv_nsec -= 1000000000; now->tv_sec++; }
    return 0;
}
"""


@pytest.mark.peer("gcc")
def test_a_step_of_the_clock_invalidates_every_call(cable: Any, tmp_path: Path) -> None:
    """The engine's processes see CLOCK_REALTIME put 30 ms on after 2.5 s; nobody else's clock is touched."""
    (tmp_path / "step.c").write_text(STEP, "ascii")
    library = str(tmp_path / "step.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, str(tmp_path / "step.c")], check=True)
    cable.start_room("echo_room.py")
    plans = [{"ssrc": number, "duration_seconds": 4.0} for number in (1, 2)]
    caller = cable.calls(tmp_path / "job.json", plans, "env", f"LD_PRELOAD={library}", rows=2, port_pairs=2)
    told = _told_after_begun(caller)
    assert told["stats"]["clock_steps"] == 1
    assert all("clock_step" in report["invalid"] for report in told["reports"])
    assert [report["echo"]["lost"] for report in told["reports"]] == [0, 0]


def _told_after_begun(process: subprocess.Popen[str]) -> dict[str, Any]:
    _begun(process)
    return _told(process)

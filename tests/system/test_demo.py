"""The demo, as a newcomer starts it: it ends by itself or by Ctrl-C, finds what was planted, and leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.rigs import Command, Country, free_port, get, gone_within

Start = Callable[..., Command]


def family(pid: int) -> set[int]:
    """Return a process's living descendants."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        try:
            text = Path(f"/proc/{waiting[-1]}/task/{waiting.pop()}/children").read_text("ascii")
        except OSError:
            continue
        children = [int(child) for child in text.split()]
        found.update(children)
        waiting += children
    return found


def small(tmp_path: Path, network: str) -> tuple[Country, Path]:
    """Return a small country with a fault plan: one room is off."""
    country = Country(tmp_path / "country", network, provinces=2, communes=9, profiles={"short": {"duration": "3 s"}})
    country.write()
    faults = tmp_path / "faults.yaml"
    faults.write_text("seed: 1\nfaults:\n  - {kind: dead, sites: ['01001']}\n", "utf-8")
    return country, faults


@pytest.mark.timeout(180)
def test_sixty_rooms_for_25_seconds(start: Start) -> None:
    """The whole inventory is simulated, sixty rooms of it are called; no healthy one is marked."""
    port = free_port()
    demo = start("demo", "--sites", "60", "--duration", "25", "--port", port)
    demo.until(f"http://127.0.0.1:{port}/metrics", within=60)
    assert "bridge_site_info{" in get(f"http://127.0.0.1:{port}", "/metrics")[1]
    processes = family(demo.pid)
    assert len(processes) >= 3, "the simulator, its media, our media engine"
    assert demo.end(within=60) == 0
    assert "60 rooms, " in demo.printed
    assert "dates are shifted" in demo.printed
    assert "caps are raised" in demo.printed
    assert re.search(r"First sweep done in [0-9.]+ s: [0-9]+ good", demo.printed)
    found, planted, wrong = map(
        int,
        re.search(r"(\d+) of (\d+) found, (\d+) healthy sites marked", demo.printed).groups(),  # type: ignore[union-attr]
    )
    spoilt = "void" in demo.printed or demo.log("measurements_invalid")
    assert spoilt or (wrong == 0 and found == planted), demo.printed
    assert "every call has ended" in demo.told
    assert "\x1b" not in demo.printed + demo.told
    assert all(gone_within(pid, 2.0) for pid in processes)


def test_ctrl_c_ends_it_cleanly(start: Start, tmp_path: Path, network: str) -> None:
    country, faults = small(tmp_path, network)
    demo = start("demo", "--config", country.folder, "--faults", faults, "--port", "0", "--lang", "vi", measured=True)
    demo.until("Số liệu Prometheus: http://")
    time.sleep(1.5)
    processes = family(demo.pid)
    demo.send(signal.SIGINT)
    assert demo.end(within=20) == 0
    assert "Đã dừng; mọi cuộc gọi đã kết thúc." in demo.told
    assert "01001 Phòng 01001" in demo.printed
    assert "Traceback" not in demo.told
    assert all(gone_within(pid, 2.0) for pid in processes)


def test_told_to_stop_while_the_nation_comes_up_it_ends_at_once(start: Start) -> None:
    """Eleven thousand rooms take a while; whoever changed their mind does not wait for them."""
    demo = start("demo", "--port", "0", measured=True)
    deadline = time.monotonic() + 30
    while not family(demo.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    processes = family(demo.pid)
    demo.send(signal.SIGTERM)
    began = time.monotonic()
    assert demo.end(within=20) == 0
    assert time.monotonic() - began < 10.0
    assert all(gone_within(pid, 2.0) for pid in processes)


def test_after_kill_9_nothing_of_it_lives_on(start: Start, tmp_path: Path, network: str) -> None:
    country, faults = small(tmp_path, network)
    demo = start("demo", "--config", country.folder, "--faults", faults, "--port", "0")
    demo.until("http://127.0.0.1")
    processes = family(demo.pid)
    assert len(processes) >= 3
    os.kill(demo.pid, signal.SIGKILL)
    demo.end()
    assert all(gone_within(pid, 8.0) for pid in processes)


def test_a_simulator_that_dies_ends_the_demo(start: Start, tmp_path: Path, network: str) -> None:
    country, faults = small(tmp_path, network)
    demo = start("demo", "--config", country.folder, "--faults", faults, "--port", "0")
    demo.until("http://127.0.0.1")
    simulators = [pid for pid in demo.children if b"simulate" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(simulators[0], signal.SIGKILL)
    assert demo.end(within=30) == 3
    assert "the simulator ended" in demo.told


def test_a_port_that_is_taken_is_named(start: Start, tmp_path: Path, network: str) -> None:
    country, faults = small(tmp_path, network)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        demo = start("demo", "--config", country.folder, "--faults", faults, "--port", port, measured=True)
        assert demo.end(within=40) == 3
    assert f"127.0.0.1:{port}: Address already in use" in demo.told

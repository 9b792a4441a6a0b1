"""What the tests of the simulated nation share: small inventories, a hand-written caller, media without a process."""

from __future__ import annotations

import itertools
import mmap
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge_monitor.domain import Inventory, Site
from bridge_monitor.net import mmsg
from bridge_monitor.net.mmsg import ip_number
from bridge_monitor.sim.assignment import SimulatedSite
from bridge_monitor.sim.board import Board, BoardSize
from bridge_monitor.sim.reflector import ReflectorSettings
from bridge_monitor.sim.wire import MediaSockets
from tests.sim.rigs import Caller, MediaBench, NewBench, NewCaller

_GUARD_PORT = 61_000


@pytest.fixture
def network() -> Iterator[str]:
    """Return the first two bytes of addresses that no other test has, not even one of another run beside this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guard:
        for number in range(os.getpid(), os.getpid() + 200):
            prefix = f"127.{20 + number % 200}"
            try:
                guard.bind((f"{prefix}.255.254", _GUARD_PORT))
            except OSError:
                continue
            yield prefix
            return
    pytest.fail("every network of 127.0.0.0/8 is in use")


@pytest.fixture
def small_nation(network: str) -> Inventory:
    """Return a centre, 2 provinces and 10 communes in each, on two carriers, each on an address of its own."""
    sites = [Site("00", "Trung ương", "central", endpoint=f"sip:room@{network}.0.1")]
    for number in (1, 2):
        code = f"{number:02}"
        endpoint = f"sip:room@{network}.{number}.100:5070"
        sites.append(Site(code, f"Tỉnh {code}", "province", "00", "VNPT", endpoint, "audio"))
        for commune in range(10):
            host = f"{network}.{number}.{commune + 1}"
            carrier = "Viettel" if commune < 4 else "VNPT"
            place = f"{code}{commune:03}"
            sites.append(Site(place, f"Xã {place}", "commune", code, carrier, f"sip:{host}", "audio"))
    return Inventory(sites, ("central", "province", "commune"))


def _socket(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((host, 0))
    return sock


@pytest.fixture
def new_caller() -> Iterator[NewCaller]:
    """Return a maker of callers."""
    callers: list[Caller] = []

    def make() -> Caller:
        callers.append(Caller(_socket(), _socket(), _socket()))
        return callers[-1]

    yield make
    for caller in callers:
        for sock in (caller.sip, caller.rtp, caller.rtcp):
            sock.close()


@pytest.fixture
def caller(new_caller: NewCaller) -> Caller:
    return new_caller()


@pytest.fixture(scope="session")
def kernel_stamps() -> Iterator[None]:
    """Keep the kernel stamping: it begins a moment after the first socket asks, and until then stamps when read."""
    with _socket() as sock:
        mmsg.enable_timestamps(sock)
        batch = mmsg.RecvBatch(1, 16)
        for _ in range(100):
            sock.sendto(b"x", sock.getsockname())
            time.sleep(0.005)
            read_ns = time.time_ns()
            if batch.recv(sock.fileno()) and batch.arrival_ns[0] < read_ns:
                break
        yield


@pytest.fixture
def new_bench(request: pytest.FixtureRequest, caller: Caller, network: str) -> Iterator[NewBench]:
    """Return a maker of media benches: one room an address, two slots each."""
    request.getfixturevalue("kernel_stamps")
    opened: list[MediaSockets] = []

    def make(rooms: int = 1, settings: ReflectorSettings | None = None) -> MediaBench:
        sites = [SimulatedSite(f"{number:02}", f"{network}.0.{number + 1}", 5060, "") for number in range(rooms)]
        size = BoardSize(rooms, 2, rooms)
        board = Board(size, mmap.mmap(-1, Board.bytes_needed(size)))
        board.addresses[:] = [ip_number(site.host) for site in sites]
        board.seed[:] = np.random.default_rng(7).integers(0, 2**63, rooms, dtype=np.uint64)
        opened.append(MediaSockets.open(2, None))
        return MediaBench(sites, board, opened[-1], settings or ReflectorSettings(queue_capacity=4096), caller)

    yield make
    for sockets in opened:
        sockets.close()


@pytest.fixture
def bench(new_bench: NewBench) -> MediaBench:
    return new_bench()


@pytest.fixture
def tokens() -> Callable[[], str]:
    """Return a maker of tokens that are the same in every run."""
    numbers = itertools.count(1)
    return lambda: f"tok{next(numbers):08}"


@pytest.fixture
def plan_file(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a plan to a file and returns its path."""
    path = tmp_path / "plan.yaml"

    def write(text: str) -> Path:
        path.write_text(text, encoding="utf-8")
        return path

    return write

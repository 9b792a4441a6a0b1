"""An engine without its process, in virtual time, and small peers that share no measuring code with the package."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge_monitor.net.engine import wire
from bridge_monitor.net.engine.cards import SharedCard
from bridge_monitor.net.engine.client import with_video
from bridge_monitor.net.engine.layout import Layout
from bridge_monitor.net.engine.loop import Engine
from bridge_monitor.net.engine.plan import EngineSettings, StreamPlan
from bridge_monitor.net.engine.ports import open_pairs
from bridge_monitor.net.engine.video_plan import VideoPlan
from bridge_monitor.net.testcard import Card
from bridge_monitor.rtp.h264 import join_annex_b
from bridge_monitor.rtp.report import StreamReport

MS = 1_000_000


class VirtualClock:
    """CLOCK_MONOTONIC and CLOCK_REALTIME that go on only when told."""

    def __init__(self) -> None:
        self.monotonic = time.monotonic_ns()
        self.offset = time.time_ns() - self.monotonic

    @property
    def clocks(self) -> tuple[Callable[[], int], Callable[[], int]]:
        return lambda: self.monotonic, lambda: self.monotonic + self.offset


class Peer:
    """A room's media: two UDP sockets, read when pumped."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.rtp = self._bind()
        self.rtcp = self._bind()
        self.received: list[tuple[bytes, Any]] = []
        self.reports: list[bytes] = []
        self.on_rtp: Callable[[bytes, Any], None] = lambda _data, _source: None
        self.on_rtcp = self.on_rtp

    def _bind(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.bind((self.host, 0))
        return sock

    @property
    def port(self) -> int:
        return int(self.rtp.getsockname()[1])

    @property
    def rtcp_port(self) -> int:
        return int(self.rtcp.getsockname()[1])

    def pump(self) -> None:
        for data, source in _drain(self.rtp):
            self.received.append((data, source))
            self.on_rtp(data, source)
        for data, source in _drain(self.rtcp):
            self.reports.append(data)
            self.on_rtcp(data, source)

    def echo(self) -> None:
        """From now on send each RTP packet back from where it came to."""
        self.on_rtp = self.rtp.sendto

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def _drain(sock: socket.socket) -> Iterator[tuple[bytes, Any]]:
    while True:
        try:
            yield sock.recvfrom(4096)
        except BlockingIOError:
            return


def rtp(seq: int, timestamp: int, ssrc: int, *, payload_type: int = 0) -> bytes:
    """Build a packet by hand, after the picture in RFC 3550 §5.1."""
    return struct.pack("!BBHII", 0x80, payload_type, seq & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + b"\xff" * 160


def receiver_report(sender: int, about: int | None, highest: int = 0, lost: int = 0, lsr: int = 0) -> bytes:
    """Build an RR by hand, after the picture in RFC 3550 §6.4.2, with one block or none."""
    if about is None:
        return struct.pack("!BBHI", 0x80, 201, 1, sender)
    block = struct.pack("!IIIIII", about, lost & 0xFFFFFF, highest, 80, lsr, 0)
    return struct.pack("!BBHI", 0x81, 201, 7, sender) + block


class Station:
    """An engine driven tick by tick."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.clock = VirtualClock()
        self.pairs = open_pairs(settings, time.monotonic_ns())
        self._memory = bytearray(Layout.size(settings.rows))
        self.layout = Layout(settings.rows, memoryview(self._memory))
        self.parent, self._channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.parent.settimeout(0)
        self.engine = Engine(settings, memoryview(self._memory), self._channel, self.pairs, clocks=self.clock.clocks)
        self._generation = 0
        self.told: list[dict[str, Any]] = []
        self.ends: list[wire.Finished] = []
        self.captured: list[bytes] = []

    def load(self, card: Card) -> None:
        """Hand a card over as the engine's parent does."""
        shared = SharedCard(card)
        socket.send_fds(self.parent, [wire.encode(shared.command)], [shared.fd])
        shared.close()
        self.engine.tick()

    def begin(self, row: int, plan: StreamPlan | VideoPlan, reserved_ns: int | None = None) -> int:
        """Command the engine as its parent does; return the generation."""
        self._generation += 1
        since = time.time_ns() if reserved_ns is None else reserved_ns
        self.parent.send(wire.encode_begin(row, self._generation, since, plan))
        self.engine.tick()
        return self._generation

    def run(self, seconds: float, *peers: Peer, step_ms: float = 2, until: Callable[[], bool] | None = None) -> None:
        """Let time pass; after each tick the peers do their part."""
        for _ in range(round(seconds * 1000 / step_ms)):
            self.clock.monotonic += round(step_ms * MS)
            self.engine.tick()
            for peer in peers:
                peer.pump()
            self._listen()
            if until is not None and until():
                return

    def _listen(self) -> None:
        while True:
            try:
                data = self.parent.recv(wire.MAX_MESSAGE)
            except BlockingIOError:
                return
            ends = wire.decode_finished(data)
            self.ends += ends
            if ends:
                continue
            if data[:1] == b"{":
                self.told.append(json.loads(data))
            else:
                self.captured.append(data)

    def finished(self, row: int) -> bool:
        return any(ended.row == row for ended in self.ends)

    def report(self, row: int) -> StreamReport:
        """Return what the parent would make of the row once it was told "finished"."""
        (ended,) = [one for one in self.ends if one.row == row]
        report = self.layout.report(row, ended.peer, now_ns=0)
        return with_video(report, ended.video) if ended.video else report

    def close(self) -> None:
        self.parent.close()
        self._channel.close()
        for pair in self.pairs:
            pair.close()


@pytest.fixture
def new_station() -> Iterator[Callable[..., Station]]:
    """Return ``new_station(**settings)``; 8 rows on 2 port pairs unless told otherwise."""
    stations: list[Station] = []

    def new(**settings: Any) -> Station:
        facts = {"rows": 8, "port_pairs": 2, "source_host": "127.0.0.1", "tick_seconds": 0.002, "read_seconds": 0.002}
        station = Station(EngineSettings(**{**facts, **settings}))
        stations.append(station)
        return station

    yield new
    for station in stations:
        station.close()


@pytest.fixture
def station(new_station: Callable[..., Station]) -> Station:
    return new_station()


@pytest.fixture
def new_peer() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def new(host: str = "127.0.0.1") -> Peer:
        peers.append(Peer(host))
        return peers[-1]

    yield new
    for peer in peers:
        peer.close()


@pytest.fixture
def packets() -> Any:
    """Return the two builders of packets, `rtp` and `receiver_report`: tests can't import from here."""

    class Builders:
        rtp = staticmethod(rtp)
        receiver_report = staticmethod(receiver_report)

    return Builders


@pytest.fixture
def plan_for() -> Callable[..., StreamPlan]:
    """Return ``plan_for(peer, **changes)``."""

    def make(peer: Peer, **changes: Any) -> StreamPlan:
        facts: dict[str, Any] = {
            "remote_host": peer.host,
            "rtp_port": peer.port,
            "rtcp_port": peer.rtcp_port,
            "payload_type": 0,
            "codec": "PCMU",
            "accepted_payload_types": (0, 8),
            "ssrc": 0x0BADCAFE,
            "first_seq": 100,
            "first_timestamp": 5000,
            "duration_seconds": 1.0,
        }
        return StreamPlan(**{**facts, **changes})

    return make


@pytest.fixture
def card() -> Card:
    """Return a card of eight pictures that no decoder has to like: of 9, 2, 1, 4, 3, 60, 1 and 2 packets."""
    sizes = (11_000, 1400, 700, 5000, 4008, 79_000, 60, 1336 * 2 + 1)
    pictures = [bytes([0x41]) + bytes([number + 1]) * (size - 1) for number, size in enumerate(sizes)]
    frames = [join_annex_b([picture]) for picture in pictures]
    frames[0] = join_annex_b([b"\x67" + b"s" * 20, b"\x68pps"]) + frames[0]
    return Card("a", 1_000_000, 25, tuple(frames))


@pytest.fixture
def video_plan_for() -> Callable[..., VideoPlan]:
    """Return ``video_plan_for(peer, **changes)``."""

    def make(peer: Peer, **changes: Any) -> VideoPlan:
        facts: dict[str, Any] = {
            "remote_host": peer.host,
            "rtp_port": peer.port,
            "rtcp_port": peer.rtcp_port,
            "payload_type": 96,
            "accepted_payload_types": (96,),
            "ssrc": 0x0BADCAFE,
            "first_seq": 65500,
            "first_timestamp": 2**32 - 9000,
            "duration_seconds": 0.32,
        }
        return VideoPlan(**{**facts, **changes})

    return make

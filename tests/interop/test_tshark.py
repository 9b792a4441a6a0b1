"""tshark on a capture of the same call: another's reading of the same packets."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge_monitor.daemon.capture import CallCapture
from bridge_monitor.domain import MediaMode, Outcome
from bridge_monitor.probes.shapes import Finished
from tests.interop.rigs import Line, PeerProcess, RtpStream, SoftClient, StartRoom, description, rtp_streams, tshark

pytestmark = pytest.mark.peer("tshark")

StartCapture = Callable[..., Awaitable["Capture"]]
MARK_PORT = 9
JITTER_TOLERANCE_SECONDS = 0.0001
JITTER_TOLERANCE = 0.05


class Capture:
    """dumpcap on loopback."""

    def __init__(self, process: PeerProcess, path: Path) -> None:
        self._process = process
        self.path = path

    async def streams_of(self, finished: Finished) -> list[RtpStream]:
        """End it and return tshark's figures of each RTP stream of the call."""
        # What has passed before a mark of ours is in the file when the mark is.
        mark = os.urandom(32)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(mark, ("127.0.0.1", MARK_PORT))
        await self._process.until(lambda: mark in self.path.read_bytes(), "write everything down")
        self._process.stop(with_signal=signal.SIGINT)
        port = int(re.search(r"m=audio (\d+)", finished.evidence.offer)[1])
        # Loopback is everybody's.
        return [stream for stream in rtp_streams(self.path) if port in (stream.source_port, stream.destination_port)]


@pytest.fixture
def start_capture(new_process: Callable[..., PeerProcess], tmp_path: Path) -> StartCapture:
    """Return what starts to capture datagrams on loopback: those of a host, or all.

    Others may load it heavily at the same time: hence the filter, and a buffer of 128 MiB.
    """

    async def start(of_host: str | None = None) -> Capture:
        path = tmp_path / "lo.pcapng"
        wanted = f"udp and (host {of_host} or dst port {MARK_PORT})" if of_host else "udp"
        command = ["dumpcap", "-q", "-i", "lo", "-B", "128", "-f", wanted, "-w", str(path)]
        process = new_process("dumpcap", command)
        await process.started(lambda: "File: " in process.logs())
        return Capture(process, path)

    return start


def same_jitter(ours: float, theirs: float) -> bool:
    """Tell whether two mean jitters agree within 5 % or 0.1 ms: A.8 rounds to whole units of 125 µs."""
    return abs(ours - theirs) <= max(JITTER_TOLERANCE_SECONDS, JITTER_TOLERANCE * theirs)


@contextmanager
def uneven_room(host: str, *, packets: int, lost: frozenset[int], seed: int) -> Iterator[int]:
    """Send a stream with gaps and uneven pauses to whoever sends first; yield its port. Not a line of ours in it."""
    chance = random.Random(seed)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(10.0)

        def play() -> None:
            _, caller = sock.recvfrom(2048)
            began = time.monotonic()
            for number in range(packets):
                time.sleep(max(0.0, began + 0.02 * number + chance.uniform(0.0, 0.015) - time.monotonic()))
                if number not in lost:
                    header = struct.pack("!BBHII", 0x80, 0, (65500 + number) & 0xFFFF, 160 * number, 0xCAFE)
                    sock.sendto(header + b"\xff" * 160, caller)

        player = threading.Thread(target=play)
        player.start()
        try:
            yield sock.getsockname()[1]
        finally:
            player.join()


# Capturing takes the same right as making network namespaces does, hence "root".
@pytest.mark.root
@pytest.mark.peer("sipp")
class TestEcho:
    async def test_both_ways_have_as_many_packets_as_tshark_sees(
        self, line: Line, start_room: StartRoom, start_capture: StartCapture
    ) -> None:
        room = await start_room("answer", "-rtp_echo")
        capture = await start_capture(room.host)
        finished = await line.call(room.uri, duration_seconds=2.0)
        out, back = sorted(await capture.streams_of(finished), key=lambda stream: stream.source_host == room.host)
        round_trip = finished.result.media[0].round_trip
        assert out.ssrc == back.ssrc
        assert (out.packets, out.lost) == (round_trip.packets_sent, 0) == (100, 0)
        assert (back.packets, back.lost) == (round_trip.packets_received, round_trip.packets_lost)
        assert (out.destination_port, back.source_port) == (room.rtp_port, room.rtp_port)


@pytest.mark.root
@pytest.mark.peer("baresip")
class TestAStreamOfTheRoomsOwn:
    async def test_packets_loss_and_jitter_are_tshark_s(
        self, line: Line, start_baresip: Callable[[], Awaitable[SoftClient]], start_capture: StartCapture
    ) -> None:
        room = await start_baresip()
        capture = await start_capture()
        finished = await line.call(room.uri, duration_seconds=2.0)
        (media,) = finished.result.media
        assert media.mode is MediaMode.RTCP
        streams = {stream.ssrc: stream for stream in await capture.streams_of(finished)}
        theirs = streams.pop(finished.stream.inbound.ssrc)
        (ours,) = streams.values()
        assert (ours.packets, ours.lost) == (media.outbound.packets_sent, media.outbound.packets_lost)
        # The room goes on until it has our BYE; we count until our stream's end, read up to 20 ms before.
        until = f"rtp.ssrc == 0x{theirs.ssrc:08x} && frame.time_epoch <= {finished.stream.ended_ns / 1e9:.6f}"
        assert 0 <= len(tshark(capture.path, "-Y", until).splitlines()) - media.inbound.packets_received <= 2
        assert theirs.lost == media.inbound.packets_lost == 0
        assert same_jitter(media.inbound.jitter_seconds, theirs.mean_jitter_seconds)


@pytest.mark.root
@pytest.mark.peer("sipp")
class TestAnUnevenStream:
    async def test_its_gaps_and_its_jitter_are_tshark_s(
        self, line: Line, start_room: StartRoom, start_capture: StartCapture, host: str
    ) -> None:
        """Three packets of 100 are missing, pauses vary by 15 ms, the sequence number wraps."""
        capture = await start_capture(host)
        with uneven_room(host, packets=100, lost=frozenset({10, 37, 38}), seed=7) as port:
            sdp = description("{host}", port, "a=rtpmap:0 PCMU/8000")
            room = await start_room("hang_up", sdp=sdp, milliseconds="2500")
            finished = await line.call(room.uri, duration_seconds=1.0)
        inbound = finished.result.media[0].inbound
        (theirs,) = [stream for stream in await capture.streams_of(finished) if stream.ssrc == 0xCAFE]
        assert (inbound.packets_received, inbound.packets_lost, inbound.packets_expected) == (97, 3, 100)
        assert (theirs.packets, theirs.lost) == (97, 3)
        assert inbound.jitter_seconds > 0.001
        assert same_jitter(inbound.jitter_seconds, theirs.mean_jitter_seconds)
        assert same_jitter(inbound.jitter_max_seconds, theirs.max_jitter_seconds)


@pytest.mark.peer("sipp")
class TestCallCapture:
    """What ``--pcap`` writes is made up from what engine and user agent saw: others must be able to read it."""

    async def capture(
        self, line: Line, start_room: StartRoom, path: Path, *, keep_payload: bool
    ) -> tuple[str, Finished]:
        room = await start_room("ring_and_answer", "-rtp_echo")
        with CallCapture(path, keep_payload=keep_payload) as capture:
            finished = await line.call(room.uri, duration_seconds=1.2, tap=capture.sip, capture=True, tone=True)
            capture.media(finished.packets)
        assert finished.result.outcome is Outcome.REACHED
        return room.host, finished

    async def test_it_shows_the_whole_call_without_what_was_heard(
        self, line: Line, start_room: StartRoom, tmp_path: Path
    ) -> None:
        path = tmp_path / "call.pcap"
        host, _ = await self.capture(line, start_room, path, keep_payload=False)
        sip = tshark(path, "-Y", "sip", "-T", "fields", "-e", "sip.Method", "-e", "sip.Status-Code").split()
        assert sip == ["INVITE", "100", "180", "200", "ACK", "BYE", "200"]
        rows = tshark(path, "-Y", "rtp", "-T", "fields", "-e", "ip.src", "-e", "frame.len", "-e", "frame.cap_len")
        rtp = [row.split("\t") for row in rows.splitlines()]
        assert len(rtp) == 120
        assert sum(source == host for source, _, _ in rtp) == 60
        assert {(int(full), int(kept)) for _, full, kept in rtp} == {(20 + 8 + 12 + 160, 20 + 8 + 12)}
        assert tshark(path, "-Y", "rtcp", "-T", "fields", "-e", "rtcp.pt").count("200") >= 1

    async def test_its_streams_have_the_figures_of_the_result(
        self, line: Line, start_room: StartRoom, tmp_path: Path
    ) -> None:
        path = tmp_path / "call.pcap"
        await self.capture(line, start_room, path, keep_payload=False)
        assert [(stream.packets, stream.lost) for stream in rtp_streams(path)] == [(60, 0), (60, 0)]

    async def test_what_was_heard_is_kept_if_asked_for(self, line: Line, start_room: StartRoom, tmp_path: Path) -> None:
        path = tmp_path / "call.pcap"
        await self.capture(line, start_room, path, keep_payload=True)
        payloads = tshark(path, "-Y", "rtp", "-T", "fields", "-e", "rtp.payload").split()
        assert len(payloads) == 120
        assert {len(bytes.fromhex(payload.replace(":", ""))) for payload in payloads} == {160}

    @pytest.mark.root
    async def test_its_times_are_those_of_the_kernel_s_own_capture(
        self, line: Line, start_room: StartRoom, start_capture: StartCapture, host: str
    ) -> None:
        """Each packet that came back has the kernel's own receive time."""
        kernel = await start_capture(host)
        path = kernel.path.with_name("call.pcap")
        _, finished = await self.capture(line, start_room, path, keep_payload=False)
        await kernel.streams_of(finished)
        seen, known = (_arrivals(file, host) for file in (path, kernel.path))
        assert len(seen) == 60
        assert seen.keys() == known.keys()
        assert max(abs(seen[number] - known[number]) for number in seen) < 0.005


def _arrivals(path: Path, host: str) -> dict[str, float]:
    """Return the time of each RTP packet from a host by its sequence number."""
    fields = tshark(path, "-Y", f"rtp && ip.src == {host}", "-T", "fields", "-e", "rtp.seq", "-e", "frame.time_epoch")
    return {number: float(moment) for number, moment in (row.split("\t") for row in fields.splitlines())}

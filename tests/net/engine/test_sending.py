"""`net.engine.sending`: the pace, the headers, and what is noted of each packet sent, in virtual time."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bridge_monitor.net.engine.plan import SEND_LATE, SHORT_SEND, StreamPlan

Plan = Callable[..., StreamPlan]
HEADER = struct.Struct("!BBHII")


def test_packets_follow_each_other_in_number_and_time(station: Any, new_peer: Any, plan_for: Plan) -> None:
    """Sequence number and timestamp go on by one and by 160, across both their wraps."""
    peer = new_peer()
    station.begin(0, plan_for(peer, first_seq=65530, first_timestamp=2**32 - 500, payload_type=8, codec="PCMA"))
    station.run(1.1, peer)
    headers = [HEADER.unpack_from(data) for data, _ in peer.received]
    assert len(headers) == 50
    assert [seq for _, _, seq, _, _ in headers] == [(65530 + number) & 0xFFFF for number in range(50)]
    assert [at for *_, at, _ in headers] == [(2**32 - 500 + 160 * number) % 2**32 for number in range(50)]
    assert {(first, kind, ssrc) for first, kind, _, _, ssrc in headers} == {(0x80, 8, 0x0BADCAFE)}
    assert {data[12:] for data, _ in peer.received} == {b"\xd5" * 160}
    assert {source for _, source in peer.received} == {("127.0.0.1", station.pairs[0].port)}


def test_the_pace_is_the_packet_interval(station: Any, new_peer: Any, plan_for: Plan) -> None:
    peer = new_peer()
    station.begin(0, plan_for(peer, ptime_ms=40, duration_seconds=2.0))
    counts = []
    for _ in range(10):
        station.run(0.2, peer)
        counts.append(len(peer.received))
    assert counts == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    assert {len(data) for data, _ in peer.received} == {12 + 320}


def test_calls_on_different_ports_take_different_turns(new_station: Any, new_peer: Any, plan_for: Plan) -> None:
    """What is sent is spread over the packet interval, port by port."""
    station = new_station(rows=10, port_pairs=10)
    peer = new_peer()
    for row in range(10):
        station.begin(row, plan_for(peer, ssrc=row))
    per_tick = []
    for _ in range(100):
        before = len(peer.received)
        station.run(0.002, peer)
        per_tick.append(len(peer.received) - before)
    assert set(per_tick[10:]) == {1}


def test_large_packets_end_the_stream_with_exact_timestamps(station: Any, new_peer: Any, plan_for: Plan) -> None:
    """Each stands for as much audio as it holds, in number, timestamp and pace."""
    peer = new_peer()
    peer.echo()
    station.begin(0, plan_for(peer, large_packets=3, duration_seconds=0.2))
    station.run(1.5, peer)
    tail = [(HEADER.unpack_from(data)[2:4], len(data)) for data, _ in peer.received[9:]]
    assert tail == [
        ((109, 5000 + 9 * 160), 172),
        ((110, 5000 + 10 * 160), 1292),
        ((111, 5000 + 10 * 160 + 1280), 1292),
        ((112, 5000 + 10 * 160 + 2560), 1292),
    ]
    report = station.report(0)
    assert (report.packets_sent, report.large_sent) == (13, 3)
    assert (report.echo.sent, report.echo.large_sent, report.echo.large_received) == (10, 3, 3)
    sent_for_seconds = (report.ended_ns - report.started_ns) / 1e9
    # Echoes are waited for as long as the longest took, and those travel in real time.
    assert -0.005 <= sent_for_seconds - (0.2 + 2 * 0.16 + 0.3) <= 0.005 + max(0.0, report.echo.rtt.max)


def test_a_tone_is_one_kilohertz_and_silence_is_silent(station: Any, new_peer: Any, plan_for: Plan) -> None:
    """Decoded by G.711's own rule the tone has period 8 samples and no offset; silence decodes to (nearly) zero."""
    tone, silence = new_peer(), new_peer()
    station.begin(0, plan_for(tone, tone=True, ssrc=1))
    station.begin(1, plan_for(silence, ssrc=2))
    station.run(0.1, tone, silence)
    payload = tone.received[0][0][12:]
    samples = [_decode_mu_law(code) for code in payload]
    assert samples[:8] * 20 == samples
    assert sum(samples[:8]) == 0
    assert samples[:4] == [-sample for sample in samples[4:8]]
    loudness = 20 * np.log10(np.sqrt(np.mean(np.square(samples))) / (8159 * 10 ** (-3.17 / 20) / np.sqrt(2)))
    assert -14 < loudness < -10  # dBm0
    assert {abs(_decode_mu_law(code)) for code in silence.received[0][0][12:]} == {0}


def _decode_mu_law(code: int) -> int:
    """Return the 14-bit sample (ITU-T G.711 Table 2a)."""
    code = ~code & 0xFF
    size = ((code & 0x0F) * 2 + 33 << (code >> 4 & 7)) - 33
    return -size if code & 0x80 else size


def test_a_call_can_leave_from_an_address_of_its_own(new_station: Any, new_peer: Any, plan_for: Plan) -> None:
    """RTP and RTCP alike; the others leave from the one routing takes."""
    station = new_station(source_host="0.0.0.0")
    peer, other = new_peer(), new_peer()
    peer.echo()
    sources = []
    peer.on_rtcp = lambda _data, source: sources.append(source)
    station.begin(0, plan_for(peer, source_host="127.5.5.5", ssrc=1))
    station.begin(1, plan_for(other, ssrc=2, report_wait_seconds=0.3))
    station.run(2, peer, other)
    port = station.pairs[0].port
    assert {source for _, source in peer.received} == {("127.5.5.5", port)}
    assert {source for _, source in other.received} == {("127.0.0.1", port)}
    assert station.report(0).echo.received == 50
    assert sources == [("127.5.5.5", port + 1)] * 2


def test_a_late_tick_is_noted_and_not_made_up_for_in_a_burst(station: Any, new_peer: Any, plan_for: Plan) -> None:
    """The stream goes on a few turns later; of its lateness the report tells, and more than 1 % of it is invalid."""
    peer = new_peer()
    peer.echo()
    station.begin(0, plan_for(peer))
    station.run(0.2, peer)
    before = len(peer.received)
    station.clock.monotonic += 70_000_000
    station.run(0.022, peer)
    assert len(peer.received) - before == 2  # the overdue one and that of its next turn
    station.run(2, peer)
    report = station.report(0)
    assert [HEADER.unpack_from(data)[2] for data, _ in peer.received] == list(range(100, 150))
    assert report.lateness.max_seconds == pytest.approx(0.07, abs=0.02)
    assert report.invalid == (SEND_LATE,)


def test_a_little_lateness_is_no_fault(station: Any, new_peer: Any, plan_for: Plan) -> None:
    peer = new_peer()
    peer.echo()
    station.begin(0, plan_for(peer))
    station.run(2, peer, step_ms=6)
    report = station.report(0)
    assert report.invalid == ()
    assert report.packets_sent == 50
    assert 0.001 < report.lateness.max_seconds < 0.02


def test_a_packet_that_the_kernel_refuses_is_no_loss_of_the_room(station: Any, new_peer: Any, plan_for: Plan) -> None:
    """The call is invalid, the others of the same batch are sent, and the echo counts only what left."""
    peer = new_peer()
    peer.echo()
    station.begin(0, plan_for(peer, ssrc=1))
    station.begin(1, plan_for(peer, ssrc=2))
    station.run(0.1, peer)
    batch = station.engine._sender._batch
    batch.dst_port[0] = 0
    station.run(0.02, peer)
    batch.dst_port[0] = peer.port
    station.run(2, peer)
    broken, whole = station.report(0), station.report(1)
    assert broken.invalid == (SHORT_SEND,)
    assert (broken.packets_sent, broken.echo.sent, broken.echo.lost) == (50, 49, 0)
    assert whole.invalid == ()
    assert (whole.echo.sent, whole.echo.lost) == (50, 0)


def test_what_the_kernel_does_not_take_is_sent_at_the_next_tick(
    station: Any, new_peer: Any, plan_for: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = new_peer()
    peer.echo()
    for row in range(3):
        station.begin(row, plan_for(peer, ssrc=row + 1))
    station.run(0.1, peer)
    batch = station.engine._sender._batch
    whole = batch.send
    left = [1]

    def only_the_first(fd: int, n: int, start: int = 0) -> int:
        return whole(fd, left.pop() if left else n, start)

    monkeypatch.setattr(batch, "send", only_the_first)
    station.run(2, peer)
    reports = [station.report(row) for row in range(3)]
    assert [report.invalid for report in reports] == [(), (SHORT_SEND,), (SHORT_SEND,)]
    assert [(report.echo.sent, report.echo.lost) for report in reports] == [(50, 0)] * 3
    assert station.layout.counts[6] == 2


def test_calls_on_one_port_keep_their_own_marks(station: Any, new_peer: Any, plan_for: Plan) -> None:
    """The first call's mark is the socket's own, and needs no control message; another call's goes with its packets."""
    came: dict[int, set[int]] = {}
    for row, dscp in enumerate((46, 34, 46)):
        peer = new_peer()
        for sock in (peer.rtp, peer.rtcp):
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        station.begin(row, plan_for(peer, ssrc=row + 1, dscp=dscp, source_host="127.0.0.1"))
        station.run(1.2)
        came[row] = {
            control[2][0]
            for sock in (peer.rtp, peer.rtcp)
            for _ in range(2 if sock is peer.rtp else 1)
            for control in sock.recvmsg(256, 64)[1]
            if control[:2] == (socket.IPPROTO_IP, socket.IP_TOS)
        }
    assert came == {0: {46 << 2}, 1: {34 << 2}, 2: {46 << 2}}

"""`net.engine.reports`: the RTCP we send, read by hand, and what peers' reports become."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from bridge_monitor.net.engine.layout import Count
from bridge_monitor.net.engine.plan import SHORT_SEND, StreamPlan

Plan = Callable[..., StreamPlan]
NTP_1970 = 2_208_988_800


def _parts(data: bytes) -> list[tuple[int, int, bytes]]:
    """Cut a compound into (type, count, body) after RFC 3550 §6.1."""
    parts = []
    while data:
        first, kind, words = struct.unpack_from("!BBH", data)
        assert first >> 6 == 2
        parts.append((kind, first & 31, data[4 : 4 + 4 * words]))
        data = data[4 + 4 * words :]
    return parts


def _answer(peer: Any, station: Any, data: bytes, *, rtp_port: bool = False) -> None:
    peer.rtcp.sendto(data, ("127.0.0.1", station.pairs[0].port + (not rtp_port)))


def _lsr_of(report: bytes) -> int:
    """Return the middle 32 bits of an SR's NTP time."""
    return int.from_bytes(report[10:14], "big")


class TestWhatWeSend:
    def test_the_first_after_a_second_then_every_two_and_a_half_and_a_goodbye(
        self, station: Any, new_peer: Any, plan_for: Plan
    ) -> None:
        peer = new_peer()
        peer.echo()
        station.begin(0, plan_for(peer, duration_seconds=7.0))
        times = []
        for _ in range(100):
            before = len(peer.reports)
            station.run(0.1, peer, step_ms=10)
            times += [round(station.clock.monotonic / 1e9, 1)] * (len(peer.reports) - before)
        assert [round(at - times[0], 1) for at in times[:-1]] == [0, 2.5, 5.0]
        assert [[kind for kind, _, _ in _parts(data)] for data in peer.reports] == [[200, 202]] * 3 + [[200, 202, 203]]

    def test_a_sender_report_tells_time_and_counts(self, station: Any, new_peer: Any, plan_for: Plan) -> None:
        """NTP and RTP time are of the same moment, packets and octets those sent by then."""
        peer = new_peer()
        station.begin(0, plan_for(peer))
        station.run(1.001, peer)
        (kind, blocks, body), (sdes, chunks, names) = _parts(peer.reports[0])
        assert (kind, blocks, sdes, chunks) == (200, 0, 202, 1)
        ssrc, seconds, fraction, timestamp, packets, octets = struct.unpack("!IIIIII", body)
        assert ssrc == 0x0BADCAFE
        now = (station.clock.monotonic + station.clock.offset) / 1e9
        assert seconds - NTP_1970 + fraction / 2**32 == pytest.approx(now, abs=0.01)
        assert (packets, octets) == (len(peer.received), 160 * len(peer.received))
        started = station.layout.started_ns[0] / 1e9
        assert (timestamp - 5000) / 8000 == pytest.approx(now - started, abs=0.01)
        assert names[:6] == struct.pack("!IBB", 0x0BADCAFE, 1, 15)
        assert names[6:].rstrip(b"\0") == b"kiemtra@invalid"

    def test_a_block_tells_what_we_received(self, station: Any, new_peer: Any, plan_for: Plan, packets: Any) -> None:
        peer = new_peer()
        station.begin(0, plan_for(peer))
        sender_report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 0xFEED, 0x11112222, 0x33334444, 0, 0, 0)
        _answer(peer, station, sender_report)
        for number in range(40):
            if number not in {3, 4}:
                peer.rtp.sendto(packets.rtp(1000 + number, 160 * number, 0xFEED), ("127.0.0.1", station.pairs[0].port))
        station.run(1.01, peer)
        (_, blocks, body), *_ = _parts(peer.reports[0])
        assert blocks == 1
        about, loss, highest, _jitter, lsr, dlsr = struct.unpack("!IIIIII", body[24:])
        assert (about, highest, loss & 0xFFFFFF, loss >> 24) == (0xFEED, 1039, 2, 2 * 256 // 40)
        assert lsr == 0x22223333
        assert dlsr / 65536 == pytest.approx(1.0, abs=0.05)

    def test_a_row_s_next_call_reports_at_its_own_times(self, station: Any, new_peer: Any, plan_for: Plan) -> None:
        """What was due of the last call is not said for the next one, which has the row before that."""
        first, second = new_peer(), new_peer()
        for peer in (first, second):
            peer.echo()
        station.begin(0, plan_for(first, duration_seconds=1.0))
        station.run(1.5, first)  # over: its next report was due at 3.5 s
        station.ends.clear()
        station.begin(0, plan_for(second, duration_seconds=4.0, ssrc=7, cname="another name@invalid"))
        station.run(5, first, second)
        kinds = [[[kind for kind, _, _ in _parts(data)] for data in peer.reports] for peer in (first, second)]
        assert kinds == [[[200, 202]] * count + [[200, 202, 203]] for count in (1, 2)]
        for _, _, body in _parts(second.reports[-1]):
            assert body[:4] == b"\0\0\0\7"
        assert b"another name@invalid\0" in second.reports[0]

    def test_each_has_its_call_s_mark_and_source(self, station: Any, new_peer: Any, plan_for: Plan) -> None:
        """Where it is not the socket's own, each report says so to the kernel."""
        peers = new_peer(), new_peer()
        for peer in peers:
            peer.rtcp.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        station.begin(0, plan_for(peers[0], ssrc=1, dscp=46))
        station.begin(1, plan_for(peers[1], ssrc=2, dscp=10, source_host="127.0.0.1"))
        station.run(1.01)
        seen = []
        for peer in peers:
            _, control, _, source = peer.rtcp.recvmsg(2048, 64)
            seen.append((control[0][2][0] >> 2, source))
        assert seen == [(46, ("127.0.0.1", station.pairs[0].port + 1)), (10, ("127.0.0.1", station.pairs[0].port + 1))]

    def test_a_report_that_can_t_be_sent_is_our_fault(self, station: Any, new_peer: Any, plan_for: Plan) -> None:
        peer = new_peer()
        peer.echo()
        station.begin(0, plan_for(peer))
        station.run(0.5, peer)
        station.engine._reports._sessions[0].destination = ("127.0.0.1", 0)
        station.run(2, peer)
        assert station.report(0).invalid == (SHORT_SEND,)
        assert station.layout.counts[Count.RTCP_SENT] == 0


class TestWhatPeersReport:
    @pytest.mark.parametrize("rtp_port", [False, True], ids=["own port", "RTP's port (RFC 5761)"])
    def test_loss_and_coverage(
        self,
        station: Any,
        new_peer: Any,
        plan_for: Plan,
        packets: Any,
        rtp_port: bool,  # noqa: FBT001 - a table's column
    ) -> None:
        """A report counts up to its highest sequence number; one that covers enough ends the wait."""
        peer = new_peer()
        station.begin(0, plan_for(peer, first_seq=65530))
        station.run(0.5, peer)
        _answer(peer, station, packets.receiver_report(7, 0x0BADCAFE, 65530 + 20, 1), rtp_port=rtp_port)
        station.run(1.5, peer)
        assert not station.finished(0)
        _answer(peer, station, packets.receiver_report(7, 0x0BADCAFE, 65530 + 48, 3), rtp_port=rtp_port)
        station.run(0.01, peer)
        said = station.report(0).peer
        assert (said.reports, said.packets_reported, said.packets_lost) == (2, 49, 3)
        assert said.jitter_seconds == pytest.approx(0.01)
        assert station.report(0).peer_silent_reports == 0

    def test_reports_that_wait_on_several_local_ports_reach_each_its_own_call(
        self, station: Any, new_peer: Any, plan_for: Plan, packets: Any
    ) -> None:
        """The calls have one SSRC, so that only the port tells them apart."""
        peers = new_peer(), new_peer()
        first, second = station.pairs
        for row, peer in zip((0, 4), peers, strict=True):
            peer.echo()
            station.begin(row, plan_for(peer))
        station.run(0.9, *peers)
        for highest in (110, 120):
            peers[0].rtcp.sendto(packets.receiver_report(7, 0x0BADCAFE, highest), ("127.0.0.1", first.port + 1))
        peers[1].rtcp.sendto(packets.receiver_report(8, 0x0BADCAFE, 130), ("127.0.0.1", second.port + 1))
        station.run(0.6, *peers)
        found = [station.report(row).peer for row in (0, 4)]
        assert [(peer.reports, peer.packets_reported) for peer in found] == [(2, 21), (1, 31)]

    def test_round_trip_time_from_lsr(self, station: Any, new_peer: Any, plan_for: Plan, packets: Any) -> None:
        """A − LSR − DLSR, A being the kernel's time of arrival, here of a clock that stands where ours does."""
        peer = new_peer()
        station.begin(0, plan_for(peer))
        station.run(1.01, peer)
        station.clock.monotonic = time.time_ns() - station.clock.offset + 1_500_000_000  # real time passes again
        sent_at = _lsr_of(peer.reports[0])
        now_short = ((time.time_ns() // 1000 + NTP_1970 * 1_000_000) * 65536 // 1_000_000) & 0xFFFFFFFF
        lsr = (now_short - 6554) & 0xFFFFFFFF  # an SR of a tenth of a second ago
        assert abs(sent_at - now_short) < 65536 * 5
        _answer(peer, station, packets.receiver_report(7, 0x0BADCAFE, 140, lsr=lsr))
        station.run(0.01, peer, step_ms=2)
        station.run(20, peer, step_ms=10)
        assert station.report(0).peer.rtt.median == pytest.approx(0.1, abs=0.05)

    def test_a_peer_that_reports_nothing_of_us_is_noted(
        self, station: Any, new_peer: Any, plan_for: Plan, packets: Any
    ) -> None:
        """Only from two seconds on: the first report may have been sent before our stream arrived."""
        peer = new_peer()
        station.clock.offset -= 1_900_000_000  # the stream began 1.9 s ago by the kernel's clock
        station.begin(0, plan_for(peer, report_wait_seconds=1.0))
        station.run(0.1, peer)
        _answer(peer, station, packets.receiver_report(7, None))
        station.run(0.1, peer)
        assert station.layout.silent_reports[0] == 0
        station.layout.started_ns[0] -= 1_000_000_000
        _answer(peer, station, packets.receiver_report(7, None))
        station.run(4, peer)
        report = station.report(0)
        assert report.peer is None
        assert report.peer_silent_reports == 1

    def test_our_own_report_echoed_is_none(self, station: Any, new_peer: Any, plan_for: Plan) -> None:
        peer = new_peer()
        peer.echo()
        station.begin(0, plan_for(peer, duration_seconds=2.0))
        station.run(1.1, peer)
        _answer(peer, station, peer.reports[0])
        station.run(4, peer)
        assert station.report(0).peer is None
        assert station.layout.counts[Count.UNMATCHED] == 1
        assert station.layout.counts[Count.RTCP_RECEIVED] == 0

    @pytest.mark.parametrize(
        "data",
        [b"\x80\xc9", b"\x81\xc9\x00\x01\x00\x00\x00\x07", b"\x80\xca\x00\x00", b"\x00" * 12],
        ids=["cut", "block missing", "SDES alone", "version 0"],
    )
    def test_what_can_t_be_read_is_nobody_s(self, station: Any, new_peer: Any, plan_for: Plan, data: bytes) -> None:
        peer = new_peer()
        station.begin(0, plan_for(peer, report_wait_seconds=0.3))
        _answer(peer, station, data)
        station.run(2, peer)
        assert station.report(0).peer is None
        assert station.layout.counts[Count.UNMATCHED] == 1

    def test_a_report_of_what_was_never_sent_is_ignored(
        self, station: Any, new_peer: Any, plan_for: Plan, packets: Any
    ) -> None:
        peer = new_peer()
        station.begin(0, plan_for(peer, report_wait_seconds=0.3))
        station.run(0.5, peer)
        _answer(peer, station, packets.receiver_report(7, 0x0BADCAFE, 9000))
        station.run(2, peer)
        assert station.report(0).peer is None

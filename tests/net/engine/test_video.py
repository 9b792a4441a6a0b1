"""`net.engine.video`: the card's pictures leave on time and whole, on real sockets in virtual time."""

from __future__ import annotations

import ctypes
import errno
import socket
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from bridge_monitor.net import mmsg, segments
from bridge_monitor.net.engine import wire
from bridge_monitor.net.engine.layout import Count
from bridge_monitor.net.engine.plan import ENGINE_STALLED, SEND_LATE, SHORT_SEND, StreamPlan
from bridge_monitor.net.engine.video_plan import VideoPlan
from bridge_monitor.net.testcard import Card
from bridge_monitor.rtp.packet import parse_packet
from bridge_monitor.rtp.rtcp import SenderReport, parse_compound

Plan = Callable[..., VideoPlan]
COUNTS = [10, 2, 1, 4, 3, 60, 1, 2]


def received(peer: Any) -> list[Any]:
    return [parse_packet(data) for data, _ in peer.received]


class TestStream:
    def test_every_picture_is_sent_with_its_own_timestamp_and_a_marker_at_its_end(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card
    ) -> None:
        """Over the wraps of sequence numbers and timestamps, and into the card's second round."""
        peer = new_peer()
        station.load(card)
        station.begin(0, video_plan_for(peer, duration_seconds=0.48, report_wait_seconds=0))
        station.run(1, peer)
        packets = received(peer)
        pictures = [*card.packets(), *card.packets()[:4]]
        assert [packet.payload for packet in packets] == [payload for picture in pictures for payload in picture]
        assert [packet.sequence_number for packet in packets] == [65500 + n & 0xFFFF for n in range(len(packets))]
        times = Counter((packet.timestamp - (2**32 - 9000)) & 0xFFFFFFFF for packet in packets)
        assert list(times.items()) == [(3600 * place, len(picture)) for place, picture in enumerate(pictures)]
        marked = [place for place, packet in enumerate(packets) if packet.marker]
        assert marked == [sum(map(len, pictures[: place + 1])) - 1 for place in range(len(pictures))]
        assert {(packet.payload_type, packet.ssrc) for packet in packets} == {(96, 0x0BADCAFE)}
        report = station.report(0)
        assert report.packets_sent == len(packets) == 83 + 17
        assert report.video.frames_sent == 12
        assert report.lateness.samples == 12
        assert report.invalid == ()
        assert station.layout.counts[Count.RTP_SENT] == 100

    def test_pictures_leave_at_their_times(self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card) -> None:
        peer = new_peer()
        station.load(card)
        times: list[int] = []
        peer.on_rtp = lambda data, _source: times.append(station.clock.monotonic) if data[1] & 0x80 else None
        station.begin(0, video_plan_for(peer, frames_per_second=25))
        station.run(1, peer, step_ms=1)
        assert {after - before for before, after in pairwise(times)} == {40_000_000}

    def test_at_thirty_a_second_a_third_of_a_millisecond_adds_up(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card
    ) -> None:
        peer = new_peer()
        station.load(Card("a", 1_000_000, 30, card.frames))
        station.begin(0, video_plan_for(peer, frames_per_second=30, duration_seconds=1.0, first_timestamp=0))
        begun = station.clock.monotonic
        station.run(2, peer, until=lambda: len(peer.received) >= 83 * 3 + sum(COUNTS[:6]))
        assert station.clock.monotonic - begun == pytest.approx(29 / 30 * 1e9, abs=6e6)
        stamps = sorted({packet.timestamp for packet in received(peer)})
        assert stamps == [3000 * place for place in range(30)]

    def test_most_pictures_take_one_entry(self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card) -> None:
        peer = new_peer()
        station.load(card)
        station.begin(0, video_plan_for(peer))
        station.run(0.5, peer)
        assert len(peer.received) == 83
        assert station.engine._video.entries == 8 + 2  # parameter sets apart; sixty packets are two entries

    def test_calls_with_cards_of_their_own_on_one_port_pair_each_get_theirs(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card
    ) -> None:
        other = Card("a", 2_000_000, 25, card.frames[3:5])
        peers = [new_peer() for _ in range(4)]
        station.load(card)
        station.load(other)
        for row, peer in enumerate(peers):
            peer.echo()
            rate = 2_000_000 if row % 2 else 1_000_000
            station.begin(row, video_plan_for(peer, ssrc=row + 1, first_seq=9000 * row, bitrate_bps=rate))
        station.run(1, *peers)
        for row, peer in enumerate(peers):
            pictures = other.packets() * 4 if row % 2 else card.packets()
            assert [packet.payload for packet in received(peer)] == [one for picture in pictures for one in picture]
            assert {packet.ssrc for packet in received(peer)} == {row + 1}
            assert station.report(row).video.echoed_frames.complete == 8

    def test_packets_of_the_largest_size_are_counted_apart(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card
    ) -> None:
        """That a line swallows those, and those alone, is another fault than loss."""
        sizes = Counter(len(payload) for picture in card.packets() for payload in picture)
        largest = max(sizes)
        through, narrow = new_peer(), new_peer()
        through.echo()
        narrow.on_rtp = lambda data, source: len(data) - 12 < largest and narrow.rtp.sendto(data, source)
        station.load(card)
        for row, peer in enumerate((through, narrow)):
            station.begin(row, video_plan_for(peer, ssrc=row + 1))
        station.run(1, through, narrow)
        sent = sizes[largest]
        told = [(video.large_sent, video.large_received) for row in (0, 1) if (video := station.report(row).video)]
        assert told == [(sent, sent), (sent, 0)]
        assert station.report(1).echo.received == 83 - sent > 0

    def test_more_packets_than_fit_at_once_are_sent_in_lots(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("bridge_monitor.net.engine.video._PACKETS", 64)
        peers = [new_peer() for _ in range(4)]
        station.load(card)
        sender = station.engine._video
        for row, peer in enumerate(peers):
            peer.echo()
            station.begin(row, video_plan_for(peer, ssrc=row + 1))
            sender._base[row] = sender._due[row] = sender._due[0]  # all at one time
        station.run(1, *peers)
        assert [len(peer.received) for peer in peers] == [83] * 4
        assert [station.report(row).echo.lost for row in range(4)] == [0] * 4

    def test_calls_are_spread_over_the_interval_between_two_pictures(
        self, new_station: Any, new_peer: Any, video_plan_for: Plan, card: Card
    ) -> None:
        station = new_station(rows=16, tick_seconds=0.005)
        station.load(card)
        peer = new_peer()
        for row in range(16):
            station.begin(row, video_plan_for(peer, ssrc=row, duration_seconds=5.0))
        times = Counter(station.engine._video._due[:16] // 5_000_000 % 8)
        assert set(times.values()) == {2}
        station.engine._finish(3)
        gone = set(times)
        station.begin(3, video_plan_for(peer, ssrc=3, duration_seconds=5.0))
        assert set(Counter(station.engine._video._due[:16] // 5_000_000 % 8)) == gone

    def test_a_card_that_is_replaced_plays_on_where_it_began(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card
    ) -> None:
        first, second = new_peer(), new_peer()
        station.load(card)
        station.begin(0, video_plan_for(first))
        station.load(Card("b", 1_000_000, 25, card.frames[6:7]))
        station.begin(1, video_plan_for(second, ssrc=5))
        station.run(0.5, first, second)
        assert (len(first.received), len(second.received)) == (83, 8)

    def test_each_call_has_its_mark_and_df(
        self, station: Any, new_peer: Any, video_plan_for: Plan, plan_for: Callable[..., StreamPlan], card: Card
    ) -> None:
        """Also where audio of another mark has the same port pair."""
        peers = [new_peer(), new_peer()]
        seen: list[tuple[int, int]] = []
        for peer in peers:
            peer.rtp.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        station.load(card)
        station.begin(0, video_plan_for(peers[0], dscp=34))
        station.begin(1, plan_for(peers[1], dscp=46, duration_seconds=0.2))
        for _ in range(200):
            station.run(0.002)
            for number, peer in enumerate(peers):
                while True:
                    try:
                        _, control, _, _ = peer.rtp.recvmsg(2048, 64)
                    except BlockingIOError:
                        break
                    seen.append((number, control[0][2][0] >> 2))
        assert Counter(seen) == {(0, 34): 83, (1, 46): 10}

    def test_captured_packets_are_those_sent(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card
    ) -> None:
        peer = new_peer()
        station.load(card)
        station.begin(0, video_plan_for(peer, capture=True))
        station.run(0.5, peer)
        packets = [wire.decode_capture(data) for data in station.captured]
        sent = [one[2].data for one in packets if one is not None and one[2].sent and not one[2].rtcp]
        assert sent == [data for data, _ in peer.received]

    def test_its_reports_count_packets_and_bytes_and_run_at_90_khz(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card
    ) -> None:
        peer = new_peer()
        peer.echo()
        station.load(card)
        station.begin(0, video_plan_for(peer, duration_seconds=2.0, first_timestamp=7))
        station.run(3, peer)
        reports = [parse_compound(data)[0] for data in peer.reports]
        first, last = reports[0], reports[-1]
        assert isinstance(first, SenderReport)
        assert isinstance(last, SenderReport)
        octets = sum(len(packet.payload) for packet in received(peer))
        assert (last.packets, last.octets) == (len(peer.received), octets)
        seconds = (last.ntp - first.ntp) / 2**32
        assert (last.timestamp - first.timestamp) / 90_000 == pytest.approx(seconds, abs=0.001)
        assert first.timestamp / 90_000 == pytest.approx(1.0, abs=0.02)


@pytest.fixture
def peer(new_peer: Any) -> Any:
    return new_peer()


class TestOurFault:
    def refuse(self, monkeypatch: pytest.MonkeyPatch, code: int, *, every: bool = False) -> list[int]:
        """Have the kernel refuse entries of several packets, or all, with an error."""
        real, calls = mmsg.send_entries, []

        def send(fd: int, address: int, _count: int) -> int:
            several = ctypes.c_uint64.from_address(address + mmsg.MMSGHDR.fields["iovlen"][1]).value > 2
            calls.append(several)
            return -code if several or every else real(fd, address, 1)

        monkeypatch.setattr(mmsg, "send_entries", send)
        return calls

    @pytest.mark.parametrize("code", sorted(segments.REFUSALS))
    def test_where_the_kernel_can_t_cut_packets_go_one_by_one(
        self, station: Any, peer: Any, video_plan_for: Plan, card: Card, code: int
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            calls = self.refuse(patch, code)
            self.go(station, peer, video_plan_for, card)
        assert sum(calls) == 1  # asked once: from then on it isn't tried again
        assert [packet.payload for packet in received(peer)] == [one for picture in card.packets() for one in picture]
        report = station.report(0)
        assert (report.packets_sent, report.invalid) == (83, ())
        assert report.video.echoed_frames.lost == 0

    def go(self, station: Any, peer: Any, video_plan_for: Plan, card: Card) -> None:
        """Send a card once, echoed."""
        peer.echo()
        station.load(card)
        station.begin(0, video_plan_for(peer))
        station.run(1, peer)

    def test_a_packet_that_is_refused_altogether_makes_the_figures_invalid(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.refuse(monkeypatch, errno.EPERM, every=True)
        peer = new_peer()
        station.load(card)
        station.begin(0, video_plan_for(peer, report_wait_seconds=0))
        station.run(1, peer)
        report = station.report(0)
        assert (report.packets_sent, report.invalid) == (0, (SHORT_SEND,))
        assert station.layout.counts[Count.SHORT_SENDS] == 83
        assert report.video.frames_sent == 8

    def test_what_a_full_buffer_leaves_out_is_not_counted_as_sent(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card, monkeypatch: Any
    ) -> None:
        real = mmsg.send_entries
        answers = iter([-errno.EAGAIN])
        monkeypatch.setattr(mmsg, "send_entries", lambda *given: next(answers, None) or real(*given))
        peer = new_peer()
        peer.echo()
        station.load(card)
        station.begin(0, video_plan_for(peer))
        station.run(1, peer)
        report = station.report(0)
        assert (report.packets_sent, len(peer.received)) == (73, 73)
        assert (report.echo.sent, report.echo.lost) == (73, 0)
        assert (report.video.echoed_frames.expected, report.video.echoed_frames.lost) == (8, 1)
        assert report.invalid == (SHORT_SEND,)

    def test_a_pause_of_ours_is_late_and_not_made_up_for(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card
    ) -> None:
        peer = new_peer()
        station.load(card)
        station.begin(0, video_plan_for(peer, duration_seconds=0.4, report_wait_seconds=0))
        station.run(0.1, peer)
        before = len(peer.received)
        station.clock.monotonic += 150_000_000
        station.run(0.002, peer)
        assert len(peer.received) - before <= max(COUNTS)  # one picture at most, not four
        station.run(1, peer)
        report = station.report(0)
        assert len(peer.received) == report.packets_sent == 83 + 12
        assert set(report.invalid) == {SEND_LATE, ENGINE_STALLED}
        assert report.lateness.max_seconds == 0 or report.lateness.max_seconds > 0.1

    def test_late_pictures_below_a_stall_are_told(
        self, station: Any, new_peer: Any, video_plan_for: Plan, card: Card
    ) -> None:
        peer = new_peer()
        station.load(card)
        station.begin(0, video_plan_for(peer, duration_seconds=0.4, report_wait_seconds=0))
        for _ in range(40):
            station.run(0.03, peer, step_ms=30)
        report = station.report(0)
        assert report.invalid == (SEND_LATE,)
        assert 0.02 < report.lateness.max_seconds < 0.06


def test_calls_that_end_all_at_once_do_not_hold_up_the_pace(
    new_station: Any, new_peer: Any, video_plan_for: Plan, plan_for: Callable[..., StreamPlan], card: Card
) -> None:
    """Four calls with video end in a tick, and audio beside them; none is forgotten."""
    station = new_station(rows=16)
    peer = new_peer()
    station.load(card)
    for row in range(10):
        station.begin(row, video_plan_for(peer, ssrc=row + 1, duration_seconds=0.04, report_wait_seconds=0))
    station.begin(10, plan_for(peer, ssrc=99, duration_seconds=0.04, report_wait_seconds=0))
    station.run(0.2, peer)
    station.clock.monotonic += 1_000_000_000
    ended = []
    for _ in range(4):
        station.run(0.002, peer)
        ended.append(sum(map(station.finished, range(11))))
    station.run(0.1, peer)
    assert ended[0] == 0  # the wait for reports began
    assert ended[1] - ended[0] == 5
    assert all(station.finished(row) for row in range(11))


def test_a_row_s_end_is_within_a_tick_of_its_last_echo(
    station: Any, new_peer: Any, video_plan_for: Plan, card: Card
) -> None:
    peer = new_peer()
    peer.echo()
    station.load(card)
    begun = time.monotonic()
    station.begin(0, video_plan_for(peer))
    station.run(2, peer, until=lambda: station.finished(0))
    report = station.report(0)
    assert (report.ended_ns - report.started_ns) / 1e9 == pytest.approx(0.28 + 0.3, abs=0.1)
    assert time.monotonic() - begun < 10
    assert report.echo.rtt.samples == 83

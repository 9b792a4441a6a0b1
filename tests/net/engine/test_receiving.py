"""`net.engine.receiving`: from datagrams to figures, on real sockets in virtual time."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from bridge_monitor.net.engine.layout import Count
from bridge_monitor.net.engine.plan import PORT_SHARED, SOCKET_OVERFLOW, StreamPlan

Plan = Callable[..., StreamPlan]


def _send(peer: Any, station: Any, *datagrams: bytes, pair: int = 0, via: Any = None) -> None:
    for data in datagrams:
        (via or peer.rtp).sendto(data, ("127.0.0.1", station.pairs[pair].port))


def test_an_echo_is_our_own_stream_come_back(station: Any, new_peer: Any, plan_for: Plan) -> None:
    peer = new_peer()
    peer.echo()
    station.begin(0, plan_for(peer, first_seq=65500))
    station.run(2, peer)
    report = station.report(0)
    assert report.inbound is None
    assert (report.echo.sent, report.echo.received, report.echo.lost, report.echo.stray) == (50, 50, 0, 0)
    assert not report.unexpected_source
    assert report.invalid == ()
    assert station.layout.counts[Count.RTP_RECEIVED] == 50


def test_loss_duplicates_and_reordering_of_an_echo(station: Any, new_peer: Any, plan_for: Plan) -> None:
    peer = new_peer()
    held: list[tuple[bytes, Any]] = []

    def treat(data: bytes, source: Any) -> None:
        number = (int.from_bytes(data[2:4], "big") - 100) & 0xFFFF
        if number in {3, 4}:
            return
        if number == 10:
            held.append((data, source))
            return
        peer.rtp.sendto(data, source)
        if number == 20:
            peer.rtp.sendto(data, source)
        if number == 12:
            peer.rtp.sendto(*held.pop())

    peer.on_rtp = treat
    station.begin(0, plan_for(peer))
    station.run(2, peer)
    echo = station.report(0).echo
    assert (echo.received, echo.lost, echo.duplicates, echo.reordered) == (48, 2, 1, 1)


def test_a_room_s_own_stream_across_wraps(station: Any, new_peer: Any, plan_for: Plan, packets: Any) -> None:
    """Inbound loss is counted from the first to the last received, over the wrap of number and timestamp."""
    peer = new_peer()
    station.begin(0, plan_for(peer, report_wait_seconds=0.5))
    for number in range(60):
        if number not in {7, 30, 31}:
            _send(peer, station, packets.rtp(65520 + number, 2**32 - 800 + 160 * number, 0xFEED))
        station.run(0.02, peer)
    station.run(1.5, peer)
    report = station.report(0)
    assert report.echo is None
    inbound = report.inbound
    assert (inbound.expected, inbound.received, inbound.lost, inbound.restarts) == (60, 57, 3, 0)
    assert inbound.ssrc == 0xFEED
    assert report.first_rtp_ns == inbound.first_arrival_ns
    assert inbound.jitter_max_seconds < 1  # a wrap that is misread as a jump would be minutes


def test_a_new_ssrc_in_the_midst_of_a_call(station: Any, new_peer: Any, plan_for: Plan, packets: Any) -> None:
    peer = new_peer()
    station.begin(0, plan_for(peer, report_wait_seconds=0.3))
    for number in range(20):
        _send(peer, station, packets.rtp(500 + number, 160 * number, 1))
        station.run(0.02, peer)
    for number in range(20):
        _send(peer, station, packets.rtp(9000 + number, 77 + 160 * number, 2))
        station.run(0.02, peer)
    station.run(2, peer)
    inbound = station.report(0).inbound
    assert (inbound.received, inbound.lost, inbound.restarts, inbound.ssrc) == (40, 0, 1, 2)


def test_a_room_that_sends_from_another_port_is_heard_and_noted(
    station: Any, new_peer: Any, plan_for: Plan, packets: Any
) -> None:
    peer, elsewhere = new_peer(), new_peer()
    station.begin(0, plan_for(peer, report_wait_seconds=0.3))
    for number in range(30):
        _send(peer, station, packets.rtp(number, 160 * number, 9), via=elsewhere.rtp)
        station.run(0.02, peer)
    station.run(2, peer)
    report = station.report(0)
    assert report.unexpected_source
    assert (report.inbound.received, report.inbound.lost) == (30, 0)
    assert len(peer.received) == 50  # what we send still goes where the answer said
    assert elsewhere.received == []


def test_a_room_that_echoes_from_another_address(station: Any, new_peer: Any, plan_for: Plan) -> None:
    peer, translator = new_peer(), new_peer("127.4.4.4")
    peer.on_rtp = translator.rtp.sendto
    station.begin(0, plan_for(peer))
    station.run(2, peer)
    report = station.report(0)
    assert report.unexpected_source
    assert (report.echo.received, report.echo.lost) == (50, 0)


def test_two_rooms_behind_one_address_on_one_local_port(
    new_station: Any, new_peer: Any, plan_for: Plan, packets: Any
) -> None:
    """One sends from where it said, the other from a port it didn't name: each is counted for itself."""
    station = new_station(rows=4, port_pairs=1)
    first, second, elsewhere = new_peer(), new_peer(), new_peer()
    station.begin(0, plan_for(first, ssrc=1, report_wait_seconds=0.3))
    station.begin(1, plan_for(second, ssrc=2, report_wait_seconds=0.3))
    for number in range(40):
        _send(first, station, packets.rtp(number, 160 * number, 11))
        if number != 5:
            _send(second, station, packets.rtp(700 + number, 160 * number, 22), via=elsewhere.rtp)
        station.run(0.02, first, second)
    station.run(2, first, second)
    one, two = station.report(0), station.report(1)
    assert (one.inbound.ssrc, one.inbound.received, one.inbound.lost, one.unexpected_source) == (11, 40, 0, False)
    assert (two.inbound.ssrc, two.inbound.received, two.inbound.lost, two.unexpected_source) == (22, 39, 1, True)


def test_streams_that_can_t_be_told_apart_make_both_calls_invalid(
    new_station: Any, new_peer: Any, plan_for: Plan, packets: Any
) -> None:
    """Two calls to one address and port on one local port: an echo tells its call by our SSRC, a room's stream none."""
    station = new_station(rows=4, port_pairs=1)
    echoing, talking = new_peer(), new_peer()
    echoing.echo()
    for row, peer in enumerate((echoing, echoing, talking, talking)):
        station.begin(row, plan_for(peer, ssrc=100 + row, report_wait_seconds=0.3))
    for number in range(5):
        _send(talking, station, packets.rtp(number, 160 * number, 11))
        station.run(0.02, echoing, talking)
    station.run(2, echoing, talking)
    assert [station.report(row).invalid for row in range(4)] == [(), (), (PORT_SHARED,), (PORT_SHARED,)]


def test_packets_that_came_before_the_call_began_are_counted(
    station: Any, new_peer: Any, plan_for: Plan, packets: Any
) -> None:
    """A room may send as soon as it has answered, before the ACK and before our stream."""
    peer = new_peer()
    reserved = time.time_ns()
    for number in range(5):
        _send(peer, station, packets.rtp(number, 160 * number, 9))
        station.run(0.02)
    station.begin(0, plan_for(peer, report_wait_seconds=0.3), reserved)
    for number in range(5, 10):
        _send(peer, station, packets.rtp(number, 160 * number, 9))
        station.run(0.02)
    station.run(2, peer)
    report = station.report(0)
    assert (report.inbound.expected, report.inbound.received) == (10, 10)
    assert report.first_rtp_ns == report.inbound.first_arrival_ns < report.started_ns


@pytest.fixture
def few_early(station: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a local port keep four packets of sources that are not known yet."""
    monkeypatch.setattr(station.engine._demux, "_early", [deque(maxlen=4) for _ in station.pairs])


@pytest.mark.parametrize("crowd", [(0, 4, ()), (2, 2, ()), (9, 0, (SOCKET_OVERFLOW,))])
@pytest.mark.usefixtures("few_early")
def test_a_call_is_invalid_if_all_that_came_before_it_began_was_crowded_out(
    station: Any, new_peer: Any, plan_for: Plan, packets: Any, crowd: tuple[int, int, tuple[str, ...]]
) -> None:
    """The oldest go first, so what is kept of a room has no gap; a room of which nothing is kept is not silent."""
    strange, kept, invalid = crowd
    peer, stranger, other = new_peer(), new_peer("127.9.9.8"), new_peer("127.9.9.9")
    reserved = time.time_ns()
    for number in range(5):
        _send(peer, station, packets.rtp(number, 160 * number, 9))
    station.run(0.02)
    for number in range(strange):
        _send(stranger, station, packets.rtp(number, 160 * number, 7))
    station.run(0.02)
    station.begin(0, plan_for(peer, ssrc=1, report_wait_seconds=0.3), reserved)
    station.begin(4, plan_for(other, ssrc=2, report_wait_seconds=0.3), reserved)
    station.run(2, peer)
    inbound = station.report(0).inbound
    assert (inbound.expected if inbound else 0) == kept
    assert station.report(0).invalid == invalid
    assert station.report(4).invalid == ()


@pytest.mark.usefixtures("few_early")
def test_late_packets_of_ended_calls_crowd_out_nobody(
    station: Any, new_peer: Any, plan_for: Plan, packets: Any
) -> None:
    """A room that goes on sending after its call is nobody's, and takes no place from those that begin."""
    gone, peer = new_peer(), new_peer("127.9.9.9")
    station.begin(0, plan_for(gone, ssrc=1, duration_seconds=0.1, report_wait_seconds=0.3))
    station.run(2, gone)
    reserved = time.time_ns()
    _send(peer, station, packets.rtp(0, 0, 9))
    station.run(0.02)
    for number in range(9):
        _send(gone, station, packets.rtp(number, 160 * number, 7))
    station.run(0.02)
    station.begin(1, plan_for(peer, ssrc=2, report_wait_seconds=0.3), reserved)
    station.run(2, peer)
    assert (station.report(1).inbound.received, station.report(1).invalid) == (1, ())


@pytest.mark.parametrize("echoes", [True, False])
def test_late_packets_of_an_ended_call_are_not_the_next_one_s_on_its_row(
    station: Any, new_peer: Any, plan_for: Plan, packets: Any, *, echoes: bool
) -> None:
    """A row is used again at once; the old call's echoes, the old room's stream and its reports stay the old one's."""
    gone, peer = new_peer(), new_peer("127.9.9.9")
    if echoes:
        peer.echo()
    station.begin(0, plan_for(gone, ssrc=1, first_seq=300, duration_seconds=0.4, report_wait_seconds=0.3))
    station.run(1.2, gone)
    assert station.finished(0)
    station.ends.clear()
    unmatched = int(station.layout.counts[Count.UNMATCHED])
    station.begin(0, plan_for(peer, ssrc=2, first_seq=300, report_wait_seconds=0.3))
    for number in range(30):
        _send(gone, station, packets.rtp(number, 160 * number, 77), gone.received[number % 20][0])
        gone.rtcp.sendto(packets.receiver_report(77, 1, 300 + number), ("127.0.0.1", station.pairs[0].port + 1))
        if not echoes:
            _send(peer, station, packets.rtp(40 + number, 160 * number, 88))
        station.run(0.02, peer)
    station.run(2, peer)
    report = station.report(0)
    assert (report.packets_sent, report.invalid, report.unexpected_source) == (50, (), False)
    if echoes:
        assert report.inbound is None
        assert (report.echo.received, report.echo.stray, report.echo.duplicates) == (50, 0, 0)
    else:
        assert report.echo is None
        assert (report.inbound.received, report.inbound.ssrc, report.inbound.rejected) == (30, 88, 0)
    assert report.peer is None or report.peer.packets_reported == 0
    assert station.layout.counts[Count.UNMATCHED] - unmatched >= 60


def test_payload_types_that_were_not_agreed_on(station: Any, new_peer: Any, plan_for: Plan, packets: Any) -> None:
    """A stream of another codec is none; single packets in the midst of ours leave no gap in its numbers."""
    wrong, mixed = new_peer(), new_peer()
    station.begin(0, plan_for(wrong, ssrc=1, report_wait_seconds=0.3))
    station.begin(4, plan_for(mixed, ssrc=2, report_wait_seconds=0.3))
    for number in range(20):
        _send(wrong, station, packets.rtp(number, 160 * number, 5, payload_type=18))
        kind = 13 if number in {8, 9} else 0
        _send(mixed, station, packets.rtp(number, 160 * number, 6, payload_type=kind), pair=1)
        station.run(0.02, wrong, mixed)
    station.run(2, wrong, mixed)
    one, two = station.report(0), station.report(4)
    assert one.inbound is None
    assert one.first_rtp_ns is None
    assert one.unexpected_payload_types == (18,)
    assert (two.inbound.received, two.inbound.lost) == (20, 0)
    assert two.unexpected_payload_types == (13,)


def test_what_is_no_rtp_is_nobody_s(station: Any, new_peer: Any, plan_for: Plan) -> None:
    peer = new_peer()
    station.begin(0, plan_for(peer, report_wait_seconds=0.3))
    _send(peer, station, b"", b"hello", b"\x80\x00" + bytes(4), b"\x40" + bytes(30), b"\x8f" + bytes(20))
    station.run(2, peer)
    report = station.report(0)
    assert report.inbound is None
    assert report.first_rtp_ns is None
    assert station.layout.counts[Count.UNMATCHED] == 5


def test_a_stranger_s_stream_is_counted_as_unmatched(station: Any, new_peer: Any, plan_for: Plan, packets: Any) -> None:
    peer, stranger = new_peer(), new_peer("127.9.9.9")
    peer.echo()
    station.begin(0, plan_for(peer))
    station.run(0.2, peer)
    _send(peer, station, packets.rtp(1, 1, 1), packets.rtp(2, 2, 1), via=stranger.rtp)
    station.run(2, peer)
    assert station.report(0).inbound is None
    assert station.layout.counts[Count.UNMATCHED] == 2


def test_our_own_full_buffer_is_not_the_room_s_loss(station: Any, new_peer: Any, plan_for: Plan, packets: Any) -> None:
    """The calls of that port are invalid, those of other ports are not."""
    peer, other = new_peer(), new_peer()
    for one in (peer, other):
        one.echo()
    station.begin(0, plan_for(peer, ssrc=1))
    station.begin(4, plan_for(other, ssrc=2))
    station.pairs[0].rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    for number in range(100):
        _send(peer, station, packets.rtp(number, 160 * number, 77))
    station.run(2, peer, other)
    assert station.report(0).invalid == (SOCKET_OVERFLOW,)
    assert station.report(4).invalid == ()
    assert station.layout.counts[Count.SOCKET_OVERFLOWS] > 0


def test_more_than_a_batch_is_read_in_one_tick(station: Any, new_peer: Any, plan_for: Plan, packets: Any) -> None:
    peer = new_peer()
    station.begin(0, plan_for(peer, report_wait_seconds=0.3))
    station.run(0.1, peer)
    for number in range(2500):
        _send(peer, station, packets.rtp(number, 160 * number, 77))
    station.run(0.002)
    assert station.layout.reception.received(0) == 2500


@pytest.mark.parametrize("payload_size", [160, 3000])
def test_a_captured_call_hands_over_each_packet(
    station: Any, new_peer: Any, plan_for: Plan, packets: Any, payload_size: int
) -> None:
    """Both directions, RTP and RTCP, with kernel times; what is longer than our buffer keeps its true length."""
    from bridge_monitor.net.engine.wire import decode_capture

    peer, quiet = new_peer(), new_peer()
    station.begin(0, plan_for(peer, ssrc=1, capture=True, duration_seconds=0.1, report_wait_seconds=0.3))
    station.begin(1, plan_for(quiet, ssrc=2, duration_seconds=0.1, report_wait_seconds=0.3))
    data = packets.rtp(1, 160, 77)[:12] + bytes(payload_size)
    _send(peer, station, data)
    peer.rtcp.sendto(packets.receiver_report(77, 1, 100), ("127.0.0.1", station.pairs[0].port + 1))
    station.run(1, peer, quiet)
    found = [decode_capture(message) for message in station.captured]
    assert {(row, generation) for row, generation, _ in found} == {(0, 1)}
    kinds = [(packet.sent, packet.rtcp) for _, _, packet in found]
    assert kinds.count((True, False)) == 5
    assert kinds.count((True, True)) == 1  # SR, SDES, BYE at the end
    (received,) = [packet for _, _, packet in found if not packet.sent and not packet.rtcp]
    assert received.length == len(data)
    assert data.startswith(received.data)
    assert (received.remote_host, received.remote_port) == ("127.0.0.1", peer.port)
    assert received.local_port == station.pairs[0].port
    (report,) = [packet for _, _, packet in found if not packet.sent and packet.rtcp]
    assert report.local_port == station.pairs[0].port + 1
    assert {packet.data for _, _, packet in found if packet.sent and not packet.rtcp} == {
        payload for payload, _ in peer.received
    }

"""`net.engine.frame_log`: what a room shows us, and what came back of ours, frame by frame."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bridge_monitor.net.engine.frame_log import payload_facts
from bridge_monitor.net.engine.video_plan import VideoPlan
from bridge_monitor.net.testcard import Card
from bridge_monitor.rtp.packet import RtpPacket, read_headers

Plan = Callable[..., VideoPlan]
ROOM = 0x600DF00D


def picture(seq: int, number: int, size: int, *, payload_type: int = 96, ssrc: int = ROOM) -> list[bytes]:
    """Return a room's picture in ``size`` packets, as fragments of one unit."""
    packets = []
    for place in range(size):
        head = bytes([0x7C, (0x80 if not place else 0) | (0x40 if place == size - 1 else 0) | 5])
        packets.append(
            RtpPacket(payload_type, seq + place & 0xFFFF, 3000 * number, ssrc, head + b"x" * 98, place == size - 1)
        )
    return [packet.to_bytes() for packet in packets]


class Room:
    """A room that sends a picture of three packets each 33 ms, less those it is told to leave out."""

    def __init__(self, station: Any, peer: Any, skipped: set[int], **facts: int) -> None:
        self.packets = [data for n in range(30) for data in picture(65530 + 3 * n, n, 3, **facts)]
        self.packets = [data for place, data in enumerate(self.packets) if place not in skipped]
        self.target = ("127.0.0.1", station.pairs[0].port)
        self.peer, self.station = peer, station

    def send(self, count: int, via: Any = None) -> None:
        for data in self.packets[:count]:
            (via or self.peer.rtp).sendto(data, self.target)
        del self.packets[:count]
        self.station.run(0.004, self.peer)


def test_a_room_s_own_pictures_are_counted(station: Any, new_peer: Any, video_plan_for: Plan, card: Card) -> None:
    """Two pictures have lost a packet, one is gone: three of thirty."""
    peer = new_peer()
    station.load(card)
    station.begin(0, video_plan_for(peer, duration_seconds=0.5, report_wait_seconds=0))
    room = Room(station, peer, {10, 20, 30, 31, 32})
    while room.packets:
        room.send(5)
    station.run(1, peer)
    report = station.report(0)
    frames = report.video.inbound_frames
    assert (frames.expected, frames.complete, frames.lost) == (30, 27, 3)
    assert frames.frame_rate == pytest.approx(30)
    assert frames.bytes == 85 * 100
    assert (report.inbound.expected, report.inbound.lost) == (90, 5)
    assert report.inbound.jitter_seconds == frames.jitter_seconds
    assert report.inbound.jitter_max_seconds == frames.jitter_max_seconds
    assert report.video.echoed_frames is None


def test_ours_come_back_beside_the_room_s(station: Any, new_peer: Any, video_plan_for: Plan, card: Card) -> None:
    peer = new_peer()
    lost = {9, 11, 12}

    def treat(data: bytes, source: Any) -> None:
        if (struct.unpack_from("!H", data, 2)[0] - 65500) & 0xFFFF not in lost:
            peer.rtp.sendto(data, source)

    peer.on_rtp = treat
    station.load(card)
    station.begin(0, video_plan_for(peer))
    room = Room(station, peer, set())
    while room.packets:
        room.send(9)
    station.run(1, peer)
    report = station.report(0)
    ours = report.video.echoed_frames
    assert (ours.expected, ours.complete, ours.lost) == (8, 5, 3)
    assert (report.echo.sent, report.echo.lost) == (83, 3)
    assert report.video.inbound_frames.complete == 30


def test_pictures_from_another_port_count_from_their_first_packet(
    station: Any, new_peer: Any, video_plan_for: Plan, card: Card
) -> None:
    """Also those that came before the call began here."""
    peer, translator = new_peer(), new_peer()
    station.load(card)
    room = Room(station, peer, set())
    room.send(6, translator.rtp)
    station.begin(0, video_plan_for(peer, duration_seconds=0.5, report_wait_seconds=0), reserved_ns=0)
    while room.packets:
        room.send(6, translator.rtp)
    station.run(1, peer)
    report = station.report(0)
    assert report.unexpected_source
    assert (report.video.inbound_frames.expected, report.video.inbound_frames.complete) == (30, 30)


def test_what_is_of_another_type_and_source_is_no_picture(
    station: Any, new_peer: Any, video_plan_for: Plan, card: Card
) -> None:
    peer = new_peer()
    station.load(card)
    station.begin(0, video_plan_for(peer, report_wait_seconds=0))
    Room(station, peer, set(), payload_type=97).send(30)
    station.run(1, peer)
    report = station.report(0)
    assert report.video.inbound_frames is None
    assert report.unexpected_payload_types == (97,)


def test_audio_leaves_no_log(station: Any, new_peer: Any, plan_for: Any) -> None:
    peer = new_peer()
    peer.echo()
    station.begin(0, plan_for(peer, duration_seconds=0.2))
    station.run(1, peer)
    assert not station.engine._receiver.frames.live
    assert station.report(0).video is None


def test_marker_and_beginning_are_read_behind_whatever_header_a_packet_has() -> None:
    """Contributing sources, extension and padding, after RFC 3550 §5."""
    start, middle = b"\x7c\x85ab", b"\x7c\x05ab"
    packets = [
        RtpPacket(96, 1, 2, 3, start, marker=True),
        RtpPacket(96, 1, 2, 3, middle),
        RtpPacket(96, 1, 2, 3, middle, csrcs=(1, 2)),
        RtpPacket(96, 1, 2, 3, start, csrcs=(1,), extension=(7, b"abcdefgh")),
        RtpPacket(96, 1, 2, 3, b""),
        RtpPacket(96, 1, 2, 3, b"\x41"),
    ]
    datagrams = [packet.to_bytes() for packet in packets]
    padded = bytearray(RtpPacket(96, 1, 2, 3, middle + b"\0\0\3", marker=True).to_bytes())
    padded[0] |= 0x20
    datagrams.append(bytes(padded))
    data = np.zeros((len(datagrams), 64), np.uint8)
    for place, datagram in enumerate(datagrams):
        data[place, : len(datagram)] = list(datagram)
    lengths = np.array([len(datagram) for datagram in datagrams])
    headers = read_headers(data, lengths)
    marker, starts = payload_facts(data, np.arange(len(data)), headers.payload_start, headers.payload_bytes)
    assert marker.tolist() == [True, False, False, False, False, False, True]
    assert starts.tolist() == [True, False, False, True, False, True, False]

"""`rtp.h264`: access units to RTP payloads and back, by ourselves and with FFmpeg at the other end."""

from __future__ import annotations

import socket
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_monitor.rtp.h264 import (
    MAX_PAYLOAD,
    AccessUnit,
    Depacketiser,
    Nal,
    filler_unit,
    join_annex_b,
    nal_type,
    packetise,
    split_annex_b,
    starts_unit,
)
from bridge_monitor.rtp.packet import RtpPacket, parse_packet


def unit(kind: int, size: int, *, importance: int = 3) -> bytes:
    """Return a unit without zero bytes, as emulation prevention would leave it."""
    return bytes([importance << 5 | kind]) + bytes(1 + place % 251 for place in range(size - 1))


units = st.lists(
    st.builds(unit, st.sampled_from([1, 5, 6, 7, 8, 12]), st.integers(1, 5000), importance=st.integers(0, 3)),
    min_size=1,
    max_size=8,
)


def receive(payloads: list[bytes], *, seq: int = 65534, timestamp: int = 9) -> list[AccessUnit]:
    depacketiser = Depacketiser()
    return [
        over
        for place, payload in enumerate(payloads)
        for over in depacketiser.receive(seq + place & 0xFFFF, timestamp, payload, marker=place == len(payloads) - 1)
    ]


class TestAnnexB:
    @given(units)
    def test_units_survive_the_byte_stream(self, given_units: list[bytes]) -> None:
        assert split_annex_b(join_annex_b(given_units)) == given_units

    def test_both_start_codes_and_zeros_between_are_known(self) -> None:
        assert split_annex_b(b"rest\0\0\1\x67a\0\0\0\0\1\x68b\0\0\0\1\0\0\1\x65c\0\0") == [b"\x67a", b"\x68b", b"\x65c"]
        assert split_annex_b(b"no start code") == []


class TestFiller:
    @pytest.mark.parametrize("size", [4, 5, 257, 258, 259, 260, 514, 515, 516, 1338, *range(240, 300)])
    def test_it_has_just_the_size_asked_for_and_reads_as_filler_payload(self, size: int) -> None:
        """Read after H.264 7.3.2.3.1, message by message."""
        filler = filler_unit(size)
        assert len(filler) == size
        assert (nal_type(filler), filler[-1]) == (Nal.SEI, 0x80)
        place = 1
        while place < size - 1:
            assert filler[place] == 3
            place += 1
            length = 0
            while filler[place] == 0xFF:
                length, place = length + 255, place + 1
            length, place = length + filler[place], place + 1
            assert filler[place : place + length] == b"\xff" * length
            place += length
        assert place == size - 1
        assert b"\0\0" not in filler


class TestPacketise:
    """RFC 6184 §5.6 to §5.8."""

    @given(units, st.integers(20, 1400))
    @settings(max_examples=200)
    def test_units_survive_the_way(self, given_units: list[bytes], max_payload: int) -> None:
        payloads = packetise(given_units, max_payload)
        assert all(len(payload) <= max_payload for payload in payloads)
        assert receive(payloads) == [AccessUnit(9, tuple(given_units), complete=True)]

    def test_fragments_have_one_size_but_the_last(self) -> None:
        sizes = [len(payload) for payload in packetise([unit(5, 10_000)])]
        assert sizes[:-1] == [MAX_PAYLOAD] * 7
        assert sum(sizes) == 10_000 - 1 + 2 * 8

    def test_a_unit_that_just_fits_is_sent_as_it_is(self) -> None:
        assert packetise([unit(1, MAX_PAYLOAD)]) == [unit(1, MAX_PAYLOAD)]
        assert [len(payload) for payload in packetise([unit(1, MAX_PAYLOAD + 1)])] == [MAX_PAYLOAD, 4]

    def test_a_fragment_says_what_it_is_of(self) -> None:
        first, middle, last = packetise([unit(5, 300, importance=2)], 102)
        assert [payload[:2] for payload in (first, middle, last)] == [b"\x5c\x85", b"\x5c\x05", b"\x5c\x45"]

    def test_small_neighbours_share_a_packet_that_names_the_greatest_importance(self) -> None:
        (payload,) = packetise([unit(7, 10, importance=1), unit(8, 4, importance=2)])
        assert payload[0] == 2 << 5 | 24
        assert len(payload) == 1 + 2 + 10 + 2 + 4

    def test_the_parameter_sets_and_a_filler_make_a_packet_as_long_as_the_fragments(self) -> None:
        """So all packets of a picture but its last have one size: one UDP_SEGMENT entry."""
        sps, pps = unit(7, 24), unit(8, 4)
        payloads = packetise([sps, pps, filler_unit(MAX_PAYLOAD - 1 - 3 * 2 - 28), unit(5, 4000)])
        assert [len(payload) for payload in payloads] == [MAX_PAYLOAD] * 3 + [4000 - 1 - 2 * 1336 + 2]

    def test_a_payload_s_beginning_is_known_by_two_bytes(self) -> None:
        payloads = [*packetise([unit(5, 3000)]), unit(1, 100), *packetise([unit(7, 9), unit(8, 9)])]
        heads = np.array([list(payload[:2]) for payload in payloads], np.uint8)
        assert starts_unit(heads[:, 0], heads[:, 1]).tolist() == [True, False, False, True, True]


class TestDepacketise:
    def test_a_gap_makes_the_pictures_beside_it_incomplete(self) -> None:
        picture = packetise([unit(1, 4000)])
        depacketiser = Depacketiser()
        found = []
        for number in range(4):
            for place, payload in enumerate(picture):
                if (number, place) != (1, 1):
                    last = place == len(picture) - 1
                    found += depacketiser.receive(3 * number + place, number, payload, marker=last)
        assert [one.complete for one in found] == [True, False, True, True]
        assert found[1].units == ()

    def test_a_picture_without_its_marked_packet_ends_with_the_next_one(self) -> None:
        depacketiser = Depacketiser()
        assert depacketiser.receive(1, 10, unit(1, 5), marker=False) == []
        first, second = depacketiser.receive(3, 20, unit(1, 6), marker=True)
        assert (first.timestamp, first.complete, len(first.units)) == (10, False, 1)
        assert (second.timestamp, second.complete, len(second.units)) == (20, False, 1)

    def test_a_packet_that_comes_again_is_left_out(self) -> None:
        depacketiser = Depacketiser()
        depacketiser.receive(1, 10, unit(1, 5), marker=False)
        assert depacketiser.receive(1, 10, unit(1, 5), marker=False) == []
        (found,) = depacketiser.receive(2, 10, unit(1, 6), marker=True)
        assert found == AccessUnit(10, (unit(1, 5), unit(1, 6)), complete=True)

    @pytest.mark.parametrize(
        "payloads",
        [
            [packetise([unit(1, 3000)])[0], packetise([unit(1, 3000)])[0]],
            [packetise([unit(1, 3000)])[0], unit(1, 9)],
            packetise([unit(1, 4000)])[1:],
            packetise([unit(1, 3000)])[:1],
        ],
        ids=["begun twice", "not ended", "without a beginning", "without an end"],
    )
    def test_fragments_that_don_t_fit_are_incomplete(self, payloads: list[bytes]) -> None:
        assert [one.complete for one in receive(payloads)] == [False]

    @pytest.mark.parametrize(
        "payload",
        [b"", b"\xe5abc", b"\x40a", b"\x59a", b"\x5d\x85abc", b"\x5c\x85", b"\x58", b"\x58\0\0", b"\x58\0\3ab"],
    )
    def test_what_is_not_of_mode_1_is_counted_and_makes_its_picture_incomplete(self, payload: bytes) -> None:
        depacketiser = Depacketiser()
        (found,) = depacketiser.receive(5, 10, payload, marker=True)
        assert (found.complete, found.units) == (False, ())
        assert depacketiser.malformed == 1

    @pytest.mark.parametrize("picture", [packetise([unit(7, 9), unit(8, 5)]), packetise([unit(5, 60)], 30)])
    def test_a_picture_cut_at_any_byte_raises_nothing_and_is_never_longer(self, picture: list[bytes]) -> None:
        whole = receive(picture)[0].units
        for place, payload in enumerate(picture):
            for size in range(len(payload)):
                (found,) = receive([*picture[:place], payload[:size], *picture[place + 1 :]])
                assert sum(map(len, found.units)) < sum(map(len, whole))

    @given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 3), st.binary(max_size=40), st.booleans())))
    def test_any_bytes_at_all_are_taken(self, packets: list[tuple[int, int, bytes, bool]]) -> None:
        depacketiser = Depacketiser()
        over = [one for seq, time, data, end in packets for one in depacketiser.receive(seq, time, data, marker=end)]
        assert len(over) <= 2 * len(packets)


def encoded(frames: int = 20) -> list[bytes]:
    """Return access units of a picture that is hard to encode, by x264."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.framerate = 320, 240, "yuv420p", 25
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "sliced-threads=0:keyint=10"}
    chance = np.random.default_rng(5)
    made = []
    for number in range(frames):
        frame = av.VideoFrame.from_ndarray(chance.integers(0, 255, (240, 320, 3), np.uint8), format="rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts = number
        made += [bytes(packet) for packet in context.encode(frame)]
    return made + [bytes(packet) for packet in context.encode(None)]


class TestWithFfmpeg:
    """FFmpeg's packetiser and depacketiser at the other end."""

    def test_what_ffmpeg_packs_we_unpack(self) -> None:
        pictures = encoded()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as room:
            room.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            room.bind(("127.0.0.1", 0))
            room.settimeout(5)
            with av.open(f"rtp://127.0.0.1:{room.getsockname()[1]}?pkt_size=1350", "w", format="rtp") as output:
                stream = output.add_stream("libx264", rate=25, width=320, height=240, pix_fmt="yuv420p")
                for number, picture in enumerate(pictures):
                    packet = av.Packet(picture)
                    packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
                    output.mux(packet)
            depacketiser = Depacketiser()
            found: list[AccessUnit] = []
            while len(found) < len(pictures):
                data = room.recv(2048)
                if not 192 <= data[1] <= 223:  # its reports come to this port too
                    one = parse_packet(data)
                    found += depacketiser.receive(one.sequence_number, one.timestamp, one.payload, marker=one.marker)
        assert all(one.complete for one in found)
        assert [one.units for one in found] == [tuple(split_annex_b(picture)) for picture in pictures]

    def test_what_we_pack_ffmpeg_unpacks(self, tmp_path: Path) -> None:
        pictures = encoded()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        description = tmp_path / "room.sdp"
        description.write_text(
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
            "a=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1\n"
        )
        found: list[bytes] = []

        def send() -> None:
            seq = 65500
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
                while not over.wait(0.02):
                    for number, picture in enumerate(pictures):
                        payloads = packetise(split_annex_b(picture))
                        for payload in payloads:
                            packet = RtpPacket(96, seq & 0xFFFF, 3600 * number, 5, payload, payload is payloads[-1])
                            ours.sendto(packet.to_bytes(), ("127.0.0.1", port))
                            seq += 1
                        time.sleep(0.004)  # FFmpeg's receive buffer is its own

        over = threading.Event()
        sender = threading.Thread(target=send)
        sender.start()
        try:
            with av.open(str(description), options={"protocol_whitelist": "file,udp,rtp"}, timeout=10) as source:
                for packet in source.demux(video=0):
                    found.append(bytes(packet))
                    if len(found) == len(pictures):
                        break
        finally:
            over.set()
            sender.join()
        whole = [split_annex_b(picture) for picture in pictures]
        first = whole.index(split_annex_b(found[0]))
        assert [split_annex_b(picture) for picture in found] == [*whole[first:], *whole[:first]]

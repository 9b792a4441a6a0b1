from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import RtpSyntaxError
from bridge_monitor.rtp.packet import HEADER_BYTES, RTP_HEADER, RtpPacket, parse_packet, read_headers

packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127).filter(lambda kind: not 64 <= kind <= 95),
    sequence_number=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=40),
    marker=st.booleans(),
    csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
    extension=st.none() | st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=3).map(lambda word: word * 4)),
)


def batch(*datagrams: bytes, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Return datagrams as the rows of a receive buffer that was used before."""
    data = np.full((len(datagrams), width), 0xFF, np.uint8)
    for row, datagram in enumerate(datagrams):
        data[row, : len(datagram)] = np.frombuffer(datagram, np.uint8)
    return data, np.array([len(datagram) for datagram in datagrams])


def padded(datagram: bytes, count: int) -> bytes:
    return bytes([datagram[0] | 0x20]) + datagram[1:] + bytes(count - 1) + bytes([count])


PLAIN = RtpPacket(0, 65535, 0xFFFFFFFF, 0xDEADBEEF, b"abc", marker=True)


class TestRfc3550Section51:
    def test_the_fixed_header_is_laid_out_as_in_the_rfc(self):
        data = RtpPacket(8, 0x0102, 0x03040506, 0x0708090A, b"\xd5", marker=True).to_bytes()
        assert data == bytes.fromhex("80 88 0102 03040506 0708090a d5")

    def test_the_numpy_header_reads_what_the_builder_wrote(self):
        header = np.frombuffer(PLAIN.to_bytes()[:HEADER_BYTES], RTP_HEADER)[0]
        assert (header["vpxcc"], header["m_pt"], header["seq"]) == (0x80, 0x80, 65535)
        assert (header["timestamp"], header["ssrc"]) == (0xFFFFFFFF, 0xDEADBEEF)

    @given(packets)
    def test_a_built_packet_reads_back_equal(self, packet: RtpPacket):
        assert parse_packet(packet.to_bytes()) == packet

    @given(packets, st.integers(1, 20))
    def test_padding_is_no_payload(self, packet: RtpPacket, count: int):
        assert parse_packet(padded(packet.to_bytes(), count)) == packet


class TestRfc3550AppendixA1:
    @pytest.mark.parametrize(
        ("data", "what"),
        [
            (b"", "0 bytes"),
            (PLAIN.to_bytes()[:11], "11 bytes"),
            (b"\x40" + PLAIN.to_bytes()[1:], "version 1"),
            (bytes([0x80, 200]) + bytes(20), "RTCP"),
            (b"\x81" + PLAIN.to_bytes()[1:], "contributing sources"),
            (b"\x90" + PLAIN.to_bytes()[1:], "extension cut off"),
            (b"\x90" + PLAIN.to_bytes()[1:12] + b"\0\0\0\1", "extension longer"),
            (padded(PLAIN.to_bytes(), 9)[:-1] + b"\x0d", "padding"),
            (padded(PLAIN.to_bytes(), 9)[:-1] + b"\0", "padding"),
        ],
    )
    def test_an_invalid_packet_says_what_is_wrong(self, data: bytes, what: str):
        with pytest.raises(RtpSyntaxError, match=what):
            parse_packet(data)

    @given(packets, st.booleans())
    def test_truncation_at_every_byte_raises_only_syntax_errors(self, packet: RtpPacket, with_padding: bool):  # noqa: FBT001 - drawn by hypothesis
        data = padded(packet.to_bytes(), 8) if with_padding else packet.to_bytes()
        for end in range(len(data)):
            with contextlib.suppress(RtpSyntaxError):
                parse_packet(data[:end])

    @given(st.binary(max_size=60))
    def test_any_bytes_parse_or_raise_a_syntax_error(self, data: bytes):
        with contextlib.suppress(RtpSyntaxError):
            parse_packet(data)


def mutations(data: bytes, cut: int, first: int | None, second: int | None) -> bytes:
    changed = bytearray(data[:cut] if cut else data)
    if first is not None and changed:
        changed[0] = first
    if second is not None and len(changed) > 1:
        changed[1] = second
    return bytes(changed)


datagrams = st.builds(
    mutations,
    packets.map(RtpPacket.to_bytes) | st.builds(padded, packets.map(RtpPacket.to_bytes), st.integers(1, 20)),
    st.integers(0, 60),
    st.none() | st.integers(0, 255),
    st.none() | st.integers(0, 255),
)


class TestReadHeaders:
    @given(st.lists(datagrams, min_size=1, max_size=8))
    def test_columns_equal_the_scalar_parser(self, given_datagrams: list[bytes]):
        """Each row is valid exactly if `parse_packet` accepts it, and then says the same."""
        headers = read_headers(*batch(*given_datagrams, width=200))
        for row, datagram in enumerate(given_datagrams):
            try:
                packet = parse_packet(datagram)
            except RtpSyntaxError:
                assert not headers.valid[row]
                continue
            assert headers.valid[row]
            assert headers.payload_type[row] == packet.payload_type
            assert headers.seq[row] == packet.sequence_number
            assert headers.timestamp[row] == packet.timestamp
            assert headers.ssrc[row] == packet.ssrc
            assert headers.payload_bytes[row] == len(packet.payload)

    @given(
        st.lists(
            st.builds(bytes.__add__, st.binary(min_size=2, max_size=2), st.binary(min_size=9, max_size=12)).map(
                lambda data: bytes([data[0] & 0x81 | 0x80]) + data[1:]
            ),
            min_size=1,
            max_size=3,
        )
    )
    def test_fixed_headers_alone_are_read_as_in_any_company(self, given_datagrams: list[bytes]):
        """A batch with nothing but fixed headers is read more quickly; beside another kind of packet it reads alike."""
        other = RtpPacket(0, 1, 2, 3, b"four", csrcs=(9,), extension=(7, bytes(8))).to_bytes()
        alone = read_headers(*batch(*given_datagrams))
        beside = read_headers(*batch(*given_datagrams, other))
        assert alone.valid.tolist() == beside.valid[:-1].tolist()
        assert alone.rtcp.tolist() == beside.rtcp[:-1].tolist()
        for name in ("payload_type", "seq", "timestamp", "ssrc", "payload_start", "payload_bytes"):
            column = getattr(beside, name)[:-1]
            assert getattr(alone, name)[alone.valid].tolist() == column[alone.valid].tolist()

    def test_rtcp_on_the_rtp_port_is_told_apart(self):
        """RFC 5761 §4: packet types 192–223 are RTCP."""
        headers = read_headers(*batch(bytes([0x80, 200]) + bytes(30), PLAIN.to_bytes(), bytes([0x40, 200]) + bytes(30)))
        assert headers.rtcp.tolist() == [True, False, False]
        assert headers.valid.tolist() == [False, True, False]

    def test_extensions_and_padding_are_no_payload(self):
        extended = RtpPacket(0, 1, 2, 3, b"four", csrcs=(9,), extension=(7, bytes(8))).to_bytes()
        headers = read_headers(
            *batch(padded(extended, 4), padded(PLAIN.to_bytes(), 4), padded(PLAIN.to_bytes()[:12], 1)[:12])
        )
        assert headers.valid.tolist() == [True, True, False]
        assert headers.payload_bytes[:2].tolist() == [4, 3]

    def test_bytes_beyond_the_length_are_not_content(self):
        headers = read_headers(*batch(b"", PLAIN.to_bytes()[:11], b"\x90" + PLAIN.to_bytes()[1:]))
        assert not headers.valid.any()

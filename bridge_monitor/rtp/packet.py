"""RTP packets (RFC 3550 §5): one read or built at a time, and the headers of a whole batch read by column.

Owns the header's wire form and the validity checks of A.1; must not keep state between packets.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge_monitor.errors import RtpSyntaxError

HEADER_BYTES: Final = 12

RTP_HEADER: Final = np.dtype(
    [("vpxcc", "u1"), ("m_pt", "u1"), ("seq", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4")],
)
"""The fixed header, in network byte order: both the form of what is sent and of what is received."""

_HEADER = struct.Struct("!BBHII")
_VERSION_2: Final = 0x80
_PADDING: Final = 0x20
_EXTENSION: Final = 0x10
_RTCP_FROM: Final = 192
_RTCP_TO: Final = 223
_PLAIN_FROM: Final = _VERSION_2 << 8
_PLAIN_TO: Final = _VERSION_2 << 8 | _RTCP_FROM
"""A packet's first two bytes, if it has no padding, extension or contributing sources, and can't be RTCP."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet; ``extension`` is (profile, data), its data a multiple of four bytes."""

    payload_type: int
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: tuple[int, bytes] | None = None

    def to_bytes(self) -> bytes:
        """Return the datagram, without padding."""
        first = _VERSION_2 | len(self.csrcs) | (_EXTENSION if self.extension else 0)
        second = self.payload_type | (0x80 if self.marker else 0)
        data = _HEADER.pack(first, second, self.sequence_number, self.timestamp, self.ssrc)
        data += struct.pack(f"!{len(self.csrcs)}I", *self.csrcs)
        if self.extension:
            data += struct.pack("!HH", self.extension[0], len(self.extension[1]) // 4) + self.extension[1]
        return data + self.payload


def parse_packet(data: bytes) -> RtpPacket:
    """Read one datagram.

    Raises:
        RtpSyntaxError: It is no RTP packet: version, length, padding or header extension are wrong (RFC 3550 A.1), or
            it is RTCP (RFC 5761 §4).
    """
    if len(data) < HEADER_BYTES:
        raise RtpSyntaxError(f"{len(data)} bytes are no RTP packet")
    first, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise RtpSyntaxError(f"RTP version {first >> 6}")
    if _RTCP_FROM <= second <= _RTCP_TO:
        raise RtpSyntaxError("RTCP where RTP was expected")
    count = first & 0x0F
    start = HEADER_BYTES + 4 * count
    if len(data) < start:
        raise RtpSyntaxError("RTP packet shorter than its list of contributing sources")
    csrcs = struct.unpack_from(f"!{count}I", data, HEADER_BYTES)
    extension = None
    if first & _EXTENSION:
        if len(data) < start + 4:
            raise RtpSyntaxError("RTP header extension cut off")
        profile, words = struct.unpack_from("!HH", data, start)
        start += 4
        if len(data) < start + 4 * words:
            raise RtpSyntaxError("RTP header extension longer than its packet")
        extension = (profile, data[start : start + 4 * words])
        start += 4 * words
    end = len(data)
    if first & _PADDING:
        if data[-1] == 0 or data[-1] > end - start:
            raise RtpSyntaxError("RTP padding of a wrong length")
        end -= data[-1]
    return RtpPacket(
        second & 0x7F, sequence_number, timestamp, ssrc, data[start:end], bool(second & 0x80), csrcs, extension
    )


@dataclass(frozen=True, slots=True)
class HeaderBatch:
    """The headers of n datagrams by column; where ``valid`` is False the other columns mean nothing.

    Attributes:
        valid: It is an RTP packet (the checks of `parse_packet`).
        rtcp: It is an RTCP datagram on the RTP port (RFC 5761 §4); never both.
        payload_type: 0–127.
        seq: Sequence number.
        timestamp: RTP timestamp.
        ssrc: Synchronisation source.
        payload_start: Where the payload begins.
        payload_bytes: Bytes of payload, without padding.
    """

    valid: NDArray[np.bool_]
    rtcp: NDArray[np.bool_]
    payload_type: NDArray[np.int64]
    seq: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    ssrc: NDArray[np.int64]
    payload_start: NDArray[np.int64]
    payload_bytes: NDArray[np.int64]


def read_headers(data: NDArray[np.uint8], lengths: NDArray[np.integer]) -> HeaderBatch:
    """Read the headers of a batch.

    Args:
        data: One datagram a row, at least 16 bytes wide; what lies beyond its length is never looked at as content.
        lengths: Bytes of each datagram, at most the rows' width.
    """
    length = lengths.astype(np.int64)
    words = data[:, :HEADER_BYTES].view(">u4")
    word, timestamp, ssrc = (words[:, place].astype(np.int64) for place in range(3))
    begins = word >> 16
    if len(data) and begins.min() >= _PLAIN_FROM and begins.max() < _PLAIN_TO and length.min() >= HEADER_BYTES:
        # As mostly: nothing but the fixed header, and no RTCP.
        return HeaderBatch(
            valid=np.ones(len(data), np.bool_),
            rtcp=np.zeros(len(data), np.bool_),
            payload_type=begins & 0x7F,
            seq=word & 0xFFFF,
            timestamp=timestamp,
            ssrc=ssrc,
            payload_start=np.full(len(data), HEADER_BYTES),
            payload_bytes=length - HEADER_BYTES,
        )
    first = word >> 24
    second = begins & 0xFF
    version_2 = first >> 6 == 2
    rtcp = version_2 & (second >= _RTCP_FROM) & (second <= _RTCP_TO) & (length >= 2)
    start = HEADER_BYTES + 4 * (first & 0x0F)
    padding = np.zeros_like(length)
    valid = version_2 & ~rtcp & (length >= start)
    extended = np.flatnonzero(valid & (first & _EXTENSION != 0))
    if extended.size:
        _skip_extensions(data, length, start, valid, extended)
    padded = np.flatnonzero(valid & (first & _PADDING != 0))
    if padded.size:
        padding[padded] = data[padded, length[padded] - 1]
        valid[padded] = (padding[padded] > 0) & (padding[padded] <= length[padded] - start[padded])
    return HeaderBatch(
        valid=valid,
        rtcp=rtcp,
        payload_type=second & 0x7F,
        seq=word & 0xFFFF,
        timestamp=timestamp,
        ssrc=ssrc,
        payload_start=start,
        payload_bytes=length - start - padding,
    )


def _skip_extensions(
    data: NDArray[np.uint8],
    length: NDArray[np.int64],
    start: NDArray[np.int64],
    valid: NDArray[np.bool_],
    extended: NDArray[np.intp],
) -> None:
    """Move ``start`` of the extended packets behind their header extension (RFC 3550 §5.3.1), or mark them invalid."""
    whole = length[extended] >= start[extended] + 4
    valid[extended[~whole]] = False
    extended = extended[whole]
    place = start[extended]
    words = data[extended, place + 2].astype(np.int64) << 8 | data[extended, place + 3]
    start[extended] += 4 + 4 * words
    valid[extended] = length[extended] >= start[extended]

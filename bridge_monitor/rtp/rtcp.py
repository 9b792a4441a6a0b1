"""RTCP: compound packets read and built, and the time arithmetic of reports (RFC 3550 §6).

Owns the wire form of SR, RR, SDES and BYE; must not decide when a report is due or keep state. Other packet types
(APP, XR, feedback) are kept as bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bridge_monitor.errors import RtpSyntaxError

SR = 200
RR = 201
SDES = 202
BYE = 203

_CNAME = 1
_NTP_EPOCH_SECONDS = 2_208_988_800  # RFC 3550 §4: 1900 to 1970
_BLOCK = struct.Struct("!IIIIII")
_SENDER_REPORT = struct.Struct("!BBHIQIII")
_NEGATIVE_TOLERATED_SECONDS = 0.002  # LSR and DLSR round to 15 µs, some peers' DLSR to 1 ms


class ReportBlock(NamedTuple):
    """One report block (RFC 3550 §6.4.1).

    Attributes:
        ssrc: The source it speaks of.
        fraction_lost: Lost since the last report, in 1/256.
        cumulative_lost: Lost since the beginning; signed 24 bits, clamped when built.
        highest_sequence: Extended highest sequence number received.
        jitter: Interarrival jitter in the codec's clock.
        lsr: Middle 32 bits of the NTP time of the last SR received; 0 if none.
        dlsr: Time since then in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    highest_sequence: int
    jitter: int
    lsr: int = 0
    dlsr: int = 0

    @classmethod
    def from_words(cls, words: Sequence[int]) -> ReportBlock:
        """Return the block of six 32-bit words."""
        ssrc, loss, highest, jitter, lsr, dlsr = words
        lost = loss & 0xFFFFFF
        return cls(ssrc, loss >> 24, lost - 0x1000000 if lost & 0x800000 else lost, highest, jitter, lsr, dlsr)

    def words(self) -> tuple[int, int, int, int, int, int]:
        """Return the block's six 32-bit words."""
        ssrc, fraction, lost, highest, jitter, lsr, dlsr = self
        return ssrc, fraction << 24 | max(-0x800000, min(0x7FFFFF, lost)) & 0xFFFFFF, highest, jitter, lsr, dlsr

    def to_bytes(self) -> bytes:
        """Return the 24 bytes of the block."""
        return _BLOCK.pack(*self.words())


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR (RFC 3550 §6.4.1): ``ntp`` is the 64-bit NTP time of ``timestamp``."""

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the packet, header included."""
        head = _SENDER_REPORT.pack(
            0x80 | len(self.blocks),
            SR,
            6 + 6 * len(self.blocks),
            self.ssrc,
            self.ntp,
            self.timestamp,
            self.packets & 0xFFFFFFFF,
            self.octets & 0xFFFFFFFF,
        )
        return head + b"".join([block.to_bytes() for block in self.blocks])


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR (RFC 3550 §6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the packet, header included."""
        body = struct.pack("!I", self.ssrc) + b"".join(block.to_bytes() for block in self.blocks)
        return _framed(RR, len(self.blocks), body)


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES (RFC 3550 §6.5), of which only the CNAME is kept; one pair (SSRC, CNAME) a chunk, empty if it has none."""

    cnames: tuple[tuple[int, str], ...]

    def to_bytes(self) -> bytes:
        """Return the packet, header included."""
        chunks = []
        for ssrc, cname in self.cnames:
            text = cname.encode()[:255]
            chunk = struct.pack("!IBB", ssrc, _CNAME, len(text)) + text + b"\0"
            chunks.append(chunk + bytes(-len(chunk) % 4))
        return _framed(SDES, len(chunks), b"".join(chunks))


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE (RFC 3550 §6.6)."""

    ssrcs: tuple[int, ...]
    reason: str = ""

    def to_bytes(self) -> bytes:
        """Return the packet, header included."""
        body = b"".join(struct.pack("!I", ssrc) for ssrc in self.ssrcs)
        if self.reason:
            text = self.reason.encode()[:255]
            body += bytes([len(text)]) + text
            body += bytes(-len(body) % 4)
        return _framed(BYE, len(self.ssrcs), body)


@dataclass(frozen=True, slots=True)
class OtherPacket:
    """A packet of a type that we don't read: APP, XR (RFC 3611), feedback (RFC 4585)."""

    packet_type: int
    body: bytes


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Goodbye | OtherPacket


def build_compound(*packets: SenderReport | ReceiverReport | SourceDescription | Goodbye) -> bytes:
    """Return one datagram; RFC 3550 §6.1 wants SR or RR first and an SDES with CNAME."""
    return b"".join(packet.to_bytes() for packet in packets)


def parse_compound(data: bytes) -> tuple[RtcpPacket, ...]:
    """Read a datagram's RTCP packets.

    Reduced-size packets (RFC 5506) are accepted: the first need not be SR or RR.

    Raises:
        RtpSyntaxError: The checks of RFC 3550 A.2 fail (version, lengths), or a body is shorter than its counts say.
    """
    if not data:
        raise RtpSyntaxError("empty RTCP datagram")
    packets: list[RtcpPacket] = []
    start = 0
    while start < len(data):
        if len(data) - start < 4:
            raise RtpSyntaxError(f"{len(data) - start} bytes after the last RTCP packet")
        first, packet_type, words = struct.unpack_from("!BBH", data, start)
        if first >> 6 != 2:
            raise RtpSyntaxError(f"RTCP version {first >> 6}")
        if not 192 <= packet_type <= 223:
            raise RtpSyntaxError(f"RTCP packet type {packet_type}")
        end = start + 4 * (words + 1)
        if end > len(data):
            raise RtpSyntaxError("RTCP packet longer than its datagram")
        body = data[start + 4 : end]
        if first & 0x20:
            body = _without_padding(body, last=end == len(data))
        packets.append(_parse_body(packet_type, first & 0x1F, body))
        start = end
    return tuple(packets)


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on a shared port is RTCP rather than RTP (RFC 5761 §4)."""
    return len(data) >= 2 and data[0] >> 6 == 2 and 192 <= data[1] <= 223


def ntp_from_unix_ns(unix_ns: int) -> int:
    """Return the 64-bit NTP time of CLOCK_REALTIME nanoseconds."""
    seconds, rest = divmod(unix_ns, 1_000_000_000)
    return (seconds + _NTP_EPOCH_SECONDS & 0xFFFFFFFF) << 32 | (rest << 32) // 1_000_000_000


def ntp_short(ntp: int) -> int:
    """Return the middle 32 bits of a 64-bit NTP time: LSR's form, unit 1/65536 s."""
    return ntp >> 16 & 0xFFFFFFFF


def ntp_short_from_unix_ns(unix_ns: int) -> int:
    """Return the middle 32 bits of the NTP time of CLOCK_REALTIME nanoseconds."""
    return unix_ns * 65536 // 1_000_000_000 + (_NTP_EPOCH_SECONDS << 16) & 0xFFFFFFFF


def dlsr_from_ns(delay_ns: int) -> int:
    """Return a delay since the last SR in 1/65536 s."""
    return min(max(delay_ns, 0) * 65536 // 1_000_000_000, 0xFFFFFFFF)


def rtt_from_report(arrival: int, lsr: int, dlsr: int) -> float | None:
    """Return the round-trip time in seconds, A − LSR − DLSR (RFC 3550 §6.4.1).

    Args:
        arrival: Arrival of the report as NTP short.
        lsr: The block's LSR.
        dlsr: The block's DLSR.

    Returns:
        None if the peer had no SR yet (LSR 0) or the figures contradict each other; 0.0 if the time is below what the
        peer's rounding lets us see.
    """
    if lsr == 0:
        return None
    ticks = arrival - lsr - dlsr & 0xFFFFFFFF
    seconds = (ticks - (1 << 32) if ticks >= 1 << 31 else ticks) / 65536
    if seconds < -_NEGATIVE_TOLERATED_SECONDS:
        return None
    return max(seconds, 0.0)


def _framed(packet_type: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, packet_type, len(body) // 4) + body


def _without_padding(body: bytes, *, last: bool) -> bytes:
    """Cut the padding; only the last packet of a compound may have it (RFC 3550 §6.4.1)."""
    if not last:
        raise RtpSyntaxError("RTCP padding before the last packet")
    if not body or body[-1] == 0 or body[-1] % 4 or body[-1] > len(body):
        raise RtpSyntaxError("RTCP padding of a wrong length")
    return body[: -body[-1]]


def _parse_body(packet_type: int, count: int, body: bytes) -> RtcpPacket:
    if packet_type == SR:
        if len(body) < 24:
            raise RtpSyntaxError("SR without sender information")
        ssrc, ntp_high, ntp_low, timestamp, packets, octets = struct.unpack_from("!IIIIII", body)
        return SenderReport(ssrc, ntp_high << 32 | ntp_low, timestamp, packets, octets, _blocks(body, 24, count))
    if packet_type == RR:
        if len(body) < 4:
            raise RtpSyntaxError("RR without SSRC")
        return ReceiverReport(int.from_bytes(body[:4], "big"), _blocks(body, 4, count))
    if packet_type == SDES:
        return SourceDescription(_chunks(body, count))
    if packet_type == BYE:
        return _goodbye(body, count)
    return OtherPacket(packet_type, body)


def _blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    """Read ``count`` blocks; what follows them is a profile's extension and is ignored (RFC 3550 §6.4.3)."""
    if len(body) < start + 24 * count:
        raise RtpSyntaxError("RTCP report shorter than its count of blocks")
    return tuple(
        ReportBlock.from_words(_BLOCK.unpack_from(body, place)) for place in range(start, start + 24 * count, 24)
    )


def _chunks(body: bytes, count: int) -> tuple[tuple[int, str], ...]:
    chunks = []
    place = 0
    for _ in range(count):
        if len(body) < place + 5:
            raise RtpSyntaxError("SDES shorter than its count of chunks")
        ssrc = int.from_bytes(body[place : place + 4], "big")
        place += 4
        cname = ""
        while True:
            if place >= len(body):
                raise RtpSyntaxError("SDES chunk without end")
            kind = body[place]
            if kind == 0:
                break
            if len(body) < place + 2 or len(body) < place + 2 + body[place + 1]:
                raise RtpSyntaxError("SDES item longer than its packet")
            text = body[place + 2 : place + 2 + body[place + 1]]
            if kind == _CNAME:
                cname = text.decode(errors="replace")
            place += 2 + len(text)
        place += 4 - place % 4  # the null octet, then to the next 32-bit boundary
        chunks.append((ssrc, cname))
    return tuple(chunks)


def _goodbye(body: bytes, count: int) -> Goodbye:
    if len(body) < 4 * count:
        raise RtpSyntaxError("BYE shorter than its count of sources")
    ssrcs = struct.unpack_from(f"!{count}I", body)
    rest = body[4 * count :]
    if not rest:
        return Goodbye(ssrcs)
    if len(rest) < 1 + rest[0]:
        raise RtpSyntaxError("BYE reason longer than its packet")
    return Goodbye(ssrcs, rest[1 : 1 + rest[0]].decode(errors="replace"))

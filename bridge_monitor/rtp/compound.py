"""The compounds that calls are full of, read and written without an object a packet: one report, SDES, perhaps BYE.

Owns the short way alone: every other compound, and what is wrong with one, is left to `rtcp`'s plain reading. A
property test holds the two equal.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from bridge_monitor.rtp.rtcp import ReceiverReport, ReportBlock, SenderReport, parse_compound

# The first four bytes: version 2, no padding, how many blocks, the type, and the length of just that.
_SR: Final = 0x80C8_0006
_SR_WITH_BLOCK: Final = 0x81C8_000C
_RR: Final = 0x80C9_0001
_RR_WITH_BLOCK: Final = 0x81C9_0007
_SDES_OF_ONE: Final = 0x81CA
_BYE_OF_ONE: Final = 0x81CB

_SR_FORM: Final = struct.Struct("!IIQIII")
_SR_WITH_BLOCK_FORM: Final = struct.Struct("!IIQIIIIIIIII")
_RR_FORM: Final = struct.Struct("!II")
_RR_WITH_BLOCK_FORM: Final = struct.Struct("!IIIIIIII")
_KEPT_OF_SR: Final = struct.Struct("!4xIQ12x")
_KEPT_OF_SR_WITH_BLOCK: Final = struct.Struct("!4xIQ12xIIIIII")
_KEPT_OF_RR_WITH_BLOCK: Final = struct.Struct("!4xIIIIIII")
_WORD: Final = struct.Struct("!I")
_HEAD: Final = struct.Struct("!HH")


class Report(NamedTuple):
    """What is kept of an SR or RR.

    Attributes:
        ssrc: Who sends it.
        ntp: 64-bit NTP time of an SR; None of an RR.
        blocks: Its report blocks.
    """

    ssrc: int
    ntp: int | None
    blocks: tuple[ReportBlock, ...]


def read_reports(data: bytes) -> list[Report]:
    """Return a datagram's sender and receiver reports.

    Raises:
        RtpSyntaxError: As `rtcp.parse_compound`.
    """
    report = read_usual(data)
    if report is not None:
        return [report]
    return [
        Report(packet.ssrc, packet.ntp if isinstance(packet, SenderReport) else None, packet.blocks)
        for packet in parse_compound(data)
        if isinstance(packet, SenderReport | ReceiverReport)
    ]


def read_usual(data: bytes) -> Report | None:
    """Return the report of a usual compound; None of any other, sound or not.

    Usual is one SR or RR with a block or none, then nothing but SDES of one chunk and BYE of one source.
    """
    size = len(data)
    if size < 8:
        return None
    (word,) = _WORD.unpack_from(data)
    ntp: int | None
    if word == _SR_WITH_BLOCK and size >= 52:
        ssrc, ntp, *block = _KEPT_OF_SR_WITH_BLOCK.unpack_from(data)
        report, end = Report(ssrc, ntp, (ReportBlock.from_words(block),)), 52
    elif word == _RR_WITH_BLOCK and size >= 32:
        ssrc, *block = _KEPT_OF_RR_WITH_BLOCK.unpack_from(data)
        report, end = Report(ssrc, None, (ReportBlock.from_words(block),)), 32
    elif word == _SR and size >= 28:
        ssrc, ntp = _KEPT_OF_SR.unpack_from(data)
        report, end = Report(ssrc, ntp, ()), 28
    elif word == _RR:
        report, end = Report(_WORD.unpack_from(data, 4)[0], None, ()), 8
    else:
        return None
    return report if _ends_as_usual(data, end) else None


def report_bytes(ssrc: int, sent: tuple[int, int, int, int] | None, block: ReportBlock | None) -> bytes:
    """Return the bytes of a report.

    Args:
        ssrc: Our own.
        sent: NTP time (64 bits), RTP timestamp, packets and octets of an SR, of which the lower 32 bits are told; None
            makes an RR.
        block: Its only block, if it has one.
    """
    words = block.words() if block is not None else ()
    if sent is None:
        return _RR_WITH_BLOCK_FORM.pack(_RR_WITH_BLOCK, ssrc, *words) if words else _RR_FORM.pack(_RR, ssrc)
    ntp, timestamp, packets, octets = sent
    told = ssrc, ntp, timestamp & 0xFFFFFFFF, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF
    return _SR_WITH_BLOCK_FORM.pack(_SR_WITH_BLOCK, *told, *words) if words else _SR_FORM.pack(_SR, *told)


def _ends_as_usual(data: bytes, start: int) -> bool:
    """Whether nothing but sound SDES of one chunk and sound BYE of one source follow from ``start`` on."""
    size = len(data)
    while start < size:
        place = start + 8
        if place > size:
            return False
        kind, words = _HEAD.unpack_from(data, start)
        end = start + 4 * (words + 1)
        if end > size or end < place:
            return False
        if kind == _SDES_OF_ONE:
            # Item by item (type, length, text) to the null octet that ends the chunk.
            while place < end and data[place]:
                if place + 1 == end:
                    return False
                place += 2 + data[place + 1]
            if place >= end:
                return False
        elif kind != _BYE_OF_ONE or (place < end and place + 1 + data[place] > end):
            return False
        start = end
    return True

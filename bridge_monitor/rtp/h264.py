"""H.264 in RTP (RFC 6184, packetization-mode 1): from access units to payloads and back.

Owns the payload's wire form: single NAL units, STAP-A and FU-A. Must not decode pictures nor keep time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge_monitor.errors import RtpSyntaxError

MAX_PAYLOAD: Final = 1350 - 12
"""Bytes of payload a packet: with RTP's header 1,350, as conference systems send."""


class Nal(IntEnum):
    """Types of NAL units (H.264 Table 7-1) and of payloads (RFC 6184 Table 1)."""

    SLICE = 1
    IDR_SLICE = 5
    SEI = 6
    SPS = 7
    PPS = 8
    STAP_A = 24
    FU_A = 28


_TYPE: Final = 0x1F
_IMPORTANCE: Final = 0x60
_FORBIDDEN: Final = 0x80
_START: Final = 0x80
_END: Final = 0x40
_FILLER_PAYLOAD: Final = 3  # H.264 D.1.4
_SIZE_BYTES: Final = 2


def nal_type(unit: bytes) -> int:
    """Return the type of a NAL unit that is not empty."""
    return unit[0] & _TYPE


def split_annex_b(stream: bytes) -> list[bytes]:
    """Return the NAL units of a byte stream (H.264 Annex B); what stands before the first start code is left out."""
    # A unit never ends with a zero byte: those belong to the next start code, or to nothing.
    units = (part.rstrip(b"\x00") for part in stream.split(b"\x00\x00\x01")[1:])
    return [unit for unit in units if unit]


def join_annex_b(units: Iterable[bytes]) -> bytes:
    """Return NAL units as a byte stream."""
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


def filler_unit(size: int) -> bytes:
    """Return an SEI unit of ``size`` bytes that says nothing (filler payload, H.264 D.1.4); it goes before a picture.

    Args:
        size: At least 4.
    """
    messages = b""
    rest = size - 3  # without header, payload type and trailing bits
    if rest % 256 == 0:  # no length is coded in just so many bytes: an empty message comes before
        messages, rest = bytes([_FILLER_PAYLOAD, 0]), rest - 2
    long, short = divmod(rest - 1, 256)
    length = 255 * long + short
    messages += bytes([_FILLER_PAYLOAD]) + b"\xff" * long + bytes([short]) + b"\xff" * length
    return bytes([Nal.SEI]) + messages + b"\x80"


def packetise(units: Iterable[bytes], max_payload: int = MAX_PAYLOAD) -> list[bytes]:
    """Return the payloads of one access unit.

    Each payload but the last of a fragmented unit is as long as may be, so that most packets of a picture have one
    size: the kernel can then cut them from one piece (UDP_SEGMENT). Small neighbours share a packet (STAP-A).

    Args:
        units: The NAL units, in decoding order.
        max_payload: Bytes of each payload at most.
    """
    payloads: list[bytes] = []
    together: list[bytes] = []
    taken = 1
    for unit in units:
        if together and taken + _SIZE_BYTES + len(unit) > max_payload:
            payloads.append(_aggregate(together))
            together, taken = [], 1
        if len(unit) > max_payload:
            payloads += _fragments(unit, max_payload)
        else:
            together.append(unit)
            taken += _SIZE_BYTES + len(unit)
    if together:
        payloads.append(_aggregate(together))
    return payloads


def _aggregate(units: list[bytes]) -> bytes:
    """Return a single NAL unit packet, or a STAP-A of several (RFC 6184 §5.6, §5.7.1)."""
    if len(units) == 1:
        return units[0]
    importance = max(unit[0] & _IMPORTANCE for unit in units)
    return bytes([importance | Nal.STAP_A]) + b"".join(struct.pack("!H", len(unit)) + unit for unit in units)


def _fragments(unit: bytes, max_payload: int) -> list[bytes]:
    """Return a unit's FU-A payloads (RFC 6184 §5.8), all but the last of the same size."""
    indicator, kind = unit[0] & _IMPORTANCE | Nal.FU_A, unit[0] & _TYPE
    room = max_payload - 2
    last = (len(unit) - 2) // room
    return [
        bytes([indicator, (_START if not number else 0) | (_END if number == last else 0) | kind])
        + unit[1 + number * room : 1 + (number + 1) * room]
        for number in range(last + 1)
    ]


def starts_unit(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell of each payload, by its first two bytes, whether it begins with the beginning of a NAL unit."""
    kind = first & _TYPE
    fragment = (kind == Nal.FU_A) | (kind == Nal.FU_A + 1)
    begins: NDArray[np.bool_] = ~fragment | (second & _START != 0)
    return begins


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """What came of one picture.

    Attributes:
        timestamp: Its RTP timestamp.
        units: Its NAL units that came whole.
        complete: False if a packet of it is missing, or may be: one is missing before its first or after its last.
    """

    timestamp: int
    units: tuple[bytes, ...]
    complete: bool


class Depacketiser:
    """Puts access units together from payloads in the order of their sequence numbers.

    Attributes:
        malformed: Payloads that were none of mode 1; their access units are incomplete.
    """

    def __init__(self) -> None:
        self.malformed = 0
        self._next: int | None = None
        self._timestamp: int | None = None
        self._units: list[bytes] = []
        self._fragment: bytearray | None = None
        self._complete = True

    def receive(self, seq: int, timestamp: int, payload: bytes, *, marker: bool) -> list[AccessUnit]:
        """Take a packet; return the access units that are over with it.

        A packet that comes again, or after its successor, is left out.

        Args:
            seq: Sequence number.
            timestamp: RTP timestamp.
            payload: Its payload.
            marker: Its marker bit: the last packet of an access unit.
        """
        gap = 0 if self._next is None else seq - self._next & 0xFFFF
        if gap >= 0x8000:
            return []
        self._next = seq + 1 & 0xFFFF
        if gap:
            self._break()
        over = []
        if self._timestamp is not None and timestamp != self._timestamp:
            over.append(self._finish(self._timestamp))
        if self._timestamp is None:
            self._timestamp = timestamp
            self._complete = not gap
        try:
            self._take(payload)
        except RtpSyntaxError:
            self.malformed += 1
            self._break()
        if marker:
            over.append(self._finish(timestamp))
        return over

    def _take(self, payload: bytes) -> None:
        if not payload:
            raise RtpSyntaxError("an empty H.264 payload")
        kind = nal_type(payload)
        if payload[0] & _FORBIDDEN or kind in {0, *range(25, 28), *range(29, 32)}:
            raise RtpSyntaxError(f"H.264 payload of type {payload[0] & (_FORBIDDEN | _TYPE)}, not of mode 1")
        if kind == Nal.FU_A:
            self._take_fragment(payload)
            return
        if self._fragment is not None:
            self._break()
        if kind == Nal.STAP_A:
            self._units += _disaggregate(payload)
        else:
            self._units.append(payload)

    def _take_fragment(self, payload: bytes) -> None:
        if len(payload) < 3:
            raise RtpSyntaxError("an FU-A without a fragment")
        header = payload[1]
        if header & _START:
            if self._fragment is not None:
                self._break()
            self._fragment = bytearray([payload[0] & _IMPORTANCE | header & _TYPE])
        if self._fragment is None:
            self._complete = False
            return
        self._fragment += payload[2:]
        if header & _END:
            self._units.append(bytes(self._fragment))
            self._fragment = None

    def _break(self) -> None:
        """Something of the present access unit is missing."""
        self._fragment = None
        self._complete = False

    def _finish(self, timestamp: int) -> AccessUnit:
        unit = AccessUnit(timestamp, tuple(self._units), self._complete and self._fragment is None)
        self._timestamp, self._units, self._fragment, self._complete = None, [], None, True
        return unit


def _disaggregate(payload: bytes) -> list[bytes]:
    units = []
    place = 1
    while place < len(payload):
        size = int.from_bytes(payload[place : place + _SIZE_BYTES], "big")
        unit = payload[place + _SIZE_BYTES : place + _SIZE_BYTES + size]
        if not size or len(unit) < size:
            raise RtpSyntaxError("a STAP-A whose units are cut off")
        units.append(unit)
        place += _SIZE_BYTES + size
    if not units:
        raise RtpSyntaxError("a STAP-A without units")
    return units

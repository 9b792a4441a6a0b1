"""Captures for Wireshark: classic pcap with nanosecond times, from datagrams whose IP and UDP headers we make up.

Owns the file form and the rule that RTP payload is left out unless asked for: a test call hears the room. Must not
capture; the engine and the SIP adapter hand over what they sent and received.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import BinaryIO, Final

from bridge_monitor.rtp.packet import HEADER_BYTES
from bridge_monitor.rtp.rtcp import is_rtcp

_MAGIC_NANOSECONDS: Final = 0xA1B23C4D
_LINKTYPE_IPV4: Final = 228
_SNAP_LENGTH: Final = 65535
_FILE_HEADER: Final = struct.Struct("=IHHiIII")
_RECORD_HEADER: Final = struct.Struct("=IIII")
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_UDP: Final = struct.Struct("!HHHH")
_DONT_FRAGMENT: Final = 0x4000
_UDP_PROTOCOL: Final = 17
_EXTENSION: Final = 0x10

Address = tuple[str, int]


class PcapWriter:
    """Writes datagrams to a file in order of the calls.

    Args:
        file: Opened for writing bytes; the caller closes it.
        payload: Whether RTP payload is kept.
    """

    def __init__(self, file: BinaryIO, *, payload: bool = False) -> None:
        self._file = file
        self._payload = payload
        self._identification = 0
        file.write(_FILE_HEADER.pack(_MAGIC_NANOSECONDS, 2, 4, 0, 0, _SNAP_LENGTH, _LINKTYPE_IPV4))

    def write(
        self,
        time_ns: int,
        source: Address,
        destination: Address,
        data: bytes,
        *,
        rtp: bool = False,
        length: int | None = None,
        tos: int = 0,
    ) -> None:
        """Write one datagram.

        Args:
            time_ns: CLOCK_REALTIME, ns.
            source: IPv4 address and port.
            destination: IPv4 address and port.
            data: The datagram, as far as there is.
            rtp: It came to or from an RTP port: its payload is cut unless kept.
            length: Its full length, if ``data`` is not all of it.
            tos: Type of service, if known.
        """
        full = len(data) if length is None else length
        if rtp and not self._payload and not is_rtcp(data):
            data = data[: rtp_header_length(data)]
        headers = self._ip_header(source[0], destination[0], _UDP.size + full, tos)
        # Checksum 0 is "none" (RFC 768): what was cut can't be summed.
        headers += _UDP.pack(source[1], destination[1], _UDP.size + full & 0xFFFF, 0)
        seconds, rest = divmod(time_ns, 1_000_000_000)
        self._file.write(_RECORD_HEADER.pack(seconds, rest, len(headers) + len(data), len(headers) + full))
        self._file.write(headers + data)

    def _ip_header(self, source: str, destination: str, payload: int, tos: int) -> bytes:
        self._identification = self._identification + 1 & 0xFFFF
        addresses = (ipaddress.IPv4Address(source).packed, ipaddress.IPv4Address(destination).packed)
        total = _IPV4.size + payload & 0xFFFF
        fields = (0x45, tos, total, self._identification, _DONT_FRAGMENT, 64, _UDP_PROTOCOL)
        return _IPV4.pack(*fields, _checksum(_IPV4.pack(*fields, 0, *addresses)), *addresses)


def rtp_header_length(data: bytes) -> int:
    """Return how much of an RTP packet is header: contributing sources, and of an extension its length field only.

    An extension may say how loud the room is (RFC 6464), so it goes with the payload.
    """
    if len(data) < HEADER_BYTES:
        return 0
    length = HEADER_BYTES + 4 * (data[0] & 0x0F) + (4 if data[0] & _EXTENSION else 0)
    return min(length, len(data))


def _checksum(header: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF

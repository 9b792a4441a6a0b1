"""What a hand call's packets leave in a pcap file: SIP as it passed, RTP and RTCP as the media engine saw them.

Owns their order in time; the file's form is `net.pcap`'s. RTP payloads are cut unless asked for: a test call hears the
room.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple, Self

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import clock
from bridge_monitor.net.engine import CapturedPacket
from bridge_monitor.net.pcap import PcapWriter
from bridge_monitor.sip import Address

_MODE: Final = 0o640  # a capture names addresses, and may hold what was heard


class _Datagram(NamedTuple):
    time_ns: int
    source: Address
    destination: Address
    data: bytes
    rtp: bool
    length: int


class CallCapture:
    """Gathers the packets of one or more calls and writes them in order of time when it is left.

    Args:
        path: The pcap file; an old one is replaced.
        keep_payload: Whether what was heard is kept.

    Raises:
        LocalFaultError: The file can't be written; said before anybody is called.
    """

    def __init__(self, path: Path, *, keep_payload: bool) -> None:
        self._keep_payload = keep_payload
        self._datagrams: list[_Datagram] = []
        self._local_host = "127.0.0.1"
        try:
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE), "wb")
        except OSError as error:
            raise LocalFaultError(f"{path}: the capture can't be written: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what was gathered, also after an interrupted call."""
        with self._file:
            writer = PcapWriter(self._file, payload=self._keep_payload)
            for seen in sorted(self._datagrams, key=lambda datagram: datagram.time_ns):
                writer.write(seen.time_ns, seen.source, seen.destination, seen.data, rtp=seen.rtp, length=seen.length)

    def sip(self, sent: bool, local: Address, peer: Address, data: bytes) -> None:  # noqa: FBT001 - a `WireTap` is positional
        """Take one SIP datagram."""
        self._local_host = local[0]
        source, destination = (local, peer) if sent else (peer, local)
        self._datagrams.append(_Datagram(clock.posix_now_ns(), source, destination, data, rtp=False, length=len(data)))

    def media(self, packets: Iterable[CapturedPacket]) -> None:
        """Take what the media engine captured of a call whose SIP was taken before."""
        for packet in packets:
            local, peer = (self._local_host, packet.local_port), (packet.remote_host, packet.remote_port)
            source, destination = (local, peer) if packet.sent else (peer, local)
            self._datagrams.append(
                _Datagram(packet.time_ns, source, destination, packet.data, rtp=not packet.rtcp, length=packet.length)
            )

"""The engine's pool of local RTP/RTCP port pairs.

Owns the sockets and their options; must not know which call uses which.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import mmsg
from bridge_monitor.net.engine.plan import EngineSettings

_LOWEST: Final = 16384
_HIGHEST: Final = 65535
_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True, slots=True)
class PortPair:
    """One even RTP port and the odd RTCP port above it (RFC 3550 §11)."""

    port: int
    rtp: socket.socket
    rtcp: socket.socket

    def close(self) -> None:
        """Give both ports back."""
        self.rtp.close()
        self.rtcp.close()


class Marks:
    """What each pair's sockets put on a packet by themselves.

    A packet that needs no more than that is sent without control messages, which costs the kernel less.

    Args:
        pairs: The sockets.
        source_host: Address that they are bound to.
    """

    def __init__(self, pairs: Sequence[PortPair], source_host: str) -> None:
        self._pairs = pairs
        self._source_host = source_host
        self._dscp: dict[int, int] = {}

    def suffice(self, pair: int, dscp: int, source_host: str | None) -> bool:
        """Whether packets with this mark and source may go without control messages; a pair's first call decides."""
        if pair not in self._dscp:
            self._dscp[pair] = dscp
            for sock in (self._pairs[pair].rtp, self._pairs[pair].rtcp):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
        return dscp == self._dscp[pair] and source_host in {None, self._source_host}


def open_pairs(settings: EngineSettings, start: int) -> list[PortPair]:
    """Bind the pool.

    Args:
        settings: How many, where.
        start: Any number: where in the range the search begins, so that a process started anew, or another one, does
            not meet what is still on its way to the last one's ports.

    Raises:
        LocalFaultError: The range has too few free pairs, or the address is not ours.
    """
    pairs: list[PortPair] = []
    ports = _candidates(settings.port_range)
    for place in range(len(ports)):
        port = ports[(place + start) % len(ports)]
        pair = _open_pair(settings, port)
        if pair is not None:
            pairs.append(pair)
        if len(pairs) == settings.port_pairs:
            return pairs
    for pair in pairs:
        pair.close()
    raise LocalFaultError(
        f"only {len(pairs)} of {settings.port_pairs} RTP/RTCP port pairs are free on {settings.source_host} "
        f"between {ports[0] if ports else '-'} and {ports[-1] + 1 if ports else '-'}"
    )


def _candidates(port_range: tuple[int, int] | None) -> Sequence[int]:
    """Return the even ports to try; without a range those that no ephemeral port can take."""
    if port_range is not None:
        low, high = port_range
        return range(low + low % 2, high, 2)
    low, high = _ephemeral_ports()
    return [*range(_LOWEST, min(low, _HIGHEST) - 1, 2), *range(high + 2 - high % 2, _HIGHEST, 2)]


def _ephemeral_ports() -> tuple[int, int]:
    try:
        low, high = _EPHEMERAL.read_text(encoding="ascii").split()
        return int(low), int(high)
    except (OSError, ValueError):
        return 32768, 60999


def _open_pair(settings: EngineSettings, port: int) -> PortPair | None:
    with contextlib.ExitStack() as undo:
        sockets = []
        for number in (port, port + 1):
            sock = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
            try:
                sock.bind((settings.source_host, number))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return None
                raise LocalFaultError(f"can't bind {settings.source_host}:{number}: {error.strerror}") from error
            mmsg.enable_timestamps(sock)
            mmsg.enable_overflow_count(sock)
            mmsg.enable_dont_fragment(sock)
            mmsg.set_buffers(sock, settings.buffer_bytes)
            sockets.append(sock)
        undo.pop_all()
        return PortPair(port, *sockets)

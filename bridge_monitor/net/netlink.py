"""The little of rtnetlink that tells what this machine itself has dropped: dumps of links, queues and addresses.

Owns the wire format (linux/netlink.h, rtnetlink.h, if_link.h, gen_stats.h) as pure functions over bytes, and the one
function that asks. What is cut off or not understood is left out, never raised.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

GET_LINK: Final = 18
GET_ADDRESS: Final = 22
GET_QDISC: Final = 38
_NEW_LINK: Final = 16
_NEW_ADDRESS: Final = 20
_NEW_QDISC: Final = 36
_ERROR: Final = 2
_DONE: Final = 3
_REQUEST_DUMP: Final = 0x0301

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_QDISC: Final = struct.Struct("=BxxxiIII")

_LINK_STATS64: Final = 23
_ADDRESS_LOCAL: Final = 2
_QDISC_STATS2: Final = 7
_STATS_QUEUE: Final = 3
_TYPE_MASK: Final = 0x3FFF  # above it: nested, network byte order
_QUEUE_STATS: Final = struct.Struct("=5I")

# Places in struct rtnl_link_stats64. Not rx_dropped: it also counts frames that nobody here wanted, such as those of
# an unknown protocol or VLAN (Documentation/networking/statistics.rst), and rises on any office network.
_STATS_TX_DROPPED: Final = 7
_STATS_RX_OVER: Final = 11
_STATS_RX_FIFO: Final = 14
_STATS_RX_MISSED: Final = 15
_STATS_TX_FIFO: Final = 18
_COUNTED: Final = (_STATS_TX_DROPPED, _STATS_RX_OVER, _STATS_RX_FIFO, _STATS_RX_MISSED, _STATS_TX_FIFO)

_BUFFER_BYTES: Final = 1 << 16
_PATIENCE_SECONDS: Final = 0.5


class Message(NamedTuple):
    """One message: its type, and what follows its header."""

    kind: int
    body: bytes


def messages(data: bytes) -> Iterator[Message]:
    """Yield the whole messages of a datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return
        yield Message(kind, data[at + _HEADER.size : at + length])
        at += _aligned(length)


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the whole attributes by type; of two of a type the later one."""
    found: dict[int, bytes] = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            break
        found[kind & _TYPE_MASK] = data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return found


def link_drops(data: bytes) -> dict[int, int]:
    """Return by interface index what it dropped: sent packets not taken, received ones it had no room for."""
    drops = {}
    for message in messages(data):
        if message.kind != _NEW_LINK or len(message.body) < _LINK.size:
            continue
        index = _LINK.unpack_from(message.body)[2]
        stats = attributes(message.body[_LINK.size :]).get(_LINK_STATS64, b"")
        words = struct.unpack_from(f"={len(stats) // 8}Q", stats)
        drops[index] = sum(words[place] for place in _COUNTED if place < len(words))
    return drops


def queue_drops(data: bytes) -> dict[int, int]:
    """Return by interface index what its queues (qdiscs) dropped."""
    drops: dict[int, int] = {}
    for message in messages(data):
        if message.kind != _NEW_QDISC or len(message.body) < _QDISC.size:
            continue
        index = _QDISC.unpack_from(message.body)[1]
        nested = attributes(message.body[_QDISC.size :]).get(_QDISC_STATS2, b"")
        queue = attributes(nested).get(_STATS_QUEUE, b"")
        if len(queue) >= _QUEUE_STATS.size:
            drops[index] = drops.get(index, 0) + _QUEUE_STATS.unpack_from(queue)[2]
    return drops


def addresses(data: bytes) -> dict[str, int]:
    """Return the interface index of each IPv4 address of this machine."""
    found = {}
    for message in messages(data):
        if message.kind != _NEW_ADDRESS or len(message.body) < _ADDRESS.size:
            continue
        local = attributes(message.body[_ADDRESS.size :]).get(_ADDRESS_LOCAL, b"")
        if len(local) == 4:
            found[socket.inet_ntoa(local)] = _ADDRESS.unpack_from(message.body)[4]
    return found


class NetlinkSocket:
    """Asks the kernel for dumps.

    Raises:
        OSError: There is no such socket here.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(_PATIENCE_SECONDS)  # the kernel answers at once, or not at all
        self._number = 0

    def dump(self, kind: int, family: int = socket.AF_UNSPEC) -> bytes:
        """Return the messages of one dump, one behind the other.

        Raises:
            OSError: The kernel refused, or said nothing.
        """
        self._number += 1
        body = {GET_LINK: _LINK, GET_ADDRESS: _ADDRESS, GET_QDISC: _QDISC}[kind]
        request = body.pack(family, *(0,) * (len(body.unpack(bytes(body.size))) - 1))
        header = _HEADER.pack(_HEADER.size + len(request), kind, _REQUEST_DUMP, self._number, 0)
        self._socket.send(header + request)
        parts: list[bytes] = []
        while True:
            data = self._socket.recv(_BUFFER_BYTES)
            if len(data) < _HEADER.size or _HEADER.unpack_from(data)[3] != self._number:
                continue  # what is left of an earlier dump that was given up
            kinds = {message.kind for message in messages(data)}
            if _ERROR in kinds:
                raise OSError(f"netlink refused request {kind}")
            parts.append(data)
            if _DONE in kinds:
                return b"".join(parts)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def _aligned(length: int) -> int:
    return length + 3 & ~3

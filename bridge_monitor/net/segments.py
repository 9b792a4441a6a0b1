"""Several packets to each of many peers in one system call: `sendmmsg` with UDP_SEGMENT (Linux 4.18, IPv4, 64 bit).

Owns the kernel structures; a packet is a header of its own and a payload anywhere in memory, shared by many packets.
Must not know what the packets mean, and never blocks. The kernel cuts an entry into packets of one size, of which only
the last may be shorter, once it is past sockets, routes and filters: that is where most of a small packet's cost lies.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Final

import numpy as np

from bridge_monitor.net import mmsg
from bridge_monitor.net.mmsg import Array

SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
MAX_PACKETS: Final = 40
"""Packets of an entry: below the kernel's 64, and 65,535 bytes hold 47 of Ethernet's size."""

REFUSALS: Final = frozenset({errno.EINVAL, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EIO, errno.EMSGSIZE})
"""What a kernel, a route or an interface that can't segment answers; its packets may go one by one."""

_SEGMENT_SPACE: Final = 24
_BEFORE_SEGMENT: Final = mmsg.PKTINFO_SPACE + mmsg.TOS_SPACE
_HEADS: Final = (
    struct.pack("=QiiI12x", 28, socket.IPPROTO_IP, mmsg.IP_PKTINFO, 0)
    + struct.pack("=Qii8x", 20, socket.IPPROTO_IP, socket.IP_TOS)
    + struct.pack("=Qii8x", 18, SOL_UDP, UDP_SEGMENT)
)


class SegmentBatch:
    """Packets, and the entries that send them: an entry takes a run of packets that lie one behind the other.

    Args:
        packets: How many fit.
        header_bytes: Bytes of each packet's header.

    Attributes:
        headers: The packets' headers, (packets × header_bytes) uint8.
        payload_address: Address of each packet's payload, which the caller keeps alive (assignable column).
        payload_lengths: Its bytes (assignable column).
        failed: Entries of the last send that the kernel refused, by place, and why (errno).
    """

    def __init__(self, packets: int, header_bytes: int) -> None:
        self.capacity = packets
        self.headers: Array = np.zeros((packets, header_bytes), np.uint8)
        self._iovecs = np.zeros((packets, 2), mmsg.IOVEC)
        self._iovecs["base"][:, 0] = mmsg.stepped(self.headers)
        self._iovecs["len"][:, 0] = header_bytes
        self.payload_address: Array = self._iovecs["base"][:, 1]
        self.payload_lengths: Array = self._iovecs["len"][:, 1]
        self._iovec_address = mmsg.stepped(self._iovecs)

        # Behind the entries of a batch, those that send one refused entry's packets one by one.
        entries = packets + MAX_PACKETS
        self._spare = packets
        self._names = np.zeros(entries, mmsg.SOCKADDR_IN)
        self._names["family"] = socket.AF_INET
        self._control = np.zeros((entries, len(_HEADS)), np.uint8)
        self._control[:] = np.frombuffer(_HEADS, np.uint8)
        self._src_ip: Array = self._control.view(">u4")[:, 5]
        self._tos: Array = self._control.view(np.int32)[:, mmsg.PKTINFO_SPACE // 4 + 4]
        self._segment: Array = self._control.view(np.uint16)[:, _BEFORE_SEGMENT // 2 + 8]
        self._entries = np.zeros(entries, mmsg.MMSGHDR)
        self._entries["name"] = mmsg.stepped(self._names)
        self._entries["namelen"] = mmsg.SOCKADDR_IN.itemsize
        self._entries["control"] = mmsg.stepped(self._control)
        self._address = self._entries.ctypes.data
        self.failed: dict[int, int] = {}

    def address(self, entries: int, *, dst_ip: Array, dst_port: Array, src_ip: Array, tos: Array) -> None:
        """Say where the first ``entries`` go, from which address (0: routing chooses) and with which mark."""
        self._names["addr"][:entries] = dst_ip
        self._names["port"][:entries] = dst_port
        self._src_ip[:entries] = src_ip
        self._tos[:entries] = tos

    def line_up(self, first: Array, count: Array) -> None:
        """Give the entries from the first on their packets.

        Args:
            first: Each entry's first packet.
            count: How many it takes; all as long as the first, but for the last, which may be shorter.
        """
        part = slice(0, len(first))
        self._entries["iov"][part] = self._iovec_address[first]
        self._entries["iovlen"][part] = 2 * count
        several = count > 1
        self._entries["controllen"][part] = np.where(several, len(_HEADS), _BEFORE_SEGMENT)
        self._segment[part] = self.headers.shape[1] + self.payload_lengths[first]

    def send(self, fd: int, start: int, stop: int) -> int:
        """Send the entries from ``start`` to ``stop``; return up to where the kernel took them, in order.

        An entry that it refuses for its own sake is noted in ``failed`` and passed over; where it takes no more for
        now, the rest is the caller's to count.

        Raises:
            OSError: The socket is unusable.
        """
        self.failed.clear()
        return self._send(fd, start, stop)

    def send_singly(self, fd: int, entry: int, first: int, count: int) -> list[int]:
        """Send a refused entry's packets one by one; return those of them that the kernel took.

        Args:
            fd: The socket.
            entry: The entry.
            first: Its first packet.
            count: How many it has.
        """
        start, stop = self._spare, self._spare + count
        for column in (self._names, self._control):
            column[start:stop] = column[entry]
        self._entries["iov"][start:stop] = self._iovec_address[first : first + count]
        self._entries["iovlen"][start:stop] = 2
        self._entries["controllen"][start:stop] = _BEFORE_SEGMENT
        self.failed.clear()
        reached = self._send(fd, start, stop)
        return [first + place - start for place in range(start, reached) if place not in self.failed]

    def _send(self, fd: int, start: int, stop: int) -> int:
        while start < stop:
            taken = mmsg.send_entries(fd, self._address + start * mmsg.MMSGHDR.itemsize, stop - start)
            if taken >= 0:
                start += taken
                continue
            code = -taken
            if code in mmsg.NOT_NOW:
                break
            if code in {errno.EBADF, errno.ENOTSOCK, errno.EFAULT}:
                raise OSError(code, os.strerror(code))
            if code in {errno.EINTR, errno.ECONNREFUSED}:
                continue  # a pending ICMP error was read; nothing of ours was refused
            self.failed[start] = code
            start += 1
        return start

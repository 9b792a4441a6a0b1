"""Many datagrams in one system call: `sendmmsg` and `recvmmsg` over numpy arrays (Linux, IPv4, 64 bit).

Owns the kernel structures (mmsghdr, iovec, sockaddr_in, control messages), built once and read by column. Must not know
what the datagrams mean, and never blocks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

SO_RCVBUFFORCE: Final = 33
SO_SNDBUFFORCE: Final = 32
SO_TIMESTAMPNS: Final = 35
SO_RXQ_OVFL: Final = 40
IP_PKTINFO: Final = 8
IP_MTU_DISCOVER: Final = 10
IP_PMTUDISC_PROBE: Final = 3

MSG_DONTWAIT: Final = 0x40
MSG_TRUNC: Final = 0x20

IOVEC: Final = np.dtype([("base", "u8"), ("len", "u8")])
SOCKADDR_IN: Final = np.dtype([("family", "u2"), ("port", ">u2"), ("addr", ">u4"), ("zero", "u8")])
MMSGHDR: Final = np.dtype(
    {
        "names": ["name", "namelen", "iov", "iovlen", "control", "controllen", "flags", "len"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)

# A control message: length, level, type, data; each starts on a multiple of 8 (cmsg(3)).
_STAMP_SPACE: Final = 32
"""CMSG_SPACE of a timespec; the kernel writes it first whenever SO_TIMESTAMPNS is on."""
_DROPS_SPACE: Final = 24
"""CMSG_SPACE of the drop counter; present only once something was dropped."""
PKTINFO_SPACE: Final = 32
TOS_SPACE: Final = 24
_CONTROL_SIZE: Final = _STAMP_SPACE + _DROPS_SPACE + PKTINFO_SPACE

# For one entry: controllen and len of its mmsghdr, port and address of its sockaddr_in, its timespec.
_HEADER_FACTS: Final = struct.Struct("=40xQ8xI")
_NAME_FACTS: Final = struct.Struct("!2xHI")
_STAMP: Final = struct.Struct("=16xqq")

_NS: Final = 1_000_000_000
NOT_NOW: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})
"""Errors that say "not now": the rest of a batch would fail alike."""

_libc = ctypes.CDLL(None, use_errno=True)
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_sendmmsg.restype = ctypes.c_int
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
_recvmmsg.restype = ctypes.c_int

Array = npt.NDArray[Any]


def ip_number(host: str) -> int:
    """Return a dotted IPv4 address as a number in host order.

    Raises:
        OSError: ``host`` is no dotted IPv4 address.
    """
    return int.from_bytes(socket.inet_aton(host), "big")


def ip_text(number: int) -> str:
    """Return the dotted form of an IPv4 address given in host order."""
    return socket.inet_ntoa(int(number).to_bytes(4, "big"))


def enable_timestamps(sock: socket.socket) -> None:
    """Have the kernel stamp each received datagram (CLOCK_REALTIME, nanoseconds); `RecvBatch` needs it."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def enable_overflow_count(sock: socket.socket) -> None:
    """Have the kernel tell how many datagrams this socket's full receive buffer has dropped."""
    sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)


def enable_pktinfo(sock: socket.socket) -> None:
    """Have the kernel tell to which local address each datagram came."""
    sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def enable_dont_fragment(sock: socket.socket) -> None:
    """Set DF on what is sent, whatever path MTU the kernel believes in: a too large packet is lost on the path."""
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)


def set_buffers(sock: socket.socket, size: int) -> tuple[int, int]:
    """Ask for ``size`` bytes of receive and send buffer, past the system's limit where we may.

    Returns:
        What the kernel granted, receive and send, in its own (doubled) count.
    """
    for option, forced in ((socket.SO_RCVBUF, SO_RCVBUFFORCE), (socket.SO_SNDBUF, SO_SNDBUFFORCE)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, size)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, option, size)
    return (
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
    )


def send_entries(fd: int, address: int, count: int) -> int:
    """Send ``count`` mmsghdr entries that lie at ``address``; return how many the kernel took, or −errno if none."""
    taken: int = _sendmmsg(fd, address, count, MSG_DONTWAIT)
    return taken if taken >= 0 else -ctypes.get_errno()


def stepped(array: Array) -> Array:
    """Return the address of each row of an array, for the kernel's structures that point at them."""
    addresses: Array = array.ctypes.data + np.arange(len(array), dtype=np.uint64) * array.strides[0]
    return addresses


def _headers(data: Array, names: Array, iovecs: Array, *, parts: int = 1) -> Array:
    """Return mmsghdr entries, entry i pointing at row i of each given array."""
    iovecs["base"][:, 0] = stepped(data)
    iovecs["len"][:, 0] = data.shape[1]
    headers = np.zeros(len(data), MMSGHDR)
    headers["name"] = stepped(names)
    headers["namelen"] = SOCKADDR_IN.itemsize
    headers["iov"] = stepped(iovecs)
    headers["iovlen"] = parts
    return headers


def _check_data(data: Array, capacity: int, packet_size: int) -> Array:
    if data.dtype != np.uint8 or data.shape != (capacity, packet_size) or data.strides[1] != 1:
        raise ValueError(f"data must be uint8 of shape ({capacity}, {packet_size}) with contiguous rows")
    return data


class Datagram(NamedTuple):
    """A received datagram by itself: as `RecvBatch`'s columns, ``data`` as far as it was kept."""

    src_ip: int
    src_port: int
    arrival_ns: int
    data: bytes
    drops: int


class RecvBatch:
    """Up to ``capacity`` datagrams received at once, as columns; entries before the count returned are valid.

    The socket needs `enable_timestamps`; with ``pktinfo`` also `enable_pktinfo`. `recv` on one socket is the plain use;
    to gather several sockets in one batch, `fill` each behind the other and `parse` once.

    Attributes:
        data: The datagrams' bytes, (capacity × packet_size) uint8.
        lengths: Full length of each datagram, also of a truncated one.
        src_ip: Source address, uint32 in host order.
        src_port: Source port, uint16.
        arrival_ns: Kernel receive time, CLOCK_REALTIME, int64; 0 if the kernel gave none.
        dst_ip: Local address it came to, uint32 in host order; 0 without ``pktinfo``.
        truncated: True where the datagram was longer than ``packet_size``.
        drops: The socket's drop count as told with each datagram, uint32; 0 if it told none.
        overflow: The last drop count seen by `parse`, over all entries.
    """

    def __init__(self, capacity: int, packet_size: int, *, pktinfo: bool = False) -> None:
        self.capacity = capacity
        self.data: Array = np.zeros((capacity, packet_size), np.uint8)
        self.lengths: Array = np.zeros(capacity, np.uint32)
        self.src_ip: Array = np.zeros(capacity, np.uint32)
        self.src_port: Array = np.zeros(capacity, np.uint16)
        self.arrival_ns: Array = np.zeros(capacity, np.int64)
        self.dst_ip: Array = np.zeros(capacity, np.uint32)
        self.truncated: Array = np.zeros(capacity, np.bool_)
        self.drops: Array = np.zeros(capacity, np.uint32)
        self.overflow = 0
        self._pktinfo = pktinfo
        self._packet_size = packet_size
        self._names = np.zeros(capacity, SOCKADDR_IN)
        self._iovecs = np.zeros((capacity, 1), IOVEC)
        self._control = np.zeros((capacity, _CONTROL_SIZE), np.uint8)
        self._headers = _headers(self.data, self._names, self._iovecs)
        self._headers["control"] = stepped(self._control)
        self._headers["controllen"] = _CONTROL_SIZE
        self._address = self._headers.ctypes.data
        # The columns of the kernel's structures, so that parsing makes no new views of them.
        self._h_len = self._headers["len"]
        self._h_controllen = self._headers["controllen"]
        self._n_addr = self._names["addr"]
        self._n_port = self._names["port"]
        self._words = self._control.view(np.int64)
        self._halves = self._control.view(np.uint32)
        self._bytes = tuple(
            array.view(np.uint8).data.cast("B") for array in (self._headers, self._names, self._control, self.data)
        )

    def fill(self, fd: int, start: int = 0) -> int:
        """Receive what waits on ``fd`` into the entries from ``start``; return how many, 0 if nothing waits.

        Raises:
            OSError: The socket is unusable. An ICMP error reported through it is no failure: it is read and left.
        """
        room = self.capacity - start
        if room <= 0:
            return 0
        count: int = _recvmmsg(fd, self._address + start * MMSGHDR.itemsize, room, MSG_DONTWAIT | MSG_TRUNC, None)
        if count >= 0:
            return count
        code = ctypes.get_errno()
        if code in {errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}:
            return 0
        raise OSError(code, os.strerror(code))

    def parse(self, stop: int, start: int = 0) -> None:
        """Turn what `fill` left in the entries from ``start`` to ``stop`` into columns."""
        part = slice(start, stop)
        self.lengths[part] = self._h_len[part]
        self.src_ip[part] = self._n_addr[part]
        self.src_port[part] = self._n_port[part]
        np.greater(self.lengths[part], self._packet_size, out=self.truncated[part])
        controllen = self._h_controllen[part]
        words = self._words[part]
        arrival = self.arrival_ns[part]
        np.multiply(words[:, 2], _NS, out=arrival)
        arrival += words[:, 3]
        plain = _STAMP_SPACE + (PKTINFO_SPACE if self._pktinfo else 0)
        if (controllen != plain).any():
            self._parse_slowly(part, controllen)
        else:
            self.drops[part] = 0
            if self._pktinfo:
                self.dst_ip[part] = self._halves[part, 14].byteswap()
        controllen[:] = _CONTROL_SIZE

    def datagrams(self, count: int) -> list[Datagram]:
        """Return what `fill` left in the first ``count`` entries; for a few of them quicker than columns."""
        plain = _STAMP_SPACE + (PKTINFO_SPACE if self._pktinfo else 0)
        headers, names, control, data = self._bytes
        found = []
        for place in range(count):
            controllen, length = _HEADER_FACTS.unpack_from(headers, place * MMSGHDR.itemsize)
            port, ip = _NAME_FACTS.unpack_from(names, place * SOCKADDR_IN.itemsize)
            if controllen == plain:
                seconds, rest = _STAMP.unpack_from(control, place * _CONTROL_SIZE)
                arrival_ns, drops = seconds * _NS + rest, 0
            else:
                self.parse(place + 1, place)
                arrival_ns, drops = self.arrival_ns.item(place), self.drops.item(place)
            start = place * self._packet_size
            kept = data[start : start + min(length, self._packet_size)].tobytes()
            found.append(Datagram(ip, port, arrival_ns, kept, drops))
        self._h_controllen[:count] = _CONTROL_SIZE
        return found

    def datagram(self, place: int) -> Datagram:
        """Return a parsed entry by itself."""
        return Datagram(
            src_ip=self.src_ip.item(place),
            src_port=self.src_port.item(place),
            arrival_ns=self.arrival_ns.item(place),
            data=self.data[place, : min(self.lengths.item(place), self._packet_size)].tobytes(),
            drops=self.drops.item(place),
        )

    def _parse_slowly(self, part: slice, controllen: Array) -> None:
        """Find each control message by its header: the kernel leaves out what it has not to tell."""
        halves = self._halves[part]
        position = np.zeros(len(controllen), np.intp)
        everyone = np.arange(len(controllen))
        arrival, drops, dst_ip = self.arrival_ns[part], self.drops[part], self.dst_ip[part]
        stamped = np.zeros(len(controllen), np.bool_)
        drops[:] = 0
        dst_ip[:] = 0
        kinds = (
            (socket.SOL_SOCKET, SO_TIMESTAMPNS, _STAMP_SPACE),
            (socket.SOL_SOCKET, SO_RXQ_OVFL, _DROPS_SPACE),
            (socket.IPPROTO_IP, IP_PKTINFO, PKTINFO_SPACE),
        )
        for level, kind, space in kinds:  # the order in which the kernel writes them
            at = np.minimum(position, (_CONTROL_SIZE - _DROPS_SPACE) // 4)
            here = (position * 4 + space <= controllen) & (halves[everyone, at + 2] == level)
            here &= halves[everyone, at + 3] == kind
            if kind == SO_TIMESTAMPNS:
                stamped = here
            elif kind == SO_RXQ_OVFL:
                drops[here] = halves[everyone[here], at[here] + 4]
            else:
                dst_ip[here] = halves[everyone[here], at[here] + 6].byteswap()
            position[here] += space // 4
        arrival[~stamped] = 0
        told = drops[drops > 0]
        if told.size:
            self.overflow = int(told[-1])

    def recv(self, fd: int) -> int:
        """Receive what waits on ``fd``; return the number of valid entries, 0 if nothing waits.

        Raises:
            OSError: The socket is unusable.
        """
        count = self.fill(fd)
        if count:
            self.parse(count)
        return count


class SendBatch:
    """Up to ``capacity`` datagrams sent at once, one an entry.

    Args:
        capacity: Number of entries.
        packet_size: Bytes of each entry's data.
        pktinfo: Whether each entry names the local address it is sent from.
        tos: Whether each entry names its type of service (DSCP × 4).
        tails: Whether each entry has a second part, anywhere in memory: one payload then serves many headers.
        data: The caller's own array to send from (not copied).

    Attributes:
        data: The datagrams' bytes, (capacity × packet_size) uint8.
        lengths: Bytes to send of each entry's data (assignable column).
        dst_ip: Destination address in host order (assignable column).
        dst_port: Destination port (assignable column).
        src_ip: With ``pktinfo``: local address to send from, 0 lets routing choose (assignable column).
        tos: With ``tos``: type of service (assignable column).
        tail_address: With ``tails``: address of the second part; the caller keeps it alive (assignable column).
        tail_lengths: With ``tails``: bytes of the second part (assignable column).
        control_size: Bytes of control messages each entry can have: source address, type of service.
        control_lengths: How many of them it has: those, or 0 where the socket's own settings will do, which the kernel
            handles quicker (assignable column).
        failed: Entries of the last send that the kernel refused one by one (EMSGSIZE, EPERM, EINVAL, …).
    """

    def __init__(
        self,
        capacity: int,
        packet_size: int,
        *,
        pktinfo: bool = False,
        tos: bool = False,
        tails: bool = False,
        data: Array | None = None,
    ) -> None:
        self.capacity = capacity
        whole = np.zeros((capacity, packet_size), np.uint8) if data is None else data
        self.data: Array = _check_data(whole, capacity, packet_size)
        self._names = np.zeros(capacity, SOCKADDR_IN)
        self._names["family"] = socket.AF_INET
        self._iovecs = np.zeros((capacity, 2), IOVEC)
        self._headers = _headers(self.data, self._names, self._iovecs, parts=2 if tails else 1)
        self._scratch = np.zeros(capacity, MMSGHDR)
        # Whole entries move as 8 machine words: gathering a structured dtype is several times slower.
        self._headers_words = self._headers.view(np.uint64).reshape(capacity, 8)
        self._scratch_words = self._scratch.view(np.uint64).reshape(capacity, 8)
        self._address = self._headers.ctypes.data
        self._scratch_address = self._scratch.ctypes.data
        self.lengths: Array = self._iovecs["len"][:, 0]
        self.tail_address: Array = self._iovecs["base"][:, 1]
        self.tail_lengths: Array = self._iovecs["len"][:, 1]
        self.dst_ip: Array = self._names["addr"]
        self.dst_port: Array = self._names["port"]
        self._control = np.zeros((capacity, PKTINFO_SPACE + TOS_SPACE), np.uint8)
        self.src_ip: Array = self._control.view(">u4")[:, 5]
        self.tos: Array = self._control.view(np.int32)[:, (PKTINFO_SPACE if pktinfo else 0) // 4 + 4]
        self.failed: list[int] = []
        heads = b""
        if pktinfo:
            heads = struct.pack("=QiiI12x", 28, socket.IPPROTO_IP, IP_PKTINFO, 0)
        if tos:
            heads += struct.pack("=Qii8x", 20, socket.IPPROTO_IP, socket.IP_TOS)
        self.control_size = len(heads)
        self.control_lengths: Array = self._headers["controllen"]
        if heads:
            self._control[:, : len(heads)] = np.frombuffer(heads, np.uint8)
            self._headers["control"] = stepped(self._control)
            self.control_lengths[:] = len(heads)

    def send(self, fd: int, n: int, start: int = 0) -> int:
        """Send the ``n`` entries from ``start``; return how many the kernel took, in order.

        An entry that the kernel refuses for its own sake is skipped and listed in ``failed`` (it counts as taken); if
        the kernel takes no more for now, what is left of the batch is the caller's to resend or count.

        Raises:
            OSError: The socket is unusable.
        """
        return self._send(fd, self._address + start * MMSGHDR.itemsize, n)

    def gather(self, rows: Array) -> None:
        """Line up the entries ``rows``, in this order, for `send_gathered`."""
        np.take(self._headers_words, rows, axis=0, out=self._scratch_words[: len(rows)], mode="clip")

    def send_gathered(self, fd: int, n: int, start: int = 0) -> int:
        """Send ``n`` entries of those lined up, from position ``start``, as `send` does.

        Positions in ``failed`` count from ``start``.
        """
        return self._send(fd, self._scratch_address + start * MMSGHDR.itemsize, n)

    def send_rows(self, fd: int, rows: Array) -> int:
        """Send the entries ``rows``, in this order, as `send` does; ``failed`` then holds positions in ``rows``."""
        self.gather(rows)
        return self.send_gathered(fd, len(rows))

    def _send(self, fd: int, address: int, n: int) -> int:
        self.failed.clear()
        done = 0
        while done < n:
            count = _sendmmsg(fd, address + done * MMSGHDR.itemsize, n - done, MSG_DONTWAIT)
            if count >= 0:
                done += count
                continue
            code = ctypes.get_errno()
            if code in NOT_NOW:
                break
            if code in {errno.EBADF, errno.ENOTSOCK, errno.EFAULT}:
                raise OSError(code, os.strerror(code))
            if code in {errno.EINTR, errno.ECONNREFUSED}:
                continue  # a pending ICMP error was read; nothing of ours was refused
            self.failed.append(done)
            done += 1
        return done

"""One UDP socket for each simulated room, on the room's own address; thousands behind one epoll.

Owns sockets and their loss counts; must not know SIP. A room that is dead has no socket: the kernel itself answers
with ICMP port unreachable.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import select
import socket
import struct
from collections.abc import Callable
from typing import Final

from bridge_monitor.errors import LocalFaultError

Address = tuple[str, int]

_SPARE_FILES: Final = 128
_READS_AT_ONCE: Final = 64
_SO_MEMINFO: Final = 55  # <asm-generic/socket.h>; not in Python's socket module
_MEMINFO: Final = struct.Struct("=9I")
_MEMINFO_DROPS: Final = 8


def raise_file_limit(sockets: int) -> None:
    """Raise this process's limit of open files as far as it may go, and see that it suffices.

    Raises:
        LocalFaultError: It does not suffice for so many sockets.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # no limit at all is −1
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = sockets + _SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LocalFaultError(
            f"{sockets} sockets need {needed} open files, but the limit is {hard}: raise the hard limit "
            "(ulimit -Hn, LimitNOFILE= in a systemd unit, /etc/security/limits.conf) or ask for fewer rooms or calls"
        )


class SipSockets:
    """The rooms' sockets.

    Args:
        on_datagram: Called with (room, datagram, source) for each datagram.
        on_batch: Called once after a batch of them.

    Attributes:
        unsent: Datagrams that the kernel would not take.
    """

    def __init__(self, on_datagram: Callable[[int, bytes, Address], None], on_batch: Callable[[], None]) -> None:
        self._on_datagram = on_datagram
        self._on_batch = on_batch
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._room_of: dict[int, int] = {}
        self._dropped = 0
        self.unsent = 0
        self._loop = asyncio.get_running_loop()
        # An epoll is itself pollable: the loop watches one descriptor instead of eleven thousand.
        self._loop.add_reader(self._epoll.fileno(), self._on_readable)

    def open(self, room: int, address: Address) -> None:
        """Have the room listen.

        Raises:
            LocalFaultError: Its address can't be bound.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.bind(address)
        except OSError as error:
            sock.close()
            raise LocalFaultError(f"SIP address {address[0]}:{address[1]}: {error.strerror}") from error
        self._sockets[room] = sock
        self._room_of[sock.fileno()] = room
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def close(self, room: int) -> None:
        """Have the room not listen any more."""
        sock = self._sockets.pop(room, None)
        if sock is not None:
            self._dropped += _drops(sock)
            self._epoll.unregister(sock.fileno())
            del self._room_of[sock.fileno()]
            sock.close()

    def close_all(self) -> None:
        """Close everything."""
        self._loop.remove_reader(self._epoll.fileno())
        for room in list(self._sockets):
            self.close(room)
        self._epoll.close()

    def is_open(self, room: int) -> bool:
        """Whether the room listens."""
        return room in self._sockets

    def dropped(self) -> int:
        """Return the datagrams that full receive buffers have dropped so far, over all rooms."""
        return self._dropped + sum(_drops(sock) for sock in self._sockets.values())

    def send(self, room: int, data: bytes, destination: Address) -> None:
        """Send from the room's address; nothing leaves a room without a socket."""
        sock = self._sockets.get(room)
        if sock is None:
            return
        try:
            sock.sendto(data, destination)
        except OSError as error:
            # ICMP of an earlier datagram is the caller's affair; anything else is ours.
            if error.errno != errno.ECONNREFUSED:
                self.unsent += 1

    def _on_readable(self) -> None:
        for fd, _ in self._epoll.poll(0, _READS_AT_ONCE):  # one of each room: where more wait, the next poll says so
            room = self._room_of.get(fd)
            # A fault may have closed the socket since.
            sock = self._sockets.get(room) if room is not None else None
            if room is None or sock is None:
                continue
            try:
                data, source = sock.recvfrom(65535)
            except OSError:
                continue
            self._on_datagram(room, data, source)
        self._on_batch()


def _drops(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    if len(info) < _MEMINFO.size:  # a kernel before 4.12 does not tell
        return 0
    return int(_MEMINFO.unpack(info)[_MEMINFO_DROPS])

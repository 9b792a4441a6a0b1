"""Sending tens of megabytes to a client's socket in a thread: the event loop waits for no client, and no client for it.

Owns the system calls and the compression before them; must not know HTTP, nor what is sent. Nothing is copied here: the
kernel is given the very parts. Both leave the interpreter to the event loop while the kernel or zlib works.
"""

from __future__ import annotations

import select
import socket
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

SEND_BYTES: Final = 1 << 16
"""Least size of what one system call is given, but the last. The kernel isn't interrupted in it, so that the media
engine waits for its end: some 20 µs. Larger ones cost less by a tenth of a percent of a core."""

_MOST_PARTS: Final = 512
"""In one system call; Linux takes 1,024 (IOV_MAX)."""

_PACK_BYTES: Final = 1 << 16
_LOOK_SECONDS: Final = 0.2
"""How long it may take until a transfer that is to stop has noticed."""

Part: TypeAlias = bytes | memoryview


class StoppedError(Exception):
    """Whoever asked for the transfer wants it no more."""


class Transfer:
    """One transfer: made on the loop, run in a thread, stopped from anywhere."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Have it end, if it is running, within a fifth of a second."""
        self._stopped.set()

    def pack(self, parts: Iterable[bytes]) -> list[bytes]:
        """Return the parts compressed with gzip, at level 1: level 9 costs eight times as much for little more.

        Raises:
            StoppedError: It was stopped.
        """
        packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        packed = []
        for batch in batches(parts, _PACK_BYTES):
            self._look()
            packed.append(packer.compress(b"".join(batch)))
        packed.append(packer.flush())
        return [part for part in packed if part]

    def send(self, connection: socket.socket, parts: Iterable[bytes]) -> None:
        """Write all parts to a connection, of which nobody else writes to a duplicate meanwhile, and close it.

        Raises:
            ConnectionError: The other side is gone.
            StoppedError: It was stopped.
        """
        with connection:
            writable = select.poll()
            writable.register(connection, select.POLLOUT)
            for batch in batches(parts, SEND_BYTES):
                left: Sequence[Part] = batch
                while left:
                    self._look()
                    try:
                        # Whatever the socket's mode, which its duplicates share.
                        sent = connection.sendmsg(left, (), socket.MSG_DONTWAIT)
                    except BlockingIOError:
                        writable.poll(_LOOK_SECONDS * 1000)
                    else:
                        left = without(left, sent)

    def _look(self) -> None:
        if self._stopped.is_set():
            raise StoppedError


def batches(parts: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Yield the parts in their order, in lists of at least so many bytes each, but the last; none is empty."""
    batch: list[bytes] = []
    held = 0
    for part in parts:
        if part:
            batch.append(part)
            held += len(part)
            if held >= size or len(batch) == _MOST_PARTS:
                yield batch
                batch, held = [], 0
    if batch:
        yield batch


def without(parts: Sequence[Part], sent: int) -> Sequence[Part]:
    """Return what is left of some parts, none of them empty, when so many bytes of them are gone."""
    for number, part in enumerate(parts):
        if sent < len(part):
            return [memoryview(part)[sent:], *parts[number + 1 :]]
        sent -= len(part)
    return ()

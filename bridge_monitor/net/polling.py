"""When a socket is read: at its wake-ups while little comes, at a steady pace while much does (network drivers do so).

Owns the choice between the two; must not know what is read. A wake-up for each datagram costs the loop as much as the
datagram, and more where another process has emptied the core's caches meanwhile. Who needs the time of an arrival has
the kernel's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

PACE_SECONDS: Final = 0.01
"""A busy socket is read so often. `probes.runner` starts calls on the same grid, so that one wake-up serves both."""
BUSY_PER_SECOND: Final = 100
"""So many datagrams a second make a socket busy, half as many calm again."""
_SPAN_SECONDS: Final = 0.1


def on_the_grid(at: float) -> float:
    """Return the first moment of the common grid that isn't before a loop time."""
    return math.ceil(at / PACE_SECONDS) * PACE_SECONDS


class PacedReader:
    """Has a socket of the running loop read.

    Args:
        fd: The socket.
        read: Reads what waits, and returns how many datagrams that were; may leave some if there are very many.
    """

    def __init__(self, fd: int, read: Callable[[], int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._read = read
        self._poll: asyncio.TimerHandle | None = None
        self._closed = False
        self._count = 0
        self._counted_from = self._loop.time()
        self._loop.add_reader(fd, self._on_wake_up)

    @property
    def is_busy(self) -> bool:
        """Whether the socket is read at a steady pace."""
        return self._poll is not None

    def close(self) -> None:
        """Read no more; what is being read may call it."""
        self._closed = True
        if self._poll is None:
            self._loop.remove_reader(self._fd)
        else:
            self._poll.cancel()

    def _on_wake_up(self) -> None:
        if self._much_came() and not self._closed:
            self._loop.remove_reader(self._fd)
            self._arm()

    def _on_poll(self) -> None:
        much = self._much_came()
        if self._closed:
            return
        if much:
            self._arm()
        else:
            self._poll = None
            self._loop.add_reader(self._fd, self._on_wake_up)

    def _arm(self) -> None:
        now = self._loop.time()
        # Just now is done: the next moment is a later one, also if the clock stands on the grid.
        self._poll = self._loop.call_at(on_the_grid(now + PACE_SECONDS / 10), self._on_poll)

    def _much_came(self) -> bool:
        """Read, and return whether the socket is busy: once much came in a span, until little came in a whole one."""
        self._count += self._read()
        now = self._loop.time()
        if now - self._counted_from < _SPAN_SECONDS:
            return self.is_busy or self._count > BUSY_PER_SECOND * _SPAN_SECONDS
        rate = self._count / (now - self._counted_from)
        self._count, self._counted_from = 0, now
        return rate > BUSY_PER_SECOND / 2 if self.is_busy else rate > BUSY_PER_SECOND

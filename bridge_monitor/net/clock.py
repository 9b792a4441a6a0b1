"""Clocks and randomness: where the pure rooms' `now` and tokens come from.

Owns reading the time; must not decide anything by it.
"""

from __future__ import annotations

import asyncio
import bisect
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from bridge_monitor.domain import time_ordered_id

LATE_SECONDS: Final = 0.02
"""Shorter lags are not kept: every loop has them."""

_CHANCE_BYTES: Final = 4096
"""So many random bytes are fetched at a time: a call asks ten times, and each look at the kernel has its price."""


def monotonic_now() -> float:
    """Return seconds of the clock that never jumps, which is the event loop's: asyncio's ``loop.time()``."""
    return time.monotonic()


def posix_now() -> float:
    """Return UTC time in seconds since 1970."""
    return time.time()


def posix_now_ns() -> int:
    """Return UTC time in nanoseconds since 1970, on the clock the kernel stamps packets with (CLOCK_REALTIME)."""
    return time.time_ns()


def utc(posix_seconds: float) -> datetime:
    """Return the aware datetime of a POSIX time."""
    return datetime.fromtimestamp(posix_seconds, UTC)


def new_id(posix_seconds: float) -> str:
    """Return a fresh time-ordered identifier (UUIDv7)."""
    return time_ordered_id(posix_seconds, _CHANCE.take(10))


def token() -> str:
    """Return 64 random bits as text, for tags, branches and Call-IDs (RFC 3261 §19.3 asks for at least 32)."""
    return _CHANCE.take(8).hex()


def random_bits(bits: int) -> int:
    """Return a random number, for SSRCs and first sequence numbers (RFC 3550 §5.1)."""
    count = (bits + 7) // 8
    return int.from_bytes(_CHANCE.take(count), "big") >> (8 * count - bits)


class Chance:
    """The kernel's random bytes, fetched some thousands at a time; none is given twice, nor to a forked child as well.

    Args:
        source: Returns so many fresh random bytes.
    """

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self._bytes = b""
        self._at = 0
        os.register_at_fork(after_in_child=self.forget)

    def take(self, count: int) -> bytes:
        """Return so many random bytes, at most `_CHANCE_BYTES`."""
        end = self._at + count
        if end > len(self._bytes):
            self._bytes, end = self._source(_CHANCE_BYTES), count
        self._at = end
        return self._bytes[end - count : end]

    def forget(self) -> None:
        """Fetch anew next time."""
        self._bytes = b""


_CHANCE: Final = Chance()


class LoopLagMonitor:
    """Measures how late the event loop runs what is due, so that our own lag is never taken for a room's delay.

    Args:
        period: Seconds between two looks.
        keep: Seconds of history that `worst_since` can answer for.
    """

    def __init__(self, period: float = 0.05, keep: float = 120.0) -> None:
        self._period = period
        self._keep = keep
        # (at, lag), later ones less: of what came before a longer lag no question will ever ask.
        self._late: list[tuple[float, float]] = []
        self._task: asyncio.Task[None] | None = None
        self.last = 0.0

    def start(self) -> None:
        """Begin measuring on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="loop-lag")

    async def stop(self) -> None:
        """End measuring."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def note(self, at: float, lag: float) -> None:
        """Take one look into account: at loop time ``at`` (never going back) the loop was ``lag`` seconds late."""
        self.last = lag
        self.note_late(at, lag)

    def note_late(self, at: float, late: float) -> None:
        """Take into account that at loop time ``at`` something was read ``late`` seconds after it had come."""
        if late <= LATE_SECONDS:
            return
        kept = self._late
        while kept and kept[-1][1] <= late:
            kept.pop()
        kept.append((at, late))
        if kept[0][0] < at - self._keep:
            del kept[0]

    def worst_since(self, since: float) -> float:
        """Return the longest lag noted since loop time ``since``, in seconds."""
        place = bisect.bisect_left(self._late, (since, 0.0))
        return self._late[place][1] if place < len(self._late) else 0.0

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._period
            await asyncio.sleep(self._period)
            now = loop.time()
            self.note(now, max(0.0, now - due))

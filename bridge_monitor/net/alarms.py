"""The waits of many calls on one timer of the event loop: its own timers are Python objects, compared in Python.

Owns the grain that they are kept to; must not know who waits or what for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from bridge_monitor.sip.timers import TimerHeap

GRAIN_SECONDS: Final = 0.02
"""Waits end together so often: none too early, each later by this at most."""
_NAME: Final = "alarm"


class Alarm:
    """One deadline at a time of one waiter.

    Args:
        ring: Is called with the loop's time when the deadline has come.
    """

    __slots__ = ("_ring", "timers")

    def __init__(self, ring: Callable[[float], None]) -> None:
        self._ring: Callable[[float], None] | None = ring
        self.timers: dict[str, int] = {}  # the heap's own

    @property
    def is_set(self) -> bool:
        """Whether it will ring."""
        return bool(self.timers)

    def fire(self, _timer: str, now: float) -> None:
        """Ring."""
        if self._ring is not None:
            self._ring(now)

    def forget(self) -> None:
        """Ring nobody any more: what is left of it in a heap keeps no waiter alive."""
        self._ring = None


class Alarms:
    """The alarms of many waiters."""

    def __init__(self) -> None:
        self._heap = TimerHeap()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def set(self, alarm: Alarm, deadline: float) -> None:
        """Set an alarm to a loop time, in place of its earlier one."""
        self._heap.start(alarm, _NAME, deadline)
        self._arm(deadline)

    def drop(self, alarm: Alarm) -> None:
        """Take an alarm back for good."""
        self._heap.stop(alarm, _NAME)
        alarm.forget()

    def close(self) -> None:
        """Let the loop's timer go; no alarm goes off any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, deadline: float) -> None:
        due = math.ceil(deadline / GRAIN_SECONDS) * GRAIN_SECONDS
        # A timer that is too early wakes the loop once for nothing; to set it anew each time would cost more.
        if due < self._timer_at:
            self.close()
            self._timer_at = due
            self._timer = asyncio.get_running_loop().call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._heap.fire_due(asyncio.get_running_loop().time())
        deadline = self._heap.next_deadline()
        if deadline is not None:
            self._arm(deadline)

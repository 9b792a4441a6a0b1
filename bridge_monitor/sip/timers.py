"""Timers of the user agent in the caller's time (RFC 3261 §17, table 4): values, and one heap for all of them.

Owns when; must not know what is done then: each timer fires its owner by name.
"""

from __future__ import annotations

import heapq
from typing import Final, Protocol

T1: Final = 0.5
"""Round-trip estimate, seconds."""
T2: Final = 4.0
"""Longest interval between retransmissions of non-INVITE requests and INVITE responses, seconds."""
T4: Final = 5.0
"""How long a message may stay in the network, seconds."""
TRANSACTION_TIMEOUT: Final = 64 * T1
"""Timers B, F, H, J, L, M and (on UDP) D, seconds."""


class TimerOwner(Protocol):
    """Whoever has timers; `timers` belongs to the heap."""

    timers: dict[str, int]

    def fire(self, timer: str, now: float) -> None:
        """Take note that the timer of this name ran out."""


class TimerHeap:
    """All timers of one user agent. A stopped timer stays in the heap until it is met or the heap is half stale."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, TimerOwner, str]] = []
        self._serial = 0
        self._running = 0

    def __len__(self) -> int:
        return self._running

    def start(self, owner: TimerOwner, timer: str, deadline: float) -> None:
        """Start a timer, or start it anew."""
        self._serial += 1
        if timer not in owner.timers:
            self._running += 1
        owner.timers[timer] = self._serial
        heapq.heappush(self._heap, (deadline, self._serial, owner, timer))
        if len(self._heap) > 1024 and len(self._heap) > 4 * self._running:
            self._heap = [entry for entry in self._heap if entry[2].timers.get(entry[3]) == entry[1]]
            heapq.heapify(self._heap)

    def stop(self, owner: TimerOwner, timer: str) -> None:
        """Stop a timer; nothing happens if it doesn't run."""
        if owner.timers.pop(timer, None) is not None:
            self._running -= 1

    def stop_all(self, owner: TimerOwner) -> None:
        """Stop every timer of an owner."""
        self._running -= len(owner.timers)
        owner.timers.clear()

    def next_deadline(self) -> float | None:
        """Return when the next timer runs out, or None."""
        heap = self._heap
        while heap:
            deadline, serial, owner, timer = heap[0]
            if owner.timers.get(timer) == serial:
                return deadline
            heapq.heappop(heap)
        return None

    def fire_due(self, now: float) -> None:
        """Fire every timer whose deadline has come, in order of deadlines."""
        while self._heap and self._heap[0][0] <= now:
            _, serial, owner, timer = heapq.heappop(self._heap)
            if owner.timers.get(timer) == serial:
                del owner.timers[timer]
                self._running -= 1
                owner.fire(timer, now)

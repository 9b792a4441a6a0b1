"""What one call hears and shows: its events, and the ladder of its messages.

Owns the wait for an event, with no task and hardly a timer of its own; must not know sockets or the protocol.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from bridge_monitor.domain import LadderStep
from bridge_monitor.sip import Address, Event

_LADDER_LIMIT: Final = 200

WireTap = Callable[[bool, Address, Address, bytes], None]
"""Called with (sent, local, peer, datagram) for each SIP message of a tapped call."""


class CallChannel:
    """The events and the ladder of one call or OPTIONS transaction.

    Attributes:
        ladder: What passed, in order; at most 200 steps are kept.
    """

    def __init__(self, started: float, tap: WireTap | None) -> None:
        self.ladder: list[LadderStep] = []
        self.started = started
        self.tap = tap
        self._seen: set[bytes] = set()
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    def tell(self, event: Event) -> None:
        """Add an event and wake who waits for it."""
        self._events.append(event)
        self._wake()

    async def next_event(self, patience: float, *, unless: asyncio.Future[Any] | None = None) -> Event | None:
        """Return the call's next event, or None after ``patience`` seconds or once ``unless`` is done.

        One task at a time may wait. It needs no task and, mostly, no timer of its own: calls come by the thousand.
        """
        if not self._events and (unless is None or not unless.done()):
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            self._arm(loop, loop.time() + patience)
            if unless is not None:
                unless.add_done_callback(self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if unless is not None:
                    unless.remove_done_callback(self._wake)
        return self._events.popleft() if self._events else None

    def close(self) -> None:
        """Stop the timer; nobody waits any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _wake(self, _done: object = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _arm(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        self._deadline = deadline
        # An alarm that is too early is set anew when it goes off: mostly the call is over before that.
        if self._alarm is None or deadline < self._alarm.when():
            self.close()
            self._alarm = loop.call_at(deadline, self._on_alarm, loop, deadline)

    def _on_alarm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._alarm = None
        if at >= self._deadline:
            self._wake()
        elif self._waiter is not None:
            self._arm(loop, self._deadline)

    def note(self, now: float, *, sent: bool, peer: Address, data: bytes) -> None:
        """Add one message to the ladder."""
        if len(self.ladder) >= _LADDER_LIMIT:
            return
        again = data in self._seen
        self._seen.add(data)
        text = data.decode("utf-8", "replace")
        start_line = text.split("\r\n", 1)[0][:200]
        step = LadderStep(now - self.started, sent, f"{peer[0]}:{peer[1]}", start_line, text, again)
        self.ladder.append(step)

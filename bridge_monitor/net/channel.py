"""What one call hears and shows: its events, and the ladder of its messages.

Owns the wait for an event, with no task and no timer of its own; must not know sockets or the protocol.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from bridge_monitor.domain import LadderStep
from bridge_monitor.net.alarms import Alarm, Alarms
from bridge_monitor.sip import Address, Event

_LADDER_LIMIT: Final = 200

WireTap = Callable[[bool, Address, Address, bytes], None]
"""Called with (sent, local, peer, datagram) for each SIP message of a tapped call."""


class CallChannel:
    """The events and the ladder of one call or OPTIONS transaction.

    Args:
        started: When the call began, in loop time: its ladder counts from there.
        tap: Is given each datagram.
        alarms: Where its waits are kept; shared by many.
    """

    def __init__(self, started: float, tap: WireTap | None, alarms: Alarms) -> None:
        self.started = started
        self.tap = tap
        self._alarms = alarms
        self._alarm: Alarm | None = None
        self._alarm_at = 0.0
        self._messages: list[tuple[float, bool, Address, bytes]] = []
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0

    @property
    def ladder(self) -> tuple[LadderStep, ...]:
        """What passed, in order; at most 200 steps. Made when asked for: of most calls nobody wants to see it."""
        seen: set[bytes] = set()
        steps = []
        for at, sent, peer, data in self._messages:
            text = data.decode("utf-8", "replace")
            start_line = text.split("\r\n", 1)[0][:200]
            again = data in seen
            seen.add(data)
            steps.append(LadderStep(at - self.started, sent, f"{peer[0]}:{peer[1]}", start_line, text, again))
        return tuple(steps)

    def tell(self, event: Event) -> None:
        """Add an event and wake who waits for it."""
        self._events.append(event)
        self._wake()

    async def next_event(self, patience: float, *, unless: asyncio.Future[Any] | None = None) -> Event | None:
        """Return the call's next event, or None after ``patience`` seconds or once ``unless`` is done.

        One task at a time may wait. It needs no task and no timer of its own: calls come by the thousand.
        """
        if not self._events and (unless is None or not unless.done()):
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            self._arm(loop.time() + patience)
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
        """Stop the alarm; nobody waits any more."""
        if self._alarm is not None:
            self._alarms.drop(self._alarm)
            self._alarm = None

    def note(self, now: float, *, sent: bool, peer: Address, data: bytes) -> None:
        """Add one message to the ladder."""
        if len(self._messages) < _LADDER_LIMIT:
            self._messages.append((now, sent, peer, data))

    def follow(self, earlier: CallChannel) -> None:
        """Begin the ladder with that of the call's attempt before this one, counted from the same start."""
        self._messages[:0] = earlier._messages

    def _wake(self, _done: object = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _arm(self, deadline: float) -> None:
        self._deadline = deadline
        # An alarm that is too early is set anew when it goes off: mostly the call is over before that.
        if self._alarm is None:
            self._alarm = Alarm(self._on_alarm)
        if not self._alarm.is_set or deadline < self._alarm_at:
            self._alarm_at = deadline
            self._alarms.set(self._alarm, deadline)

    def _on_alarm(self, now: float) -> None:
        if now >= self._deadline:
            self._wake()
        elif self._waiter is not None:
            self._arm(self._deadline)

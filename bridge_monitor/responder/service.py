"""The responder as a running thing: its SIP socket, its media process, its one timer.

Owns starting and stopping; what is answered is `responder.room`'s affair.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import clock
from bridge_monitor.responder.room import EchoRoom, EndedBy, Tally
from bridge_monitor.responder.settings import ResponderSettings
from bridge_monitor.sim.assignment import SimulatedSite
from bridge_monitor.sim.board import OVERFLOWED, PACKETS, STRAY, UNSENT, lateness_quantile
from bridge_monitor.sim.media import Media
from bridge_monitor.sim.reflector import ReflectorSettings
from bridge_monitor.sim.sip_sockets import Address, SipSockets, raise_file_limit

_STOP_SECONDS: Final = 2.0
_ROOM: Final = 0
_QUEUE: Final = 16  # nothing is delayed on purpose

OnEnded = Callable[[EndedBy, float, int], None]


@dataclass(frozen=True, slots=True)
class Status:
    """How the responder fares.

    Attributes:
        calls_up: Calls now.
        tally: Its calls since the start.
        packets: RTP packets received of calls.
        strays: Datagrams at its media ports that belong to no call, or come from others than its caller.
        dropped: Datagrams that its own full buffers dropped.
        unsent: Datagrams that the kernel would not take.
        late_seconds: 99 % of the echoes left no later than this after they came; None before the first.
    """

    calls_up: int
    tally: Tally
    packets: int
    strays: int
    dropped: int
    unsent: int
    late_seconds: float | None


class Responder:
    """One echo room on one address of this machine.

    Args:
        settings: Where and how much.
        on_ended: Is told of each call that is over.
    """

    def __init__(self, settings: ResponderSettings, on_ended: OnEnded = lambda _by, _seconds, _packets: None) -> None:
        self.settings = settings
        self._on_ended = on_ended
        raise_file_limit(2 * settings.calls + 2)
        # A line for each call: every row has a count of packets of its own.
        rooms = [SimulatedSite("echo", settings.host, settings.port, "echo")] * settings.calls
        self._media = Media(
            rooms,
            settings.calls,
            settings.media_ports[0] if settings.media_ports else None,
            ReflectorSettings(queue_capacity=_QUEUE, only_callers=True),
            np.random.default_rng(clock.random_bits(64)),
        )
        self._room: EchoRoom | None = None
        self._sockets: SipSockets | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._none_open = asyncio.Event()

    async def start(self) -> None:
        """Listen.

        Raises:
            LocalFaultError: An address or port is not to be had; nothing is left behind.
        """
        try:
            await self._media.start()
            sockets = SipSockets(lambda _room, data, source: self._receive(data, source), self._flush)
            self._sockets = sockets
            sockets.open(_ROOM, (self.settings.host, self.settings.port))
        except LocalFaultError:
            await self.stop()
            raise
        ports = {port for row in range(self.settings.calls) for port in self._media.ports(row)}
        board = self._media.board
        self._room = EchoRoom(
            self.settings,
            self._media,
            clock.token,
            lambda row: int(board.received[row]),
            own_ports=frozenset(ports),
            on_ended=self._on_ended,
        )

    async def stop(self) -> None:
        """Say BYE to everybody, wait a little for the answers, close everything."""
        if self._room is not None:
            self._room.hang_up(asyncio.get_running_loop().time())
            self._flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._none_open.wait()
            self._room = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sockets is not None:
            self._sockets.close_all()
            self._sockets = None
        await self._media.stop()

    @property
    def alive(self) -> bool:
        """Whether the media process runs; without it nothing is echoed."""
        return self._media.alive

    def status(self) -> Status:
        """Return how it fares."""
        health = self._media.board.health
        room, sockets = self._room, self._sockets
        return Status(
            calls_up=room.calls_up if room else 0,
            tally=room.tally if room else Tally(),
            packets=int(health[PACKETS]),
            strays=int(health[STRAY]),
            dropped=int(health[OVERFLOWED]) + (sockets.dropped() if sockets else 0),
            unsent=int(health[UNSENT]) + (sockets.unsent if sockets else 0),
            late_seconds=lateness_quantile(self._media.board.lateness, 0.99),
        )

    def _receive(self, data: bytes, source: Address) -> None:
        if self._room is not None:
            self._room.receive(data, source, asyncio.get_running_loop().time())

    def _flush(self) -> None:
        """Send what is to be sent and arm the one timer."""
        if self._room is None or self._sockets is None:
            return
        for data, destination in self._room.datagrams_to_send():
            self._sockets.send(_ROOM, data, destination)
        if self._room.calls_open:
            self._none_open.clear()
        else:
            self._none_open.set()
        due = self._room.get_timer()
        if due is not None and due < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due
            self._timer = asyncio.get_running_loop().call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        if self._room is not None:
            self._room.handle_timer(asyncio.get_running_loop().time())
            self._flush()

"""SIP over TCP and TLS: connections, shared by all calls to one place, kept alive, made anew when they break.

Owns connections of one user agent; must not know what a call is for, nor what a certificate must say (`net.tls`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import structlog

from bridge_monitor.domain import TlsResult
from bridge_monitor.errors import BridgeMonitorError, LocalFaultError
from bridge_monitor.net import clock, tls
from bridge_monitor.sip import StreamAddress, UserAgent
from bridge_monitor.sip.framing import PING, PONG, StreamReader

_LOG = structlog.get_logger(__name__)
_UNREACHABLE: Final = {
    # What a room, or the way to it, makes of our SYN; any other error is of this machine.
    errno.ECONNREFUSED: "connection_refused",
    errno.ECONNRESET: "connection_refused",
    errno.EHOSTUNREACH: "no_route_to_host",
    errno.ENETUNREACH: "no_route_to_host",
    errno.EHOSTDOWN: "no_route_to_host",
    errno.ENOPROTOOPT: "connection_refused",
    errno.ETIMEDOUT: "connect_timeout",
}
_LARGEST_BACKLOG: Final = 1 << 20
"""A peer that doesn't read costs us no more memory than this; then its connection is broken."""
_MOST_ACCEPTED: Final = 256
_KEEP_ALIVE_PROBES: Final = (
    (socket.SO_KEEPALIVE, socket.SOL_SOCKET, 1),
    (socket.TCP_KEEPIDLE, socket.IPPROTO_TCP, 30),
    (socket.TCP_KEEPINTVL, socket.IPPROTO_TCP, 10),
    (socket.TCP_KEEPCNT, socket.IPPROTO_TCP, 3),
    # What was sent and isn't acknowledged in so many ms breaks the connection: timer F would take 32 s to notice.
    (socket.TCP_USER_TIMEOUT, socket.IPPROTO_TCP, 15_000),
)


class NotConnectedError(BridgeMonitorError):
    """No connection could be had.

    Attributes:
        reason: ``connection_refused``, ``no_route_to_host``, ``connect_timeout``, or one of `tls.REASONS`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """How long things may take, seconds.

    Attributes:
        connect: From SYN to an answer; less than the usual patience for an answer.
        handshake: Of TLS.
        keep_alive: Least and most between two pings (RFC 5626 §4.4.1 has 95 to 120 where the peer says nothing).
        pong: So long a peer that has answered pings before may take for the next answer (RFC 5626 §4.4.1).
        idle: Unused and unneeded for so long, a connection is closed.
    """

    connect: float = 4.0
    handshake: float = 4.0
    keep_alive: tuple[float, float] = (95.0, 120.0)
    pong: float = 10.0
    idle: float = 300.0


@dataclass(frozen=True, slots=True)
class Connected:
    """How a connection was had: what was waited for it, and what its certificate said.

    Attributes:
        connect_seconds: From SYN to SYN-ACK; 0 for one that was there.
        tls_seconds: The handshake; None without TLS.
        tls: What was agreed on; None without TLS.
    """

    connect_seconds: float
    tls_seconds: float | None = None
    tls: TlsResult | None = None


class _Connection(asyncio.Protocol):
    """One connection, ours or the peer's; its address is what the user agent knows it by."""

    def __init__(self, owner: SipStreams, address: StreamAddress | None = None) -> None:
        self.owner = owner
        self.accepted = address is None
        self.address = address or StreamAddress("", 0)
        self.transport: asyncio.Transport
        self.agreed: TlsResult | None = None
        self.refusal: tls.TlsFailedError | None = None
        self.facts = Connected(0.0)
        self.used_at = owner.now()
        self.closed = False
        self._reader = StreamReader()
        self._answers_pings = False
        self._timer: asyncio.TimerHandle | None = None
        self._pong_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.accepted:
            host, port, *_ = transport.get_extra_info("peername")
            self.address = StreamAddress(host, port)
            self.owner.take_accepted(self)
        elif self.address.transport == "tls":
            # Before a byte of the peer's is read: who it is isn't known until here.
            try:
                self.agreed = tls.check(transport.get_extra_info("ssl_object"), self.address)
            except tls.TlsFailedError as error:
                self.refusal = error
                self.closed = True
                self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        agent, now = self.owner.agent, self.owner.now()
        for frame in self._reader.feed(data):
            if frame == PING:
                self.transport.write(PONG)
            elif frame == PONG:
                self._answers_pings = True
                self._stop_waiting_for_pong()
            else:
                self.used_at = now
                agent.receive_datagram(frame, self.address, now)
        if self._reader.violation is not None and not self.closed:
            self.close()
            agent.receive_broken(self._reader.offender, self.address, now, self._reader.violation)
        self.owner.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            self._stop_timers()
            self.owner.lost(self, exc)

    def write(self, data: bytes) -> None:
        """Send a message; a peer that doesn't read loses its connection."""
        self.used_at = self.owner.now()
        self.transport.write(data)
        if self.transport.get_write_buffer_size() > _LARGEST_BACKLOG:
            self.transport.abort()

    def close(self) -> None:
        """Close it on purpose: the user agent isn't told."""
        self.closed = True
        self._stop_timers()
        self.owner.forget(self)
        self.transport.abort()

    def keep(self) -> None:
        """Look after it from now on: keep-alive, and its end once nobody needs it."""
        times = self.owner.times
        low, high = times.keep_alive
        wait = low + (high - low) * clock.random_bits(16) / 0xFFFF
        self._timer = asyncio.get_running_loop().call_later(wait, self._look_after)

    def _look_after(self) -> None:
        owner = self.owner
        if owner.now() - self.used_at >= owner.times.idle and not owner.agent.needs(self.address):
            self.close()
            return
        if not self.accepted:
            self.transport.write(PING)
            if self._answers_pings:
                loop = asyncio.get_running_loop()
                self._pong_timer = loop.call_later(owner.times.pong, self.transport.abort)
        self.keep()

    def _stop_waiting_for_pong(self) -> None:
        if self._pong_timer is not None:
            self._pong_timer.cancel()
            self._pong_timer = None

    def _stop_timers(self) -> None:
        self._stop_waiting_for_pong()
        if self._timer is not None:
            self._timer.cancel()


class SipStreams:
    """The connections of one user agent.

    It also listens at its port (RFC 3261 §18.2.1), from its first connection on: a peer whose connection broke sends
    its response, or its BYE, there (§18.2.2). TLS isn't listened for: that would need a certificate.

    Args:
        agent: Whose they are.
        local: Its address: connections leave from its host, and its port is what Via and Contact name.
        flush: Sends what the agent has to send and delivers its events.
        dscp: Mark of the packets (0–63).
        times: How long things may take.
        local_errors: Where is noted what of this machine kept a connection from being made, by address.
    """

    def __init__(
        self,
        agent: UserAgent,
        local: tuple[str, int],
        flush: Callable[[], None],
        *,
        dscp: int = 24,
        times: StreamTimes | None = None,
        local_errors: dict[tuple[str, int], str] | None = None,
    ) -> None:
        self.agent = agent
        self._local_errors = {} if local_errors is None else local_errors
        self.flush = flush
        self.times = times or StreamTimes()
        self._local = local
        self._dscp = dscp
        self._loop = asyncio.get_running_loop()
        self._open: dict[StreamAddress, _Connection] = {}
        self._opening: dict[StreamAddress, asyncio.Task[_Connection]] = {}
        self._waiting: dict[StreamAddress, list[bytes]] = {}
        self._accepted = 0
        self._server: asyncio.Server | None = None
        self._listening: asyncio.Task[None] | None = None

    def now(self) -> float:
        """Return the agent's clock: the loop's monotonic seconds."""
        return self._loop.time()

    async def connect(self, address: StreamAddress) -> Connected:
        """Have a connection, the one that is there or a new one; others that want it meanwhile share it.

        Raises:
            NotConnectedError: The peer, or the way to it, doesn't let us.
            LocalFaultError: This machine doesn't.
        """
        if (known := self._usable(address)) is not None:
            return Connected(0.0, None if known.facts.tls_seconds is None else 0.0, known.facts.tls)
        # Whoever gives up waiting takes it from nobody else.
        connection = await asyncio.shield(self._opening.get(address) or self._begin(address))
        return connection.facts

    def send(self, data: bytes, address: StreamAddress) -> None:
        """Send a message, over a new connection if there is none; the agent is told if that can't be had."""
        connection = self._usable(address)
        if connection is not None:
            connection.write(data)
            return
        if address not in self._opening:
            self._begin(address)
        self._waiting.setdefault(address, []).append(data)

    def close(self) -> None:
        """Close every connection; nothing is sent any more, and nobody is told."""
        for task in (*self._opening.values(), *([self._listening] if self._listening else ())):
            task.cancel()
        self._waiting.clear()
        for connection in list(self._open.values()):
            connection.close()
        if self._server is not None:
            self._server.close()

    # --- what connections tell ---------------------------------------------------------------------------------------

    def take_accepted(self, connection: _Connection) -> None:
        """Take a connection that a peer made; too many at once are turned away."""
        if self._accepted >= _MOST_ACCEPTED:
            connection.closed = True
            connection.transport.abort()
            return
        self._accepted += 1
        self._open[connection.address] = connection
        connection.keep()

    def lost(self, connection: _Connection, error: Exception | None) -> None:
        """Take note that a connection broke."""
        address = connection.address
        current = self._open.get(address) in (connection, None)
        self.forget(connection)
        if not current:
            return  # another has taken its place
        now = self.now()
        if isinstance(error, ssl.SSLError):
            # With TLS 1.3 a server refuses our certificate only after its own part of the handshake is done.
            self.agent.transport_failed(address, now, tls.reason_of(error))
        else:
            self.agent.connection_lost(address, now)
        self.flush()

    def forget(self, connection: _Connection) -> None:
        """Use a connection no more."""
        if self._open.get(connection.address) is connection:
            del self._open[connection.address]
            self._accepted -= connection.accepted

    # --- making one --------------------------------------------------------------------------------------------------

    def _usable(self, address: StreamAddress) -> _Connection | None:
        connection = self._open.get(address)
        return None if connection is None or connection.transport.is_closing() else connection

    def _begin(self, address: StreamAddress) -> asyncio.Task[_Connection]:
        task = self._loop.create_task(self._make(address), name=f"connect-{address!r}")
        self._opening[address] = task
        task.add_done_callback(lambda done: self._made(address, done))
        return task

    def _made(self, address: StreamAddress, task: asyncio.Task[_Connection]) -> None:
        del self._opening[address]
        waiting = self._waiting.pop(address, [])
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            connection = task.result()
            if connection.closed:
                self.lost(connection, None)
                return
            self._open[address] = connection
            connection.keep()
            for data in waiting:
                connection.write(data)
            return
        reason = error.reason if isinstance(error, NotConnectedError | LocalFaultError) else "connection_failed"
        if not isinstance(error, NotConnectedError):
            _LOG.warning("not_connected", peer=repr(address), error=str(error))
            if waiting:
                self._local_errors[address] = reason
        self.agent.transport_failed(address, self.now(), reason)
        self.flush()

    async def _make(self, address: StreamAddress) -> _Connection:
        await self._listen()
        context = tls.context_of(address.tls) if address.transport == "tls" else None
        began = self.now()
        opened = await self._connected_socket(address)
        connected = self.now()
        connection = _Connection(self, address)
        try:
            await self._loop.create_connection(
                lambda: connection,
                sock=opened,
                ssl=context,
                # Numbers are no names: RFC 6066 §3 forbids them here.
                server_hostname=None if context is None else tls.indicated_name(address.name),
                ssl_handshake_timeout=None if context is None else self.times.handshake,
            )
        except OSError as error:  # errors of TLS are OSErrors
            opened.close()
            raise NotConnectedError(tls.reason_of(error)) from error
        if connection.refusal is not None:
            raise NotConnectedError(connection.refusal.reason) from connection.refusal
        shaken = None if context is None else self.now() - connected
        connection.facts = Connected(connected - began, shaken, connection.agreed)
        return connection

    async def _connected_socket(self, address: StreamAddress) -> socket.socket:
        host = self._local[0]
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, self._dscp << 2)
            for option, level, value in _KEEP_ALIVE_PROBES:
                opened.setsockopt(level, option, value)
            opened.bind((host, 0))
            async with asyncio.timeout(self.times.connect):
                await self._loop.sock_connect(opened, (address[0], address[1]))
        except TimeoutError:
            opened.close()
            raise NotConnectedError("connect_timeout") from None
        except OSError as error:
            opened.close()
            reason = _UNREACHABLE.get(error.errno or 0)
            if reason is None:
                raise LocalFaultError(f"no connection from {host} to {address!r}: {error.strerror}") from error
            raise NotConnectedError(reason) from error
        except BaseException:
            opened.close()
            raise
        return opened

    async def _listen(self) -> None:
        """Listen at our port, once; if another program has it, responses come by our own connections alone."""
        if self._listening is None:
            self._listening = self._loop.create_task(self._start_listening(), name="sip-listen")
        await asyncio.shield(self._listening)

    async def _start_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._server = await self._loop.create_server(
                lambda: _Connection(self), self._local[0], self._local[1], family=socket.AF_INET, backlog=128
            )

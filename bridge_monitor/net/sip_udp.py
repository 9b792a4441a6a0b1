"""Joins sans-I/O SIP user agents to UDP sockets (and to the streams of `net.sip_streams`) and the event loop.

Owns sockets, the one timer of each agent and who is told of which event; must not know what a call is for.
"""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Final

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import clock, mmsg
from bridge_monitor.net.alarms import GRAIN_SECONDS, Alarms
from bridge_monitor.net.channel import CallChannel, WireTap
from bridge_monitor.net.clock import token
from bridge_monitor.net.polling import PacedReader
from bridge_monitor.net.sip_streams import Connected, SipStreams
from bridge_monitor.sip import (
    Address,
    ByeCompleted,
    Ended,
    Rejected,
    StreamAddress,
    TimedOut,
    TransportFailed,
    UserAgent,
)

_IP_RECVERR: Final = 11  # <linux/in.h>; not in Python's socket module
_SO_EE_ORIGIN_ICMP: Final = 2
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")  # struct sock_extended_err
_ICMP_ERRORS: Final = frozenset(
    # What the kernel makes of the codes of "destination unreachable" (RFC 1812 §5.2.7.1), "too big" left out.
    {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.ENONET}
)
_READS_PER_WAKE_UP: Final = 128
_BUFFER_BYTES: Final = 4 << 20
_CONTROL_BYTES: Final = 256
"""For what comes beside a datagram: its time of arrival, and how many were dropped before it."""
_TIMESPEC: Final = struct.Struct("=qq")
_DROPS: Final = struct.Struct("=I")
_CLOSING: Final = (ByeCompleted, Ended, Rejected, TimedOut, TransportFailed)

_WITHOUT_TCP_SECONDS: Final = 600.0
_MOST_REMEMBERED: Final = 20_000

OnClosed = Callable[[str], None]
"""Called with the Call-ID of each call that is over, also one that nobody waits for any more."""


OnLate = Callable[[float, float], None]
"""Called with loop time and seconds when a datagram had waited long in a socket of ours."""


def _nobody(_call_id: str) -> None:
    return


def _never_mind(_at: float, _late: float) -> None:
    return


class SipUdp:
    """One user agent on one UDP socket.

    Args:
        host: Local IPv4 address; also what Via and Contact name.
        port: Local port; 0 for any.
        dscp: Mark of the datagrams (0–63).
        on_closed: Is told of each call that is over.
        on_late: Is told, in loop time and seconds, when a datagram had waited long in our socket.

    Attributes:
        overflowed_at: When it was last seen that the socket's buffer had overflowed, in loop time.

    Raises:
        LocalFaultError: The address can't be bound.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        dscp: int = 24,
        on_closed: OnClosed = _nobody,
        on_late: OnLate = _never_mind,
    ) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise LocalFaultError(f"SIP can't listen on {host}:{port}: {error.strerror}") from error
        self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
        mmsg.set_buffers(self._socket, _BUFFER_BYTES)
        mmsg.enable_timestamps(self._socket)
        mmsg.enable_overflow_count(self._socket)
        self.local: Address = self._socket.getsockname()
        self.agent = UserAgent(local=self.local, token=token)
        self.agent.on_message = self._on_message
        self._on_closed = on_closed
        self._on_late = on_late
        self._dropped = 0
        self.overflowed_at = float("-inf")
        self.local_errors: dict[Address, str] = {}
        self._streams: SipStreams | None = None
        self._dscp = dscp
        self._channels: dict[str, CallChannel] = {}
        self._unclaimed: list[tuple[str, float, Address, bytes]] = []
        self._backlog: deque[tuple[bytes, Address]] = deque()
        self._loop = asyncio.get_running_loop()
        self._alarms = Alarms()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._reader = PacedReader(self._socket.fileno(), self._on_readable)

    def now(self) -> float:
        """Return the agent's clock: the loop's monotonic seconds."""
        return self._loop.time()

    def open_channel(self, call_id: str, *, tap: WireTap | None = None, started: float | None = None) -> CallChannel:
        """Have the call's events from now on; call it before `flush`, or the first message misses its ladder."""
        channel = CallChannel(self.now() if started is None else started, tap, self._alarms)
        self._channels[call_id] = channel
        # The agent names the call when its first request is already written.
        for known, now, peer, data in self._unclaimed:
            if known == call_id:
                self._trace(channel, now, sent=True, peer=peer, data=data)
        return channel

    def close_channel(self, call_id: str) -> None:
        """Forget the call; its later events are dropped."""
        channel = self._channels.pop(call_id, None)
        if channel is not None:
            channel.close()

    def flush(self) -> None:
        """Send what the agent has to send, deliver its events and re-arm its timer."""
        self._unclaimed.clear()
        for data, destination in self.agent.datagrams_to_send():
            self._send(data, destination)
        while (event := self.agent.next_event()) is not None:
            channel = self._channels.get(event.call_id) if event.call_id is not None else None
            if channel is not None:
                channel.tell(event)
            if isinstance(event, _CLOSING):
                self._on_closed(event.call_id)
        self._arm()

    async def connect(self, address: StreamAddress) -> Connected:
        """Have a connection to send to ``address`` over; see `SipStreams.connect`."""
        return await self._all_streams().connect(address)

    def close(self) -> None:
        """Close the socket and every connection; nothing is sent any more."""
        if self._streams is not None:
            self._streams.close()
        self._alarms.close()
        if self._timer is not None:
            self._timer.cancel()
        self._reader.close()
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()

    def _arm(self) -> None:
        due = self.agent.get_timer()
        if due is None:
            return
        # They fire together so often: each call leaves two behind that only clean up (K and M).
        due = math.ceil(due / GRAIN_SECONDS) * GRAIN_SECONDS
        # An armed timer that is too early costs one needless wake-up; re-arming at each datagram would cost more.
        if due < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = float("inf")
        self.agent.handle_timer(self.now())
        self.flush()

    def _on_readable(self) -> int:
        """Read what waits, if it isn't very much, and act on it; return how many datagrams that were."""
        number = 0
        for number in range(_READS_PER_WAKE_UP):
            try:
                data, told, _, source = self._socket.recvmsg(65535, _CONTROL_BYTES)
            except BlockingIOError:
                # EPOLLERR wakes us as readable: the error queue may hold what the socket does not. If a datagram woke
                # us, it isn't asked: it would wake us again.
                if number or not self._read_error_queue():
                    break
            except OSError:
                self._read_error_queue()
            else:
                # In this order: if we are held up in between, an answer looks later than it was, never earlier.
                wall = clock.posix_now()
                now = self.now()
                self.agent.receive_datagram(data, source, now - self._waited(told, wall, now))
        self.flush()
        return number

    def _waited(self, told: list[tuple[int, int, bytes]], wall: float, now: float) -> float:
        """Return how long a datagram waited for us, in seconds, by what the kernel tells beside it.

        If that is long, or some were dropped, we are too slow: our fault is never a room's.
        """
        late = 0.0
        for _, kind, data in told:
            if kind == mmsg.SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack(data)
                late = wall - seconds - nanoseconds / 1e9
                if late > clock.LATE_SECONDS:
                    self._on_late(now, late)
            elif kind == mmsg.SO_RXQ_OVFL:
                (dropped,) = _DROPS.unpack(data)
                if dropped != self._dropped:
                    self._dropped = dropped
                    self.overflowed_at = now
        # More than a moment is no waiting for the pace but a loop that hung, or a stepped clock: then it counts as now.
        return late if 0.0 < late < clock.LATE_SECONDS else 0.0

    def _read_error_queue(self) -> bool:
        """Hand one queued ICMP error to the agent (ip(7), IP_RECVERR); False if there is none."""
        try:
            _, ancillary, _, destination = self._socket.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return False
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_IP and kind == _IP_RECVERR and len(data) >= _EXTENDED_ERROR.size:
                code, origin, *_ = _EXTENDED_ERROR.unpack_from(data)
                if origin == _SO_EE_ORIGIN_ICMP and code in _ICMP_ERRORS:
                    self.agent.transport_failed(destination, self.now())
        return True

    def _all_streams(self) -> SipStreams:
        if self._streams is None:
            self._streams = SipStreams(
                self.agent, self.local, self.flush, dscp=self._dscp, local_errors=self.local_errors
            )
        return self._streams

    def _send(self, data: bytes, destination: Address) -> None:
        if isinstance(destination, StreamAddress):
            self._all_streams().send(data, destination)
            return
        if self._backlog:
            self._backlog.append((data, destination))
            return
        for attempt in (1, 2):
            try:
                self._socket.sendto(data, destination)
            except BlockingIOError:
                self._backlog.append((data, destination))
                self._loop.add_writer(self._socket.fileno(), self._on_writable)
            except OSError as error:
                # An earlier datagram's ICMP error is reported by the next system call, which then sent nothing.
                if self._read_error_queue() and attempt == 1:
                    continue
                self.local_errors[destination] = errno.errorcode.get(error.errno or 0, "EUNKNOWN").lower()
                self._loop.call_soon(self._fail_locally, destination)
            return

    def _fail_locally(self, destination: Address) -> None:
        self.agent.transport_failed(destination, self.now())
        self.flush()

    def _on_writable(self) -> None:
        while self._backlog:
            try:
                self._socket.sendto(*self._backlog[0])
            except BlockingIOError:
                return
            except OSError:
                self._read_error_queue()
            self._backlog.popleft()
        self._loop.remove_writer(self._socket.fileno())

    def _on_message(self, call_id: str | None, sent: bool, peer: Address, data: bytes, now: float) -> None:  # noqa: FBT001 - the agent's hook is positional
        channel = self._channels.get(call_id) if call_id is not None else None
        if channel is not None:
            self._trace(channel, now, sent=sent, peer=peer, data=data)
        elif sent and call_id is not None:
            self._unclaimed.append((call_id, now, peer, data))

    def _trace(self, channel: CallChannel, now: float, *, sent: bool, peer: Address, data: bytes) -> None:
        channel.note(now, sent=sent, peer=peer, data=data)
        if channel.tap is not None:
            channel.tap(sent, self.local, peer, data)


class SipStack:
    """The user agents of this process: one a local address, made when first needed.

    Args:
        host: Address to listen on; ``0.0.0.0`` picks for each destination the address the kernel would use.
        port: Port to listen on; 0 for any.
        on_closed: Is told of each call that is over.
        on_late: Is told when a datagram had waited long in a socket of ours, see `SipUdp`.
    """

    def __init__(
        self,
        host: str = "0.0.0.0",  # noqa: S104 - means "the kernel's choice"
        port: int = 0,
        *,
        on_closed: OnClosed = _nobody,
        on_late: OnLate = _never_mind,
    ) -> None:
        self._host = host
        self._port = port
        self._on_closed = on_closed
        self._on_late = on_late
        self._agents: dict[tuple[str, int], SipUdp] = {}
        self._without_tcp: dict[Address, float] = {}

    def towards(self, destination: Address, *, source: str | None = None, dscp: int = 24) -> SipUdp:
        """Return the user agent whose address the destination will see.

        Raises:
            LocalFaultError: No route, or the address can't be bound.
        """
        host = source or (self._host if self._host != "0.0.0.0" else source_address_towards(destination))  # noqa: S104 - compared only
        key = (host, dscp)
        if key not in self._agents:
            # The configured port belongs to the first agent of an address; another mark takes any port.
            port = self._port if all(known[0] != host for known in self._agents) else 0
            self._agents[key] = SipUdp(host, port, dscp=dscp, on_closed=self._on_closed, on_late=self._on_late)
        return self._agents[key]

    def note_without_tcp(self, destination: Address) -> None:
        """Keep in mind for a while that no stream is to be had there for what is too large for a datagram."""
        if len(self._without_tcp) >= _MOST_REMEMBERED:
            self._without_tcp.clear()
        self._without_tcp[destination] = asyncio.get_running_loop().time() + _WITHOUT_TCP_SECONDS

    def may_have_tcp(self, destination: Address) -> bool:
        """Return whether it is worth trying."""
        return self._without_tcp.get(destination, 0.0) <= asyncio.get_running_loop().time()

    def has_overflowed_since(self, since: float) -> bool:
        """Return whether a socket was seen to have dropped datagrams since loop time ``since``: answers may be lost."""
        return any(agent.overflowed_at >= since for agent in self._agents.values())

    async def drain(self, patience: float) -> int:
        """Wait until no call is open any more; return how many still are after ``patience`` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        # A rare wait at the end; an event would cost every call.
        while (  # noqa: ASYNC110 - see above
            left := sum(len(udp.agent.open_calls) for udp in self._agents.values())
        ) and loop.time() < deadline:
            await asyncio.sleep(0.02)
        return left

    def close(self) -> None:
        """Close every socket."""
        for agent in self._agents.values():
            agent.close()
        self._agents.clear()


def source_address_towards(destination: Address) -> str:
    """Return the local address that the kernel would send from.

    Raises:
        LocalFaultError: There is no route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(destination)
        except OSError as error:
            raise LocalFaultError(f"no route to {destination[0]}: {error.strerror}") from error
        host: str = probe.getsockname()[0]
        return host

"""Connections on real sockets: shared, kept alive, made anew; who answers is a plain server of the standard library."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import sip_streams
from bridge_monitor.net.channel import CallChannel
from bridge_monitor.net.sip_streams import Connected, NotConnectedError, SipStreams, StreamTimes
from bridge_monitor.net.sip_udp import SipUdp
from bridge_monitor.sip import OptionsAnswered, ProtocolViolated, SipUri, StreamAddress, TransportFailed
from bridge_monitor.sip.framing import PING, PONG

URI = SipUri.parse("sip:room@127.0.0.1;transport=tcp")


def ok(request: bytes, *, length: str = "Content-Length: 0") -> bytes:
    """Return a 200 to a request."""
    lines = request.decode().split("\r\n")
    kept = [line for line in lines if line.split(":")[0] in ("Via", "From", "Call-ID", "CSeq")]
    to = next(line for line in lines if line.startswith("To:"))
    return "\r\n".join(["SIP/2.0 200 OK", *kept, f"{to};tag=room", length, "", ""]).encode()


@dataclass
class Server:
    """A peer that takes connections and does what the test says with what comes."""

    answer: Callable[[bytes], bytes | None] = ok
    connections: list[asyncio.StreamWriter] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    address: StreamAddress = field(init=False)
    _server: asyncio.Server = field(init=False)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> Server:
        self._server = await asyncio.start_server(self._serve, host, port)
        self.address = StreamAddress(*self._server.sockets[0].getsockname())
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(65536):
                self.received.append(data)
                if (reply := self.answer(data)) is not None:
                    writer.write(reply)
        writer.close()

    async def close(self) -> None:
        self._server.close()
        for writer in self.connections:
            writer.transport.abort()
        await self._server.wait_closed()

    async def assert_soon(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20.0):
            while not reached():  # noqa: ASYNC110 - sockets tell of no such event
                await asyncio.sleep(0.005)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Return a peer that answers every request with 200."""
    started = await Server().start()
    yield started
    await started.close()


@pytest.fixture
async def udp() -> AsyncIterator[SipUdp]:
    """Return a user agent of our own."""
    opened = SipUdp("127.0.0.1", 0)
    yield opened
    opened.close()
    await asyncio.sleep(0)  # what was cancelled has to hear of it


def streams_of(udp: SipUdp, **times: Any) -> SipStreams:
    """Return its streams; ``times`` are those of `StreamTimes`."""
    udp._streams = SipStreams(
        udp.agent, udp.local, udp.flush, times=StreamTimes(**times), local_errors=udp.local_errors
    )
    return udp._streams


def call_options(udp: SipUdp, destination: StreamAddress) -> CallChannel:
    channel = udp.open_channel(udp.agent.options(URI, destination, udp.now()))
    udp.flush()
    return channel


class TestSharing:
    async def test_a_request_and_its_response_take_one_connection(self, udp: SipUdp, server: Server) -> None:
        event = await call_options(udp, server.address).next_event(20.0)
        assert isinstance(event, OptionsAnswered)
        assert event.status == 200
        assert server.received[0].startswith(b"OPTIONS sip:room@127.0.0.1;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP ")

    async def test_many_that_want_one_at_once_share_it(self, udp: SipUdp, server: Server) -> None:
        first, *others = await asyncio.gather(*(udp.connect(server.address) for _ in range(20)))
        assert set(others) == {first}
        assert len(server.connections) == 1

    async def test_one_that_is_there_costs_no_time(self, udp: SipUdp, server: Server) -> None:
        made = await udp.connect(server.address)
        assert made.connect_seconds > 0.0
        assert await udp.connect(server.address) == Connected(0.0)
        assert len(server.connections) == 1

    async def test_what_is_sent_while_it_is_made_goes_in_order(self, udp: SipUdp, server: Server) -> None:
        server.answer = lambda _data: None
        for number in range(50):
            udp._send(f"{number} ".encode(), server.address)
        await server.assert_soon(lambda: len(b"".join(server.received).split()) == 50)
        assert b"".join(server.received).split() == [str(number).encode() for number in range(50)]

    async def test_who_gives_up_waiting_takes_it_from_nobody(self, udp: SipUdp, server: Server) -> None:
        impatient = asyncio.ensure_future(udp.connect(server.address))
        patient = asyncio.ensure_future(udp.connect(server.address))
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient).connect_seconds > 0.0

    async def test_its_packets_carry_the_mark_and_probe_a_silent_peer(self, udp: SipUdp, server: Server) -> None:
        await udp.connect(server.address)
        (connection,) = udp._streams._open.values()
        opened = connection.transport.get_extra_info("socket")
        assert opened.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 24 << 2
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
        assert opened.getsockname()[0] == udp.local[0]


class TestListening1821:
    """RFC 3261 §18.2.1, §18.2.2: we listen where Via and Contact say, and answer on the connection that asked."""

    async def test_a_request_on_a_peer_s_connection_is_answered_there(self, udp: SipUdp, server: Server) -> None:
        await udp.connect(server.address)
        reader, writer = await asyncio.open_connection(*udp.local)
        host, port = writer.get_extra_info("sockname")
        writer.write(
            f"OPTIONS sip:kiemtra@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP {host}:9;branch=z9hG4bKa\r\n"
            "Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"SIP/2.0 200 OK\r\n")
        assert StreamAddress(host, port) in udp._streams._open
        writer.close()
        await server.assert_soon(lambda: StreamAddress(host, port) not in udp._streams._open)
        assert udp._streams._accepted == 0

    async def test_a_peer_whose_connection_broke_may_answer_on_one_of_its_own(
        self, udp: SipUdp, server: Server
    ) -> None:
        server.answer = lambda _data: None
        channel = call_options(udp, server.address)
        await server.assert_soon(lambda: bool(server.received))
        _, writer = await asyncio.open_connection(*udp.local)
        writer.write(ok(server.received[0]))
        assert isinstance(await channel.next_event(20.0), OptionsAnswered)
        writer.close()

    async def test_a_port_that_another_program_has_is_done_without(self, udp: SipUdp, server: Server) -> None:
        with socket.create_server(udp.local):
            event = await call_options(udp, server.address).next_event(20.0)
        assert isinstance(event, OptionsAnswered)
        assert udp._streams._server is None

    async def test_too_many_at_once_are_turned_away(
        self, udp: SipUdp, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sip_streams, "_MOST_ACCEPTED", 2)
        await udp.connect(server.address)
        opened = [await asyncio.open_connection(*udp.local) for _ in range(3)]
        assert await opened[2][0].read() == b""
        assert udp._streams._accepted == 2
        for _, writer in opened:
            writer.close()


class TestKeepAlive441:
    """RFC 5626 §4.4.1."""

    async def test_a_ping_is_answered_and_no_message_for_the_agent(self, udp: SipUdp, server: Server) -> None:
        await udp.connect(server.address)
        server.connections[0].write(PING)
        await server.assert_soon(lambda: server.received == [PONG])

    async def test_a_connection_that_is_needed_is_pinged(self, udp: SipUdp, server: Server) -> None:
        server.answer = lambda data: PONG if data == PING else None
        streams_of(udp, keep_alive=(0.02, 0.03), idle=0.0)
        call_options(udp, server.address)
        await server.assert_soon(lambda: server.received.count(PING) >= 3)
        assert len(server.connections) == 1

    async def test_one_that_nobody_needs_is_closed(self, udp: SipUdp, server: Server) -> None:
        streams = streams_of(udp, keep_alive=(0.02, 0.03), idle=0.0)
        await streams.connect(server.address)
        await server.assert_soon(lambda: streams._open == {})
        assert PING not in server.received

    async def test_a_peer_that_has_answered_pings_and_stops_is_gone(self, udp: SipUdp, server: Server) -> None:
        """One that never answered any knows nothing of them, which proves nothing."""
        server.answer = lambda data: PONG if data == PING and server.received.count(PING) == 1 else None
        streams_of(udp, keep_alive=(0.05, 0.05), pong=0.05)
        channel = call_options(udp, server.address)
        await server.assert_soon(lambda: len(server.connections) == 2)
        await server.assert_soon(lambda: sum(data.startswith(b"OPTIONS") for data in server.received) == 2)
        assert await channel.next_event(0.01) is None

    async def test_a_peer_that_never_answers_pings_is_kept(self, udp: SipUdp, server: Server) -> None:
        server.answer = lambda _data: None
        streams_of(udp, keep_alive=(0.02, 0.02), pong=0.01)
        call_options(udp, server.address)
        await server.assert_soon(lambda: server.received.count(PING) >= 4)
        assert len(server.connections) == 1

    async def test_a_peer_s_own_connection_is_not_pinged(self, udp: SipUdp, server: Server) -> None:
        """Who made it keeps it."""
        streams = streams_of(udp, keep_alive=(0.02, 0.02), idle=0.1)
        await streams.connect(server.address)
        reader, writer = await asyncio.open_connection(*udp.local)
        assert await reader.read() == b""
        writer.close()


class TestBroken:
    async def test_what_a_dying_connection_swallowed_is_sent_on_the_next(self, udp: SipUdp, server: Server) -> None:
        """The peer closes it at once; the second time it answers."""

        def answer(data: bytes) -> bytes | None:
            if len(server.connections) > 1:
                return ok(data)
            server.connections[0].transport.abort()
            return None

        server.answer = answer
        channel = call_options(udp, server.address)
        assert isinstance(await channel.next_event(20.0), OptionsAnswered)
        assert len(server.connections) == 2

    async def test_a_peer_that_always_closes_is_given_up(self, udp: SipUdp, server: Server) -> None:
        server.answer = lambda _data: server.connections[-1].transport.abort()
        event = await call_options(udp, server.address).next_event(20.0)
        assert isinstance(event, TransportFailed)
        assert event.reason == "connection_lost"
        assert len(server.connections) == 2

    async def test_one_that_can_t_be_made_fails_what_waits(self, udp: SipUdp, server: Server) -> None:
        await server.close()
        event = await call_options(udp, server.address).next_event(20.0)
        assert isinstance(event, TransportFailed)
        assert event.reason == "connection_refused"
        assert udp.local_errors == {}

    async def test_the_answer_without_a_length_ends_the_connection(self, udp: SipUdp, server: Server) -> None:
        """§18.3: what follows it can't be read; the call is told, by the head that came."""
        server.answer = lambda data: ok(data, length="X: y")
        event = await call_options(udp, server.address).next_event(20.0)
        assert isinstance(event, ProtocolViolated)
        assert "Content-Length" in event.what
        assert udp._streams._open == {}

    async def test_a_peer_that_does_not_read_costs_a_bounded_backlog(
        self, udp: SipUdp, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sip_streams, "_LARGEST_BACKLOG", 1000)
        streams = streams_of(udp)
        await streams.connect(server.address)
        await server.assert_soon(lambda: len(server.connections) == 1)
        server.connections[0].transport.pause_reading()
        for _ in range(200):
            streams.send(b"x" * 100_000, server.address)
            if not streams._open or streams._usable(server.address) is None:
                break
        await server.assert_soon(lambda: server.address not in streams._open or len(server.connections) == 2)

    async def test_this_machine_s_own_fault_is_told_apart(self, udp: SipUdp, server: Server) -> None:
        streams = udp._streams = SipStreams(udp.agent, ("192.0.2.1", 5060), udp.flush, local_errors=udp.local_errors)
        with pytest.raises(LocalFaultError, match="no connection from 192"):
            await streams.connect(server.address)
        assert udp.local_errors == {}
        event = await call_options(udp, server.address).next_event(20.0)
        assert isinstance(event, TransportFailed)
        assert udp.local_errors == {server.address: "no_way_out"}

    async def test_a_silent_way_is_given_up_in_time(self, udp: SipUdp) -> None:
        streams = streams_of(udp, connect=0.1)
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            waiting = [socket.socket() for _ in range(4)]
            for one in waiting:
                one.setblocking(False)  # noqa: FBT003 - the standard library's signature
                one.connect_ex(full.getsockname())
            with pytest.raises(NotConnectedError, match="connect_timeout"):
                await streams.connect(StreamAddress(*full.getsockname()))
            for one in waiting:
                one.close()

    async def test_closing_amid_it_leaves_nothing(self, udp: SipUdp, server: Server) -> None:
        streams = streams_of(udp)
        waiting = asyncio.ensure_future(streams.connect(server.address))
        streams.send(b"x", server.address)
        await asyncio.sleep(0)
        streams.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (streams._open, streams._waiting, streams._opening) == ({}, {}, {})

    async def test_a_peer_of_another_protocol_is_no_tls(self, udp: SipUdp, server: Server) -> None:
        server.answer = lambda _data: b"SSH-2.0-OpenSSH_9.2\r\n"
        address = StreamAddress(*server.address, "tls", "room.example")
        with pytest.raises(NotConnectedError, match="not_tls"):
            await udp.connect(address)

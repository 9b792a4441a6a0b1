"""User agents on real sockets: events, ladders, ICMP and what the kernel refuses; who answers is a plain socket."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import clock
from bridge_monitor.net.channel import CallChannel
from bridge_monitor.net.sip_udp import SipStack, SipUdp, source_address_towards
from bridge_monitor.sip import NoFinalAnswer, OptionsAnswered, SipUri, TransportFailed

Address = tuple[str, int]
URI = SipUri.parse("sip:room@127.0.0.1")
OFFER = b"v=0\r\n"


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """Return a socket that somebody may talk to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.setblocking(False)  # noqa: FBT003 - the standard library's signature
        yield opened


@pytest.fixture
def closed() -> list[str]:
    """Return the calls that were closed."""
    return []


@pytest.fixture
async def udp(closed: list[str]) -> AsyncIterator[SipUdp]:
    """Return a user agent on a socket of its own."""
    opened = SipUdp("127.0.0.1", 0, on_closed=closed.append)
    yield opened
    opened.close()


@pytest.fixture
async def stack() -> AsyncIterator[SipStack]:
    """Return a stack that listens where the kernel says."""
    opened = SipStack()
    yield opened
    opened.close()


async def received(peer: socket.socket) -> bytes:
    """Wait for a datagram."""
    async with asyncio.timeout(20.0):
        return await asyncio.get_running_loop().sock_recv(peer, 65535)


def ok(request: bytes, status: str = "200 OK") -> bytes:
    """Return a response to a request."""
    kept = [line for line in request.split(b"\r\n") if line.split(b":")[0] in (b"Via", b"From", b"Call-ID", b"CSeq")]
    to = next(line for line in request.split(b"\r\n") if line.startswith(b"To:"))
    return b"\r\n".join([b"SIP/2.0 " + status.encode(), *kept, to + b";tag=room", b"Content-Length: 0", b"", b""])


def call_options(udp: SipUdp, destination: Address, **facts: Any) -> tuple[str, CallChannel]:
    """Send OPTIONS as a call would."""
    call_id = udp.agent.options(URI, destination, udp.now())
    channel = udp.open_channel(call_id, **facts)
    udp.flush()
    return call_id, channel


class TestEvents:
    async def test_a_call_s_events_come_by_its_channel(self, udp: SipUdp, peer: socket.socket) -> None:
        call_id, channel = call_options(udp, peer.getsockname())
        request = await received(peer)
        assert call_id.encode() in request
        peer.sendto(ok(request), udp.local)
        event = await channel.next_event(20.0)
        assert isinstance(event, OptionsAnswered)
        assert (event.call_id, event.status) == (call_id, 200)

    async def test_an_answer_came_when_the_kernel_had_it(self, udp: SipUdp, peer: socket.socket) -> None:
        """Also if it is read some milliseconds later, as of a busy socket."""
        _, channel = call_options(udp, peer.getsockname())
        peer.sendto(ok(await received(peer)), udp.local)
        sent = udp.now()
        time.sleep(0.012)  # noqa: ASYNC251 - what is tested
        event = await channel.next_event(20.0)
        assert event.at == pytest.approx(sent, abs=0.004)
        assert channel.ladder[1].at_seconds == event.at - channel.started

    async def test_nothing_within_the_patience_is_none(self, udp: SipUdp) -> None:
        assert await udp.open_channel("nobody's").next_event(0.01) is None

    async def test_a_closed_channel_hears_no_more(self, udp: SipUdp, peer: socket.socket) -> None:
        """What comes later is the agent's to handle; closing twice is harmless."""
        call_id, channel = call_options(udp, peer.getsockname())
        request = await received(peer)
        udp.close_channel(call_id)
        udp.close_channel(call_id)
        peer.sendto(ok(request), udp.local)
        assert await channel.next_event(0.1) is None
        assert len(channel.ladder) == 1

    async def test_timers_run_by_themselves(self, udp: SipUdp, peer: socket.socket, closed: list[str]) -> None:
        """The INVITE is repeated after T1, and the answer's time runs out: no call of the application is needed."""
        call_id = udp.agent.invite(URI, peer.getsockname(), OFFER, udp.now(), answer_timeout=0.7)
        channel = udp.open_channel(call_id)
        udp.flush()
        first, second = await received(peer), await received(peer)
        assert first == second
        assert isinstance(await channel.next_event(20.0), NoFinalAnswer)
        assert closed == []

    async def test_an_earlier_timer_takes_the_place_of_a_later_one(self, udp: SipUdp, peer: socket.socket) -> None:
        call_options(udp, peer.getsockname())
        later = udp._timer
        udp.agent.invite(URI, peer.getsockname(), OFFER, udp.now(), answer_timeout=0.01)
        udp.flush()
        assert later.cancelled()
        assert udp._timer.when() < later.when()

    async def test_a_timer_that_is_set_is_not_set_anew_by_each_datagram(self, udp: SipUdp, peer: socket.socket) -> None:
        udp.agent.invite(URI, peer.getsockname(), OFFER, udp.now(), answer_timeout=30.0)
        udp.flush()
        timer = udp._timer
        udp.flush()
        assert udp._timer is timer
        assert timer is not None

    async def test_an_agent_with_nothing_to_wait_for_has_no_timer(self, udp: SipUdp) -> None:
        udp.flush()
        assert udp._timer is None

    async def test_its_end_is_told_even_if_nobody_waits_for_it_any_more(
        self, udp: SipUdp, peer: socket.socket, closed: list[str]
    ) -> None:
        call_id = udp.agent.invite(URI, peer.getsockname(), OFFER, udp.now(), answer_timeout=9.0)
        udp.flush()
        peer.sendto(ok(await received(peer), "486 Busy Here"), udp.local)
        assert (await received(peer)).startswith(b"ACK ")
        assert closed == [call_id]


class TestLadder:
    async def test_the_first_message_is_in_it_though_the_channel_opens_after_it(
        self, udp: SipUdp, peer: socket.socket
    ) -> None:
        _, channel = call_options(udp, peer.getsockname(), started=udp.now() - 2.0)
        (step,) = channel.ladder
        assert (step.sent, step.retransmission) == (True, False)
        assert step.start_line == "OPTIONS sip:room@127.0.0.1 SIP/2.0"
        assert step.at_seconds >= 2.0
        assert step.peer == "{}:{}".format(*peer.getsockname())

    async def test_another_call_s_first_message_is_not(self, udp: SipUdp, peer: socket.socket) -> None:
        udp.agent.options(URI, peer.getsockname(), udp.now())
        second = udp.agent.options(URI, peer.getsockname(), udp.now())
        channel = udp.open_channel(second)
        assert [second in step.text for step in channel.ladder] == [True]

    async def test_what_was_sent_before_the_last_flush_belongs_to_nobody(
        self, udp: SipUdp, peer: socket.socket
    ) -> None:
        call_id = udp.agent.options(URI, peer.getsockname(), udp.now())
        udp.flush()
        assert udp.open_channel(call_id).ladder == ()

    async def test_a_repeated_message_is_marked(self, udp: SipUdp, peer: socket.socket) -> None:
        _, channel = call_options(udp, peer.getsockname())
        assert await received(peer) == await received(peer)
        assert [step.retransmission for step in channel.ladder] == [False, True]

    async def test_the_tap_gets_each_message_as_it_passed(self, udp: SipUdp, peer: socket.socket) -> None:
        tapped: list[tuple[bool, Address, Address, bytes]] = []
        _, channel = call_options(
            udp, peer.getsockname(), tap=lambda sent, local, other, data: tapped.append((sent, local, other, data))
        )
        request = await received(peer)
        peer.sendto(ok(request), udp.local)
        assert await channel.next_event(20.0)
        assert tapped == [
            (True, udp.local, peer.getsockname(), request),
            (False, udp.local, peer.getsockname(), ok(request)),
        ]

    async def test_a_stranger_s_message_is_in_nobody_s(self, udp: SipUdp, peer: socket.socket) -> None:
        """It is answered all the same."""
        _, channel = call_options(udp, peer.getsockname())
        request = (await received(peer)).replace(b"Call-ID: ", b"Call-ID: another-")
        peer.sendto(request.replace(b"z9hG4bK", b"z9hG4bKx"), udp.local)
        assert (await received(peer)).startswith(b"SIP/2.0 200")
        assert len(channel.ladder) == 1


class TestIcmp:
    async def test_a_closed_port_fails_what_waits_for_it(
        self, udp: SipUdp, free_udp_port: Callable[[str], int], closed: list[str]
    ) -> None:
        call_id, channel = call_options(udp, ("127.0.0.1", free_udp_port("127.0.0.1")))
        event = await channel.next_event(20.0)
        assert isinstance(event, TransportFailed)
        assert (event.call_id, event.reason) == (call_id, "icmp")
        assert closed == [call_id]
        assert udp.local_errors == {}

    async def test_it_hinders_no_datagram_to_others(
        self, udp: SipUdp, peer: socket.socket, free_udp_port: Callable[[str], int]
    ) -> None:
        """The kernel reports it at the next send, to whomever that goes."""
        dead = ("127.0.0.1", free_udp_port("127.0.0.1"))
        _, failing = call_options(udp, dead)
        channels = [call_options(udp, peer.getsockname())[1] for _ in range(5)]
        for _ in channels:
            peer.sendto(ok(await received(peer)), udp.local)
        events = [await channel.next_event(20.0) for channel in channels]
        assert all(isinstance(event, OptionsAnswered) for event in events)
        assert isinstance(await failing.next_event(20.0), TransportFailed)
        assert udp.local_errors == {}

    async def test_calls_to_another_port_of_the_same_host_go_on(
        self, udp: SipUdp, peer: socket.socket, free_udp_port: Callable[[str], int]
    ) -> None:
        """An error names the address that it is about: one dead room behind a translator is not all of them."""
        _, channel = call_options(udp, peer.getsockname())
        request = await received(peer)
        _, failing = call_options(udp, ("127.0.0.1", free_udp_port("127.0.0.1")))
        assert isinstance(await failing.next_event(20.0), TransportFailed)
        peer.sendto(ok(request), udp.local)
        assert isinstance(await channel.next_event(20.0), OptionsAnswered)


class FaultySocket:
    """The agent's socket, whose system calls fail as told: some errors can't be had from a kernel when wanted."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.send_errors: list[OSError] = []
        self.receive_errors: list[OSError] = []
        self.queued: list[tuple[bytes, list[tuple[int, int, bytes]], int, Address]] = []

    def sendto(self, data: bytes, destination: Address) -> int:
        if self.send_errors:
            raise self.send_errors.pop(0)
        return self._real.sendto(data, destination)

    def recvfrom(self, size: int) -> tuple[bytes, Address]:
        if self.receive_errors:
            raise self.receive_errors.pop(0)
        return self._real.recvfrom(size)

    def recvmsg(self, *arguments: int) -> Any:
        return self.queued.pop(0) if self.queued else self._real.recvmsg(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.fixture
def faulty(udp: SipUdp, monkeypatch: pytest.MonkeyPatch) -> FaultySocket:
    """Return the agent's socket, to be made fail."""
    faulty = FaultySocket(udp._socket)
    monkeypatch.setattr(udp, "_socket", faulty)
    return faulty


def extended_error(code: int, origin: int = 2) -> list[tuple[int, int, bytes]]:
    """Return the control message of a queued error: struct sock_extended_err of <linux/errqueue.h>."""
    return [(socket.IPPROTO_IP, 11, struct.pack("=IBBBBII", code, origin, 3, 1, 0, 0, 0))]


class TestFullSendBuffer:
    async def test_what_does_not_fit_is_sent_later_and_in_order(
        self, udp: SipUdp, faulty: FaultySocket, peer: socket.socket
    ) -> None:
        faulty.send_errors = [BlockingIOError(), BlockingIOError()]
        first, _ = call_options(udp, peer.getsockname())
        second, _ = call_options(udp, peer.getsockname())
        assert [data for data, _ in udp._backlog] != []
        requests = [await received(peer), await received(peer)]
        assert [first.encode() in requests[0], second.encode() in requests[1]] == [True, True]
        assert not udp._backlog

    async def test_an_error_meanwhile_costs_one_datagram(
        self, udp: SipUdp, faulty: FaultySocket, peer: socket.socket
    ) -> None:
        """Its transaction sends it again; those behind it aren't held up."""
        faulty.send_errors = [BlockingIOError(), ConnectionRefusedError()]
        call_options(udp, peer.getsockname())
        second, _ = call_options(udp, peer.getsockname())
        assert second.encode() in await received(peer)


class TestLocalErrors:
    async def test_what_the_kernel_refuses_to_send_is_our_fault(self, udp: SipUdp) -> None:
        """Broadcast isn't allowed on this socket."""
        destination = ("255.255.255.255", 5060)
        _, channel = call_options(udp, destination)
        assert isinstance(await channel.next_event(20.0), TransportFailed)
        assert udp.local_errors == {destination: "eacces"}

    async def test_an_error_without_a_number_has_a_name_too(
        self, udp: SipUdp, faulty: FaultySocket, peer: socket.socket
    ) -> None:
        faulty.send_errors = [OSError("odd")]
        _, channel = call_options(udp, peer.getsockname())
        assert isinstance(await channel.next_event(20.0), TransportFailed)
        assert udp.local_errors == {peer.getsockname(): "eunknown"}

    async def test_another_s_icmp_error_is_cleared_and_the_datagram_sent(
        self, udp: SipUdp, faulty: FaultySocket, peer: socket.socket
    ) -> None:
        faulty.send_errors = [ConnectionRefusedError()]
        faulty.queued = [(b"", extended_error(errno.ECONNREFUSED), 0, ("127.0.0.1", 9))]
        call_options(udp, peer.getsockname())
        assert await received(peer)
        assert udp.local_errors == {}

    async def test_an_error_at_reading_is_one_of_the_queue(
        self, udp: SipUdp, faulty: FaultySocket, peer: socket.socket
    ) -> None:
        """The datagrams behind it are read at once."""
        _, channel = call_options(udp, peer.getsockname())
        faulty.receive_errors = [ConnectionRefusedError()]
        faulty.queued = [(b"", extended_error(errno.ECONNREFUSED), 0, ("127.0.0.1", 9))]
        peer.sendto(ok(await received(peer)), udp.local)
        assert isinstance(await channel.next_event(20.0), OptionsAnswered)

    @pytest.mark.parametrize(
        "control",
        [
            extended_error(errno.EMSGSIZE),
            extended_error(errno.ECONNREFUSED, origin=1),
            [(socket.IPPROTO_IP, 11, b"short")],
            [(socket.SOL_SOCKET, 29, b"\0" * 16)],
        ],
        ids=["too big a packet", "not from the network", "cut off", "a time stamp"],
    )
    async def test_other_entries_of_the_error_queue_fail_no_call(
        self, udp: SipUdp, faulty: FaultySocket, peer: socket.socket, control: list[tuple[int, int, bytes]]
    ) -> None:
        _, channel = call_options(udp, peer.getsockname())
        faulty.queued = [(b"", control, 0, peer.getsockname())]
        assert udp._read_error_queue()
        peer.sendto(ok(await received(peer)), udp.local)
        assert isinstance(await channel.next_event(20.0), OptionsAnswered)


class TestSocket:
    async def test_datagrams_carry_the_mark_of_signalling(self) -> None:
        udp = SipUdp("127.0.0.1", 0, dscp=24)
        assert udp._socket.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) >> 2 == 24
        udp.close()

    async def test_an_address_in_use_is_our_fault(self, udp: SipUdp) -> None:
        with pytest.raises(LocalFaultError, match=rf"can't listen on 127.0.0.1:{udp.local[1]}: Address already in use"):
            SipUdp(*udp.local)

    async def test_a_burst_larger_than_one_reading_is_read_whole(self, udp: SipUdp, peer: socket.socket) -> None:
        channels = [call_options(udp, peer.getsockname())[1] for _ in range(150)]
        answers = [ok(await received(peer)) for _ in channels]
        for answer in answers:
            peer.sendto(answer, udp.local)
        events = [await channel.next_event(20.0) for channel in channels]
        assert all(isinstance(event, OptionsAnswered) for event in events)


class TestStack:
    async def test_there_is_one_agent_for_each_local_address_and_mark(self, stack: SipStack) -> None:
        first = stack.towards(("127.0.0.5", 5060))
        assert first.local[0] == "127.0.0.1"
        assert stack.towards(("127.0.0.6", 5070)) is first
        assert stack.towards(("127.0.0.5", 5060), source="127.0.0.9").local[0] == "127.0.0.9"
        assert stack.towards(("127.0.0.5", 5060), dscp=0) is not first

    async def test_a_fixed_address_is_always_used(self, free_udp_port: Callable[[str], int]) -> None:
        """Its port belongs to the first agent; one with another mark takes any."""
        port = free_udp_port("127.0.0.8")
        stack = SipStack("127.0.0.8", port)
        assert stack.towards(("127.0.0.5", 5060)).local == ("127.0.0.8", port)
        other = stack.towards(("127.0.0.5", 5060), dscp=0)
        assert other.local[0] == "127.0.0.8"
        assert other.local[1] != port
        stack.close()

    async def test_an_agent_is_told_of_closed_calls_by_the_stack(self, free_udp_port: Callable[[str], int]) -> None:
        closed: list[str] = []
        stack = SipStack(on_closed=closed.append)
        udp = stack.towards(("127.0.0.1", 5060))
        call_id, channel = call_options(udp, ("127.0.0.1", free_udp_port("127.0.0.1")))
        assert await channel.next_event(20.0)
        assert closed == [call_id]
        stack.close()

    async def test_draining_waits_for_the_last_call(self, stack: SipStack, peer: socket.socket) -> None:
        udp = stack.towards(peer.getsockname())
        udp.agent.invite(URI, peer.getsockname(), OFFER, udp.now(), answer_timeout=30.0)
        udp.flush()
        assert await stack.drain(0.03) == 1
        peer.sendto(ok(await received(peer), "486 Busy Here"), udp.local)
        assert await stack.drain(20.0) == 0

    async def test_a_closed_stack_begins_anew(self, stack: SipStack) -> None:
        before = stack.towards(("127.0.0.5", 5060)).local
        stack.close()
        assert stack.towards(("127.0.0.5", 5060)).local != before

    def test_an_address_without_a_way_is_our_fault(self) -> None:
        with pytest.raises(LocalFaultError, match=r"no route to 255.255.255.255"):
            source_address_towards(("255.255.255.255", 9))


class TestOurOwnSlowness:
    async def test_a_datagram_that_waited_long_in_our_socket_is_told(
        self, peer: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the kernel's own time of arrival: a loop that never blocks for long can still be far behind."""
        late: list[float] = []
        opened = SipUdp("127.0.0.1", 0, on_late=lambda _at, seconds: late.append(seconds))
        try:
            real = clock.posix_now
            peer.sendto(b"anything", opened.local)
            await asyncio.sleep(0)
            monkeypatch.setattr(clock, "posix_now", lambda: real() + 0.7)
            peer.sendto(b"anything", opened.local)
            async with asyncio.timeout(20.0):
                while len([seconds for seconds in late if seconds > 0.5]) < 1:  # noqa: ASYNC110 - nobody sets an event
                    await asyncio.sleep(0)
            assert late[-1] == pytest.approx(0.7, abs=0.1)
        finally:
            opened.close()

    async def test_a_full_receive_buffer_is_seen(self, stack: SipStack, peer: socket.socket) -> None:
        udp = stack.towards(("127.0.0.1", 9))
        udp._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        before = udp.now()
        assert not stack.has_overflowed_since(before)
        for _ in range(200):
            peer.sendto(b"anything", udp.local)
        async with asyncio.timeout(20.0):
            while not stack.has_overflowed_since(before):
                await asyncio.sleep(0)  # the loop reads
                peer.sendto(b"the drops are told with the next datagram", udp.local)
        assert not stack.has_overflowed_since(udp.now() + 1.0)

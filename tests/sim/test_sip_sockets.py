"""The rooms' SIP sockets: their own addresses, ICMP where none is bound, the limit of open files."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.sim.sip_sockets import SipSockets, raise_file_limit
from tests.sim.rigs import Caller


@dataclass
class Heard:
    """What the sockets handed on."""

    datagrams: list[tuple[int, bytes, tuple[str, int]]] = field(default_factory=list)
    batches: int = 0
    close_after: SipSockets | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def on_datagram(self, room: int, data: bytes, source: tuple[str, int]) -> None:
        self.datagrams.append((room, data, source))
        if self.close_after is not None:
            self.close_after.close(room)

    def on_batch(self) -> None:
        self.batches += 1
        self.done.set()

    async def wait(self) -> None:
        async with asyncio.timeout(3.0):
            await self.done.wait()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def sockets(heard: Heard) -> AsyncIterator[SipSockets]:
    opened = SipSockets(heard.on_datagram, heard.on_batch)
    yield opened
    opened.close_all()


async def test_a_datagram_is_handed_on_with_its_room_and_answered_from_its_address(
    sockets: SipSockets, heard: Heard, caller: Caller, network: str
) -> None:
    for room in (0, 1):
        sockets.open(room, (f"{network}.0.{room + 1}", 5060))
    caller.sip.sendto(b"one", (f"{network}.0.2", 5060))
    await heard.wait()
    assert heard.datagrams == [(1, b"one", caller.address)]
    sockets.send(1, b"two", caller.address)
    assert await asyncio.get_running_loop().sock_recvfrom(caller.sip, 100) == (b"two", (f"{network}.0.2", 5060))


async def test_where_no_room_listens_the_kernel_refuses(sockets: SipSockets, network: str) -> None:
    address = (f"{network}.0.1", 5060)
    sockets.open(0, address)
    assert sockets.is_open(0)
    sockets.close(0)
    sockets.close(0)
    assert not sockets.is_open(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(address)
        asking.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            asking.recv(100)
    sockets.open(0, address)
    assert sockets.is_open(0)


async def test_a_room_that_closes_while_it_is_read_is_left_alone(
    sockets: SipSockets, heard: Heard, caller: Caller, network: str
) -> None:
    sockets.open(0, (f"{network}.0.1", 5060))
    heard.close_after = sockets
    for _ in range(3):
        caller.sip.sendto(b"bye", (f"{network}.0.1", 5060))
    await heard.wait()
    assert len(heard.datagrams) == 1
    sockets.send(0, b"too late", caller.address)
    assert sockets.unsent == 0


async def test_what_the_kernel_drops_or_refuses_is_counted(
    sockets: SipSockets, heard: Heard, caller: Caller, network: str
) -> None:
    sockets.open(0, (f"{network}.0.1", 5060))
    sockets._sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
    for _ in range(200):
        caller.sip.sendto(b"x" * 100, (f"{network}.0.1", 5060))
    for _ in range(200):  # one of a room's datagrams at a turn
        await asyncio.sleep(0)
    counted = sockets.dropped()
    assert counted == 200 - len(heard.datagrams) > 0
    sockets.close(0)
    assert sockets.dropped() == counted
    sockets.open(0, (f"{network}.0.1", 5060))
    sockets.send(0, b"x", ("127.0.0.1", 0))
    assert sockets.unsent == 1


async def test_an_address_in_use_is_our_own_fault(sockets: SipSockets, caller: Caller) -> None:
    with pytest.raises(LocalFaultError, match=r"SIP address 127.0.0.1:\d+: Address already in use"):
        sockets.open(0, caller.address)
    assert not sockets.is_open(0)


class TestFileLimit:
    @pytest.fixture(autouse=True)
    def _limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.limit = (256, 1000)

        def set_limit(_which: int, limit: tuple[int, int]) -> None:
            self.limit = limit

        monkeypatch.setattr(resource, "getrlimit", lambda _which: self.limit)
        monkeypatch.setattr(resource, "setrlimit", set_limit)

    def test_the_soft_limit_is_raised_to_the_hard_one(self) -> None:
        raise_file_limit(500)
        assert self.limit == (1000, 1000)
        raise_file_limit(500)
        assert self.limit == (1000, 1000)

    def test_too_low_a_hard_limit_is_said_clearly(self) -> None:
        with pytest.raises(LocalFaultError, match="11363 sockets need 11491 open files, but the limit is 1000"):
            raise_file_limit(11363)

    def test_no_limit_is_enough(self) -> None:
        self.limit = (256, resource.RLIM_INFINITY)
        raise_file_limit(10**6)
        assert self.limit == (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

"""One question to a DNS server: a real one (NSD), and some written by hand for what no real one can be made to do."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge_monitor.net.dns_client import DnsClient
from bridge_monitor.sip.location import Lack, Naptr, Question, Srv
from tests.interop.nameserver import Address, Relay, nameserver

FreePort = Callable[[str], int]

nsd = pytest.mark.peer("nsd")

HOST = "127.0.0.1"
RECORDS = """
mcu A 192.0.2.1
mcu A 192.0.2.2
mcu AAAA 2001:db8::1
short 7 A 192.0.2.9
www CNAME core
core CNAME mcu
circle CNAME round
round CNAME circle
dangling CNAME gone
away CNAME room.other.example.
_sip._udp 60 SRV 1 2 5070 mcu
@ NAPTR 10 20 "s" "SIP+D2U" "" _sip._udp
text TXT "no host"
"""


@pytest.fixture
async def server(tmp_path: Path, free_udp_port: FreePort) -> AsyncIterator[Address]:
    """Return a DNS server of ``hue.example``; of ``broken.example`` it has nothing to say."""
    many = "\n".join(f"many A 192.0.{one // 250}.{one % 250}" for one in range(400))
    zones = {"hue.example": RECORDS + many + "\n", "broken.example": None, "other.example": "room A 192.0.2.77\n"}
    async with nameserver(tmp_path / "nsd", (HOST, free_udp_port(HOST)), zones) as address:
        yield address


async def told(server: Address, kind: Any, name: str, patience: float = 2.0) -> tuple[Any, float]:
    return await DnsClient((server,)).ask(Question(kind, name), patience)


@nsd
class TestRecords:
    async def test_each_kind_is_read(self, server: Address) -> None:
        addresses, ttl = await told(server, "A", "mcu.hue.example")
        assert (sorted(addresses), ttl) == (["192.0.2.1", "192.0.2.2"], 300.0)
        assert await told(server, "AAAA", "mcu.hue.example") == (("2001:db8::1",), 300.0)
        assert await told(server, "SRV", "_sip._udp.hue.example") == ((Srv(1, 2, 5070, "mcu.hue.example."),), 60.0)
        assert await told(server, "NAPTR", "hue.example") == (
            (Naptr(10, 20, "s", "SIP+D2U", "", "_sip._udp.hue.example."),),
            300.0,
        )

    async def test_an_alias_is_followed_and_the_shortest_life_on_the_way_counts(self, server: Address) -> None:
        assert sorted((await told(server, "A", "www.hue.example"))[0]) == ["192.0.2.1", "192.0.2.2"]
        assert await told(server, "A", "short.hue.example") == (("192.0.2.9",), 7.0)

    async def test_an_alias_that_leads_out_of_a_server_s_zone_is_asked_for_once_more(self, server: Address) -> None:
        assert (await told(server, "A", "away.hue.example"))[0] == ("192.0.2.77",)

    async def test_more_than_fits_into_a_datagram_comes_over_tcp_and_is_bounded(self, server: Address) -> None:
        """RFC 7766 §5: the truncated answer is asked for again."""
        addresses, _ = await told(server, "A", "many.hue.example")
        assert len(addresses) == len(set(addresses)) == 256


@nsd
class TestAbsence:
    """RFC 2308: what isn't there is so for as long as the SOA record says."""

    @pytest.mark.parametrize(
        ("kind", "name", "answer"),
        [
            ("A", "gone.hue.example", (Lack.NO_SUCH_NAME, 60.0)),
            ("A", "dangling.hue.example", (Lack.NO_SUCH_NAME, 60.0)),
            ("A", "text.hue.example", (Lack.NO_ADDRESS, 60.0)),
            ("SRV", "mcu.hue.example", (Lack.NO_ADDRESS, 60.0)),
            ("A", "broken.example", (Lack.SERVER_FAILURE, 0.0)),
            ("A", "elsewhere.example", (Lack.RESOLVER_REFUSED, 0.0)),
            ("A", "x" * 64 + ".hue.example", (Lack.NO_SUCH_NAME, 0.0)),
            ("A", "hue..example", (Lack.NO_SUCH_NAME, 0.0)),
            ("A", "circle.hue.example", (Lack.NO_ADDRESS, 0.0)),
        ],
    )
    async def test_the_reason_is_told(self, server: Address, kind: str, name: str, answer: tuple[Lack, float]) -> None:
        assert await told(server, kind, name) == answer


@nsd
class TestServers:
    async def test_a_lost_question_is_asked_again(self, server: Address) -> None:
        async with Relay.to(server) as relay:
            relay.lost = 1
            assert (await told(relay.address, "AAAA", "mcu.hue.example"))[0] == ("2001:db8::1",)
            assert len(relay.questions) == 2

    async def test_the_next_server_is_asked_if_the_first_has_a_closed_port_or_refuses(
        self, server: Address, free_udp_port: FreePort
    ) -> None:
        client = DnsClient(((HOST, free_udp_port(HOST)), server))
        async with asyncio.timeout(1.0):
            assert (await client.ask(Question("AAAA", "mcu.hue.example"), 2.0)).answer == ("2001:db8::1",)

    async def test_servers_of_resolv_conf_are_asked_and_its_list_completes_a_single_label(
        self, tmp_path: Path, server: Address, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A new file is read when there is one; the port is 53 there, and no test may have that: it is another here."""
        made = DnsClient._made

        def at_its_port(client: DnsClient) -> Any:
            resolver = made(client)
            resolver.port = server[1]
            return resolver

        monkeypatch.setattr(DnsClient, "_made", at_its_port)
        path = tmp_path / "resolv.conf"
        path.write_text("nameserver 127.0.0.1\n", "utf-8")
        client = DnsClient(resolv_conf=path)
        assert (await client.ask(Question("AAAA", "mcu"), 2.0)).answer is Lack.RESOLVER_REFUSED
        path.write_text("nameserver 127.0.0.1\nsearch nowhere.hue.example hue.example\n", "utf-8")
        assert (await client.ask(Question("AAAA", "mcu"), 2.0)).answer == ("2001:db8::1",)
        resolver = client._current()
        assert client._current() is resolver
        path.unlink()
        assert client._current().nameservers == ["127.0.0.1"]  # resolv.conf(5): the server of this machine
        assert (await client.ask(Question("AAAA", "mcu.hue.example"), 2.0)).answer == ("2001:db8::1",)


class ByHand(asyncio.DatagramProtocol):
    """A server that says what it is told to say.

    Attributes:
        says: From a question to what is sent back.
    """

    def __init__(self, says: Callable[[bytes], bytes | None]) -> None:
        self.says = says
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if (answer := self.says(data)) is not None:
            self.transport.sendto(answer, addr)


@contextlib.asynccontextmanager
async def by_hand(says: Callable[[bytes], bytes | None]) -> AsyncIterator[Address]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: ByHand(says), local_addr=(HOST, 0))
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


def reply(question: bytes, code: int, *answers: bytes) -> bytes:
    """Return a response with this code, the question and these answers (RFC 1035 §4.1)."""
    return (
        question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(answers), 0, 0) + question[12:] + b"".join(answers)
    )


def alias(to: bytes) -> bytes:
    """Return a CNAME record of the name that was asked for."""
    return b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 60, len(to)) + to


class TestOddServers:
    async def test_silence_costs_what_was_allowed_for_it(self) -> None:
        loop = asyncio.get_running_loop()
        async with by_hand(lambda _question: None) as server:
            began = loop.time()
            assert await told(server, "A", "hue.example", 0.3) == (Lack.RESOLVER_TIMEOUT, 0.0)
            assert 0.25 <= loop.time() - began < 1.0

    async def test_a_closed_port_is_known_at_once(self, free_udp_port: FreePort) -> None:
        async with asyncio.timeout(1.0):
            answer = await told((HOST, free_udp_port(HOST)), "A", "hue.example")
        assert answer == (Lack.RESOLVER_UNREACHABLE, 0.0)

    @pytest.mark.parametrize("code", [1, 4, 5, 9])
    async def test_a_server_that_can_t_or_won_t_is_lame(self, code: int) -> None:
        """FORMERR, NOTIMP, REFUSED, NOTAUTH (RFC 1035 §4.1.1, RFC 8945)."""
        async with by_hand(lambda question: reply(question, code)) as server:
            assert await told(server, "A", "hue.example") == (Lack.RESOLVER_REFUSED, 0.0)

    async def test_an_absence_without_soa_is_not_to_be_believed_for_long(self) -> None:
        """RFC 2308 §5: then it should not be kept."""
        async with by_hand(lambda question: reply(question, 3)) as server:
            assert await told(server, "A", "hue.example") == (Lack.NO_SUCH_NAME, 0.0)
        async with by_hand(lambda question: reply(question, 0)) as server:
            assert await told(server, "A", "hue.example") == (Lack.NO_ADDRESS, 0.0)

    async def test_a_chain_of_aliases_without_end_is_given_up(self) -> None:
        """Each answer names another one."""
        asked: list[bytes] = []

        def onwards(question: bytes) -> bytes:
            asked.append(question)
            return reply(question, 0, alias(b"\x01" + bytes([ord("a") + len(asked)]) + b"\x07example\x00"))

        async with by_hand(onwards) as server:
            assert await told(server, "A", "a.example") == (Lack.NO_ADDRESS, 0.0)
        assert len(asked) == 8

    async def test_an_answer_of_somebody_else_s_is_not_taken(self) -> None:
        """Another identifier: a forger's guess."""
        forged = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([203, 0, 113, 66])

        def forge(question: bytes) -> bytes:
            wrong = bytes([question[0] ^ 0xFF]) + question[1:]
            return reply(wrong, 0, forged)

        async with by_hand(forge) as server:
            assert await told(server, "A", "hue.example", 0.3) == (Lack.RESOLVER_TIMEOUT, 0.0)

    @pytest.mark.parametrize("length", [0, 1, 11, 12, 20, 40])
    async def test_a_truncated_answer_raises_nothing(self, length: int) -> None:
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1])
        async with by_hand(lambda question: reply(question, 0, record)[:length]) as server:
            answer, _ = await told(server, "A", "hue.example", 0.3)
        assert answer in (Lack.RESOLVER_TIMEOUT, Lack.RESOLVER_REFUSED)

"""Names for all calls of a process: one query in flight, answers kept as long as they live, hosts that have failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bridge_monitor.errors import ResolverError
from bridge_monitor.net import names as module
from bridge_monitor.net.dns_client import DnsSettings, Told
from bridge_monitor.net.hosts_file import HostsFile
from bridge_monitor.net.names import NameNotFoundError, Names
from bridge_monitor.sip import SipUri
from bridge_monitor.sip.location import Answer, Hop, Lack, Means, Question, Srv
from tests.interop.nameserver import Relay, nameserver

FreePort = Callable[[str], int]

nsd = pytest.mark.peer("nsd")

HOST = "127.0.0.1"
HUE = SipUri.parse("sip:room@hue.example")
PLAIN = SipUri.parse("sip:room@mcu.hue.example:5070")


@pytest.fixture
async def relay(tmp_path: Path, free_udp_port: FreePort) -> AsyncIterator[Relay]:
    """Return a way to a DNS server of ``hue.example``."""
    records = "mcu A 192.0.2.1\nmcu A 192.0.2.2\nv6 AAAA 2001:db8::1\nbrief 0 A 192.0.2.9\n_sip._udp SRV 1 1 5070 mcu\n"
    async with (
        nameserver(tmp_path / "nsd", (HOST, free_udp_port(HOST)), {"hue.example": records}) as address,
        Relay.to(address) as relay,
    ):
        yield relay


class Table:
    """Answers by the table, for what has to do with time alone."""

    def __init__(self, answers: dict[str, Told], seconds: float = 0.0) -> None:
        self.answers = answers
        self.seconds = seconds
        self.asked: list[str] = []

    async def ask(self, question: Question, patience: float) -> Told:
        asked = f"{question.kind} {question.name}"
        self.asked.append(asked)
        await asyncio.sleep(min(self.seconds, patience))
        return self.answers.get(asked, Told(Lack.NO_ADDRESS, 60.0))


def names_of(answers: dict[str, Told], tmp_path: Path, **options: float) -> tuple[Names, Table]:
    table = Table(answers, options.pop("seconds", 0.0))
    return Names(DnsSettings(**options), client=table, hosts=HostsFile(tmp_path / "hosts")), table


def addresses(*hosts: str, ttl: float = 60.0) -> Told:
    return Told(hosts, ttl)


async def reason(names: Names, uri: SipUri) -> str:
    with pytest.raises((NameNotFoundError, ResolverError)) as caught:
        await names.locate(uri)
    return f"{type(caught.value).__name__}: {caught.value.reason}"


@nsd
class TestSharing:
    async def test_two_hundred_calls_of_one_name_cost_one_look_up(self, relay: Relay) -> None:
        """NAPTR, SRV (of UDP and TCP), A: one question each, whoever asks; and none as long as the answers live."""
        names = Names(DnsSettings((relay.address,)))
        found = await asyncio.gather(*(names.locate(HUE) for _ in range(200)))
        assert {frozenset(hops) for hops in found} == {
            frozenset({Hop("udp", "192.0.2.1", 5070), Hop("udp", "192.0.2.2", 5070)})
        }
        assert len(relay.questions) == 4
        await names.locate(HUE)
        assert len(relay.questions) == 4

    async def test_an_absence_is_shared_and_kept_too(self, relay: Relay) -> None:
        names = Names(DnsSettings((relay.address,)))
        gone = SipUri.parse("sip:gone.hue.example:5060")
        results = await asyncio.gather(*(names.locate(gone) for _ in range(50)), return_exceptions=True)
        assert {str(result) for result in results} == {"gone.hue.example: no_such_name"}
        assert await reason(names, gone) == "NameNotFoundError: no_such_name"
        assert len(relay.questions) == 1

    async def test_what_lives_for_no_time_is_shared_and_not_kept(self, relay: Relay) -> None:
        names = Names(DnsSettings((relay.address,)))
        brief = SipUri.parse("sip:brief.hue.example:5060")
        await asyncio.gather(*(names.locate(brief) for _ in range(20)))
        assert len(relay.questions) == 1
        await names.locate(brief)
        assert len(relay.questions) == 2

    async def test_a_caller_who_goes_takes_nothing_from_the_others(self, relay: Relay) -> None:
        """The question stays as long as one waits for it, and ends with the last."""
        relay.delay = 0.2
        names = Names(DnsSettings((relay.address,)))
        goes, stays = (asyncio.ensure_future(names.locate(PLAIN)) for _ in range(2))
        await asyncio.sleep(0.05)
        goes.cancel()
        assert len(await stays) == 2
        assert goes.cancelled()
        alone = asyncio.ensure_future(names.locate(SipUri.parse("sip:v6.hue.example:5060")))
        await asyncio.sleep(0.05)
        alone.cancel()
        await asyncio.wait({alone})
        assert names._asked == {}
        # And whoever asks for the same right after it gets an answer of his own.
        assert await reason(names, SipUri.parse("sip:v6.hue.example:5060")) == "NameNotFoundError: no_address"

    async def test_both_families_are_asked_for_at_once(self, relay: Relay) -> None:
        relay.delay = 0.2
        names = Names(DnsSettings((relay.address,)), means=Means(families=("A", "AAAA")))
        async with asyncio.timeout(0.39):
            found = await names.locate(SipUri.parse("sip:v6.hue.example:5060"))
        assert found == (Hop("udp", "2001:db8::1", 5060),)


class TestTime:
    async def test_a_name_costs_its_time_limit_at_most(self, tmp_path: Path) -> None:
        """Three questions, one after the other, none answered."""
        names, _ = names_of({}, tmp_path, seconds=99.0, timeout_seconds=0.2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await reason(names, PLAIN) == "ResolverError: resolver_timeout"
        assert loop.time() - began < 0.25
        began = loop.time()
        assert await reason(names, HUE) == "ResolverError: resolver_timeout"
        assert loop.time() - began < 0.25

    async def test_a_burst_on_a_dead_server_is_one_question_and_the_next_call_asks_anew(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names, table = names_of({"A mcu.hue.example": Told(Lack.RESOLVER_UNREACHABLE, 0.0)}, tmp_path)
        for _ in range(3):
            assert await reason(names, PLAIN) == "ResolverError: resolver_unreachable"
        assert len(table.asked) == 1
        monkeypatch.setattr(module, "_FAULT_KEPT", 0.0)
        names, table = names_of(table.answers, tmp_path)
        for _ in range(3):
            await reason(names, PLAIN)
        assert len(table.asked) == 3

    @pytest.mark.parametrize(
        ("told", "seconds"),
        [
            (addresses("192.0.2.1", ttl=1e9), 3600.0),
            (addresses("192.0.2.1", ttl=7.0), 7.0),
            (Told(Lack.NO_ADDRESS, 1e9), 300.0),
            (Told(Lack.NO_SUCH_NAME, 7.0), 7.0),
            (Told(Lack.RESOLVER_TIMEOUT, 0.0), 2.0),
        ],
    )
    def test_what_is_said_is_believed_for_as_long_as_it_lives_and_not_for_ever(
        self, told: Told, seconds: float
    ) -> None:
        assert module._lasting(told) == seconds


class TestOwnNames:
    @pytest.mark.parametrize(
        "uri", ["sip:room@hue.example", "sip:room@hue.example:5070", "sip:hue.example;transport=udp"]
    )
    async def test_a_name_of_the_machine_s_own_is_taken_at_its_word(self, tmp_path: Path, uri: str) -> None:
        """Nobody is asked for NAPTR and SRV either: a site without DNS waits for nothing."""
        (tmp_path / "hosts").write_text("2001:db8::1 hue.example\n192.0.2.7 hue.example\n", "utf-8")
        names, table = names_of({}, tmp_path)
        assert [hop.host for hop in await names.locate(SipUri.parse(uri))] == ["192.0.2.7"]
        assert table.asked == []

    async def test_a_server_s_name_may_be_one(self, tmp_path: Path) -> None:
        (tmp_path / "hosts").write_text("192.0.2.7 mcu.hue.example\n", "utf-8")
        records: Answer = (Srv(1, 1, 5070, "mcu.hue.example."),)
        names, _ = names_of({"SRV _sip._udp.hue.example": Told(records, 60.0)}, tmp_path)
        assert await names.locate(HUE) == (Hop("udp", "192.0.2.7", 5070),)

    async def test_one_without_an_address_that_we_can_call_has_none(self, tmp_path: Path) -> None:
        (tmp_path / "hosts").write_text("2001:db8::1 hue.example\n", "utf-8")
        names, table = names_of({}, tmp_path)
        assert (await reason(names, HUE), table.asked) == ("NameNotFoundError: no_address", [])

    async def test_localhost_is_found_by_the_system(self) -> None:
        assert await Names().locate(SipUri.parse("sip:localhost")) == (Hop("udp", "127.0.0.1", 5060),)

    @pytest.mark.parametrize("host", ["no-such-room.invalid", "invalid"])
    async def test_what_never_exists_is_not_asked_for(self, tmp_path: Path, host: str) -> None:
        """RFC 6761 §6.4."""
        names, table = names_of({}, tmp_path)
        assert await reason(names, SipUri.parse(f"sip:{host}")) == "NameNotFoundError: no_such_name"
        assert table.asked == []

    @pytest.mark.parametrize("host", ["x" * 80 + ".example", "a..example"])
    async def test_what_can_be_no_name_is_none(self, host: str) -> None:
        names = Names(DnsSettings(((HOST, 9),), 0.5))
        assert await reason(names, SipUri.parse(f"sip:{host}:5060")) == "NameNotFoundError: no_such_name"


class TestAddresses:
    """Hosts of session descriptions (RFC 8866 §5.7)."""

    async def test_a_literal_is_its_own_address(self, tmp_path: Path) -> None:
        names, table = names_of({}, tmp_path)
        assert (await names.address("192.0.2.9"), table.asked) == ("192.0.2.9", [])

    async def test_a_name_is_looked_up_without_naptr_and_srv(self, tmp_path: Path) -> None:
        names, table = names_of({"A media.example": addresses("192.0.2.5")}, tmp_path)
        assert await names.address("media.example") == "192.0.2.5"
        assert table.asked == ["A media.example"]

    @pytest.mark.parametrize("host", ["2001:db8::1", "::1"])
    async def test_ipv6_is_named_as_not_supported_yet(self, tmp_path: Path, host: str) -> None:
        with pytest.raises(NameNotFoundError, match="ipv6_not_supported"):
            await names_of({}, tmp_path)[0].address(host)


class TestFailedHosts:
    """RFC 3263 §4.3, for all calls of the process."""

    ONE, TWO = Hop("udp", "192.0.2.1", 5070), Hop("udp", "192.0.2.2", 5070)

    async def test_a_failed_host_comes_last_until_it_answers(self, tmp_path: Path) -> None:
        names, _ = names_of({"A mcu.hue.example": addresses("192.0.2.1", "192.0.2.2")}, tmp_path)
        assert await names.locate(PLAIN) == (self.ONE, self.TWO)
        names.note_failed(self.ONE, "icmp")
        assert await names.locate(PLAIN) == (self.TWO, self.ONE)
        names.note_failed(self.TWO, "icmp")
        assert await names.locate(PLAIN) == (self.ONE, self.TWO)
        names.note_alive(self.TWO)
        assert await names.locate(PLAIN) == (self.TWO, self.ONE)

    @pytest.mark.parametrize(("asked_for", "lasting"), [(None, 60.0), (120.0, 120.0), (1e9, 3600.0), (0.0, 0.0)])
    async def test_it_is_remembered_for_as_long_as_it_says_within_an_hour(
        self, tmp_path: Path, asked_for: float | None, lasting: float
    ) -> None:
        names, _ = names_of({}, tmp_path)
        now = asyncio.get_running_loop().time()
        names.note_failed(self.ONE, "status_503", asked_for)
        assert (names._failed.get(self.ONE, now + lasting - 0.1) is not None) == (lasting > 0.0)
        assert names._failed.get(self.ONE, now + lasting + 1.0) is None

    async def test_so_many_are_remembered_and_no_more(self, tmp_path: Path) -> None:
        names, _ = names_of({}, tmp_path)
        for number in range(3000):
            names.note_failed(Hop("udp", "192.0.2.1", number), "icmp")
        assert len(names._failed) == 1024


class TestWhoseFault:
    async def test_a_failure_alone_is_ours_and_beside_an_answer_the_name_s(self, tmp_path: Path) -> None:
        """SERVFAIL says that the resolver couldn't find out; whether it can at all shows by others."""
        answers = {"A mcu.hue.example": Told(Lack.SERVER_FAILURE, 0.0), "A a.example": addresses("192.0.2.1")}
        names, _ = names_of(answers, tmp_path)
        assert await reason(names, PLAIN) == "ResolverError: resolver_failed"
        await names.locate(SipUri.parse("sip:a.example:5060"))
        assert await reason(names, PLAIN) == "NameNotFoundError: server_failure"

    async def test_an_answer_from_long_ago_proves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_TRUSTED_SECONDS", 0.0)
        answers = {"A mcu.hue.example": Told(Lack.SERVER_FAILURE, 0.0), "A a.example": addresses("192.0.2.1")}
        names, _ = names_of(answers, tmp_path)
        await names.locate(SipUri.parse("sip:a.example:5060"))
        assert await reason(names, PLAIN) == "ResolverError: resolver_failed"


class TestReload:
    @nsd
    async def test_other_servers_are_asked_anew_and_the_same_ones_are_not(self, relay: Relay) -> None:
        settings = DnsSettings((relay.address,))
        names = Names(settings)
        await names.locate(PLAIN)
        names.reload(DnsSettings((relay.address,)))
        await names.locate(PLAIN)
        assert len(relay.questions) == 1
        names.reload(DnsSettings((relay.server,)))
        await names.locate(PLAIN)
        assert len(relay.questions) == 1
        names.reload(settings)
        await names.locate(PLAIN)
        assert len(relay.questions) == 2

    async def test_a_question_under_way_ends_as_it_began(self, tmp_path: Path) -> None:
        """What the old server says goes to who asked it, and is not kept for those who come after."""
        names, _ = names_of({"A mcu.hue.example": addresses("192.0.2.1")}, tmp_path, seconds=0.05)
        asking = asyncio.ensure_future(names.locate(PLAIN))
        await asyncio.sleep(0.01)
        names.reload(DnsSettings(((HOST, 9),), 1.0))
        assert (await asking)[0].host == "192.0.2.1"
        assert len(names._kept) == 0

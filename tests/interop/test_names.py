"""Names as a real DNS server (NSD) tells them, rooms that a real peer (sipp) answers for: RFC 3263, whole."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge_monitor.domain import Grade, LadderStep, Outcome, TriedHop
from bridge_monitor.net.dns_client import DnsSettings
from bridge_monitor.net.names import Names
from bridge_monitor.net.sip_udp import SipUdp
from bridge_monitor.probes.profile import Route
from tests.interop.nameserver import Address, nameserver
from tests.interop.rigs import Line, StartRoom

FreePort = Callable[[str], int]
Serve = Callable[..., Awaitable[Address]]

pytestmark = [pytest.mark.peer("sipp"), pytest.mark.peer("nsd")]

NAME = "sip:room@hue.example"


@pytest.fixture
async def serve(tmp_path: Path, line: Line, host: str, free_udp_port: FreePort) -> AsyncIterator[Serve]:
    """Return ``serve(records, …)``: a DNS server with that of ``hue.example``, which our side asks from then on."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(records: str, **options: Any) -> Address:
            options = {"zones": {}, "timeout_seconds": 5.0, **options}
            zones = {"hue.example": records, **options.pop("zones")}
            timeout = options.pop("timeout_seconds")
            address = (host, free_udp_port(host))
            await stack.enter_async_context(nameserver(tmp_path / "nsd", address, zones, **options))
            ask(line, address, timeout_seconds=timeout)
            return address

        yield start


@pytest.fixture
def black_hole(host: str) -> Iterator[Address]:
    """Return an address that takes every datagram and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind((host, 0))
        yield deaf.getsockname()


def ask(line: Line, *servers: Address, timeout_seconds: float = 5.0) -> None:
    """Have our side ask these servers."""
    line.equipment = dataclasses.replace(line.equipment, names=Names(DnsSettings(servers, timeout_seconds)))


def srv(*servers: tuple[int, int], host: str) -> str:
    """Return the records of servers: (priority, port), all on one host."""
    lines = [f"_sip._udp SRV {priority} 0 {port} mcu" for priority, port in servers]
    return "\n".join([f"mcu A {host}", *lines, ""])


def udp(host: str, port: int, failed: str | None = None) -> TriedHop:
    return TriedHop("udp", host, port, failed)


def field(step: LadderStep, name: str) -> str:
    found = re.search(rf"^{name}: (.*?)\r$", step.text, re.MULTILINE)
    assert found, step.text
    return found[1]


class TestSection4:
    async def test_naptr_leads_over_srv_to_an_address(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str
    ) -> None:
        """The transport that we don't have comes first, and is passed over; the port is SRV's (§4.1, §4.2)."""
        room = await start_room("answer", "-rtp_echo")
        await serve(
            '@ NAPTR 10 10 "s" "SIP+D2W" "" _sip._ws\n'
            '@ NAPTR 20 20 "s" "SIP+D2U" "" _sip._udp.core\n'
            f"_sip._udp.core SRV 1 1 {room.port} mcu\nmcu A {host}\n"
        )
        result = (await line.call(NAME, duration_seconds=0.3)).result
        assert (result.outcome, result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert result.hops == (udp(host, room.port),)
        assert result.phases["resolve"] is not None
        assert await room.is_content()
        assert room.received()[0] == f"INVITE {NAME} SIP/2.0"

    @pytest.mark.parametrize(
        ("uri", "records"),
        [
            ("sip:room@hue.example", "_sip._udp SRV 1 1 {port} mcu\nmcu A {host}\n"),
            ("sip:room@hue.example;transport=udp", "_sip._udp SRV 1 1 {port} mcu\nmcu A {host}\n"),
            ("sip:room@mcu.hue.example:{port}", "mcu A {host}\n"),
            ("sip:room@www.hue.example:{port}", "www CNAME core\ncore CNAME mcu\nmcu A {host}\n"),
            ("sip:room@other.example;maddr=mcu.hue.example", "_sip._udp.mcu SRV 1 1 {port} x\nx A {host}\n"),
        ],
    )
    async def test_srv_address_and_alias_lead_to_a_room(
        self, line: Line, start_room: StartRoom, serve: Serve, uri: str, records: str
    ) -> None:
        room = await start_room("refuse", status="486 Busy Here", extra="Server: sipp")
        await serve(records.format(host=room.host, port=room.port))
        result = (await line.call(uri.format(port=room.port))).result
        assert (result.outcome, result.hops) == (Outcome.BUSY, (udp(room.host, room.port),))
        assert await room.is_content()

    async def test_a_proxy_has_a_name_too(self, line: Line, start_room: StartRoom, serve: Serve, host: str) -> None:
        """The name of the next hop counts, not that of the room (RFC 3261 §8.1.2)."""
        proxy = await start_room("refuse", status="486 Busy Here", extra="Server: sipp")
        await serve(srv((1, proxy.port), host=host))
        result = (await line.call("sip:room@nobody.invalid", route=Route(proxy="sip:hue.example"))).result
        assert (result.outcome, result.hops) == (Outcome.BUSY, (udp(host, proxy.port),))

    async def test_a_redirect_to_a_name_is_followed_to_its_servers(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str
    ) -> None:
        room = await start_room("refuse", status="486 Busy Here", extra="Server: sipp")
        first = await start_room("refuse", status="302 Moved Temporarily", extra=f"Contact: <{NAME}>")
        await serve(srv((1, room.port), host=host))
        result = (await line.call(first.uri)).result
        assert (result.outcome, result.hops) == (Outcome.BUSY, (udp(host, room.port),))
        assert await first.is_content()


class TestSection43:
    """A transport failure, no response at all, or 503: the next one, with a new branch."""

    async def test_a_closed_port_is_left_for_the_next_server(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str, free_udp_port: FreePort
    ) -> None:
        """ICMP. The request is the same, but for its branch; nothing of the wait is held against the room."""
        closed = free_udp_port(host)
        room = await start_room("answer", "-rtp_echo")
        await serve(srv((2, room.port), (1, closed), host=host))
        finished = await line.call(NAME, duration_seconds=0.3)
        result = finished.result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert result.hops == (udp(host, closed, "icmp"), udp(host, room.port))
        invites = [step for step in finished.evidence.ladder if step.start_line.startswith("INVITE")]
        assert [step.peer for step in invites] == [f"{host}:{closed}", f"{host}:{room.port}"]
        first, second = invites
        for name in ("Call-ID", "From", "To", "CSeq", "Max-Forwards", "Contact"):
            assert field(first, name) == field(second, name)
        branches = [field(step, "Via").partition("branch=")[2] for step in invites]
        assert branches[0] != branches[1]
        assert first.text.replace(*branches) == second.text
        assert await room.is_content()
        assert await line.is_idle()
        assert [event for event, _ in line.journal.entries] == ["opened", "closed", "opened", "confirmed", "closed"]

    async def test_a_server_that_says_nothing_is_left_in_time_for_the_next_one(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str, black_hole: Address
    ) -> None:
        """All within the answer time-out; the set-up that is graded is the room's own."""
        room = await start_room("answer", "-rtp_echo")
        await serve(srv((1, black_hole[1]), (2, room.port), host=host))
        result = (await line.call(NAME, duration_seconds=0.3, answer_timeout_seconds=4.0)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert result.hops == (udp(host, black_hole[1], "timeout"), udp(host, room.port))
        assert result.phases["trying"] is None or result.phases["trying"] < 1.0
        assert 2.0 <= result.duration_seconds < 4.0
        assert await room.is_content()

    async def test_a_server_that_is_overloaded_is_left_for_as_long_as_it_says(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str
    ) -> None:
        """503 with Retry-After: acknowledged, and the next call of this process goes elsewhere at once."""
        busy = await start_room("refuse", status="503 Service Unavailable", extra="Retry-After: 120")
        room = await start_room("answer", "-rtp_echo", calls=2)
        await serve(srv((1, busy.port), (2, room.port), host=host))
        first = (await line.call(NAME, duration_seconds=0.3)).result
        assert (first.outcome, first.grade) == (Outcome.REACHED, Grade.GOOD)
        assert first.hops == (udp(host, busy.port, "status_503"), udp(host, room.port))
        assert await busy.is_content()
        assert busy.methods() == ["INVITE", "ACK"]
        second = (await line.call(NAME, duration_seconds=0.3)).result
        assert (second.outcome, second.hops) == (Outcome.REACHED, (udp(host, room.port),))
        assert await room.is_content()
        assert await line.is_idle()

    async def test_a_host_that_failed_is_tried_last_and_not_never(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str, free_udp_port: FreePort
    ) -> None:
        """Both are dead, then the first one is there again: it is found, though it has failed a moment ago."""
        ports = free_udp_port(host), free_udp_port(host)
        await serve(srv((1, ports[0]), (2, ports[1]), host=host))
        result = (await line.call(NAME)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.UNREACHABLE, "icmp", Grade.FAILED)
        assert result.hops == (udp(host, ports[0], "icmp"), udp(host, ports[1], "icmp"))
        room = await start_room("answer", "-rtp_echo", port=ports[0])
        assert (await line.call(NAME, duration_seconds=0.3)).result.hops == (udp(host, ports[0]),)
        assert await room.is_content()

    async def test_an_answer_that_refuses_is_an_answer(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str
    ) -> None:
        """486 is no failure of a server: nobody else is asked."""
        busy = await start_room("refuse", status="486 Busy Here", extra="Server: sipp")
        room = await start_room("silent")
        await serve(srv((1, busy.port), (2, room.port), host=host))
        result = (await line.call(NAME)).result
        assert (result.outcome, result.hops) == (Outcome.BUSY, (udp(host, busy.port),))
        assert room.received() == []

    async def test_a_room_that_rings_is_waited_for(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str, black_hole: Address
    ) -> None:
        """A provisional response is one: the time-out of the next server's share no longer counts."""
        room = await start_room("ring_only")
        await serve(srv((1, room.port), (2, black_hole[1]), host=host))
        result = (await line.call(NAME, answer_timeout_seconds=3.0)).result
        assert (result.outcome, result.reason) == (Outcome.NO_ANSWER, "rings")
        assert result.hops == (udp(host, room.port),)
        assert await room.is_content()

    async def test_a_server_that_answers_when_it_was_given_up_gets_ack_and_bye(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str
    ) -> None:
        """Its 200 comes after 1.6 s, its share of 3 s was 1.5: the call is with the second, the first one is ended."""
        late = await start_room("answer_late")
        room = await start_room("answer", "-rtp_echo")
        await serve(srv((1, late.port), (2, room.port), host=host))
        result = (await line.call(NAME, duration_seconds=0.5, answer_timeout_seconds=3.0)).result
        assert (result.outcome, result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert result.hops == (udp(host, late.port, "timeout"), udp(host, room.port))
        assert await line.is_idle()
        assert await late.is_content()
        assert late.methods() == ["INVITE", "ACK", "BYE"]
        assert await room.is_content()
        assert room.methods() == ["INVITE", "ACK", "BYE"]

    async def test_where_we_leave_from_another_address_it_is_another_call(
        self, line: Line, start_room: StartRoom, serve: Serve, black_hole: Address, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Contact, Via and offer name that address: the request can't be the same. The first one is given up."""
        room = await start_room("answer", "-rtp_echo")
        await serve(srv((1, black_hole[1]), (2, room.port), host=room.host))
        towards = line.stack.towards

        def by_two_ways(destination: Address, **options: Any) -> SipUdp:
            return towards(destination, **options | {"source": None if destination == black_hole else room.host})

        monkeypatch.setattr(line.stack, "towards", by_two_ways)
        finished = await line.call(NAME, duration_seconds=0.3, answer_timeout_seconds=3.0)
        assert (finished.result.outcome, finished.result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert [hop.failed for hop in finished.result.hops] == ["timeout", None]
        first, *_, second = [step for step in finished.evidence.ladder if step.start_line.startswith("INVITE")]
        assert first.peer == f"{black_hole[0]}:{black_hole[1]}"
        assert field(first, "Call-ID") != field(second, "Call-ID") == finished.result.call_id
        assert f"c=IN IP4 {room.host}\r" in second.text
        assert await room.is_content()
        assert line.journal.of(field(first, "Call-ID")) == ["opened"]
        assert line.journal.of(finished.result.call_id) == ["opened", "confirmed", "closed"]

    async def test_options_go_on_as_well(
        self, line: Line, start_room: StartRoom, serve: Serve, black_hole: Address, free_udp_port: FreePort
    ) -> None:
        """Timer F, ICMP and 503 alike."""
        host = black_hole[0]
        closed = free_udp_port(host)
        busy = await start_room("options", status="503 Service Unavailable")
        room = await start_room("options", status="200 OK")
        await serve(srv((1, closed), (2, busy.port), (3, black_hole[1]), (4, room.port), host=host))
        result = (await line.call(NAME, kind="sip-options", answer_timeout_seconds=3.0)).result
        assert (result.outcome, result.reason) == (Outcome.REACHED, "options_only")
        assert [hop.failed for hop in result.hops] == ["icmp", "status_503", "timeout", None]

    async def test_silence_of_all_is_a_time_out(
        self, line: Line, serve: Serve, host: str, black_hole: Address, free_udp_port: FreePort
    ) -> None:
        await serve(srv((1, free_udp_port(host)), (2, black_hole[1]), host=host))
        result = (await line.call(NAME, answer_timeout_seconds=1.0)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.TIMEOUT, None, Grade.FAILED)
        assert [hop.failed for hop in result.hops] == ["icmp", "timeout"]
        assert result.duration_seconds < 2.0


class TestSection43OverStreams:
    async def test_a_connection_that_is_refused_is_a_failure_as_any(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str, free_tcp_port: FreePort
    ) -> None:
        """NAPTR prefers TCP; the next server is one of UDP, and its set-up time its own."""
        closed = free_tcp_port(host)
        room = await start_room("answer", "-rtp_echo")
        await serve(
            '@ NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp\n@ NAPTR 10 20 "s" "SIP+D2U" "" _sip._udp\n'
            f"_sip._tcp SRV 1 0 {closed} mcu\n" + srv((1, room.port), host=host)
        )
        result = (await line.call(NAME, duration_seconds=0.3)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert result.hops == (TriedHop("tcp", host, closed, "connection_refused"), udp(host, room.port))
        assert await room.is_content()
        assert await line.is_idle()

    async def test_a_name_leads_to_a_room_over_tcp(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str
    ) -> None:
        """There is no NAPTR record, and SRV for TCP alone (§4.1)."""
        room = await start_room("answer", "-rtp_echo", transport="tcp")
        await serve(f"_sip._tcp SRV 1 0 {room.port} mcu\nmcu A {host}\n")
        result = (await line.call(NAME, duration_seconds=0.3)).result
        assert (result.outcome, result.hops) == (Outcome.REACHED, (TriedHop("tcp", host, room.port, None),))
        assert await room.is_content()

    @pytest.mark.parametrize("kind", ["sip", "sip-options"])
    async def test_the_last_one_s_failure_is_the_call_s_and_what_was_sent_before_is_ended(
        self, line: Line, serve: Serve, black_hole: Address, free_tcp_port: FreePort, kind: str
    ) -> None:
        """Nobody answered over UDP, and TCP is refused: the INVITE is given up where it went."""
        host = black_hole[0]
        closed = free_tcp_port(host)
        await serve(srv((1, black_hole[1]), host=host) + f"_sip._tcp SRV 1 0 {closed} mcu\n")
        result = (await line.call(NAME, kind=kind, answer_timeout_seconds=3.0)).result
        assert (result.outcome, result.reason, result.grade) == (
            Outcome.UNREACHABLE,
            "connection_refused",
            Grade.FAILED,
        )
        assert result.hops == (
            udp(host, black_hole[1], "timeout"),
            TriedHop("tcp", host, closed, "connection_refused"),
        )
        if result.call_id is not None and kind == "sip":
            assert line.journal.of(result.call_id) == ["opened"]  # it may still be answered: the agent waits for that

    async def test_an_invite_too_large_for_a_datagram_says_what_it_went_over(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The name says UDP, §18.1.1 of RFC 3261 TCP."""
        monkeypatch.setattr("bridge_monitor.probes.signalling.DATAGRAM_LIMIT", 300)
        monkeypatch.setattr("bridge_monitor.probes.signalling._SMALL_OFFER", 0)
        room = await start_room("answer", "-rtp_echo", transport="tcp")
        await serve(srv((1, room.port), host=host))
        result = (await line.call(NAME, duration_seconds=0.3)).result
        assert (result.outcome, result.hops) == (Outcome.REACHED, (TriedHop("tcp", host, room.port, None),))
        assert await room.is_content()


class TestNoAddress:
    @pytest.mark.parametrize(
        ("uri", "reason"),
        [
            ("sip:room@nothing.hue.example", "no_such_name"),
            ("sip:room@text.hue.example", "no_address"),
            ("sip:room@closed.hue.example", "service_not_offered"),
            ("sip:room@modern.hue.example", "transport_not_offered"),
            ("sip:room@dangling.hue.example:5060", "no_such_name"),
        ],
    )
    async def test_the_reason_is_told_and_nothing_is_sent(
        self, line: Line, serve: Serve, uri: str, reason: str
    ) -> None:
        await serve(
            'text TXT "no host"\n_sip._udp.closed SRV 0 0 0 .\ndangling CNAME gone\n'
            'modern NAPTR 1 1 "s" "SIPS+D2W" "" _sips._ws\n'
        )
        result = (await line.call(uri)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.NAME_NOT_FOUND, reason, Grade.FAILED)
        assert (result.call_id, result.hops, line.log) == (None, (), [])


class TestDeadResolver:
    """Our own resolver is at fault: the room is not accused, and the time is bounded."""

    async def test_a_server_whose_port_is_closed_is_known_at_once(
        self, line: Line, host: str, free_udp_port: FreePort
    ) -> None:
        ask(line, (host, free_udp_port(host)))
        result = (await line.call(NAME)).result
        assert (result.outcome, result.reason, result.grade) == (
            Outcome.LOCAL_FAULT,
            "resolver_unreachable",
            Grade.INVALID,
        )
        assert result.invalid == ("resolver_unreachable",)
        assert result.duration_seconds < 1.0

    async def test_a_server_that_says_nothing_costs_a_bounded_time(self, line: Line, black_hole: Address) -> None:
        ask(line, black_hole, timeout_seconds=1.5)
        began = time.monotonic()
        result = (await line.call(NAME)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.LOCAL_FAULT, "resolver_timeout", Grade.INVALID)
        assert time.monotonic() - began < 2.0
        assert line.log == []

    async def test_a_second_server_answers_for_a_dead_one(
        self, line: Line, start_room: StartRoom, serve: Serve, host: str, black_hole: Address
    ) -> None:
        room = await start_room("refuse", status="486 Busy Here", extra="Server: sipp")
        address = await serve(f"mcu A {host}\n")
        ask(line, black_hole, address)
        result = (await line.call(f"sip:room@mcu.hue.example:{room.port}")).result
        assert result.outcome is Outcome.BUSY
        assert result.phases["resolve"] == pytest.approx(1.0, abs=0.5)

    async def test_a_server_that_is_not_for_us_is_no_proof_against_a_name(self, line: Line, serve: Serve) -> None:
        """A lame one: REFUSED for what it has no zone of."""
        await serve("")
        result = (await line.call("sip:room@elsewhere.example")).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.LOCAL_FAULT, "resolver_refused", Grade.INVALID)

    async def test_a_failure_is_the_name_s_own_only_where_the_resolver_finds_out_about_others(
        self, line: Line, serve: Serve, host: str
    ) -> None:
        """SERVFAIL: alone it may be our line; beside an answer about another name it is that zone's servers."""
        await serve(f"mcu A {host}\n", zones={"broken.example": None}, ttl=0)
        result = (await line.call("sip:room@broken.example:5060")).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.LOCAL_FAULT, "resolver_failed", Grade.INVALID)
        assert (await line.call("sip:room@gone.hue.example:5060")).result.reason == "no_such_name"
        result = (await line.call("sip:room@broken.example:5060")).result
        assert (result.outcome, result.reason, result.grade) == (
            Outcome.NAME_NOT_FOUND,
            "server_failure",
            Grade.FAILED,
        )

"""Kamailio over TCP and TLS before a sipp room: record-routed dialogs, certificates by RFC 5922, connections shared."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge_monitor.domain import Grade, Outcome, TriedHop
from bridge_monitor.probes.profile import Route
from bridge_monitor.sip import TlsSettings
from tests.authority import Authority, Certificate
from tests.conftest import PEERS
from tests.interop.nameserver import nameserver
from tests.interop.rigs import Line, PeerProcess, StartRoom, is_bound
from tests.interop.test_challenges import PROXY_REALM, USER, WORD, accounts
from tests.interop.test_names import ask

pytestmark = [
    pytest.mark.peer("sipp"),
    pytest.mark.peer("kamailio"),
    pytest.mark.peer("kamailio-tls"),
    pytest.mark.peer("openssl"),
]
CONFIGURATION = Path(__file__).with_name("kamailio.cfg")


@dataclass(frozen=True)
class Proxy:
    process: PeerProcess
    tcp: str
    tls: str


StartProxy = Callable[..., Awaitable[Proxy]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def start_proxy(
    new_process: Callable[..., PeerProcess],
    free_udp_port: Callable[[str], int],
    free_tcp_port: Callable[[str], int],
    host: str,
    authority: Authority,
) -> StartProxy:
    """Return what starts kamailio before a room; the host of its certificate is its address unless said otherwise."""

    async def start(
        room: int, *, shown: Certificate | None = None, more: str = "", gate: str = "", method: str = "TLSv1.2+"
    ) -> Proxy:
        port, tls_port = free_udp_port(host), free_tcp_port(host)
        shown = shown or authority.issue(host, f"IP:{host}")
        process = new_process(
            "kamailio", ["kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-m", "32", "-M", "4", "-Y", ".", "-P", "pid"]
        )
        text = CONFIGURATION.read_text("ascii")
        facts = {
            "modules": (PEERS["kamailio-tls"].file or Path()).parent, "host": host, "port": port, "tls_port": tls_port,
            "certificate": shown.certificate, "key": shown.key, "more": more, "gate": gate, "room": room,
            "method": method,
        }  # fmt: skip
        for name, value in facts.items():
            text = text.replace(f"[{name}]", str(value))
        (process.folder / "kamailio.cfg").write_text(text, "ascii")
        await process.started(lambda: is_bound(host, tls_port, "tcp") and is_bound(host, port))
        return Proxy(process, f"sip:room@{host}:{port};transport=tcp", f"sips:room@{host}:{tls_port}")

    return start


def trusting(authority: Authority) -> Route:
    return Route(tls=TlsSettings(ca_file=str(authority.ca_file)))


class TestDialogs:
    async def test_a_call_over_tcp_ends_by_the_route_that_it_came(
        self, line: Line, start_room: StartRoom, start_proxy: StartProxy
    ) -> None:
        room = await start_room("answer_routed", "-rtp_echo")
        proxy = await start_proxy(room.port)
        finished = await line.call(proxy.tcp)
        result = finished.result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert result.tls is None
        requests = [step.text for step in finished.evidence.ladder if step.sent]
        assert [text.split()[0] for text in requests] == ["INVITE", "ACK", "BYE"]
        assert all("Via: SIP/2.0/TCP " in text for text in requests)
        assert all(f"Route: <{proxy.tcp.replace('room@', '')};" in text for text in requests[1:])
        assert await room.is_content()
        assert await line.is_idle()

    async def test_a_call_whose_proxy_steps_aside_goes_on_with_the_room_over_udp(
        self, line: Line, start_room: StartRoom, start_proxy: StartProxy
    ) -> None:
        """Its Contact names no transport (RFC 3263 §4.1). sipp's answer to the BYE goes where the INVITE came from."""
        room = await start_room("ring_and_answer", "-rtp_echo")
        proxy = await start_proxy(room.port)
        finished = await line.call(proxy.tcp)
        assert finished.result.outcome is Outcome.REACHED
        transports = [step.text.split("Via: SIP/2.0/")[1][:3] for step in finished.evidence.ladder if step.sent]
        assert transports[:3] == ["TCP", "UDP", "UDP"]
        assert await room.is_content()

    async def test_a_call_over_tls_is_good_and_says_what_was_agreed_on(
        self, line: Line, start_room: StartRoom, start_proxy: StartProxy, authority: Authority
    ) -> None:
        room = await start_room("ring_and_answer", "-rtp_echo")
        proxy = await start_proxy(room.port)
        finished = await line.call(proxy.tls, route=trusting(authority))
        result = finished.result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert (result.tls.version, result.tls.verified) == ("TLSv1.3", "authority")
        assert 9 <= (result.tls.expires_at - datetime.now(UTC)).days <= 10
        assert result.phases["connect"] is not None
        assert result.phases["tls"] > 0.0
        assert await room.is_content()
        assert await line.is_idle()
        requests = [step.text for step in finished.evidence.ladder if step.sent]
        assert all("Via: SIP/2.0/TLS " in text for text in requests)
        assert "Contact: <sips:" in requests[0]

    async def test_a_proxy_on_the_way_is_asked_for_its_own_name(
        self, line: Line, start_room: StartRoom, start_proxy: StartProxy, authority: Authority
    ) -> None:
        """The room behind it needs none: what is checked is whom we connect to."""
        room = await start_room("answer", "-rtp_echo")
        proxy = await start_proxy(room.port)
        way = proxy.tls.replace("sips:room@", "sip:") + ";transport=tls"
        route = Route(proxy=way, tls=TlsSettings(ca_file=str(authority.ca_file)))
        result = (await line.call("sip:room@198.51.100.9", route=route)).result
        assert (result.outcome, result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert await room.is_content()

    async def test_a_call_that_is_taken_back_is_cancelled_over_tls(
        self, line: Line, start_room: StartRoom, start_proxy: StartProxy, authority: Authority
    ) -> None:
        room = await start_room("ring_only")
        proxy = await start_proxy(room.port)
        result = (await line.call(proxy.tls, route=trusting(authority), answer_timeout_seconds=1.0)).result
        assert (result.outcome, result.reason) == (Outcome.NO_ANSWER, "rings")
        assert await room.is_content()
        assert await line.is_idle()

    async def test_many_calls_share_one_connection_and_one_handshake(
        self, line: Line, start_room: StartRoom, start_proxy: StartProxy, authority: Authority
    ) -> None:
        room = await start_room("answer", "-rtp_echo", calls=5)
        proxy = await start_proxy(room.port)
        finished = await asyncio.gather(*(line.call(proxy.tls, route=trusting(authority)) for _ in range(5)))
        assert {one.result.outcome for one in finished} == {Outcome.REACHED}
        (udp,) = line.stack._agents.values()
        assert len(udp._streams._open) == 1
        assert await room.is_content()

    async def test_a_proxy_that_was_restarted_is_called_over_a_new_connection(
        self, line: Line, start_proxy: StartProxy, authority: Authority
    ) -> None:
        proxy = await start_proxy(9)
        settings = trusting(authority)
        assert (await line.call(proxy.tls, kind="sip-options", route=settings)).result.outcome is Outcome.REACHED
        proxy.process.stop()
        result = (await line.call(proxy.tls, kind="sip-options", route=settings)).result
        assert (result.outcome, result.reason) == (Outcome.UNREACHABLE, "connection_refused")
        port = int(proxy.tls.rpartition(":")[2])
        await proxy.process.started(lambda: is_bound(proxy.tls.split("@")[1].split(":")[0], port, "tcp"))
        assert (await line.call(proxy.tls, kind="sip-options", route=settings)).result.outcome is Outcome.REACHED


class TestCertificates:
    @pytest.mark.parametrize(
        ("issued", "reason"),
        [("DNS:*.example", "wrong_name"), ("URI:sip:other.example,IP:{host}", "wrong_name"), ("old", "expired")],
    )
    async def test_one_that_is_not_right_is_tls_failed_with_its_reason(  # noqa: PLR0917 - fixtures and a table's columns
        self, line: Line, start_proxy: StartProxy, authority: Authority, host: str, issued: str, reason: str
    ) -> None:
        names, days = (f"IP:{host}", -1) if issued == "old" else (issued.replace("{host}", host), 10)
        proxy = await start_proxy(9, shown=authority.issue(f"{host}-{reason}", names, days=days))
        result = (await line.call(proxy.tls, route=trusting(authority))).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.TLS_FAILED, reason, Grade.FAILED)
        assert (result.call_id, result.tls) == (None, None)
        assert line.sent() == []

    async def test_an_authority_that_nobody_knows(self, line: Line, start_proxy: StartProxy) -> None:
        proxy = await start_proxy(9)
        result = (await line.call(proxy.tls)).result
        assert (result.outcome, result.reason) == (Outcome.TLS_FAILED, "unknown_ca")

    async def test_a_pin_or_no_verification_takes_what_nobody_vouches_for(
        self, line: Line, start_proxy: StartProxy, authority: Authority, host: str
    ) -> None:
        shown = authority.issue(f"{host}-old", days=-1)
        proxy = await start_proxy(9, shown=shown)
        for settings, verified in (
            (TlsSettings(pins=(shown.fingerprint,)), "pin"),
            (TlsSettings(verify=False), "no"),
        ):
            result = (await line.call(proxy.tls, kind="sip-options", route=Route(tls=settings))).result
            assert (result.outcome, result.tls.verified) == (Outcome.REACHED, verified)
            assert result.tls.expires_at < datetime.now(UTC)

    async def test_a_proxy_that_wants_our_certificate_takes_it_or_says_so(
        self, line: Line, start_proxy: StartProxy, authority: Authority
    ) -> None:
        asked = {"ca_list": f'"{authority.ca_file}"', "verify_certificate": 1, "require_certificate": 1}
        more = "\n".join(f'modparam("tls", "{name}", {value})' for name, value in asked.items())
        proxy = await start_proxy(9, more=more)
        result = (await line.call(proxy.tls, kind="sip-options", route=trusting(authority))).result
        assert (result.outcome, result.reason) == (Outcome.TLS_FAILED, "own_certificate_refused")
        own = authority.issue("own", "URI:sip:centre.example")
        settings = TlsSettings(str(authority.ca_file), str(own.certificate), str(own.key))
        result = (await line.call(proxy.tls, kind="sip-options", route=Route(tls=settings))).result
        assert (result.outcome, result.reason) == (Outcome.REACHED, "options_only")

    async def test_a_port_without_tls(self, line: Line, start_proxy: StartProxy, authority: Authority) -> None:
        """Kamailio waits for SIP there, and hangs up on what is none, or waits on."""
        proxy = await start_proxy(9)
        uri = proxy.tcp.replace("sip:", "sips:")
        result = (await line.call(uri, route=trusting(authority))).result
        assert result.outcome is Outcome.TLS_FAILED
        assert result.reason in ("handshake_timeout", "handshake_refused", "not_tls")


GATE = f"""
    if (!is_method("ACK")) {{
        if (!pv_proxy_authenticate("{PROXY_REALM}", "{WORD}", "0")) {{
            proxy_challenge("{PROXY_REALM}", "1");
            exit;
        }}
        xlog("L_NOTICE", "$rm $cs of $au is let in over $proto\\n");
        consume_credentials();
    }}
"""
AUTH = 'loadmodule "auth.so"\nloadmodule "xlog.so"\nmodparam("auth", "algorithm", "SHA-256")'


@pytest.mark.peer("nsd")
class TestNames:
    async def test_a_name_leads_over_a_dead_server_to_one_over_tls_that_challenges(  # noqa: PLR0917 - fixtures
        self,
        line: Line,
        start_room: StartRoom,
        start_proxy: StartProxy,
        authority: Authority,
        host: str,
        tmp_path: Path,
        free_tcp_port: Callable[[str], int],
    ) -> None:
        """RFC 3263 §4.3, RFC 5922 §7 (the certificate names the URI's host), RFC 3261 §22.3: all in one call."""
        room = await start_room("answer_routed", "-rtp_echo")
        shown = authority.issue("by-name", "URI:sip:hue.example")
        proxy = await start_proxy(room.port, shown=shown, more=AUTH, gate=GATE)
        port, closed, server = int(proxy.tls.rpartition(":")[2]), free_tcp_port(host), (host, free_tcp_port(host))
        records = (
            '@ NAPTR 1 1 "s" "SIPS+D2T" "" _sips._tcp\n@ NAPTR 1 2 "s" "SIP+D2U" "" _sip._udp\n'
            f"_sips._tcp SRV 1 0 {closed} mcu\n_sips._tcp SRV 2 0 {port} mcu\nmcu A {host}\n"
        )
        async with nameserver(tmp_path / "nsd", server, {"hue.example": records}):
            ask(line, server)
            finished = await line.call(
                "sip:room@hue.example", route=trusting(authority), credentials=accounts(PROXY_REALM)
            )
        result = finished.result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert result.hops == (
            TriedHop("tls", host, closed, "connection_refused"),
            TriedHop("tls", host, port, None),
        )
        assert (result.tls.verified, result.phases["tls"] > 0.0) == ("authority", True)
        requests = [step.text for step in finished.evidence.ladder if step.sent]
        assert [text.split()[0] for text in requests] == ["INVITE", "ACK", "INVITE", "ACK", "BYE"]
        assert all("Via: SIP/2.0/TLS " in text for text in requests)
        logs = proxy.process.logs()
        for request in ("INVITE 2", "BYE 3"):
            assert f"{request} of {USER} is let in over tls" in logs
        assert await room.is_content()
        assert await line.is_idle()

    async def test_a_certificate_of_the_server_s_name_alone_is_not_that_of_the_name_called(  # noqa: PLR0917 - fixtures
        self, line: Line, start_proxy: StartProxy, authority: Authority, host: str, tmp_path: Path,
        free_tcp_port: Callable[[str], int],
    ) -> None:  # fmt: skip
        """RFC 5922 §4: whoever forges the DNS could name any server that has a certificate of its own."""
        proxy = await start_proxy(9, shown=authority.issue("of-the-server", "DNS:mcu.hue.example"))
        records = f"_sips._tcp SRV 1 0 {proxy.tls.rpartition(':')[2]} mcu\nmcu A {host}\n"
        server = (host, free_tcp_port(host))
        async with nameserver(tmp_path / "nsd", server, {"hue.example": records}):
            ask(line, server)
            result = (await line.call("sips:room@hue.example", route=trusting(authority))).result
        assert (result.outcome, result.reason) == (Outcome.TLS_FAILED, "wrong_name")
        assert [hop.failed for hop in result.hops] == ["wrong_name"]
        assert line.sent() == []

"""Rooms and proxies that let us in by account only: sipp and Kamailio look at our answers themselves."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from bridge_monitor.daemon.capture import CallCapture
from bridge_monitor.daemon.orphans import end_orphans
from bridge_monitor.domain import Grade, Outcome, Secret
from bridge_monitor.probes.profile import Route
from bridge_monitor.sip import Credential, Credentials, DialogRecord
from tests.interop.rigs import Line, PeerProcess, StartRoom, is_bound, tshark

WORD: Final = "Circle of Life"
OTHER_WORD: Final = "Hakuna Matata"
USER: Final = "kiemtra"
REALM: Final = "hop.example"
PROXY_REALM: Final = "proxy.example"


def accounts(*realms: str, password: str = WORD) -> Credentials:
    return {realm: Credential(realm, USER, Secret(password)) for realm in realms}


def challenge(
    more: str = ', qop="auth"', realm: str = REALM, status: str = "401 Unauthorized", nonce: str = "n1"
) -> str:
    kind = "Proxy" if status.startswith("407") else "WWW"
    return f'{status}\n{kind}-Authenticate: Digest realm="{realm}", nonce="{nonce}"{more}'


@pytest.mark.peer("sipp")
class TestSipp:
    @pytest.mark.parametrize(
        "more", [', qop="auth", algorithm=MD5, opaque="5ccc069c"', ', qop="auth,auth-int"', ", algorithm=MD5", ""]
    )
    async def test_a_room_finds_the_answers_to_invite_and_bye_right(
        self, line: Line, start_room: StartRoom, more: str
    ) -> None:
        room = await start_room("challenge", "-rtp_echo", challenge=challenge(more), user=USER, password=WORD)
        result = (await line.call(room.uri, duration_seconds=0.3, credentials=accounts(REALM))).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert await room.is_content()
        assert room.methods() == ["INVITE", "ACK", "INVITE", "ACK", "BYE"]
        assert "SIP/2.0 403" not in room.messages()
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "opened", "confirmed", "closed"]

    async def test_it_does_look(self, line: Line, start_room: StartRoom) -> None:
        """The test above could pass with a room that takes everything."""
        room = await start_room("challenge", challenge=challenge(), user=USER, password=OTHER_WORD)
        result = (await line.call(room.uri, credentials=accounts(REALM))).result
        assert (result.outcome, result.reason) == (Outcome.DECLINED, "forbidden")
        assert await room.is_content()

    async def test_a_stale_nonce_is_replaced(self, line: Line, start_room: StartRoom) -> None:
        again = challenge(', qop="auth", stale=true', nonce="n2")
        room = await start_room(
            "challenge_twice", "-rtp_echo", challenge=challenge(), again=again, user=USER, password=WORD
        )
        result = (await line.call(room.uri, duration_seconds=0.3, credentials=accounts(REALM))).result
        assert (result.outcome, result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert await room.is_content()
        assert await line.is_idle()

    async def test_a_proxy_s_realm_and_the_room_s_are_answered_one_after_the_other(
        self, line: Line, start_room: StartRoom
    ) -> None:
        first = challenge(realm=PROXY_REALM, status="407 Proxy Authentication Required")
        room = await start_room(
            "challenge_twice", "-rtp_echo", challenge=first, again=challenge(), user=USER, password=WORD
        )
        result = (await line.call(room.uri, duration_seconds=0.3, credentials=accounts(REALM, PROXY_REALM))).result
        assert (result.outcome, result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert await room.is_content()
        ack = room.messages().replace("\r", "").rpartition("\nACK ")[2].partition("\n\n")[0]
        assert ack.count(f'realm="{REALM}"') == ack.count(f'realm="{PROXY_REALM}"') == 1

    @pytest.mark.parametrize("status", ["401 Unauthorized", "407 Proxy Authentication Required"])
    async def test_without_an_account_the_room_is_untested_and_that_is_ours(
        self, line: Line, start_room: StartRoom, status: str
    ) -> None:
        kind = "Proxy" if status.startswith("407") else "WWW"
        extra = f'{kind}-Authenticate: Digest realm="{REALM}", nonce="n"'
        room = await start_room("refuse", status=status, extra=extra)
        result = (await line.call(room.uri, credentials=accounts("elsewhere"))).result
        assert (result.outcome, result.reason, result.grade) == (
            Outcome.AUTH_FAILED,
            "no_credentials",
            Grade.UNTESTED,
        )
        assert f"{result.sip.status} {result.sip.reason}" == status
        assert await room.is_content()
        assert room.methods() == ["INVITE", "ACK"]
        assert await line.is_idle()

    async def test_an_account_that_is_refused_is_tried_once(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("challenge_for_ever", challenge=challenge())
        result = (await line.call(room.uri, credentials=accounts(REALM))).result
        assert (result.outcome, result.reason, result.grade) == (
            Outcome.AUTH_FAILED,
            "credentials_refused",
            Grade.FAILED,
        )
        assert await room.is_content()
        assert room.methods() == ["INVITE", "ACK", "INVITE", "ACK"]
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "opened", "closed"]

    @pytest.mark.parametrize(
        "extra",
        [
            f'WWW-Authenticate: Basic realm="{REALM}"',
            f'WWW-Authenticate: Digest realm="{REALM}", nonce="n", algorithm=AKAv1-MD5',
            f'WWW-Authenticate: Digest realm="{REALM}", nonce="n", qop="auth-int"',
            "Server: sipp",
        ],
    )
    async def test_a_challenge_of_another_kind_is_told_as_such(
        self, line: Line, start_room: StartRoom, extra: str
    ) -> None:
        room = await start_room("refuse", status="401 Unauthorized", extra=extra)
        result = (await line.call(room.uri, credentials=accounts(REALM))).result
        assert (result.outcome, result.reason, result.grade) == (
            Outcome.AUTH_FAILED,
            "challenge_unsupported",
            Grade.FAILED,
        )
        assert await room.is_content()

    async def test_ladder_and_capture_show_who_asked_and_not_what_we_said(
        self, line: Line, start_room: StartRoom, tmp_path: Path
    ) -> None:
        """What sipp received is what we sent; of that, response and cnonce are in nothing that we keep."""
        room = await start_room("challenge", "-rtp_echo", challenge=challenge(), user=USER, password=WORD)
        path = tmp_path / "call.pcap"
        with CallCapture(path, keep_payload=True) as capture:
            finished = await line.call(
                room.uri, duration_seconds=0.3, credentials=accounts(REALM), tap=capture.sip, capture=True
            )
            capture.media(finished.packets)
        assert await room.is_content()
        secrets = set(re.findall(r'(?:response|cnonce)="([^"]+)"', room.messages()))
        assert len(secrets) == 3, "INVITE and BYE have a response each, and one cnonce"
        kept = str(finished.evidence.to_dict()) + str(finished.result) + path.read_bytes().decode("latin-1")
        assert [secret for secret in {*secrets, WORD} if secret in kept] == []
        assert f'realm="{REALM}"' in kept
        assert 'response="********************************"' in kept

    @pytest.mark.peer("tshark")
    async def test_a_capture_is_as_long_as_what_was_sent(
        self, line: Line, start_room: StartRoom, tmp_path: Path
    ) -> None:
        room = await start_room("challenge", "-rtp_echo", challenge=challenge(), user=USER, password=WORD)
        path = tmp_path / "call.pcap"
        with CallCapture(path, keep_payload=False) as capture:
            await line.call(room.uri, duration_seconds=0.3, credentials=accounts(REALM), tap=capture.sip)
        assert await room.is_content()
        told = tshark(path, "-Y", "sip.auth.digest.response", "-T", "fields", "-e", "sip.Method", "-e", "udp.length")
        lengths = {method: int(length) - 8 for method, length in (row.split() for row in told.splitlines())}
        received = re.findall(
            r"UDP message received \[(\d+)\] bytes ?:\n\n(\w+) [^\n]*\n(?:[^\n]+\n)*?Authorization",
            room.messages().replace("\r", ""),
        )
        assert {method: int(length) for length, method in received} == lengths
        assert lengths.keys() == {"INVITE", "ACK", "BYE"}

    async def test_a_call_that_a_dead_process_left_up_is_ended_with_the_account(
        self, start_room: StartRoom, host: str
    ) -> None:
        room = await start_room("challenge_bye", challenge=challenge(), user=USER, password=WORD)
        record = DialogRecord(
            call_id="left-up@here",
            state="confirmed",
            local_uri="<sip:kiemtra@here>",
            local_tag="a",
            remote_uri=f"<{room.uri}>",
            remote_tag="b",
            remote_target=room.uri,
            route_set=(),
            local_cseq=1,
            destination=(host, room.port),
            invite_branch="z9hG4bKdead",
            invite_via="SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bKdead",
            invite_uri=room.uri,
            invite_cseq=1,
        )
        asked: list[str] = []
        closed: list[str] = []

        def towards(uri: str) -> Credentials:
            asked.append(uri)
            return accounts(REALM)

        assert await end_orphans([record.to_dict()], closed.append, 5.0, towards) == 1
        assert (asked, closed) == ([room.uri], [record.call_id])
        assert await room.is_content()
        assert "SIP/2.0 403" not in room.messages()


StartKamailio = Callable[..., Awaitable[tuple[PeerProcess, str]]]

KAMAILIO: Final = """
listen=udp:{host}:{port}
children=1
disable_tcp=yes
auto_aliases=no
log_stderror=yes
debug=1
{modules}
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "qop", "auth")
modparam("auth", "nonce_count", 1)
modparam("auth", "nonce_expire", {nonce_seconds})
request_route {{
    if (is_method("ACK") || is_method("CANCEL")) {{
        loose_route();
        t_relay();
        exit;
    }}
    $var(code) = pv_proxy_authenticate("{realm}", "{password}", "0");
    if ($var(code) < 0) {{
        if ($var(code) == -4) {{
            xlog("L_NOTICE", "$rm $cs has an old nonce\n");
            proxy_challenge("{realm}", "17");
        }} else {{
            xlog("L_NOTICE", "$rm $cs is challenged\n");
            proxy_challenge("{realm}", "1");
        }}
        exit;
    }}
    xlog("L_NOTICE", "$rm $cs of $au is let in,$(hdr(Proxy-Authorization){{s.select,-1,,}})\n");
    consume_credentials();
    if (has_totag()) {{
        loose_route();
    }} else {{
        record_route();
    }}
    t_relay();
}}
"""
MODULES: Final = ("tm", "sl", "rr", "pv", "auth", "siputils", "textops", "xlog")


@pytest.fixture
def start_kamailio(
    new_process: Callable[..., PeerProcess], free_udp_port: Callable[[str], int], host: str
) -> StartKamailio:
    """Return what starts Kamailio as a proxy that lets in who has the account; also its URI."""

    async def start(algorithm: str, *, nonce_seconds: int = 300, password: str = WORD) -> tuple[PeerProcess, str]:
        port = free_udp_port(host)
        process = new_process(
            "kamailio", ["kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-P", "kamailio.pid", "-Y", "."]
        )
        text = KAMAILIO.format(
            host=host,
            port=port,
            modules="\n".join(f'loadmodule "{name}.so"' for name in MODULES),
            algorithm=algorithm,
            nonce_seconds=nonce_seconds,
            realm=PROXY_REALM,
            password=password,
        )
        (process.folder / "kamailio.cfg").write_text(text, "utf-8")
        await process.started(lambda: is_bound(host, port))
        return process, f"sip:{host}:{port};lr"

    return start


def noted(kamailio: PeerProcess) -> list[str]:
    """Return what Kamailio's script wrote."""
    return re.findall(r"<script>: (.*)", kamailio.logs())


@pytest.mark.peer("kamailio", "sipp")
class TestKamailio:
    @pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
    async def test_it_lets_our_call_through_to_a_room_with_a_realm_of_its_own(
        self, line: Line, start_room: StartRoom, start_kamailio: StartKamailio, algorithm: str
    ) -> None:
        """Kamailio counts how often its nonce was used: for two INVITEs, since the room asks too, and the BYE."""
        kamailio, proxy = await start_kamailio(algorithm)
        room = await start_room("challenge", "-rtp_echo", challenge=challenge(), user=USER, password=WORD)
        credentials = accounts(REALM, PROXY_REALM)
        call = await line.call(room.uri, route=Route(proxy=proxy), duration_seconds=0.5, credentials=credentials)
        result = call.result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert await room.is_content()
        assert await line.is_idle()
        assert noted(kamailio) == [
            "INVITE 1 is challenged",
            f"INVITE 2 of {USER} is let in, nc=00000001",
            f"INVITE 3 of {USER} is let in, nc=00000002",
            f"BYE 4 of {USER} is let in, nc=00000003",
        ]
        assert f"algorithm={algorithm}" in call.evidence.ladder[1].text

    async def test_a_nonce_that_grows_old_during_the_call_is_replaced_for_the_bye(
        self, line: Line, start_room: StartRoom, start_kamailio: StartKamailio
    ) -> None:
        kamailio, proxy = await start_kamailio("SHA-256", nonce_seconds=1)
        room = await start_room("challenge", "-rtp_echo", challenge=challenge(), user=USER, password=WORD)
        credentials = accounts(REALM, PROXY_REALM)
        call = await line.call(room.uri, route=Route(proxy=proxy), duration_seconds=3.0, credentials=credentials)
        assert (call.result.outcome, call.result.reason) == (Outcome.REACHED, None)
        assert await room.is_content()
        assert await line.is_idle()
        assert noted(kamailio)[-2:] == ["BYE 4 has an old nonce", f"BYE 5 of {USER} is let in, nc=00000001"]

    async def test_a_wrong_password_is_asked_for_again_and_not_tried_again(
        self, line: Line, start_kamailio: StartKamailio, host: str
    ) -> None:
        kamailio, proxy = await start_kamailio("SHA-256", password=OTHER_WORD)
        credentials = accounts(PROXY_REALM)
        result = (await line.call(f"sip:room@{host}:9", route=Route(proxy=proxy), credentials=credentials)).result
        assert (result.outcome, result.reason, result.sip.status) == (
            Outcome.AUTH_FAILED,
            "credentials_refused",
            407,
        )
        assert noted(kamailio) == ["INVITE 1 is challenged", "INVITE 2 is challenged"]
        assert await line.is_idle()

    async def test_an_options_request_is_answered_for_too(self, line: Line, start_kamailio: StartKamailio) -> None:
        """What becomes of it behind the proxy is another matter (§11.2)."""
        kamailio, proxy = await start_kamailio("SHA-256")
        credentials = accounts(PROXY_REALM)
        uri = proxy.removesuffix(";lr")
        result = (await line.call(uri, kind="sip-options", credentials=credentials, answer_timeout_seconds=1.0)).result
        assert noted(kamailio)[:2] == ["OPTIONS 1 is challenged", f"OPTIONS 2 of {USER} is let in, nc=00000001"]
        assert result.kind == "sip-options"

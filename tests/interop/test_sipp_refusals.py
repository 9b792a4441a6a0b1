"""Rooms that don't take the call: final responses, redirects, answers that can't be used, what is no SIP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge_monitor.domain import Grade, Outcome
from tests.interop.rigs import Line, StartRoom, description

FreePort = Callable[[str], int]

pytestmark = pytest.mark.peer("sipp")


class TestFinalResponses:
    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ("486 Busy Here", (Outcome.BUSY, None, Grade.BUSY)),
            ("600 Busy Everywhere", (Outcome.BUSY, "everywhere", Grade.BUSY)),
            ("603 Decline", (Outcome.DECLINED, None, Grade.FAILED)),
            ("404 Not Found", (Outcome.NOT_FOUND, None, Grade.FAILED)),
            ("488 Not Acceptable Here", (Outcome.NOT_ACCEPTABLE, None, Grade.FAILED)),
            ("500 Server Internal Error", (Outcome.UNAVAILABLE, "status_500", Grade.FAILED)),
        ],
    )
    async def test_it_is_acknowledged_and_understood(
        self, line: Line, start_room: StartRoom, status: str, expected: tuple[Outcome, str | None, Grade]
    ) -> None:
        room = await start_room("refuse", status=status, extra="Server: sipp")
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason, result.grade) == expected
        assert f"{result.sip.status} {result.sip.reason}" == status
        assert result.media == ()
        assert result.phases["answer"] is None
        assert await room.is_content()
        assert room.received() == [f"INVITE {room.uri} SIP/2.0", f"ACK {room.uri} SIP/2.0"]
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "closed"]

    async def test_a_server_that_asks_to_be_left_alone_for_a_while_is_not_asked_again(
        self, line: Line, start_room: StartRoom
    ) -> None:
        """503 with Retry-After: there is one INVITE; when to try again is the plan's to say."""
        room = await start_room("refuse", status="503 Service Unavailable", extra="Retry-After: 120 (rebooting)")
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason) == (Outcome.UNAVAILABLE, "status_503")
        assert await room.is_content()
        assert line.methods() == ["INVITE", "ACK"]


class TestRedirects:
    async def test_the_target_of_a_redirect_is_called(self, line: Line, start_room: StartRoom) -> None:
        """Both calls are journalled and ended; the ladder shows them one after the other."""
        room = await start_room("answer", "-rtp_echo")
        first = await start_room("refuse", status="302 Moved Temporarily", extra=f"Contact: <{room.uri}>")
        finished = await line.call(first.uri, duration_seconds=0.3)
        result = finished.result
        assert (result.outcome, result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert result.target.uri == first.uri
        assert await first.is_content()
        assert await room.is_content()
        assert await line.is_idle()
        assert [event for event, _ in line.journal.entries] == ["opened", "closed", "opened", "confirmed", "closed"]
        invited = [step.peer for step in finished.evidence.ladder if step.start_line.startswith("INVITE")]
        assert invited == [f"{first.host}:{first.port}", f"{room.host}:{room.port}"]

    async def test_of_several_targets_the_best_that_can_be_called_is(self, line: Line, start_room: StartRoom) -> None:
        """By q (RFC 3261 §8.1.3.4): nobody is there for TLS nor TCP, and a telephone is nothing for this version."""
        room = await start_room("answer", "-rtp_echo")
        contacts = f"<sips:a@{room.host}>;q=1.0, <tel:113>;q=0.9, <{room.uri};transport=tcp>;q=0.8"
        nowhere = f"<sip:a@{room.host}:9>;q=0.1"
        first = await start_room(
            "refuse", status="300 Multiple Choices", extra=f"Contact: {contacts}, {nowhere}, <{room.uri}>;q=0.5"
        )
        assert (await line.call(first.uri, duration_seconds=0.3)).result.outcome is Outcome.REACHED
        assert await room.is_content()

    async def test_a_redirect_in_a_circle_ends(
        self, line: Line, start_room: StartRoom, host: str, free_udp_port: FreePort
    ) -> None:
        """The second room sends us back to the first, who was asked already (§8.1.3.4)."""
        ports = free_udp_port(host), free_udp_port(host)
        rooms = [
            await start_room(
                "refuse", port=own, status="302 Moved Temporarily", extra=f"Contact: <sip:room@{host}:{other}>"
            )
            for own, other in (ports, ports[::-1])
        ]
        result = (await line.call(rooms[0].uri)).result
        assert (result.outcome, result.reason) == (Outcome.UNAVAILABLE, "redirected")
        assert [await room.is_content() for room in rooms] == [True, True]
        assert await line.is_idle()

    async def test_redirects_without_end_are_followed_three_times(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("redirect_onwards", calls=4)
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.UNAVAILABLE, "redirected", Grade.FAILED)
        assert result.sip.status == 302
        assert await room.is_content()
        assert room.methods() == ["INVITE", "ACK"] * 4
        assert await line.is_idle()

    async def test_a_room_that_redirects_to_itself_is_asked_once(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("redirect_to_itself")
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason) == (Outcome.UNAVAILABLE, "redirected")
        assert await room.is_content()

    async def test_a_redirect_to_a_name_without_address_says_so(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("refuse", status="301 Moved Permanently", extra="Contact: <sip:room@moved.invalid>")
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason) == (Outcome.NAME_NOT_FOUND, "no_such_name")
        assert await room.is_content()
        assert await line.is_idle()

    async def test_a_room_that_rang_before_the_redirect_did_not_ring_after_it(
        self, line: Line, start_room: StartRoom
    ) -> None:
        """Silence of the second address is silence, whatever the first one did."""
        silent = await start_room("silent")
        first = await start_room("ring_and_redirect", contact=silent.uri)
        result = (await line.call(first.uri, answer_timeout_seconds=0.6)).result
        assert (result.outcome, result.reason) == (Outcome.TIMEOUT, None)
        assert result.phases["ringing"] is not None


class TestUselessAnswers:
    """A 200 that we can't use is acknowledged all the same, and the call is ended at once (§13.2.2.4)."""

    @pytest.mark.parametrize(
        ("sdp", "outcome", "reason"),
        [
            ("this is no session description", Outcome.PROTOCOL_ERROR, "malformed"),
            (description("{host}", "0"), Outcome.NOT_ACCEPTABLE, "media_rejected"),
            (
                description("{host}", "{port}", "a=rtpmap:18 G729/8000", formats="18"),
                Outcome.WRONG_CODEC,
                "wrong_codec",
            ),
            (description("{host}", "{port}", "a=inactive"), Outcome.NOT_ACCEPTABLE, "media_rejected"),
            (description("0.0.0.0", "{port}"), Outcome.NOT_ACCEPTABLE, "media_rejected"),
            (description("room.invalid", "{port}"), Outcome.PROTOCOL_ERROR, "media_address"),
            (description("{host}", "65535"), Outcome.PROTOCOL_ERROR, "malformed"),
            (description("{host}", "{port}").replace("m=audio", "m=video"), Outcome.NOT_ACCEPTABLE, "no_audio"),
        ],
    )
    async def test_the_call_is_ended_and_the_reason_told(
        self, line: Line, start_room: StartRoom, sdp: str, outcome: Outcome, reason: str
    ) -> None:
        room = await start_room("answer", sdp=sdp)
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason, result.grade) == (outcome, reason, Grade.FAILED)
        assert result.media == ()
        assert await room.is_content()
        assert line.methods() == ["INVITE", "ACK", "BYE"]
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "confirmed", "closed"]

    async def test_the_answer_is_kept_as_evidence(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("answer", sdp="this is no session description")
        evidence = (await line.call(room.uri)).evidence
        assert evidence.answer.startswith("this is no session description")
        assert "m=audio" in evidence.offer


class TestMalformedSip:
    async def test_an_answer_that_can_t_be_read_is_ended_as_far_as_it_can_be_read(
        self, line: Line, start_room: StartRoom
    ) -> None:
        """The room believes that the call is up: it gets its ACK and its BYE."""
        room = await start_room("malformed_answer")
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.grade) == (Outcome.PROTOCOL_ERROR, Grade.FAILED)
        assert "quoted string" in result.reason
        assert await room.is_content()
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "closed"]

    async def test_what_is_no_sip_is_a_protocol_error(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("garbage")
        finished = await line.call(room.uri, answer_timeout_seconds=1.0)
        assert finished.result.outcome is Outcome.PROTOCOL_ERROR
        assert "HTTP/1.1 426 Upgrade Required" in [step.start_line for step in finished.evidence.ladder]


class TestNobodyThere:
    async def test_a_port_that_nobody_listens_at_is_unreachable(
        self, line: Line, host: str, free_udp_port: FreePort
    ) -> None:
        """The kernel answers with ICMP port unreachable: known within a moment, not after 32 s."""
        finished = await line.call(f"sip:room@{host}:{free_udp_port(host)}")
        result = finished.result
        assert (result.outcome, result.reason, result.grade) == (Outcome.UNREACHABLE, "icmp", Grade.FAILED)
        assert result.duration_seconds < 5.0
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "closed"]

    async def test_a_name_without_address_is_not_called(self, line: Line) -> None:
        result = (await line.call("sip:room@nobody.invalid")).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.NAME_NOT_FOUND, "no_such_name", Grade.FAILED)
        assert result.call_id is None
        assert line.log == []

"""However a call goes on, it ends: nobody answers, the answer comes late, the room hangs up, BYE meets nothing."""

from __future__ import annotations

import pytest

from bridge_monitor.domain import Grade, Outcome
from tests.interop.rigs import Line, StartRoom, description

pytestmark = pytest.mark.peer("sipp")


class TestNobodyAnswers:
    async def test_a_room_that_rings_only_is_untested_and_gets_its_cancel(
        self, line: Line, start_room: StartRoom
    ) -> None:
        """180, nothing for the profile's answer time, then CANCEL, 487 and ACK."""
        room = await start_room("ring_only")
        result = (await line.call(room.uri, answer_timeout_seconds=0.6)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.NO_ANSWER, "rings", Grade.UNTESTED)
        assert result.sip.status == 180
        assert (result.phases["ringing"] is not None, result.phases["answer"]) == (True, None)
        assert result.duration_seconds >= 0.55
        assert await room.is_content()
        assert room.methods() == ["INVITE", "CANCEL", "ACK"]
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "closed"]

    async def test_a_server_that_tries_only_is_a_timeout(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("try_only")
        result = (await line.call(room.uri, answer_timeout_seconds=0.6)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.TIMEOUT, None, Grade.FAILED)
        assert result.phases["trying"] is not None
        assert await room.is_content()
        assert "CANCEL" in line.methods()
        assert await line.is_idle()

    async def test_silence_is_a_timeout_and_gets_no_cancel(self, line: Line, start_room: StartRoom) -> None:
        """A CANCEL before any provisional response is forbidden (§9.1); the INVITE was repeated (timer A)."""
        room = await start_room("silent")
        result = (await line.call(room.uri, answer_timeout_seconds=0.8)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.TIMEOUT, None, Grade.FAILED)
        assert line.open_calls == (result.call_id,), "its transaction lives on to timer B"
        assert line.journal.of(result.call_id) == ["opened"]
        assert line.methods() == ["INVITE"]
        assert len(line.sent()) >= 2
        assert await room.is_content()
        assert room.methods() == ["INVITE"]

    async def test_a_room_that_rings_late_gets_its_cancel_then(self, line: Line, start_room: StartRoom) -> None:
        """The result is there already; the CANCEL goes out as soon as it may."""
        room = await start_room("ring_late")
        result = (await line.call(room.uri, answer_timeout_seconds=0.6)).result
        assert result.outcome is Outcome.TIMEOUT
        assert await room.is_content()
        assert room.methods() == ["INVITE", "CANCEL", "ACK"]
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "closed"]


class TestLateAnswers:
    async def test_an_answer_that_crosses_our_cancel_is_acknowledged_and_ended(
        self, line: Line, start_room: StartRoom
    ) -> None:
        room = await start_room("cross_cancel")
        result = (await line.call(room.uri, answer_timeout_seconds=0.5)).result
        assert (result.outcome, result.grade) == (Outcome.NO_ANSWER, Grade.UNTESTED)
        assert await room.is_content()
        assert room.methods() == ["INVITE", "CANCEL", "ACK", "BYE"]
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "closed"]

    async def test_an_answer_after_the_silence_is_acknowledged_and_ended(
        self, line: Line, start_room: StartRoom
    ) -> None:
        """Silence is judged after the answer time, while the transaction lives on to timer B."""
        room = await start_room("answer_late")
        result = (await line.call(room.uri, answer_timeout_seconds=0.6)).result
        assert (result.outcome, result.media) == (Outcome.TIMEOUT, ())
        assert await room.is_content()
        assert room.methods() == ["INVITE", "ACK", "BYE"]
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "closed"]


class TestOrder:
    async def test_the_dialog_is_journalled_before_its_ack(self, line: Line, start_room: StartRoom) -> None:
        """Whoever comes after us must know of every call that is up (DESIGN rule 4)."""
        room = await start_room("answer", "-rtp_echo")
        result = (await line.call(room.uri, duration_seconds=0.3)).result
        assert await line.is_idle()
        ok = "< SIP/2.0 200 OK"
        invite, ack, bye = (f"> {method} {room.uri} SIP/2.0" for method in ("INVITE", "ACK", "BYE"))
        assert line.log.index("opened") < line.log.index(ok) < line.log.index("confirmed") < line.log.index(ack)
        assert line.log[-3:] == [bye, ok, "closed"]
        assert invite in line.log
        assert line.journal.of(result.call_id) == ["opened", "confirmed", "closed"]

    async def test_an_answer_is_repeated_until_its_ack_and_each_gets_one(
        self, line: Line, start_room: StartRoom
    ) -> None:
        """Our journal is slow: sipp sends its 200 again after 500 ms (§13.2.2.4), and the loop's lag is told."""
        line.watch_lag()
        line.journal.seconds = 0.7
        room = await start_room("answer", "-rtp_echo")
        result = (await line.call(room.uri, duration_seconds=0.3)).result
        assert (result.outcome, result.invalid) == (Outcome.REACHED, ("loop_lag",))
        assert await room.is_content()
        answers = line.log.count("< SIP/2.0 200 OK") - 1  # one is the BYE's
        assert answers >= 2
        assert sum(text.startswith("ACK ") for text in line.sent()) == answers, line.log

    async def test_a_lossy_line_delays_a_call_and_leaves_none_up(self, line: Line, start_room: StartRoom) -> None:
        """A quarter of all SIP messages is lost at the room's side, each way."""
        room = await start_room("answer", "-rtp_echo", "-lost", "25")
        result = (await line.call(room.uri, duration_seconds=0.3, answer_timeout_seconds=25.0)).result
        assert result.outcome is Outcome.REACHED
        assert await line.is_idle(40.0)
        assert line.journal.of(result.call_id) == ["opened", "confirmed", "closed"]


class TestBye:
    async def test_a_bye_without_answer_is_noted_and_does_not_spoil_the_call(
        self, line: Line, start_room: StartRoom
    ) -> None:
        """The result comes after 4 s; the BYE is repeated until timer F all the same."""
        room = await start_room("ignore_bye", "-rtp_echo")
        result = (await line.call(room.uri, duration_seconds=0.3)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, "bye_unanswered", Grade.GOOD)
        assert result.phases["bye"] is None
        assert line.open_calls == (result.call_id,)
        assert len([text for text in line.sent() if text.startswith("BYE ")]) == 4
        assert line.journal.of(result.call_id) == ["opened", "confirmed"]

    async def test_a_room_that_is_gone_at_the_bye_is_the_same(self, line: Line, start_room: StartRoom) -> None:
        """ICMP says so at once: nothing is left to end."""
        room = await start_room("vanish", "-rtp_echo")
        result = (await line.call(room.uri, duration_seconds=1.0)).result
        assert (result.outcome, result.reason) == (Outcome.REACHED, "bye_unanswered")
        assert await room.is_content()
        assert await line.is_idle(5.0)
        assert line.journal.of(result.call_id) == ["opened", "confirmed", "closed"]

    async def test_a_room_that_hangs_up_is_degraded_and_gets_no_bye(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("hang_up", "-rtp_echo", milliseconds="600")
        result = (await line.call(room.uri, duration_seconds=5.0)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, "hung_up", Grade.DEGRADED)
        (media,) = result.media
        assert 0 < media.round_trip.packets_sent < 250
        assert media.round_trip.packets_lost <= 3  # on their way when it hung up
        assert await room.is_content()
        assert line.methods() == ["INVITE", "ACK"]
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "confirmed", "closed"]


class TestInsideTheCall:
    async def test_what_the_room_asks_inside_the_call_is_answered(self, line: Line, start_room: StartRoom) -> None:
        """INFO, OPTIONS, UPDATE and re-INVITE get 200, a session without audio 488, the unknown 501; media go on."""
        again = description("{host}", "{port}", "a=rtpmap:0 PCMU/8000").replace(" 1 1 IN", " 1 2 IN")
        video = description("{host}", "{port}").replace("m=audio", "m=video").replace(" 1 1 IN", " 1 3 IN")
        room = await start_room("ask_inside", "-rtp_echo", sdp_again=again, sdp_video=video)
        result = (await line.call(room.uri, duration_seconds=1.5)).result
        assert (result.outcome, result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert await room.is_content()
        assert await line.is_idle()
        (media,) = result.media
        assert media.round_trip.packets_received == 75

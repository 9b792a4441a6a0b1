"""The course of one call, where it goes wrong on our side or in an order that a real peer can't be made to take."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from bridge_monitor.domain import Advisory, Grade, Outcome, Target
from bridge_monitor.errors import LocalFaultError
from bridge_monitor.probes.call import LAG_LIMIT_SECONDS, SipCall
from bridge_monitor.probes.profile import Profile, Route
from bridge_monitor.probes.shapes import CallSite, Equipment, refused
from bridge_monitor.probes.story import PHASES
from bridge_monitor.quality import LossCount, Thresholds
from tests.interop.rigs import Line
from tests.probes.rooms import Room, header


def raising(error: Exception) -> Callable[..., NoReturn]:
    """Return a function that fails."""

    def fail(*_arguments: object) -> NoReturn:
        raise error

    return fail


def site_of(uri: str, thresholds: Thresholds | None = None, **facts: Any) -> CallSite:
    """Return a site that is called for a moment."""
    profile = Profile("short", duration_seconds=0.3)
    return CallSite(Target("00001", uri), profile, Route(), thresholds or Thresholds(), **facts)


class TestResult:
    async def test_it_says_who_was_called_how_and_from_where(self, line: Line, room: Room) -> None:
        room.answers()
        equipment = Equipment(line.stack, line.engine, line.journal, line.equipment.lag, vantage="hue")
        finished = await SipCall(site_of(room.uri), equipment).run()
        result = finished.result
        assert (result.target, result.kind, result.profile, result.vantage) == (
            Target("00001", room.uri),
            "sip",
            "short",
            "hue",
        )
        assert (result.outcome, result.grade, result.invalid) == (Outcome.REACHED, Grade.GOOD, ())
        assert finished.evidence.result_id == result.id
        assert finished.evidence.site == "00001"
        assert result.call_id in room.requests[0]
        assert tuple(result.phases) == PHASES
        assert finished.packets == ()

    async def test_the_ladder_holds_every_message_of_the_call_in_order(self, line: Line, room: Room) -> None:
        room.answers()
        finished = await line.call(room.uri, duration_seconds=0.2)
        steps = finished.evidence.ladder
        assert [(step.sent, step.start_line.split()[0]) for step in steps] == [
            (True, "INVITE"),
            (False, "SIP/2.0"),
            (True, "ACK"),
            (True, "BYE"),
            (False, "SIP/2.0"),
        ]
        assert [step.at_seconds for step in steps] == sorted(step.at_seconds for step in steps)

    async def test_the_packets_are_kept_if_asked_for(self, line: Line, room: Room) -> None:
        room.answers()
        finished = await line.call(room.uri, duration_seconds=0.2, capture=True)
        assert sum(packet.sent and not packet.rtcp for packet in finished.packets) == 10
        assert sum(not packet.sent and not packet.rtcp for packet in finished.packets) == 10

    async def test_the_limits_of_the_site_s_tier_grade_it(self, line: Line, room: Room) -> None:
        """It answers at once, and that is already too slow."""
        room.answers()
        site = site_of(room.uri, Thresholds(setup_degraded_seconds=1e-9))
        result = (await SipCall(site, line.equipment).run()).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, "slow_answer", Grade.DEGRADED)

    @pytest.mark.parametrize(
        ("earlier", "expected"),
        [((), (None, Grade.GOOD)), ((LossCount("audio", "round_trip", 90, 1000),), ("loss", Grade.FAILED))],
        ids=["alone it proves nothing", "after many it is one of them"],
    )
    async def test_a_lost_packet_counts_with_those_of_earlier_calls(
        self, line: Line, room: Room, earlier: tuple[LossCount, ...], expected: tuple[str | None, Grade]
    ) -> None:
        room.answers()
        room.echo.lost = {7}
        result = (await SipCall(site_of(room.uri, earlier=earlier), line.equipment).run()).result
        assert (result.outcome, result.media[0].round_trip.packets_lost) == (Outcome.REACHED, 1)
        assert (result.reason, result.grade) == expected

    async def test_a_name_in_the_answer_is_looked_up(self, line: Line, room: Room) -> None:
        """RFC 8866 §5.7 allows one where most rooms write an address."""
        room.answers(sdp=room.sdp(host="localhost"))
        result = (await line.call(room.uri, duration_seconds=0.2)).result
        assert result.outcome is Outcome.REACHED

    async def test_a_call_that_was_not_placed_has_a_result_too(self) -> None:
        finished = refused(site_of("sip:room@127.0.0.1"), "quiet_hours", vantage="centre")
        result = finished.result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REFUSED, "quiet_hours", Grade.UNTESTED)
        assert (result.call_id, result.duration_seconds, set(result.phases.values())) == (None, 0.0, {None})
        assert finished.evidence.ladder == ()


class TestAdvice:
    @pytest.fixture
    def noisy(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> Room:
        """A room that answers each packet of ours with comfort noise, unasked (RFC 3389), of −127 dBov."""

        def answer(data: bytes, addr: tuple[str, int]) -> None:
            room.echo._transport.sendto(b"\x80\x0d" + data[2:8] + b"\0\0\0\1\x7f", addr)

        monkeypatch.setattr(room.echo, "datagram_received", answer)
        monkeypatch.setattr("bridge_monitor.probes.advice.HEARD_FOR_SECONDS", 0.1)
        room.answers()
        return room

    async def test_a_room_that_sends_nothing_but_comfort_noise_is_heard_and_silent(
        self, line: Line, noisy: Room
    ) -> None:
        call = line.calling(noisy.uri, duration_seconds=30.0)
        await line.until(lambda: line.engine.stats().rtp_received > 10)
        invite = noisy.requests[0]
        contact = re.search(r"@([\d.]+):(\d+)", header(invite, "Contact"))
        assert contact
        noisy.send(noisy.request(invite, "BYE"), (contact[1], int(contact[2])))
        result = (await call).result
        assert (result.outcome, result.reason, result.advisories) == (
            Outcome.REACHED,
            "hung_up",
            (Advisory.SILENT_ROOM,),
        )
        assert result.media[0].audio_level_dbov == -127

    async def test_an_invalid_measurement_advises_of_nothing(self, line: Line, noisy: Room) -> None:
        """What this machine spoilt says nothing of the room."""
        call = line.calling(noisy.uri, duration_seconds=30.0)
        await line.until(lambda: line.engine.stats().rtp_received > 10)
        line.equipment.lag.note(line.equipment.now(), LAG_LIMIT_SECONDS + 0.1)
        call.cancel()
        result = (await call).result
        assert (result.invalid, result.advisories) == (("loop_lag",), ())
        assert result.media[0].audio_level_dbov == -127


class TestOurFault:
    async def test_without_a_free_row_nobody_is_called(self, line: Line, room: Room) -> None:
        held = [line.engine.reserve("127.0.0.1") for _ in range(16)]
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason, result.grade) == (
            Outcome.LOCAL_FAULT,
            "ports_exhausted",
            Grade.INVALID,
        )
        assert result.invalid == ("ports_exhausted",)
        assert room.requests == []
        for leg in held:
            line.engine.release(leg)

    async def test_a_loop_that_was_late_makes_the_measurement_invalid(self, line: Line, room: Room) -> None:
        room.answers()
        call = line.calling(room.uri, duration_seconds=0.2)
        await room.until_it_has("ACK")
        line.equipment.lag.note(line.equipment.now(), LAG_LIMIT_SECONDS + 0.1)
        result = (await call).result
        assert (result.outcome, result.grade, result.invalid) == (Outcome.REACHED, Grade.INVALID, ("loop_lag",))

    async def test_answers_that_our_own_socket_may_have_dropped_make_it_invalid(self, line: Line, room: Room) -> None:
        room.answers()
        call = line.calling(room.uri, duration_seconds=0.2)
        await room.until_it_has("ACK")
        line.stack.towards(("127.0.0.1", 9)).overflowed_at = line.equipment.now()
        result = (await call).result
        assert (result.outcome, result.grade, result.invalid) == (Outcome.REACHED, Grade.INVALID, ("socket_overflow",))

    async def test_a_call_that_left_the_grade_open_stays_untested(self, line: Line, room: Room) -> None:
        """Nobody answered, and the loop was late: there is no figure that could be wrong."""
        room.script["INVITE"] = lambda request: [room.response(request, "180 Ringing")]
        call = line.calling(room.uri, answer_timeout_seconds=0.3)
        await room.until_it_has("INVITE")
        line.equipment.lag.note(line.equipment.now(), LAG_LIMIT_SECONDS + 0.1)
        result = (await call).result
        assert (result.outcome, result.grade, result.invalid) == (Outcome.NO_ANSWER, Grade.UNTESTED, ("loop_lag",))

    async def test_a_journal_that_fails_before_the_call_takes_it_back(
        self, line: Line, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody could end it after us: the INVITE is taken back as soon as it may be."""
        room.script["INVITE"] = lambda request: [room.response(request, "180 Ringing")]
        room.script["CANCEL"] = lambda request: [
            room.response(request, "200 OK"),
            room.response(request, "487 Request Terminated", cseq="1 INVITE"),
        ]
        monkeypatch.setattr(line.journal, "opened", raising(LocalFaultError("disk full")))
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.LOCAL_FAULT, "no_way_out", Grade.INVALID)
        assert await line.is_idle()
        await room.until_it_has("ACK")
        assert room.methods == ["INVITE", "CANCEL", "ACK"]

    async def test_a_journal_that_fails_at_the_answer_ends_the_call(
        self, line: Line, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        room.answers()
        monkeypatch.setattr(line.journal, "confirmed", raising(LocalFaultError("disk full")))
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.grade, result.media) == (Outcome.LOCAL_FAULT, Grade.INVALID, ())
        assert await line.is_idle()
        assert room.methods == ["INVITE", "ACK", "BYE"]

    async def test_a_bug_of_ours_is_told_and_leaves_no_call_up(
        self, line: Line, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        room.answers()
        monkeypatch.setattr(line.engine, "begin", raising(ZeroDivisionError("a bug")))
        with pytest.raises(ZeroDivisionError):
            await line.call(room.uri)
        assert await line.is_idle()
        assert room.methods == ["INVITE", "ACK", "BYE"]
        assert line.engine.stats().rows_up == 0

    async def test_a_bug_before_anything_was_sent_is_told_as_well(
        self, line: Line, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(line.engine, "reserve", raising(ZeroDivisionError("a bug")))
        with pytest.raises(ZeroDivisionError):
            await line.call(room.uri)
        assert room.requests == []

    async def test_a_call_without_a_verdict_would_be_our_fault(
        self, line: Line, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It can't be; were it, no room would be accused."""

        async def nothing(_call: SipCall) -> None:
            await asyncio.sleep(0)

        monkeypatch.setattr(SipCall, "_place", nothing)
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.LOCAL_FAULT, "no_verdict", Grade.INVALID)


class TestConcurrency:
    async def test_calls_at_once_keep_their_packets_apart(self, line: Line, room: Room) -> None:
        """Eight calls to one address: each echo is its own call's."""
        room.answers()
        finished = await asyncio.gather(*(line.call(room.uri, duration_seconds=0.5) for _ in range(8)))
        counts = [one.result.media[0].round_trip for one in finished]
        assert {(count.packets_sent, count.packets_received) for count in counts} == {(25, 25)}
        assert len({one.result.call_id for one in finished}) == 8
        assert await line.is_idle()

"""Cancelled in any phase, a call still ends properly and gives its result; likewise when the media engine dies."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import select
import signal
import socket

import pytest

from bridge_monitor.domain import Grade, Outcome
from bridge_monitor.net.dns_client import DnsSettings
from bridge_monitor.net.names import Names
from tests.interop.rigs import Line, StartRoom

pytestmark = pytest.mark.peer("sipp")


class TestCancelled:
    async def test_while_nothing_was_answered_yet_the_cancel_waits_for_a_provisional(
        self, line: Line, start_room: StartRoom
    ) -> None:
        """The result is there after 2 s at most; the CANCEL goes out when the room rings."""
        room = await start_room("ring_late")
        call = line.calling(room.uri)
        await room.until_it_has_received("INVITE")
        call.cancel()
        result = (await call).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.CANCELLED, None, Grade.UNTESTED)
        assert await room.is_content()
        assert room.methods() == ["INVITE", "CANCEL", "ACK"]
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "closed"]

    @pytest.mark.parametrize(("scenario", "phase"), [("try_only", "trying"), ("ring_only", "ringing")])
    async def test_while_it_is_tried_or_rings_the_room_gets_cancel(
        self, line: Line, start_room: StartRoom, scenario: str, phase: str
    ) -> None:
        room = await start_room(scenario)
        call = line.calling(room.uri)
        await line.until(lambda: any(text.startswith("< SIP/2.0 1") for text in line.log))
        call.cancel()
        result = (await call).result
        assert (result.outcome, result.grade) == (Outcome.CANCELLED, Grade.UNTESTED)
        assert result.phases[phase] is not None
        assert await room.is_content()
        assert room.methods() == ["INVITE", "CANCEL", "ACK"]
        assert await line.is_idle()

    async def test_in_the_conversation_the_room_gets_bye(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("answer", "-rtp_echo")
        call = line.calling(room.uri, duration_seconds=30.0)
        await line.until(lambda: line.engine.stats().rtp_received > 5)
        call.cancel()
        result = (await call).result
        assert (result.outcome, result.grade) == (Outcome.CANCELLED, Grade.UNTESTED)
        # What was measured until then is told: whoever pressed Ctrl-C wants to see it.
        assert result.media[0].inbound is not None
        assert result.media[0].inbound.packets_received > 5
        assert await room.is_content()
        assert room.methods() == ["INVITE", "ACK", "BYE"]
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "confirmed", "closed"]
        await line.until(lambda: line.engine.stats().rows_up == 0)

    async def test_while_the_bye_waits_for_its_answer_there_is_no_second_one(
        self, line: Line, start_room: StartRoom
    ) -> None:
        room = await start_room("ignore_bye", "-rtp_echo")
        call = line.calling(room.uri, duration_seconds=0.2)
        await line.until_phase("bye")
        call.cancel()
        result = (await call).result
        assert result.outcome is Outcome.CANCELLED
        byes = {message for message in room.messages().split("-" * 30) if "\nBYE " in message}
        assert len({text for message in byes for text in message.splitlines() if text.startswith("Via:")}) == 1

    async def test_before_anything_was_sent_nothing_is(self, line: Line) -> None:
        """While the name is looked up nobody was called, so nobody has to be told."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            line.equipment = dataclasses.replace(line.equipment, names=Names(DnsSettings((deaf.getsockname(),))))
            call = line.calling("sip:room@hue.example")
            await line.until(lambda: bool(select.select([deaf], [], [], 0)[0]))
            assert line.phases == ["resolve"]
            call.cancel()
            result = (await call).result
        assert (result.outcome, result.call_id) == (Outcome.CANCELLED, None)
        assert line.log == []

    async def test_a_wait_with_a_limit_gets_the_result_of_the_cancelled_call(
        self, line: Line, start_room: StartRoom
    ) -> None:
        """The task counts as not cancelled afterwards: what was asked of it is done."""
        room = await start_room("ring_only")
        call = line.calling(room.uri)
        await line.until(lambda: "< SIP/2.0 180 Ringing" in line.log)
        call.cancel()
        await asyncio.wait({call}, timeout=10.0)
        assert call.done()
        assert not call.cancelled()
        assert call.cancelling() == 0
        assert await line.is_idle()


class TestMediaEngineDies:
    async def test_its_calls_are_our_fault_and_get_bye(self, line: Line, start_room: StartRoom) -> None:
        """Killed in the middle: `local_fault`, invalid, BYE at the room; the next call finds a new engine."""
        room = await start_room("answer", "-rtp_echo", calls=2)
        call = line.calling(room.uri, duration_seconds=30.0)
        await line.until(lambda: line.engine.stats().rtp_received > 5)
        victim = line.engine.pid
        os.kill(victim, signal.SIGKILL)
        result = (await call).result
        assert (result.outcome, result.reason, result.grade) == (
            Outcome.LOCAL_FAULT,
            "media_engine_died",
            Grade.INVALID,
        )
        assert result.invalid == ("media_engine_died",)
        assert await line.is_idle()
        assert room.methods() == ["INVITE", "ACK", "BYE"]
        assert line.journal.of(result.call_id) == ["opened", "confirmed", "closed"]
        await line.until(lambda: line.engine.pid not in (None, victim))
        again = (await line.call(room.uri, duration_seconds=0.3)).result
        assert (again.outcome, again.grade) == (Outcome.REACHED, Grade.GOOD)
        assert await room.is_content()

    async def test_a_call_that_begins_while_there_is_none_is_not_placed(
        self, line: Line, start_room: StartRoom
    ) -> None:
        room = await start_room("silent")
        os.kill(line.engine.pid, signal.SIGKILL)
        await line.until(lambda: line.engine.pid is None)
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason, result.grade) == (
            Outcome.LOCAL_FAULT,
            "media_engine_died",
            Grade.INVALID,
        )
        assert line.log == []
        assert room.received() == []

"""OPTIONS (RFC 3261 §11): line and SIP are alive, and no more is said."""

from __future__ import annotations

import pytest

from bridge_monitor.domain import Grade, Outcome
from tests.interop.rigs import Line, StartRoom

pytestmark = pytest.mark.peer("sipp")
OPTIONS = "sip-options"


@pytest.mark.parametrize("status", ["200 OK", "486 Busy Here", "405 Method Not Allowed"])
async def test_any_answer_is_reached_and_leaves_the_media_untested(
    line: Line, start_room: StartRoom, status: str
) -> None:
    """OPTIONS to a busy room rightly gets 486 (§11.2)."""
    room = await start_room("options", status=status)
    result = (await line.call(room.uri, kind=OPTIONS)).result
    assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, "options_only", Grade.UNTESTED)
    assert (result.kind, f"{result.sip.status} {result.sip.reason}") == (OPTIONS, status)
    assert result.phases["answer"] is not None
    assert result.media == ()
    assert await room.is_content()
    assert line.methods() == ["OPTIONS"]
    assert line.journal.entries == []


async def test_silence_is_a_timeout(line: Line, start_room: StartRoom) -> None:
    room = await start_room("options_silent")
    result = (await line.call(room.uri, kind=OPTIONS, answer_timeout_seconds=0.7)).result
    assert (result.outcome, result.grade) == (Outcome.TIMEOUT, Grade.FAILED)
    assert await room.is_content()
    assert len(line.sent()) >= 2, "it was not repeated (timer E)"


async def test_a_closed_port_is_unreachable(line: Line, host: str) -> None:
    result = (await line.call(f"sip:room@{host}:9", kind=OPTIONS)).result
    assert (result.outcome, result.reason) == (Outcome.UNREACHABLE, "icmp")


async def test_an_answer_that_can_t_be_read_is_a_protocol_error(line: Line, start_room: StartRoom) -> None:
    room = await start_room("options_malformed")
    result = (await line.call(room.uri, kind=OPTIONS)).result
    assert (result.outcome, result.grade) == (Outcome.PROTOCOL_ERROR, Grade.FAILED)
    assert "CSeq" in result.reason
    assert await room.is_content()


async def test_one_that_is_cancelled_says_so(line: Line, start_room: StartRoom) -> None:
    room = await start_room("options_silent")
    call = line.calling(room.uri, kind=OPTIONS)
    await room.until_it_has_received("OPTIONS")
    call.cancel()
    result = (await call).result
    assert (result.outcome, result.grade) == (Outcome.CANCELLED, Grade.UNTESTED)
    assert line.methods() == ["OPTIONS"]

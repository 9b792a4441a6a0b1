"""Calls with video to rooms written by hand: both streams, rooms without a picture, and every end."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from bridge_monitor.domain import Advisory, Grade, MediaMode, Outcome, ProbeResult
from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net.testcard import Card
from bridge_monitor.probes import legs
from bridge_monitor.probes.shapes import Finished
from tests.interop.rigs import Line
from tests.probes.rooms import Room, header

VIDEO = {"video_bps": 256_000, "video_fps": 10, "duration_seconds": 0.8}


async def call(line: Line, room: Room, **wishes: Any) -> Finished:
    return await line.call(room.uri, **{**VIDEO, **wishes})


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legs, "VIDEO_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr("bridge_monitor.probes.advice.HEARD_FOR_SECONDS", 0.7)


class TestBothStreams:
    async def test_a_call_has_a_result_of_each_stream(self, line: Line, room: Room) -> None:
        """Audio and video run side by side; each frame of the card comes back whole."""
        room.answers(sdp=room.sdp_with_video())
        finished = await call(line, room, capture=True)
        result = finished.result
        assert (result.outcome, result.grade, result.reason, result.invalid) == (Outcome.REACHED, Grade.GOOD, None, ())
        assert result.advisories == ()
        audio, video = result.media
        assert (audio.kind, audio.codec, audio.mode) == ("audio", "PCMU", MediaMode.ECHO)
        assert (video.kind, video.codec, video.mode) == ("video", "H264", MediaMode.ECHO)
        assert (video.frames_expected, video.frames_lost) == (8, 0)
        assert video.frame_rate == pytest.approx(10.0)
        assert (video.r_factor, video.mos, audio.frames_expected) == (None, None, None)
        assert finished.video is not None
        sent = [packet for packet in finished.packets if packet.sent and not packet.rtcp]
        types = {packet.data[1] & 0x7F for packet in sent}
        assert types == {0, 99}
        moments = [packet.time_ns for packet in finished.packets]
        assert moments == sorted(moments)

    async def test_the_offer_names_the_video_s_rate_and_port(self, line: Line, room: Room) -> None:
        room.answers(sdp=room.sdp_with_video())
        await call(line, room, duration_seconds=0.2)
        assert "b=AS:256\r\n" in room.requests[0]
        assert "a=rtpmap:96 H264/90000\r\n" in room.requests[0]

    async def test_loss_of_video_alone_is_the_line_s(self, line: Line, room: Room) -> None:
        """Graded by the limits of all streams: so much is beyond doubt, bursts or not."""
        room.answers(sdp=room.sdp_with_video())
        room.video_echo.lost = set(range(2, 400, 2))
        result = (await call(line, room, duration_seconds=2.2)).result
        audio, video = result.media
        assert (result.outcome, result.grade, result.reason) == (Outcome.REACHED, Grade.FAILED, "loss")
        assert audio.round_trip.packets_lost == 0
        assert video.round_trip.loss_ratio == pytest.approx(0.5, abs=0.05)
        assert video.frames_lost > 10


class TestRoomsWithoutPicture:
    @pytest.mark.parametrize(
        "wishes",
        [{"port": 0}, {"mode": 0}, {"host": "0.0.0.0"}, {"host": "no-such-host.invalid"}],
        ids=["refused", "another mode", "on hold", "no such name"],
    )
    async def test_video_turned_down_is_an_advisory_and_no_failure(
        self, line: Line, room: Room, wishes: dict[str, Any]
    ) -> None:
        room.answers(sdp=room.sdp_with_video(**wishes))
        result = (await call(line, room)).result
        assert (result.outcome, result.grade, result.advisories) == (
            Outcome.REACHED,
            Grade.GOOD,
            (Advisory.NO_VIDEO,),
        )
        assert [stream.kind for stream in result.media] == ["audio"]

    @pytest.mark.parametrize("direction", ["sendonly", "inactive"])
    async def test_nothing_is_sent_to_who_wants_no_picture(self, line: Line, room: Room, direction: str) -> None:
        room.answers(sdp=room.sdp_with_video(direction))
        result = (await call(line, room, duration_seconds=0.3)).result
        assert [stream.kind for stream in result.media] == ["audio"]
        assert room.video_echo._place == 0

    async def test_a_picture_that_nobody_looked_at_is_not_called_missing(self, line: Line, room: Room) -> None:
        """A room that sends and takes none: there is no row to count it, since none may be sent there."""
        room.answers(sdp=room.sdp_with_video("sendonly"))
        assert (await call(line, room)).result.advisories == ()

    async def test_a_room_that_only_knows_audio_answers_one_line(self, line: Line, room: Room) -> None:
        room.answers()
        result = (await call(line, room)).result
        assert (result.outcome, result.advisories) == (Outcome.REACHED, (Advisory.NO_VIDEO,))

    async def test_video_agreed_on_that_never_comes_is_an_advisory(self, line: Line, room: Room) -> None:
        """That the picture was lost on the line isn't known: no carrier is blamed."""
        room.answers(sdp=room.sdp_with_video())
        room.video_echo.lost = set(range(1, 10_000))
        result = (await call(line, room)).result
        assert (result.outcome, result.grade, result.advisories) == (
            Outcome.REACHED,
            Grade.GOOD,
            (Advisory.NO_VIDEO,),
        )
        assert result.media[1].outbound.packets_sent > 10
        assert (result.media[1].mode, result.media[1].frames_expected) == (None, None)

    async def test_a_short_call_says_nothing_of_the_picture(self, line: Line, room: Room) -> None:
        room.answers()
        assert (await call(line, room, duration_seconds=0.3)).result.advisories == ()


class TestChangesInTheCall:
    """RFC 3264 §8: a room may put its video off or elsewhere at any time."""

    @pytest.mark.parametrize(
        "change",
        [
            {"port": 0},
            {"direction": "inactive"},
            {"direction": "sendonly"},
            {"host": "0.0.0.0"},
            {"port": 9},
            {"number": 98},
        ],
        ids=["turned off", "inactive", "held", "held the old way", "another port", "another number"],
    )
    async def test_video_put_off_or_elsewhere_ends_and_is_held_against_nobody(
        self, line: Line, room: Room, change: dict[str, Any]
    ) -> None:
        change = dict(change)
        direction = change.pop("direction", "sendrecv")
        number = change.pop("number", 99)
        offer = re.sub(r"(?<=[ :])99(?=[ \r])", str(number), room.sdp_with_video(direction, **change))
        result, sent = await self.changed(line, room, offer)
        assert (result.outcome, result.grade, result.reason) == (Outcome.REACHED, Grade.GOOD, None)
        assert result.advisories == ()
        assert [stream.kind for stream in result.media] == ["audio"]
        assert sent < 40  # of some 120 packets in 2.2 s

    async def test_a_session_that_is_only_refreshed_goes_on(self, line: Line, room: Room) -> None:
        result, _ = await self.changed(line, room, room.sdp_with_video())
        assert [stream.kind for stream in result.media] == ["audio", "video"]
        assert result.media[1].frames_lost == 0

    async def changed(self, line: Line, room: Room, offer: str) -> tuple[ProbeResult, int]:
        """Have the room offer another session soon; return the result, and how many packets of video it got."""
        room.answers(sdp=room.sdp_with_video())
        task = line.calling(room.uri, **VIDEO)
        await line.until(lambda: room.video_echo._place > 10)
        invite = room.requests[0]
        peer = parsed_address(invite)
        room.send(room.request(invite, "INVITE", body=offer), peer)
        await room.until(lambda: any(": 1 INVITE" in answer for answer in room.responses))
        room.send(room.request(invite, "ACK"), peer)
        return (await task).result, room.video_echo._place


def parsed_address(invite: str) -> tuple[str, int]:
    """Return where the caller of an INVITE wants to be reached."""
    contact = re.search(r"@([0-9.]+):([0-9]+)", header(invite, "Contact"))
    assert contact
    return contact[1], int(contact[2])


class TestEnds:
    async def test_a_call_broken_off_tells_what_both_streams_had(self, line: Line, room: Room) -> None:
        room.answers(sdp=room.sdp_with_video())
        task = line.calling(room.uri, **{**VIDEO, "duration_seconds": 30.0})
        await line.until(lambda: room.video_echo._place > 20)
        task.cancel()
        result = (await task).result
        assert (result.outcome, result.advisories) == (Outcome.CANCELLED, ())
        assert [stream.kind for stream in result.media] == ["audio", "video"]
        assert line.engine.stats().rows_up == 0

    async def test_a_card_that_can_not_be_made_is_our_fault_before_anybody_is_called(
        self, line: Line, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> Card:
            raise LocalFaultError("no encoder")

        monkeypatch.setattr(line.equipment.cards, "_encode", fail)
        result = (await call(line, room, video_fps=11)).result
        assert (result.outcome, result.grade) == (Outcome.LOCAL_FAULT, Grade.INVALID)
        assert room.requests == []

    async def test_every_row_is_given_back(self, line: Line, room: Room) -> None:
        """Sixteen rows carry eight such calls at once, and again."""
        room.answers(sdp=room.sdp_with_video())
        for _ in range(2):
            calls = [line.calling(room.uri, **{**VIDEO, "duration_seconds": 0.3}) for _ in range(8)]
            outcomes = {finished.result.outcome for finished in await asyncio.gather(*calls)}
            assert outcomes == {Outcome.REACHED}

"""Rooms with a stream and reports of their own: baresip and linphone, as people really run them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bridge_monitor.domain import Grade, MediaMode, MediaResult, Outcome, RttSource
from bridge_monitor.net import testcard
from bridge_monitor.probes.cards import Cards
from bridge_monitor.probes.shapes import Finished
from tests.interop.rigs import BARESIP_CONTROL_PORT, Line, SoftClient

StartClient = Callable[..., Awaitable[SoftClient]]


def figures_of(log: str, figure: str) -> list[float]:
    """Return a figure of baresip's closing summary, sent and received, in its own unit."""
    found = re.search(rf"^{re.escape(figure)}: +([\d.]+) +([\d.]+)", log, re.MULTILINE)
    assert found, log
    return [float(found[1]), float(found[2])]


def assert_both_ways_were_measured(finished: Finished) -> MediaResult:
    """Each direction has its own count and loss; the delay is RTCP's."""
    (media,) = finished.result.media
    assert media.mode is MediaMode.RTCP
    assert media.round_trip is None
    assert (media.inbound.packets_lost, media.inbound.loss_ratio) == (0, 0.0)
    assert media.inbound.packets_received == media.inbound.packets_expected
    assert (media.outbound.packets_lost, media.outbound.loss_ratio) == (0, 0.0)
    assert media.outbound.packets_reported >= 0.9 * media.outbound.packets_sent
    assert media.rtt_seconds.source is RttSource.RTCP
    assert 0 <= media.rtt_seconds.min <= media.rtt_seconds.max < 1.0
    # What the client sent too late for a playout buffer, on a crowded machine, counts as lost in it.
    assert finished.stream.inbound.late or media.r_factor == pytest.approx(93.2, abs=0.05)
    return media


@pytest.mark.peer("baresip")
class TestBaresip:
    async def test_its_stream_and_its_reports_make_the_figures(self, line: Line, start_baresip: StartClient) -> None:
        """It reports every 5 s: the call goes on until a report covers what we sent (DESIGN rule 6).

        Its closing summary tells the same counts.
        """
        room = await start_baresip()
        finished = await line.call(room.uri, duration_seconds=2.0)
        result = finished.result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert (result.sip.status, result.phases["ringing"] is not None) == (200, True)
        media = assert_both_ways_were_measured(finished)
        assert media.codec == "PCMU"
        assert media.outbound.packets_sent == 100
        assert media.inbound.packets_received >= 100
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "confirmed", "closed"]
        await room.process.until(lambda: "avg. bitrate" in room.process.logs(), "sum up the call")
        sent, received = figures_of(room.process.logs(), "packets")
        assert received == 100
        # The first may come before we are ready, the last after we have hung up.
        assert 0 <= sent - media.inbound.packets_received <= 3
        assert figures_of(room.process.logs(), "lost") == [0, 0]

    async def test_it_hears_that_the_call_is_over(self, line: Line, start_baresip: StartClient) -> None:
        """Cancelled in the middle: a real room must be free again, not wait for its own time-out."""
        room = await start_baresip()
        call = line.calling(room.uri, duration_seconds=30.0)
        await line.until(lambda: line.engine.stats().rtp_received > 5)
        call.cancel()
        assert (await call).result.outcome is Outcome.CANCELLED
        await room.process.until(lambda: "session closed" in room.process.logs(), "end the call")
        assert await line.is_idle()

    async def test_it_answers_options(self, line: Line, start_baresip: StartClient) -> None:
        room = await start_baresip()
        result = (await line.call(room.uri, kind="sip-options")).result
        assert (result.outcome, result.reason, result.sip.status) == (Outcome.REACHED, "options_only", 200)


async def command_baresip(room: SoftClient, command: str, parameters: str) -> None:
    """Give baresip a command by its ctrl_tcp module: JSON in a netstring."""
    host = room.uri.rpartition("@")[2].partition(":")[0]
    reader, writer = await asyncio.open_connection(host, BARESIP_CONTROL_PORT)
    order = json.dumps({"command": command, "params": parameters, "token": "x"}).encode()
    writer.write(b"%d:%s," % (len(order), order))
    await writer.drain()
    assert b'"ok":true' in await asyncio.wait_for(reader.read(4096), 10)
    writer.close()
    await writer.wait_closed()


def is_whole_png(path: Path) -> bool:
    """Tell whether a PNG is there to its last chunk."""
    return path.is_file() and path.read_bytes().endswith(b"IEND\xaeB`\x82")


def brightness_of(picture: Image.Image) -> npt.NDArray[np.float64]:
    """Return a picture's brightness, point by point."""
    return np.asarray(picture.convert("L"), np.float64).ravel()


def pictures_of(card: testcard.Card) -> list[npt.NDArray[np.float64]]:
    """Return the brightness of each picture of a card, decoded by FFmpeg."""
    decoder = av.CodecContext.create("h264", "r")
    packets = [*map(av.Packet, card.frames), None]
    return [brightness_of(frame.to_image()) for packet in packets for frame in decoder.decode(packet)]


@pytest.mark.peer("baresip", "baresip-video")
class TestBaresipVideo:
    """H.264 both ways with FFmpeg's encoder and decoder at the other side."""

    VIDEO: Final = {"video_bps": 512_000, "video_fps": 25}

    async def test_both_streams_are_measured_both_ways(self, line: Line, start_baresip: StartClient) -> None:
        room = await start_baresip(video=True)
        finished = await line.call(room.uri, duration_seconds=4.0, **self.VIDEO)
        result = finished.result
        assert (result.outcome, result.reason, result.grade, result.advisories) == (
            Outcome.REACHED,
            None,
            Grade.GOOD,
            (),
        )
        audio, video = result.media
        assert (audio.kind, video.kind, video.codec, video.mode) == ("audio", "video", "H264", MediaMode.RTCP)
        assert (video.inbound.packets_lost, video.outbound.packets_lost) == (0, 0)
        assert video.outbound.packets_reported >= 0.9 * video.outbound.packets_sent
        assert video.frames_lost == 0
        assert video.frame_rate == pytest.approx(25.0, rel=0.1)
        assert await line.is_idle()

    async def test_the_far_side_sees_our_card(self, line: Line, start_baresip: StartClient) -> None:
        """What baresip decoded and wrote as a PNG is one picture of the card's hundred, point by point."""
        line.equipment = replace(line.equipment, cards=Cards("Hội nghị trực tuyến toàn quốc"))
        room = await start_baresip(video=True)
        call = line.calling(room.uri, duration_seconds=30.0, **self.VIDEO)
        await line.until(lambda: line.engine.stats().rtp_sent > 400)
        seen = room.process.folder / "seen.png"
        await command_baresip(room, "snapshot_recv", str(seen))
        await room.process.until(lambda: is_whole_png(seen), "write what it sees")
        call.cancel()
        await call
        card = await line.equipment.cards.of(self.VIDEO["video_bps"], self.VIDEO["video_fps"])
        with Image.open(seen) as picture:
            theirs = brightness_of(picture)
        alike = sorted(float(np.corrcoef(ours, theirs)[0, 1]) for ours in pictures_of(card))
        assert len(alike) == 100
        assert alike[-1] > 0.99
        assert alike[-2] < alike[-1]


@pytest.mark.peer("linphone")
class TestLinphone:
    async def test_its_stream_and_its_reports_make_the_figures(self, line: Line, start_linphone: StartClient) -> None:
        room = await start_linphone()
        finished = await line.call(room.uri, duration_seconds=2.0)
        result = finished.result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        media = assert_both_ways_were_measured(finished)
        assert media.outbound.packets_sent == 100
        assert await line.is_idle()
        assert line.journal.of(result.call_id) == ["opened", "confirmed", "closed"]

    async def test_it_is_strict_and_finds_nothing_wrong(self, line: Line, start_linphone: StartClient) -> None:
        """It answers 400 to what lacks Max-Forwards or is wrong otherwise; here is none, and BYE gets 200."""
        room = await start_linphone()
        finished = await line.call(room.uri, duration_seconds=0.5)
        answers = [step.start_line for step in finished.evidence.ladder if not step.sent]
        assert {text.split()[1] for text in answers} == {"100", "200"}
        assert finished.result.phases["bye"] is not None
        assert all("Max-Forwards: 70" in step.text for step in finished.evidence.ladder if step.sent)

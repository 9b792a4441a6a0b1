"""How loud a room is, by rooms whose level is known: a standard's tone from sipp, a sine and silence from baresip."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bridge_monitor.domain import Advisory, Grade, Outcome
from tests.interop.rigs import TONE_AMPLITUDE, Line, SoftClient, StartRoom, description

StartClient = Callable[..., Awaitable[SoftClient]]

# ITU-T G.711 tables 5 and 6: a period of the digital milliwatt, its payload type, its level by the table's own values
# (μ-law 2,207 and 5,215 of 8,031; A-law 1,120 and 2,624 of 4,032).
MILLIWATT = {
    "PCMU": ("1e0b0b1e9e8b8b9e", 0, 10 * math.log10((2207**2 + 5215**2) / 2 / 8031**2)),
    "PCMA": ("34212134b4a1a1b4", 8, 10 * math.log10((1120**2 + 2624**2) / 2 / 4032**2)),
}
# A sine in 16 bits against the loudest square wave of the codec in 16 bits: four times 8,031, eight times 4,032.
SINE = {
    codec: 20 * math.log10(TONE_AMPLITUDE / math.sqrt(2) / top) for codec, top in (("PCMU", 32124), ("PCMA", 32256))
}


@pytest.mark.peer("sipp")
@pytest.mark.parametrize("codec", MILLIWATT)
async def test_the_digital_milliwatt_has_its_level(
    line: Line, start_room: StartRoom, tmp_path: Path, codec: str
) -> None:
    period, payload_type, level = MILLIWATT[codec]
    tone = tmp_path / "milliwatt.raw"
    tone.write_bytes(bytes.fromhex(period) * 1000)
    room = await start_room(
        "play",
        audio=f"{tone},-1,{payload_type},{codec}/8000",
        sdp=description("{host}", "{port}", formats=str(payload_type)),
        milliseconds="2500",
    )
    finished = await line.call(room.uri, duration_seconds=30.0, codecs=(codec,))
    (media,) = finished.result.media
    assert media.codec == codec
    assert media.inbound.packets_received > 100
    assert finished.stream.level.packets > 10
    assert media.audio_level_dbov == pytest.approx(level, abs=0.001)
    assert media.audio_active_ratio == 1.0
    assert finished.result.advisories == ()
    assert await line.is_idle()


@pytest.mark.peer("baresip")
@pytest.mark.parametrize("codec", SINE)
class TestBaresip:
    async def test_a_sine_is_as_loud_as_it_was_made(self, line: Line, start_baresip: StartClient, codec: str) -> None:
        """To 0.1 dB, as each packet is: it holds 8.8 periods, and the codec's steps are coarse."""
        room = await start_baresip()
        finished = await line.call(room.uri, duration_seconds=2.0, codecs=(codec,))
        (media,) = finished.result.media
        assert (finished.result.outcome, media.codec) == (Outcome.REACHED, codec)
        assert media.audio_level_dbov == pytest.approx(SINE[codec], abs=0.1)
        assert media.audio_active_ratio > 0.9  # it may begin with silence
        assert finished.result.advisories == ()

    async def test_a_muted_room_is_good_and_advised_of(
        self, line: Line, start_baresip: StartClient, codec: str
    ) -> None:
        room = await start_baresip(amplitude=0)
        result = (await line.call(room.uri, duration_seconds=2.0, codecs=(codec,))).result
        (media,) = result.media
        assert (result.outcome, result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert (media.codec, media.audio_level_dbov, media.audio_active_ratio) == (codec, -127, 0)
        assert result.advisories == (Advisory.SILENT_ROOM,)

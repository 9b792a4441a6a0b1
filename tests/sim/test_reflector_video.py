"""What video asks of the rooms' media: lines that police, and pictures that come back whatever the room sounds like."""

from __future__ import annotations

import pytest

from bridge_monitor.sim.board import Line
from tests.sim.rigs import MediaBench


@pytest.mark.parametrize(("way", "tally"), [("to_room", "dropped_to_room"), ("from_room", "dropped_from_room")])
def test_a_line_that_polices_passes_no_more_than_its_rate(bench: MediaBench, way: str, tally: str) -> None:
    """At 64 kbit/s a quarter of a second's worth passes at once: ten packets of 200 bytes."""
    bench.set(**{f"police_{way}": 64_000.0})
    bench.begin()
    bench.caller.stream(50)
    bench.round()
    passed = len(bench.caller.heard())
    assert 10 <= passed <= 15
    assert getattr(bench.board, tally)[0] == 50 - passed


def test_video_is_reflected_also_by_a_room_with_sound_of_its_own(bench: MediaBench) -> None:
    bench.set(flags=Line.OWN_STREAM)
    bench.begin()
    bench.board.video[0] = 1
    bench.caller.stream(5)
    bench.round()
    assert [packet.ssrc for packet in bench.caller.heard()] == [0x1234] * 5

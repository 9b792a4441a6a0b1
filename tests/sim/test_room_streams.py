"""The rooms' own streams on real sockets: their pace, their numbers and what they sound like."""

from __future__ import annotations

import numpy as np
import pytest

from bridge_monitor.rtp.level import dbov, powers
from bridge_monitor.sim import room_streams
from bridge_monitor.sim.board import LATENESS_MAX_NS, Line
from bridge_monitor.sim.room_sound import CODECS, NOISE_DBOV
from tests.sim.rigs import MediaBench

SECOND = 1_000_000_000
GRID = 10_000_000
"""A room's own stream begins within so long of its call."""


class TestOwnStream:
    def test_a_room_sends_a_packet_every_20_ms_with_its_own_numbers(self, bench: MediaBench) -> None:
        bench.set(flags=Line.OWN_STREAM | Line.MUTED)
        bench.board.payload_type[0] = 8
        bench.board.codec[0] = CODECS.index("PCMA")
        bench.begin()
        bench.board.codec[0] = CODECS.index("PCMA")
        bench.round()
        for step in range(10):
            bench.ahead_ns = GRID + step * 20_000_000
            bench.round()
            bench.round()
        heard = bench.caller.heard()
        # Real time passes as well, so one packet more may be due.
        assert 10 <= len(heard) <= 12
        assert [packet.sequence_number for packet in heard[:8]] == [*range(65530, 65536), 0, 1]
        assert heard[5].timestamp == (2**32 - 800 + 5 * 160) % 2**32
        assert {packet.ssrc for packet in heard} == {0xABCD0000}
        assert {packet.payload_type for packet in heard} == {8}
        assert {packet.payload for packet in heard} == {b"\xd5" * 160}
        assert [packet.marker for packet in heard] == [True] + [False] * (len(heard) - 1)

    def test_a_room_that_is_not_muted_sends_the_noise_of_an_empty_room(self, bench: MediaBench) -> None:
        bench.set(flags=Line.OWN_STREAM)
        bench.begin()
        bench.round()
        for step in range(10):
            bench.ahead_ns = GRID + step * 20_000_000
            bench.round()
        heard = [packet.payload for packet in bench.caller.heard()]
        assert len(set(heard)) == len(heard) >= 10
        levels = powers("PCMU", np.frombuffer(b"".join(heard), np.uint8).reshape(-1, 160))
        assert dbov(float(levels.mean())) == pytest.approx(NOISE_DBOV, abs=1)

    def test_a_room_with_a_stream_of_its_own_reflects_nothing(self, bench: MediaBench) -> None:
        bench.set(flags=Line.OWN_STREAM)
        bench.begin()
        bench.caller.stream(5)
        bench.round()
        bench.ahead_ns = GRID
        bench.round()
        heard = bench.caller.heard()
        assert heard
        assert all(packet.ssrc == 0xABCD0000 for packet in heard)
        assert bench.board.received[0] == 5

    def test_a_codec_that_was_not_offered_shows_in_the_stream(self, bench: MediaBench) -> None:
        bench.set(flags=Line.OWN_STREAM, wrong_payload_type=9)
        bench.begin()
        bench.round()
        bench.ahead_ns = GRID
        bench.round()
        assert {packet.payload_type for packet in bench.caller.heard()} == {9}

    def test_a_stream_switched_on_in_the_middle_does_not_catch_up(self, bench: MediaBench) -> None:
        bench.begin()
        bench.round()
        bench.ahead_ns = 10 * SECOND
        bench.set(flags=Line.OWN_STREAM)
        bench.round()
        bench.ahead_ns += GRID
        bench.round()
        assert len(bench.caller.heard()) == 1
        assert bench.board.health[LATENESS_MAX_NS] < SECOND

    def test_it_ends_with_its_call_and_not_at_the_next_look_for_changed_lines(
        self, bench: MediaBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room_streams, "_LOOK_NS", 10 * SECOND)
        bench.set(flags=Line.OWN_STREAM)
        bench.begin()
        bench.round()
        bench.ahead_ns = GRID
        bench.round()
        assert len(bench.caller.heard()) == 1
        bench.end()
        bench.ahead_ns = SECOND // 2
        bench.round()
        assert bench.caller.heard() == []

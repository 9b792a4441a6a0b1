from __future__ import annotations

import numpy as np
import pytest

from bridge_monitor.probes.advice import SILENT_BELOW_DBOV
from bridge_monitor.rtp.level import ACTIVE_ABOVE_DBOV, dbov, powers
from bridge_monitor.sim.room_sound import CODECS, NOISE_DBOV, room_sound


@pytest.mark.parametrize("codec", CODECS)
def test_an_empty_room_is_neither_silent_nor_active(codec: str) -> None:
    """Each of its packets: a healthy room must not be advised of."""
    packets = np.arange(100)
    codecs = np.full(100, CODECS.index(codec))
    power = powers(codec, room_sound(codecs, np.zeros(100, int), packets, np.zeros(100, bool)))
    assert dbov(float(power.mean())) == pytest.approx(NOISE_DBOV, abs=0.3)
    assert dbov(float(power.min())) > SILENT_BELOW_DBOV + 5
    assert dbov(float(power.max())) < ACTIVE_ABOVE_DBOV


def test_a_muted_room_sends_digital_silence_in_its_own_codec() -> None:
    sound = room_sound(np.array([0, 1]), np.array([5, 6]), np.array([1, 2]), np.array([True, True]))
    assert [bytes(payload) for payload in sound] == [b"\xff" * 160, b"\xd5" * 160]


def test_rooms_do_not_all_sound_the_same_at_once() -> None:
    sound = room_sound(np.zeros(20, int), np.arange(20), np.zeros(20, int), np.zeros(20, bool))
    assert len({bytes(payload) for payload in sound}) == 20

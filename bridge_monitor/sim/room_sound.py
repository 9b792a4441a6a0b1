"""What a room's microphone brings: the noise of an empty room, or nothing where it is muted; as G.711 payloads.

Owns the sound, made once; must not know calls. Not a word is spoken in a simulated room.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bridge_monitor.net.engine.plan import SILENCE
from bridge_monitor.rtp.level import linear
from bridge_monitor.sim.board import Array

CODECS: Final = ("PCMU", "PCMA")
SAMPLES: Final = 160
"""G.711: 20 ms at 8 kHz, a byte a sample (RFC 3551 §4.5.14)."""

NOISE_DBOV: Final = -62.0
"""Ventilation and a microphone's own noise: well above digital silence, and below what counts as a sound."""

_PIECES: Final = 64
_SEED: Final = 20240628


def _encode(codec: str, signal: Array) -> Array:
    """Return the bytes whose values are nearest to a signal, given as a share of the overload point."""
    values = np.array([linear(codec, code) for code in range(256)])
    order = np.argsort(values, kind="stable")
    ladder = values[order]
    wanted = signal * ladder[-1]
    upper = np.clip(np.searchsorted(ladder, wanted), 1, 255)
    nearest = np.where(wanted - ladder[upper - 1] < ladder[upper] - wanted, upper - 1, upper)
    codes: Array = order[nearest].astype(np.uint8)
    return codes


def _pieces() -> Array:
    """Return for each codec 64 payloads of noise and, last, one of digital silence."""
    chance = np.random.default_rng(_SEED)
    noise = chance.standard_normal((_PIECES, SAMPLES)) * 10 ** (NOISE_DBOV / 20)
    return np.stack(
        [np.vstack([_encode(codec, noise), np.full((1, SAMPLES), SILENCE[codec], np.uint8)]) for codec in CODECS]
    )


_SOUND: Final = _pieces()


def room_sound(codecs: Array, rooms: Array, packets: Array, muted: Array) -> Array:
    """Return a payload for each room.

    Args:
        codecs: Places in `CODECS`.
        rooms: Numbers of the rooms, so that not all sound the same at once.
        packets: How many packets each has sent.
        muted: Which are silent.
    """
    sound: Array = _SOUND[codecs, np.where(muted, _PIECES, (rooms + packets) % _PIECES)]
    return sound

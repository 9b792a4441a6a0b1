"""How loud a G.711 stream is: from payloads to mean squares to dBov, by one table of 256 entries a codec.

Owns the arithmetic and its reference level; must not keep samples: what goes on from here are mean squares.

0 dBov is the loudest signal that the codec can carry, a square wave of its largest value (RFC 6464 §3, ITU-T G.100.1):
±8,031 in μ-law, ±4,032 in A-law. The largest sine is then −3.01 dBov, and the digital milliwatt of ITU-T G.711 (tables
5 and 6; 0 dBm0) −6.05 dBov in μ-law and −6.01 in A-law. (G.711 itself counts from the outermost decision value, 8,159
and 4,096: the 6.18 dB that RFC 6464 names, and 0.14 dB more than here.)
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge_monitor.rtp.report import AudioLevel

DIGITAL_SILENCE_DBOV: Final = -127.0
"""The lowest level that can be told, and that of digital silence (RFC 6464 §3)."""

ACTIVE_ABOVE_DBOV: Final = -60.0
"""A packet louder than this is more than the noise of a quiet room."""

COMFORT_NOISE: Final = 13
"""Static payload type of comfort noise (RFC 3389): its first byte names the noise's level in −dBov."""

COMFORT_NOISE_SAMPLES: Final = 160
"""A packet of comfort noise counts as much as an ordinary one of 20 ms: how long it speaks for isn't known yet."""

SAMPLED_SHARE: Final = 1 / 8

_ACTIVE: Final = 10 ** (ACTIVE_ABOVE_DBOV / 10)
_GOLDEN: Final = 40503
"""2^16 ÷ golden ratio: multiples of it fall into an interval as evenly as can be, and with no period of their own."""


def linear(codec: str, code: int) -> int:
    """Return the value that a byte stands for (ITU-T G.711 tables 1a and 2a).

    Args:
        codec: ``PCMU``, in 14 bits (±8,031), or ``PCMA``, in 13 bits (±4,032).
        code: The byte as sent.
    """
    if codec == "PCMU":
        code ^= 0xFF
        value = ((code & 0x0F) * 2 + 33 << (code >> 4 & 7)) - 33
        return -value if code & 0x80 else value
    code ^= 0x55
    segment, step = code >> 4 & 7, (code & 0x0F) * 2
    value = step + 33 << segment - 1 if segment else step + 1
    return value if code & 0x80 else -value


def _squares(codec: str) -> NDArray[np.float32]:
    values = np.array([linear(codec, code) for code in range(256)], np.float64)
    squares: NDArray[np.float32] = ((values / values.max()) ** 2).astype(np.float32)
    return squares


_TABLES: Final = MappingProxyType({codec: _squares(codec) for codec in ("PCMU", "PCMA")})
# A-law has no zero: silence is a row of its smallest value, ±1. The next louder packet has one sample of 3 in at most
# 1,440, which is 0.56 % more.
_SILENT: Final = {codec: float(table.min()) * 1.001 for codec, table in _TABLES.items()}

SAMPLED: Final[NDArray[np.bool_]] = np.arange(1 << 16) * _GOLDEN % (1 << 16) < round((1 << 16) * SAMPLED_SHARE)
"""Which sequence numbers' packets are looked at: one in eight, 5, 8 or 13 packets apart, also over the wrap."""


def powers(codec: str, payloads: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return each packet's mean square as a share of the overload point's, 0 to 1; 0 for digital silence.

    Args:
        codec: ``PCMU`` or ``PCMA``.
        payloads: One payload a row, all of one length, at least a byte.
    """
    found: NDArray[np.float64] = np.take(_TABLES[codec], payloads).mean(axis=1).astype(np.float64)
    found[found <= _SILENT[codec]] = 0.0
    return found


def comfort_noise_powers(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean square that each packet of comfort noise names in its first byte (RFC 3389 §3.1)."""
    return np.where(levels & 0x7F == 0x7F, 0.0, 10.0 ** (-(levels & 0x7F).astype(np.float64) / 10))


def active(power: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which mean squares are above `ACTIVE_ABOVE_DBOV`."""
    return power > _ACTIVE


def dbov(power: float) -> float:
    """Return a mean square, as a share of the overload point's, in dBov: −127 (silence) to 0."""
    return max(DIGITAL_SILENCE_DBOV, min(0.0, 10 * math.log10(power))) if power > 0 else DIGITAL_SILENCE_DBOV


def summarise(*, energy: Any, samples: Any, loudest: Any, packets: Any, active_packets: Any) -> AudioLevel | None:
    """Return a stream's level from its counters.

    Args:
        energy: Sum over packets of mean square × samples.
        samples: Samples looked at.
        loudest: The greatest mean square of a packet.
        packets: Packets looked at.
        active_packets: Those above `ACTIVE_ABOVE_DBOV`.
    """
    if not samples:
        return None
    return AudioLevel(
        mean_dbov=dbov(float(energy) / int(samples)),
        loudest_dbov=dbov(float(loudest)),
        active_ratio=int(active_packets) / int(packets),
        packets=int(packets),
    )

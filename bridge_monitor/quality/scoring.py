"""From a call's figures to R and MOS.

Owns which figures go into the E-model; must not judge. What the E-model is fed: loss in per cent, Ta = RTT/2 + 20 ms of
packetisation + the playout buffer; no talker echo (T = 0), since none was measured.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.domain.values import dataclass
from bridge_monitor.quality.emodel import NARROW_BAND, EModelInput, mos_from_r, r_factor

PACKETISATION_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Score:
    """R, clamped to 0–100, and MOS-CQE."""

    r_factor: float
    mos: float


def score_audio(
    codec: str,
    *,
    loss_ratio: float | None,
    rtt_seconds: float | None,
    playout_seconds: float,
    burst_ratio: float = 1.0,
) -> Score | None:
    """Score narrow-band audio.

    Args:
        codec: RTP encoding name.
        loss_ratio: Packets lost or too late for the playout buffer ÷ packets expected, 0–1.
        rtt_seconds: Median round-trip time.
        playout_seconds: The playout buffer assumed.
        burst_ratio: BurstR; 1 for independent losses.

    Returns:
        None if the codec is not narrow-band, or if loss or delay was not measured.
    """
    impairment = NARROW_BAND.get(codec)
    if impairment is None or loss_ratio is None or rtt_seconds is None:
        return None
    rating = r_factor(
        EModelInput(
            ta=1000 * (rtt_seconds / 2 + PACKETISATION_SECONDS + playout_seconds),
            ie=impairment.ie,
            bpl=impairment.bpl,
            ppl=100 * loss_ratio,
            burst_r=max(burst_ratio, 1.0),
        )
    )
    return Score(min(max(rating, 0.0), 100.0), mos_from_r(rating))

"""Where a line begins to be degraded, and where it has failed.

Owns the settings of `grading`; must not parse configuration.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits of one tier's lines.

    Attributes:
        loss_degraded: Degraded if the loss ratio's lower confidence bound reaches this.
        loss_failed: Failed if that bound is greater than this.
        rtt_degraded_seconds: Degraded if the median round-trip time is greater.
        rtt_failed_seconds: Failed if it is greater than this.
        jitter_degraded_seconds: Degraded if the mean jitter of an audio stream is greater.
        setup_degraded_seconds: Degraded if the call took longer to be answered.

    Raises:
        ValueError: A limit is not positive, a ratio is above 1, or "degraded" lies beyond "failed".
    """

    loss_degraded: float = 0.01
    loss_failed: float = 0.05
    rtt_degraded_seconds: float = 0.3
    rtt_failed_seconds: float = 0.8
    jitter_degraded_seconds: float = 0.03
    setup_degraded_seconds: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.loss_degraded <= self.loss_failed <= 1:
            raise ValueError("thresholds must keep 0 < loss_degraded ≤ loss_failed ≤ 1")
        if not 0 < self.rtt_degraded_seconds <= self.rtt_failed_seconds:
            raise ValueError("thresholds must keep 0 < rtt_degraded_seconds ≤ rtt_failed_seconds")
        if not (self.jitter_degraded_seconds > 0 and self.setup_degraded_seconds > 0):
            raise ValueError("jitter_degraded_seconds and setup_degraded_seconds must be greater than 0")

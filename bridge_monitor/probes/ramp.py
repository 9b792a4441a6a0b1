"""A ramp: calls at rising video rates until loss surely begins, so that the rate that a line carries is found.

Owns the order of rates, and what was found at each and in all; pure: it places no calls and must not draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from bridge_monitor.domain import Outcome, ProbeResult
from bridge_monitor.probes.media import burst_ratio
from bridge_monitor.probes.shapes import Finished
from bridge_monitor.quality import LossCount, loss_counts, loss_lower_bound
from bridge_monitor.quality.bounds import design_effect

SCHEMA: Final = "bridge_monitor.ramp/1"
DIRECTIONS: Final = ("outbound", "inbound", "round_trip")
MOST_STEPS: Final = 100
CALLS_A_RATE: Final = 2
"""A loss that one call leaves in doubt is counted over so many."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The loss of video at one rate in one direction, over all calls at that rate.

    Attributes:
        lost: Packets lost.
        total: Packets counted.
        lower_bound: What the loss ratio exceeds with 95 % confidence, bursts allowed for.
    """

    lost: int
    total: int
    lower_bound: float

    @property
    def ratio(self) -> float:
        """Lost ÷ total."""
        return self.lost / self.total


@dataclass(slots=True)
class Step:
    """One rate of a ramp.

    Attributes:
        rate_bps: What the video took on the line, headers included.
        results: Its calls.
        counts: Their loss of video.
    """

    rate_bps: int
    results: list[ProbeResult] = field(default_factory=list)
    counts: list[LossCount] = field(default_factory=list)

    def note(self, finished: Finished) -> None:
        """Take one more call at this rate into account."""
        self.results.append(finished.result)
        if self.is_valid and finished.video is not None:
            videos = [stream for stream in finished.result.media if stream.kind == "video"]
            self.counts += loss_counts(videos, burst_ratio=burst_ratio(finished.video))

    @property
    def is_valid(self) -> bool:
        """Whether its last call tells of the line."""
        return not self.results[-1].invalid and self.results[-1].outcome is Outcome.REACHED

    def measured(self) -> dict[str, Measured]:
        """Return what was measured, by direction."""
        found = {}
        for direction in DIRECTIONS:
            counts = [count for count in self.counts if count.direction == direction]
            if counts:
                effects = [design_effect(count.burst_ratio) for count in counts]
                lost = sum(count.lost / effect for count, effect in zip(counts, effects, strict=True))
                total = sum(count.total / effect for count, effect in zip(counts, effects, strict=True))
                found[direction] = Measured(
                    sum(count.lost for count in counts),
                    sum(count.total for count in counts),
                    loss_lower_bound(lost, total),
                )
        return found


@dataclass(slots=True)
class Ramp:
    """What was found so far.

    Attributes:
        rates: Rates to call at, rising.
        limit: Loss ratio from which a line is degraded: where the lower bound reaches it, loss has surely begun.
        steps: One for each rate called at.
    """

    rates: tuple[int, ...]
    limit: float
    steps: list[Step] = field(default_factory=list)

    def next_rate(self) -> int | None:
        """Return the rate of the next call, or None if the ramp is at its end: loss has begun, or all rates are done.

        A rate is called at once more if its loss is in doubt, or if the measurement was invalid.
        """
        if self.steps:
            last = self.steps[-1]
            if self.lossy(last):
                return None
            again = self._in_doubt(last) or bool(last.results[-1].invalid)
            if again and len(last.results) < CALLS_A_RATE:
                return last.rate_bps
            if not last.measured():
                return None
        done = len(self.steps)
        return self.rates[done] if done < len(self.rates) else None

    def note(self, rate_bps: int, finished: Finished) -> Step:
        """Take a call into account; return the step that it belongs to."""
        if not self.steps or self.steps[-1].rate_bps != rate_bps:
            self.steps.append(Step(rate_bps))
        self.steps[-1].note(finished)
        return self.steps[-1]

    def lossy(self, step: Step) -> tuple[str, ...]:
        """Return the directions in which loss has surely begun at this rate."""
        return tuple(way for way, seen in step.measured().items() if seen.lower_bound >= self.limit)

    def begins(self) -> dict[str, int | None]:
        """Return where loss begins, by direction that was measured; None where it did not."""
        found: dict[str, int | None] = {way: None for step in self.steps for way in step.measured()}
        for step in reversed(self.steps):
            found.update(dict.fromkeys(self.lossy(step), step.rate_bps))
        return found

    def picture_gone_at(self) -> int | None:
        """Return the rate at which nothing of the video could be counted, though it could at a lower one."""
        if len(self.steps) < 2 or self.steps[-1].measured() or not self.steps[-1].is_valid:
            return None
        return self.steps[-1].rate_bps

    def clean(self) -> dict[str, int | None]:
        """Return the highest rate below that at which nothing speaks of loss, by direction; None if there is none."""
        found: dict[str, int | None] = {}
        for way, begin in self.begins().items():
            rates = [
                step.rate_bps
                for step in self.steps
                if (seen := step.measured().get(way)) is not None
                and seen.ratio < self.limit
                and (begin is None or step.rate_bps < begin)
            ]
            found[way] = max(rates, default=None)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form: JSON types only."""
        return {
            "schema": SCHEMA,
            "loss_limit": self.limit,
            "clean_bps": self.clean(),
            "loss_begins_bps": self.begins(),
            "steps": [self._step_to_dict(step) for step in self.steps],
        }

    def _step_to_dict(self, step: Step) -> dict[str, Any]:
        return {
            "rate_bps": step.rate_bps,
            "loss": {
                way: {
                    "packets_counted": seen.total,
                    "packets_lost": seen.lost,
                    "loss_ratio": seen.ratio,
                    "loss_ratio_lower_bound": seen.lower_bound,
                }
                for way, seen in step.measured().items()
            },
            "surely_lossy": list(self.lossy(step)),
            "results": [result.to_dict() for result in step.results],
        }

    def _in_doubt(self, step: Step) -> bool:
        return any(seen.lower_bound < self.limit <= seen.ratio for seen in step.measured().values())


def rising(low: int, high: int, step: int) -> tuple[int, ...]:
    """Return the rates from ``low`` to ``high``, both included.

    Args:
        low: First rate, bit/s.
        high: Last rate.
        step: From one to the next; the last may be shorter.
    """
    return (*range(low, high, step), high)

"""The schedule's settings: caps, intervals, and what it knows of a site.

Owns their meaning, defaults and bounds; must not read files (`config` parses into these).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


def _no_overrides() -> Mapping[str, Caps]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Caps:
    """How much of one thing (the nation, a province, a carrier) test calls may take at most; None is unlimited.

    Attributes:
        calls_per_second: Starts of calls in any second. Starts are also paced: see `schedule.caps.Gate`.
        calls_at_once: Calls that are up, from their start to `Planner.finished`.
        bandwidth_bps: Sum of `Plannable.bandwidth_bps` of the calls that are up, in bit/s, each direction.

    Raises:
        ValueError: A cap is zero, negative or not finite.
    """

    calls_per_second: float | None = None
    calls_at_once: int | None = None
    bandwidth_bps: float | None = None

    def __post_init__(self) -> None:
        for name in ("calls_per_second", "calls_at_once", "bandwidth_bps"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be above 0, or left out for no cap; it is {value}")


UNLIMITED: Final = Caps()


@dataclass(frozen=True, slots=True)
class CapSet:
    """All caps of a schedule. The shipped defaults are shy (DESIGN: first do no harm).

    Attributes:
        total: Over all calls.
        per_province: For each province without an override.
        per_carrier: For each carrier without an override; sites without a carrier count as one carrier.
        overrides_province: Caps of single provinces, by code; an override replaces all three caps of the default.
        overrides_carrier: Caps of single carriers, by name; likewise.
    """

    total: Caps = field(default_factory=lambda: Caps(calls_per_second=20.0, calls_at_once=200))
    per_province: Caps = field(default_factory=lambda: Caps(bandwidth_bps=20e6))
    per_carrier: Caps = UNLIMITED
    overrides_province: Mapping[str, Caps] = field(default_factory=_no_overrides)
    overrides_carrier: Mapping[str, Caps] = field(default_factory=_no_overrides)

    def of_province(self, code: str) -> Caps:
        """Return the caps that hold for this province."""
        return self.overrides_province.get(code, self.per_province)

    def of_carrier(self, name: str) -> Caps:
        """Return the caps that hold for this carrier."""
        return self.overrides_carrier.get(name, self.per_carrier)


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often sites are called, in seconds.

    Attributes:
        by_tier: From start to start of a site's calls, by name of its tier.
        default: The same, for tiers not named.
        retry: From the end of a bad call to the next try. It may be shorter than `min_between_calls`: a failure has to
            be tried again before its verdict turns, and a line that failed carries no call to disturb.
        retries: How many tries follow each other at `retry` before the site waits for its tier's interval again.
        min_between_calls: From the end of a site's call to the start of the next: binds calls by the plan after
            a call that was not bad, calls after a busy one, and calls by hand.

    Raises:
        ValueError: An interval is not above 0, `min_between_calls` or `retries` is negative.
    """

    by_tier: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    default: float = 900.0
    retry: float = 60.0
    retries: int = 3
    min_between_calls: float = 300.0

    def __post_init__(self) -> None:
        positive = {"default": self.default, "retry": self.retry}
        positive |= {f"by_tier[{tier}]": seconds for tier, seconds in self.by_tier.items()}
        for name, seconds in positive.items():
            if not (seconds > 0 and math.isfinite(seconds)):
                raise ValueError(f"{name} must be above 0 seconds; it is {seconds}")
        if self.retries < 0:
            raise ValueError(f"retries must not be negative; it is {self.retries}")
        if not (self.min_between_calls >= 0 and math.isfinite(self.min_between_calls)):
            raise ValueError(f"min_between_calls must not be negative; it is {self.min_between_calls}")

    def of_tier(self, tier: str) -> float:
        """Return the seconds from start to start of a site of this tier."""
        return self.by_tier.get(tier, self.default)


@dataclass(frozen=True, slots=True)
class Plannable:
    """A site as the schedule sees it.

    Attributes:
        site: Its code.
        tier: Name of its tier.
        province: Code of its province; empty for the root.
        carrier: Who provides its line; empty if not known.
        call_seconds: The longest a test call to it can be up: set-up, media, waiting for reports, teardown. No call is
            started that could still be up outside a window.
        bandwidth_bps: What a call takes on the line, in bit/s, each direction.

    Raises:
        ValueError: `call_seconds` or `bandwidth_bps` is negative or not finite.
    """

    site: str
    tier: str
    province: str
    carrier: str
    call_seconds: float
    bandwidth_bps: float

    def __post_init__(self) -> None:
        for name in ("call_seconds", "bandwidth_bps"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} of site {self.site} must not be negative; it is {value}")

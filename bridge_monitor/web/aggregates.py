"""What is counted over the daemon's life: calls by outcome, distributions by province and tier, packets by site.

Owns counters, which only ever grow and survive a reload; must not render them, and is fed from one thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from bridge_monitor.domain import Inventory, Outcome, ProbeResult, Site
from bridge_monitor.web.streams import Counted, Direction, audio_of, losses, rtt_of, setup_delay, tells_of_the_line

# The shipped grading thresholds are bounds here, so that a share beyond one can be read off exactly.
RTT_BOUNDS: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.5)
SETUP_BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 20.0, 32.0)
LOSS_BOUNDS: Final = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)

Place: TypeAlias = tuple[str, str]
"""A province's code (empty for the centre) and a tier."""

Packets: TypeAlias = Mapping[Direction, Counted]
"""The packets of one site so far; a new mapping after each call that measured some."""


@dataclass(slots=True)
class Histogram:
    """A classic histogram. ``counts`` are per bucket, not cumulative, the last one beyond every bound."""

    bounds: tuple[float, ...]
    counts: list[int]
    sum: float = 0.0

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> Histogram:
        """Return an empty histogram with these upper bounds (inclusive)."""
        return cls(bounds, [0] * (len(bounds) + 1))

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def copy(self) -> Histogram:
        """Return an independent copy."""
        return Histogram(self.bounds, self.counts.copy(), self.sum)


@dataclass(slots=True)
class Tally:
    """The calls of one province and tier."""

    outcomes: dict[Outcome, int] = field(default_factory=dict)
    rtt: Histogram = field(default_factory=lambda: Histogram.of(RTT_BOUNDS))
    setup: Histogram = field(default_factory=lambda: Histogram.of(SETUP_BOUNDS))
    loss: dict[Direction, Histogram] = field(
        default_factory=lambda: {direction: Histogram.of(LOSS_BOUNDS) for direction in Direction}
    )

    def copy(self) -> Tally:
        """Return an independent copy."""
        loss = {direction: histogram.copy() for direction, histogram in self.loss.items()}
        return Tally(self.outcomes.copy(), self.rtt.copy(), self.setup.copy(), loss)


@dataclass(frozen=True, slots=True)
class AggregatesView:
    """All counters at one moment; never changes."""

    tallies: Mapping[Place, Tally]
    packets: Mapping[str, Packets]
    invalid: Mapping[str, int]


class Aggregates:
    """The counters themselves, since the start.

    Args:
        invalid_reasons: Reasons known from the start; they are exported as 0 before they first occur, so that the first
            occurrence is seen as an increase.

    Attributes:
        news: Sites with a result that nobody has rendered yet; whoever does takes them out.
    """

    def __init__(self, invalid_reasons: Iterable[str] = ()) -> None:
        self._tallies: dict[Place, Tally] = {}
        self._packets: dict[str, Packets] = {}
        self._invalid = dict.fromkeys(invalid_reasons, 0)
        self.news: set[str] = set()

    def observe(self, result: ProbeResult, site: Site, inventory: Inventory) -> None:
        """Count one result.

        Every call counts by its outcome, an invalid one also by its reasons; only a call that tells of the line counts
        with its figures. A refused call is none; one of a site that has left the inventory has no place to count in.
        """
        if result.outcome is Outcome.REFUSED:
            return
        for reason in result.invalid:
            self._invalid[reason] = self._invalid.get(reason, 0) + 1
        if site.code not in inventory:
            return
        self.news.add(site.code)
        place = inventory.province_of(site.code), site.tier
        tally = self._tallies.get(place)
        if tally is None:
            tally = self._tallies[place] = Tally()
        tally.outcomes[result.outcome] = tally.outcomes.get(result.outcome, 0) + 1
        if tells_of_the_line(result):
            self._observe_figures(result, site.code, tally)

    @property
    def packets(self) -> Mapping[str, Packets]:
        """The packets of each site so far, as they are now: to be read at once."""
        return self._packets

    def view(self) -> AggregatesView:
        """Return a copy of all counters, for a scrape that takes its time."""
        tallies = {place: tally.copy() for place, tally in self._tallies.items()}
        return AggregatesView(tallies, self._packets.copy(), self._invalid.copy())

    def _observe_figures(self, result: ProbeResult, code: str, tally: Tally) -> None:
        delay = setup_delay(result)
        if delay is not None:
            tally.setup.observe(delay)
        stream = audio_of(result)
        rtt = rtt_of(stream)
        if rtt:
            tally.rtt.observe(rtt.median)
        measured = losses(stream) if stream else {}
        for direction, loss in measured.items():
            if loss.ratio is not None:
                tally.loss[direction].observe(loss.ratio)
        if measured:
            self._add_packets(code, {direction: loss.counted for direction, loss in measured.items()})

    def _add_packets(self, code: str, more: Packets) -> None:
        before = self._packets.get(code, {})
        zero = Counted(0, 0)
        after = dict(before)
        for direction, counted in more.items():
            so_far = before.get(direction, zero)
            # A counter only grows: a report of "fewer than none lost" (RFC 3550 A.3, duplicates) takes nothing back.
            after[direction] = Counted(so_far.packets + counted.packets, so_far.lost + max(0, counted.lost))
        self._packets[code] = after

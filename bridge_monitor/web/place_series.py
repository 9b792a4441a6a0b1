"""The series of one province and tier: calls by outcome, and how their figures are distributed.

Owns the table of these families and their lines; must not know of sites or the daemon.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Final

from bridge_monitor.domain import Outcome
from bridge_monitor.web.aggregates import Histogram, Place, Tally
from bridge_monitor.web.text import Family, label_pairs

SLICE_PLACES: Final = 32
"""Provinces' tiers in one slice of a family: a third of a millisecond, and one when it is new."""

PROBES: Final = Family("bridge_probes_total", "counter", "Test calls since the start by outcome, province and tier.")
RTT: Final = Family(
    "bridge_probes_rtt_seconds", "histogram", "Median round-trip time of each valid test call, by province and tier."
)
SETUP: Final = Family(
    "bridge_probes_setup_delay_seconds",
    "histogram",
    "Time from the start to the answer of each valid test call, by province and tier.",
)
LOSS: Final = Family(
    "bridge_probes_loss_ratio",
    "histogram",
    "RTP packets lost ÷ counted in each valid test call, by where the loss was seen, province and tier.",
)

_OUTCOMES: Final = tuple(outcome for outcome in Outcome if outcome is not Outcome.REFUSED)


def render_places(tallies: Mapping[Place, Tally], places: Iterable[Place]) -> Iterator[str]:
    """Yield the families by province and tier, a few places of one at a time.

    Every place with a site to call has its series from the start, at 0: a counter that appears with its first count
    shows no increase.
    """
    none = Tally()
    shown = [(label_pairs({"province": place[0], "tier": place[1]}), tallies.get(place, none)) for place in places]
    for family, render in (
        (PROBES, _outcomes),
        (RTT, lambda labels, tally: _histogram(RTT, labels, tally.rtt)),
        (SETUP, lambda labels, tally: _histogram(SETUP, labels, tally.setup)),
        (LOSS, _losses),
    ):
        yield family.header
        for start in range(0, len(shown), SLICE_PLACES):
            yield "".join([render(labels, tally) for labels, tally in shown[start : start + SLICE_PLACES]])


def _outcomes(labels: str, tally: Tally) -> str:
    return _outcomes_form(labels) % tuple([tally.outcomes.get(outcome, 0) for outcome in _OUTCOMES])


def _losses(labels: str, tally: Tally) -> str:
    return "".join(
        [_histogram(LOSS, f'{labels},direction="{direction}"', seen) for direction, seen in tally.loss.items()]
    )


def _histogram(family: Family, labels: str, histogram: Histogram) -> str:
    below = list(accumulate(histogram.counts))
    return _histogram_form(family, labels, histogram.bounds) % (*below, histogram.sum, below[-1])


# All of a place's lines but their values are the same in every scrape. A nation has 63 provinces, a few tiers and five
# histograms of each.
@lru_cache(maxsize=8192)
def _histogram_form(family: Family, labels: str, bounds: tuple[float, ...]) -> str:
    heads = [f'{family.name}_bucket{{{labels},le="{bound}"}} ' for bound in (*bounds, "+Inf")]
    return _form((*heads, f"{family.name}_sum{{{labels}}} ", f"{family.name}_count{{{labels}}} "))


@lru_cache(maxsize=2048)
def _outcomes_form(labels: str) -> str:
    return _form([f'{PROBES.name}{{{labels},outcome="{outcome}"}} ' for outcome in _OUTCOMES])


def _form(heads: Iterable[str]) -> str:
    """Return what ``%`` makes lines of, one value each."""
    return "".join([f"{head.replace('%', '%%')}%s\n" for head in heads])

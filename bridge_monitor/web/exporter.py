"""The text of ``/metrics``, in slices short enough that the event loop stays free between them.

Owns the order of the families and the cache of rows; must not know HTTP or wait for anything. A scrape shows one
moment: everything that can change while it is written out is taken when it begins.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from bridge_monitor import __version__
from bridge_monitor.domain import Event, EventPhase, Inventory, Outcome, Site, SiteState, Snapshot
from bridge_monitor.web.aggregates import AggregatesView, Histogram, Packets, Place, Tally
from bridge_monitor.web.health import OwnHealth
from bridge_monitor.web.site_series import (
    SITE_FAMILIES,
    SiteRow,
    info_labels,
    render_advisories,
    render_families,
    render_info,
    render_phases,
    site_labels,
    site_row,
)
from bridge_monitor.web.text import Family, label_pairs

SLICE_SITES: Final = 256
"""Sites in one slice of a family: about a millisecond."""

SLICE_ROWS: Final = 64
"""Rows brought up to date in one slice: about two milliseconds if all of them are new."""

SLICE_PLACES: Final = 32
"""Provinces' tiers in one slice of a family: about a millisecond."""

BUILD_INFO: Final = Family(
    "bridge_monitor_build_info", "gauge", "Version of bridge_monitor and of the Python it runs on."
)
LOOP_LAG: Final = Family(
    "bridge_monitor_event_loop_lag_seconds", "gauge", "How late the daemon's event loop woke when last measured."
)
IN_FLIGHT: Final = Family("bridge_monitor_calls_in_flight", "gauge", "Test calls that are up or being set up now.")
SCHEDULE_LAG: Final = Family(
    "bridge_monitor_schedule_lag_seconds", "gauge", "How late the most overdue site is called, against its interval."
)
SWEEP_PROGRESS: Final = Family(
    "bridge_monitor_sweep_progress_ratio",
    "gauge",
    "Sites done ÷ sites covered in the running (or the last) sweep, 0 to 1; absent before the first.",
)
INVALID: Final = Family(
    "bridge_monitor_measurements_invalid_total",
    "counter",
    "Test calls whose measurement was thrown away for a fault of this machine, by reason.",
)
REFERENCE_UP: Final = Family(
    "bridge_reference_up",
    "gauge",
    "1 if calls to this reference responder beyond our uplink are good, 0 if they are bad; absent before the first.",
)
RELOADED: Final = Family(
    "bridge_monitor_config_last_reload_successful",
    "gauge",
    "1 if the configuration in use is the newest, 0 if the last reload found problems and kept the old one.",
)
PHASE: Final = Family("bridge_event_phase", "gauge", "1 for the phase that the event is in, 0 for the others.")
CONFERENCE_START: Final = Family(
    "bridge_event_conference_start_timestamp_seconds", "gauge", "When the conference begins (POSIX time)."
)
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


class _RowCache:
    """Rows of one inventory. A scrape holds its own, so that a reload in the middle of it mixes nothing."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.places: set[Place] = set()
        """Where a site is called; complete once every site's row was asked for."""
        self._rows: dict[str, SiteRow] = {}

    def row(self, site: Site, state: SiteState | None, packets: Packets) -> SiteRow:
        """Return the site's row, built anew only if what it shows has changed."""
        row = self._rows.get(site.code)
        if row is None or row.state is not state or row.packets is not packets:
            labels = row.labels if row else site_labels(site, self.inventory)
            info = row.info if row else info_labels(site, self.inventory)
            row = self._rows[site.code] = site_row(site, state, packets, labels, info)
            if site.testable:
                self.places.add((self.inventory.province_of(site.code), site.tier))
        return row


class Exporter:
    """Renders ``/metrics``; keeps each site's row until its state changes."""

    def __init__(self) -> None:
        self._cache: _RowCache | None = None
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def slices(
        self, snapshot: Snapshot, counters: AggregatesView, health: OwnHealth, event: Event | None
    ) -> Iterator[str]:
        """Return the exposition in slices, each made when it is asked for and each a few milliseconds of work.

        Args:
            snapshot: The nation now.
            counters: The counters now (`Aggregates.view`).
            health: The daemon's own figures, read at once.
            event: The event, for the start of its conference.
        """
        cache = self._cache
        if cache is None or cache.inventory is not snapshot.inventory:
            cache = self._cache = _RowCache(snapshot.inventory)
        head = "".join([*self._own(snapshot, counters, health), *_event(snapshot, event)])
        return _slices(head, snapshot, counters, cache)

    def _own(self, snapshot: Snapshot, counters: AggregatesView, health: OwnHealth) -> Iterator[str]:
        version = label_pairs({"version": __version__, "python_version": platform.python_version()})
        yield from (BUILD_INFO.header, BUILD_INFO.sample(version, 1))
        sweep = snapshot.sweep
        for family, value in (
            (LOOP_LAG, health.event_loop_lag_seconds),
            (IN_FLIGHT, snapshot.calls_in_flight),
            (SCHEDULE_LAG, health.schedule_lag_seconds),
            (SWEEP_PROGRESS, sweep.done / sweep.total if sweep.total else None),
            (RELOADED, int(health.config_last_reload_successful)),
        ):
            yield family.header
            if value is not None:
                yield family.sample("", value)
        yield REFERENCE_UP.header
        for name, up in sorted(health.reference_up.items()):
            yield REFERENCE_UP.sample(label_pairs({"responder": name}), int(up))
        yield INVALID.header
        for reason, count in sorted(counters.invalid.items()):
            yield INVALID.sample(label_pairs({"reason": reason}), count)
        yield generate_latest(self._process).decode()


def _event(snapshot: Snapshot, event: Event | None) -> Iterator[str]:
    yield PHASE.header
    for phase in EventPhase:
        yield PHASE.sample(label_pairs({"phase": phase}), int(phase is snapshot.phase))
    yield CONFERENCE_START.header
    if event is not None:
        yield CONFERENCE_START.sample("", event.conference.start.timestamp())


def _slices(head: str, snapshot: Snapshot, counters: AggregatesView, cache: _RowCache) -> Iterator[str]:
    yield head
    rows: list[SiteRow] = []
    for site in snapshot.inventory:
        packets = counters.packets.get(site.code, _NO_PACKETS)
        rows.append(cache.row(site, snapshot.states.get(site.code), packets))
        if len(rows) % SLICE_ROWS == 0:
            yield ""
    yield from _by_place(counters, sorted(cache.places))
    yield from render_info(rows, SLICE_SITES)
    yield from render_families(SITE_FAMILIES, rows, SLICE_SITES)
    yield from render_phases(rows, SLICE_SITES)
    yield from render_advisories(rows, SLICE_SITES)


def _by_place(counters: AggregatesView, places: Iterable[Place]) -> Iterator[str]:
    """Yield the families by province and tier.

    Every place with a site to call has its series from the start, at 0: a counter that appears with its first count
    shows no increase.
    """
    none = Tally()
    tallies = [
        (label_pairs({"province": place[0], "tier": place[1]}), counters.tallies.get(place, none)) for place in places
    ]
    for family, render in (
        (PROBES, _outcomes),
        (RTT, lambda labels, tally: _histogram(RTT, labels, tally.rtt)),
        (SETUP, lambda labels, tally: _histogram(SETUP, labels, tally.setup)),
        (LOSS, _losses),
    ):
        yield family.header
        for start in range(0, len(tallies), SLICE_PLACES):
            yield "".join([render(labels, tally) for labels, tally in tallies[start : start + SLICE_PLACES]])


def _outcomes(labels: str, tally: Tally) -> str:
    return "".join(
        [PROBES.sample(f'{labels},outcome="{outcome}"', tally.outcomes.get(outcome, 0)) for outcome in _OUTCOMES]
    )


def _losses(labels: str, tally: Tally) -> str:
    return "".join(
        [_histogram(LOSS, f'{labels},direction="{direction}"', seen) for direction, seen in tally.loss.items()]
    )


def _histogram(family: Family, labels: str, histogram: Histogram) -> str:
    lines: list[str] = []
    below = 0
    for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
        below += count
        lines.append(family.sample(f'{labels},le="{bound}"', below, suffix="_bucket"))
    lines.append(family.sample(labels, histogram.sum, suffix="_sum"))
    lines.append(family.sample(labels, below, suffix="_count"))
    return "".join(lines)


_NO_PACKETS: Final[Packets] = MappingProxyType({})
_OUTCOMES: Final = tuple(outcome for outcome in Outcome if outcome is not Outcome.REFUSED)

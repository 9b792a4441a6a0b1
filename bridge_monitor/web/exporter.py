"""The text of ``/metrics``, in slices short enough that the event loop stays free between them.

Owns the order of the families; must not know HTTP or wait for anything. A scrape shows one moment: everything that can
change while it is written out is taken when it begins. The sites' text is kept (`kept_text`) and may be brought up to
date between scrapes, so that a scrape has little left to render.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from bridge_monitor import __version__
from bridge_monitor.domain import Event, EventPhase, Snapshot
from bridge_monitor.web.aggregates import AggregatesView, Packets
from bridge_monitor.web.health import OwnHealth
from bridge_monitor.web.kept_text import HEADERS, KeptText
from bridge_monitor.web.place_series import render_places
from bridge_monitor.web.text import Family, label_pairs

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


class Exporter:
    """Renders ``/metrics``; keeps each site's text until its state changes."""

    def __init__(self) -> None:
        self._kept: KeptText | None = None
        self._next = 0
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def slices(
        self, snapshot: Snapshot, counters: AggregatesView, health: OwnHealth, event: Event | None
    ) -> Iterator[bytes]:
        """Return the exposition in slices, each made when it is asked for and each a few milliseconds of work.

        Slices are empty while text is brought up to date; no text comes before all of it is. What comes then at once
        is the kept text itself, some thousands of pieces: joining them would cost twice what it costs to send them.

        Args:
            snapshot: The nation now.
            counters: The counters now (`Aggregates.view`).
            health: The daemon's own figures, read at once.
            event: The event, for the start of its conference.
        """
        head = "".join([*self._own(snapshot, counters, health), *_event(snapshot, event)])
        return _slices(head, snapshot, counters, self._kept_of(snapshot))

    def freshen(self, snapshot: Snapshot, packets: Mapping[str, Packets]) -> int:
        """Bring the next run of sites up to date, each in its turn; return how many runs there are.

        Args:
            snapshot: The nation now.
            packets: The packet counters now.
        """
        kept = self._kept_of(snapshot)
        if len(kept):
            self._next %= len(kept)
            kept.run(self._next).at(snapshot.states, packets)
            self._next += 1
        return len(kept)

    def freshen_site(self, code: str, snapshot: Snapshot, packets: Mapping[str, Packets]) -> None:
        """Bring a site up to date, and its neighbours with it; one that the inventory has not is nothing to do."""
        run = self._kept_of(snapshot).run_of(code)
        if run is not None:
            run.at(snapshot.states, packets)

    def _kept_of(self, snapshot: Snapshot) -> KeptText:
        kept = self._kept
        if kept is None or kept.inventory is not snapshot.inventory:
            kept = self._kept = KeptText(snapshot.inventory)
        return kept

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


def _slices(head: str, snapshot: Snapshot, counters: AggregatesView, kept: KeptText) -> Iterator[bytes]:
    texts = []
    for run in kept.runs():
        texts.append(run.at(snapshot.states, counters.packets))
        yield b""
    places = []
    for text in render_places(counters.tallies, kept.places()):
        places.append(text.encode())
        yield b""
    yield b""  # gathering the pieces takes half a millisecond
    yield head.encode()
    yield from places
    for column, header in enumerate(HEADERS):
        yield header.encode()
        yield from [blocks[column] for blocks in texts if blocks[column]]

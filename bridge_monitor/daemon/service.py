"""The daemon's inside: plan, runner, store and exporter wired together, and reloaded as one.

Owns the wiring and the snapshot; must not parse files (a loader is passed in) nor draw.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from bridge_monitor.config import Configuration
from bridge_monitor.config.plan import caps_beside, plannables
from bridge_monitor.daemon.centre import CallCentre, video_rates
from bridge_monitor.daemon.control import ControlServer
from bridge_monitor.daemon.reference import ReferenceWatch
from bridge_monitor.diagnosis import judge, wants_retry
from bridge_monitor.domain import Evidence, Grade, Inventory, ProbeResult, SiteState, Snapshot
from bridge_monitor.errors import ConfigError, Problem
from bridge_monitor.net import clock
from bridge_monitor.probes.book import CallBook
from bridge_monitor.probes.history import LossHistory
from bridge_monitor.probes.runner import PlaceCall, Runner
from bridge_monitor.probes.shapes import CallSite, Finished
from bridge_monitor.schedule import Planner, may_start, phase_at
from bridge_monitor.store import MemoryStore
from bridge_monitor.web import Aggregates, AppServices, OwnHealth, Server, create_app, serve

_LOG = structlog.get_logger(__name__)
_HEALTH_PERIOD: Final = 1.0

Load = Callable[[], Configuration]
"""Reads the configuration's files again; raises `ConfigError` with every problem."""


class Service:
    """Everything the daemon does, without its process.

    Args:
        configuration: The checked configuration.
        centre: Engine, sockets, locks.
        load: Reads the configuration again, for `reload`.
        place: Places one call; the centre's own way if left out.
        order_key: Makes the order of the first sweep another one for each start, yet the same for the same key.

    Attributes:
        store: Latest results and states.
        runner: The calls.
        on_result: Is told of each result after it is kept; for live views.
    """

    def __init__(
        self,
        configuration: Configuration,
        centre: CallCentre,
        *,
        load: Load | None = None,
        place: PlaceCall | None = None,
        order_key: str = "",
    ) -> None:
        self._configuration = configuration
        self._centre = centre
        self._load = load
        self.plan = Planner(
            plannables(configuration.inventory, configuration.profiles),
            configuration.event,
            caps_beside(configuration.reference, configuration.caps),
            configuration.intervals,
            seed=order_key,
        )
        self.store = MemoryStore(configuration.inventory, self._judge)
        self.aggregates = Aggregates()
        self.health = OwnHealth()
        self._place = place or centre.place
        self._losses = LossHistory()
        self.reference = ReferenceWatch(configuration.reference, centre.place, self._may_start)
        self._settling: set[asyncio.Task[None]] = set()
        self.runner = Runner(
            self.plan,
            _book(configuration),
            self._place_with_history,
            centre.locks,
            self._sink,
            lag=lambda: centre.equipment.lag.last,
        )
        self.on_result: Callable[[Finished], None] = _ignore
        self._reloading = asyncio.Lock()
        self._invalid: Counter[str] = Counter()
        self._ready = False

    @property
    def inventory(self) -> Inventory:
        """The sites as of the last reload."""
        return self._configuration.inventory

    def snapshot(self) -> Snapshot:
        """Return one picture of the nation now."""
        now = clock.posix_now()
        return Snapshot(
            taken_at=clock.utc(now),
            phase=phase_at(self._configuration.event, now),
            inventory=self._configuration.inventory,
            states=self.store.states(),
            sweep=self.plan.progress(),
            calls_in_flight=self.runner.in_flight,
        )

    def services(self) -> AppServices:
        """Return what the web needs of the daemon."""
        return AppServices(
            snapshot=self.snapshot,
            aggregates=self.aggregates,
            health=self.health,
            event=lambda: self._configuration.event,
            profiles=lambda: self._configuration.profiles.keys(),  # noqa: PLW0108 - a reload replaces what it asks
            probe=self.probe,
            reload=self.reload,
            evidence=self.store.evidence,
            ready=lambda: self._ready,
        )

    async def run(self, *, state_dir: Path, http: tuple[str, int], on_listening: Callable[[Server], None]) -> None:
        """Serve and call until cancelled; then end every call.

        Raises:
            BridgeMonitorError: An address can't be bound, or another daemon runs.
        """
        control = ControlServer(state_dir, self._reserve_by_hand, self._release_by_hand, self._keep_by_hand)
        await control.start()
        try:
            server = await serve(create_app(self.services()), *http)
            try:
                on_listening(server)
                self._ready = True
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._watch_health())
                    group.create_task(self.runner.run())
                    group.create_task(self.reference.run())
            finally:
                self._ready = False
                await self.runner.stop()
                await self._settle_now()
                await server.stop()
        finally:
            await control.stop()

    async def probe(self, code: str, profile: str) -> tuple[ProbeResult, Evidence | None]:
        """Place one call by hand now (``/probe``).

        Raises:
            RefusedError: Window, cap, slot or the site itself says no.
            KeyError: There is no such site or profile.
        """
        finished = await self.runner.call_now(code, self._configuration.profiles[profile])
        return finished.result, finished.evidence

    async def reload(self) -> tuple[Problem, ...]:
        """Read the configuration again; on any error keep the old one whole. Reloads come one after the other.

        Returns:
            The problems found, mere warnings included.
        """
        if self._load is None:
            return ()
        async with self._reloading:
            try:
                fresh = await asyncio.to_thread(self._load)
            except ConfigError as error:
                self.health.config_last_reload_successful = False
                _log_problems(error.problems)
                _LOG.error("reload_failed", problems=len(error.problems))
                return error.problems
            self._adopt(fresh)
            _log_problems(fresh.warnings)
            _LOG.info("reloaded", sites=len(fresh.inventory))
            return fresh.warnings

    def _adopt(self, fresh: Configuration) -> None:
        """Work by another configuration from now on, all of it at once."""
        self._configuration = fresh
        self.plan.replace_sites(
            plannables(fresh.inventory, fresh.profiles),
            fresh.event,
            caps_beside(fresh.reference, fresh.caps),
            fresh.intervals,
            clock.posix_now(),
        )
        cards = self._centre.equipment.cards
        cards.retitle(fresh.event.title)
        cards.prepare(video_rates(fresh))
        self.reference.reload(fresh.reference)
        self.store.replace_inventory(fresh.inventory)
        self.runner.reload(_book(fresh))
        self.health.config_last_reload_successful = True

    def _judge(self, state: SiteState, result: ProbeResult, /, *, now: datetime) -> SiteState:
        return judge(state, result, self._configuration.confirmation, now)

    async def _place_with_history(self, site: CallSite) -> Finished:
        if earlier := self._losses.of(site.target.site or ""):
            site = dataclasses.replace(site, earlier=earlier)
        finished = await self._place(site)
        return await self.reference.settle(finished)

    def _may_start(self, call_seconds: float) -> bool:
        return may_start(self._configuration.event, clock.posix_now(), call_seconds)

    def _sink(self, finished: Finished) -> bool:
        result = finished.result
        self._losses.note(finished)
        site = self._configuration.inventory.get(result.target.site or "")
        state = self.store.add(result, finished.evidence)
        if site is not None:
            self.aggregates.observe(result, site, self._configuration.inventory)
        self._invalid.update(result.invalid)
        self.on_result(finished)
        return result.grade is Grade.INVALID or (state is not None and wants_retry(state))

    async def _watch_health(self) -> None:
        while True:
            self.health.event_loop_lag_seconds = self._centre.equipment.lag.last
            self.health.schedule_lag_seconds = self.plan.lag(clock.posix_now())
            self.health.reference_up = self.reference.up
            if self._invalid:
                # One line for all: what spoils one call mostly spoils hundreds.
                _LOG.warning("measurements_invalid", reasons=dict(self._invalid))
                self._invalid.clear()
            await asyncio.sleep(_HEALTH_PERIOD)

    # --- hand commands, over the control socket --------------------------------------------------------------------

    def _reserve_by_hand(self, site: str, *, outside_window: bool, bandwidth_bps: float | None) -> str | None:
        return self.plan.reserve(site, clock.posix_now(), outside_window=outside_window, bandwidth_bps=bandwidth_bps)

    def _release_by_hand(self, site: str, *, called: bool) -> None:
        now = clock.posix_now()
        if called:
            state = self.store.state(site)
            self.plan.finished(site, now, bad=state is not None and wants_retry(state))
        else:
            self.plan.not_called(site, now)
        self.runner.wake()

    def _keep_by_hand(self, result: ProbeResult, evidence: Evidence) -> None:
        finished = Finished(result, evidence)
        if not self.reference.keeps_waiting(result):
            self._sink(finished)
            return
        # As any other, a bad one waits for the reference; the hand command doesn't wait with it.
        task = asyncio.get_running_loop().create_task(self._settle_by_hand(finished))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle_by_hand(self, finished: Finished) -> None:
        self._sink(await self.reference.settle(finished))

    async def _settle_now(self) -> None:
        """Keep what hand commands have told and what still waits, by what is known now."""
        tasks = tuple(self._settling)
        if tasks:
            # Each must have begun to wait, or cancelling would lose its result.
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _log_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        _LOG.log(logging.WARNING if problem.warning else logging.ERROR, "configuration", problem=str(problem))


def _book(configuration: Configuration) -> CallBook:
    return CallBook(
        configuration.inventory,
        configuration.profiles,
        configuration.provinces,
        configuration.carriers,
        tls=configuration.tls,
    )


def _ignore(_finished: Finished) -> None:
    return


def narrowed(configuration: Configuration, codes: frozenset[str]) -> Configuration:
    """Return the configuration with only these sites testable; the others keep their place in the tree."""
    kept = (
        site if site.code in codes or not site.testable else dataclasses.replace(site, probe=None)
        for site in configuration.inventory
    )
    return dataclasses.replace(configuration, inventory=Inventory(kept, configuration.inventory.tiers))

"""A simulated nation: every room of an inventory answers on an address of its own in 127.0.0.0/8, as a plan has it.

Owns starting, stopping, the hour of each fault and the account of it all. It shares our SIP stack and media
arithmetic, so it proves scale and outcomes, not correctness.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from bridge_monitor.domain import Inventory
from bridge_monitor.errors import ConfigError, LocalFaultError, Problem
from bridge_monitor.net import clock
from bridge_monitor.rtp.report import LatenessSummary
from bridge_monitor.sim import board as health
from bridge_monitor.sim.assignment import FaultSpan, SimulatedSite, assign, resolve, simulated_sites
from bridge_monitor.sim.board import LATENESS_EDGES_NS, lateness_quantile
from bridge_monitor.sim.faults import Fault, FaultKind, FaultPlan
from bridge_monitor.sim.media import Media
from bridge_monitor.sim.reflector import ReflectorSettings
from bridge_monitor.sim.report import NationReport, OwnFaults, SiteTruth
from bridge_monitor.sim.rooms import Rooms, Window
from bridge_monitor.sim.sip_sockets import Address, SipSockets, raise_file_limit

_LATE_SHARE: Final = 0.001
"""One packet in a thousand may be late before a run is void: what a 99.9 % quantile says."""
_TIMER_GRID: Final = 0.02
_STREAM_SALT: Final = 1
_MEDIA_SALT: Final = 2


@dataclass(frozen=True, slots=True)
class NationSettings:
    """How the nation is run.

    Attributes:
        own_stream_share: Part of the rooms (drawn by the plan's seed) that send a stream of their own and reports, as
            real rooms do; the others reflect what they receive, and report too.
        calls_per_address: Calls at once that one address takes; the next is busy.
        first_media_port: First of 2 × ``calls_per_address`` + 1 UDP ports for media; None takes free ones.
        answer_delay_seconds: From ringing to the answer of a healthy room.
        windows: When calls may be up, as POSIX seconds [start, end); empty means always. Others are counted.
        lateness_limit_seconds: A packet that leaves later than this is late.
        loop_lag_limit_seconds: A run whose SIP side was blocked longer than this is void.
        stop_seconds: How long `Nation.stop` waits for callers to take the BYE of rooms.
        media: How the media process works.
    """

    own_stream_share: float = 0.0
    calls_per_address: int = 4
    first_media_port: int | None = None
    answer_delay_seconds: float = 0.0
    windows: tuple[Window, ...] = ()
    lateness_limit_seconds: float = 0.02
    loop_lag_limit_seconds: float = 0.5
    stop_seconds: float = 1.0
    media: ReflectorSettings = field(default_factory=ReflectorSettings)


class Nation:
    """All rooms of an inventory that have a ``sip:`` endpoint in 127.0.0.0/8.

    Args:
        inventory: The sites.
        plan: What goes wrong.
        settings: How it is run.

    Raises:
        ConfigError: No site can be simulated, or two have the same address and port.
    """

    def __init__(
        self, inventory: Inventory, plan: FaultPlan | None = None, settings: NationSettings | None = None
    ) -> None:
        self._plan = plan or FaultPlan()
        self._settings = settings or NationSettings()
        self._sites = tuple(simulated_sites(inventory))
        _check_addresses(self._sites)
        self._index = {site.code: index for index, site in enumerate(self._sites)}
        self._assigned = assign(self._plan, inventory)
        rng = np.random.default_rng([self._plan.seed, _STREAM_SALT, len(self._sites)])
        self._own_stream = rng.random(len(self._sites)) < self._settings.own_stream_share
        self._spans: dict[int, list[FaultSpan]] = {}
        self._changes: list[tuple[float, int]] = []
        self._active: dict[int, tuple[Fault, ...]] = {}
        self._started: float | None = None
        self._stopped: float | None = None
        self._lag = 0.0
        self._media: Media | None = None
        self._rooms: Rooms | None = None
        self._sockets: SipSockets | None = None
        self._sip_overflowed = self._sip_unsent = 0
        self._media_died = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._tasks: list[asyncio.Task[None]] = []
        self._all_over: asyncio.Event | None = None

    @property
    def sites(self) -> tuple[SimulatedSite, ...]:
        """The rooms that are simulated."""
        return self._sites

    @property
    def planned(self) -> Mapping[str, tuple[Fault, ...]]:
        """The faults of each room that has any."""
        return self._assigned

    def sends_own_stream(self, code: str) -> bool:
        """Whether a healthy room sends a stream of its own rather than reflecting."""
        return bool(self._own_stream[self._index[code]])

    def faults_at(self, code: str, seconds: float) -> tuple[Fault, ...]:
        """Return the faults of a room ``seconds`` after the start; the nation must have been started."""
        return tuple(span.fault for span in self._spans.get(self._index[code], ()) if span.active(seconds))

    # --- running -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Have every room listen.

        Raises:
            LocalFaultError: A port or address can't be bound, too few files may be open, or the media process does not
                come up. Nothing is left behind.
        """
        settings = self._settings
        raise_file_limit(len(self._sites))
        rng = np.random.default_rng([self._plan.seed, _MEDIA_SALT])
        self._media = Media(self._sites, settings.calls_per_address, settings.first_media_port, settings.media, rng)
        try:
            await self._media.start()
            self._begin()
        except LocalFaultError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End every call from the rooms' side, wait a little for the callers to agree, close everything."""
        if self._rooms is not None and self._sockets is not None:
            self._all_over = asyncio.Event()
            self._rooms.hang_up(asyncio.get_running_loop().time())
            self._flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.stop_seconds):
                    await self._all_over.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sockets is not None:
            self._sip_overflowed, self._sip_unsent = self._sockets.dropped(), self._sockets.unsent
            self._sockets.close_all()
            self._sockets = None
        if self._media is not None and self._stopped is None:
            self._media_died = self._started is not None and not self._media.alive
            await self._media.stop()
            self._stopped = asyncio.get_running_loop().time()

    def _begin(self) -> None:
        assert self._media is not None  # noqa: S101 - start() has just made it
        loop = asyncio.get_running_loop()
        self._started = loop.time()
        posix = clock.posix_now()
        self._rooms = Rooms(
            self._sites,
            self._media,
            clock.token,
            windows=self._settings.windows,
            posix_offset=posix - self._started,
            answer_delay=self._settings.answer_delay_seconds,
        )
        self._sockets = SipSockets(self._on_datagram, self._flush)
        zone, started_at = ZoneInfo(self._plan.zone), clock.utc(posix)
        for code, faults in self._assigned.items():
            spans = [resolve(fault, started_at, zone) for fault in faults]
            self._spans[self._index[code]] = spans
            for span in spans:
                self._changes += [(at, self._index[code]) for at in (span.begin, span.end) if 0.0 < at < float("inf")]
        heapq.heapify(self._changes)
        for index in range(len(self._sites)):
            self._apply_faults(index, 0.0)
        self._tasks.append(loop.create_task(self._watch_lag(), name="nation-lag"))
        self._flush()

    def _apply_faults(self, index: int, seconds: float) -> None:
        """Make one room be what the plan has it be at this time."""
        assert self._media is not None  # noqa: S101 - running
        assert self._rooms is not None  # noqa: S101 - running
        assert self._sockets is not None  # noqa: S101 - running
        faults = tuple(span.fault for span in self._spans.get(index, ()) if span.active(seconds))
        self._active[index] = faults
        self._media.set_line(index, faults, own_stream=bool(self._own_stream[index]))
        self._rooms.set_faults(index, faults, asyncio.get_running_loop().time())
        dead = any(fault.kind is FaultKind.DEAD for fault in faults)
        if dead:
            self._sockets.close(index)
        elif not self._sockets.is_open(index):
            site = self._sites[index]
            self._sockets.open(index, (site.host, site.port))

    def _on_datagram(self, index: int, data: bytes, source: Address) -> None:
        if self._rooms is not None:
            self._rooms.receive(index, data, source, asyncio.get_running_loop().time())

    def _flush(self) -> None:
        """Send what rooms have to send and arm the one timer."""
        if self._rooms is None or self._sockets is None or self._started is None:
            return
        for index, data, destination in self._rooms.datagrams_to_send():
            self._sockets.send(index, data, destination)
        if self._all_over is not None and not self._calls_up():
            self._all_over.set()
        due = self._rooms.get_timer()
        if self._changes:
            due = min(due or float("inf"), self._started + self._changes[0][0])
        # What is due within 20 ms is done together: waking up costs as much as a room's timer itself.
        due = None if due is None else math.ceil(due / _TIMER_GRID) * _TIMER_GRID
        if due is not None and due < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due
            self._timer = asyncio.get_running_loop().call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        if self._rooms is None or self._started is None:
            return
        self._timer, self._timer_at = None, float("inf")
        now = asyncio.get_running_loop().time()
        seconds = now - self._started
        while self._changes and self._changes[0][0] <= seconds:
            at, index = heapq.heappop(self._changes)
            self._apply_faults(index, at)
        self._rooms.handle_timer(now)
        self._flush()

    async def _watch_lag(self) -> None:
        monitor = clock.LoopLagMonitor()
        monitor.start()
        try:
            while True:
                await asyncio.sleep(1.0)
                self._lag = max(self._lag, monitor.last, monitor.worst_since(float("-inf")))
        finally:
            await monitor.stop()

    # --- the account -------------------------------------------------------------------------------------------------

    def report(self) -> NationReport:
        """Return the account so far; after `stop` it is final.

        Raises:
            LocalFaultError: The nation was never started.
        """
        media, rooms = self._media, self._rooms
        if media is None or rooms is None or self._started is None:
            raise LocalFaultError("the simulated nation has not been started: there is nothing to report")
        now = self._stopped if self._stopped is not None else asyncio.get_running_loop().time()
        own = self._own_faults(media)
        sites = {site.code: self._truth(index, media, rooms) for index, site in enumerate(self._sites)}
        return NationReport(
            seconds=now - self._started,
            void_reasons=self._void_reasons(own),
            own=own,
            packets=int(media.board.health[health.PACKETS]),
            strays=int(media.board.health[health.STRAY]),
            dialogs_open=sum(truth.dialogs_open for truth in sites.values()),
            calls_outside_window=sum(truth.sip.calls_outside_window for truth in sites.values())
            + rooms.open_calls_outside_windows(now),
            sites=sites,
        )

    def _truth(self, index: int, media: Media, rooms: Rooms) -> SiteTruth:
        board, code = media.board, self._sites[index].code
        return SiteTruth(
            code=code,
            active_faults=self._active.get(index, ()),
            planned_faults=self._assigned.get(code, ()),
            sip=rooms.record(index),
            dialogs_open=rooms.dialogs_open(index),
            calls_up=rooms.calls_up(index),
            received=int(board.received[index]),
            sent=int(board.sent[index]),
            dropped_to_room=int(board.dropped_to_room[index]),
            dropped_from_room=int(board.dropped_from_room[index]),
            large_dropped=int(board.large_dropped[index]),
            duplicated=int(board.duplicated[index]),
            held_back=int(board.held_back[index]),
            after_bye=int(board.after_bye[index]),
            unreadable=int(board.unreadable[index]),
            rtcp_received=int(board.rtcp_received[index]),
            rtcp_sent=int(board.rtcp_sent[index]),
        )

    def _own_faults(self, media: Media) -> OwnFaults:
        figures, histogram = media.board.health, media.board.lateness.copy()
        total = int(histogram.sum())
        p50, p99 = lateness_quantile(histogram, 0.5), lateness_quantile(histogram, 0.99)
        lateness = None
        if p50 is not None and p99 is not None:
            lateness = LatenessSummary(p50, p99, int(figures[health.LATENESS_MAX_NS]) / 1e9, total)
        over = int(np.searchsorted(LATENESS_EDGES_NS, round(self._settings.lateness_limit_seconds * 1e9)))
        if self._sockets is not None:
            self._sip_overflowed, self._sip_unsent = self._sockets.dropped(), self._sockets.unsent
        return OwnFaults(
            sip_overflowed=self._sip_overflowed,
            sip_unsent=self._sip_unsent,
            media_overflowed=int(figures[health.OVERFLOWED]),
            media_unsent=int(figures[health.UNSENT]),
            queue_full=int(figures[health.QUEUE_FULL]),
            late_packets=int(histogram[over + 1 :].sum()),
            lateness=lateness,
            loop_lag_seconds=self._lag,
        )

    def _void_reasons(self, own: OwnFaults) -> tuple[str, ...]:
        samples = own.lateness.samples if own.lateness is not None else 0
        died = self._media_died or (self._stopped is None and self._media is not None and not self._media.alive)
        checks = {
            "sip_overflow": own.sip_overflowed > 0,
            "sip_unsent": own.sip_unsent > 0,
            "media_overflow": own.media_overflowed > 0,
            "media_unsent": own.media_unsent > 0,
            "delay_queue_full": own.queue_full > 0,
            "media_late": own.late_packets > _LATE_SHARE * samples,
            "loop_lag": own.loop_lag_seconds > self._settings.loop_lag_limit_seconds,
            "media_process_died": died,
        }
        return tuple(reason for reason, found in checks.items() if found)

    def _calls_up(self) -> bool:
        return self._rooms is not None and any(self._rooms.calls_up(index) for index in range(len(self._sites)))


def _check_addresses(sites: tuple[SimulatedSite, ...]) -> None:
    if not sites:
        mend = "give at least one site an endpoint such as sip:room@127.1.0.1"
        raise ConfigError((Problem("inventory", 0, "no site has a sip: endpoint in 127.0.0.0/8", mend),))
    first: dict[Address, str] = {}
    problems = []
    for site in sites:
        other = first.setdefault((site.host, site.port), site.code)
        if other != site.code:
            what = f"sites {other} and {site.code} both have {site.host}:{site.port}"
            problems.append(Problem("inventory", 0, what, "a simulated room needs an address of its own"))
    if problems:
        raise ConfigError(tuple(problems))

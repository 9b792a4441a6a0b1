"""Places the calls that the plan says are due, and hands their results on.

Owns the tasks of calls in flight; must not know what becomes of a result: `daemon` wires the sink.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import structlog

from bridge_monitor.domain import Outcome
from bridge_monitor.errors import RefusedError
from bridge_monitor.net import clock
from bridge_monitor.net.locks import SiteLocks
from bridge_monitor.net.polling import PACE_SECONDS, on_the_grid
from bridge_monitor.probes.book import CallBook
from bridge_monitor.probes.profile import Profile
from bridge_monitor.probes.shapes import CallSite, Finished
from bridge_monitor.schedule import Planner

_LOG = structlog.get_logger(__name__)
_LONGEST_NAP_SECONDS: Final = 1.0
SHORTEST_NAP_SECONDS: Final = PACE_SECONDS
"""Calls that fall due closer to each other start together."""
_REST_SECONDS: Final = SHORTEST_NAP_SECONDS / 2
"""The grid that naps end on makes one pace of it."""
OVERLOADED_SECONDS: Final = 0.1
"""While the event loop runs what is due so late, no planned call is started: one more would spoil those that are up,
which are invalid from `probes.call.LAG_LIMIT_SECONDS` on. So the pace is what this machine carries, where that is less
than the caps allow."""
_T = TypeVar("_T")

PlaceCall = Callable[[CallSite], Awaitable[Finished]]
Sink = Callable[[Finished], bool]
"""Keeps a finished call; says whether the site has to be tried again soon."""


def _in_time() -> float:
    return 0.0


class Runner:
    """The calls of this process.

    Args:
        plan: Who is due, under which caps.
        book: How each site is called.
        place: Places one call; never raises for what a room does.
        locks: One call at a time per site, over all processes.
        sink: Is given each finished call once.
        lag: Tells how late the event loop ran what was due, in seconds.
    """

    def __init__(
        self,
        plan: Planner,
        book: CallBook,
        place: PlaceCall,
        locks: SiteLocks,
        sink: Sink,
        *,
        lag: Callable[[], float] = _in_time,
    ) -> None:
        self.plan = plan
        self.book = book
        self._place = place
        self._locks = locks
        self._sink = sink
        self._lag = lag
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._looked = 0.0
        self._stopping = False

    @property
    def in_flight(self) -> int:
        """Number of calls up or being set up."""
        return len(self._tasks)

    async def run(self, *, until_swept: bool = False) -> None:
        """Place calls as they fall due until `stop`, or, with ``until_swept``, until each site had its turn once."""
        try:
            while not self._stopping:
                now = clock.posix_now()
                if self._lag() < OVERLOADED_SECONDS:
                    for code in self.plan.due(now):
                        self._start(code)
                if until_swept and not self._tasks and self.plan.progress().finished_at is not None:
                    return
                await self._nap(self.plan.next_wakeup(now), now)
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None

    async def stop(self, patience: float = 6.0) -> None:
        """Place no more calls and end those in flight, each with CANCEL or BYE.

        Args:
            patience: Seconds after which calls that still don't end are left to the journal.
        """
        self._stopping = True
        self._wake.set()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=patience)

    async def call_now(self, code: str, profile: Profile | None = None) -> Finished:
        """Place one call by hand, under the same windows, caps and one-call-per-site rule; its result is sunk too.

        Raises:
            RefusedError: The plan or the site's lock says no, or `stop` has begun.
            KeyError: There is no such site.
        """
        self._refuse_unless("stopping" if self._stopping else None, code)
        site = self.book.inventory[code]
        if not site.testable:
            raise RefusedError("not_testable", f"site {code} is not testable from here")
        call_site = self.book.look_up(site, profile)
        reason = self.plan.reserve(
            code,
            clock.posix_now(),
            call_seconds=call_site.profile.longest_call_seconds,
            bandwidth_bps=call_site.profile.bandwidth_bps,
        )
        self._refuse_unless(reason, code)
        if not self._locks.acquire(code):
            self.plan.not_called(code, clock.posix_now())
            self._refuse_unless("site_in_call", code)
        # A task of its own, like the planned ones: it counts as in flight, and `stop` ends it.
        return await self._keep(code, asyncio.get_running_loop().create_task(self._call(code, call_site)))

    def reload(self, book: CallBook) -> None:
        """Call by another book from the next call on; the caller has replaced the plan's sites."""
        self.book = book
        self._wake.set()

    def wake(self) -> None:
        """Ask the plan again now: something outside has changed it."""
        self._wake.set()

    @staticmethod
    def _refuse_unless(reason: str | None, code: str) -> None:
        if reason is not None:
            raise RefusedError(reason, f"site {code}: {reason}")

    def _start(self, code: str) -> None:
        site = self.book.inventory.get(code)
        if site is None or not site.testable:
            self.plan.finished(code, clock.posix_now(), bad=False)
            return
        if not self._locks.acquire(code):
            # Another process has it in a call: that is a turn missed, not a fault of the site.
            self.plan.not_called(code, clock.posix_now())
            return
        call_site = self.book.look_up(site)
        self._keep(code, asyncio.get_running_loop().create_task(self._supervise(code, call_site), name=f"call-{code}"))

    def _keep(self, code: str, task: asyncio.Task[_T]) -> asyncio.Task[_T]:
        def forget(_done: asyncio.Task[_T]) -> None:
            if self._tasks.get(code) is task:
                del self._tasks[code]
            # Caps are free again; hundreds of ends a second need no look at the plan each.
            self._wake_by(self._looked + _REST_SECONDS)

        self._tasks[code] = task
        task.add_done_callback(forget)
        return task

    async def _supervise(self, code: str, call_site: CallSite) -> None:
        try:
            await self._call(code, call_site)
        except Exception:  # noqa: BLE001 - our bug in one call must not end the others; it is logged whole
            _LOG.exception("call_failed_inside", site=code)

    async def _call(self, code: str, call_site: CallSite) -> Finished:
        bad = busy = False
        try:
            finished = await self._place(call_site)
            busy = finished.result.outcome in {Outcome.BUSY, Outcome.CANCELLED}
            bad = self._sink(finished)
        except Exception:
            bad = True
            raise
        finally:
            self._locks.release(code)
            self.plan.finished(code, clock.posix_now(), bad=bad, busy=busy)
        return finished

    async def _nap(self, wakeup: float | None, now: float) -> None:
        nap = _LONGEST_NAP_SECONDS
        if wakeup is not None:
            # The plan makes up for slots passed meanwhile: hundreds of calls a second need no wake-up each.
            nap = min(max(wakeup - now, _REST_SECONDS), nap)
        self._wake.clear()
        self._looked = asyncio.get_running_loop().time()
        self._wake_by(self._looked + nap)
        await self._wake.wait()

    def _wake_by(self, at: float) -> None:
        """Ask the plan again at a loop time, or soon if that is past."""
        # Not `asyncio.timeout`, which cancels a task and catches it again: this goes on hundreds of times a second.
        due = on_the_grid(at)
        if self._alarm is None or due < self._alarm.when():
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = asyncio.get_running_loop().call_at(due, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        self._wake.set()

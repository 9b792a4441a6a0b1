"""How long code holds the event loop: each stretch that it runs without giving the loop back.

Owns the measuring, inside the daemon that is measured; what a figure means is the benchmark's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

from bridge_monitor.net import clock
from bridge_monitor.web.freshener import Freshener
from bridge_monitor.web.scrape import Metrics

_SHORT: float = 0.001
"""Stretches below it are counted, and not noted one by one."""


class Held:
    """Stretches by what ran.

    Attributes:
        stretches: (what, when it ended, seconds on the clock, of them on the processor) of those that were long: on the
            clock also counts what the kernel ran in between, the engine above all.
        cpu: Processor time of all stretches by what ran.
    """

    def __init__(self) -> None:
        self.stretches: list[tuple[str, float, float, float]] = []
        self.cpu: dict[str, float] = {}

    def watch(self) -> None:
        """Note from now on what scrapes and the rendering ahead of them hold."""
        handle, step = Metrics.handle, Freshener.step

        async def watched_handle(metrics: Metrics, request: Any) -> Any:
            return await _Driven(self, "scrape", handle(metrics, request))

        def watched_step(freshener: Freshener) -> None:
            self.timed("ahead", partial(step, freshener))

        Metrics.handle = watched_handle  # type: ignore[method-assign]
        Freshener.step = watched_step  # type: ignore[method-assign]

    def timed(self, what: str, work: Callable[[], Any]) -> Any:
        """Run one stretch."""
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return work()
        finally:
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            self.cpu[what] = self.cpu.get(what, 0.0) + cpu
            if wall > _SHORT:
                self.stretches.append((what, clock.posix_now(), wall, cpu))


class _Driven:
    """A coroutine of which each step, from one wait to the next, is a stretch."""

    def __init__(self, held: Held, what: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._held = held
        self._what = what
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        step = partial(self._coroutine.send, None)
        while True:
            try:
                waits_for = self._held.timed(self._what, step)
            except StopIteration as done:
                return done.value
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 (a cancellation, too, is the coroutine's)
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, None)

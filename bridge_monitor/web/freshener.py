"""Rendering ahead of the scrape: what results have changed is rendered a little at a time while calls are made.

Owns when and how much; the text is the exporter's. Each result must be rendered once anyhow if it is to be scraped:
done here it doesn't wait for the scrape, and the scrape doesn't wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from bridge_monitor.web.exporter import Exporter
from bridge_monitor.web.services import AppServices

_LOG = structlog.get_logger(__name__)

STEP_SECONDS: Final = 0.1

ROUND_STEPS: Final = 20
"""Steps in which every site has had its turn, whether or not a result came: a reload changes all of them. What results
have changed is rendered in the next step: at 200 calls a second a scrape finds some 20 sites still to render."""

STEP_BUSY_SECONDS: Final = 0.002
"""Processor time after which a step leaves the rest to another: a reload has everything rendered."""

SOON_SECONDS: Final = 0.03
"""From a step that left a rest to the next: a full core's calls come first."""

IDLE_STEPS: Final = 3000
"""Steps after the last scrape (five minutes) until nobody is taken to scrape any more."""


class Freshener:
    """Keeps the exporter's text nearly up to date, from the first scrape on and while somebody scrapes.

    Args:
        exporter: Whose text.
        services: The daemon.
        busy: Processor time of this thread so far, in seconds.
    """

    def __init__(
        self, exporter: Exporter, services: AppServices, *, busy: Callable[[], float] = time.thread_time
    ) -> None:
        self._exporter = exporter
        self._services = services
        self._busy = busy
        self._left = 0
        self._wanted = asyncio.Event()

    def scraped(self) -> None:
        """Somebody scrapes: go on, or begin again."""
        self._left = IDLE_STEPS
        self._wanted.set()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                if self._left == 0:
                    self._wanted.clear()
                    await self._wanted.wait()
                await asyncio.sleep(SOON_SECONDS if self.step() else STEP_SECONDS)
        except Exception:  # noqa: BLE001 (a scrape meets it too, and says so; without this task it is only slower)
            _LOG.exception("metrics_not_rendered_ahead")

    def step(self) -> bool:
        """Render the next few sites, if somebody scrapes; return whether time ran out before all was done."""
        if self._left == 0:
            return False
        end = self._busy() + STEP_BUSY_SECONDS
        snapshot, aggregates = self._services.snapshot(), self._services.aggregates
        while aggregates.news:
            if self._busy() >= end:
                return True
            self._exporter.freshen_site(aggregates.news.pop(), snapshot, aggregates.packets)
        runs, done = 1, 0
        while done < runs:
            if self._busy() >= end:
                return True
            runs = -(-self._exporter.freshen(snapshot, aggregates.packets) // ROUND_STEPS)
            done += 1
        self._left -= 1
        return False

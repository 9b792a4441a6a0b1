"""How far the sweep is: each site's first result counts, whoever called it.

Owns the counting; must not know why a site is called.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from bridge_monitor.domain import SweepProgress


class Sweep:
    """The running sweep, or the last one."""

    def __init__(self) -> None:
        self._number = 0
        self._began = -math.inf
        self._started_at: datetime | None = None
        self._finished_at: datetime | None = None
        self._total = 0
        self._done: set[str] = set()

    def cover(self, sites: frozenset[str], now: float) -> None:
        """Cover these sites from now on; what was done of them stays done."""
        self._total = len(sites)
        self._done &= sites
        self._end_if_done(now)

    def started(self, time: float, now: float) -> None:
        """Take note of a planned call that is no retry; it begins a sweep if none runs.

        Args:
            time: Seconds that never run backwards.
            now: POSIX seconds.
        """
        if self._number == 0 or self._finished_at is not None:
            self._number += 1
            self._began = time
            self._started_at, self._finished_at = datetime.fromtimestamp(now, UTC), None
            self._done.clear()

    def finished(self, site: str, started: float, now: float) -> None:
        """Take note that a call to a covered site has ended, and when it had started; older ones don't count."""
        if self._number and self._finished_at is None and started >= self._began:
            self._done.add(site)
            self._end_if_done(now)

    def progress(self) -> SweepProgress:
        """Return how far it is."""
        return SweepProgress(self._number, self._started_at, self._finished_at, self._total, len(self._done))

    def _end_if_done(self, now: float) -> None:
        if self._finished_at is None and 0 < self._total == len(self._done):
            self._finished_at = datetime.fromtimestamp(now, UTC)

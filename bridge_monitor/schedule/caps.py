"""One cap's books: what the calls that are up take of it, and when the next may start.

Owns the arithmetic of pacing, counting and adding up bandwidth; must not know sites or windows. Times are seconds that
never run backwards (see `schedule.planner`).
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from bridge_monitor.schedule.settings import Caps

TOLERANCE_SECONDS: Final = 1e-6
"""POSIX seconds as floats resolve to a quarter of a microsecond: a wake-up at its very time must not come too early."""

CATCH_UP_SECONDS: Final = 0.2
"""A wake-up so late still keeps the rate: the slots missed are made up for at once. Later than that they are lost."""

_ROUNDING: Final = 1 + 1e-9


class Gate:
    """The state of one `Caps`.

    The rate is kept twice. Paced: each start opens the next slot 1 / rate later, so that starts are spread evenly (the
    generic cell rate algorithm, ITU-T I.371, tolerance `CATCH_UP_SECONDS`). Bounded: of the last n = max(1, ⌊rate⌋)
    starts the first is at least n / rate ago, so that catching up never breaks the cap in any second.

    Args:
        caps: The caps that hold here.
    """

    def __init__(self, caps: Caps) -> None:
        self.calls = 0
        self.bandwidth_bps = 0.0
        self._slot = -math.inf
        self._held_until = -math.inf
        self._starts: deque[float] = deque()
        self.set_caps(caps)

    def set_caps(self, caps: Caps) -> None:
        """Let other caps hold from now on; calls that are up and past starts stay in the books."""
        self._caps = caps
        rate = caps.calls_per_second
        self._starts = deque(self._starts, maxlen=max(1, math.floor(rate)) if rate else 1)
        self._spacing = 1 / rate if rate else 0.0

    def admits(self, bandwidth_bps: float) -> bool:
        """Return whether a call of this bandwidth could start if no other were up."""
        limit = self._caps.bandwidth_bps
        return limit is None or bandwidth_bps <= limit * _ROUNDING

    def ready_at(self, now: float, bandwidth_bps: float, *, by_hand: bool = False) -> float:
        """Return when a call may start here: `now`, a later moment, or infinity for "not before a call has ended"."""
        caps = self._caps
        if caps.calls_at_once is not None and self.calls >= caps.calls_at_once:
            return math.inf
        if caps.bandwidth_bps is not None and self.bandwidth_bps + bandwidth_bps > caps.bandwidth_bps * _ROUNDING:
            return math.inf
        ready = now
        if caps.calls_per_second is not None:
            ready = max(ready, self._slot)
            if len(self._starts) == self._starts.maxlen:
                ready = max(ready, self._starts[0] + len(self._starts) * self._spacing)
        if not by_hand:
            ready = max(ready, self._held_until)
        return now if ready <= now + TOLERANCE_SECONDS else ready

    def take(self, now: float, bandwidth_bps: float) -> None:
        """Count a call that starts now."""
        self.calls += 1
        self.bandwidth_bps += bandwidth_bps
        late = now - self._slot <= CATCH_UP_SECONDS
        self._slot = (self._slot if late else now) + self._spacing
        self._starts.append(now)

    def release(self, bandwidth_bps: float) -> None:
        """Count a call that has ended."""
        self.calls -= 1
        # Sums of floats drift: an empty gate is empty.
        self.bandwidth_bps = self.bandwidth_bps - bandwidth_bps if self.calls else 0.0

    def hold(self, until: float) -> None:
        """Keep what comes free until then for a call by hand."""
        self._held_until = until

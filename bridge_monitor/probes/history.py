"""The loss of each site's last calls: a grade rests on more packets than one call has.

Owns a few counts a site; must not grade.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from bridge_monitor.domain import Grade, Outcome
from bridge_monitor.probes.media import burst_ratio
from bridge_monitor.probes.shapes import Finished
from bridge_monitor.quality import LossCount, loss_counts

CALLS_KEPT: Final = 3
_TELLING: Final = frozenset({Grade.GOOD, Grade.DEGRADED, Grade.FAILED})


class LossHistory:
    """Loss by site over the last three valid calls."""

    def __init__(self) -> None:
        self._calls: dict[str, deque[tuple[LossCount, ...]]] = {}

    def note(self, finished: Finished) -> None:
        """Take a call into account if its loss was measured and it is valid."""
        result, code = finished.result, finished.result.target.site
        if code is None or result.outcome is not Outcome.REACHED or result.grade not in _TELLING:
            return
        if result.reason == "hung_up":
            return  # its last packets count as lost (`judge_answered`)
        streams = {"audio": finished.stream, "video": finished.video}
        bursts = {kind: burst_ratio(stream) for kind, stream in streams.items() if stream}
        counts = loss_counts(result.media, burst_ratio=bursts)
        if counts:
            self._calls.setdefault(code, deque(maxlen=CALLS_KEPT)).append(counts)

    def of(self, site: str) -> tuple[LossCount, ...]:
        """Return the loss of the site's last calls, oldest first."""
        return tuple(count for counts in self._calls.get(site, ()) for count in counts)

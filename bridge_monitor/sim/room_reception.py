"""What each call's room has received: the arithmetic of `rtp.columns`, done for many packets at once.

Owns what waits to be counted; whoever asks is told as if nothing waited.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bridge_monitor.rtp.columns import ReceptionColumns, ReportBlocks
from bridge_monitor.sim.board import Array

_MOST: Final = 2048
"""So many packets wait at most: a batch costs 80 µs, whatever is in it, and 70 ns more for each packet."""

Columns = tuple[Array, Array, Array, Array, Array]


class RoomReception:
    """What was received of many calls, a row each.

    Args:
        calls: How many.
    """

    def __init__(self, calls: int) -> None:
        self._columns = ReceptionColumns(calls)
        self._waiting: list[Columns] = []
        self._count = 0
        self._has_waiting = np.zeros(calls, np.bool_)

    def take(self, rows: Array, seq: Array, timestamp: Array, arrival_ns: Array, ssrc: Array) -> None:
        """Take a batch of packets in order of arrival (see `ReceptionColumns.receive`); the arrays become ours."""
        if not len(rows):
            return
        self._waiting.append((rows, seq, timestamp, arrival_ns, ssrc))
        self._has_waiting[rows] = True
        self._count += len(rows)
        if self._count >= _MOST:
            self.settle()

    def settle(self) -> None:
        """Count what waits."""
        if not self._waiting:
            return
        waiting, self._waiting, self._count = self._waiting, [], 0
        rows, seq, timestamp, arrival_ns, ssrc = (
            waiting[0] if len(waiting) == 1 else [np.concatenate(column) for column in zip(*waiting, strict=True)]
        )
        self._has_waiting[rows] = False
        self._columns.receive(rows, seq, timestamp, arrival_ns, ssrc)

    def reset(self, rows: Array) -> None:
        """Make rows new, for other calls; what waits is of the calls before."""
        if self._has_waiting[rows].any():
            self.settle()
        for row in rows.tolist():
            self._columns.reset(row)

    def report_blocks(self, rows: Array) -> ReportBlocks:
        """Return the blocks for these rooms' next reports; see `ReceptionColumns.report_blocks`."""
        if self._has_waiting[rows].any():
            self.settle()
        return self._columns.report_blocks(rows)

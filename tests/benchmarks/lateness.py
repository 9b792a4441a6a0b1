"""How late the engine's packets leave, over any stretch of time: read from its shared memory while it runs.

Owns the reading and the quantile; costs the engine and its parent nothing but cache lines.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from bridge_monitor.net.engine.layout import BINS, Layout, bin_edge_ns

_PERIOD: Final = 0.25


class LatenessTap:
    """Counts each packet's lateness as it appears in the rows; a thread does so until `close`.

    What a row counted between the last look and its next call is missed: an eighth of a second of a call's ten.

    Args:
        engine: The engine's process id.
    """

    def __init__(self, engine: int) -> None:
        words = Path(f"/proc/{engine}/cmdline").read_bytes().decode().split("\0")
        at = words.index("bridge_monitor.net.engine")
        rows = json.loads(words[at + 3])["rows"]
        fd = os.open(f"/proc/{engine}/fd/{words[at + 1]}", os.O_RDONLY)
        try:
            memory = mmap.mmap(fd, Layout.size(rows), access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        self._layout = Layout(rows, memoryview(memory))
        self._looks: list[tuple[float, Any]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        started, counts = self._layout.started_ns.copy(), self._layout.lateness.copy()
        while not self._closed.wait(_PERIOD):
            began, now = self._layout.started_ns.copy(), self._layout.lateness.copy()
            same = (began == started)[:, None]
            new = (now - np.where(same, counts, np.uint32(0))).sum(axis=0, dtype=np.int64)
            self._looks.append((time.time(), new))
            started, counts = began, now

    def between(self, begin: float, end: float, without: Sequence[tuple[float, float]] = ()) -> Any:
        """Return the histogram of the packets that left between two moments (POSIX).

        Args:
            begin: The first moment.
            end: The last.
            without: Spans to leave out, with all of a look that one of them touches.
        """
        return sum_of(self._looks, begin, end, without)


def sum_of(
    looks: Iterable[tuple[float, Any]], begin: float, end: float, without: Sequence[tuple[float, float]] = ()
) -> Any:
    """Add up the histograms of looks, each of which counts the quarter of a second before it."""
    inside = [
        new
        for at, new in looks
        if begin + _PERIOD < at <= end and not any(first < at and at - _PERIOD < last for first, last in without)
    ]
    return np.sum(inside, axis=0) if inside else np.zeros(BINS, np.int64)


def quantile_us(histogram: Any, share: float) -> float:
    """Return a quantile in µs, interpolated within its bin: bins are 9 % wide, as much as what is looked for."""
    counted = np.cumsum(histogram)
    if not counted[-1]:
        raise ValueError("no packet was counted")
    wanted = share * counted[-1]
    place = int(np.searchsorted(counted, wanted))
    below = counted[place - 1] if place else 0
    low = bin_edge_ns(place - 1) if place else 1000
    inside = (wanted - below) / max(1, histogram[place])
    return float(low * (bin_edge_ns(place) / low) ** inside / 1000)

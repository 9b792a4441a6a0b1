"""The engine's rows as columns in one piece of memory that both processes map.

Owns what lies where, and how a row's figures become a `StreamReport`. Only the engine's process writes; the parent
reads a row after it was told "finished", or between two equal, even values of ``version``.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge_monitor.net.engine.plan import INVALID_REASONS
from bridge_monitor.rtp.columns import ReceptionColumns
from bridge_monitor.rtp.echo import EchoColumns
from bridge_monitor.rtp.level import summarise
from bridge_monitor.rtp.report import LatenessSummary, PeerReportSummary, StreamReport

Array = NDArray[Any]

BINS_PER_OCTAVE: Final = 8
BINS: Final = 8 * 24
"""Lateness histogram: from 1 µs, in eighths of an octave (9 %), up to 16 s."""


class Phase(IntEnum):
    """Where a row stands."""

    IDLE = 0
    SENDING = 1
    TAIL = 2
    AWAITING_REPORT = 3
    DONE = 4


class Count(IntEnum):
    """Counts of the engine's process as a whole."""

    RTP_SENT = 0
    RTP_RECEIVED = 1
    RTCP_SENT = 2
    RTCP_RECEIVED = 3
    UNMATCHED = 4
    SOCKET_OVERFLOWS = 5
    SHORT_SENDS = 6
    STALLS = 7
    CLOCK_STEPS = 8
    CAPTURES_DROPPED = 9
    CPU_NS = 10


_COLUMNS: Final = (
    ("counts", np.int64, (len(Count),), False),
    ("version", np.uint32, (), True),
    ("phase", np.uint8, (), True),
    ("invalid", np.uint8, (), True),
    ("unexpected_source", np.uint8, (), True),
    ("sent", np.int64, (), True),
    ("large_sent", np.int64, (), True),
    ("first_rtp_ns", np.int64, (), True),
    ("started_ns", np.int64, (), True),
    ("ended_ns", np.int64, (), True),
    ("silent_reports", np.int64, (), True),
    ("lateness_max_ns", np.int64, (), True),
    ("level_energy", np.float64, (), True),
    ("level_loudest", np.float64, (), True),
    ("level_samples", np.int64, (), True),
    ("level_packets", np.int64, (), True),
    ("level_active", np.int64, (), True),
    ("lateness", np.uint32, (BINS,), True),
    ("unexpected_types", np.bool_, (128,), True),
)
_ALIGN: Final = 64
_WORD: Final = 8


class Layout:
    """The columns over a buffer of `size` bytes, all zeros at first.

    Attributes:
        counts: The process's own counts, see `Count`.
        version: Odd while a row is being changed.
        phase: `Phase` of the row.
        invalid: Bit i stands for ``INVALID_REASONS[i]``.
        unexpected_source: 1 if RTP came from elsewhere than the plan said.
        sent: RTP packets sent, large ones among them.
        large_sent: Large ones.
        first_rtp_ns: Arrival of the first valid RTP packet; 0 if none.
        started_ns: When sending began.
        ended_ns: When receiving ended; 0 before.
        silent_reports: Reports of the peer without a block on our stream.
        lateness_max_ns: The latest own packet's lateness.
        level_energy: Sum of mean square × samples over the packets looked at (`rtp.level`).
        level_loudest: The greatest mean square.
        level_samples: Samples looked at.
        level_packets: Packets looked at.
        level_active: Those above −60 dBov.
        lateness: Histogram of all of them.
        lateness_flat: The same, bin b of row r at ``r × BINS + b``.
        unexpected_types: Payload types received that were not accepted.
        reception: The peers' own streams.
        echo: Our streams come back.
    """

    counts: Array
    version: Array
    phase: Array
    invalid: Array
    unexpected_source: Array
    sent: Array
    large_sent: Array
    first_rtp_ns: Array
    started_ns: Array
    ended_ns: Array
    silent_reports: Array
    lateness_max_ns: Array
    level_energy: Array
    level_loudest: Array
    level_samples: Array
    level_packets: Array
    level_active: Array
    lateness: Array
    unexpected_types: Array

    def __init__(self, rows: int, buffer: memoryview) -> None:
        place = 0
        self._cleared: list[Array] = []
        words: list[int] = []
        for name, kind, shape, per_row in _COLUMNS:
            whole = (rows, *shape) if per_row else shape
            column: Array = np.ndarray(whole, kind, buffer, place)
            setattr(self, name, column)
            if per_row and not shape and column.itemsize == _WORD:
                words.append(place)
            elif per_row and name != "version":
                self._cleared.append(column)
            place += _aligned(column.nbytes)
        # The 8-byte columns lie together, at equal distances: a row of all of them is cleared at once.
        self._words: Array = np.ndarray((len(words), rows), np.int64, buffer, words[0], (_aligned(rows * _WORD), _WORD))
        self.lateness_flat: Array = self.lateness.reshape(-1)
        self.reception = ReceptionColumns(rows, buffer=buffer[place:])
        place += _aligned(ReceptionColumns.bytes_needed(rows))
        self.echo = EchoColumns(rows, buffer=buffer[place:])

    @staticmethod
    def size(rows: int) -> int:
        """Return the bytes needed for so many rows."""
        size = _aligned(ReceptionColumns.bytes_needed(rows)) + _aligned(EchoColumns.bytes_needed(rows))
        for _, kind, shape, per_row in _COLUMNS:
            whole = (rows, *shape) if per_row else shape
            size += _aligned(int(np.prod(whole)) * np.dtype(kind).itemsize)
        return size

    def reset(self, row: int, first_seq: int) -> None:
        """Make a row new, for another call."""
        self._words[:, row] = 0
        for column in self._cleared:
            column[row] = 0
        self.reception.reset(row)
        self.echo.reset(row, first_seq)

    def report(self, row: int, peer: PeerReportSummary | None, *, now_ns: int) -> StreamReport:
        """Return a row's figures as they stand.

        Args:
            row: The row.
            peer: What the peer reported of it, which is not kept here.
            now_ns: The end of a stream that has not ended.
        """
        flags = self.invalid.item(row)
        return StreamReport(
            packets_sent=self.sent.item(row),
            large_sent=self.large_sent.item(row),
            inbound=self.reception.summary(row),
            echo=self.echo.summary(row),
            peer=peer,
            unexpected_payload_types=tuple(self.unexpected_types[row].nonzero()[0].tolist()),
            unexpected_source=bool(self.unexpected_source.item(row)),
            first_rtp_ns=self.first_rtp_ns.item(row) or None,
            started_ns=self.started_ns.item(row),
            ended_ns=self.ended_ns.item(row) or now_ns,
            lateness=self._lateness(row),
            invalid=tuple(reason for bit, reason in enumerate(INVALID_REASONS) if flags >> bit & 1),
            peer_silent_reports=self.silent_reports.item(row),
            level=summarise(
                energy=self.level_energy.item(row),
                samples=self.level_samples.item(row),
                loudest=self.level_loudest.item(row),
                packets=self.level_packets.item(row),
                active_packets=self.level_active.item(row),
            ),
        )

    def _lateness(self, row: int) -> LatenessSummary | None:
        counted = self.lateness[row].cumsum(dtype=np.int64)
        samples = counted.item(-1)
        if not samples:
            return None
        greatest = self.lateness_max_ns.item(row)
        p50, p99 = counted.searchsorted((samples * 0.5, samples * 0.99)).tolist()
        return LatenessSummary(
            p50_seconds=min(bin_edge_ns(p50), greatest) / 1e9,
            p99_seconds=min(bin_edge_ns(p99), greatest) / 1e9,
            max_seconds=greatest / 1e9,
            samples=samples,
        )


def lateness_bins(lateness_ns: Array) -> Array:
    """Return the histogram bin of each lateness."""
    octaves = np.log2(np.maximum(lateness_ns, 1000) / 1000.0)
    bins: Array = np.minimum(octaves * BINS_PER_OCTAVE, BINS - 1).astype(np.intp)
    return bins


def bin_edge_ns(place: int) -> int:
    """Return the upper edge of a histogram bin."""
    return round(1000 * 2 ** ((place + 1) / BINS_PER_OCTAVE))


def _first_of_each_bin() -> list[int]:
    """Return the least lateness, in whole ns, of each histogram bin."""
    around = np.array([[bin_edge_ns(place - 1) + near for near in range(-2, 3)] for place in range(BINS)])
    within = lateness_bins(around) >= np.arange(BINS)[:, None]
    found: list[int] = around[np.arange(BINS), within.argmax(axis=1)].tolist()
    return found


_FIRST_OF_BIN: Final = _first_of_each_bin()


def lateness_bin(lateness_ns: int) -> int:
    """Return the histogram bin of one lateness, the same as `lateness_bins` does of many."""
    return max(0, bisect_right(_FIRST_OF_BIN, lateness_ns) - 1)


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN

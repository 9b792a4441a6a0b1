"""Reception of thousands of streams at once: `reception.Reception`'s arithmetic on rows of one numpy array.

Owns the rows' layout, which fits shared memory (all zeros is "nothing received"); must not read clocks. The engine
feeds it 100,000 packets/s on one core, so the usual case (each packet continues its stream, each row once in a batch)
is straight array code and the rare ones work on the few rows they concern.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge_monitor.rtp.reception import (
    MAX_DROPOUT,
    MAX_MISORDER,
    MAX_TRANSIT_STEP_NS,
    PLAYOUT_NS,
    WINDOW,
    burst_ratio,
)
from bridge_monitor.rtp.report import ReceptionSummary
from bridge_monitor.rtp.rounds import rounds
from bridge_monitor.rtp.rtcp import ReportBlock

Ints = NDArray[np.int64]


class _F(IntEnum):
    """Fields of a row, 64-bit integers."""

    HIGHEST = 0  # extended; 0: nothing received yet, since counting starts at cycle 1
    BASE = 1
    SSRC = 2
    RATE = 3
    LAST_NS = 4
    LAST_TIMESTAMP = 5
    RECEIVED = 6
    JITTER = 7
    JITTER_SUM = 8
    JITTER_MAX = 9
    JITTER_COUNT = 10
    TRANSIT = 11
    LEAST_TRANSIT = 12
    LATE = 13
    REORDERED = 14
    DUPLICATES = 15
    FIRST_NS = 16
    CANDIDATE = 17  # (SSRC << 16 | sequence number) + 1; 0: none
    REJECTED = 18
    RESTARTS = 19
    EXPECTED_BEFORE = 20  # of the segments before the last restart
    LOST_BEFORE = 21
    EXPECTED_REPORTED = 22  # as of the last report block
    RECEIVED_REPORTED = 23
    FIRST_CYCLE = 24  # of the present segment


_FIELDS: Final = len(_F)


class ReportBlocks(NamedTuple):
    """The report blocks of several rows by column; where ``heard`` is False nothing was received, and there is none."""

    heard: NDArray[np.bool_]
    ssrc: Ints
    fraction_lost: Ints
    cumulative_lost: Ints
    highest_sequence: Ints
    jitter: Ints


class ReceptionColumns:
    """What was received of many streams, a row each.

    Args:
        rows: How many.
        clock_rate: The codec's clock, Hz, of rows that `reset` gives no other.
        buffer: Where the rows live, `bytes_needed` bytes, 8-byte aligned; it is taken as it is (all zeros: nothing
            received), so that another process can read along. None: memory of its own.
    """

    def __init__(self, rows: int, clock_rate: int = 8000, *, buffer: memoryview | None = None) -> None:
        needed = self.bytes_needed(rows)
        memory = np.zeros(needed, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8, needed)
        split = rows * _FIELDS * 8
        self._clock_rate = clock_rate
        self._rows: Ints = memory[:split].view(np.int64).reshape(rows, _FIELDS)
        # Ring of the extended sequence numbers received: tells duplicates apart without clearing bits on the way.
        self._seen: NDArray[np.int32] = memory[split:].view(np.int32).reshape(rows, WINDOW)
        self._seen_flat = self._seen.reshape(-1)

    @staticmethod
    def bytes_needed(rows: int) -> int:
        """Return the size of the buffer for so many rows."""
        return rows * (_FIELDS * 8 + WINDOW * 4)

    def reset(self, row: int, clock_rate: int | None = None) -> None:
        """Make the row new, for another call."""
        self._rows[row] = 0
        self._rows[row, _F.RATE] = clock_rate or self._clock_rate
        self._seen[row] = 0

    def receive(self, rows: Ints, seq: Ints, timestamp: Ints, arrival_ns: Ints, ssrc: Ints | None = None) -> None:
        """Take a batch of packets in order of arrival; a row may occur any number of times.

        Args:
            rows: Row of each packet.
            seq: Sequence numbers, 16 bits.
            timestamp: RTP timestamps, 32 bits.
            arrival_ns: Kernel receive times, CLOCK_REALTIME nanoseconds.
            ssrc: Synchronisation sources; None: all of one.
        """
        if not len(rows):
            return
        if ssrc is None:
            ssrc = np.zeros(len(rows), np.int64)
        for places in rounds(rows):
            self._receive_round(rows[places], seq[places], timestamp[places], arrival_ns[places], ssrc[places])

    def received(self, row: int) -> int:
        """Return how many different packets the row received."""
        return int(self._rows[row, _F.RECEIVED])

    def summary(self, row: int) -> ReceptionSummary | None:
        """Return what was counted; None if nothing was received."""
        state = self._rows[row].tolist()
        if not state[_F.HIGHEST]:
            return None
        expected = state[_F.EXPECTED_BEFORE] + state[_F.HIGHEST] - state[_F.BASE] + 1
        count = state[_F.JITTER_COUNT]
        return ReceptionSummary(
            expected=expected,
            received=state[_F.RECEIVED],
            lost=expected - state[_F.RECEIVED],
            duplicates=state[_F.DUPLICATES],
            reordered=state[_F.REORDERED],
            jitter_seconds=state[_F.JITTER_SUM] / count / 16e9 if count else None,
            jitter_max_seconds=state[_F.JITTER_MAX] / 16e9 if count else None,
            first_arrival_ns=state[_F.FIRST_NS],
            last_arrival_ns=state[_F.LAST_NS],
            ssrc=state[_F.SSRC],
            restarts=state[_F.RESTARTS],
            rejected=state[_F.REJECTED],
            late=state[_F.LATE],
            burst_ratio=self._burst_ratio(row, state[_F.BASE], state[_F.HIGHEST]),
        )

    def report_block(self, row: int, *, lsr: int = 0, dlsr: int = 0) -> ReportBlock | None:
        """Return the block for our next SR or RR (RFC 3550 A.3); None if nothing was received.

        Its cumulative count is of the present source alone, and, unlike A.3's, never netted against duplicates.

        Args:
            row: The row.
            lsr: NTP short of the last SR received; 0 if none.
            dlsr: Time since then, 1/65536 s.
        """
        state = self._rows[row].tolist()
        highest, base, ssrc, rate, _, _, received, jitter = state[: _F.JITTER + 1]
        if not highest:
            return None
        before, lost_before, expected_reported, received_reported, first_cycle = state[_F.EXPECTED_BEFORE :]
        expected = before + highest - base + 1
        expected_since = expected - expected_reported
        lost_since = expected_since - (received - received_reported)
        self._rows[row, _F.EXPECTED_REPORTED] = expected
        self._rows[row, _F.RECEIVED_REPORTED] = received
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost=min(max(lost_since, 0) * 256 // expected_since, 255) if expected_since > 0 else 0,
            cumulative_lost=expected - received - lost_before,
            highest_sequence=((highest >> 16) - first_cycle << 16 | highest & 0xFFFF) & 0xFFFFFFFF,
            jitter=(jitter >> 4) * rate // 1_000_000_000,
            lsr=lsr,
            dlsr=dlsr,
        )

    def report_blocks(self, rows: Ints) -> ReportBlocks:
        """Return what `report_block` does for each of these rows, all different; LSR and DLSR are the caller's."""
        state = self._rows.take(rows, axis=0).T
        highest, received = state[_F.HIGHEST], state[_F.RECEIVED]
        heard = highest != 0
        expected = state[_F.EXPECTED_BEFORE] + highest - state[_F.BASE] + 1
        since = expected - state[_F.EXPECTED_REPORTED]
        lost_since = since - (received - state[_F.RECEIVED_REPORTED])
        self._rows[rows[heard], _F.EXPECTED_REPORTED] = expected[heard]
        self._rows[rows[heard], _F.RECEIVED_REPORTED] = received[heard]
        fraction = np.minimum(np.maximum(lost_since, 0) * 256 // np.maximum(since, 1), 255)
        cycles = (highest >> 16) - state[_F.FIRST_CYCLE]
        return ReportBlocks(
            heard=heard,
            ssrc=state[_F.SSRC],
            fraction_lost=fraction * (since > 0),
            cumulative_lost=expected - received - state[_F.LOST_BEFORE],
            highest_sequence=(cycles << 16 | highest & 0xFFFF) & 0xFFFFFFFF,
            jitter=(state[_F.JITTER] >> 4) * state[_F.RATE] // 1_000_000_000,
        )

    def _receive_round(self, rows: Ints, seq: Ints, timestamp: Ints, arrival_ns: Ints, ssrc: Ints) -> None:
        """Take packets of different rows."""
        state = self._rows.take(rows, axis=0)
        highest = state[:, _F.HIGHEST]
        delta = (seq - highest + 0x8000 & 0xFFFF) - 0x8000
        extended = highest + delta
        continues = (delta < MAX_DROPOUT) & (delta > -MAX_MISORDER) & (ssrc == state[:, _F.SSRC]) & (highest > 0)
        taken = np.ones(len(rows), np.bool_)
        if not continues.all():
            for place in np.flatnonzero(~continues).tolist():
                began = self._begin(int(rows[place]), state[place], int(seq[place]), int(ssrc[place]))
                taken[place] = began is not None
                extended[place] = began or 0
                state[place, _F.FIRST_NS] = state[place, _F.FIRST_NS] or arrival_ns[place]
        if state[:, _F.CANDIDATE].any():
            state[continues, _F.CANDIDATE] = 0

        cell = rows * WINDOW + (extended & (WINDOW - 1))
        again = taken & (self._seen_flat[cell] == extended)
        if again.any():
            state[again, _F.DUPLICATES] += 1
            taken &= ~again
        if taken.all():
            self._seen_flat[cell] = extended
            self._count(state, extended, timestamp, arrival_ns, continues)
            self._rows[rows] = state
            return
        self._rows[rows] = state
        rows, state = rows[taken], state[taken]
        self._seen_flat[cell[taken]] = extended[taken]
        self._count(state, extended[taken], timestamp[taken], arrival_ns[taken], continues[taken])
        self._rows[rows] = state

    def _begin(self, row: int, state: Ints, seq: int, ssrc: int) -> int | None:
        """Begin a row, or a segment after a restart; None if the packet is rejected and its successor awaited."""
        if state[_F.HIGHEST] == 0:
            state[_F.HIGHEST] = state[_F.BASE] = 1 << 16 | seq
            state[_F.SSRC] = ssrc
            state[_F.RATE] = state[_F.RATE] or self._clock_rate
            state[_F.FIRST_CYCLE] = 1
            return 1 << 16 | seq
        if state[_F.CANDIDATE] != (ssrc << 16 | seq) + 1:
            state[_F.CANDIDATE] = (ssrc << 16 | seq + 1 & 0xFFFF) + 1
            state[_F.REJECTED] += 1
            return None
        cycle = (int(state[_F.HIGHEST]) >> 16) + 2  # a cycle apart, so that the ring needs no clearing
        extended = cycle << 16 | seq
        state[_F.EXPECTED_BEFORE] += state[_F.HIGHEST] - state[_F.BASE] + 1
        state[_F.LOST_BEFORE] = state[_F.EXPECTED_BEFORE] - state[_F.RECEIVED]
        state[_F.HIGHEST] = state[_F.BASE] = extended - 1
        state[_F.SSRC] = ssrc
        state[_F.FIRST_CYCLE] = cycle
        state[_F.CANDIDATE] = 0
        state[_F.RECEIVED] += 1
        state[_F.REJECTED] -= 1
        state[_F.RESTARTS] += 1
        self._seen[row, extended - 1 & WINDOW - 1] = extended - 1
        return extended

    @staticmethod
    def _count(state: Ints, extended: Ints, timestamp: Ints, arrival_ns: Ints, continues: NDArray[np.bool_]) -> None:
        """Count packets taken for the first time, in place."""
        state[:, _F.RECEIVED] += 1
        highest = state[:, _F.HIGHEST]
        behind = extended < highest
        if behind.any():
            state[:, _F.REORDERED] += behind
            np.minimum(state[:, _F.BASE], extended, out=state[:, _F.BASE])
        np.maximum(highest, extended, out=highest)

        ticks = (timestamp - state[:, _F.LAST_TIMESTAMP] + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        step = arrival_ns - state[:, _F.LAST_NS] - ticks * 1_000_000_000 // state[:, _F.RATE]
        size = np.abs(step)
        state[:, _F.LAST_NS] = arrival_ns
        state[:, _F.LAST_TIMESTAMP] = timestamp
        steady = continues & (size <= MAX_TRANSIT_STEP_NS)
        if not steady.all():
            size *= steady
            step *= steady
        jitter = state[:, _F.JITTER]
        jitter += (size - (jitter + 8 >> 4)) * steady
        state[:, _F.JITTER_SUM] += jitter * steady
        state[:, _F.JITTER_COUNT] += steady
        np.maximum(state[:, _F.JITTER_MAX], jitter, out=state[:, _F.JITTER_MAX])
        transit = state[:, _F.TRANSIT]
        transit += step
        least = state[:, _F.LEAST_TRANSIT]
        np.minimum(least, transit, out=least)
        state[:, _F.LATE] += (transit - least > PLAYOUT_NS) & steady

    def _burst_ratio(self, row: int, base: int, highest: int) -> float | None:
        extended = np.arange(max(base, highest - WINDOW + 1), highest + 1)
        missing = self._seen[row, extended & WINDOW - 1] != extended
        runs = int(np.count_nonzero(missing[1:] & ~missing[:-1])) + int(missing[0])
        return burst_ratio(int(np.count_nonzero(missing)), runs, len(missing))

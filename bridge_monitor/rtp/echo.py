"""Our own packets coming back from an echo: round-trip times by our own (SSRC, sequence number).

Owns the arithmetic twice, `EchoReception` readable and `EchoColumns` for thousands of rows, held equal by a property
test; must not read clocks. An echo can't tell in which direction a packet was lost.

A packet that comes back more than the ring's length after it was sent (1,024 packets, 20 s at 50 packets/s) is lost.
Jitter is RFC 3550 A.8's recursion on arrival minus true send time. Round-trip times and jitter are of ordinary packets
only: large ones take longer on a thin line.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge_monitor.rtp.reception import PLAYOUT_NS, burst_ratio
from bridge_monitor.rtp.report import EchoSummary, RttSummary
from bridge_monitor.rtp.rounds import neighbours, rounds

Ints = NDArray[np.int64]

RING: Final = 1024
"""Send times kept; a power of two."""
SAMPLES: Final = 1024
"""Round-trip times kept for the quantiles: all of them up to so many, then every second, every fourth, …"""
_LINE: Final = 8
_RING_STRIDE: Final = RING + _LINE
_SAMPLES_STRIDE: Final = SAMPLES + _LINE
"""A cache line more than a power of two: else one place of all rows would fall on the same few lines of a cache."""
_NEVER: Final = 1 << 62


class EchoReception:
    """One stream of ours and what came back of it, a packet at a time.

    Args:
        first_seq: Sequence number of the first packet sent.
    """

    def __init__(self, first_seq: int) -> None:
        self._first_seq = first_seq
        self._next = 0  # packets are numbered from 0 in the order of sending
        self._sent_ns: dict[int, int] = {}
        self._large: set[int] = set()
        self._returned: set[int] = set()
        self._highest = -1
        self._duplicates = 0
        self._reordered = 0
        self._stray = 0
        self._late = 0
        self._rtts: list[int] = []
        self._least = _NEVER
        self._jitter = 0
        self._jitters: list[int] = []

    def sent(self, seq: int, send_ns: int, *, large: bool = False) -> None:
        """Note a packet sent, in order of sequence numbers; numbers may be left out (never sent)."""
        number = self._next + (seq - self._first_seq - self._next & 0xFFFF)
        self._sent_ns[number] = send_ns
        if large:
            self._large.add(number)
        self._next = number + 1

    def receive(self, seq: int, arrival_ns: int) -> None:
        """Take a packet that came back with our own SSRC."""
        age = self._first_seq + self._next - 1 - seq & 0xFFFF
        number = self._next - 1 - age
        if age >= RING or number not in self._sent_ns:
            self._stray += 1
            return
        if number in self._returned:
            self._duplicates += 1
            return
        self._returned.add(number)
        self._reordered += number < self._highest
        self._highest = max(self._highest, number)
        if number in self._large:
            return
        rtt = arrival_ns - self._sent_ns[number]
        if self._rtts:
            step = abs(rtt - self._rtts[-1])
            self._jitter += step - (self._jitter + 8 >> 4)
            self._jitters.append(self._jitter)
        self._rtts.append(rtt)
        self._least = min(self._least, rtt)
        self._late += rtt - self._least > PLAYOUT_NS

    def summary(self) -> EchoSummary | None:
        """Return what was counted; None if nothing came back."""
        if not self._returned:
            return None
        sent = len(self._sent_ns) - len(self._large)
        received = len(self._returned - self._large)
        count = len(self._jitters)
        return EchoSummary(
            sent=sent,
            received=received,
            lost=sent - received,
            duplicates=self._duplicates,
            reordered=self._reordered,
            large_sent=len(self._large),
            large_received=len(self._returned & self._large),
            jitter_seconds=sum(self._jitters) / count / 16e9 if count else None,
            jitter_max_seconds=max(self._jitters) / 16e9 if count else None,
            rtt=self._rtt(),
            stray=self._stray,
            late=self._late,
            burst_ratio=self._burst_ratio(),
        )

    def _rtt(self) -> RttSummary | None:
        if not self._rtts:
            return None
        stride = 1
        while len(self._rtts[::stride]) > SAMPLES:
            stride *= 2
        return RttSummary.from_sorted_ns(
            sorted(self._rtts[::stride]), samples=len(self._rtts), low=min(self._rtts), high=max(self._rtts)
        )

    def _burst_ratio(self) -> float | None:
        ordinary = [number for number in sorted(self._sent_ns) if number > self._next - 1 - RING]
        missing = [number not in self._returned for number in ordinary if number not in self._large]
        runs = sum(here and not before for before, here in zip([False, *missing], missing, strict=False))
        return burst_ratio(sum(missing), runs, len(missing))


class _F(IntEnum):
    """Fields of a row, 64-bit integers."""

    FIRST_SEQ = 0
    NEXT = 1  # number of the next packet; numbers count from 0 in the order of sending
    SENT = 2  # ordinary ones
    LARGE_SENT = 3
    FIRST_LARGE = 4  # number of the first large packet; large ones come last
    HIGHEST = 5  # highest number that came back, plus 1
    RECEIVED = 6
    LARGE_RECEIVED = 7
    DUPLICATES = 8
    REORDERED = 9
    STRAY = 10
    LATE = 11
    LAST_RTT = 12
    LEAST_RTT = 13
    GREATEST_RTT = 14
    JITTER = 15
    JITTER_SUM = 16
    JITTER_MAX = 17
    STRIDE = 18  # log₂ of the step between kept samples


_FIELDS: Final = len(_F)


class EchoColumns:
    """Many streams of ours and what came back of them, a row each.

    Args:
        rows: How many. Each must be `reset` before use.
        buffer: Where the rows live, `bytes_needed` bytes, 8-byte aligned; None: memory of its own.
    """

    def __init__(self, rows: int, *, buffer: memoryview | None = None) -> None:
        needed = self.bytes_needed(rows)
        memory = np.zeros(needed, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8, needed)
        ring = rows * _FIELDS * 8
        samples = ring + rows * _RING_STRIDE * 8
        # A field's values lie together: batches are mostly of neighbouring rows.
        self._rows: Ints = memory[:ring].view(np.int64).reshape(_FIELDS, rows)
        # Send time of each packet; 0: not sent; negated once it came back.
        whole: Ints = memory[ring:samples].view(np.int64)
        self._ring = whole.reshape(rows, _RING_STRIDE)[:, :RING]
        kept: Ints = memory[samples:].view(np.int64)
        self._samples = kept.reshape(rows, _SAMPLES_STRIDE)[:, :SAMPLES]
        self._ring_flat = whole
        self._samples_flat = kept
        self._scratch = np.zeros(rows, np.int64)

    @staticmethod
    def bytes_needed(rows: int) -> int:
        """Return the size of the buffer for so many rows."""
        return rows * (_FIELDS + _RING_STRIDE + _SAMPLES_STRIDE) * 8

    def reset(self, row: int, first_seq: int) -> None:
        """Make the row new, for another call whose first packet has this sequence number."""
        self._rows[:, row] = 0
        self._rows[_F.FIRST_SEQ, row] = first_seq
        self._rows[_F.FIRST_LARGE, row] = _NEVER
        self._ring[row] = 0

    def sent(self, rows: Ints, seq: Ints, send_ns: Ints, *, large: NDArray[np.bool_] | None = None) -> None:
        """Note a batch of packets sent; in a row, in order of sequence numbers, of which some may be left out.

        Args:
            rows: Row of each packet; a row may occur any number of times.
            seq: Sequence numbers.
            send_ns: Send times, CLOCK_REALTIME nanoseconds.
            large: Which are large packets; None: none. In a row they come after the ordinary ones.
        """
        if not len(rows):
            return
        near = neighbours(rows)
        if near:
            self._sent_round(rows, near, seq, send_ns, large)
            return
        for places in rounds(rows, self._scratch):
            lot = None if large is None else large[places]
            self._sent_round(rows[places], None, seq[places], send_ns[places], lot)

    def receive(self, rows: Ints, seq: Ints, arrival_ns: Ints) -> None:
        """Take a batch of packets that came back with the row's own SSRC, in order of arrival.

        Args:
            rows: Row of each packet; a row may occur any number of times.
            seq: Sequence numbers.
            arrival_ns: Kernel receive times, CLOCK_REALTIME nanoseconds.
        """
        if not len(rows):
            return
        near = neighbours(rows)
        if near:
            self._receive_round(rows, near, seq, arrival_ns)
            return
        for places in rounds(rows, self._scratch):
            self._receive_round(rows[places], None, seq[places], arrival_ns[places])

    def received(self, row: int) -> int:
        """Return how many different packets of the row came back, large ones among them."""
        return int(self._rows[_F.RECEIVED, row] + self._rows[_F.LARGE_RECEIVED, row])

    def greatest_rtt_ns(self, row: int) -> int:
        """Return the greatest round-trip time of the row's ordinary packets so far, in ns; 0 if none came back."""
        return int(self._rows[_F.GREATEST_RTT, row]) if self._rows[_F.RECEIVED, row] else 0

    def summary(self, row: int) -> EchoSummary | None:
        """Return what was counted; None if nothing came back."""
        state = self._rows[:, row].tolist()
        received, large_received = state[_F.RECEIVED], state[_F.LARGE_RECEIVED]
        if not received + large_received:
            return None
        steps = received - 1
        return EchoSummary(
            sent=state[_F.SENT],
            received=received,
            lost=state[_F.SENT] - received,
            duplicates=state[_F.DUPLICATES],
            reordered=state[_F.REORDERED],
            large_sent=state[_F.LARGE_SENT],
            large_received=large_received,
            jitter_seconds=state[_F.JITTER_SUM] / steps / 16e9 if steps > 0 else None,
            jitter_max_seconds=state[_F.JITTER_MAX] / 16e9 if steps > 0 else None,
            rtt=self._rtt(row, state) if received else None,
            stray=state[_F.STRAY],
            late=state[_F.LATE],
            burst_ratio=self._burst_ratio(row, state),
        )

    def _sent_round(
        self, rows: Ints, near: slice | None, seq: Ints, send_ns: Ints, large: NDArray[np.bool_] | None
    ) -> None:
        """Note packets of different rows; ``near`` are they if they are neighbours."""
        state = self._rows[:, near] if near else self._rows.take(rows, axis=1)  # a view, or a copy to be put back
        number = state[_F.NEXT] + self._left_out(rows, state, seq)
        self._ring_flat[rows * _RING_STRIDE + (number & RING - 1)] = send_ns
        state[_F.NEXT] = number + 1
        if large is None:
            state[_F.SENT] += 1
        else:
            state[_F.SENT] += ~large
            state[_F.LARGE_SENT] += large
            begins = large & (state[_F.FIRST_LARGE] == _NEVER)
            state[_F.FIRST_LARGE, begins] = number[begins]
        if not near:
            self._rows[:, rows] = state

    def _left_out(self, rows: Ints, state: Ints, seq: Ints) -> Ints:
        """Return how many numbers before each packet were never sent, and clear their places in the ring."""
        left_out: Ints = seq - state[_F.FIRST_SEQ] - state[_F.NEXT] & 0xFFFF
        if left_out.any():
            for place in np.flatnonzero(left_out).tolist():
                start = state[_F.NEXT, place]
                last = np.arange(start, start + left_out[place])[-RING:]
                self._ring[rows[place], last & RING - 1] = 0
        return left_out

    def _receive_round(self, rows: Ints, near: slice | None, seq: Ints, arrival_ns: Ints) -> None:
        """Take packets of different rows; ``near`` are they if they are neighbours."""
        state = self._rows[:, near] if near else self._rows.take(rows, axis=1)  # a view, or a copy to be put back
        age = state[_F.FIRST_SEQ] + state[_F.NEXT] - 1 - seq & 0xFFFF
        number = state[_F.NEXT] - 1 - age
        cell = rows * _RING_STRIDE + (number & RING - 1)
        sent_ns = self._ring_flat[cell]
        ours = (age < RING) & (sent_ns != 0)  # before the first packet the ring is empty
        taken = ours & (sent_ns > 0)
        if not taken.all():
            state[_F.STRAY] += ~ours
            state[_F.DUPLICATES] += ours & ~taken
            self._rows[:, rows] = state
            rows, state, number, cell = rows[taken], state[:, taken], number[taken], cell[taken]
            near = None
            sent_ns, arrival_ns = sent_ns[taken], arrival_ns[taken]
        self._ring_flat[cell] = -sent_ns
        highest = state[_F.HIGHEST]
        state[_F.REORDERED] += number + 1 < highest
        np.maximum(highest, number + 1, out=highest)
        large = number >= state[_F.FIRST_LARGE]
        if large.any():
            state[_F.LARGE_RECEIVED] += large
            self._rows[:, rows] = state
            rows, state, rtt = rows[~large], state[:, ~large], (arrival_ns - sent_ns)[~large]
            near = None
        else:
            rtt = arrival_ns - sent_ns
        self._measure(rows, state, rtt)
        if not near:
            self._rows[:, rows] = state

    def _measure(self, rows: Ints, state: Ints, rtt: Ints) -> None:
        """Count round-trip times of ordinary packets, in place."""
        received = state[_F.RECEIVED]
        first = received == 0
        if first.any():
            for field in (_F.LAST_RTT, _F.LEAST_RTT, _F.GREATEST_RTT):
                state[field, first] = rtt[first]
        step = np.abs(rtt - state[_F.LAST_RTT])  # 0 at the first, so that the estimate stays 0
        state[_F.LAST_RTT] = rtt
        jitter = state[_F.JITTER]
        jitter += step - (jitter + 8 >> 4)
        state[_F.JITTER_SUM] += jitter
        np.maximum(state[_F.JITTER_MAX], jitter, out=state[_F.JITTER_MAX])
        least = state[_F.LEAST_RTT]
        np.minimum(least, rtt, out=least)
        np.maximum(state[_F.GREATEST_RTT], rtt, out=state[_F.GREATEST_RTT])
        state[_F.LATE] += rtt - least > PLAYOUT_NS
        self._keep_samples(rows, state, rtt)
        received += 1

    def _keep_samples(self, rows: Ints, state: Ints, rtt: Ints) -> None:
        """Keep every 2^STRIDE-th sample; where the row's are full, halve them first."""
        received, stride = state[_F.RECEIVED], state[_F.STRIDE]
        full = received == SAMPLES << stride
        for place in np.flatnonzero(full).tolist():
            kept = self._samples[rows[place]]
            kept[: SAMPLES // 2] = kept[::2].copy()
            stride[place] += 1
        kept_now = received & (1 << stride) - 1 == 0
        if kept_now.all():
            self._samples_flat[rows * _SAMPLES_STRIDE + (received >> stride)] = rtt
        else:
            cell = rows * _SAMPLES_STRIDE + (received >> stride)
            self._samples_flat[cell[kept_now]] = rtt[kept_now]

    def _rtt(self, row: int, state: list[int]) -> RttSummary:
        kept = (state[_F.RECEIVED] - 1 >> state[_F.STRIDE]) + 1
        return RttSummary.from_sorted_ns(
            np.sort(self._samples[row, :kept]).data,  # of which only four values are looked at
            samples=state[_F.RECEIVED],
            low=state[_F.LEAST_RTT],
            high=state[_F.GREATEST_RTT],
        )

    def _burst_ratio(self, row: int, state: list[int]) -> float | None:
        if state[_F.SENT] == state[_F.RECEIVED]:
            return None  # as mostly: nothing is missing
        numbers = np.arange(max(state[_F.NEXT] - RING, 0), min(state[_F.NEXT], state[_F.FIRST_LARGE]))
        sent_ns = self._ring[row, numbers & RING - 1]
        missing = sent_ns[sent_ns != 0] > 0
        runs = int(np.count_nonzero(missing[1:] & ~missing[:-1])) + int(missing[:1].sum())
        return burst_ratio(int(np.count_nonzero(missing)), runs, len(missing))

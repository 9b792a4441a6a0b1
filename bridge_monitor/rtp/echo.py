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
from bridge_monitor.rtp.rounds import reach, rounds

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
    LEFT_OUT = 2  # numbers before it that were never sent
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
_MEASURED: Final = (
    _F.RECEIVED,
    _F.LAST_RTT,
    _F.LEAST_RTT,
    _F.GREATEST_RTT,
    _F.JITTER,
    _F.JITTER_SUM,
    _F.JITTER_MAX,
)


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
        self._columns = list(self._rows)
        # Send time of each packet; 0: not sent; negated once it came back.
        whole: Ints = memory[ring:samples].view(np.int64)
        self._ring = whole.reshape(rows, _RING_STRIDE)[:, :RING]
        kept: Ints = memory[samples:].view(np.int64)
        self._samples = kept.reshape(rows, _SAMPLES_STRIDE)[:, :SAMPLES]
        self._ring_flat = whole
        self._samples_flat = kept
        self._ring_start: Ints = np.arange(rows) * _RING_STRIDE
        self._samples_start: Ints = np.arange(rows) * _SAMPLES_STRIDE

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
        for places in rounds(rows):
            lot = None if large is None else large[places]
            self._sent_round(rows[places], seq[places], send_ns[places], lot)

    def sent_next(self, rows: Ints, number: Ints, send_ns: Ints, *, large: NDArray[np.bool_] | None = None) -> None:
        """Note a packet sent of each row, none left out so far: `sent` in less time, for streams without accidents.

        Args:
            rows: Different rows in ascending order.
            number: How many packets of the row were sent before.
            send_ns: Send times, CLOCK_REALTIME nanoseconds.
            large: Which are large packets; None: none.
        """
        self._note_sent(rows, reach(rows), number, send_ns, large)

    def receive(self, rows: Ints, seq: Ints, arrival_ns: Ints) -> None:
        """Take a batch of packets that came back with the row's own SSRC, in order of arrival.

        Args:
            rows: Row of each packet; a row may occur any number of times.
            seq: Sequence numbers.
            arrival_ns: Kernel receive times, CLOCK_REALTIME nanoseconds.
        """
        if not len(rows):
            return
        for places in rounds(rows):
            self._receive_round(rows[places], seq[places], arrival_ns[places])

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
        steps, sent = received - 1, _ordinary_sent(state)
        return EchoSummary(
            sent=sent,
            received=received,
            lost=sent - received,
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

    def _sent_round(self, rows: Ints, seq: Ints, send_ns: Ints, large: NDArray[np.bool_] | None) -> None:
        """Note packets of different rows in ascending order."""
        chosen = reach(rows)
        following = self._columns[_F.NEXT][chosen]
        left_out = seq - self._columns[_F.FIRST_SEQ][chosen] - following & 0xFFFF
        if left_out.any():
            self._leave_out(rows, following, left_out)
        self._note_sent(rows, chosen, following + left_out, send_ns, large)

    def _note_sent(
        self, rows: Ints, chosen: Ints | slice, number: Ints, send_ns: Ints, large: NDArray[np.bool_] | None
    ) -> None:
        self._ring_flat[self._ring_start[chosen] + (number & RING - 1)] = send_ns
        self._columns[_F.NEXT][chosen] = number + 1
        if large is not None:
            rows, number = rows[large], number[large]
            self._columns[_F.LARGE_SENT][rows] += 1
            first = self._columns[_F.FIRST_LARGE]
            first[rows] = np.minimum(first[rows], number)

    def _leave_out(self, rows: Ints, following: Ints, left_out: Ints) -> None:
        """Count the numbers before each packet that were never sent, and clear their places in the ring."""
        for place in np.flatnonzero(left_out).tolist():
            row, count = rows[place], left_out[place]
            last = np.arange(following[place], following[place] + count)[-RING:]
            self._ring[row, last & RING - 1] = 0
            self._columns[_F.LEFT_OUT][row] += count

    def _receive_round(self, rows: Ints, seq: Ints, arrival_ns: Ints) -> None:
        """Take packets of different rows in ascending order."""
        columns, chosen = self._columns, reach(rows)
        following = columns[_F.NEXT][chosen]
        age = following + columns[_F.FIRST_SEQ][chosen]
        age -= seq
        age -= 1
        age &= 0xFFFF
        number = following - age
        number -= 1
        cell = number & RING - 1
        cell += self._ring_start[chosen]
        sent_ns = self._ring_flat[cell]
        taken = sent_ns > 0  # 0: never sent, as before the first packet; negative: it came back before
        taken &= age < RING
        if not taken.all():
            again = (sent_ns < 0) & (age < RING)
            columns[_F.DUPLICATES][rows[again]] += 1
            columns[_F.STRAY][rows[~again & ~taken]] += 1
            rows, number, cell = rows[taken], number[taken], cell[taken]
            sent_ns, arrival_ns = sent_ns[taken], arrival_ns[taken]
            if not len(rows):
                return
            chosen = reach(rows)
        self._ring_flat[cell] = -sent_ns
        rtt = arrival_ns - sent_ns
        number += 1
        highest = columns[_F.HIGHEST][chosen]
        behind = number < highest
        if behind.any():
            columns[_F.REORDERED][rows[behind]] += 1
        columns[_F.HIGHEST][chosen] = np.maximum(highest, number)
        large = number > columns[_F.FIRST_LARGE][chosen]
        if large.any():
            columns[_F.LARGE_RECEIVED][rows[large]] += 1
            rows, rtt = rows[~large], rtt[~large]
            if not len(rows):
                return
            chosen = reach(rows)
        self._measure(rows, chosen, rtt)

    def _measure(self, rows: Ints, chosen: Ints | slice, rtt: Ints) -> None:
        """Count round-trip times of ordinary packets."""
        parts = [self._columns[field][chosen] for field in _MEASURED]  # views, or copies to be put back
        received, last, least, greatest, jitter, jitter_sum, jitter_max = parts
        if not received.all():
            first = received == 0
            for part in (last, least, greatest):
                part[first] = rtt[first]
        self._keep_samples(rows, chosen, received, rtt)
        received += 1
        np.minimum(least, rtt, out=least)
        np.maximum(greatest, rtt, out=greatest)
        late = rtt - least > PLAYOUT_NS
        if late.any():
            self._columns[_F.LATE][rows[late]] += 1
        step = rtt - last  # 0 at the first, so that the estimate stays 0
        last[:] = rtt
        np.abs(step, out=step)
        fading = jitter + 8
        fading >>= 4
        step -= fading
        jitter += step
        jitter_sum += jitter
        np.maximum(jitter_max, jitter, out=jitter_max)
        if chosen is rows:
            for field, part in zip(_MEASURED, parts, strict=True):
                self._columns[field][rows] = part

    def _keep_samples(self, rows: Ints, chosen: Ints | slice, received: Ints, rtt: Ints) -> None:
        """Keep every 2^STRIDE-th sample; where the row's are full, halve them first."""
        start = self._samples_start[chosen]
        if received.max() < SAMPLES:  # so no row has begun to leave any out
            self._samples_flat[start + received] = rtt
            return
        strides = self._columns[_F.STRIDE]
        for row in rows[received == SAMPLES << strides[rows]].tolist():
            kept = self._samples[row]
            kept[: SAMPLES // 2] = kept[::2].copy()
            strides[row] += 1
        stride = strides[rows]
        kept_now = received & (1 << stride) - 1 == 0
        self._samples_flat[(start + (received >> stride))[kept_now]] = rtt[kept_now]

    def _rtt(self, row: int, state: list[int]) -> RttSummary:
        kept = (state[_F.RECEIVED] - 1 >> state[_F.STRIDE]) + 1
        return RttSummary.from_sorted_ns(
            np.sort(self._samples[row, :kept]).data,  # of which only four values are looked at
            samples=state[_F.RECEIVED],
            low=state[_F.LEAST_RTT],
            high=state[_F.GREATEST_RTT],
        )

    def _burst_ratio(self, row: int, state: list[int]) -> float | None:
        if _ordinary_sent(state) == state[_F.RECEIVED]:
            return None  # as mostly: nothing is missing
        numbers = np.arange(max(state[_F.NEXT] - RING, 0), min(state[_F.NEXT], state[_F.FIRST_LARGE]))
        sent_ns = self._ring[row, numbers & RING - 1]
        missing = sent_ns[sent_ns != 0] > 0
        runs = int(np.count_nonzero(missing[1:] & ~missing[:-1])) + int(missing[:1].sum())
        return burst_ratio(int(np.count_nonzero(missing)), runs, len(missing))


def _ordinary_sent(state: list[int]) -> int:
    return state[_F.NEXT] - state[_F.LEFT_OUT] - state[_F.LARGE_SENT]

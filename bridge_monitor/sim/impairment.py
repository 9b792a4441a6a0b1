"""What a bad line does to packets: loss, delay, jitter, reordering, duplication, policing; and their queue.

Owns chance and waiting; must not touch calls. The fate of a line's n-th packet depends on the line's seed and n alone,
so the same plan gives the same losses however packets happen to be batched.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bridge_monitor.net.mmsg import SendBatch

Array = npt.NDArray[Any]

NEVER_NS: Final = np.iinfo(np.int64).max

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_GOLDEN_INT, _MIX_1_INT, _MIX_2_INT = int(_GOLDEN), int(_MIX_1), int(_MIX_2)
_WORD: Final = 2**64 - 1
_FEW: Final = 10
"""For so few packets, which a round has of one fault, plain numbers are quicker than arrays."""


def uniform(seed: Array, number: Array, salt: int) -> Array:
    """Return a number in [0, 1) for each (seed, packet number), independent for each salt (SplitMix64, Steele 2014)."""
    if len(seed) <= _FEW:
        pairs = zip(seed.tolist(), number.tolist(), strict=True)
        return np.array([_uniform_one(one, nth, salt) for one, nth in pairs], np.float64)
    x = seed + (number.astype(np.uint64) * np.uint64(8) + np.uint64(salt + 1)) * _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    x ^= x >> np.uint64(31)
    chance: Array = (x >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return chance


def _uniform_one(seed: int, number: int, salt: int) -> float:
    x = seed + (number * 8 + salt + 1) * _GOLDEN_INT & _WORD
    x = (x ^ (x >> 30)) * _MIX_1_INT & _WORD
    x = (x ^ (x >> 27)) * _MIX_2_INT & _WORD
    return ((x ^ (x >> 31)) >> 11) * 2.0**-53


def occurrences(rows: Array) -> Array:
    """Return for each entry how many equal entries stand before it."""
    count = len(rows)
    if count <= _FEW and len(set(rows.tolist())) == count:
        return np.zeros(count, np.int64)
    result = np.zeros(count, np.int64)
    order = rows.argsort(kind="stable")
    ordered = rows[order]
    again = np.zeros(count, np.bool_)
    np.equal(ordered[1:], ordered[:-1], out=again[1:])
    if again.any():
        places = np.arange(count)
        begins = np.where(again, 0, places)
        result[order] = places - np.maximum.accumulate(begins)
    return result


class PacketNumbers:
    """Counts the packets of each line."""

    def __init__(self, lines: int) -> None:
        self._next = np.zeros(lines, np.int64)

    def take(self, lines: Array) -> Array:
        """Return the number of each packet on its line, counting from 0, and count on."""
        numbers = self._next[lines] + occurrences(lines)
        np.add.at(self._next, lines, 1)
        return numbers


class Loss:
    """Loss of one direction on every line: each packet by itself, or in bursts (Gilbert's two-state model).

    In bursts of mean length L at rate p a line goes from good to bad with p / (L·(1 − p)) and back with 1 / L; packets
    of the bad state are lost.
    """

    def __init__(self, lines: int, salt: int) -> None:
        self._numbers = PacketNumbers(lines)
        self._bad = np.zeros(lines, np.bool_)
        self._salt = salt

    def lost(self, lines: Array, seed: Array, rate: Array, burst: Array) -> Array:
        """Return which packets are lost; all arrays have an entry a packet, in the order of their passing."""
        chance = uniform(seed, self._numbers.take(lines), self._salt)
        lost = chance < rate
        bursty = np.flatnonzero((burst > 0.0) & (rate < 1.0))
        if bursty.size:
            lines, rate, burst, chance = lines[bursty], rate[bursty], burst[bursty], chance[bursty]
            leave, enter = 1.0 / burst, rate / (burst * (1.0 - rate))
            nth = occurrences(lines)
            for turn in range(int(nth.max()) + 1):  # packets of one line depend on each other, so one after the other
                now = np.flatnonzero(nth == turn)
                line = lines[now]
                bad = np.where(self._bad[line], chance[now] >= leave[now], chance[now] < enter[now])
                self._bad[line] = bad
                lost[bursty[now]] = bad
        return lost


class Policer:
    """A token bucket of one direction on every line: what comes faster than its rate, and finds it empty, is dropped.

    Args:
        lines: How many there are.
    """

    DEPTH_SECONDS: Final = 0.25
    """So much of its rate passes at once: the picture that begins a group is many packets together."""

    def __init__(self, lines: int) -> None:
        self._bits = np.zeros(lines)
        self._at_ns = np.zeros(lines, np.int64)

    def refused(self, lines: Array, size: Array, at_ns: Array, rate_bps: Array) -> Array:
        """Return which packets find no room, in the order of their passing.

        Args:
            lines: Line of each.
            size: Bytes of each, IP headers included.
            at_ns: When each passes.
            rate_bps: Rate of each one's line, more than 0.
        """
        refused = np.zeros(len(lines), np.bool_)
        for entry, (line, bits, now_ns, rate) in enumerate(
            zip(lines.tolist(), (size * 8.0).tolist(), at_ns.tolist(), rate_bps.tolist(), strict=True)
        ):
            since = max(0, now_ns - int(self._at_ns[line]))
            held = min(self._bits[line] + since * rate / 1e9, rate * self.DEPTH_SECONDS)
            refused[entry] = bits > held
            self._bits[line] = held if bits > held else held - bits
            self._at_ns[line] = max(now_ns, int(self._at_ns[line]))
        return refused


class DelayQueue:
    """Packets that wait for their time to leave.

    Args:
        capacity: Most packets that wait at once.
        packet_size: Longest packet.

    Attributes:
        next_due_ns: When the earliest packet is due; `NEVER_NS` if none waits.
        line: Line of each entry.
        socket: Index of the socket each entry leaves from.
    """

    def __init__(self, capacity: int, packet_size: int) -> None:
        self.batch = SendBatch(capacity, packet_size, pktinfo=True)
        # Touched now: the first touch of thousands of pages would otherwise stop the media for a quarter of a second.
        self.batch.data.fill(1)
        self.next_due_ns: int = NEVER_NS
        self.line = np.zeros(capacity, np.int32)
        self.socket = np.zeros(capacity, np.uint8)
        self._due = np.full(capacity, NEVER_NS, np.int64)
        # Lowest entries are taken first, so that a look at what is due covers few.
        self._free = np.arange(capacity - 1, -1, -1, dtype=np.int64)
        self._free_count = capacity
        self._high = 0

    def __len__(self) -> int:
        return len(self._due) - self._free_count

    def take(self, due_ns: Array) -> Array:
        """Return free entries for packets due at these times, fewer than asked for if the queue is full.

        The caller fills ``batch``, ``line`` and ``socket`` of the entries.
        """
        count = min(len(due_ns), self._free_count)
        entries = self._free[self._free_count - count : self._free_count][::-1].copy()
        self._free_count -= count
        if count:
            self._due[entries] = due_ns[:count]
            self._high = max(self._high, int(entries.max()) + 1)
            self.next_due_ns = min(self.next_due_ns, int(due_ns[:count].min()))
        return entries

    def due(self, now_ns: int) -> Array:
        """Return the entries due by now, earliest first."""
        if now_ns < self.next_due_ns:
            return np.zeros(0, np.int64)
        waiting = self._due[: self._high]
        entries = np.flatnonzero(waiting <= now_ns)
        return entries[np.argsort(waiting[entries], kind="stable")]

    def due_ns(self, entries: Array) -> Array:
        """Return when each entry was due."""
        return self._due[entries]

    def release(self, entries: Array) -> None:
        """Free entries that have left."""
        self._due[entries] = NEVER_NS
        self._free[self._free_count : self._free_count + len(entries)] = np.sort(entries)[::-1]
        self._free_count += len(entries)
        if not len(self):
            self._high = 0
        self.next_due_ns = int(self._due[: self._high].min()) if self._high else NEVER_NS

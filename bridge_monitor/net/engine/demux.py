"""Which call does a packet belong to?

Owns the tables from (socket, source) and from our own SSRC to rows; must not count or parse. Peers behind one address
translator share an address, and a peer may send from a port that its SDP doesn't name: so the pool of local ports keeps
calls to one host apart, and a row latches to the source of its first valid packet (symmetric RTP, RFC 4961).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from bridge_monitor.net.engine.keymap import NO_ROW, KeyMap
from bridge_monitor.net.engine.layout import Array

_EARLY: Final = 16384
"""So many packets of unknown sources are kept in all, for calls that begin soon; each local port has its share."""
_EARLY_FOR_NS: Final = 10_000_000_000
_GRAVE_FOR_NS: Final = 30_000_000_000
_STRANGE_FOR_NS: Final = 1_000_000_000
"""So long a host that no call here expects stays a stranger: a room may send before we have read its answer, and must
not be taken for the peer of whoever else waits on that port. Longer than a loop may lag before a call is invalid."""
_UNKNOWN_AT_ONCE: Final = 256
"""So many packets of unknown sources are looked at in a batch: a flood of strangers must not stop the pace."""
_LOOK_AGAIN_NS: Final = 250_000_000
"""Of one source in a batch, packets this far apart: what could not be told of the one can't of the next."""
_KNOWN_SINCE: Final = 4096


@dataclass(frozen=True, slots=True)
class Stranger:
    """An RTP packet whose source is in no table."""

    pair: int
    source: int  # IPv4 address << 16 | port
    payload_type: int
    seq: int
    timestamp: int
    ssrc: int
    arrival_ns: int
    octets: int = 0  # of payload
    marker: bool = False
    starts: bool = False  # its payload begins a unit of the codec's


def key_of(pair: int, source: int) -> int:
    """Return a source's key on one local port: ``source`` is IPv4 address << 16 | port."""
    return pair << 48 | source


class Demux:
    """The tables of all rows that are up.

    Args:
        rows: How many rows there are.
        rows_per_pair: Rows that share a local port.

    Attributes:
        own_ssrc: Our SSRC of each row, -1 of those that are not up; the last place answers for `NO_ROW`.
        peer_ssrc: The peer's, -1 until its first accepted packet.
        expected: Key of the source that the peer's SDP names.
        accepted: Payload types that the peer may send.
        shared: Rows that expect the same source on the same local port as another: their peers' own streams, unlike
            echoes, can't be told apart.
    """

    def __init__(self, rows: int, rows_per_pair: int) -> None:
        self._rows_per_pair = rows_per_pair
        self.own_ssrc: Array = np.full(rows + 1, -1, np.int64)
        self.peer_ssrc: Array = np.full(rows, -1, np.int64)
        self.expected: Array = np.full(rows, -1, np.int64)
        # One payload type of all rows lies together: a batch is mostly of one.
        self.accepted: Array = np.zeros((128, rows), np.bool_).T
        self.shared: Array = np.zeros(rows, np.bool_)
        self._keys: dict[int, int] = {}
        self._by_ssrc: dict[int, int] = {}
        self._foreign: dict[int, set[int]] = {}  # row → keys it latched to
        self._graves: dict[int, int] = {}  # key → until when its late packets are nobody's (CLOCK_REALTIME, ns)
        self._oldest_graves: deque[tuple[int, int]] = deque()  # (until, key), in order of digging
        pairs = -(-rows // rows_per_pair)
        self._early: list[deque[Stranger]] = [deque(maxlen=-(-_EARLY // pairs)) for _ in range(pairs)]
        self._early_lost_ns = [-1] * pairs  # arrival of the latest packet that was kept no longer
        self._since: dict[int, tuple[int, int]] = {}  # key of a stranger → arrival of its first and its last packet
        self._key_map = KeyMap(rows)
        self._ssrc_map = KeyMap(rows)

    def __len__(self) -> int:
        """Return how many rows are up."""
        return len(self._foreign)

    def add(self, row: int, *, ssrc: int, source: int, accepted: tuple[int, ...]) -> None:
        """Expect a row's peer at ``source`` (IPv4 address << 16 | port)."""
        pair = row // self._rows_per_pair
        key = key_of(pair, source)
        self.own_ssrc[row] = ssrc
        self.peer_ssrc[row] = -1
        self.expected[row] = key
        types = self.accepted[row]
        types[:] = False
        for payload_type in accepted:
            types[payload_type] = True
        self._foreign[row] = set()
        self._by_ssrc[pair << 32 | ssrc] = row
        self._ssrc_map.put(pair << 32 | ssrc, row)
        self._graves.pop(key, None)
        self.shared[row] = False
        # Two calls to the same address and port on one local port: the older keeps it; echoes tell by SSRC anyway.
        holder = self._keys.setdefault(key, row)
        if holder != row and self.expected[holder] != key:
            # It had latched to what is this call's own source.
            self._foreign[holder].discard(key)
            self._keys[key] = row
        elif holder != row:
            self.shared[row] = self.shared[holder] = True
        self._key_map.put(key, self._keys[key])

    def remove(self, row: int, now_ns: int) -> None:
        """Forget a row; what still comes from its peer is nobody's for a while."""
        pair = row // self._rows_per_pair
        mine = pair << 32 | self.own_ssrc.item(row)
        if self._by_ssrc.get(mine) == row:
            del self._by_ssrc[mine]
            self._ssrc_map.discard(mine)
        keys = {self.expected.item(row), *self._foreign.pop(row)}
        self.own_ssrc[row] = self.peer_ssrc[row] = self.expected[row] = -1
        for key in keys:
            if self._keys.get(key) == row:
                self._bury(key, now_ns, shared=self.shared.item(row))
        while self._oldest_graves and self._oldest_graves[0][0] <= now_ns:
            until, key = self._oldest_graves.popleft()
            if self._graves.get(key) == until:
                del self._graves[key]

    def _bury(self, key: int, now_ns: int, *, shared: bool) -> None:
        """Give a key to a call that had to share it; if there is none, let its packets be nobody's for a while."""
        if shared:
            first = (key >> 48) * self._rows_per_pair  # a key is of one local port, and so are its heirs
            heirs = np.flatnonzero(self.expected[first : first + self._rows_per_pair] == key)
            if heirs.size:
                heir = first + int(heirs[0])
                self._keys[key] = heir
                self._key_map.put(key, heir)
                return
        del self._keys[key]
        self._key_map.discard(key)
        self._graves[key] = now_ns + _GRAVE_FOR_NS
        self._oldest_graves.append((now_ns + _GRAVE_FOR_NS, key))

    def lookup(self, key: Array, ssrc: Array) -> tuple[Array, Array]:
        """Find each packet's row by its source or by our own SSRC in it.

        Args:
            key: Key of each packet's source, see `key_of`.
            ssrc: SSRC of each.

        Returns:
            The rows, `NO_ROW` where neither is known, and which packets are our own come back.
        """
        rows = self._key_map.find(key)
        # An echo is told by our own SSRC, wherever it comes from: many calls may go to one echoing address and port.
        own = self.own_ssrc[rows] == ssrc
        if not own.all():
            doubtful = (~own).nonzero()[0]
            found = self._ssrc_map.find(key[doubtful] >> 48 << 32 | ssrc[doubtful])
            rows[doubtful] = np.where(found != NO_ROW, found, rows[doubtful])
            own[doubtful] = found != NO_ROW
        return rows, own

    def row_of_ssrc(self, pair: int, ssrc: int) -> int:
        """Return the row whose own SSRC this is, on one local port."""
        return self._by_ssrc.get(pair << 32 | ssrc, NO_ROW)

    def row_of_peer(self, pair: int, source_ip: int, ssrc: int) -> int:
        """Return the one row whose peer this is, on one local port: by address and SSRC, else by one of them."""
        here = slice(pair * self._rows_per_pair, (pair + 1) * self._rows_per_pair)
        by_ssrc = self.peer_ssrc[here] == ssrc
        by_host = self.expected[here] >> 16 == (pair << 32 | source_ip)
        unknown = by_host & (self.peer_ssrc[here] < 0)
        for candidates in (by_host & by_ssrc, unknown, by_ssrc, by_host):
            found = np.flatnonzero(candidates)
            if found.size:
                return here.start + int(found[0]) if found.size == 1 else NO_ROW
        return NO_ROW

    def adopt(self, strangers: list[Stranger], heard: Array) -> list[tuple[int, Stranger]]:
        """Find rows for packets of unknown sources, and latch those rows to them.

        Args:
            strangers: The packets, in order of arrival.
            heard: True for rows that received something already.

        Returns:
            The packets that were given to a row, those with them that had been kept of the same source; the others are
            kept for a row that begins soon.
        """
        adopted = []
        fresh: dict[int, int] = {}
        looked_at: dict[int, int] = {}
        looks = 0
        for stranger in strangers:
            key = key_of(stranger.pair, stranger.source)
            row = fresh.get(key, NO_ROW)
            again = stranger.arrival_ns - looked_at.get(key, -_LOOK_AGAIN_NS) >= _LOOK_AGAIN_NS
            if row == NO_ROW and again and looks < _UNKNOWN_AT_ONCE:
                looked_at[key] = stranger.arrival_ns
                looks += 1
                row = self._latch(stranger, key, heard)
                if row != NO_ROW:
                    fresh[key] = row
                    heard[row] = True
                    adopted += [(row, kept) for kept in self._take_early(stranger, key)]
            if row != NO_ROW:
                adopted.append((row, stranger))
            elif key not in self._graves:  # an ended call's late packets are nobody's
                self._keep(stranger)
        return adopted

    def keeps_any(self, row: int) -> bool:
        """Tell whether packets of unknown sources are kept that came to the row's local port."""
        return bool(self._early[row // self._rows_per_pair])

    def early(self, row: int, since_ns: int, heard: Array) -> list[tuple[int, Stranger]]:
        """Return the packets that came since the row was reserved but before it began."""
        pair = row // self._rows_per_pair
        kept = self._early[pair]
        horizon = max((stranger.arrival_ns for stranger in kept), default=0) - _EARLY_FOR_NS
        mine = [stranger for stranger in kept if stranger.arrival_ns > horizon and stranger.arrival_ns >= since_ns]
        others = [stranger for stranger in kept if horizon < stranger.arrival_ns < since_ns]
        kept.clear()
        kept.extend(others)
        expected = [(row, stranger) for stranger in mine if key_of(pair, stranger.source) == self.expected[row]]
        if expected:
            heard[row] = True
            mine = [stranger for stranger in mine if key_of(pair, stranger.source) != self.expected[row]]
        return expected + self.adopt(mine, heard)

    def lost_early(self, row: int, since_ns: int) -> bool:
        """Tell whether packets that came to the row's local port since then could not be kept for it."""
        return self._early_lost_ns[row // self._rows_per_pair] >= since_ns

    def _keep(self, stranger: Stranger) -> None:
        """Keep a packet for a row that begins soon; where the port's share is used up the oldest one goes."""
        kept = self._early[stranger.pair]
        if len(kept) == kept.maxlen:
            self._early_lost_ns[stranger.pair] = kept[0].arrival_ns
        kept.append(stranger)

    def _take_early(self, stranger: Stranger, key: int) -> list[Stranger]:
        """Return, and forget, the packets kept of a source that was strange for a while before ``stranger``."""
        first, _ = self._since.pop(key, (stranger.arrival_ns, stranger.arrival_ns))
        if first >= stranger.arrival_ns:
            return []
        early = self._early[stranger.pair]
        taken: list[Stranger] = []
        others: list[Stranger] = []
        for kept in early:
            mine = kept.source == stranger.source and kept.arrival_ns >= first
            (taken if mine else others).append(kept)
        early.clear()
        early.extend(others)
        return taken

    def _latch(self, stranger: Stranger, key: int, heard: Array) -> int:
        """Return the one row that the stranger can be the peer of, and latch it."""
        if key in self._graves:
            return NO_ROW
        here = [
            row
            for row in self._foreign
            if row // self._rows_per_pair == stranger.pair and self.accepted[row, stranger.payload_type]
        ]
        same_host = [row for row in here if int(self.expected[row]) >> 16 & 0xFFFFFFFF == stranger.source >> 16]
        # The host we expect, on another port: its known stream that goes on from there (an address translator's new
        # port), else a call that has heard nothing. Else a known stream of another host; the address counts for more
        # than the SSRC, since there are rooms that all have the same one. Else, where no such host is expected here,
        # the only call that waits on this local port, once it is clear that no call begins that the host belongs to.
        candidates = (
            [row for row in same_host if self.peer_ssrc[row] == stranger.ssrc]
            or [row for row in same_host if not heard[row]]
            or [row for row in here if self.peer_ssrc[row] == stranger.ssrc]
        )
        if not candidates and not same_host and self._is_known_for_long(stranger, key):
            candidates = [row for row in here if not heard[row]]
        if len(candidates) != 1:
            return NO_ROW
        row = candidates[0]
        self._foreign[row].add(key)
        self._keys[key] = row
        self._key_map.put(key, row)
        return row

    def _is_known_for_long(self, stranger: Stranger, key: int) -> bool:
        """Tell whether a stranger has sent for a while without a pause as long."""
        if len(self._since) >= _KNOWN_SINCE:
            self._since.clear()  # a flood: their time begins anew
        first, last = self._since.get(key, (stranger.arrival_ns, stranger.arrival_ns))
        if stranger.arrival_ns - last > _STRANGE_FOR_NS:
            first = stranger.arrival_ns
        self._since[key] = (first, stranger.arrival_ns)
        return stranger.arrival_ns - first >= _STRANGE_FOR_NS

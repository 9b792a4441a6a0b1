"""Which call a datagram belongs to, and which calls are up: the media process's view of the board.

Owns that view; must not write what the SIP side owns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from bridge_monitor.net.mmsg import RecvBatch
from bridge_monitor.sim.board import OVERFLOWED, STRAY, Array, Board

_LARGEST_TABLE: Final = 1 << 20
"""Addresses from the first to the last room's: 8 MB."""


class Arrivals(NamedTuple):
    """A received batch: how many, and of each its row, whether it belongs to a call, whether it came after one."""

    datagrams: int
    rows: Array
    belongs: Array
    after_end: Array


_NOTHING = Arrivals(0, np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.bool_))


class CallView:
    """The calls as the media process last saw them.

    Args:
        board: The shared columns.
        begin: Is told the rows of calls that are new.
        only_callers: Packets from other addresses than a call's own two are strays.
    """

    def __init__(self, board: Board, begin: Callable[[Array], None], *, only_callers: bool = False) -> None:
        self._only_callers = only_callers
        self._board = board
        self._begin = begin
        self._place_of = _places(board.addresses)
        self._serial = np.zeros(board.size.calls, np.uint32)
        self._changes_seen = 0
        self._drops: dict[int, int] = {}
        self._live: Array | None = None

    @property
    def live(self) -> Array:
        """Rows of the calls that are up, ascending; the same array until one begins or ends."""
        if self._live is None:
            self._live = np.flatnonzero(self._serial)
        return self._live

    def are_up(self, rows: Array) -> Array:
        """Return which of these rows have a call that is up."""
        up: Array = self._serial[rows] != 0
        return up

    def synchronise(self) -> None:
        """Take note of calls that have begun or ended."""
        count = self._board.changes.count
        if count == self._changes_seen:
            return
        rows = self._board.changes.since(self._changes_seen)
        if rows is None:
            self._changes_seen = count
            rows = np.flatnonzero(self._board.serial != self._serial)
        else:
            self._changes_seen += len(rows)
            rows = np.unique(rows)
        self._look_at(rows)

    def _look_at(self, rows: Array) -> None:
        """Take note of what has become of these rows, each named once."""
        current = self._board.serial[rows]
        changed = current != self._serial[rows]
        rows, current = rows[changed], current[changed]
        if not rows.size:
            return
        self._serial[rows] = current
        self._live = None
        begun = rows[current != 0]
        if begun.size:
            self._begin(begun)

    def receive(self, batch: RecvBatch, fd: int, slot: int) -> Arrivals:
        """Receive a batch and find the calls its datagrams belong to.

        A datagram that the kernel took in before its call ended still belongs to it, whenever we come to read it.
        """
        board = self._board
        count = batch.recv(fd)
        if not count:
            return _NOTHING
        self._note_drops(batch, fd, count)
        index = self._place_of(batch.dst_ip[:count])
        known = board.addresses[index] == batch.dst_ip[:count]
        rows = index * board.size.slots + slot
        if self._only_callers:
            source = batch.src_ip[:count]
            known &= (source == board.caller_ip[rows]) | (source == board.signalling_ip[rows])
        serial = board.serial[rows]
        unseen = serial != self._serial[rows]
        if unseen.any():
            self._look_at(np.unique(rows[unseen]))
        up = known & (serial != 0)
        if up.all():
            return Arrivals(count, rows, up, np.zeros(count, np.bool_))
        ended = board.ended_ns[rows]
        belongs = up | known & (batch.arrival_ns[:count] <= ended)
        after_end = known & ~belongs & (ended > 0)
        strangers = count - int(np.count_nonzero(belongs)) - int(np.count_nonzero(after_end))
        if strangers:
            board.health[STRAY] += strangers
        return Arrivals(count, rows, belongs, after_end)

    def _note_drops(self, batch: RecvBatch, fd: int, count: int) -> None:
        told = int(batch.drops[:count].max())
        if told > self._drops.get(fd, 0):
            self._board.health[OVERFLOWED] += told - self._drops.get(fd, 0)
            self._drops[fd] = told


def _places(addresses: Array) -> Callable[[Array], Array]:
    """Return a reader of each address's place among these, ascending ones; for an address not among them, any place.

    Where they lie close together the places are a table, which is read in a quarter of a search's time.
    """
    last = len(addresses) - 1
    base = int(addresses[0])
    span = int(addresses[last]) - base + 1
    if span > _LARGEST_TABLE:
        return lambda wanted: np.minimum(np.searchsorted(addresses, wanted), last)
    table = np.zeros(span, np.int64)
    table[addresses.astype(np.int64) - base] = np.arange(last + 1)
    return lambda wanted: table.take(wanted.astype(np.int64) - base, mode="clip")

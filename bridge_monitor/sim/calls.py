"""Which call a datagram belongs to, and which calls are up: the media process's view of the board.

Owns that view; must not write what the SIP side owns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bridge_monitor.net.mmsg import RecvBatch
from bridge_monitor.sim.board import OVERFLOWED, STRAY, Array, Board


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

    Attributes:
        live: Rows of the calls that are up, ascending.
    """

    def __init__(self, board: Board, begin: Callable[[Array], None], *, only_callers: bool = False) -> None:
        self._only_callers = only_callers
        self._board = board
        self._begin = begin
        self._serial = np.zeros(board.size.calls, np.uint32)
        self._drops: dict[int, int] = {}
        self.live: Array = np.zeros(0, np.int64)

    def synchronise(self) -> None:
        """Take note of calls that have begun or ended."""
        current = self._board.serial.copy()
        changed = np.flatnonzero(current != self._serial)
        if not changed.size:
            return
        self._serial[:] = current
        begun = changed[current[changed] != 0]
        if begun.size:
            self._begin(begun)
        self.live = np.flatnonzero(current)

    def receive(self, batch: RecvBatch, fd: int, slot: int) -> Arrivals:
        """Receive a batch and find the calls its datagrams belong to.

        A datagram that the kernel took in before its call ended still belongs to it, whenever we come to read it.
        """
        board = self._board
        count = batch.recv(fd)
        if not count:
            return _NOTHING
        self._note_drops(batch, fd, count)
        index = np.searchsorted(board.addresses, batch.dst_ip[:count])
        np.minimum(index, board.size.addresses - 1, out=index)
        known = board.addresses[index] == batch.dst_ip[:count]
        rows = index * board.size.slots + slot
        if self._only_callers:
            source = batch.src_ip[:count]
            known &= (source == board.caller_ip[rows]) | (source == board.signalling_ip[rows])
        serial = board.serial[rows]
        if (serial != self._serial[rows]).any():
            self.synchronise()
        ended = board.ended_ns[rows]
        belongs = known & ((serial != 0) | (batch.arrival_ns[:count] <= ended))
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

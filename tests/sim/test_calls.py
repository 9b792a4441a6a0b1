"""The media process's view of the calls: told by the rows that changed, or by a look at all where those are many."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.sim import calls
from bridge_monitor.sim.board import CHANGES_KEPT, Array, Board, BoardSize
from bridge_monitor.sim.calls import CallView

SIZE = BoardSize(addresses=8, slots=2, sites=8)


class Rig:
    """A board and its view."""

    def __init__(self) -> None:
        self.board = Board(SIZE, mmap.mmap(-1, Board.bytes_needed(SIZE)))
        self.board.addresses[:] = np.arange(8) + 0x7F000001
        self.begun: list[int] = []
        self.view = CallView(self.board, self._begin)
        self._serial = 0

    def _begin(self, rows: Array) -> None:
        self.begun += rows.tolist()

    def begin(self, row: int) -> None:
        self._serial += 1
        self.board.serial[row] = self._serial
        self.board.changes.tell(row)

    def end(self, row: int) -> None:
        self.board.serial[row] = 0
        self.board.changes.tell(row)


@given(st.lists(st.lists(st.integers(0, SIZE.calls - 1), max_size=20), max_size=12))
def test_the_view_has_the_calls_that_are_up_and_is_told_of_each_new_one_once(looks: list[list[int]]) -> None:
    rig = Rig()
    for changes in looks:
        before = rig.board.serial.copy()
        for row in changes:
            (rig.end if rig.board.serial[row] else rig.begin)(row)
        rig.begun.clear()
        rig.view.synchronise()
        after = rig.board.serial
        assert rig.view.live.tolist() == np.flatnonzero(after).tolist()
        assert rig.begun == np.flatnonzero((after != before) & (after != 0)).tolist()
        assert rig.view.are_up(np.arange(SIZE.calls)).tolist() == (after != 0).tolist()


def test_a_view_that_is_far_behind_looks_at_all_rows() -> None:
    rig = Rig()
    for _ in range(CHANGES_KEPT):
        rig.begin(5)
        rig.end(5)
    rig.begin(3)
    assert rig.board.changes.since(0) is None
    rig.view.synchronise()
    assert rig.view.live.tolist() == [3]
    rig.end(3)
    rig.view.synchronise()
    assert rig.view.live.tolist() == []


@pytest.mark.parametrize("largest_table", [0, 1 << 20])
@given(st.sets(st.integers(0x7F000000, 0x7F00FFFF), min_size=1, max_size=30), st.lists(st.integers(0, 2**32 - 1)))
def test_every_address_is_found_in_its_place_by_table_and_by_search(
    largest_table: int, known: set[int], others: list[int]
) -> None:
    addresses = np.array(sorted(known), np.uint32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "_LARGEST_TABLE", largest_table)
        place_of = calls._places(addresses)
    assert place_of(addresses).tolist() == list(range(len(addresses)))
    for place in place_of(np.array(others, np.uint32)).tolist():
        assert 0 <= place < len(addresses)

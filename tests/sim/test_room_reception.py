"""Reception that is counted later tells the same as reception that is counted at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.rtp.columns import ReceptionColumns
from bridge_monitor.sim import room_reception
from bridge_monitor.sim.room_reception import RoomReception
from bridge_monitor.sim.room_reports import block_of

ROWS = 4
Packet = tuple[int, int, int]

packets = st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, 40), st.integers(1, 2)), max_size=15)
steps = st.lists(
    st.one_of(
        packets.map(lambda batch: ("take", batch)),
        st.integers(0, ROWS - 1).map(lambda row: ("reset", row)),
        st.integers(0, ROWS - 1).map(lambda row: ("report", row)),
    ),
    max_size=25,
)


@given(steps)
def test_reports_are_those_of_the_columns_that_count_at_once(steps: list[tuple[str, object]]) -> None:
    later, at_once, now_ns = RoomReception(ROWS), ReceptionColumns(ROWS), 10**18
    for verb, what in steps:
        if verb == "take":
            assert isinstance(what, list)
            count = len(what)
            rows, seq, ssrc = (np.array([packet[place] for packet in what], np.int64) for place in range(3))
            arrival = now_ns + np.arange(count, dtype=np.int64) * 7_000_000
            now_ns += 20_000_000 * count
            later.take(rows, seq, seq * 160, arrival, ssrc)
            at_once.receive(rows, seq, seq * 160, arrival, ssrc)
        elif verb == "reset":
            assert isinstance(what, int)
            later.reset(np.array([what]))
            at_once.reset(what)
        else:
            assert isinstance(what, int)
            blocks = later.report_blocks(np.array([what]))
            assert block_of(blocks, 0, 5, 6) == at_once.report_block(what, lsr=5, dlsr=6)


def test_no_more_waits_than_is_said() -> None:
    reception = RoomReception(1)
    for number in range(room_reception._MOST + 10):
        one = np.array([number & 0xFFFF])
        reception.take(np.zeros(1, np.int64), one, one, one + 10**18, np.ones(1, np.int64))
    assert reception._columns.received(0) == room_reception._MOST

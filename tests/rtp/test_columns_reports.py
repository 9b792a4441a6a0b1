"""Report blocks of many rows at once are those of each row by itself, now and at the next report."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.rtp.columns import ReceptionColumns

ROWS = 5
packets = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.integers(65500, 65600), st.integers(0, 300), st.integers(1, 2)), max_size=40
)


@given(st.lists(packets, min_size=1, max_size=4))
def test_they_are_equal_over_loss_restarts_and_cycles(batches: list[list[tuple[int, int, int, int]]]) -> None:
    one_by_one, together = ReceptionColumns(ROWS), ReceptionColumns(ROWS)
    now_ns, rows = 10**18, np.array([4, 0, 2, 3, 1])
    for batch in batches:
        row, seq, step_ms, ssrc = (np.array([packet[place] for packet in batch], np.int64) for place in range(4))
        arrival = now_ns + np.cumsum(step_ms) * 1_000_000
        now_ns = int(arrival[-1]) if len(batch) else now_ns
        for columns in (one_by_one, together):
            columns.receive(row, seq & 0xFFFF, seq * 160 & 0xFFFFFFFF, arrival, ssrc)
        blocks = together.report_blocks(rows)
        for entry, each in enumerate(rows.tolist()):
            block = one_by_one.report_block(each)
            assert blocks.heard[entry] == (block is not None)
            if block is not None:
                told = [int(column[entry]) for column in blocks[1:]]
                assert told == [
                    block.ssrc,
                    block.fraction_lost,
                    block.cumulative_lost,
                    block.highest_sequence,
                    block.jitter,
                ]

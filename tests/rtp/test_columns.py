"""The vectorised reception, held equal to the scalar one, and what only it does: rows, buffers, report blocks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_monitor.rtp.columns import ReceptionColumns
from bridge_monitor.rtp.reception import MAX_DROPOUT, MAX_MISORDER, Reception
from bridge_monitor.rtp.rtcp import ReportBlock

MS = 1_000_000
START = 1_719_471_600_000 * MS
ROWS = 4

Packet = tuple[int, int, int, int, int]  # row, sequence number, timestamp, arrival, SSRC


@dataclass
class Sender:
    """A source whose packets meet with accidents."""

    row: int
    seq: int
    timestamp: int
    ssrc: int
    sent: list[tuple[int, int]] = field(default_factory=list)

    def next(self, arrival: int) -> Packet:
        packet = (self.row, self.seq, self.timestamp, arrival, self.ssrc)
        self.sent.append((self.seq, self.timestamp))
        self.lose(1)
        return packet

    def lose(self, count: int) -> None:
        self.seq = self.seq + count & 0xFFFF
        self.timestamp = self.timestamp + 160 * count & 0xFFFFFFFF

    def earlier(self, back: int, arrival: int) -> Packet:
        """A packet from before, be it a duplicate or a late one."""
        seq, timestamp = self.seq - back & 0xFFFF, self.timestamp - 160 * back & 0xFFFFFFFF
        return (self.row, seq, timestamp, arrival, self.ssrc)


events = st.lists(
    st.tuples(
        st.integers(0, ROWS - 1),
        st.sampled_from(["send"] * 6 + ["lose", "lose_many", "earlier", "long_ago", "source", "timestamps", "stray"]),
        st.integers(1, 6),
        st.integers(0, 200_000_000),
    ),
    max_size=120,
)
near_wrap = st.integers(65500, 65535) | st.integers(0, 0xFFFF)
timestamps = st.integers((1 << 32) - 2000, (1 << 32) - 1) | st.integers(0, (1 << 32) - 1)
starts = st.lists(st.tuples(near_wrap, timestamps), min_size=ROWS, max_size=ROWS)


def story(given_events: list[tuple[int, str, int, int]], given_starts: list[tuple[int, int]]) -> list[Packet]:
    """Return packets in order of arrival."""
    senders = [Sender(row, seq, timestamp, 100 + row) for row, (seq, timestamp) in enumerate(given_starts)]
    packets = []
    for place, (row, what, size, delay) in enumerate(given_events):
        sender, arrival = senders[row], START + 5 * MS * place + delay
        if what == "lose":
            sender.lose(size)
        elif what == "lose_many":
            sender.lose(size * 750)  # up to both sides of MAX_DROPOUT
        elif what == "earlier":
            packets.append(sender.earlier(size, arrival))
        elif what == "long_ago":
            packets.append(sender.earlier(size * 125 - 4, arrival))  # up to both sides of MAX_MISORDER
        elif what == "source":
            sender.ssrc += 1000
            sender.seq = sender.seq + 30_000 * (size % 2) & 0xFFFF
        elif what == "timestamps":
            sender.timestamp = sender.timestamp + 400_000_000 * size & 0xFFFFFFFF
        elif what == "stray":
            packets.append((row, 60_000 + size, 0, arrival, 9))
        else:
            packets += [sender.next(arrival + burst) for burst in range(size)]
    return packets


def feed(columns: ReceptionColumns, packets: list[Packet], cuts: list[int]) -> None:
    """Feed packets in batches, cut after the given numbers of packets and at the end."""
    start = 0
    for end in [*cuts, len(packets)]:
        part = np.array(packets[start:end], np.int64).reshape(-1, 5)
        columns.receive(*(part[:, column] for column in range(5)))
        start = max(start, end)


def assert_equal_to_scalar(packets: list[Packet], cuts: list[int] | None = None) -> None:
    """Run packets through both implementations and compare each row's summary."""
    columns = ReceptionColumns(ROWS)
    feed(columns, packets, cuts or [])
    for row in range(ROWS):
        scalar = Reception()
        for _, seq, timestamp, arrival, ssrc in (packet for packet in packets if packet[0] == row):
            scalar.receive(seq, timestamp, arrival, ssrc)
        assert columns.summary(row) == scalar.summary()


class TestEqualsScalar:
    @settings(max_examples=300, deadline=None)
    @given(events, starts, st.lists(st.integers(0, 400), max_size=12))
    def test_over_accidents_wraps_and_batch_boundaries(
        self, given_events: list[tuple[int, str, int, int]], given_starts: list[tuple[int, int]], cuts: list[int]
    ):
        """Loss, reordering, duplicates, restarts, both wraps, several packets of a row in a batch: equal summaries."""
        packets = story(given_events, given_starts)
        assert_equal_to_scalar(packets, sorted(cuts))

    @pytest.mark.parametrize("limit", [-MAX_MISORDER, MAX_DROPOUT])
    @pytest.mark.parametrize("beyond", [-1, 0, 1])
    def test_on_both_sides_of_misorder_and_dropout(self, limit: int, beyond: int):
        numbers = [5000, 5001, 5001 + limit + beyond, 5001 + limit + beyond + 1, 5002]
        packets = [(0, number, 160 * number, START + 20 * MS * n, 1) for n, number in enumerate(numbers)]
        assert_equal_to_scalar(packets)

    def test_a_new_source_s_numbers_are_not_the_old_one_s_duplicates(self):
        """Both sources use 65,534: it is new of the second one, received late."""
        old = [(0, number, 0, START, 1) for number in range(65530, 65536)]
        new = [(0, number, 0, START, 2) for number in (65535, 0, 65534)]
        assert_equal_to_scalar(old + new)

    def test_over_long_streams_with_random_accidents(self):
        """Several thousand packets, more than the window, with loss, bursts, duplication and delay."""
        rng = random.Random(11)
        columns, scalars = ReceptionColumns(ROWS, 48_000), [Reception(48_000) for _ in range(ROWS)]
        packets: list[Packet] = []
        for row in range(ROWS):
            number = 0
            while number < 2500:
                number += 1 + (rng.randrange(1, 9) if rng.random() < 0.01 * row else 0)
                for _ in range(1 + (rng.random() < 0.02)):
                    delay = rng.randrange(0, [1, 30, 90, 900][row] * MS)
                    arrival = START + 20 * MS * number + delay
                    packets.append((row, 65000 + number & 0xFFFF, 960 * number - 5000 & 0xFFFFFFFF, arrival, row))
        packets.sort(key=lambda packet: packet[3])
        feed(columns, packets, list(range(0, len(packets), 200)))
        for row, seq, timestamp, arrival, ssrc in packets:
            scalars[row].receive(seq, timestamp, arrival, ssrc)
        for row in range(ROWS):
            summary = columns.summary(row)
            assert summary == scalars[row].summary()
            assert summary is not None
            assert summary.duplicates > 0
            assert (summary.late > 0) is (row >= 2)


class TestRows:
    def test_an_empty_batch_changes_nothing(self):
        columns = ReceptionColumns(1)
        feed(columns, [], [])
        assert columns.summary(0) is None

    def test_without_ssrcs_all_packets_are_of_one_source(self):
        columns = ReceptionColumns(1)
        ones = np.zeros(3, np.int64)
        columns.receive(ones, np.arange(3), 160 * np.arange(3), START + 20 * MS * np.arange(3))
        summary = columns.summary(0)
        assert summary is not None
        assert (summary.received, summary.lost, summary.restarts) == (3, 0, 0)
        assert columns.received(0) == 3

    def test_a_reset_row_is_new_and_the_others_stay(self):
        columns = ReceptionColumns(2)
        packets = [(row, number, 160 * number, START, 1) for number in range(4) for row in (0, 1)]
        feed(columns, packets, [])
        columns.reset(0, 48_000)
        assert columns.summary(0) is None
        assert columns.received(1) == 4
        feed(columns, [(0, number, 960 * number, START + 20 * MS * number, 1) for number in range(4)], [])
        summary = columns.summary(0)
        assert summary is not None
        assert (summary.received, summary.duplicates, summary.jitter_max_seconds) == (4, 0, 0.0)

    def test_rows_live_in_the_caller_s_buffer(self):
        """A second reader of the same memory sees what the first wrote."""
        memory = memoryview(bytearray(ReceptionColumns.bytes_needed(3) + 64))
        writer, reader = ReceptionColumns(3, buffer=memory[64:]), ReceptionColumns(3, buffer=memory[64:])
        feed(writer, [(2, 7, 0, START, 1), (2, 9, 320, START + 40 * MS, 1)], [])
        summary = reader.summary(2)
        assert summary == writer.summary(2)
        assert summary is not None
        assert summary.lost == 1
        assert not any(memory[:64])

    def test_a_buffer_too_small_is_refused(self):
        with pytest.raises(ValueError, match="smaller"):
            ReceptionColumns(3, buffer=memoryview(bytearray(100)))


class TestReportBlock:
    """RFC 3550 §6.4.1 and A.3."""

    def columns(self, numbers: list[int], ssrc: int = 77) -> ReceptionColumns:
        columns = ReceptionColumns(1)
        self.feed(columns, numbers, ssrc)
        return columns

    def feed(self, columns: ReceptionColumns, numbers: list[int], ssrc: int = 77) -> None:
        feed(columns, [(0, n & 0xFFFF, 160 * n & 0xFFFFFFFF, START + 20 * MS * n, ssrc) for n in numbers], [])

    def test_nothing_received_has_no_block(self):
        assert ReceptionColumns(1).report_block(0) is None

    def test_the_fraction_is_of_the_interval_and_the_count_of_the_whole(self):
        columns = self.columns([65530, 65531, 65533, 65534])
        assert columns.report_block(0, lsr=5, dlsr=6) == ReportBlock(77, 256 // 5, 1, 65534, 0, 5, 6)
        self.feed(columns, [65535, 65536, 65538, 65541])
        assert columns.report_block(0) == ReportBlock(77, 3 * 256 // 7, 4, 65541, 0)

    def test_an_interval_without_packets_lost_none(self):
        columns = self.columns([1, 3])
        columns.report_block(0)
        block = columns.report_block(0)
        assert block is not None
        assert (block.fraction_lost, block.cumulative_lost) == (0, 1)

    def test_late_packets_that_mend_an_earlier_interval_are_no_negative_loss(self):
        columns = self.columns([1, 2, 5])
        columns.report_block(0)
        self.feed(columns, [3, 4, 6])
        block = columns.report_block(0)
        assert block is not None
        assert (block.fraction_lost, block.cumulative_lost) == (0, 0)

    def test_jitter_is_in_ticks_of_the_codec_s_clock(self):
        columns = ReceptionColumns(1)
        feed(columns, [(0, n, 160 * n, START + 20 * MS * n + 10 * MS * (n % 2), 1) for n in range(400)], [])
        block = columns.report_block(0)
        assert block is not None
        assert block.jitter == pytest.approx(80, abs=1)

    def test_after_a_restart_the_block_is_of_the_new_source(self):
        columns = self.columns([10, 12, 13])
        columns.report_block(0)
        self.feed(columns, [500, 501, 503], ssrc=78)
        block = columns.report_block(0)
        assert block is not None
        assert (block.ssrc, block.cumulative_lost, block.highest_sequence) == (78, 1, 503)
        assert block.fraction_lost == 256 // 4

"""Echoes: the scalar definition, and the vectorised one held equal to it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_monitor.rtp.echo import RING, SAMPLES, EchoColumns, EchoReception
from bridge_monitor.rtp.report import EchoSummary, RttSummary

MS = 1_000_000
START = 1_719_471_600_000 * MS
ROWS = 3


def echoed(*returns: tuple[int, float], sent: int = 10, large: int = 0, first_seq: int = 65533) -> EchoSummary:
    """Return the summary where packets (number, RTT in ms) came back in this order, of those sent 20 ms apart."""
    echo = EchoReception(first_seq)
    for number in range(sent + large):
        echo.sent(first_seq + number & 0xFFFF, START + 20 * MS * number, large=number >= sent)
    for number, rtt in returns:
        echo.receive(first_seq + number & 0xFFFF, START + 20 * MS * number + int(rtt * MS))
    summary = echo.summary()
    assert summary is not None
    return summary


class TestEchoReception:
    def test_nothing_come_back_has_no_summary(self):
        echo = EchoReception(5)
        echo.sent(5, START)
        assert echo.summary() is None

    def test_round_trip_times_are_per_packet(self):
        summary = echoed((0, 10), (1, 20), (2, 30), sent=3)
        assert summary.rtt == RttSummary(0.01, 0.02, pytest.approx(0.029), 0.03, 3)
        assert (summary.sent, summary.received, summary.lost) == (3, 3, 0)

    def test_lost_duplicated_and_reordered_packets_over_the_wrap(self):
        summary = echoed((0, 10), (1, 10), (4, 10), (3, 50), (4, 60), (9, 10), (0, 700))
        assert (summary.sent, summary.received, summary.lost) == (10, 5, 5)
        assert (summary.duplicates, summary.reordered, summary.stray) == (2, 1, 0)

    def test_packets_that_were_never_sent_are_stray(self):
        summary = echoed((0, 10), (10, 10), (-1, 10), (30_000, 10))
        assert (summary.received, summary.stray) == (1, 3)

    def test_large_packets_are_counted_apart_and_give_no_round_trip_time(self):
        summary = echoed((0, 10), (1, 10), (2, 500), (3, 500), (3, 501), sent=2, large=3)
        assert (summary.sent, summary.received, summary.lost) == (2, 2, 0)
        assert (summary.large_sent, summary.large_received, summary.duplicates) == (3, 2, 1)
        assert summary.rtt == RttSummary(0.01, 0.01, 0.01, 0.01, 2)
        assert summary.jitter_max_seconds == 0.0

    def test_only_large_packets_come_back(self):
        summary = echoed((2, 10), sent=2, large=1)
        assert (summary.received, summary.lost, summary.rtt, summary.jitter_seconds) == (0, 2, None, None)

    def test_jitter_comes_from_true_send_times(self):
        """Uneven sending is no jitter; round-trip times that alternate by 8 ms are."""
        echo = EchoReception(0)
        rng = random.Random(1)
        send_ns = START
        for number in range(400):
            send_ns += rng.randrange(1, 50) * MS
            echo.sent(number, send_ns)
            echo.receive(number, send_ns + (30 + 8 * (number % 2)) * MS)
        summary = echo.summary()
        assert summary is not None
        assert summary.jitter_max_seconds == pytest.approx(0.008, rel=0.001)

    def test_packets_later_than_the_playout_buffer_are_late(self):
        assert echoed((0, 30), (1, 30), (2, 91), (3, 20), (4, 79), (5, 81)).late == 2

    def test_a_run_of_losses_is_a_burst(self):
        assert echoed(*((number, 10) for number in (0, 1, 2, 3, 8, 9))).burst_ratio == pytest.approx(4 * 0.6)

    def test_a_sequence_number_left_out_was_never_sent(self):
        echo = EchoReception(0)
        echo.sent(0, START)
        echo.sent(2, START + 40 * MS)
        for seq in (0, 1, 2):
            echo.receive(seq, START + 50 * MS)
        summary = echo.summary()
        assert summary is not None
        assert (summary.sent, summary.received, summary.stray) == (2, 2, 1)
        assert summary.rtt == RttSummary(0.01, 0.03, pytest.approx(0.048), 0.05, 2)

    def test_a_packet_older_than_the_ring_is_lost(self):
        echo = EchoReception(0)
        for number in range(RING + 1):
            echo.sent(number, START + number)
        echo.receive(0, START + MS)
        echo.receive(1, START + MS)
        summary = echo.summary()
        assert summary is not None
        assert (summary.received, summary.stray) == (1, 1)


actions = st.lists(
    st.tuples(
        st.integers(0, ROWS - 1),
        st.sampled_from(["send", "send", "send_echo", "send_echo", "send_echo", "skip", "back", "stray"]),
        st.integers(1, 6),
        st.integers(0, 200 * MS),
    ),
    max_size=120,
)

Step = tuple[int, int, int, bool]  # row, sequence number, time, large


def run_both(plan: list[tuple[str, list[Step]]], first: list[int]) -> tuple[EchoColumns, list[EchoReception]]:
    """Run batches, each of packets sent or of packets come back, through both implementations."""
    columns, scalars = EchoColumns(ROWS), [EchoReception(seq) for seq in first]
    for row, seq in enumerate(first):
        columns.reset(row, seq)
    for what, steps in plan:
        table = np.array(steps, np.int64).reshape(-1, 4)
        rows, seq, at, large = (table[:, column] for column in range(4))
        if what == "sent":
            columns.sent(rows, seq, at, large=large.astype(bool) if large.any() else None)
            for row, number, when, is_large in steps:
                scalars[row].sent(number, when, large=is_large)
        else:
            columns.receive(rows, seq, at)
            for row, number, when, _ in steps:
                scalars[row].receive(number, when)
    return columns, scalars


class TestColumnsEqualScalar:
    @settings(max_examples=200, deadline=None)
    @given(
        actions,
        st.lists(st.integers(65500, 65535) | st.integers(0, 0xFFFF), min_size=ROWS, max_size=ROWS),
        st.lists(st.integers(0, 120), min_size=ROWS, max_size=ROWS),
    )
    def test_over_accidents_wraps_and_large_packets(
        self, given_actions: list[tuple[int, str, int, int]], first: list[int], ordinary: list[int]
    ):
        """Loss, reordering, duplicates, strays, left-out numbers, several packets of a row in a batch."""
        plan: list[tuple[str, list[Step]]] = []
        following, sent = list(first), [0] * ROWS
        for place, (row, what, size, delay) in enumerate(given_actions):
            now = START + 20 * MS * place
            if what == "skip":
                following[row] = following[row] + size * size & 0xFFFF
            elif what == "back":
                plan.append(("received", [(row, following[row] - size & 0xFFFF, now + delay, False)] * (size % 3)))
            elif what == "stray":
                plan.append(("received", [(row, following[row] + size * 5000 & 0xFFFF, now, False)]))
            else:
                steps = []
                for _ in range(size):
                    steps.append((row, following[row], now, sent[row] >= ordinary[row]))
                    following[row] = following[row] + 1 & 0xFFFF
                    sent[row] += 1
                plan.append(("sent", steps))
                if what == "send_echo":
                    back = steps[::-1] if size == 3 else steps[: size - size // 4]
                    plan.append(("received", [(row, seq, at + delay, False) for row, seq, at, _ in back]))
        columns, scalars = run_both(plan, first)
        for row, scalar in enumerate(scalars):
            assert columns.summary(row) == scalar.summary()

    def test_over_more_packets_than_ring_and_samples_hold(self):
        """Four times as many samples as are kept, on rows that run together."""
        rng = random.Random(5)
        plan: list[tuple[str, list[Step]]] = []
        first = [65000, 0, 40_000]
        for number in range(4 * SAMPLES + 37):
            steps = [(row, first[row] + number & 0xFFFF, START + 20 * MS * number, False) for row in range(ROWS)]
            plan.append(("sent", steps))
            plan.append(
                (
                    "received",
                    [
                        (row, s, at + rng.randrange(MS, 90 * MS), x)
                        for row, s, at, x in steps
                        if rng.random() > 0.1 * row
                    ],
                )
            )
        columns, scalars = run_both(plan, first)
        for row, scalar in enumerate(scalars):
            summary = columns.summary(row)
            assert summary == scalar.summary()
            assert summary is not None
            assert summary.rtt is not None
            assert summary.rtt.samples > SAMPLES
            assert summary.rtt.median == pytest.approx(0.0455, abs=0.004)

    def test_a_packet_older_than_the_ring(self):
        """Its cell of the ring belongs to a newer packet by then."""
        plan: list[tuple[str, list[Step]]] = [
            ("sent", [(0, number, START + number, False) for number in range(RING + 1)]),
            ("received", [(0, 0, START + MS, False), (0, 1, START + MS, False)]),
        ]
        columns, scalars = run_both(plan, [0, 0, 0])
        summary = columns.summary(0)
        assert summary == scalars[0].summary()
        assert summary is not None
        assert (summary.received, summary.stray) == (1, 1)

    def test_a_gap_longer_than_the_ring_forgets_every_send_time(self):
        gap = 3 * RING + 5
        plan: list[tuple[str, list[Step]]] = [
            ("sent", [(0, number, START + number, False) for number in range(10)]),
            ("sent", [(0, 10 + gap, START + MS, False)]),
            ("received", [(0, number, START + 2 * MS, False) for number in (5, 10 + gap - RING + 1, 10 + gap)]),
        ]
        columns, scalars = run_both(plan, [0, 0, 0])
        summary = columns.summary(0)
        assert summary == scalars[0].summary()
        assert summary is not None
        assert (summary.received, summary.stray) == (1, 2)

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.tuples(st.sets(st.integers(0, ROWS - 1), min_size=1), st.integers(0, 9)), max_size=60),
        st.lists(st.integers(65500, 65535) | st.integers(0, 0xFFFF), min_size=ROWS, max_size=ROWS),
        st.lists(st.integers(0, 30), min_size=ROWS, max_size=ROWS),
    )
    def test_sent_one_a_row_with_none_left_out(
        self, turns: list[tuple[set[int], int]], first: list[int], ordinary: list[int]
    ):
        """The quicker way of noting what was sent: each row's packets in turn, then large ones, some of them lost."""
        columns, scalars = EchoColumns(ROWS), [EchoReception(seq) for seq in first]
        for row, seq in enumerate(first):
            columns.reset(row, seq)
        sent = [0] * ROWS
        for place, (chosen, fate) in enumerate(turns):
            rows, at = np.array(sorted(chosen)), START + 20 * MS * place
            number = np.array([sent[row] for row in rows])
            large = number >= np.array(ordinary)[rows]
            columns.sent_next(rows, number, np.full(len(rows), at), large=large if large.any() else None)
            for row, count, is_large in zip(rows.tolist(), number.tolist(), large.tolist(), strict=True):
                scalars[row].sent(first[row] + count & 0xFFFF, at, large=is_large)
                sent[row] += 1
            back = rows[: len(rows) - (fate == 0)]
            seq = np.array(first)[back] + number[: len(back)] & 0xFFFF
            columns.receive(back, seq, np.full(len(back), at + fate * 10 * MS))
            for row, one in zip(back.tolist(), seq.tolist(), strict=True):
                scalars[row].receive(one, at + fate * 10 * MS)
        for row, scalar in enumerate(scalars):
            assert columns.summary(row) == scalar.summary()


class TestEchoColumns:
    def test_empty_batches_change_nothing(self):
        columns = EchoColumns(1)
        columns.reset(0, 0)
        nothing = np.zeros(0, np.int64)
        columns.sent(nothing, nothing, nothing)
        columns.receive(nothing, nothing, nothing)
        assert columns.summary(0) is None

    def test_rows_live_in_the_caller_s_buffer_and_reset_makes_them_new(self):
        memory = memoryview(bytearray(EchoColumns.bytes_needed(2)))
        writer, reader = EchoColumns(2, buffer=memory), EchoColumns(2, buffer=memory)
        for row in range(2):
            writer.reset(row, 9)
        rows, seq = np.array([0, 1]), np.array([9, 9])
        writer.sent(rows, seq, np.array([START, START]))
        writer.receive(rows, seq, np.array([START + MS, START + 2 * MS]))
        assert reader.received(0) == 1
        writer.reset(0, 9)
        assert reader.summary(0) is None
        summary = reader.summary(1)
        assert summary is not None
        assert summary.rtt == RttSummary(0.002, 0.002, 0.002, 0.002, 1)
        writer.sent(rows[:1], seq[:1], np.array([START]))
        writer.receive(rows[:1], seq[:1] + 1, np.array([START + MS]))
        assert reader.received(0) == 0

    @pytest.mark.parametrize("and_one_more", [False, True])
    def test_in_a_batch_only_what_is_new_is_measured(self, *, and_one_more: bool):
        """One packet came back before, one was never sent, and a third one may come for the first time."""
        columns = EchoColumns(3)
        rows, seq, at = np.array([0, 1, 2]), np.array([9, 9, 9]), np.full(3, START)
        for row in range(3):
            columns.reset(row, 9)
        columns.sent(rows, seq, at)
        columns.receive(rows[:2], seq[:2], at[:2] + MS)
        count = 2 + and_one_more
        columns.receive(rows[:count], (seq + np.array([0, 1, 0]))[:count], at[:count] + 9 * MS)
        again, unknown, fresh = (columns.summary(row) for row in range(3))
        assert again is not None
        assert unknown is not None
        assert (again.received, again.duplicates, again.stray) == (1, 1, 0)
        assert (unknown.received, unknown.duplicates, unknown.stray) == (1, 0, 1)
        assert again.rtt == unknown.rtt == RttSummary(0.001, 0.001, 0.001, 0.001, 1)
        if and_one_more:
            assert fresh is not None
            assert fresh.rtt == RttSummary(0.009, 0.009, 0.009, 0.009, 1)
        else:
            assert fresh is None


def test_the_greatest_round_trip_time_so_far():
    """What a stream's tail has to wait for: of this row alone, and 0 until something came back."""
    echo = EchoColumns(ROWS)
    echo.reset(1, 7)
    rows = np.array([1, 1, 1])
    echo.sent(rows, np.array([7, 8, 9]), np.array([START, START + 20 * MS, START + 40 * MS]))
    assert echo.greatest_rtt_ns(1) == 0
    echo.receive(rows[:2], np.array([7, 8]), np.array([START + 1100 * MS, START + 30 * MS]))
    assert echo.greatest_rtt_ns(1) == 1100 * MS
    assert echo.greatest_rtt_ns(0) == 0

"""What bad lines do to packets: statistically right, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.sim.impairment import NEVER_NS, DelayQueue, Loss, PacketNumbers, Policer, occurrences, uniform

PACKETS = 20_000


def lose(loss: Loss, count: int, rate: float, burst: float, *, batch: int = 1000, line: int = 0) -> np.ndarray:
    """Pass so many packets of one line in batches."""
    parts = []
    for start in range(0, count, batch):
        size = min(batch, count - start)
        lines = np.full(size, line)
        parts.append(loss.lost(lines, np.full(size, 99, np.uint64), np.full(size, rate), np.full(size, burst)))
    return np.concatenate(parts)


def runs(lost: np.ndarray) -> np.ndarray:
    """Return the lengths of the runs of losses."""
    edges = np.flatnonzero(np.diff(np.r_[0, lost.astype(int), 0]))
    return edges[1::2] - edges[::2]


class TestUniform:
    def test_it_is_uniform_and_independent_of_its_neighbours(self) -> None:
        numbers = uniform(np.full(PACKETS, 5, np.uint64), np.arange(PACKETS), 0)
        assert numbers.min() >= 0.0
        assert numbers.max() < 1.0
        # 4 standard errors: 0.289/√n for the mean, 1/√n for a correlation.
        assert abs(numbers.mean() - 0.5) < 4 * 0.289 / PACKETS**0.5
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 4 / PACKETS**0.5

    def test_salts_and_seeds_give_other_numbers(self) -> None:
        seed, count = np.full(PACKETS, 5, np.uint64), np.arange(PACKETS)
        plain = uniform(seed, count, 0)
        for other in (uniform(seed, count, 1), uniform(seed + np.uint64(1), count, 0)):
            assert abs(np.corrcoef(plain, other)[0, 1]) < 4 / PACKETS**0.5

    @given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**40)), min_size=1, max_size=10))
    def test_few_packets_have_the_chances_that_they_have_among_many(self, pairs: list[tuple[int, int]]) -> None:
        seeds, numbers = (list(column) for column in zip(*pairs, strict=True))
        few = uniform(np.array(seeds, np.uint64), np.array(numbers, np.int64), 3)
        many = uniform(np.array(seeds * 20, np.uint64), np.array(numbers * 20, np.int64), 3)
        assert few.tolist() == many[: len(few)].tolist()


class TestOccurrences:
    @given(st.lists(st.integers(0, 5), max_size=40))
    def test_each_entry_counts_its_equals_before_it(self, rows: list[int]) -> None:
        expected = [rows[:place].count(row) for place, row in enumerate(rows)]
        assert occurrences(np.array(rows, np.int64)).tolist() == expected

    @given(st.lists(st.lists(st.integers(0, 3), max_size=12), max_size=6))
    def test_packet_numbers_count_on_over_batches(self, batches: list[list[int]]) -> None:
        numbers, seen = PacketNumbers(4), [0, 0, 0, 0]
        for batch in batches:
            taken = numbers.take(np.array(batch, np.int64)).tolist()
            for line, number in zip(batch, taken, strict=True):
                assert number == seen[line]
                seen[line] += 1


class TestLoss:
    def test_single_losses_have_the_planned_rate(self) -> None:
        lost = lose(Loss(1, 0), PACKETS, 0.05, 0.0)
        assert abs(lost.mean() - 0.05) < 4 * (0.05 * 0.95 / PACKETS) ** 0.5
        # Independent losses come in runs of 1 / (1 − p) on average.
        assert abs(runs(lost).mean() - 1 / 0.95) < 0.05

    def test_bursts_have_the_planned_rate_and_mean_length(self) -> None:
        lost = lose(Loss(1, 0), 4 * PACKETS, 0.1, 5.0)
        assert abs(lost.mean() - 0.1) < 0.015
        assert abs(runs(lost).mean() - 5.0) < 0.5

    def test_everything_or_nothing_is_exact(self) -> None:
        assert lose(Loss(1, 0), 500, 1.0, 3.0).all()
        assert lose(Loss(1, 0), 500, 1.0, 0.0).all()

    def test_losses_are_the_same_however_packets_are_batched(self) -> None:
        whole = lose(Loss(1, 0), 600, 0.2, 3.0)
        for batch in (1, 7, 600):
            assert (lose(Loss(1, 0), 600, 0.2, 3.0, batch=batch) == whole).all()

    def test_lines_in_one_batch_do_not_disturb_each_other(self) -> None:
        alone = lose(Loss(2, 0), 300, 0.3, 2.0)
        both = Loss(2, 0)
        lines = np.tile([0, 1], 300)
        mixed = both.lost(lines, np.full(600, 99, np.uint64), np.full(600, 0.3), np.where(lines == 0, 2.0, 0.0))
        assert (mixed[::2] == alone).all()

    def test_other_directions_lose_other_packets(self) -> None:
        assert (lose(Loss(1, 0), 500, 0.5, 0.0) != lose(Loss(1, 1), 500, 0.5, 0.0)).any()


class TestDelayQueue:
    def test_packets_leave_in_order_of_their_time(self) -> None:
        queue = DelayQueue(8, 16)
        assert queue.next_due_ns == NEVER_NS
        entries = queue.take(np.array([30, 10, 20]))
        queue.line[entries] = [3, 1, 2]
        assert queue.next_due_ns == 10
        assert len(queue.due(9)) == 0
        due = queue.due(20)
        assert queue.line[due].tolist() == [1, 2]
        assert queue.due_ns(due).tolist() == [10, 20]
        queue.release(due)
        assert (len(queue), queue.next_due_ns) == (1, 30)
        queue.release(queue.due(30))
        assert (len(queue), queue.next_due_ns) == (0, NEVER_NS)

    def test_a_full_queue_takes_what_fits(self) -> None:
        queue = DelayQueue(4, 16)
        assert len(queue.take(np.arange(3))) == 3
        assert len(queue.take(np.arange(3))) == 1
        assert len(queue.take(np.arange(3))) == 0
        assert len(queue) == 4

    @given(st.lists(st.tuples(st.lists(st.integers(0, 50), max_size=6), st.integers(0, 60)), max_size=12))
    def test_no_packet_is_lost_or_sent_twice(self, steps: list[tuple[list[int], int]]) -> None:
        queue, waiting = DelayQueue(16, 16), []
        for times, now in steps:
            taken = queue.take(np.array(times, np.int64))
            waiting += times[: len(taken)]
            due = queue.due(now)
            assert queue.due_ns(due).tolist() == sorted(time for time in waiting if time <= now)
            queue.release(due)
            waiting = [time for time in waiting if time > now]
            assert len(queue) == len(waiting)
            assert queue.next_due_ns == min(waiting, default=NEVER_NS)


class TestPolicer:
    @pytest.mark.parametrize("factor", [0.5, 0.9, 1.5, 4.0])
    def test_what_passes_is_the_rate_and_no_more_however_much_comes(self, factor: float) -> None:
        """Ten seconds of packets of one size at so many times the rate; the bucket's depth passes besides."""
        rate, size = 1_000_000.0, 1250
        count = round(10 * rate * factor / 8 / size)
        at_ns = np.linspace(0, 10e9, count, endpoint=False).astype(np.int64) + 10**18
        refused = Policer(1).refused(np.zeros(count, np.int64), np.full(count, size), at_ns, np.full(count, rate))
        passed = (count - int(refused.sum())) * size * 8
        assert passed <= 10 * rate + rate * Policer.DEPTH_SECONDS
        assert passed >= min(1.0, factor) * 10 * rate - size * 8

    def test_a_burst_within_the_depth_passes_and_lines_are_apart(self) -> None:
        policer = Policer(2)
        lines = np.array([0] * 40 + [1] * 5)
        refused = policer.refused(lines, np.full(45, 1000), np.full(45, 10**18), np.full(45, 1_000_000.0))
        assert refused.sum() == 40 - 31  # 250,000 bits
        assert not refused[40:].any()

    def test_a_clock_that_steps_back_gives_nothing(self) -> None:
        policer = Policer(1)
        one, rate = np.zeros(1, np.int64), np.full(1, 8_000.0)
        assert not policer.refused(one, np.array([250]), np.array([10**18]), rate)[0]
        assert policer.refused(one, np.array([1]), np.array([10**18 - 10**9]), rate)[0]
        assert not policer.refused(one, np.array([100]), np.array([10**18 + 10**8]), rate)[0]

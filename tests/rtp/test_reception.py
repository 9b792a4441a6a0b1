from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from bridge_monitor.rtp.reception import MAX_DROPOUT, MAX_MISORDER, Reception, burst_ratio
from bridge_monitor.rtp.report import ReceptionSummary

MS = 1_000_000
START = 1_719_471_600_000 * MS


def received(numbers: Iterable[int], *, first_seq: int = 0, first_timestamp: int = 0) -> ReceptionSummary:
    """Return the summary of packets received at the pace of 20 ms each, whatever their order."""
    reception = Reception()
    for place, number in enumerate(numbers):
        reception.receive(
            first_seq + number & 0xFFFF, first_timestamp + 160 * number & 0xFFFFFFFF, START + 20 * MS * place, 5
        )
    summary = reception.summary()
    assert summary is not None
    return summary


def counts(summary: ReceptionSummary) -> tuple[int, int, int, int, int]:
    return (summary.expected, summary.received, summary.lost, summary.duplicates, summary.reordered)


def test_nothing_received_has_no_summary():
    assert Reception().summary() is None


def test_one_packet_has_no_jitter():
    assert received([0]) == ReceptionSummary(1, 1, 0, 0, 0, None, None, START, START, 5, 0)


def test_a_clean_stream_loses_nothing_and_has_no_jitter():
    summary = received(range(500))
    assert counts(summary) == (500, 500, 0, 0, 0)
    assert (summary.jitter_seconds, summary.jitter_max_seconds) == (0.0, 0.0)
    assert summary.last_arrival_ns == START + 499 * 20 * MS
    assert summary.burst_ratio is None


class TestRfc3550AppendixA3:
    def test_losses_are_counted_between_the_first_and_the_last_received(self):
        assert counts(received([3, 4, 7, 8])) == (6, 4, 2, 0, 0)

    def test_duplicates_are_not_netted_against_losses(self):
        """Ten lost and ten duplicated are not none lost."""
        assert counts(received([*range(10), *range(10), *range(20, 30)])) == (30, 20, 10, 10, 0)

    def test_reordered_packets_are_received_and_counted(self):
        assert counts(received([0, 2, 1, 4, 5, 3])) == (6, 6, 0, 0, 2)

    def test_a_packet_from_before_the_first_received_lowers_the_base(self):
        assert counts(received([5, 4, 2, 6])) == (5, 4, 1, 0, 2)

    def test_a_late_packet_received_twice_is_one_duplicate(self):
        assert counts(received([0, 2, 1, 1])) == (3, 3, 0, 1, 1)

    @pytest.mark.parametrize("first_seq", [65530, 65535, 0, 1])
    def test_sequence_numbers_wrap(self, first_seq: int):
        assert counts(received([0, 1, 3, 2, 8, 7, 7, 10], first_seq=first_seq)) == (11, 7, 4, 1, 2)

    def test_many_cycles_of_sequence_numbers(self):
        numbers = [number for number in range(200_000) if number % 1000]
        summary = received(numbers)
        assert counts(summary) == (199_999, 199_800, 199, 0, 0)

    def test_the_counted_loss_is_the_true_one(self):
        """Random loss, duplication and delay: lost is exactly what was dropped between the first and last received."""
        for seed in range(20):
            rng = random.Random(seed)
            kept = [number for number in range(2000) if rng.random() > 0.05]
            arrivals = [(number + rng.choice([0, 0, 0, 0.5, 3.5, 40.5]), number) for number in kept]
            arrivals += [(number + rng.uniform(0, 90), number) for number in kept if rng.random() < 0.03]
            order = [number for _, number in sorted(arrivals)]
            summary = received(order, first_seq=64000)
            assert summary.expected == kept[-1] - kept[0] + 1
            assert summary.lost == kept[-1] - kept[0] + 1 - len(kept)
            assert summary.duplicates == len(order) - len(kept)
            assert summary.reordered > 0


class TestRfc3550AppendixA1:
    def test_a_gap_shorter_than_the_dropout_is_loss(self):
        assert counts(received([0, MAX_DROPOUT - 1])) == (MAX_DROPOUT, 2, MAX_DROPOUT - 2, 0, 0)

    def test_a_jump_as_long_as_the_dropout_needs_two_in_sequence(self):
        """The packets on both sides are two sources: nothing between them was lost."""
        summary = received([0, 1, MAX_DROPOUT + 1, MAX_DROPOUT + 2, MAX_DROPOUT + 4])
        assert counts(summary) == (6, 5, 1, 0, 0)
        assert (summary.restarts, summary.rejected) == (1, 0)

    def test_a_packet_further_behind_than_the_misorder_is_lost(self):
        numbers = [1, *range(2, MAX_MISORDER + 2), 1 - 1]
        summary = received(numbers)
        assert counts(summary) == (MAX_MISORDER + 1, MAX_MISORDER + 1, 0, 0, 0)
        assert summary.rejected == 1

    def test_a_packet_just_within_the_misorder_is_reordered(self):
        assert counts(received([*range(1, MAX_MISORDER), 0])) == (MAX_MISORDER, MAX_MISORDER, 0, 0, 1)

    def test_stray_packets_of_another_source_are_rejected(self):
        reception = Reception()
        for number in range(10):
            reception.receive(number, 160 * number, START + 20 * MS * number, 1)
            reception.receive(900 + number, 0, START + 20 * MS * number, 2)
        summary = reception.summary()
        assert summary is not None
        assert counts(summary) == (10, 10, 0, 0, 0)
        assert (summary.ssrc, summary.restarts, summary.rejected, summary.jitter_max_seconds) == (1, 0, 10, 0.0)

    def test_a_new_source_is_followed_after_two_packets_in_sequence(self):
        reception = Reception()
        for ssrc, first in ((1, 65534), (2, 65535)):
            for number in range(5):
                reception.receive(first + number & 0xFFFF, 160 * number, START + 20 * MS * number, ssrc)
        summary = reception.summary()
        assert summary is not None
        assert counts(summary) == (10, 10, 0, 0, 0)
        assert (summary.ssrc, summary.restarts, summary.rejected) == (2, 1, 0)


def ticks_jitter(packets: list[tuple[int, int]]) -> list[int]:
    """RFC 3550 A.8 as printed, in ticks: arrivals and timestamps as 32-bit ticks of the clock."""
    jitter, estimates = 0, []
    transit = (packets[0][0] - packets[0][1]) & 0xFFFFFFFF
    for arrival, timestamp in packets[1:]:
        now = (arrival - timestamp) & 0xFFFFFFFF
        d = (now - transit) & 0xFFFFFFFF
        d = d - (1 << 32) if d >= 1 << 31 else d
        transit = now
        jitter += abs(d) - ((jitter + 8) >> 4)
        estimates.append(jitter)
    return estimates


class TestRfc3550AppendixA8:
    @pytest.mark.parametrize("first_timestamp", [0, (1 << 32) - 160 * 40])
    def test_the_estimate_follows_the_rfc_s_code(self, first_timestamp: int):
        """Arrivals on whole ticks: both agree to a tick's rounding, over a wrap of the timestamps too."""
        rng = random.Random(8)
        reception = Reception()
        packets = []
        for number in range(300):
            tick = 160 * number + rng.randrange(0, 400)
            timestamp = first_timestamp + 160 * number & 0xFFFFFFFF
            packets.append((tick & 0xFFFFFFFF, timestamp))
            reception.receive(number, timestamp, START + tick * 125_000)
        estimates = ticks_jitter(packets)
        summary = reception.summary()
        assert summary is not None
        assert summary.jitter_seconds == pytest.approx(sum(estimates) / len(estimates) / 16 / 8000, abs=1 / 8000)
        assert summary.jitter_max_seconds == pytest.approx(max(estimates) / 16 / 8000, abs=1 / 8000)
        assert summary.jitter_seconds > 0.01

    def test_a_constant_alternation_converges_to_its_step(self):
        """Transit times that alternate by 10 ms have |D| = 10 ms at each packet."""
        reception = Reception()
        for number in range(400):
            reception.receive(number, 160 * number, START + 20 * MS * number + 10 * MS * (number % 2))
        summary = reception.summary()
        assert summary is not None
        assert summary.jitter_max_seconds == pytest.approx(0.01, rel=0.001)

    def test_duplicates_are_no_jitter(self):
        reception = Reception()
        for number in range(50):
            reception.receive(number, 160 * number, START + 20 * MS * number)
            reception.receive(number, 160 * number, START + 20 * MS * number + 15 * MS)
        summary = reception.summary()
        assert summary is not None
        assert (summary.jitter_max_seconds, summary.duplicates) == (0.0, 50)

    def test_a_new_timestamp_base_is_no_jitter(self):
        """Music on hold: the same source goes on with other timestamps."""
        reception = Reception()
        for number in range(50):
            base = 0 if number < 25 else 3_000_000_000
            reception.receive(number, base + 160 * number & 0xFFFFFFFF, START + 20 * MS * number)
        summary = reception.summary()
        assert summary is not None
        assert summary.jitter_max_seconds == 0.0

    def test_other_clock_rates(self):
        reception = Reception(clock_rate=90_000)
        for number in range(100):
            reception.receive(number, 3000 * number, START + number * 1_000_000_000 // 30)
        summary = reception.summary()
        assert summary is not None
        assert summary.jitter_max_seconds < 1e-8


class TestPlayoutBuffer:
    def test_packets_later_than_the_buffer_are_late(self):
        """Against the quickest packet so far, duplicates apart."""
        reception = Reception()
        for number, delay in enumerate([30, 30, 91, 20, 79, 81, 30]):
            reception.receive(number, 160 * number, START + (20 * number + delay) * MS)
        summary = reception.summary()
        assert summary is not None
        assert summary.late == 2


class TestBurstRatio:
    def test_one_run_of_four_in_ten(self):
        """Mean run 4, against 1/(1 − 0.4) for independent losses."""
        assert received([0, 1, 2, 3, 8, 9]).burst_ratio == pytest.approx(4 * 0.6)

    def test_single_losses_are_below_one(self):
        assert received([0, 2, 4, 6, 8]).burst_ratio == pytest.approx(5 / 9)

    def test_independent_losses_are_near_one(self):
        rng = random.Random(3)
        ratios = [received(n for n in range(500) if rng.random() > 0.2).burst_ratio or 0 for _ in range(50)]
        assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.03)

    def test_nothing_lost_has_none(self):
        assert burst_ratio(0, 0, 10) is None

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.quality.bounds import (
    design_effect,
    is_loss_proven,
    loss_lower_bound,
    loss_upper_bound,
    tail_probability,
)


def exact_tail(lost: int, total: int, ratio: float) -> float:
    """Return P(X ≥ lost), summed term by term."""
    return math.fsum(math.comb(total, k) * ratio**k * (1 - ratio) ** (total - k) for k in range(lost, total + 1))


counted = st.integers(1, 200).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(counted, st.floats(0.001, 0.999))
def test_the_tail_is_the_binomial_one(counts: tuple[int, int], ratio: float):
    lost, total = counts
    assert tail_probability(lost, total, ratio) == pytest.approx(exact_tail(lost, total, ratio), abs=1e-9)


@pytest.mark.parametrize(("ratio", "tail"), [(0.0, 0.0), (1.0, 1.0)])
def test_the_tail_at_certainty(ratio: float, tail: float):
    assert tail_probability(3, 10, ratio) == tail


@given(counted.filter(lambda counts: counts[0] > 0), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_lower_bound_is_where_so_many_losses_become_unlikely(counts: tuple[int, int], confidence: float):
    """Clopper–Pearson: P(X ≥ lost) = 1 − confidence."""
    bound = loss_lower_bound(*counts, confidence=confidence)
    assert bound < counts[0] / counts[1]
    assert exact_tail(*counts, bound) == pytest.approx(1 - confidence, rel=1e-6)


@given(counted.filter(lambda counts: counts[0] < counts[1]))
def test_the_upper_bound_is_where_so_few_losses_become_unlikely(counts: tuple[int, int]):
    bound = loss_upper_bound(*counts)
    assert bound > counts[0] / counts[1]
    assert 1 - exact_tail(counts[0] + 1, counts[1], bound) == pytest.approx(0.05, rel=1e-6)


def test_with_500_packets_a_bound_of_one_per_cent_needs_ten_losses():
    assert loss_lower_bound(9, 500) < 0.01 <= loss_lower_bound(10, 500)
    assert not is_loss_proven(9, 500, 0.01)
    assert is_loss_proven(10, 500, 0.01)


def test_proving_one_in_a_thousand_takes_about_3000_clean_packets():
    """The rule of three, one-sided 95 %: 1 − 0.05^(1/n)."""
    assert loss_upper_bound(0, 3000) == pytest.approx(1 - 0.05 ** (1 / 3000))
    assert loss_upper_bound(0, 2900) > 0.001 > loss_upper_bound(0, 3000)


def test_nothing_lost_or_nothing_counted_proves_nothing():
    assert loss_lower_bound(0, 500) == 0
    assert loss_lower_bound(0, 0) == 0
    assert loss_upper_bound(0, 0) == 1
    assert loss_upper_bound(5, 5) == 1
    assert tail_probability(0, 10, 0.5) == 1
    assert not is_loss_proven(0, 0, 0.01)


@given(counted, st.floats(0.001, 0.9))
def test_the_quick_question_has_the_bound_s_answer(counts: tuple[int, int], ratio: float):
    bound = loss_lower_bound(*counts)
    if abs(bound - ratio) > 1e-9:
        assert is_loss_proven(*counts, ratio) is (bound >= ratio)


def test_large_counts_stay_exact():
    """Against the normal approximation, which holds at this size."""
    bound = loss_lower_bound(10_000, 1_000_000)
    assert bound == pytest.approx(0.01 - 1.6449 * math.sqrt(0.01 * 0.99 / 1e6), rel=1e-4)


class TestBursts:
    @pytest.mark.parametrize(("burst_ratio", "effect"), [(0.5, 1), (1, 1), (2, 3), (5, 9)])
    def test_the_design_effect_of_a_markov_chain(self, burst_ratio: float, effect: float):
        assert design_effect(burst_ratio) == effect

    def test_losses_in_bursts_prove_less(self):
        bounds = [loss_lower_bound(20, 500, burst_ratio=ratio) for ratio in (1, 2, 4)]
        assert bounds == sorted(bounds, reverse=True)
        assert loss_upper_bound(20, 500, burst_ratio=4) > loss_upper_bound(20, 500)
        assert bounds[1] == loss_lower_bound(20 / 3, 500 / 3)

    def test_the_design_effect_is_the_variance_s_inflation(self):
        """Simulated two-state chains with burst ratio 4: the loss count varies 2·4 − 1 times as much as binomially."""
        rng = random.Random(4)
        loss, burst_ratio, packets = 0.1, 4.0, 500
        to_bad, to_good = loss / burst_ratio, (1 - loss) / burst_ratio
        totals = []
        for _ in range(600):
            bad, lost = rng.random() < loss, 0
            for _ in range(packets):
                lost += bad
                bad = rng.random() >= to_good if bad else rng.random() < to_bad
            totals.append(lost)
        mean = sum(totals) / len(totals)
        variance = sum((lost - mean) ** 2 for lost in totals) / (len(totals) - 1)
        assert mean == pytest.approx(50, rel=0.06)
        assert variance / (packets * loss * (1 - loss)) == pytest.approx(design_effect(burst_ratio), rel=0.2)

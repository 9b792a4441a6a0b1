"""How much loss a count of packets proves: exact one-sided confidence bounds, aware of bursts.

Owns the statistics; must not know thresholds. The bounds are Clopper and Pearson's (Biometrika 26, 1934, 404–413).

Losses in bursts prove less than as many single ones. As Korn and Graubard do for clustered samples (Survey Methodology
24, 1998, 193–201), both counts are divided by the design effect before the bound is taken. For the two-state Markov
chain behind G.107's burst ratio B, 1/B is the sum of its transition probabilities, neighbouring packets correlate by
ρ = 1 − 1/B, and the variance of the mean grows by (1 + ρ)/(1 − ρ) = 2B − 1: that is the design effect.
"""

from __future__ import annotations

import math
from typing import Final

_TINY: Final = 1e-300
_PRECISION: Final = 1e-13
_BISECTIONS: Final = 50


def design_effect(burst_ratio: float) -> float:
    """Return by how much bursts inflate the variance of a loss count; 1 for independent losses."""
    return max(2 * burst_ratio - 1, 1.0)


def tail_probability(lost: float, total: float, ratio: float) -> float:
    """Return the chance that at least ``lost`` of ``total`` packets are lost where the true loss is ``ratio``.

    The binomial tail, as a regularised incomplete beta function, so that counts need not be whole.
    """
    if lost <= 0:
        return 1.0
    return _incomplete_beta(lost, total - lost + 1, ratio)


def loss_lower_bound(lost: float, total: float, *, confidence: float = 0.95, burst_ratio: float = 1.0) -> float:
    """Return the loss ratio that the true one exceeds with the given confidence.

    Args:
        lost: Packets lost.
        total: Packets counted.
        confidence: One-sided.
        burst_ratio: BurstR of G.107 §7; 1 for independent losses.

    Returns:
        0 where nothing was lost or nothing was counted.
    """
    if lost <= 0 or total <= 0:
        return 0.0
    effect = design_effect(burst_ratio)
    return _ratio_of_tail(lost / effect, total / effect, 1 - confidence)


def loss_upper_bound(lost: float, total: float, *, confidence: float = 0.95, burst_ratio: float = 1.0) -> float:
    """Return the loss ratio that the true one stays below with the given confidence; 1 where nothing was counted."""
    if total <= 0 or lost >= total:
        return 1.0
    effect = design_effect(burst_ratio)
    return _ratio_of_tail(lost / effect + 1, total / effect, confidence)


def is_loss_proven(lost: float, total: float, ratio: float, *, confidence: float = 0.95) -> bool:
    """Whether ``loss_lower_bound(lost, total) ≥ ratio``, at a fraction of its cost: one tail and no search."""
    return total > 0 and lost / total >= ratio and tail_probability(lost, total, ratio) <= 1 - confidence


def _ratio_of_tail(lost: float, total: float, level: float) -> float:
    """Return the ratio at which `tail_probability`, which grows with it, reaches ``level``."""
    below, above = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (below + above) / 2
        if tail_probability(lost, total, middle) < level:
            below = middle
        else:
            above = middle
    return (below + above) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b) by its continued fraction (NIST DLMF 8.17.22)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges quickly only below; DLMF 8.17.4
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) / (a * _beta_fraction(a, b, x))


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Return 1 + d₁/(1 + d₂/(1 + …)) of DLMF 8.17.22 by Lentz's method, modified by Thompson and Barnett."""
    value = numerator = 1.0
    denominator = 0.0
    step = 0
    change = 0.0
    while abs(change - 1) > _PRECISION:
        step += 1
        half = step // 2
        if step % 2:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        denominator = 1 / ((1 + term * denominator) or _TINY)
        numerator = (1 + term / numerator) or _TINY
        change = numerator * denominator
        value *= change
    return value

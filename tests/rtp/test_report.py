from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.rtp.report import RttSummary


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=50))
def test_quantiles_are_numpy_s(rtts: list[int]):
    ordered = sorted(rtts)
    summary = RttSummary.from_sorted_ns(ordered, samples=len(rtts), low=ordered[0], high=ordered[-1])
    assert summary.median == pytest.approx(np.percentile(rtts, 50) / 1e9)
    assert summary.p95 == pytest.approx(np.percentile(rtts, 95) / 1e9)
    assert (summary.min, summary.max, summary.samples) == (ordered[0] / 1e9, ordered[-1] / 1e9, len(rtts))


def test_the_extremes_need_not_be_among_the_samples_kept():
    assert RttSummary.from_sorted_ns([2_000_000], samples=9, low=1_000_000, high=5_000_000) == RttSummary(
        0.001, 0.002, 0.002, 0.005, 9
    )

from __future__ import annotations

import pytest

from bridge_monitor.quality import Thresholds


def test_the_defaults_are_the_documented_ones():
    assert Thresholds() == Thresholds(0.01, 0.05, 0.3, 0.8, 0.03, 5.0)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"loss_degraded": 0.0}, "loss_degraded"),
        ({"loss_degraded": 0.06}, "loss_failed"),
        ({"loss_failed": 1.5}, "≤ 1"),
        ({"loss_failed": float("nan")}, "loss"),
        ({"rtt_degraded_seconds": 0.0}, "rtt_degraded"),
        ({"rtt_failed_seconds": 0.2}, "rtt_failed"),
        ({"jitter_degraded_seconds": 0.0}, "jitter"),
        ({"setup_degraded_seconds": -1.0}, "setup"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(wrong: dict[str, float], what: str):
    with pytest.raises(ValueError, match=what):
        Thresholds(**wrong)

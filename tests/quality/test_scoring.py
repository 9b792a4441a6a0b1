from __future__ import annotations

import pytest

from bridge_monitor.quality import Score, score_audio
from bridge_monitor.quality.emodel import EModelInput, mos_from_r, r_factor


def test_loss_becomes_per_cent_and_delay_one_way_with_packet_and_buffer():
    """Ta = 500/2 + 20 + 60 ms; 2 % loss of concealed G.711."""
    expected = r_factor(EModelInput(ta=330, bpl=25.1, ppl=2))
    score = score_audio("PCMA", loss_ratio=0.02, rtt_seconds=0.5, playout_seconds=0.06)
    assert score == Score(pytest.approx(expected), pytest.approx(mos_from_r(expected)))


def test_a_short_clean_line_has_the_e_model_s_best():
    score = score_audio("PCMU", loss_ratio=0.0, rtt_seconds=0.01, playout_seconds=0.06)
    assert score == Score(pytest.approx(93.21, abs=0.01), pytest.approx(4.41, abs=0.01))


@pytest.mark.parametrize(
    ("codec", "loss", "rtt"), [("G722", 0.0, 0.1), ("opus", 0.0, 0.1), ("PCMU", None, 0.1), ("PCMU", 0.0, None)]
)
def test_without_a_scale_or_a_measurement_there_is_no_score(codec: str, loss: float | None, rtt: float | None):
    assert score_audio(codec, loss_ratio=loss, rtt_seconds=rtt, playout_seconds=0.06) is None


def test_bursts_are_worse_than_single_losses_and_sparse_ones_no_better():
    one, burst, sparse = (
        score_audio("PCMU", loss_ratio=0.05, rtt_seconds=0.1, playout_seconds=0.06, burst_ratio=ratio)
        for ratio in (1.0, 3.0, 0.4)
    )
    assert one is not None
    assert burst is not None
    assert burst.r_factor < one.r_factor
    assert sparse == one


def test_r_is_clamped_to_its_scale():
    score = score_audio("PCMU", loss_ratio=1.0, rtt_seconds=30.0, playout_seconds=0.06)
    assert score == Score(0.0, 1.0)

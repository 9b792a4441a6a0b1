"""Judging a line from plain numbers: E-model, confidence bounds of loss, grades.

Owns thresholds and what a grade rests on; must not know packets, SIP or sites.
"""

from bridge_monitor.quality.bounds import loss_lower_bound, loss_upper_bound
from bridge_monitor.quality.emodel import EModelInput, mos_from_r, r_factor
from bridge_monitor.quality.grading import LossCount, grade_call, loss_counts, loss_in_doubt
from bridge_monitor.quality.scoring import Score, score_audio
from bridge_monitor.quality.thresholds import Thresholds

__all__ = [
    "EModelInput",
    "LossCount",
    "Score",
    "Thresholds",
    "grade_call",
    "loss_counts",
    "loss_in_doubt",
    "loss_lower_bound",
    "loss_upper_bound",
    "mos_from_r",
    "r_factor",
    "score_audio",
]

"""Verdicts from results, and counts over them: pure. Level 2; `now` is an aware datetime, always passed in."""

from bridge_monitor.diagnosis.settings import Confirmation
from bridge_monitor.diagnosis.summaries import ProvinceSummary, advised_sites, by_province, rank_worst
from bridge_monitor.diagnosis.verdicts import judge, wants_retry

__all__ = ["Confirmation", "ProvinceSummary", "advised_sites", "by_province", "judge", "rank_worst", "wants_retry"]

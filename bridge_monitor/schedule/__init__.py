"""Who is called when, under which caps. Level 1: pure; `now` (POSIX seconds UTC) is always passed in."""

from bridge_monitor.schedule.phases import Timetable, may_start, next_change, phase_at, timetable
from bridge_monitor.schedule.planner import HAND_HOLD_SECONDS, RETRY_SHARE, Planner
from bridge_monitor.schedule.settings import UNLIMITED, Caps, CapSet, Intervals, Plannable

__all__ = [
    "HAND_HOLD_SECONDS",
    "RETRY_SHARE",
    "UNLIMITED",
    "CapSet",
    "Caps",
    "Intervals",
    "Plannable",
    "Planner",
    "Timetable",
    "may_start",
    "next_change",
    "phase_at",
    "timetable",
]

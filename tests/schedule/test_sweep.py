from __future__ import annotations

from datetime import UTC, datetime

from bridge_monitor.domain import SweepProgress
from bridge_monitor.schedule.sweep import Sweep


def at(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def test_a_sweep_ends_with_its_last_site_and_the_next_begins_with_the_next_start() -> None:
    sweep = Sweep()
    sweep.cover(frozenset({"a", "b"}), 0.0)
    assert sweep.progress() == SweepProgress(total=2)
    sweep.started(1.0, 101.0)
    sweep.started(2.0, 102.0)
    sweep.finished("a", 1.0, 103.0)
    sweep.finished("a", 2.5, 104.0)
    assert sweep.progress() == SweepProgress(1, at(101.0), None, 2, 1)
    sweep.finished("b", 2.0, 105.0)
    assert sweep.progress() == SweepProgress(1, at(101.0), at(105.0), 2, 2)
    sweep.started(9.0, 109.0)
    assert sweep.progress() == SweepProgress(2, at(109.0), None, 2, 0)


def test_a_call_started_before_the_sweep_does_not_count_in_it() -> None:
    sweep = Sweep()
    sweep.cover(frozenset({"a"}), 0.0)
    sweep.finished("a", 0.0, 100.0)
    sweep.started(1.0, 101.0)
    sweep.finished("a", 0.5, 102.0)
    assert sweep.progress().done == 0


def test_sites_that_go_are_not_waited_for() -> None:
    sweep = Sweep()
    sweep.cover(frozenset({"a", "b"}), 0.0)
    sweep.started(1.0, 101.0)
    sweep.finished("a", 1.0, 102.0)
    sweep.cover(frozenset({"a", "c"}), 103.0)
    assert sweep.progress() == SweepProgress(1, at(101.0), None, 2, 1)
    sweep.cover(frozenset({"a"}), 104.0)
    assert sweep.progress() == SweepProgress(1, at(101.0), at(104.0), 1, 1)


def test_an_empty_plan_has_no_sweep() -> None:
    sweep = Sweep()
    sweep.cover(frozenset(), 0.0)
    assert sweep.progress() == SweepProgress()

from __future__ import annotations

from datetime import UTC, datetime

from bridge_monitor.domain import EventPhase, Inventory, SiteGrade, Snapshot

NOW = datetime(2024, 6, 27, 7, tzinfo=UTC)


def test_site_grades_are_the_numbers_that_are_exported() -> None:
    assert [(grade.name.lower(), grade.value) for grade in SiteGrade] == [
        ("untested", 0),
        ("good", 1),
        ("degraded", 2),
        ("failed", 3),
        ("busy", 4),
        ("attends_elsewhere", 5),
    ]


def test_a_new_snapshot_has_no_sweep_yet() -> None:
    snapshot = Snapshot(NOW, EventPhase.BEFORE, Inventory((), ()), {})
    assert snapshot.sweep.number == 0
    assert snapshot.sweep.started_at is None
    assert snapshot.calls_in_flight == 0

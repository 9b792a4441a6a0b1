"""The demo's staging; the demo as a whole is in tests/system."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge_monitor.cli import demo
from bridge_monitor.cli.demo import FIRST_SWEEP_SECONDS, stage
from bridge_monitor.config import Configuration, load
from bridge_monitor.domain import EventPhase
from bridge_monitor.net import clock
from bridge_monitor.probes.reference import Reference
from bridge_monitor.schedule import phase_at
from tests.cli.conftest import Said

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

Run = Callable[..., Said]


@pytest.fixture(scope="module")
def real() -> Configuration:
    """Return the whole country of 2024."""
    return load(CONFIGS / "vn-2024", now=NOW)


class TestStage:
    def test_now_lies_in_the_rehearsal(self, real: Configuration) -> None:
        assert phase_at(real.event, NOW.timestamp()) is EventPhase.AFTER
        assert phase_at(stage(real, None, NOW.timestamp()).event, NOW.timestamp()) is EventPhase.REHEARSAL

    def test_no_reference_beyond_this_machine_is_called(self, real: Configuration) -> None:
        referring = dataclasses.replace(real, reference=Reference({"beyond": "sip:echo@203.0.113.7"}))
        assert stage(referring, None, NOW.timestamp()).reference == Reference()

    def test_every_room_with_an_endpoint_can_be_started_in_time(self, real: Configuration) -> None:
        staged = stage(real, None, NOW.timestamp())
        rooms = sum(1 for _ in staged.inventory.testable())
        rate = staged.caps.total.calls_per_second
        assert rooms == 6090
        assert rate is not None
        assert rooms / rate <= FIRST_SWEEP_SECONDS

    def test_few_rooms_are_spread_over_the_country(self, real: Configuration) -> None:
        staged = stage(real, 126, NOW.timestamp())
        rooms = list(staged.inventory.testable())
        assert len(rooms) == 126
        assert len({staged.inventory.province_of(room.code) for room in rooms}) > 50
        assert len(staged.inventory) == len(real.inventory)

    def test_more_rooms_than_there_are_is_all_of_them(self, real: Configuration) -> None:
        assert len(list(stage(real, 10**6, NOW.timestamp()).inventory.testable())) == 6090


class TestRefusals:
    def test_a_configuration_with_errors_is_refused(self, bridge_monitor: Run, tmp_path: Path) -> None:
        said = bridge_monitor("demo", "--config", tmp_path / "missing")
        assert (said.code, said.out) == (3, "")

    def test_without_the_examples_a_configuration_must_be_named(
        self, bridge_monitor: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """An installed package has no configs folder beside it."""
        monkeypatch.setattr(demo, "__file__", str(tmp_path / "a" / "b" / "demo.py"))
        said = bridge_monitor("demo")
        assert said.code == 3
        assert "name a configuration with --config" in said.err


def test_the_time_is_passed_in_and_true(real: Configuration) -> None:
    """Dates come to the clock, never the other way round."""
    now = clock.posix_now()
    staged = stage(real, 5, now)
    assert dataclasses.replace(staged, event=real.event, caps=real.caps, inventory=real.inventory) == real
    assert staged.event.rehearsals[0].start.timestamp() <= now < staged.event.rehearsals[0].end.timestamp()

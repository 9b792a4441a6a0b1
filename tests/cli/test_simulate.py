from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge_monitor.cli import simulate
from bridge_monitor.cli.console import output
from bridge_monitor.config import load
from bridge_monitor.net import clock
from bridge_monitor.sim import FaultPlan, Nation, NationReport
from tests.cli.conftest import Said
from tests.system.rigs import Command, Country

Run = Callable[..., Said]


class TestRun:
    def test_it_answers_for_a_while_and_reports(self, bridge_monitor: Run, country: Country) -> None:
        said = bridge_monitor("simulate", "--config", country.folder, "--duration", "0.3", "--json")
        ready, report = said.objects
        assert said.code == 0
        assert ready == {"simulating": len(country.codes), "faulty": 0}
        assert report["seconds"] >= 0.3
        assert (report["void"], report["dialogs_open"], report["calls_outside_window"]) == (False, 0, 0)

    def test_it_says_what_it_does_and_how_it_went(self, bridge_monitor: Run, country: Country, tmp_path: Path) -> None:
        faults = tmp_path / "faults.yaml"
        faults.write_text("seed: 1\nfaults:\n  - {kind: dead, sites: ['01001']}\n", "utf-8")
        said = bridge_monitor(
            *("simulate", "--config", country.folder, "--faults", faults, "--seed", "7", "--duration", "0.1"),
        )
        assert said.code == 0
        assert f"Simulating {len(country.codes)} sites, 1 with faults" in said.err
        assert "dropped nothing" in said.out

    def test_ctrl_c_ends_it_with_its_report(self, country: Country, start: Callable[..., Command]) -> None:
        command = start("simulate", "--config", country.folder, "--json")
        command.until("simulating")
        command.send(signal.SIGINT)
        assert command.end() == 0
        assert command.objects[-1]["void"] is False


class TestRefusals:
    def test_rooms_of_other_machines_are_not_simulated(self, bridge_monitor: Run, country: Country) -> None:
        sites = country.folder / "sites.csv"
        sites.write_text(sites.read_text("utf-8").replace("sip:01902@192.0.2.9,none", "sip:01902@192.0.2.9,short"))
        said = bridge_monitor("simulate", "--config", country.folder)
        assert said.code == 3
        assert "site 01902 has the endpoint sip:01902@192.0.2.9 outside 127.0.0.0/8" in said.err

    def test_a_plan_with_mistakes_is_refused_with_their_lines(
        self, bridge_monitor: Run, country: Country, tmp_path: Path
    ) -> None:
        faults = tmp_path / "faults.yaml"
        faults.write_text("seed: 1\nfaults:\n  - {kind: earthquake, sites: ['01001']}\n", "utf-8")
        said = bridge_monitor("simulate", "--config", country.folder, "--faults", faults)
        assert said.code == 3
        assert f"{faults}:3:" in said.err

    def test_an_address_that_is_in_use_is_this_machines_fault(
        self, bridge_monitor: Run, country: Country, start: Callable[..., Command]
    ) -> None:
        first = start("simulate", "--config", country.folder, "--json")
        first.until("simulating")
        said = bridge_monitor("simulate", "--config", country.folder)
        assert said.code == 3
        assert "This machine's own fault" in said.err


class TestReport:
    class _Over:
        """A nation that is over."""

        def __init__(self, report: NationReport) -> None:
            self._report = report

        def report(self) -> NationReport:
            return self._report

    async def _report(self, country: Country, **changes: object) -> Nation:
        configuration = load(country.folder, now=clock.utc(clock.posix_now()))
        nation = Nation(configuration.inventory, FaultPlan())
        await nation.start()
        await nation.stop()
        return self._Over(dataclasses.replace(nation.report(), **changes))  # type: ignore[return-value, arg-type]

    async def test_a_void_run_ends_with_3_and_says_why(
        self, country: Country, capsys: pytest.CaptureFixture[str]
    ) -> None:
        nation = await self._report(country, void_reasons=("media_late", "sip_overflow"))
        assert simulate._report(nation, output(), "en", as_json=False) == 3
        assert "void" in capsys.readouterr().out
        assert simulate._report(nation, output(), "en", as_json=True) == 3
        assert '"void_reasons": ["media_late", "sip_overflow"]' in capsys.readouterr().out

    async def test_calls_outside_the_windows_are_told(
        self, country: Country, capsys: pytest.CaptureFixture[str]
    ) -> None:
        nation = await self._report(country, calls_outside_window=3)
        assert simulate._report(nation, output(), "en", as_json=False) == 0
        assert "3 calls were up outside" in capsys.readouterr().out


def test_a_simulator_whose_parent_is_gone_ends_by_itself(country: Country) -> None:
    """It was started by somebody who has been killed meanwhile."""
    ended = subprocess.run(
        [sys.executable, "-m", "bridge_monitor", "simulate", "--config", str(country.folder)],
        env={**os.environ, simulate.PARENT_VARIABLE: "1"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    assert b"Simulating" not in ended.stderr

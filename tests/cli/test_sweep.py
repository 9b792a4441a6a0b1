"""``sweep``: the choice of sites, what is said at the end, and the daemon's slots. Scale is tests/system's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge_monitor.cli.sweep import _through_daemon, sweep_exit_code
from bridge_monitor.daemon.centre import CentreSettings, open_centre
from bridge_monitor.daemon.control import SOCKET_NAME, ControlServer
from bridge_monitor.domain import (
    EventPhase,
    Evidence,
    Inventory,
    Outcome,
    ProbeResult,
    Site,
    SiteGrade,
    SiteState,
    Snapshot,
    SweepProgress,
    Target,
)
from bridge_monitor.probes import Profile, Route
from bridge_monitor.probes.shapes import CallSite
from bridge_monitor.quality import Thresholds
from tests.cli.conftest import BUSY, DEAD, GOOD, MUTED, RINGING, Said, a_country
from tests.system.rigs import Command, Country

Run = Callable[..., Said]

ALSO_GOOD = "01007"


def only(*codes: str) -> list[str]:
    return [word for code in codes for word in ("--site", code)]


class TestEnd:
    def test_all_good_is_said_so(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("sweep", "--config", rooms.folder, *only(GOOD, ALSO_GOOD))
        assert said.code == 0
        assert "No site failed or is degraded." in said.out
        assert "2 good, 0 degraded, 0 failed, 0 busy, 0 untested; " in said.out
        assert "\x1b" not in said.out + said.err

    def test_the_exit_code_is_of_what_was_found_worst(self, bridge_monitor: Run, rooms: Country) -> None:
        assert bridge_monitor("sweep", "--config", rooms.folder, *only(GOOD, DEAD, BUSY, RINGING)).code == 2

    @pytest.mark.parametrize(
        ("grades", "exit_code"),
        [
            ([SiteGrade.GOOD, SiteGrade.GOOD], 0),
            ([SiteGrade.GOOD, SiteGrade.BUSY], 1),
            ([SiteGrade.UNTESTED, SiteGrade.DEGRADED], 1),
            ([SiteGrade.BUSY, SiteGrade.FAILED], 2),
            ([SiteGrade.GOOD, SiteGrade.UNTESTED], 3),
        ],
    )
    def test_what_is_bad_outweighs_what_could_not_be_tested(self, grades: list[SiteGrade], exit_code: int) -> None:
        sites = [Site(str(number), "A", "t", endpoint="sip:a@127.0.0.1", probe="p") for number in range(len(grades))]
        states = {site.code: SiteState(site.code, grade) for site, grade in zip(sites, grades, strict=True)}
        inventory = Inventory(sites, ("t",))
        snapshot = Snapshot(datetime.now(UTC), EventPhase.REHEARSAL, inventory, states, SweepProgress(), 0)
        assert sweep_exit_code(snapshot) == exit_code

    def test_what_fails_is_named_with_its_cause(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("sweep", "--config", rooms.folder, *only(GOOD, DEAD), "--lang", "vi")
        assert f"{DEAD} Phòng {DEAD}" in said.out
        assert GOOD not in said.out
        assert "1 tốt, 0 suy giảm, 1 không đạt" in said.out

    def test_rooms_with_an_advisory_are_counted_apart_and_leave_the_exit_code(
        self, bridge_monitor: Run, rooms: Country
    ) -> None:
        said = bridge_monitor("sweep", "--config", rooms.folder, *only(GOOD, MUTED))
        assert said.code == 0
        assert "2 good, 0 degraded" in said.out
        assert (
            f"Advisory, no fault of the line: 1 rooms, nothing is heard from the room (silence) ({MUTED})" in said.out
        )

    def test_for_programs_each_result_is_an_object(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("sweep", "--config", rooms.folder, "--json", "--tier", "province", "--province", "01")
        assert said.code == 0
        assert [(result["target"]["site"], result["grade"]) for result in said.objects] == [("01", "good")]
        assert said.err == ""

    def test_on_a_terminal_progress_is_drawn(
        self, bridge_monitor: Run, rooms: Country, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        said = bridge_monitor("sweep", "--config", rooms.folder, *only(GOOD))
        assert "1/1" in said.err
        assert "\x1b[" in said.err

    def test_a_site_that_can_never_be_called_is_named(self, bridge_monitor: Run, country: Country) -> None:
        country.write_settings(caps={"per_province": {"bandwidth": "1 kbit/s"}})
        said = bridge_monitor("sweep", "--config", country.folder, *only(GOOD))
        assert said.code == 3
        assert f"site {GOOD} not called (bandwidth_above_cap)" in said.err

    def test_a_window_that_closes_ends_the_sweep_and_who_was_not_called_is_counted(
        self, bridge_monitor: Run, rooms: Country, tmp_path: Path
    ) -> None:
        """Its longest call takes 38 s: so long before the window's end the last one is started."""
        caps = {"caps": {"total": {"calls_per_second": 1}}}
        country = a_country(tmp_path / "closing", rooms.network, window=(-60.0, 41.5), settings=caps)
        country.write()
        said = bridge_monitor("sweep", "--config", country.folder)
        assert said.code in {1, 2, 3}
        assert "The time for test calls is over: " in said.err
        left = int(said.err.split("The time for test calls is over: ")[1].split()[0])
        assert 1 <= left < len(country.codes)


class TestChoice:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--tier", "moon"], "--tier moon: not in the configuration; there are: central, province, commune"),
            (["--province", "77"], "--province 77: not in the configuration; there are: 01"),
            (["--site", "77001"], "--site 77001: not in the configuration"),
            (["--site", "01901"], "no site to call by this choice"),
            (["--tier", "central"], "no site to call by this choice"),
        ],
    )
    def test_what_is_not_there_is_refused(
        self, bridge_monitor: Run, country: Country, options: list[str], told: str
    ) -> None:
        said = bridge_monitor("sweep", "--config", country.folder, *options)
        assert (said.code, said.out) == (3, "")
        assert told in said.err

    def test_outside_a_window_nobody_is_called(self, bridge_monitor: Run, tmp_path: Path, network: str) -> None:
        country = Country(tmp_path, network, provinces=1, communes=1, window=(3600.0, 7200.0))
        country.write()
        said = bridge_monitor("sweep", "--config", country.folder)
        assert (said.code, said.out) == (3, "")
        assert "not called (outside_window)" in said.err
        assert "--outside-window" not in said.err  # it exists for single sites only

    def test_a_configuration_with_errors_is_refused(self, bridge_monitor: Run, tmp_path: Path) -> None:
        said = bridge_monitor("sweep", "--config", tmp_path / "missing")
        assert (said.code, said.out) == (3, "")

    def test_a_fault_of_this_machine_is_said(self, bridge_monitor: Run, country: Country) -> None:
        said = bridge_monitor("sweep", "--config", country.folder, "--state-dir", country.folder / "sites.csv" / "x")
        assert said.code == 3
        assert "This machine's own fault" in said.err


class TestRunningDaemon:
    """One call at a time, and one set of caps, over both processes."""

    async def _place(
        self, folder: Path, network: str, answers: list[str | None]
    ) -> tuple[ProbeResult, list[ProbeResult]]:
        """Call an empty address with a daemon that answers so; return the result, and what the daemon was told."""
        kept: list[ProbeResult] = []

        def reserve(_site: str, *, outside_window: bool, bandwidth_bps: float | None) -> str | None:
            assert not outside_window
            assert bandwidth_bps is None  # as planned: each site is called with its own profile
            return answers.pop(0)

        def release(_site: str, *, called: bool) -> None:
            assert called

        def keep(result: ProbeResult, _evidence: Evidence) -> None:
            kept.append(result)

        site = CallSite(Target("01", f"sip:x@{network}.0.1"), Profile("p"), Route(), Thresholds())
        server = ControlServer(folder, reserve, release, keep)
        await server.start()
        async with open_centre(CentreSettings(state_dir=folder)) as centre:
            finished = await _through_daemon(centre)(site)
        await server.stop()
        return finished.result, kept

    async def test_its_slot_is_waited_for_and_its_store_gets_the_result(self, tmp_path: Path, network: str) -> None:
        result, kept = await self._place(tmp_path, network, ["cap", "site_in_call", None])
        assert result.outcome is Outcome.UNREACHABLE
        assert [told.id for told in kept] == [result.id]

    async def test_what_it_refuses_for_good_is_not_called(self, tmp_path: Path, network: str) -> None:
        result, kept = await self._place(tmp_path, network, ["too_soon"])
        assert (result.outcome, result.reason) == (Outcome.REFUSED, "too_soon")
        assert kept == []

    async def test_one_that_does_not_answer_is_not_gone_round(self, tmp_path: Path, network: str) -> None:
        async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_unix_server(hang_up, path=tmp_path / SOCKET_NAME)
        site = CallSite(Target("01", f"sip:x@{network}.0.1"), Profile("p"), Route(), Thresholds())
        async with open_centre(CentreSettings(state_dir=tmp_path)) as centre:
            result = (await _through_daemon(centre)(site)).result
        server.close()
        await server.wait_closed()
        assert (result.outcome, result.reason) == (Outcome.REFUSED, "daemon_silent")

    async def test_refused_sites_are_counted_by_reason(
        self, rooms: Country, tmp_path: Path, start: Callable[..., Command]
    ) -> None:
        """The daemon called them a moment ago, so the sweep leaves them alone."""
        country = a_country(tmp_path / "again", rooms.network)
        country.write()
        country.state_dir.mkdir()
        server = ControlServer(
            country.state_dir,
            lambda _site, **_wish: "too_soon",
            lambda _site, *, called: None,  # noqa: ARG005 - the protocol's name
            lambda _result, _evidence: None,
        )
        await server.start()
        command = start("sweep", "--config", country.folder, *only(GOOD, BUSY))
        assert await asyncio.to_thread(command.end) == 3
        await server.stop()
        assert "2 sites not called (too_soon)" in command.told

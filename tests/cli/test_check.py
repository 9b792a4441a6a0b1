from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge_monitor.cli.check import moment
from tests.cli.conftest import Said
from tests.system.rigs import Country

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

Run = Callable[..., Said]


class TestSummary:
    def test_a_good_configuration_says_what_will_happen(self, bridge_monitor: Run, country: Country) -> None:
        said = bridge_monitor("check-config", country.folder)
        assert said.code == 0
        for told in (
            "Hội nghị thử",
            "Phase: rehearsal",
            "guard",
            "never",
            "At the caps: 200 calls/s",
            "First sweep of 8 sites",
            "Contacts of provinces: 1 in time, 0 late, 0 missing",
            "Contacts of carriers: 0 in time, 0 late, 2 missing (VNPT, Viettel)",
        ):
            assert told in said.out
        assert "\x1b" not in said.out
        assert said.err == ""

    def test_it_speaks_vietnamese(self, bridge_monitor: Run, country: Country) -> None:
        out = bridge_monitor("check-config", country.folder, "--lang", "vi").out
        for told in ("Giai đoạn: đang kiểm tra", "kiểm tra đường truyền", "Theo giới hạn", "Vòng đầu qua 8 điểm cầu"):
            assert told in out

    def test_the_reference_is_shown_with_what_it_takes(self, bridge_monitor: Run, country: Country) -> None:
        country.write_settings(reference={"responders": {"hanoi": "sip:echo@203.0.113.7"}})
        said = bridge_monitor("check-config", country.folder)
        assert "Reference: hanoi (sip:echo@203.0.113.7); it takes 0.16 Mbit/s each way" in said.out

    def test_an_account_whose_secret_this_process_lacks_is_shown_as_such(
        self, bridge_monitor: Run, country: Country, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A warning only: the service may well have it."""
        monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
        account = {"realm": "hop.example", "user": "[bold]", "credential": "sip-hop"}
        country.write_settings(
            credentials=[{**account, "all": True}, {**account, "sites": ["01"], "carriers": ["VNPT"]}]
        )
        said = bridge_monitor("check-config", country.folder)
        assert said.code == 0
        assert "this process doesn't have the secret that 'credentials[1].credential' names" in said.err
        account_is = "SIP account: realm hop.example, user [bold], for {}; its secret from a credential of systemd"
        lines = " ".join(said.out.split())
        for places in ("all sites", "sites 01; carriers VNPT"):
            assert account_is.format(places) + " (which this process doesn't have)" in lines
        (summary,) = bridge_monitor("check-config", country.folder, "--json").objects
        assert [(one["realm"], one["everywhere"], one["at_hand"]) for one in summary["accounts"]] == [
            ("hop.example", True, False),
            ("hop.example", False, False),
        ]

    def test_the_roster_is_counted_never_quoted(self, bridge_monitor: Run, country: Country) -> None:
        said = bridge_monitor("check-config", country.folder)
        assert "bi-mat" not in said.out + said.err

    def test_for_programs_it_is_one_object(self, bridge_monitor: Run, country: Country) -> None:
        (summary,) = bridge_monitor("check-config", country.folder, "--json").objects
        assert summary["phase"] == "rehearsal"
        assert summary["sites"] == {"name": "", "called": 8, "attending": 1, "not_testable": 2}
        assert summary["first_sweep"]["calls"] == 8
        assert datetime.fromisoformat(summary["spans"][0]["start"]).tzinfo is not None

    def test_an_event_that_is_over_is_a_warning_and_nobody_will_be_called(
        self, bridge_monitor: Run, tmp_path: Path, network: str
    ) -> None:
        past = Country(tmp_path, network, window=(-9 * 3600, -7 * 3600), conference=-6 * 3600)
        said = bridge_monitor("check-config", past.write())
        assert said.code == 0
        assert "lies in the past" in said.err
        assert "No rehearsal window is left" in said.out
        assert "(over)" in said.out

    def test_windows_too_short_for_a_sweep_are_told(self, bridge_monitor: Run, country: Country) -> None:
        country.write_settings(caps={"total": {"calls_per_second": 0.0005, "calls_at_once": 1}})
        assert "suffice for" in bridge_monitor("check-config", country.folder).out

    def test_a_site_that_can_never_be_called_is_named(self, bridge_monitor: Run, country: Country) -> None:
        country.write_settings(caps={"per_province": {"bandwidth": "1 kbit/s"}})
        assert "will never be called: bandwidth_above_cap" in bridge_monitor("check-config", country.folder).out

    def test_caps_without_a_bound_are_shown_so(self, bridge_monitor: Run) -> None:
        """The shipped example of a newcomer, read whole."""
        said = bridge_monitor("check-config", CONFIGS / "minimal")
        assert said.code == 0
        assert "First sweep of 5 sites" in said.out

    def test_the_whole_country_of_2024_can_be_read(self, bridge_monitor: Run) -> None:
        said = bridge_monitor("check-config", CONFIGS / "vn-2024")
        assert said.code == 0
        assert "10,595" in said.out
        assert "10.595" in bridge_monitor("check-config", CONFIGS / "vn-2024", "--lang", "vi").out


class TestProblems:
    def test_every_error_of_every_file_is_told_at_once_with_file_line_and_mend(
        self, bridge_monitor: Run, country: Country
    ) -> None:
        country.write_settings(no_such_key=1)
        sites = country.folder / "sites.csv"
        sites.write_text(sites.read_text("utf-8") + "01003,A,commune,01,VNPT,sip:a@127.0.0.1,short,,,\n", "utf-8")
        said = bridge_monitor("check-config", country.folder)
        assert (said.code, said.out) == (3, "")
        assert f"{sites}:13: code '01003' stands already in line 6; give each site a code of its own" in said.err
        assert f"{country.folder / 'bridge_monitor.yaml'}:" in said.err
        assert said.err.endswith("2 configuration errors\n")

    def test_for_programs_problems_are_an_object_as_well(self, bridge_monitor: Run, tmp_path: Path) -> None:
        said = bridge_monitor("check-config", tmp_path / "missing", "--json")
        assert said.code == 3
        (problem,) = json.loads(said.out)["problems"]
        assert problem["what"] == "there is no such folder"
        assert "1 configuration error\n" in said.err


@pytest.mark.parametrize(
    ("lang", "expected"),
    [("vi", "14:05 thứ Năm, ngày 27/6/2024"), ("en", "Thursday 27 June 2024, 14:05")],
)
def test_a_moment_is_told_with_its_weekday(lang: str, expected: str) -> None:
    assert moment(datetime(2024, 6, 27, 14, 5, tzinfo=UTC), lang) == expected  # type: ignore[arg-type]

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import GOOD, Said
from tests.system.rigs import Country

Run = Callable[..., Said]


class TestList:
    def test_every_site_is_listed_with_how_it_takes_part(self, bridge_monitor: Run, country: Country) -> None:
        said = bridge_monitor("sites", "list", "--config", country.folder)
        lines = said.out.splitlines()
        assert said.code == 0
        assert sum(code in said.out for code in country.codes) == len(country.codes)
        assert any("01001" in line and f"called: {country.endpoint('01001')}" in line for line in lines)
        assert any("01901" in line and f"attends at {GOOD}" in line for line in lines)
        assert any("01902" in line and "not testable from here" in line for line in lines)

    @pytest.mark.parametrize(
        ("options", "codes"),
        [
            (["--tier", "province"], ["01"]),
            (["--province", "01", "--tier", "commune", "--carrier", "Viettel"], ["01001", "01003", "01005", "01007"]),
            (["--province", "99"], []),
        ],
    )
    def test_choices_narrow_each_other_down(
        self, bridge_monitor: Run, country: Country, options: list[str], codes: list[str]
    ) -> None:
        said = bridge_monitor("sites", "list", "--config", country.folder, "--json", *options)
        assert [site["code"] for site in said.objects] == codes

    def test_it_speaks_vietnamese(self, bridge_monitor: Run, country: Country) -> None:
        out = bridge_monitor("sites", "list", "--config", country.folder, "--lang", "vi").out
        assert f"dự tại {GOOD}" in out
        assert "được gọi" in out


class TestShow:
    def test_a_site_is_shown_whole(self, bridge_monitor: Run, country: Country) -> None:
        said = bridge_monitor("sites", "show", "01001", "--config", country.folder)
        assert said.code == 0
        for told in ("Phòng 01001", "Trung ương", country.endpoint("01001"), "Viettel", "short"):
            assert told in said.out

    def test_contacts_are_shown_by_role_never_by_address(self, bridge_monitor: Run, country: Country) -> None:
        for options in ([], ["--json"]):
            out = bridge_monitor("sites", "show", "01001", "--config", country.folder, *options).out
            assert "Cán bộ trực" in out
            assert "bi-mat" not in out

    def test_for_programs_it_is_one_object(self, bridge_monitor: Run, country: Country) -> None:
        country.write_settings(provinces={"01": {"dscp": "CS3", "source": "127.0.0.9"}})
        (site,) = bridge_monitor("sites", "show", "01", "--config", country.folder, "--json").objects
        assert (site["dscp"], site["source"], site["proxy"]) == (24, "127.0.0.9", None)
        assert site["sites_below"] == 9
        assert site["path"] == ["Trung ương", "Phòng 01"]

    def test_a_site_that_is_not_there_is_refused(self, bridge_monitor: Run, country: Country) -> None:
        said = bridge_monitor("sites", "show", "nowhere", "--config", country.folder)
        assert (said.code, said.out) == (3, "")
        assert "nowhere is not in the site list" in said.err


@pytest.mark.parametrize("command", [["list"], ["show", "01"]])
def test_a_configuration_with_errors_is_refused(bridge_monitor: Run, tmp_path: Path, command: list[str]) -> None:
    said = bridge_monitor("sites", *command, "--config", tmp_path / "missing")
    assert (said.code, said.out) == (3, "")
    assert "1 configuration error" in said.err


def test_the_configuration_may_be_named_by_the_environment(
    bridge_monitor: Run, country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_MONITOR_CONFIG", str(country.folder))
    assert bridge_monitor("sites", "show", "01").code == 0

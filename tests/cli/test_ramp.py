"""``probe --ramp`` against simulated rooms whose lines police: rates, findings, caps, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from bridge_monitor.cli.ramp import bits
from tests.cli.conftest import Said, a_country
from tests.system.rigs import Command, Country, own_network

Run = Callable[..., Said]
NARROW, PLAIN, BLIND, CAPPED = "01001", "01002", "01003", "01004"
STEPS = ("--from", "200k", "--to", "600k", "--step", "400k", "--duration", "1.2")


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    """Return a country with a room on a line of 330 kbit/s, and one without video."""
    folder = tmp_path_factory.mktemp("ramps")
    plan = [
        {"kind": "bandwidth", "sites": [NARROW], "bits_per_second": 330_000, "direction": "to_room"},
        {"kind": "no_video", "sites": [BLIND]},
    ]
    with own_network() as prefix:
        made = a_country(folder / "country", prefix)
        made.write()
        (folder / "faults.yaml").write_text(yaml.safe_dump({"seed": 1, "faults": plan}), "utf-8")
        simulator = Command(
            folder, "simulate", "--config", made.folder, "--faults", folder / "faults.yaml", "--json", measured=False
        )
        try:
            simulator.until("simulating")
            yield made
        finally:
            simulator.stop()


def climb(bridge_monitor: Run, rooms: Country, code: str, *more: str) -> Said:
    return bridge_monitor("probe", code, "--config", rooms.folder, "--ramp", *STEPS, *more)


class TestFindings:
    def test_a_line_that_polices_is_found_between_two_rates(self, bridge_monitor: Run, rooms: Country) -> None:
        said = climb(bridge_monitor, rooms, NARROW, "--json")
        (ramp,) = said.objects
        assert (ramp["clean_bps"]["round_trip"], ramp["loss_begins_bps"]["round_trip"]) == (200_000, 600_000)
        # The room's reports may come too early to see it; what they see lies there, and nothing below.
        assert ramp["loss_begins_bps"].get("outbound") in (None, 600_000)
        assert ramp["target"]["site"] == NARROW
        assert said.code == 1

    def test_a_line_that_carries_all_is_clean_to_the_end(self, bridge_monitor: Run, rooms: Country) -> None:
        said = climb(bridge_monitor, rooms, PLAIN)
        assert said.code == 0
        lines = said.out.splitlines()
        assert [line.split("█")[0].strip() for line in lines[1:3]] == ["200 kbit/s", "600 kbit/s"]
        assert "round trip: clean up to 600 kbit/s, no loss to the end" in said.out

    def test_a_room_without_video_says_so(self, bridge_monitor: Run, rooms: Country) -> None:
        said = climb(bridge_monitor, rooms, BLIND)
        assert "takes or sends no video" in said.out
        assert said.code == 3


class TestBounds:
    def test_rates_above_a_cap_are_not_called_at(self, bridge_monitor: Run, rooms: Country, tmp_path: Path) -> None:
        narrow = tmp_path / "narrow"
        narrow.mkdir()
        for path in rooms.folder.iterdir():
            if path.is_file():
                text = path.read_text("utf-8")
                if path.name == "bridge_monitor.yaml":
                    settings = yaml.safe_load(text)
                    settings["caps"] = {"per_province": {"bandwidth": "400 kbit/s"}}
                    text = yaml.safe_dump(settings, allow_unicode=True)
                (narrow / path.name).write_text(text, "utf-8")
        said = bridge_monitor("probe", PLAIN, "--config", narrow, "--ramp", *STEPS, "--json")
        assert [step["rate_bps"] for step in said.objects[0]["steps"]] == [200_000]
        assert "let it rise to 200 kbit/s only" in said.err
        none = bridge_monitor("probe", PLAIN, "--config", narrow, "--ramp", "--from", "500k")
        assert (none.code, "bandwidth_above_cap" in none.err) == (3, True)

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--from", "fast"), "fast is no rate"),
            (("--from", "2M", "--to", "1M"), "--from must not be above --to"),
            (("--to", "15M"), "rates go from 64 kbit/s to 14 Mbit/s"),
            (("--step", "0k"), "rates go from"),
            (("--step", "1k"), "more than 100 calls"),
            (("--count", "2"), "leave --count out"),
            (("--kind", "sip-options"), "leave --kind out"),
        ],
    )
    def test_what_makes_no_ramp_is_refused_with_its_mend(
        self, bridge_monitor: Run, rooms: Country, words: tuple[str, ...], told: str
    ) -> None:
        said = bridge_monitor("probe", PLAIN, "--config", rooms.folder, "--ramp", *words)
        assert said.code == 3
        assert told in said.err

    def test_rates_without_a_ramp_are_refused(self, bridge_monitor: Run, rooms: Country) -> None:
        """Left aside in silence, they would pass for what the call was made with."""
        said = bridge_monitor("probe", PLAIN, "--config", rooms.folder, "--from", "1M", "--step", "1M")
        assert (said.code, "--from, --step only goes with --ramp" in said.err) == (3, True)

    def test_a_site_not_testable_from_here_is_refused(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("probe", "01902", "--config", rooms.folder, "--ramp")
        assert (said.code, "not_testable" in said.err) == (3, True)


@pytest.mark.parametrize(("rate", "text"), [(64_000, "64 kbit/s"), (1_500_000, "1.5 Mbit/s"), (4_000_000, "4 Mbit/s")])
def test_a_rate_is_told_as_people_write_it(rate: int, text: str) -> None:
    assert bits(rate) == text

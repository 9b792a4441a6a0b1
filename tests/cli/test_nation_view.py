from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bridge_monitor.cli.console import output
from bridge_monitor.cli.nation_view import advisory_lines, count_grades, progress_line, worst
from bridge_monitor.config import Configuration, load
from bridge_monitor.domain import (
    Advisory,
    EventPhase,
    Grade,
    Outcome,
    ProbeResult,
    SiteGrade,
    SiteState,
    Snapshot,
    SweepProgress,
    Target,
)
from tests.system.rigs import Country

Draw = Callable[[object], str]


@pytest.fixture
def draw(capsys: pytest.CaptureFixture[str]) -> Draw:
    """Return what a person would read."""

    def run(renderable: object) -> str:
        output().print(renderable)
        return capsys.readouterr().out

    return run


@pytest.fixture
def configuration(country: Country) -> Configuration:
    """Return a country of two provinces."""
    country.provinces, country.more_sites = 2, ()
    country.write()
    return load(country.folder, now=datetime.now(UTC))


def result(code: str, outcome: Outcome, grade: Grade) -> ProbeResult:
    return ProbeResult(
        "0", Target(code, "sip:x"), "sip", "p", "centre", None, datetime.now(UTC), 1.0, outcome, None, grade
    )


def snapshot(configuration: Configuration, **changed: SiteState) -> Snapshot:
    """Return a picture in which every room is good but for the changed ones (``c01001=…``)."""
    inventory = configuration.inventory
    states = {site.code: SiteState(site.code, SiteGrade.GOOD) for site in inventory}
    states["00"] = SiteState("00", SiteGrade.UNTESTED)
    states |= {key[1:]: state for key, state in changed.items()}
    sweep = SweepProgress(1, datetime.now(UTC), None, total=16, done=12)
    return Snapshot(datetime.now(UTC), EventPhase.REHEARSAL, inventory, states, sweep, 4)


def bad(code: str, grade: SiteGrade = SiteGrade.FAILED, outcome: Outcome = Outcome.TIMEOUT) -> SiteState:
    last = result(code, outcome, Grade.FAILED)
    return SiteState(code, grade, last=last, last_valid=last)


def test_grades_are_counted_over_rooms_that_are_called(configuration: Configuration) -> None:
    counts = count_grades(snapshot(configuration, c01001=bad("01001")))
    assert counts == {SiteGrade.GOOD: 15, SiteGrade.FAILED: 1}


def test_the_line_tells_how_far_the_sweep_is(configuration: Configuration, draw: Draw) -> None:
    shown = draw(progress_line(snapshot(configuration, c01001=bad("01001")), "en", 7.4))
    for told in ("12/16", "15 good", "1 failed", "4 calls up", "7 s"):
        assert told in shown
    assert "16 tốt" in draw(progress_line(snapshot(configuration), "vi", 7.4))


def test_nothing_bad_is_said_so(configuration: Configuration, draw: Draw) -> None:
    assert draw(worst(snapshot(configuration), "en")) == "No site failed or is degraded.\n"


def test_bad_sites_are_named_with_cause_and_owner(configuration: Configuration, draw: Draw) -> None:
    shown = draw(worst(snapshot(configuration, c01001=bad("01001")), "en"))
    assert "01001 Phòng 01001" in shown
    assert "no response at all" in shown
    assert "the carrier" in shown
    assert "Provinces with most failing sites" not in shown


def test_several_provinces_are_compared(configuration: Configuration, draw: Draw) -> None:
    shown = draw(worst(snapshot(configuration, c01001=bad("01001"), c02001=bad("02001"), c02002=bad("02002")), "vi"))
    table = shown[: shown.index("Các điểm cầu không đạt")]
    assert table.index("Phòng 02") < table.index("Phòng 01")


def test_more_than_there_is_room_for_is_counted(configuration: Configuration, draw: Draw) -> None:
    states = {f"c010{number:02}": bad(f"010{number:02}") for number in range(1, 8)}
    shown = draw(worst(snapshot(configuration, **states), "en", sites=3))
    assert "… and 4 more sites" in shown


def test_a_site_without_a_result_is_named_without_a_cause(configuration: Configuration, draw: Draw) -> None:
    shown = draw(worst(snapshot(configuration, c01001=SiteState("01001", SiteGrade.FAILED)), "en"))
    assert "01001" in shown


def test_a_site_whose_last_call_was_good_is_no_more_blamed_for_the_old_cause(
    configuration: Configuration, draw: Draw
) -> None:
    last = result("01001", Outcome.REACHED, Grade.GOOD)
    mended = SiteState("01001", SiteGrade.FAILED, last=last, last_valid=last)
    assert "its last call was good: one more settles it" in draw(worst(snapshot(configuration, c01001=mended), "en"))


def test_each_advisory_has_a_line_with_the_number_of_its_rooms(configuration: Configuration) -> None:
    """The first codes are named; none of it is a fault of the line."""
    codes = [site.code for site in configuration.inventory.testable()][:9]
    silent = {
        f"c{code}": SiteState(
            code,
            SiteGrade.GOOD,
            last_valid=replace(result(code, Outcome.REACHED, Grade.GOOD), advisories=(Advisory.SILENT_ROOM,)),
        )
        for code in codes
    }
    (line,) = advisory_lines(snapshot(configuration, **silent), "en")
    assert line == (
        f"Advisory, no fault of the line: 9 rooms, nothing is heard from the room (silence) ({', '.join(codes[:8])}, …)"
    )
    (line,) = advisory_lines(snapshot(configuration, **dict(list(silent.items())[:2])), "vi")
    assert line.startswith("Lưu ý, không phải lỗi đường truyền: 2 điểm cầu, ")
    assert line.endswith(f"({codes[0]}, {codes[1]})")
    assert advisory_lines(snapshot(configuration), "en") == []

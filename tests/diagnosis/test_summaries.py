from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge_monitor.diagnosis import ProvinceSummary, advised_sites, by_province, rank_worst
from bridge_monitor.domain import Inventory, Outcome, Site, SiteGrade, SiteState

TIERS = ("central", "province", "commune")


def room(code: str, carrier: str = "VNPT", **facts: Any) -> Site:
    """Make a testable commune room; its province is the first two letters of its code."""
    return replace(Site(code, code, "commune", code[:2], carrier, f"sip:{code}@192.0.2.1", "room"), **facts)


@pytest.fixture
def inventory() -> Inventory:
    """Two provinces of five rooms, one of none, and the centre."""
    return Inventory(
        [
            Site("00", "Trung ương", "central"),
            *(Site(code, code, "province", "00") for code in ("01", "02", "03")),
            *(room(f"01{letter}") for letter in "abc"),
            room("01d", carrier="Viettel"),
            room("01e", attends_at="01a"),
            *(room(f"02{letter}") for letter in "ab"),
            room("02c", carrier="Viettel"),
            room("02d", carrier="", speaking=True),
            room("02e", probe=None),
        ],
        TIERS,
    )


@pytest.fixture
def states(kit: Any) -> dict[str, SiteState]:
    """In 01 one of three failed, in 02 three of four; 01d has never been heard of."""
    kinds = {
        "01a": ["good"],
        "01b": ["no_media", "no_media"],
        "01c": ["degraded"],
        "02a": ["timeout", "timeout"],
        "02b": ["good"],
        "02c": ["timeout"],
        "02d": ["lossy"],
    }
    found = {code: replace(kit.after(*results, state=None), site=code, last=None) for code, results in kinds.items()}
    found["01e"] = SiteState("01e", SiteGrade.ATTENDS_ELSEWHERE)
    return found


def test_provinces_come_worst_first_with_their_counts(states: dict[str, SiteState], inventory: Inventory) -> None:
    worst, second, *others = by_province(states, inventory)
    assert worst == ProvinceSummary(
        province="02",
        testable=4,
        tested=4,
        good=1,
        degraded=0,
        failed=3,
        busy=0,
        untested=0,
        attends_elsewhere=0,
        leading_outcome=Outcome.TIMEOUT,
        leading_reason=None,
        # VNPT and Viettel have one each, and of one the carrier is not known: none leads.
        leading_carrier=None,
    )
    assert worst.share_failed == 0.75
    assert (second.province, second.testable, second.tested, second.untested) == ("01", 4, 3, 1)
    assert (second.good, second.degraded, second.failed, second.attends_elsewhere) == (1, 1, 1, 1)
    assert second.leading_outcome is Outcome.NO_MEDIA
    assert second.leading_carrier == "VNPT"
    assert [other.province for other in others] == ["", "03"]
    assert all(other.testable == 0 and other.share_failed is None for other in others)


def test_a_carrier_leads_that_has_more_failures_than_any_other(kit: Any, inventory: Inventory) -> None:
    failed = {code: replace(kit.after("timeout"), site=code) for code in ("01a", "01b", "01d")}
    assert by_province(failed, inventory)[0].leading_carrier == "VNPT"
    unknown = {"02d": replace(kit.after("timeout"), site="02d")}
    assert by_province(unknown, inventory)[0].leading_carrier is None


def test_where_none_failed_the_degraded_lead(kit: Any, inventory: Inventory) -> None:
    states = {"01a": replace(kit.after("degraded"), site="01a"), "01b": replace(kit.after("busy"), site="01b")}
    first = by_province(states, inventory)[0]
    assert (first.province, first.failed, first.degraded, first.busy) == ("01", 0, 1, 1)
    assert (first.leading_outcome, first.leading_reason) == (Outcome.REACHED, "loss")


def test_a_good_call_is_no_cause_of_a_failed_grade(kit: Any, inventory: Inventory) -> None:
    """A failed site that was just reached again keeps its grade until the next call, and has no cause to count."""
    states = {"01a": replace(kit.after("timeout", "timeout", "good"), site="01a")}
    first = by_province(states, inventory)[0]
    assert (first.failed, first.leading_outcome, first.leading_carrier) == (1, None, "VNPT")


def test_the_worst_sites_are_ranked_by_grade_then_speaking_then_tier_then_code(
    kit: Any, states: dict[str, SiteState], inventory: Inventory
) -> None:
    states["gone"] = replace(kit.after("timeout"), site="gone")
    assert [state.site for state in rank_worst(states, inventory, 10)] == ["02d", "01b", "02a", "02c", "01c"]
    assert [state.site for state in rank_worst(states, inventory, 2)] == ["02d", "01b"]
    higher = Inventory([replace(site, tier="province") if site.code == "02c" else site for site in inventory], TIERS)
    assert [state.site for state in rank_worst(states, higher, 2)] == ["02d", "02c"]
    unknown = Inventory([replace(site, tier="?") if site.code == "01b" else site for site in inventory], TIERS)
    assert [state.site for state in rank_worst(states, unknown, 4)] == ["02d", "02a", "02c", "01b"]


def test_nothing_known_means_nothing_bad(inventory: Inventory) -> None:
    assert rank_worst({}, inventory, 10) == []
    assert {summary.untested for summary in by_province({}, inventory)} == {0, 4}


def test_sites_are_listed_by_the_advisories_of_their_last_valid_call(kit: Any, inventory: Inventory) -> None:
    """Only of sites that are called; a later busy call leaves them as they were."""

    def advised(site: str, *advisories: str) -> SiteState:
        state = replace(kit.after("good"), site=site)
        assert state.last_valid is not None
        return replace(state, last_valid=replace(state.last_valid, advisories=advisories), last=kit.result("busy"))

    testable = [site.code for site in inventory.testable()]
    elsewhere = next(site.code for site in inventory if not site.testable)
    states = {
        testable[2]: advised(testable[2], "silent_room"),
        testable[0]: advised(testable[0], "silent_room", "no_video"),
        testable[1]: advised(testable[1]),
        testable[3]: replace(kit.after("busy"), site=testable[3]),
        elsewhere: advised(elsewhere, "silent_room"),
    }
    assert advised_sites(states, inventory) == {
        "silent_room": [testable[0], testable[2]],
        "no_video": [testable[0]],
    }
    assert advised_sites({}, inventory) == {}

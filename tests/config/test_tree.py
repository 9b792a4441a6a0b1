from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.config.problems import Problems
from bridge_monitor.config.sites import SiteList
from bridge_monitor.config.tree import check_tree
from bridge_monitor.domain import Site

Spoil = Callable[[str, str, str], None]
Find = Callable[[], list[str]]
TIERS = ("central", "province", "district")


def listed(sites: Mapping[str, Site], *, complete: bool = True) -> SiteList:
    lines = {code: place + 2 for place, code in enumerate(sites)}
    return SiteList("sites.csv", sites, lines, complete=complete, sound=frozenset(sites))


def check(*sites: Site, complete: bool = True, tiers: tuple[str, ...] | None = TIERS) -> list[str]:
    problems = Problems("en")
    check_tree(listed({site.code: site for site in sites}, complete=complete), tiers, problems)
    return [str(problem).partition(";")[0] for problem in problems.all()]


def test_two_circles_are_named_once_each_from_their_first_site() -> None:
    assert check(
        Site("a", "", "province", "b"),
        Site("b", "", "province", "c"),
        Site("c", "", "province", "b"),
        Site("d", "", "province", "d"),
        Site("e", "", "district", "c"),
    ) == [
        "sites.csv:2: parent 'b' is of tier 'province', which is not above 'province'",
        "sites.csv:3: the parents go round in a circle: b → c → b",
        "sites.csv:5: the parents go round in a circle: d → d",
    ]


def test_a_circle_of_parents_is_not_told_again_as_one_of_ways() -> None:
    assert len(check(Site("a", "", "province", "b"), Site("b", "", "province", "a"))) == 1


def test_a_via_that_only_skips_a_step_is_no_circle() -> None:
    sites = Site("0", "", "central"), Site("1", "", "province", "0"), Site("2", "", "district", "1", via="0")
    assert check(*sites) == []


def test_codes_that_may_stand_in_unreadable_lines_are_not_called_unknown() -> None:
    site = Site("1", "", "province", "0", attends_at="8", via="9")
    assert check(site, complete=False) == []
    assert len(check(site)) == 3


def test_without_tiers_only_the_references_are_checked() -> None:
    sites = Site("1", "", "district"), Site("2", "", "province", "1"), Site("3", "", "district", "9")
    assert check(*sites, tiers=None) == ["sites.csv:4: parent '9' is not in the list"]


def test_unknown_tiers_are_not_compared() -> None:
    assert check(Site("0", "", "middle"), Site("1", "", "province", "0"), Site("2", "", "middle", "1")) == []


def test_a_tier_may_be_skipped() -> None:
    assert check(Site("0", "", "central"), Site("2", "", "district", "0")) == []


def test_a_line_that_could_not_be_read_whole_is_not_judged(spoil: Spoil, problems: Find) -> None:
    spoil("sites.csv", "001,Quận Ba Đình,district,01,", "001,Quận Ba Đình, district,99,")
    spoil("sites.csv", "sip:001@192.0.2.2,,,,,", "sip:001@192.0.2.2,,,,")
    assert [problem.partition(";")[0] for problem in problems()] == [
        "sites.csv:4: 10 fields, but the first line names 11"
    ]


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdefx"), min_size=1), st.integers(0, 99))
def test_what_passes_is_a_tree_and_what_goes_round_is_found(parents: dict[str, str], seed: int) -> None:
    codes = list(parents)
    random.Random(seed).shuffle(codes)
    problems = Problems("en")
    sites = {code: Site(code, "", "district", parents[code]) for code in codes}
    check_tree(listed(sites), None, problems)
    goes_round = False
    for start in codes:
        code, steps = start, 0
        while code in parents and steps <= len(codes):
            code, steps = parents[code], steps + 1
        goes_round |= steps > len(codes)
    assert any("circle" in problem.what for problem in problems.all()) is goes_round
    unknown = sum(parent not in parents for parent in parents.values())
    assert sum("not in the list" in problem.what for problem in problems.all()) == unknown


def test_the_good_list_has_no_problem(problems: Find, folder: Path) -> None:
    assert folder.exists()
    assert problems() == []

"""Fault plans in YAML: what is read, and every mistake with its line and mend."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge_monitor.domain import Inventory, Site
from bridge_monitor.errors import ConfigError, Problem
from bridge_monitor.sim.assignment import assign, simulated_sites
from bridge_monitor.sim.faults import Clock, CodecStage, Direction, Fault, FaultKind, FaultPlan
from bridge_monitor.sim.plan_file import load_fault_plan

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PlanFile = Callable[[str], Path]

WHOLE = """\
# Wrong on purpose.
seed: 2024
zone: Asia/Tokyo
faults:
  - kind: dead
    sites: [01000, "01001"]
    begin: 14:30
    end: 15:00:30
  - kind: loss
    provinces: 02
    tiers: [commune]
    share: 0.5
    rate: 0.05
    burst: 3
    direction: to_room
    begin: 90
  - {kind: wrong_codec, carriers: [Viettel], stage: stream, combine: yes}
  - {kind: large_packets_lost, sites: ["00"], threshold_bytes: 900}
  - {kind: reordering, sites: ["02"], rate: 0.1}
"""


def problems(path: Path, inventory: Inventory) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigError) as caught:
        load_fault_plan(path, inventory)
    assert all(problem.file == str(path) and problem.what and problem.mend for problem in caught.value.problems)
    return [(problem.line, problem.what, problem.mend) for problem in caught.value.problems]


def test_a_plan_is_read_whole(plan_file: PlanFile, small_nation: Inventory) -> None:
    plan = load_fault_plan(plan_file(WHOLE), small_nation)
    dead = Fault(
        FaultKind.DEAD,
        sites=("01000", "01001"),
        begin=Clock(time(14, 30)),
        end=Clock(time(15, 0, 30)),
        line=5,
    )
    loss = Fault(
        FaultKind.LOSS,
        provinces=("02",),
        tiers=("commune",),
        share=0.5,
        rate=0.05,
        burst=3.0,
        direction=Direction.TO_ROOM,
        begin=90.0,
        line=9,
    )
    codec = Fault(FaultKind.WRONG_CODEC, carriers=("Viettel",), stage=CodecStage.STREAM, combine=True, line=17)
    large = Fault(FaultKind.LARGE_PACKETS_LOST, sites=("00",), threshold_bytes=900, line=18)
    reordering = Fault(FaultKind.REORDERING, sites=("02",), rate=0.1, seconds=0.03, line=19)
    assert plan == FaultPlan((dead, loss, codec, large, reordering), 2024, "Asia/Tokyo")


@pytest.mark.parametrize("text", ["", "# nothing\n", "seed: 0\n", "faults: []\n", "faults:\n"])
def test_a_plan_may_be_empty(plan_file: PlanFile, small_nation: Inventory, text: str) -> None:
    if text == "faults:\n":
        assert problems(plan_file(text), small_nation) == [
            (1, "faults is no list", "write one entry a line, each beginning with - kind:")
        ]
    else:
        assert load_fault_plan(plan_file(text), small_nation) == FaultPlan()


@pytest.mark.parametrize(
    ("entry", "line", "what", "mend"),
    [
        ("kind: dead", 3, "dead says nowhere where", "add sites:, provinces: or carriers: with a list of codes"),
        ("kind: ded\n    sites: ['00']", 3, "kind 'ded' is unknown", "did you mean dead?"),
        ("sites: ['00']", 3, "this entry has no kind", "add kind:, one of dead, silent"),
        ("kind: dead\n    sites: ['99']", 4, "'99' is no site with a sip:", "use one of: 00, 01, 01000"),
        ("kind: dead\n    sites: [0101]", 4, "'0101' is no site", "did you mean 01"),
        ("kind: dead\n    provinces: ['1']", 4, "'1' is no province of the inventory", "did you mean 01?"),
        ("kind: dead\n    carriers: [Vietel]", 4, "'Vietel' is no carrier", "did you mean Viettel?"),
        ("kind: dead\n    carriers: VNPT\n    tiers: [xã]", 5, "'xã' is no tier", "use one of: central, commune"),
        ("kind: dead\n    sites: []", 4, "sites is empty", "list at least one site, or remove sites:"),
        ("kind: dead\n    sites: ['00', '00']", 4, "'00' stands twice in sites", "keep one of the two"),
        ("kind: dead\n    sites: [[1]]", 4, "sites holds (a list)", "list codes only"),
        (
            "kind: dead\n    sites: ['00']\n    rate: 1",
            5,
            "key 'rate' is unknown in a fault of kind dead",
            "use one of",
        ),
        ("kind: dead\n    sites: ['00']\n    xyz: 1", 5, "key 'xyz' is unknown", "use one of: begin, carriers"),
        ("kind: dead\n    sites: ['00']\n    sites: ['01']", 5, "key 'sites' stands twice", "keep one of the two"),
        (
            "kind: dead\n    sites: ['00']\n    share: 1.5",
            5,
            "share '1.5' is out of range",
            "write a number from 0 to 1",
        ),
        ("kind: dead\n    sites: ['00']\n    share: half", 5, "share 'half' is not understood", "write a number"),
        ("kind: dead\n    sites: ['00']\n    share: nan", 5, "share 'nan' is no number", "write a number from 0 to 1"),
        ("kind: dead\n    sites: ['00']\n    share: [1]", 5, "share (a list) is not understood", "write a number"),
        ("kind: dead\n    sites: ['00']\n    combine: maybe", 5, "combine 'maybe' is not", "write true or false"),
        ("kind: loss\n    sites: ['00']", 3, "loss needs rate", "add rate: with a number from 0 to 1"),
        ("kind: loss\n    sites: ['00']\n    rate: 2", 5, "rate '2' is out of range", "write a number from 0 to 1"),
        (
            "kind: loss\n    sites: ['00']\n    rate: 0.9\n    burst: 2",
            3,
            "a loss of 0.9 can't come in bursts of mean length 2",
            "let burst be at least 9",
        ),
        (
            "kind: loss\n    sites: ['00']\n    rate: 0.1\n    direction: up",
            6,
            "direction 'up' is not understood",
            "write one of to_room, from_room, both",
        ),
        (
            "kind: wrong_codec\n    sites: ['00']\n    stage: {}",
            5,
            "stage (a mapping) is not understood",
            "write one of answer, stream",
        ),
        (
            "kind: large_packets_lost\n    sites: ['00']\n    threshold_bytes: 1200.5",
            5,
            "threshold_bytes '1200.5' is not understood",
            "write a number from 68 to 65535",
        ),
        ("kind: slow_answer\n    sites: ['00']", 3, "slow_answer needs seconds", "add seconds: with a number"),
        ("kind: dead\n    sites: ['00']\n    begin: 25:00", 5, "begin '25:00' is not understood", "write seconds"),
        ("kind: dead\n    sites: ['00']\n    begin: -1", 5, "begin '-1' is not understood", "write seconds"),
        ("kind: dead\n    sites: ['00']\n    end: 0", 5, "end 0 is not after the start", "let it end later"),
        ("kind: dead\n    sites: ['00']\n    begin: 5\n    end: 5", 6, "end 5 is not after begin 5", "let it end"),
        ("kind: dead\n    sites: ['00']\n    begin: 9:00\n    end: 9:00", 6, "end 09:00 is not after", "let it end"),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_mend(
    plan_file: PlanFile, small_nation: Inventory, *, entry: str, line: int, what: str, mend: str
) -> None:
    found = problems(plan_file(f"seed: 1\nfaults:\n  - {entry}\n"), small_nation)
    assert len(found) == 1
    assert found[0][0] == line
    assert what in found[0][1]
    assert mend in found[0][2]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("- a\n- b\n", 1, "the plan is no mapping"),
        ("seed: x\n", 1, "seed 'x' is not understood"),
        ("seed: -4\n", 1, "seed -4 is negative"),
        ("seed: 1\nzone: Asia/Hanoi\n", 2, "zone 'Asia/Hanoi' is not understood"),
        ("zone: ../etc\n", 1, "zone '../etc' is not understood"),
        ("zone: Asia\n", 1, "zone 'Asia' is not understood"),
        ("sed: 1\n", 1, "key 'sed' is unknown in the plan"),
        ("faults:\n  - dead\n", 2, "this entry is no fault"),
        ("seed: 1\nfaults: {\n", 3, "not YAML"),
        ("seed: 1\n\x07\n", 0, "not YAML"),
    ],
)
def test_a_mistake_of_the_plan_itself_is_reported(
    plan_file: PlanFile, small_nation: Inventory, text: str, line: int, what: str
) -> None:
    found = problems(plan_file(text), small_nation)
    assert [(at, what in said) for at, said, _ in found] == [(line, True)]


def test_all_mistakes_are_reported_at_once_in_order(plan_file: PlanFile, small_nation: Inventory) -> None:
    text = "seed: x\nfaults:\n  - {kind: ded}\n  - {kind: loss, sites: ['00', '98'], rate: 7}\n"
    found = problems(plan_file(text), small_nation)
    assert [line for line, _, _ in found] == [1, 3, 4, 4]


def test_a_site_named_twice_at_the_same_time_is_a_mistake_unless_combined(
    plan_file: PlanFile, small_nation: Inventory
) -> None:
    text = "faults:\n  - {kind: dead, provinces: ['01']}\n  - {kind: busy, sites: ['01', '00']}\n"
    found = problems(plan_file(text), small_nation)
    assert [(line, what) for line, what, _ in found] == [(3, "site 01 already has dead (line 2) at that time")]
    combined = load_fault_plan(plan_file(text.replace("'00']}", "'00'], combine: true}")), small_nation)
    assert len(combined.faults) == 2


def test_an_inventory_without_carriers_has_none_to_name(plan_file: PlanFile) -> None:
    inventory = Inventory([Site("00", "", "central", endpoint="sip:127.0.0.1")], ("central",))
    found = problems(plan_file("faults:\n  - {kind: dead, carriers: [VNPT]}\n"), inventory)
    assert found[0][2] == "the inventory has none; remove it"


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, small_nation: Inventory) -> None:
    assert problems(tmp_path / "none.yaml", small_nation)[0][1] == "can't read it: No such file or directory"
    path = tmp_path / "latin.yaml"
    path.write_bytes("# Tỉnh\nseed: 1 # ".encode() + b"\xe1\n")
    assert "not UTF-8 at byte" in problems(path, small_nation)[0][1]


def outcome(path: Path, inventory: Inventory) -> FaultPlan | tuple[Problem, ...]:
    try:
        return load_fault_plan(path, inventory)
    except ConfigError as error:
        return error.problems


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(WHOLE)), junk=st.text(max_size=3))
def test_a_damaged_plan_gives_a_plan_or_problems_and_nothing_else(
    plan_file: PlanFile, small_nation: Inventory, cut: int, junk: str
) -> None:
    path = plan_file(WHOLE[:cut] + junk.encode("utf-8", "replace").decode() + WHOLE[cut + 1 :])
    assert outcome(path, small_nation)


def test_a_plan_truncated_anywhere_gives_a_plan_or_problems(plan_file: PlanFile, small_nation: Inventory) -> None:
    outcomes = [outcome(plan_file(WHOLE[:cut]), small_nation) for cut in range(len(WHOLE) + 1)]
    assert all(outcomes)
    assert {type(found) for found in outcomes} == {FaultPlan, tuple}


def national_inventory() -> Inventory:
    """Return the rooms of configs/vn-2024 as far as a plan looks at them."""
    with (CONFIGS / "vn-2024/sites.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sites = [
        Site(row["code"], row["name"], row["tier"], row["parent"] or None, row["carrier"], row["endpoint"] or None)
        for row in rows
    ]
    return Inventory(sites, ("central", "province", "district", "commune"))


@pytest.mark.parametrize("name", ["demo", "every-fault"])
def test_the_shipped_plans_befall_rooms_of_the_whole_country_with_every_kind(name: str) -> None:
    inventory = national_inventory()
    plan = load_fault_plan(CONFIGS / f"faults/{name}.yaml", inventory)
    assigned = assign(plan, inventory)
    assert {fault.kind for faults in assigned.values() for fault in faults} == set(FaultKind)
    assert all(len(faults) == 1 for faults in assigned.values())
    assert len(assigned) < 0.1 * len(list(simulated_sites(inventory)))
    assert set(plan.faults) == {fault for faults in assigned.values() for fault in faults}

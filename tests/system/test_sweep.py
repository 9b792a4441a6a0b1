"""A sweep of a simulated nation that holds every fault of docs/outcomes.md: each is found, nobody else is marked.

Both commands run as an operator runs them. A run that this machine spoilt (the simulator says so, or a measurement is
invalid) shows nothing and is repeated: the product's own rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from bridge_monitor.sim import FaultKind
from tests.system.rigs import Command, Country

Start = Callable[..., Command]
Row = dict[str, str]

NONE = "–"
ATTEMPTS = 3
# The table is written for calls of 10 s. What is counted in packets, or waits for late ones, needs them; the rest is
# found as surely in 4 s.
NEEDS_LONG_CALLS = {"loss", "delay", "jitter", "reordering", "duplication"}
PROFILES = {
    "short": {"duration": "4 s", "media": {"large_packets": 6}},
    "long": {"duration": "10 s", "media": {"large_packets": 6}},
}


class Planted(NamedTuple):
    """A fault of the table in a room."""

    code: str
    row: Row


class Seen(NamedTuple):
    """What a sweep found, and what the simulator says of itself."""

    exit_code: int
    results: dict[str, dict[str, Any]]
    report: dict[str, Any]

    @property
    def spoilt(self) -> list[str]:
        """Why this run shows nothing."""
        invalid = {reason for result in self.results.values() for reason in result["invalid"]}
        return [*self.report["void_reasons"], *sorted(invalid)]


def plant(country: Country, table: list[Row], each: int) -> list[Planted]:
    """Give each row of the table so many rooms, spread over the country."""
    rows = [row for row in table if row["fault"] != NONE for _ in range(each)]
    assert len(rows) < len(country.codes) * 0.7, "healthy rooms are wanted as well"
    step = len(country.codes) / len(rows)
    return [Planted(country.codes[int(number * step)], row) for number, row in enumerate(rows)]


def entry(planted: Planted) -> dict[str, Any]:
    """Return the planted fault as a fault plan's entry."""
    parameters: dict[str, Any] = {}
    for part in planted.row["with"].split() if planted.row["with"] != NONE else ():
        name, _, value = part.partition("=")
        parameters[name] = float(value) if value.replace(".", "").isdigit() else value
    return {"kind": planted.row["fault"], "sites": [planted.code], **parameters}


def sweep(start: Start, country: Country, faults: Path) -> Seen:
    simulator = start("simulate", "--config", country.folder, "--faults", faults, "--json")
    simulator.until("simulating")
    command = start("sweep", "--config", country.folder, "--json")
    exit_code = command.end(within=110)
    simulator.stop()
    results = {result["target"]["site"]: result for result in command.objects}
    assert len(results) == len(command.objects), "a site was called twice"
    return Seen(exit_code, results, simulator.objects[-1])


def check_sweep(start: Start, country: Country, table: list[Row], each: int, tmp_path: Path) -> None:
    planted = plant(country, table, each)
    country.profiles = PROFILES
    country.profile_of = {code: "long" for code, row in planted if row["fault"] in NEEDS_LONG_CALLS}
    country.write()
    faults = tmp_path / "faults.yaml"
    faults.write_text(yaml.safe_dump({"seed": 2024, "faults": [entry(one) for one in planted]}), "utf-8")
    for _ in range(ATTEMPTS):
        seen = sweep(start, country, faults)
        if not seen.spoilt:
            break
        print("spoilt:", seen.spoilt, seen.report["own"])  # noqa: T201 - pytest shows it if the test failed
    assert not seen.spoilt, "this machine was too busy to show anything"
    assert seen.exit_code == 2
    assert set(seen.results) == set(country.codes)
    wrong = list(differences(seen, planted))
    assert not wrong, "\n".join(wrong)


def differences(seen: Seen, planted: list[Planted]) -> Iterator[str]:
    """Yield each room where the sweep found something else than the table has it."""
    truth = {one.code: one.row for one in planted}
    for code, result in seen.results.items():
        row = truth.get(code, {"fault": "healthy", "outcome": "reached", "reason": NONE, "grade": "good"})
        expected = (row["outcome"], row["grade"])
        found = (result["outcome"], result["grade"])
        if found != expected:
            yield f"{code}, {row}: found {found}, {result['reason']}"
        elif row["reason"] not in (NONE, result["reason"]):
            yield f"{code}, {row}: found reason {result['reason']}"
        elif result["advisories"] != advisories_of(row):
            yield f"{code}, {row}: found advisories {result['advisories']}"


def advisories_of(row: Row) -> list[str]:
    """Return the advisories that the table names: "…: advisory `name`"."""
    _, _, named = row.get("what the room does", "").partition(": advisory ")
    return [named.strip("`")] if named else []


@pytest.mark.timeout(400)  # a spoilt run is repeated
def test_every_planted_fault_is_found_and_no_healthy_room_is_marked(
    start: Start, network: str, tmp_path: Path, documented_faults: list[Row]
) -> None:
    assert {row["fault"] for row in documented_faults} - {NONE} == set(FaultKind), "a kind has no row in the table"
    country = Country(tmp_path / "country", network, provinces=4, communes=29)
    check_sweep(start, country, documented_faults, 2, tmp_path)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_same_in_a_thousand_rooms(start: Start, network: str, tmp_path: Path, documented_faults: list[Row]) -> None:
    caps = {"caps": {"total": {"calls_per_second": 60, "calls_at_once": 1000}}}
    country = Country(tmp_path / "country", network, provinces=10, communes=99, settings=caps)
    check_sweep(start, country, documented_faults, 15, tmp_path)

"""A nation for benchmarks: the country's list, every room with an endpoint, and faults of every kind planted evenly.

Owns the files written; what is expected of each fault is read from docs/outcomes.md, as the tests do.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
ALL_ROOMS: Final = 11_363
"""63 provinces, 705 districts, 10,595 communes (June 2024)."""
SECONDS: Final = 10
_ROOMS_PER_SIMULATOR: Final = 15_000
"""Each has a socket of its own, and a process may often have 20,000 files open."""
_NONE: Final = "–"
_HEALTHY: Final = ("reached", "good", _NONE)


Finding = tuple[str, str, str]
"""Outcome, grade and reason."""


@dataclass(frozen=True)
class Country:
    """What was written: the configuration's folder, the fault plan, and what a first call must find.

    Attributes:
        folder: With the configuration's files.
        faults: The fault plan.
        expected: (outcome, grade, reason) by site, of the sites with a planted fault.
        rooms: Number of rooms.
        simulated: The same configuration for each simulator, with the endpoints of its own rooms alone.
    """

    folder: Path
    faults: Path
    expected: dict[str, Finding]
    rooms: int
    simulated: tuple[Path, ...]


def write(folder: Path, rooms: int, faults: int, *, calls_per_second: float, calls_at_once: int) -> Country:
    """Write a nation of so many rooms, so many of them with a fault, to be called as quickly as given."""
    sites = [
        (*site, f"sip:{site[0]}@127.{100 + number // 60000}.{number // 240 % 250}.{number % 240 + 1}")
        for number, site in enumerate(_rooms(rooms))
    ]
    codes = [site[0] for site in sites]
    lots = [frozenset(codes[start : start + _ROOMS_PER_SIMULATOR]) for start in range(0, rooms, _ROOMS_PER_SIMULATOR)]
    settings = {
        "tiers": ["central", "province", "district", "commune"],
        "probes": {"room": {"duration": f"{SECONDS} s", "media": {"large_packets": 4}}},
        "caps": {
            "total": {"calls_per_second": calls_per_second, "calls_at_once": calls_at_once},
            "per_province": {"bandwidth": "10 Gbit/s"},
        },
        "intervals": {"default": "6 h", "retry": "6 h", "min_between_calls": "1 s"},
        "listen": {"http": "127.0.0.1:0", "sip": "127.0.0.1:0", "state_dir": "state"},
    }
    event = {
        "title": "Hội nghị thử tải",
        "zone": "Asia/Ho_Chi_Minh",
        "rehearsals": [{"start": _moment(-600), "end": _moment(7200)}],
        "guard": "10 min",
        "conference": {"start": _moment(4 * 3600), "end": _moment(7 * 3600)},
    }
    simulated = tuple(folder / f"simulator-{number}" for number in range(len(lots))) if len(lots) > 1 else (folder,)
    for place, own in [(folder, frozenset(codes)), *zip(simulated, lots, strict=True)]:
        place.mkdir(parents=True, exist_ok=True)
        for name, content in (("bridge_monitor.yaml", settings), ("event.yaml", event)):
            (place / name).write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
        (place / "contacts.csv").write_text("scope,code,role,channel,address,registered_at\n", "utf-8")
        _write_sites(place / "sites.csv", sites, own)
    planted = dict(zip(codes[:: max(1, rooms // faults)][:faults], _planted(faults), strict=True)) if faults else {}
    entries = [{"sites": [code], **fault} for code, (fault, _) in planted.items()]
    plan = folder / "faults.yaml"
    plan.write_text(yaml.safe_dump({"seed": 2024, "faults": entries}), "utf-8")
    return Country(folder, plan, {code: found for code, (_, found) in planted.items()}, rooms, simulated)


def _write_sites(file: Path, sites: list[tuple[str, str, str, str, str, str]], own: frozenset[str]) -> None:
    """Write the site list; who is not among ``own`` has no endpoint in it."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        table = csv.writer(opened)
        table.writerow(["code", "name", "tier", "parent", "carrier", "endpoint", "probe", "attends_at"])
        table.writerow(["00", "Điểm cầu Trung ương", "central", "", "VNPT", "", "none", ""])
        for code, name, tier, parent, carrier, endpoint in sites:
            end = (endpoint, "room") if code in own else ("", "none")
            table.writerow([code, name, tier, parent, carrier, *end, ""])


def judge(results: dict[str, tuple[str, str, str | None, bool]], country: Country) -> dict[str, Any]:
    """Hold each room's first result against what was planted.

    Args:
        results: (outcome, grade, reason, whether it is invalid) by site.
        country: What was planted.

    Returns:
        faults_planted, faults_found, healthy_marked, invalid, and the misses as text.
    """
    found, marked, invalid, misses = 0, 0, 0, []
    for code, (outcome, grade, reason, is_invalid) in results.items():
        invalid += is_invalid
        wanted = country.expected.get(code, _HEALTHY)
        right = (outcome, grade) == wanted[:2] and wanted[2] in (_NONE, reason)
        if code in country.expected:
            found += right
        elif not right and not is_invalid:
            marked += 1
        if not right and not is_invalid:
            misses.append(f"{code}: found {outcome}/{grade} ({reason}), wanted {'/'.join(wanted)}")
    return {
        "faults_planted": len(country.expected),
        "faults_found": found,
        "healthy_marked": marked,
        "invalid": invalid,
        "misses": misses,
    }


def _rooms(count: int) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield code, name, tier, parent and carrier: the country's own, thinned out evenly, or with more communes."""
    with (ROOT / "configs/vn-2024/sites.csv").open(encoding="utf-8", newline="") as file:
        every = [row for row in csv.DictReader(file) if row["tier"] != "central"]
    upper = [row for row in every if row["tier"] == "province"]
    rest = [row for row in every if row["tier"] != "province"]
    wanted = min(count - len(upper), len(rest))
    kept = {rest[number * len(rest) // wanted]["code"] for number in range(wanted)} | {row["code"] for row in upper}
    provinces = [row["code"] for row in upper]
    above = {row["code"]: row["parent"] for row in every}
    for row in every:
        if row["code"] in kept:
            parent = row["parent"]
            while parent not in kept and parent != "00":
                parent = above[parent]
            yield row["code"], row["name"], row["tier"], parent, row["carrier"]
    for number in range(count - len(kept)):
        yield f"9{number:06}", f"Xã {number}", "commune", provinces[number % len(provinces)], "VNPT"


def _planted(count: int) -> Iterator[tuple[dict[str, Any], Finding]]:
    """Yield so many faults as entries of a plan, each kind and degree equally often, and what has to be found."""
    rows = [row for row in _documented() if row[0] != _NONE]
    for number in range(count):
        kind, parameters, *found = rows[number % len(rows)]
        entry: dict[str, Any] = {"kind": kind}
        for pair in parameters.replace(_NONE, "").split():
            name, _, value = pair.partition("=")
            entry[name] = float(value) if value.replace(".", "").isdigit() else value
        outcome, reason, grade = found
        yield entry, (outcome, grade, reason)


def _documented() -> list[list[str]]:
    """Return fault, parameters, outcome, reason and grade of each row of the table of simulated faults."""
    text = (ROOT / "docs/outcomes.md").read_text("utf-8").partition("## Simulated faults")[2]
    rows = []
    for line in text.splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 6 and cells[0] != "fault" and set(cells[0]) != {"-"}:
            rows.append([*cells[:2], *cells[3:]])
    return rows


def _moment(seconds_from_now: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds_from_now)).isoformat(timespec="seconds")

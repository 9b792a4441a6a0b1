"""Which rooms a plan's entries befall, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from bridge_monitor.domain import Inventory, Site
from bridge_monitor.sim.assignment import assign, find_conflicts, resolve, simulated_sites
from bridge_monitor.sim.faults import Clock, Fault, FaultKind, FaultPlan

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
STARTED = datetime(2024, 6, 27, 14, 0, tzinfo=ZONE).astimezone(UTC)


def at(hour: int, minute: int = 0) -> Clock:
    return Clock(time(hour, minute))


class TestSimulatedSites:
    def test_only_sip_endpoints_on_loopback_addresses_are_simulated(self) -> None:
        endpoints = [
            "sip:room@127.0.0.1",
            "sip:127.0.0.2:5070",
            "sip:room@192.0.2.1",
            "sip:room@room.example.vn",
            "sips:room@127.0.0.3",
            "whip+https://127.0.0.4/room",
            None,
        ]
        sites = [Site(str(number), "", "central", endpoint=endpoint) for number, endpoint in enumerate(endpoints)]
        found = [
            (site.code, site.host, site.port, site.user) for site in simulated_sites(Inventory(sites, ("central",)))
        ]
        assert found == [("0", "127.0.0.1", 5060, "room"), ("1", "127.0.0.2", 5070, "")]


class TestSelection:
    def test_a_province_means_its_own_room_and_those_below(self, small_nation: Inventory) -> None:
        chosen = assign(FaultPlan((Fault(FaultKind.DEAD, provinces=("01",)),)), small_nation)
        assert set(chosen) == {"01", *(f"01{number:03}" for number in range(10))}

    def test_sites_provinces_and_carriers_add_up_and_tiers_narrow(self, small_nation: Inventory) -> None:
        fault = Fault(FaultKind.DEAD, sites=("00", "02009"), carriers=("Viettel",), tiers=("commune",))
        expected = {f"{province}{number:03}" for province in ("01", "02") for number in range(4)} | {"02009"}
        assert set(assign(FaultPlan((fault,)), small_nation)) == expected

    def test_a_share_is_exact_and_the_same_for_the_same_seed(self, small_nation: Inventory) -> None:
        plan = FaultPlan((Fault(FaultKind.DEAD, provinces=("01", "02"), share=0.25),), seed=3)
        chosen = assign(plan, small_nation)
        assert len(chosen) == round(0.25 * 22)
        assert chosen == assign(plan, small_nation)
        assert any(set(chosen) != set(assign(replace(plan, seed=seed), small_nation)) for seed in range(5))

    def test_a_share_above_nothing_befalls_at_least_one_room_and_none_befalls_none(
        self, small_nation: Inventory
    ) -> None:
        rare = Fault(FaultKind.DEAD, provinces=("01",), share=0.001)
        assert len(assign(FaultPlan((rare,)), small_nation)) == 1
        assert assign(FaultPlan((replace(rare, share=0.0),)), small_nation) == {}

    def test_a_later_entry_changes_nothing_of_an_earlier_one(self, small_nation: Inventory) -> None:
        first = Fault(FaultKind.DEAD, provinces=("01",), share=0.5)
        second = Fault(FaultKind.BUSY, provinces=("01",), share=0.5)
        alone = assign(FaultPlan((first,)), small_nation)
        both = assign(FaultPlan((first, second)), small_nation)
        assert {code for code, faults in both.items() if first in faults} == set(alone)

    def test_a_room_has_one_fault_at_a_time_unless_they_combine(self, small_nation: Inventory) -> None:
        first = Fault(FaultKind.DEAD, provinces=("01",), share=0.5)
        rest = Fault(FaultKind.BUSY, provinces=("01",))
        both = assign(FaultPlan((first, rest)), small_nation)
        assert len(both) == 11
        assert all(len(faults) == 1 for faults in both.values())
        combined = assign(FaultPlan((first, replace(rest, combine=True))), small_nation)
        assert sum(len(faults) for faults in combined.values()) == 6 + 11

    @pytest.mark.parametrize(
        ("first", "second", "overlap"),
        [
            ((None, 60.0), (60.0, None), False),
            ((None, 61.0), (60.0, None), True),
            ((at(14), at(15)), (at(15), at(16)), False),
            ((at(14), at(15, 1)), (at(15), at(16)), True),
            ((at(23), at(1)), (at(0, 30), at(2)), True),
            ((at(23), at(1)), (at(1), at(2)), False),
            ((at(14), at(15)), (0.0, 1.0), True),
        ],
    )
    def test_faults_whose_times_do_not_meet_share_a_room(
        self,
        small_nation: Inventory,
        first: tuple[float | Clock | None, float | Clock | None],
        second: tuple[float | Clock | None, float | Clock | None],
        *,
        overlap: bool,
    ) -> None:
        one = Fault(FaultKind.DEAD, sites=("00",), begin=first[0], end=first[1], line=4)
        two = Fault(FaultKind.BUSY, sites=("00",), begin=second[0], end=second[1], line=7)
        plan = FaultPlan((one, two))
        assert assign(plan, small_nation)["00"] == ((one,) if overlap else (one, two))
        conflicts = [(fault, "line 4" in what) for fault, what in find_conflicts(small_nation, plan)]
        assert conflicts == ([(two, True)] if overlap else [])


class TestResolve:
    @pytest.mark.parametrize(
        ("begin", "end", "span"),
        [
            (None, None, (0.0, float("inf"))),
            (10.0, 20.0, (10.0, 20.0)),
            (at(15), None, (3600.0, float("inf"))),
            (at(15), at(16), (3600.0, 7200.0)),
            (at(13), at(15), (-3600.0, 3600.0)),
            (at(23), at(1), (9 * 3600.0, 11 * 3600.0)),
            (at(8), at(9), (18 * 3600.0, 19 * 3600.0)),
            (None, at(13), (0.0, 23 * 3600.0)),
            (120.0, at(14, 1), (120.0, 24 * 3600.0 + 60.0)),
        ],
    )
    def test_times_of_day_are_of_the_day_of_the_start(
        self, begin: float | Clock | None, end: float | Clock | None, span: tuple[float, float]
    ) -> None:
        resolved = resolve(Fault(FaultKind.DEAD, begin=begin, end=end), STARTED, ZONE)
        assert (resolved.begin, resolved.end) == span

    def test_a_span_is_half_open(self) -> None:
        span = resolve(Fault(FaultKind.DEAD, begin=1.0, end=2.0), STARTED, ZONE)
        assert [span.active(seconds) for seconds in (0.9, 1.0, 1.9, 2.0)] == [False, True, True, False]

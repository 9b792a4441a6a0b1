"""What a `MemoryStore` keeps, and until when."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from bridge_monitor.diagnosis import Confirmation, judge
from bridge_monitor.domain import (
    Evidence,
    Grade,
    Inventory,
    Outcome,
    ProbeResult,
    Site,
    SiteGrade,
    SiteState,
    Target,
)
from bridge_monitor.store import MemoryStore, Store

STARTED = datetime(2024, 6, 27, 7, 30, tzinfo=UTC)
GRADES = {Grade.GOOD: SiteGrade.GOOD, Grade.DEGRADED: SiteGrade.DEGRADED, Grade.FAILED: SiteGrade.FAILED}


def last_call_decides(state: SiteState, result: ProbeResult, /, *, now: datetime) -> SiteState:
    """A judge for tests: the newest result's grade, at once; others only become the newest result."""
    if result.grade not in GRADES:
        return dataclasses.replace(state, last=result)
    return dataclasses.replace(state, grade=GRADES[result.grade], since=now, last=result, last_valid=result)


def inventory_of(*attending: str, codes: tuple[str, ...] = ("00", "01", "02")) -> Inventory:
    sites = [Site(code, code, "province", attends_at="00" if code in attending else None) for code in codes]
    return Inventory(sites, ("province",))


def result_of(site: str | None, grade: Grade, number: int = 1, outcome: Outcome = Outcome.REACHED) -> ProbeResult:
    return ProbeResult(
        id=f"r{number}",
        target=Target(site, "sip:room@127.1.0.1"),
        kind="sip",
        profile="standard",
        vantage="centre",
        call_id=f"c{number}",
        started_at=STARTED,
        duration_seconds=12.5,
        outcome=outcome,
        reason=None,
        grade=grade,
    )


def evidence_of(number: int) -> Evidence:
    return Evidence(f"r{number}", "01", ())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(inventory_of("02"), last_call_decides)


class TestStates:
    def test_a_site_begins_untested_or_attending_elsewhere(self, store: Store) -> None:
        assert {code: state.grade for code, state in store.states().items()} == {
            "00": SiteGrade.UNTESTED,
            "01": SiteGrade.UNTESTED,
            "02": SiteGrade.ATTENDS_ELSEWHERE,
        }

    def test_a_result_is_judged_as_of_the_end_of_its_call_and_becomes_the_latest(self, store: Store) -> None:
        result = result_of("01", Grade.FAILED)
        after = store.add(result)
        assert after == store.state("01")
        assert after
        assert (after.grade, after.since) == (SiteGrade.FAILED, STARTED + timedelta(seconds=12.5))
        assert store.latest("01") is result
        assert store.latest("00") is None

    def test_the_picture_of_all_states_never_changes(self, store: Store) -> None:
        """A snapshot keeps it by reference while results come in."""
        before = store.states()
        store.add(result_of("01", Grade.GOOD))
        assert before["01"].grade is SiteGrade.UNTESTED
        assert store.states()["01"].grade is SiteGrade.GOOD
        assert store.states() is store.states()
        with pytest.raises(TypeError):
            before["01"] = store.states()["01"]  # type: ignore[index]  # that it can't be written is the point

    @pytest.mark.parametrize("site", [None, "99"], ids=["a bare URI", "a site that left"])
    def test_a_result_of_no_site_of_the_inventory_is_not_kept(self, store: Store, site: str | None) -> None:
        assert store.add(result_of(site, Grade.GOOD), evidence_of(1)) is None
        assert set(store.states()) == {"00", "01", "02"}
        assert (store.latest("99"), store.state("99"), store.evidence("99")) == (None, None, None)

    def test_a_refused_call_changes_nothing(self, store: Store) -> None:
        """Nothing was sent, so it is no result of the site."""
        before = store.state("01")
        assert store.add(result_of("01", Grade.UNTESTED, outcome=Outcome.REFUSED), evidence_of(1)) is before
        assert (store.latest("01"), store.evidence("01")) == (None, None)


class TestVerdicts:
    def test_the_diagnosis_fits_as_the_judge(self) -> None:
        """One bad call is shown but not yet held against a good site, and a busy one not at all."""
        store = MemoryStore(inventory_of(), partial(judge, confirmation=Confirmation(bad_of=2, window=3)))
        seen = []
        for grade in (Grade.GOOD, Grade.FAILED, Grade.BUSY, Grade.FAILED):
            outcome = Outcome.BUSY if grade is Grade.BUSY else Outcome.REACHED
            store.add(result_of("01", grade, outcome=outcome))
            seen.append(store.states()["01"].grade)
        assert seen == [SiteGrade.GOOD, SiteGrade.GOOD, SiteGrade.GOOD, SiteGrade.FAILED]


class TestReload:
    def test_a_site_that_stays_keeps_its_state_and_evidence(self, store: Store) -> None:
        state = store.add(result_of("01", Grade.FAILED), evidence_of(1))
        store.replace_inventory(inventory_of(codes=("01", "03")))
        assert store.state("01") is state
        assert store.evidence("01") == evidence_of(1)

    def test_a_site_that_left_is_forgotten_even_if_it_comes_back(self, store: Store) -> None:
        store.add(result_of("01", Grade.FAILED), evidence_of(1))
        store.replace_inventory(inventory_of(codes=("00",)))
        assert set(store.states()) == {"00"}
        store.replace_inventory(inventory_of())
        assert store.states()["01"].grade is SiteGrade.UNTESTED
        assert store.evidence("01") is None

    def test_a_site_that_now_attends_elsewhere_loses_its_verdict(self, store: Store) -> None:
        store.add(result_of("01", Grade.FAILED))
        store.replace_inventory(inventory_of("01"))
        assert store.state("01") == SiteState("01", SiteGrade.ATTENDS_ELSEWHERE)

    def test_a_site_with_a_room_of_its_own_again_begins_untested(self, store: Store) -> None:
        store.replace_inventory(inventory_of())
        assert store.state("02") == SiteState("02", SiteGrade.UNTESTED)


class TestEvidence:
    @pytest.mark.parametrize("later", [Grade.GOOD, Grade.BUSY, Grade.UNTESTED, Grade.INVALID])
    def test_a_failure_s_evidence_outlives_calls_that_did_not_fail(self, store: Store, later: Grade) -> None:
        store.add(result_of("01", Grade.FAILED, 1), evidence_of(1))
        store.add(result_of("01", later, 2), evidence_of(2))
        assert store.evidence("01") == evidence_of(1)

    @pytest.mark.parametrize("first", [Grade.FAILED, Grade.DEGRADED, Grade.BUSY])
    @pytest.mark.parametrize("second", [Grade.FAILED, Grade.DEGRADED])
    def test_the_next_failure_s_evidence_takes_its_place(self, store: Store, first: Grade, second: Grade) -> None:
        store.add(result_of("01", first, 1), evidence_of(1))
        store.add(result_of("01", second, 2), evidence_of(2))
        assert store.evidence("01") == evidence_of(2)

    def test_a_failure_that_left_nothing_behind_still_replaces_the_older_evidence(self, store: Store) -> None:
        """Else the ladder of one fault would be shown beside the verdict of another."""
        store.add(result_of("01", Grade.FAILED, 1), evidence_of(1))
        store.add(result_of("01", Grade.FAILED, 2))
        assert store.evidence("01") is None

    def test_a_good_call_leaves_no_evidence(self, store: Store) -> None:
        store.add(result_of("01", Grade.GOOD), evidence_of(1))
        assert store.evidence("01") is None

    def test_a_room_that_only_rings_leaves_its_newest_ladder(self, store: Store) -> None:
        for number in (1, 2):
            store.add(result_of("01", Grade.UNTESTED, number, Outcome.NO_ANSWER), evidence_of(number))
        assert store.evidence("01") == evidence_of(2)

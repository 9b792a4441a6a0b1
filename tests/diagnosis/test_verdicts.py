from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.diagnosis import Confirmation, wants_retry
from bridge_monitor.domain import SiteGrade, SiteState
from bridge_monitor.errors import LocalProtocolError

UNTESTED, GOOD, DEGRADED, FAILED, BUSY, ELSEWHERE = SiteGrade

EVIDENCE = ["good", "degraded", "lossy", "no_media", "timeout"]
SILENT_ABOUT_THE_LINE = ["busy", "invalid", "invalid_rings", "local_fault", "cancelled", "refused"]
GRADES = {"good": GOOD, "degraded": DEGRADED, "lossy": FAILED, "no_media": FAILED, "timeout": FAILED}


class TestFirstResults:
    @pytest.mark.parametrize("kind", EVIDENCE)
    def test_the_first_evidence_is_the_verdict_at_once_and_confirmed_only_if_good(self, kit: Any, kind: str) -> None:
        state = kit.after(kind)
        assert state.grade is GRADES[kind]
        assert state.confirmed is (kind == "good")
        assert state.since == kit.START + timedelta(minutes=1)
        assert state.last == state.last_valid == kit.result(kind)
        assert wants_retry(state) is (kind != "good")

    @pytest.mark.parametrize("kind", ["rings", "options", "options_good", "invalid", "cancelled", "refused"])
    def test_what_says_nothing_of_the_line_leaves_a_site_untested(self, kit: Any, kind: str) -> None:
        state = kit.after(kind)
        assert state.grade is UNTESTED
        assert state.since is None
        assert state.last == kit.result(kind)
        assert state.last_valid is None
        assert state.recent == ()

    def test_a_site_never_graded_shows_as_busy_while_it_is(self, kit: Any) -> None:
        state = kit.after("busy", "busy")
        assert state.grade is BUSY
        assert state.since == kit.START + timedelta(minutes=1)
        assert kit.after("busy", "invalid_rings").grade is BUSY
        assert kit.after("busy", "cancelled").grade is BUSY
        assert kit.after("busy", "rings").grade is UNTESTED
        assert kit.after("busy", "rings").since is None
        assert kit.after("busy", "good").grade is GOOD

    def test_the_second_of_two_bad_calls_confirms_the_first(self, kit: Any) -> None:
        state = kit.after("timeout", "timeout")
        assert (state.grade, state.confirmed) == (FAILED, True)
        assert state.since == kit.START + timedelta(minutes=1)
        assert not wants_retry(state)

    def test_one_good_call_after_a_bad_first_decides_nothing_and_the_next_does(self, kit: Any) -> None:
        state = kit.after("timeout", "good")
        assert (state.grade, state.confirmed) == (FAILED, False)
        assert wants_retry(state)
        assert kit.after("timeout", "good", "good").grade is GOOD
        assert kit.after("timeout", "good", "good").confirmed
        failed = kit.after("timeout", "good", "timeout")
        assert (failed.grade, failed.confirmed) == (FAILED, True)


class TestTurning:
    def test_one_bad_call_of_three_turns_no_good_site(self, kit: Any) -> None:
        state = kit.after("good", "good", "timeout")
        assert state.grade is GOOD
        assert wants_retry(state)
        assert not wants_retry(kit.after("good", "timeout", "good"))
        assert kit.after("good", "timeout", "good", "good", "timeout").grade is GOOD

    def test_two_bad_calls_of_three_turn_it(self, kit: Any) -> None:
        state = kit.after("good", "timeout", "good", "no_media")
        assert (state.grade, state.confirmed) == (FAILED, True)
        assert state.since == kit.START + timedelta(minutes=4)

    def test_one_good_call_turns_no_failed_site_and_two_in_a_row_do(self, kit: Any) -> None:
        state = kit.after("timeout", "timeout", "good")
        assert state.grade is FAILED
        assert state.confirmed
        assert wants_retry(state)
        assert kit.after("timeout", "timeout", "good", "timeout", "good").grade is FAILED
        assert kit.after("timeout", "timeout", "good", "good").grade is GOOD

    def test_a_worse_and_a_bad_call_are_together_as_bad_as_the_lesser(self, kit: Any) -> None:
        assert kit.after("good", "good", "lossy", "degraded").grade is DEGRADED
        assert kit.after("degraded", "degraded", "lossy").grade is DEGRADED
        assert kit.after("degraded", "degraded", "lossy", "lossy").grade is FAILED

    def test_a_failed_site_gets_as_good_as_the_worse_of_two_better_calls(self, kit: Any) -> None:
        assert kit.after("lossy", "lossy", "degraded", "good").grade is DEGRADED
        assert kit.after("lossy", "lossy", "degraded", "degraded").confirmed
        assert kit.after("lossy", "lossy", "good", "degraded").grade is DEGRADED

    @pytest.mark.parametrize("kind", [*SILENT_ABOUT_THE_LINE, "rings", "options"])
    def test_nothing_but_evidence_changes_a_good_sites_state(self, kit: Any, kind: str) -> None:
        before = kit.after("good", "timeout")
        after = kit.after(kind, kind, kind, state=before)
        assert after == replace(before, last=kit.result(kind))

    def test_one_result_is_enough_where_the_operator_says_so(self, kit: Any) -> None:
        hasty = Confirmation(bad_of=1, window=1, good_in_row=1)
        assert kit.after("timeout", confirmation=hasty).confirmed
        assert kit.after("good", "timeout", confirmation=hasty).grade is FAILED
        assert kit.after("good", "timeout", "good", confirmation=hasty).grade is GOOD


class TestTakingBack:
    """A room that rings or answers OPTIONS is reachable, whatever was held against it."""

    @pytest.mark.parametrize("kind", ["rings", "options", "options_good"])
    def test_two_signs_of_life_take_back_a_failure_to_reach_it(self, kit: Any, kind: str) -> None:
        state = kit.after("timeout", "timeout", kind)
        assert state.grade is FAILED
        assert wants_retry(state)
        state = kit.after("timeout", "timeout", kind, kind)
        assert (state.grade, state.since, state.recent) == (UNTESTED, None, ())
        assert not wants_retry(state)
        assert kit.after("timeout", "timeout", kind, kind, "good").grade is GOOD

    @pytest.mark.parametrize("kind", ["no_media", "lossy"])
    def test_they_say_nothing_against_a_failure_that_was_measured(self, kit: Any, kind: str) -> None:
        state = kit.after(kind, kind, "rings", "rings", "rings")
        assert state.grade is FAILED
        assert state.last_valid == kit.result(kind)

    def test_they_never_make_a_site_good(self, kit: Any) -> None:
        assert kit.after("timeout", "options_good", "options_good", "options_good").grade is UNTESTED
        assert kit.after("degraded", "degraded", "rings", "rings").grade is DEGRADED

    def test_a_failure_in_between_starts_the_count_anew(self, kit: Any) -> None:
        assert kit.after("timeout", "timeout", "rings", "timeout", "rings").grade is FAILED


class TestRetries:
    def test_a_site_without_result_needs_none(self) -> None:
        assert not wants_retry(SiteState("a", UNTESTED))

    @pytest.mark.parametrize("kind", ["invalid", "invalid_rings", "local_fault", "cancelled"])
    def test_a_call_that_told_nothing_by_our_fault_is_made_again(self, kit: Any, kind: str) -> None:
        assert wants_retry(kit.after(kind))
        assert wants_retry(kit.after("good", kind))

    @pytest.mark.parametrize("kind", ["busy", "rings", "refused"])
    def test_a_room_that_is_busy_or_rings_is_not_called_sooner(self, kit: Any, kind: str) -> None:
        assert not wants_retry(kit.after(kind))
        assert not wants_retry(kit.after("good", kind))


def test_a_site_that_attends_elsewhere_has_no_verdict(kit: Any) -> None:
    state = kit.after("timeout", "timeout", state=SiteState("a", ELSEWHERE))
    assert state.grade is ELSEWHERE
    assert state.last == kit.result("timeout")


def test_another_sites_result_is_our_bug(kit: Any) -> None:
    with pytest.raises(LocalProtocolError, match="a result of site a can't judge site b"):
        kit.after("good", state=SiteState("b", UNTESTED))


confirmations = st.integers(1, 5).flatmap(
    lambda window: st.builds(Confirmation, st.integers(1, window), st.just(window), st.integers(1, window))
)


@given(kinds=st.lists(st.sampled_from([*EVIDENCE, *SILENT_ABOUT_THE_LINE]), max_size=12), confirmation=confirmations)
def test_the_verdict_follows_from_the_evidence_alone(kit: Any, kinds: list[str], confirmation: Confirmation) -> None:
    """Whatever comes between, a site stands as by its evidence; held against the rules said in other words."""
    state = kit.after(*kinds, confirmation=confirmation)
    evidence = [GRADES[kind] for kind in kinds if kind in GRADES]
    assert state.recent == tuple(evidence[-confirmation.window :])
    assert state.last == (kit.result(kinds[-1]) if kinds else None)
    if not evidence:
        assert state.grade is (BUSY if "busy" in kinds else UNTESTED)
        return
    grade = evidence[0]
    for count in range(2, len(evidence) + 1):
        window = sorted(evidence[max(0, count - confirmation.window) : count], reverse=True)
        # The grade that bad_of results reach is the bad_of-th worst.
        reached = window[confirmation.bad_of - 1] if len(window) >= confirmation.bad_of else GOOD
        row = evidence[max(0, count - confirmation.good_in_row) : count]
        if reached > grade:
            grade = reached
        elif len(row) == confirmation.good_in_row and max(row) < grade:
            grade = max(row)
    assert state.grade is grade
    assert grade is not GOOD or state.confirmed


@given(kinds=st.lists(st.sampled_from([*EVIDENCE, *SILENT_ABOUT_THE_LINE, "rings", "options"]), max_size=12))
def test_a_state_is_consistent_whatever_came(kit: Any, kinds: list[str]) -> None:
    state = kit.after(*kinds)
    assert len(state.recent) <= Confirmation().window
    assert (state.since is None) is (state.grade is UNTESTED)
    if state.grade in {GOOD, DEGRADED, FAILED}:
        assert state.last_valid is not None
        assert state.recent
    if state.grade in {DEGRADED, FAILED} and not state.confirmed:
        assert wants_retry(state)

"""docs/outcomes.md and the program say the same: every outcome, final response and simulated fault stands there."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

import pytest

from bridge_monitor.domain import Advisory, Grade, Outcome
from bridge_monitor.net.engine.plan import INVALID_REASONS
from bridge_monitor.net.tls import REASONS
from bridge_monitor.probes.judge import grade_of, judge_connection, judge_status
from bridge_monitor.sim import faults

Rows = list[dict[str, str]]
OWNERS = {"room", "carrier", "province", "ours", "nobody"}


def _reason(cell: str) -> str | None:
    return None if cell == "–" else cell


def _fault(row: dict[str, str]) -> faults.Fault | None:
    """Build the fault that a row of the table describes; None for the healthy room's row."""
    if row["fault"] == "–":
        return None
    kinds = get_type_hints(faults.Fault)
    parameters: dict[str, Any] = {}
    for pair in row["with"].replace("–", "").split():
        name, _, value = pair.partition("=")
        parameters[name] = kinds[name](value)
    return faults.Fault(faults.FaultKind(row["fault"]), **parameters)


class TestSituations:
    @pytest.mark.parametrize("outcome", Outcome)
    def test_every_outcome_has_a_situation(self, outcome: Outcome, documented_outcomes: Rows) -> None:
        assert outcome in {row["outcome"] for row in documented_outcomes}

    def test_every_situation_names_a_known_outcome_grade_and_owner(self, documented_outcomes: Rows) -> None:
        for row in documented_outcomes:
            assert Outcome(row["outcome"])
            assert all(Grade(grade) for grade in row["grade"].split(", "))
            assert row["whose"] in OWNERS, row

    def test_every_situation_says_what_to_do(self, documented_outcomes: Rows) -> None:
        assert [row for row in documented_outcomes if not row["what to do"] or not row["situation"]] == []

    def test_no_two_situations_have_the_same_outcome_and_reason_but_a_healthy_call(
        self, documented_outcomes: Rows
    ) -> None:
        pairs = [(row["outcome"], row["reason"]) for row in documented_outcomes]
        twice = {pair for pair in pairs if pairs.count(pair) > 1}
        assert twice == {("reached", "–")}

    def test_the_grade_of_a_call_that_was_not_reached_is_the_documented_one(self, documented_outcomes: Rows) -> None:
        for row in documented_outcomes:
            outcome = Outcome(row["outcome"])
            if outcome is not Outcome.REACHED:
                assert grade_of(outcome, _reason(row["reason"])) == row["grade"], row


class TestFinalResponses:
    def test_a_final_response_has_its_documented_outcome(self, documented_responses: Rows) -> None:
        for row in documented_responses:
            outcome, reason = judge_status(int(row["status"]))
            assert (outcome, reason) == (row["outcome"], _reason(row["reason"])), row

    def test_every_response_with_a_meaning_of_its_own_is_documented(self, documented_responses: Rows) -> None:
        documented = {int(row["status"]) for row in documented_responses}
        general = {judge_status(status)[1] for status in (300, 399)} | {"redirected"}
        special = {
            status
            for status in range(300, 700)
            if judge_status(status)[1] not in general and judge_status(status)[1] != f"status_{status}"
        }
        assert special <= documented

    def test_each_such_pair_of_outcome_and_reason_is_a_situation(
        self, documented_responses: Rows, documented_outcomes: Rows
    ) -> None:
        situations = {(row["outcome"], row["reason"]) for row in documented_outcomes}
        for row in documented_responses:
            reason = "status_<code>" if row["reason"] == f"status_{row['status']}" else row["reason"]
            assert (row["outcome"], reason) in situations, row


class TestConnections:
    def test_each_reason_of_tls_is_documented_and_none_else(self, documented_outcomes: Rows) -> None:
        documented = [row["reason"] for row in documented_outcomes if row["outcome"] == Outcome.TLS_FAILED]
        assert documented == list(REASONS)

    @pytest.mark.parametrize(
        "reason", ["connection_refused", "no_route_to_host", "connection_lost", "connect_timeout", *REASONS]
    )
    def test_a_connection_that_failed_has_its_documented_outcome(self, reason: str, documented_outcomes: Rows) -> None:
        (row,) = [row for row in documented_outcomes if row["reason"] == reason]
        assert judge_connection(reason) == (row["outcome"], reason)

    def test_an_icmp_error_is_unreachable(self) -> None:
        assert judge_connection("icmp") == (Outcome.UNREACHABLE, "icmp")


class TestInvalidMeasurements:
    def test_every_reason_of_the_media_engine_is_documented(self, documented_invalid_reasons: Rows) -> None:
        documented = {row["reason"] for row in documented_invalid_reasons}
        assert set(INVALID_REASONS) <= documented

    def test_each_says_what_to_do_here(self, documented_invalid_reasons: Rows) -> None:
        assert [row for row in documented_invalid_reasons if not row["what to do"]] == []


class TestAdvisories:
    def test_every_advisory_is_documented_and_none_else(self, documented_advisories: Rows) -> None:
        assert [row["advisory"] for row in documented_advisories] == list(Advisory)

    def test_an_advisory_is_the_room_s_and_never_the_carrier_s(self, documented_advisories: Rows) -> None:
        assert {row["whose"] for row in documented_advisories} == {"room"}

    def test_a_fault_that_shows_as_an_advisory_names_it(
        self, documented_faults: Rows, documented_advisories: Rows
    ) -> None:
        """What the room does is told as "…: advisory `name`"."""
        known = {row["advisory"] for row in documented_advisories}
        for row in documented_faults:
            _, _, named = row["what the room does"].partition(": advisory ")
            assert faults.expected_advisories(_fault(row)) == ((named.strip("`"),) if named else ()), row
            assert not named or named.strip("`") in known

    def test_each_says_what_was_found_and_what_to_do(self, documented_advisories: Rows) -> None:
        assert [row for row in documented_advisories if not row["what was found"] or not row["what to do"]] == []


class TestSimulatedFaults:
    @pytest.mark.parametrize("kind", faults.FaultKind)
    def test_every_fault_that_can_be_planted_is_documented(
        self, kind: faults.FaultKind, documented_faults: Rows
    ) -> None:
        assert kind in {row["fault"] for row in documented_faults}

    def test_a_fault_shows_as_documented(self, documented_faults: Rows) -> None:
        for row in documented_faults:
            fault = _fault(row)
            assert faults.expected(fault) == (row["outcome"], row["grade"]), row
            assert faults.expected_reason(fault) == _reason(row["reason"]), row

    def test_a_documented_fault_is_found_beyond_doubt(self, documented_faults: Rows) -> None:
        certain = {row["fault"]: faults.is_certain(fault) for row in documented_faults if (fault := _fault(row))}
        assert [kind for kind, sure in certain.items() if not sure] == []

    def test_a_fault_s_outcome_and_grade_stand_among_the_situations(
        self, documented_faults: Rows, documented_outcomes: Rows
    ) -> None:
        situations = {(row["outcome"], grade) for row in documented_outcomes for grade in row["grade"].split(", ")}
        assert {(row["outcome"], row["grade"]) for row in documented_faults} <= situations

    def test_the_parameters_of_the_table_are_those_of_a_fault_plan(self, documented_faults: Rows) -> None:
        names = {field.name for field in dataclasses.fields(faults.Fault)}
        used = {pair.partition("=")[0] for row in documented_faults for pair in row["with"].replace("–", "").split()}
        assert used
        assert used <= names

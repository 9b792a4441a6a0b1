from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from bridge_monitor.domain import Advisory, EventPhase, Grade, Outcome, SiteGrade
from bridge_monitor.domain.wording import (
    ADVISORIES,
    GRADES,
    INVALID_REASONS,
    OWNERS,
    PHASES,
    SITE_GRADES,
    Owner,
    Text,
    advisory_step,
    advisory_text,
    grade_text,
    invalid_text,
    next_step,
    outcome_text,
    owner_of,
    phase_text,
    site_grade_text,
)

Check = Callable[[Text], str | None]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_words_whatever_its_reason(outcome: Outcome) -> None:
    """A detail that has no words of its own is shown as it is."""
    assert outcome_text(outcome, "status_499", "en") == f"{outcome_text(outcome, None, 'en')} (status_499)"
    assert next_step(outcome, "status_499", "vi") == next_step(outcome, None, "vi")
    assert owner_of(outcome, "status_499") is owner_of(outcome, None)


@pytest.mark.parametrize(
    ("table", "members"),
    [(GRADES, Grade), (SITE_GRADES, SiteGrade), (PHASES, EventPhase), (OWNERS, Owner)],
    ids=["grades", "site grades", "phases", "owners"],
)
def test_every_member_speaks_both_languages(table: Mapping[Any, Text], members: Any, fault_of: Check) -> None:
    assert set(table) == set(members)
    for text in table.values():
        assert fault_of(text) is None


def test_the_words_are_the_glossarys() -> None:
    assert [grade_text(grade, "vi") for grade in Grade][:4] == ["tốt", "suy giảm", "không đạt", "đang bận"]
    assert site_grade_text(SiteGrade.UNTESTED, "vi") == "chưa kiểm tra"
    assert site_grade_text(SiteGrade.FAILED, "en") == "failed"
    assert phase_text(EventPhase.REHEARSAL, "vi") == "đang kiểm tra đường truyền"


def test_an_invalid_measurement_says_why(documented_invalid_reasons: list[dict[str, str]], fault_of: Check) -> None:
    assert {row["reason"] for row in documented_invalid_reasons} == set(INVALID_REASONS)
    for reason, text in INVALID_REASONS.items():
        assert fault_of(text) is None
        assert invalid_text(reason, "vi") == text.vi
    assert invalid_text("no_free_port", "vi") == "no_free_port"
    assert invalid_text("resolver_timeout", "en") == "our own DNS servers don't answer"


def test_an_advisory_says_what_was_found_and_what_to_do(fault_of: Check) -> None:
    assert set(ADVISORIES) == set(Advisory)
    for advisory, advice in ADVISORIES.items():
        assert fault_of(advice.means) is None
        assert fault_of(advice.todo) is None
        assert advisory_text(advisory, "vi") == advice.means.vi
        assert advisory_step(advisory, "en") == advice.todo.en
    assert (advisory_text("lights_out", "vi"), advisory_step("lights_out", "vi")) == ("lights_out", "")

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from bridge_monitor.domain import Outcome
from bridge_monitor.domain.situations import SITUATIONS, Lang, Situation, Text
from bridge_monitor.domain.wording import OWNERS, next_step, outcome_text, owner_of, owner_text

LANGUAGES: tuple[Lang, ...] = get_args(Lang)


@pytest.mark.parametrize(("key", "situation"), SITUATIONS.items(), ids=str)
def test_every_situation_speaks_both_languages(
    key: tuple[Outcome, str | None], situation: Situation, fault_of: Callable[[Text], str | None]
) -> None:
    assert fault_of(situation.means) is None
    assert fault_of(situation.todo) is None
    for lang in LANGUAGES:
        assert outcome_text(*key, lang) == situation.means.of(lang)
        assert next_step(*key, lang) == situation.todo.of(lang)
        assert owner_text(*key, lang) == OWNERS[situation.owner].of(lang)


def test_a_situation_has_the_owner_that_the_document_names(documented_outcomes: list[dict[str, str]]) -> None:
    assert documented_outcomes
    for row in documented_outcomes:
        reason = None if row["reason"] == "–" or row["reason"].startswith("<") else row["reason"]
        assert owner_of(Outcome(row["outcome"]), reason) == row["whose"], row


def test_a_reason_that_the_document_names_has_words(documented_outcomes: list[dict[str, str]]) -> None:
    named = {(row["outcome"], row["reason"]) for row in documented_outcomes if "<" not in row["reason"]}
    assert {(outcome, None if reason == "–" else reason) for outcome, reason in named} <= set(SITUATIONS)

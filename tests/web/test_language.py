"""Messages exist in both languages with the same places to fill."""

from __future__ import annotations

from string import Formatter

import pytest

from bridge_monitor.web.language import MESSAGES


@pytest.mark.parametrize("key", MESSAGES)
def test_a_message_says_the_same_in_both_languages(key: str) -> None:
    fields = {
        language: {name for _, name, _, _ in Formatter().parse(text) if name}
        for language, text in MESSAGES[key].items()
    }
    assert set(fields) == {"vi", "en"}
    assert fields["vi"] == fields["en"]
    assert MESSAGES[key]["vi"] != MESSAGES[key]["en"]

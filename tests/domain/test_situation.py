"""The shapes of situations."""

from __future__ import annotations

import pytest

from bridge_monitor.domain.situation import Lang, Owner, Text


@pytest.mark.parametrize(("lang", "expected"), [("vi", "không"), ("en", "no")])
def test_a_text_speaks_the_language_asked_for(lang: Lang, expected: str) -> None:
    assert Text("không", "no").of(lang) == expected


def test_an_owner_is_written_as_the_document_has_it() -> None:
    assert [str(owner) for owner in Owner] == ["room", "carrier", "province", "ours", "nobody"]

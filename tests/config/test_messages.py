from __future__ import annotations

import string

import pytest

from bridge_monitor.config import messages_credentials, messages_documents, messages_tables
from bridge_monitor.config.messages import CATALOGUE, DID_YOU_MEAN


def names(pattern: str) -> set[str]:
    return {name.split(":")[0] for _, name, _, _ in string.Formatter().parse(pattern) if name}


@pytest.mark.parametrize("key", sorted(CATALOGUE))
def test_a_message_names_the_same_facts_in_both_languages(key: str) -> None:
    message = CATALOGUE[key]
    assert names(message.what_en) == names(message.what_vi)
    assert names(message.mend_en) == names(message.mend_vi)


@pytest.mark.parametrize("key", sorted(CATALOGUE))
def test_a_message_is_translated_and_fits_between_other_words(key: str) -> None:
    message = CATALOGUE[key]
    for english, vietnamese in ((message.what_en, message.what_vi), (message.mend_en, message.mend_vi)):
        assert english != vietnamese
        for text in (english, vietnamese):
            assert text == text.strip()
            assert not text.endswith((".", ";", ":"))


def test_no_key_stands_for_two_messages() -> None:
    parts = (messages_tables, messages_documents, messages_credentials)
    assert len(CATALOGUE) == sum(len(part.MESSAGES) for part in parts)


def test_a_guess_is_asked_in_both_languages() -> None:
    assert [DID_YOU_MEAN[lang].format(guess="sip") for lang in ("en", "vi")] == [
        "did you mean 'sip'? Else ",
        "có phải ý là 'sip'? Nếu không, ",
    ]

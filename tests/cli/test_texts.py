"""The commands' sentences: whole in both languages, none missing, none left over."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from bridge_monitor.cli import result_view
from bridge_monitor.cli.texts import _TEXTS, refusal, text
from bridge_monitor.domain.wording import Lang

SOURCES = sorted((Path(__file__).resolve().parents[2] / "bridge_monitor" / "cli").glob("*.py"))
# Put together from parts: text("refused_" + reason), text("span_" + kind), columns of tables.
PREFIXES = ("refused_", "span_", "account_", "secret_")
REASONS = {
    *("outside_window", "quiet_hours", "guard", "conference", "site_in_call", "too_soon", "cap", "unknown_site"),
    *("not_testable", "daemon_running", "daemon_silent", "call_longer_than_window", "bandwidth_above_cap"),
}


def places(pattern: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}


def strings_of_the_sources() -> set[str]:
    """Return every string constant of the command line's modules, but for the catalogue itself."""
    found = set()
    for path in SOURCES:
        if path.name != "texts.py":
            tree = ast.parse(path.read_text("utf-8"))
            found |= {
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return found


@pytest.mark.parametrize("key", _TEXTS)
def test_a_sentence_stands_in_both_languages_with_the_same_places(key: str) -> None:
    vietnamese, english = _TEXTS[key]
    assert vietnamese.strip()
    assert english.strip()
    assert places(vietnamese) == places(english)
    assert english.isascii() or set(english) & set("…–")


def test_sentences_are_vietnamese_not_left_in_english() -> None:
    same = {key for key, (vietnamese, english) in _TEXTS.items() if vietnamese == english}
    assert same == set()
    unaccented = [key for key, (vietnamese, _) in _TEXTS.items() if len(vietnamese) > 12 and vietnamese.isascii()]
    assert unaccented == []


def test_every_sentence_is_used_and_none_is_missing() -> None:
    used = strings_of_the_sources()
    unused = {key for key in _TEXTS if key not in used and not key.startswith(PREFIXES)}
    assert unused == set()
    for path in SOURCES:
        for key in re.findall(r'\btext\(\s*"([a-z_]+)"\s*,', path.read_text("utf-8")):
            assert key in _TEXTS, f"{path.name} uses {key}"


@pytest.mark.parametrize("reason", sorted(REASONS))
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_each_refusal_is_explained(reason: str, lang: Lang) -> None:
    assert len(refusal(reason, lang).split()) > 3


def test_a_refusal_without_words_is_told_by_its_name() -> None:
    assert refusal("of_a_newer_daemon", "vi") == "of_a_newer_daemon"


def test_places_are_filled_in() -> None:
    assert text("sweep_cut", "en", count=7) == "The time for test calls is over: 7 sites did not have their turn."
    assert "7" in text("sweep_cut", "vi", count=7)


def test_labels_of_results_stand_in_both_languages() -> None:
    for vietnamese, english in result_view._LABELS.values():
        assert vietnamese
        assert english

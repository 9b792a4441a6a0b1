from __future__ import annotations

import pytest

from bridge_monitor.cli.level_view import LEVELS, level_line
from bridge_monitor.domain import MediaResult
from bridge_monitor.domain.wording import Lang


def stream(level: float | None, active: float | None = 0.0) -> MediaResult:
    return MediaResult("audio", "PCMU", None, None, None, None, None, audio_level_dbov=level, audio_active_ratio=active)


def shown(level: float | None, lang: Lang = "en", active: float | None = 0.0) -> str:
    line = level_line(stream(level, active), lang)
    assert line is not None
    return line.plain


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (-127.0, "digital silence"),
        (-126.9, "next to silence"),
        (-70.1, "next to silence"),
        (-62.0, "background noise alone"),
        (-50.0, "faint sound"),
        (-25.0, "clear sound"),
        (-6.0, "very loud"),
        (0.0, "very loud"),
    ],
)
def test_a_level_is_told_in_words(level: float, words: str) -> None:
    assert words in shown(level)


@pytest.mark.parametrize(("level", "cells"), [(-127.0, 0), (-80.0, 0), (-60.0, 5), (-40.0, 10), (0.0, 20)])
def test_the_bar_is_longer_the_louder_the_room(level: float, cells: int) -> None:
    line = shown(level)
    assert (line.count("█"), line.count("░")) == (cells, 20 - cells)


def test_it_says_how_much_of_the_time_was_more_than_noise() -> None:
    assert "−31.6 dBov" in shown(-31.55, active=0.4)
    assert shown(-31.55, active=0.4).endswith("above −60 dBov for 40 % of the time")
    assert "of the time" not in shown(-65.0)


def test_an_echo_has_no_line() -> None:
    assert level_line(stream(None, None), "vi") is None


def test_both_languages_are_spoken() -> None:
    assert shown(-25.0, "vi", 1.0) == (
        "Âm thanh từ điểm cầu  " + "█" * 14 + "░" * 6 + " −25.0 dBov  có tiếng rõ, trên −60 dBov trong 100 % thời gian"
    )
    assert len({words.vi for _, words, _ in LEVELS}) == len({words.en for _, words, _ in LEVELS}) == len(LEVELS)

from __future__ import annotations

from bridge_monitor.domain.situation import Text


def test_a_text_is_given_in_the_language_asked_for() -> None:
    text = Text("tiếng Việt", "English")
    assert (text.of("vi"), text.of("en")) == ("tiếng Việt", "English")

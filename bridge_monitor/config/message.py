"""The shape of a message about the operator's files."""

from __future__ import annotations

from typing import NamedTuple

from bridge_monitor.domain.wording import Lang


class Message(NamedTuple):
    """What is wrong and how to mend it, in both languages; a warning doesn't keep the files from being used."""

    what_en: str
    mend_en: str
    what_vi: str
    mend_vi: str
    warning: bool = False

    def texts(self, lang: Lang) -> tuple[str, str]:
        """Return the two patterns in one language."""
        return (self.what_vi, self.mend_vi) if lang == "vi" else (self.what_en, self.mend_en)

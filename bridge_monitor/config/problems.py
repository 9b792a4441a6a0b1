"""Collects the problems of all files, so that the operator sees every one at once.

Owns the collecting and the guesses at what was meant; must not read files.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

from bridge_monitor.config.messages import CATALOGUE, DID_YOU_MEAN
from bridge_monitor.domain.wording import Lang
from bridge_monitor.errors import Problem

_GUESSABLE = 500  # beyond so many names a close match is chance, and slow to find
_LONGEST_CODE = 8
_LISTED = 30


class Problems:
    """All problems found so far.

    Args:
        lang: Language of their texts.
    """

    def __init__(self, lang: Lang) -> None:
        self._lang = lang
        self._found: list[Problem] = []

    def add(self, file: str, line: int, key: str, /, *, guess: str | None = None, **facts: Any) -> None:
        """Note a problem of the catalogue.

        Args:
            file: The file as the operator named it.
            line: Its line, from 1; 0 for the whole file.
            key: Key of its message.
            guess: What was probably meant; is put before the mend.
            **facts: What the message's patterns name.
        """
        message = CATALOGUE[key]
        what, mend = message.texts(self._lang)
        if guess is not None:
            mend = DID_YOU_MEAN[self._lang] + mend
        facts["guess"] = guess
        self._found.append(Problem(file, line, what.format(**facts), mend.format(**facts), message.warning))

    def all(self) -> tuple[Problem, ...]:
        """Return every problem, errors and warnings, in file and line order."""
        return tuple(sorted(self._found))

    def warnings(self) -> tuple[Problem, ...]:
        """Return the warnings, in file and line order."""
        return tuple(problem for problem in self.all() if problem.warning)

    @property
    def fatal(self) -> bool:
        """Whether anything found keeps the files from being used."""
        return any(not problem.warning for problem in self._found)


def guess_name(word: str, known: Collection[str]) -> str | None:
    """Return the known name that was probably meant, or None."""
    if len(known) > _GUESSABLE:
        return None
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return by_folded[close[0]] if close else None


def guess_code(word: str, known: Collection[str]) -> str | None:
    """Return the known code that was probably meant: first the one whose leading zeros a spreadsheet ate."""
    for width in range(len(word) + 1, _LONGEST_CODE + 1):
        if word.zfill(width) in known:
            return word.zfill(width)
    return guess_name(word, known)


def listing(names: Collection[str]) -> str:
    """Return names for a mend; of very many, the first ones."""
    shown = list(names)[:_LISTED]
    return (", ".join(shown) or "–") + (", …" if len(names) > len(shown) else "")

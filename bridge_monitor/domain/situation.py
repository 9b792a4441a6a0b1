"""What one way to end is: what it means, whose it is, what to do next, in Vietnamese and English.

Owns the shapes; the situations themselves stand in `domain.situations` and the tables that it joins.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Lang = Literal["vi", "en"]


class Owner(StrEnum):
    """Who can mend a fault, as the column "whose" of ``docs/outcomes.md``.

    ``room``: its technician on call. ``carrier``: who provides its line. ``province``: who keeps addresses, accounts
    and bridges, in the province or at the centre. ``ours``: whoever runs this program.
    """

    ROOM = "room"
    CARRIER = "carrier"
    PROVINCE = "province"
    OURS = "ours"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Text:
    """One text in both languages."""

    vi: str
    en: str

    def of(self, lang: Lang) -> str:
        """Return it in this language."""
        return self.vi if lang == "vi" else self.en


@dataclass(frozen=True, slots=True)
class Situation:
    """What a call can end with: what it means, whose it is, what to do next."""

    owner: Owner
    means: Text
    todo: Text

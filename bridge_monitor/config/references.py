"""The names that the other files may refer to: sites, provinces and carriers of the site list.

Owns these checks; must not read files.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bridge_monitor.config.problems import Problems, guess_code, guess_name, listing


@dataclass(frozen=True, slots=True)
class Known:
    """What the site list holds.

    Attributes:
        tier: Name of the provinces' tier.
        provinces: Their codes.
        carriers: Names of all carriers, in the list's order.
        sites: Codes of all sites.
    """

    tier: str
    provinces: Collection[str]
    carriers: Collection[str]
    sites: Collection[str]

    def check_province(self, problems: Problems, file: str, line: int, code: str) -> None:
        """Note a code that is no province's."""
        if code not in self.provinces:
            guess = guess_code(code, self.provinces)
            problems.add(file, line, "unknown_province", code=code, tier=self.tier, guess=guess)

    def check_carrier(self, problems: Problems, file: str, line: int, name: str) -> None:
        """Note a name that is no carrier's."""
        if name not in self.carriers:
            guess = guess_name(name, self.carriers)
            problems.add(file, line, "unknown_carrier", name=name, known=listing(self.carriers), guess=guess)

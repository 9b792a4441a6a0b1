"""The diagnosis's settings: how much evidence turns a verdict.

Owns their meaning, defaults and bounds; must not read files (`config` parses into these).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How many results turn a site's verdict.

    Attributes:
        bad_of: So many results at least as bad, among the last `window`, make a site's grade worse.
        window: How many valid results are looked at.
        good_in_row: So many better results, one after the other, make it better.

    Raises:
        ValueError: `bad_of` or `good_in_row` is not in 1…`window`.
    """

    bad_of: int = 2
    window: int = 3
    good_in_row: int = 2

    def __post_init__(self) -> None:
        for name, count in (("bad_of", self.bad_of), ("good_in_row", self.good_in_row)):
            if not 1 <= count <= self.window:
                raise ValueError(f"{name} must be between 1 and window ({self.window}); it is {count}")

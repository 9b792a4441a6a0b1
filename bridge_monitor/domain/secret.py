"""A secret that can be carried about and not be shown: no text, log, traceback or JSON has more of it than ``***``.

Owns that rule; must not know what a secret is for or where it came from.
"""

from __future__ import annotations

import hmac
from typing import Any, Final, NoReturn

MASK: Final = "***"
"""What is shown instead."""


class Secret:
    """A password.

    Args:
        value: Its text; only `reveal` gives it back.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text. Use it at once and keep it nowhere."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Secret:
        # So that `dataclasses.asdict` of what holds one still shows nothing.
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret isn't written anywhere")

"""A table whose entries run out, of bounded size: what DNS said, and which hosts have failed.

Owns time of life and bound; must not know what is kept, nor a clock: `now` is passed in, monotonic, in seconds.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Expiring(Generic[_Key, _Value]):
    """At most so many values by key, each until its time.

    Args:
        most: So many are kept; what is put in beyond them takes the place of the oldest.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[_Key, tuple[float, _Value]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: _Key, now: float) -> _Value | None:
        """Return the value, or None if there is none or its time is over."""
        kept = self._kept.get(key)
        return None if kept is None or kept[0] <= now else kept[1]

    def put(self, key: _Key, value: _Value, now: float, *, until: float) -> None:
        """Keep a value until a time; one of the same key goes."""
        self._kept.pop(key, None)
        if until <= now:
            return
        if len(self._kept) >= self._most:
            self._kept = {known: kept for known, kept in self._kept.items() if kept[0] > now}
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (until, value)

    def forget(self, key: _Key) -> None:
        """Drop a value."""
        self._kept.pop(key, None)

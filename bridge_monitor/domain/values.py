"""Dataclasses for what a call makes by the hundred: ``frozen=True`` is the type checker's to enforce, not the run's.

Use `dataclass` from here as that of the standard library. Its guard writes each field through ``object.__setattr__``,
five times as dear as an assignment, and a call has some four hundred. What leaves a call (`results`, `evidence`) keeps
the guard. Equality, hash, order and text are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - handed on
else:
    import dataclasses

    def dataclass(cls: type | None = None, /, *, frozen: bool = False, eq: bool = True, **options: bool) -> Any:
        """Return the decorator's class as `dataclasses.dataclass` makes it, but not guarded."""
        hashed = {"unsafe_hash": True} if frozen and eq else {}
        return dataclasses.dataclass(cls, eq=eq, **hashed, **options)

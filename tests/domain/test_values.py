"""The dataclasses without a guard are those of the standard library in all but the guard."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from bridge_monitor.domain.values import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Quick:
    """A value of a call."""

    number: int
    words: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Guarded:
    """The same with the guard."""

    number: int
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Itself:
    """Equal to nothing but itself."""

    number: int


def test_values_are_equal_hashed_ordered_shown_and_copied_as_guarded_ones() -> None:
    quick, guarded = Quick(1, ("a",)), Guarded(1, ("a",))
    assert quick == Quick(1, ("a",)) != Quick(2)
    assert hash(quick) == hash(guarded)
    assert {quick: "kept"}[Quick(1, ("a",))] == "kept"
    assert sorted([Quick(2), quick]) == [quick, Quick(2)]
    assert repr(quick) == repr(guarded).replace("Guarded", "Quick")
    assert dataclasses.replace(quick, number=2) == Quick(2, ("a",))
    assert dataclasses.asdict(quick) == dataclasses.asdict(guarded)
    assert pickle.loads(pickle.dumps(quick)) == quick  # noqa: S301 - our own


def test_a_value_without_equality_is_hashed_by_identity() -> None:
    assert Itself(1) != Itself(1)
    assert len({Itself(1), Itself(1)}) == 2


def test_what_is_no_field_can_t_be_set_on_either() -> None:
    """A slip of the pen in a name is still an error at run time."""
    for value in (Quick(1), Guarded(1)):
        with pytest.raises((AttributeError, TypeError)):
            value.nmber = 2  # type: ignore[attr-defined]

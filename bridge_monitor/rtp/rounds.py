"""Batches in which a row may occur several times, cut into rounds in which each occurs at most once.

Owns nothing but that cut: order within a row is kept, rows don't depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

_RADIX: Final = 1 << 16
"""Rows below this are sorted as 16-bit numbers, which numpy does in time linear in their number."""


def rounds(rows: NDArray[np.int64]) -> Iterator[NDArray[np.intp] | slice]:
    """Yield the places of each round: first every row's first packet, then its second, and so on.

    Within a round rows ascend, so that arrays of all rows are reached in the order of memory.

    Args:
        rows: Row of each packet, in order of arrival.
    """
    if (rows[1:] > rows[:-1]).all():
        yield slice(None)
        return
    order = _stable(rows)
    ordered = rows[order]
    again = np.empty(len(rows), np.bool_)
    again[0] = False
    np.equal(ordered[1:], ordered[:-1], out=again[1:])
    if not again.any():
        yield order
        return
    starts = np.flatnonzero(~again)
    occurrence = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    by_round = order[_stable(occurrence)]
    start = 0
    for end in np.cumsum(np.bincount(occurrence)).tolist():
        yield by_round[start:end]
        start = end


def reach(rows: NDArray[np.int64]) -> NDArray[np.int64] | slice:
    """Return different rows in ascending order as a slice, which reaches arrays without copies, if none is left out."""
    first, stop = int(rows[0]), int(rows[-1]) + 1
    return slice(first, stop) if stop - first == len(rows) else rows


def _stable(numbers: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the places of small numbers in ascending order, equal ones in order of place."""
    if numbers.max() < _RADIX:
        return np.argsort(numbers.astype(np.uint16), kind="stable")
    return np.argsort(numbers, kind="stable")

"""Batches in which a row may occur several times, cut into rounds in which each occurs at most once.

Owns nothing but that cut: order within a row is kept, rows don't depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def rounds(rows: NDArray[np.int64], scratch: NDArray[np.int64]) -> Iterator[NDArray[np.intp] | slice]:
    """Yield the places of each round: first every row's first packet, then its second, and so on.

    Args:
        rows: Row of each packet, in order of arrival.
        scratch: One number a row, overwritten.
    """
    places = np.arange(len(rows))
    scratch[rows] = places
    if (scratch[rows] == places).all():  # each write survived: no row occurs twice, the usual case
        yield slice(None)
        return
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    first = np.empty(len(rows), np.bool_)
    first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    occurrence = places - np.repeat(starts, np.diff(starts, append=len(rows)))
    by_round = order[np.argsort(occurrence, kind="stable")]
    ends = np.cumsum(np.bincount(occurrence))
    start = 0
    for end in ends.tolist():
        yield by_round[start:end]
        start = end


def neighbours(rows: NDArray[np.int64]) -> slice | None:
    """Return different rows as a slice, by which arrays are reached without copies, if they are neighbours in order."""
    first, stop = int(rows[0]), int(rows[-1]) + 1
    if stop - first == len(rows) and (rows[1:] > rows[:-1]).all():
        return slice(first, stop)
    return None

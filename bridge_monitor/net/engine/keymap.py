"""A map from 64-bit keys to rows that answers for thousands of keys at once, and changes one key at a time.

Owns two hash tables as arrays (a key lies at one of two places) and a small overflow. Sorted tables would have to be
sorted anew after every call that begins or ends: hundreds of times a second.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

NO_ROW: Final = -1
_EMPTY: Final = -1  # no key is negative
_PLACES_PER_KEY: Final = 16
_WORD: Final = 0xFFFF_FFFF_FFFF_FFFF
_MULTIPLIERS: Final = (0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F)
"""Odd numbers; the product's upper bits depend on all bits of the key (Knuth, TAOCP 6.4)."""


class KeyMap:
    """The map.

    Args:
        keys: About how many keys there will be; more are taken, more slowly.
    """

    def __init__(self, keys: int) -> None:
        bits = max(4, (keys * _PLACES_PER_KEY - 1).bit_length())
        self._shift = 64 - bits
        self._keys: list[Ints] = [np.full(1 << bits, _EMPTY, np.int64) for _ in _MULTIPLIERS]
        self._rows: list[Ints] = [np.full(1 << bits, NO_ROW, np.int64) for _ in _MULTIPLIERS]
        self._overflow: dict[int, int] = {}

    def put(self, key: int, row: int) -> None:
        """Map a key (not negative) to a row, whatever it was mapped to before."""
        first, second = self._places(key)
        here, there = self._keys[0].item(first), self._keys[1].item(second)
        if here == key or (here == _EMPTY and there != key and key not in self._overflow):
            self._keys[0][first] = key
            self._rows[0][first] = row
        elif there == key or (there == _EMPTY and key not in self._overflow):
            self._keys[1][second] = key
            self._rows[1][second] = row
        else:
            self._overflow[key] = row

    def discard(self, key: int) -> None:
        """Forget a key, if it is known."""
        for table, place in enumerate(self._places(key)):
            if self._keys[table].item(place) == key:
                self._keys[table][place] = _EMPTY
                self._rows[table][place] = NO_ROW
                return
        self._overflow.pop(key, None)

    def find(self, keys: Ints) -> Ints:
        """Return the row of each key, `NO_ROW` where it is unknown."""
        words = keys.view(np.uint64)
        place = words * np.uint64(_MULTIPLIERS[0]) >> np.uint64(self._shift)
        rows: Ints = self._rows[0][place]
        missed = np.flatnonzero(self._keys[0][place] != keys)
        if missed.size:
            place = words[missed] * np.uint64(_MULTIPLIERS[1]) >> np.uint64(self._shift)
            rows[missed] = np.where(self._keys[1][place] == keys[missed], self._rows[1][place], NO_ROW)
            if self._overflow:
                for at in missed[rows[missed] == NO_ROW].tolist():
                    rows[at] = self._overflow.get(int(keys[at]), NO_ROW)
        return rows

    def _places(self, key: int) -> tuple[int, int]:
        """Return a key's two places: it lies at one of them, or in the overflow."""
        first, second = _MULTIPLIERS
        return (key * first & _WORD) >> self._shift, (key * second & _WORD) >> self._shift

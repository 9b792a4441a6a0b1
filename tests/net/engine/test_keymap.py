"""`net.engine.keymap`: the same as a dictionary, for many keys at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.net.engine.keymap import NO_ROW, KeyMap

KEYS = st.integers(0, 40) | st.integers(0, 2**63 - 1)
CHANGES = st.lists(st.tuples(KEYS, st.integers(0, 9) | st.none()), max_size=120)


def _find(keymap: KeyMap, keys: list[int]) -> list[int]:
    return keymap.find(np.array(keys, np.int64)).tolist()


@given(CHANGES)
def test_it_answers_as_a_dictionary_does_however_full_it_is(changes: list[tuple[int, int | None]]) -> None:
    """Made for one key, it is given dozens: places collide and the overflow is used."""
    keymap, model = KeyMap(1), {}
    for key, row in changes:
        if row is None:
            keymap.discard(key)
            model.pop(key, None)
        else:
            keymap.put(key, row)
            model[key] = row
        asked = [key for key, _ in changes]
        assert _find(keymap, asked) == [model.get(key, NO_ROW) for key in asked]


def test_a_nation_s_keys_hardly_ever_need_the_overflow() -> None:
    """Neighbouring addresses and ports, as real calls have, spread over both tables."""
    keymap = KeyMap(3000)
    keys = [pair << 48 | (0x7F010000 + number) << 16 | 4000 + 2 * number for number in range(94) for pair in range(32)]
    for row, key in enumerate(keys):
        keymap.put(key, row)
    assert _find(keymap, keys) == list(range(len(keys)))
    assert len(keymap._overflow) < len(keys) / 100


def test_no_keys_have_no_rows() -> None:
    assert _find(KeyMap(5), []) == []

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.rtp.rounds import reach, rounds


def cut(rows: list[int]) -> list[list[int]]:
    """Return the places of each round as lists."""
    given_rows = np.array(rows, np.int64)
    places = np.arange(len(rows))
    return [places[chosen].tolist() for chosen in rounds(given_rows)]


def test_a_batch_without_repeated_rows_is_one_round():
    assert cut([3, 1, 2]) == [[1, 2, 0]]


def test_a_row_s_second_packet_waits_for_the_second_round():
    assert cut([5, 7, 5, 5, 7]) == [[0, 1], [2, 4], [3]]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_rounds_cover_the_batch_once_and_keep_each_row_s_order(rows: list[int]):
    """Every place comes once, each round's rows ascend, none twice, and a row's places ascend from round to round."""
    got = cut(rows)
    assert sorted(place for chosen in got for place in chosen) == list(range(len(rows)))
    for chosen in got:
        assert [rows[place] for place in chosen] == sorted({rows[place] for place in chosen})
    for row in set(rows):
        places = [place for chosen in got for place in chosen if rows[place] == row]
        assert places == sorted(places)


@given(st.lists(st.sampled_from([0, 1, 65_535, 65_536, 1 << 40]), min_size=1, max_size=12))
def test_rows_of_any_size_are_cut_alike(rows: list[int]):
    """Rows that don't fit sixteen bits are sorted another way."""
    small = sorted(set(rows))
    assert cut(rows) == cut([small.index(row) for row in rows])


@given(st.sets(st.integers(0, 12), min_size=1))
def test_only_rows_that_follow_each_other_without_a_gap_are_reached_by_a_slice(chosen: set[int]):
    """The slice stands for just those rows; everything else stays a list of them."""
    rows = np.array(sorted(chosen))
    reached = reach(rows)
    assert isinstance(reached, slice) == (max(chosen) - min(chosen) + 1 == len(chosen))
    assert np.arange(13)[reached].tolist() == rows.tolist()

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.rtp.rounds import neighbours, rounds


def cut(rows: list[int]) -> list[list[int]]:
    """Return the places of each round as lists."""
    given_rows = np.array(rows, np.int64)
    places = np.arange(len(rows))
    return [places[chosen].tolist() for chosen in rounds(given_rows, np.zeros(10, np.int64))]


def test_a_batch_without_repeated_rows_is_one_round():
    assert cut([3, 1, 2]) == [[0, 1, 2]]


def test_a_row_s_second_packet_waits_for_the_second_round():
    assert cut([5, 7, 5, 5, 7]) == [[0, 1], [2, 4], [3]]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_rounds_cover_the_batch_once_and_keep_each_row_s_order(rows: list[int]):
    """Every place comes once, no round repeats a row, and a row's places ascend from round to round."""
    got = cut(rows)
    assert sorted(place for chosen in got for place in chosen) == list(range(len(rows)))
    for chosen in got:
        assert len({rows[place] for place in chosen}) == len(chosen)
    for row in set(rows):
        places = [place for chosen in got for place in chosen if rows[place] == row]
        assert places == sorted(places)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_only_rows_that_follow_each_other_without_a_gap_are_neighbours(rows: list[int]):
    """The slice stands for just those rows in just that order; everything else stays a list of places."""
    near = neighbours(np.array(rows, np.int64))
    assert (near is not None) == (rows == list(range(rows[0], rows[0] + len(rows))))
    if near is not None:
        assert np.arange(10)[near].tolist() == rows


def test_a_repeated_row_that_hides_a_gap_is_no_neighbour():
    assert neighbours(np.array([2, 2, 4])) is None
    assert neighbours(np.array([2, 3, 4])) == slice(2, 5)

from __future__ import annotations

import pytest

from bridge_monitor.diagnosis import Confirmation


def test_two_bad_of_three_and_two_good_in_a_row_are_the_default() -> None:
    assert Confirmation() == Confirmation(bad_of=2, window=3, good_in_row=2)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 3, 2), "bad_of must be between 1 and window"),
        ((4, 3, 2), r"bad_of must be between 1 and window \(3\); it is 4"),
        ((2, 3, 0), "good_in_row must be between 1 and window"),
        ((2, 3, 4), "good_in_row must be between 1 and window"),
        ((1, 0, 1), "bad_of must be between 1 and window"),
    ],
)
def test_impossible_numbers_are_refused(numbers: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Confirmation(*numbers)

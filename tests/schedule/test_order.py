from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.schedule import Plannable
from bridge_monitor.schedule.order import next_slot, sweep_positions


def nation(sizes: dict[str, int]) -> list[Plannable]:
    return [
        Plannable(f"{province}-{index}", "commune", province, "VNPT", 20.0, 9e4)
        for province, size in sizes.items()
        for index in range(size)
    ]


SIZES = {"01": 579, "02": 193, "04": 161, "95": 49, "": 1}


def test_the_order_is_the_seeds_and_not_the_lists() -> None:
    sites = nation(SIZES)
    shuffled = random.Random(1).sample(sites, len(sites))
    assert sweep_positions(sites, "a") == sweep_positions(shuffled, "a")
    assert sweep_positions(sites, "a") != sweep_positions(sites, "b")


def test_positions_are_evenly_spaced_and_each_is_taken_once() -> None:
    positions = sorted(sweep_positions(nation(SIZES), "a").values())
    assert positions == [index / len(positions) for index in range(len(positions))]
    assert sweep_positions([], "a") == {}


def test_every_province_is_equally_far_on_at_any_moment() -> None:
    """After any number of starts each province has had its share of them, within one start and rounding."""
    sites = nation(SIZES)
    positions = sweep_positions(sites, "a")
    done: Counter[str] = Counter()
    for index, site in enumerate(sorted(sites, key=lambda site: positions[site.site]), 1):
        done[site.province] += 1
        for province, size in SIZES.items():
            # The other provinces' offsets move the merged position by at most one start each.
            allowed = 1 + len(SIZES) * size / len(sites)
            assert abs(done[province] - index * size / len(sites)) <= allowed


@given(
    not_before=st.floats(min_value=0, max_value=4e9),
    interval=st.floats(min_value=1, max_value=1e5),
    position=st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_a_slot_comes_within_one_interval_and_returns_after_each(
    not_before: float, interval: float, position: float
) -> None:
    slot = next_slot(not_before, interval, position)
    assert not_before - 1e-5 <= slot <= not_before + interval + 1e-5
    assert next_slot(slot + interval / 2, interval, position) == pytest.approx(slot + interval, abs=1e-4)

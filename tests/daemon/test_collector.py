from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from bridge_monitor.daemon.collector import settle_collector


class _Node:
    """An object that can hold itself."""

    other: _Node | None = None


@pytest.fixture(autouse=True)
def _collector_as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_is_loaded_is_not_looked_at_again() -> None:
    loaded = [[number] for number in range(1000)]
    settle_collector()
    assert gc.get_freeze_count() >= len(loaded)
    assert not any(found is loaded for found in gc.get_objects())


def test_nothing_that_calls_hold_is_looked_at_while_they_are_up() -> None:
    settle_collector()
    before = [generation["collections"] for generation in gc.get_stats()]
    kept = [[number] for number in range(300_000)]
    assert [generation["collections"] for generation in gc.get_stats()] == before
    assert len(kept) == 300_000


def test_what_leaks_in_cycles_goes_in_the_end() -> None:
    settle_collector(backstop=1_000)
    cycle = _Node()
    cycle.other = cycle
    gone = weakref.ref(cycle)
    del cycle
    kept = [[number] for number in range(10_000)]
    assert gone() is None
    assert len(kept) == 10_000

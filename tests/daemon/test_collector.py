from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from bridge_monitor.daemon.collector import settle_collector


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


def test_no_full_collection_comes_by_itself_but_the_young_are_looked_at() -> None:
    settle_collector()
    full_before, young_before = gc.get_stats()[2]["collections"], gc.get_stats()[0]["collections"]
    kept = [[number] for number in range(300_000)]
    assert gc.get_stats()[2]["collections"] == full_before
    assert gc.get_stats()[0]["collections"] > young_before
    assert len(kept) == 300_000

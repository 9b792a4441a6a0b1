"""What is rendered ahead of scrapes, how much at a time, and for how long."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from bridge_monitor.domain import Inventory, Site, Snapshot
from bridge_monitor.web import Exporter
from bridge_monitor.web.freshener import IDLE_STEPS, ROUND_STEPS, STEP_BUSY_SECONDS, Freshener
from bridge_monitor.web.kept_text import RUN_SITES
from tests.web.nation import TIERS, Daemon, national_inventory, result_of, small_inventory, snapshot_of, state_of


class Counting(Exporter):
    """Counts what it is asked to bring up to date."""

    def __init__(self) -> None:
        super().__init__()
        self.freshened = 0

    def freshen(self, snapshot: Snapshot, packets: Mapping[str, Any]) -> int:
        self.freshened += 1
        return super().freshen(snapshot, packets)


def test_every_site_has_its_turn_in_a_round() -> None:
    """A scrape after it finds nothing left to render."""
    inventory = national_inventory(communes=60 * RUN_SITES)
    daemon = Daemon(snapshot_of(inventory, *[state_of(result_of(site.code)) for site in inventory]))
    exporter = Counting()
    freshener = Freshener(exporter, daemon.services(), busy=lambda: 0.0)
    freshener.scraped()
    assert not freshener.step()
    assert 2 <= exporter.freshened < 10
    for _ in range(ROUND_STEPS - 1):
        freshener.step()
    kept = exporter._kept
    assert kept is not None
    assert all(state in daemon.snapshot.states.values() for run in kept.runs() for state in run._states)


def test_what_results_have_changed_is_rendered_in_the_next_step() -> None:
    """Before its turn in the round; a site that has left the inventory is passed over."""
    inventory = national_inventory(communes=60 * RUN_SITES)
    last = list(inventory)[-1]
    daemon = Daemon(snapshot_of(inventory, state_of(result_of(last.code))))
    for site in (last, Site("gone", "Gone", "commune", last.parent)):
        daemon.aggregates.observe(result_of(site.code), site, Inventory([*inventory, site], TIERS))
    exporter = Counting()
    freshener = Freshener(exporter, daemon.services(), busy=lambda: 0.0)
    freshener.step()
    assert daemon.aggregates.news == {last.code, "gone"}, "nobody has scraped yet"
    freshener.scraped()
    freshener.step()
    assert daemon.aggregates.news == set()
    kept = exporter._kept
    assert kept is not None
    run = kept.run_of(last.code)
    assert run is not None
    assert run._states[-1] is daemon.snapshot.states[last.code]


def test_more_news_than_a_step_has_time_for_waits_for_the_next() -> None:
    """As after five minutes without a scrape."""
    inventory = national_inventory(communes=60 * RUN_SITES)
    daemon = Daemon(snapshot_of(inventory))
    daemon.aggregates.news.update(site.code for site in inventory)
    clock = iter([n * STEP_BUSY_SECONDS * 0.4 for n in range(100)])
    freshener = Freshener(Exporter(), daemon.services(), busy=lambda: next(clock))
    freshener.scraped()
    assert freshener.step()
    assert len(daemon.aggregates.news) == len(inventory) - 2


def test_a_step_ends_when_its_time_is_up() -> None:
    """The first round renders every site: a step must not hold up the loop."""
    clock = iter([n * STEP_BUSY_SECONDS * 0.7 for n in range(100)])
    exporter = Counting()
    daemon = Daemon(snapshot_of(national_inventory(communes=60 * RUN_SITES)))
    freshener = Freshener(exporter, daemon.services(), busy=lambda: next(clock))
    freshener.scraped()
    assert freshener.step()
    assert exporter.freshened == 1


def test_nothing_is_rendered_while_nobody_scrapes() -> None:
    """It rests until the first scrape and five minutes after the last; the next one sets it to work again."""
    exporter = Counting()
    freshener = Freshener(exporter, Daemon(snapshot_of(small_inventory())).services())
    freshener.step()
    assert exporter.freshened == 0
    freshener.scraped()
    for _ in range(IDLE_STEPS + 10):
        freshener.step()
    assert exporter.freshened == IDLE_STEPS
    freshener.scraped()
    freshener.step()
    assert exporter.freshened == IDLE_STEPS + 1


async def test_a_resting_freshener_is_woken_by_a_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its task sleeps until then."""
    monkeypatch.setattr("bridge_monitor.web.freshener.STEP_SECONDS", 0)
    monkeypatch.setattr("bridge_monitor.web.freshener.IDLE_STEPS", 3)
    exporter = Counting()
    freshener = Freshener(exporter, Daemon(snapshot_of(small_inventory())).services())
    task = asyncio.create_task(freshener.run())
    for expected in (0, 3, 6):
        for _ in range(20):
            await asyncio.sleep(0)
        assert exporter.freshened == expected
        freshener.scraped()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_rest_is_rendered_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a nation, that a reload has everything rendered anew of, within seconds and not minutes."""
    monkeypatch.setattr("bridge_monitor.web.freshener.STEP_SECONDS", 60)
    monkeypatch.setattr("bridge_monitor.web.freshener.SOON_SECONDS", 0)
    inventory = national_inventory(communes=20 * RUN_SITES)
    daemon = Daemon(snapshot_of(inventory))
    daemon.aggregates.news.update(site.code for site in inventory)
    clock = itertools.count(0, STEP_BUSY_SECONDS * 0.4)
    freshener = Freshener(Exporter(), daemon.services(), busy=lambda: next(clock))
    freshener.scraped()
    task = asyncio.create_task(freshener.run())
    for _ in range(len(inventory)):
        await asyncio.sleep(0)
    assert daemon.aggregates.news == set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_cannot_be_rendered_is_told_once_and_left_to_the_scrape(capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon goes on; the scrape meets the same fault and fails."""
    daemon = Daemon(snapshot_of(small_inventory()))
    object.__setattr__(daemon.snapshot, "states", {"01001": object()})
    freshener = Freshener(Exporter(), daemon.services())
    freshener.scraped()
    await freshener.run()
    assert "metrics_not_rendered_ahead" in capsys.readouterr().out


def test_an_empty_inventory_has_nothing_to_render() -> None:
    """There is no run of sites."""
    exporter = Counting()
    freshener = Freshener(exporter, Daemon(snapshot_of(Inventory([], ("central",)))).services())
    freshener.scraped()
    freshener.step()
    assert exporter.freshened == 1

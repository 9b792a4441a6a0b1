"""The test cards of a process: encoded once, beforehand, and again only after a failure."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bridge_monitor.errors import CardError, LocalFaultError
from bridge_monitor.net.testcard import Card
from bridge_monitor.probes.cards import Cards


class Maker:
    """Makes cards while its gate is open, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.made: list[tuple[str, int, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self._failures = failures

    def encode(self, title: str, bitrate_bps: int, frames_per_second: int) -> Card:
        assert self.gate.wait(10)
        self.made.append((title, bitrate_bps, frames_per_second))
        if len(self.made) <= self._failures:
            raise LocalFaultError("no encoder")
        return Card(title, bitrate_bps, frames_per_second, (b"picture",))


async def test_a_card_is_made_once_for_all_who_ask() -> None:
    maker = Maker()
    cards = Cards("Hội nghị", maker.encode)
    first, second = await asyncio.gather(cards.of(1_000_000, 25), cards.of(1_000_000, 25))
    assert first is second
    assert await cards.of(1_000_000, 25) is first
    assert maker.made == [("Hội nghị", 1_000_000, 25)]


async def test_what_was_prepared_is_there_without_being_made_again() -> None:
    maker = Maker()
    cards = Cards("Hội nghị", maker.encode)
    cards.prepare([(1_000_000, 25), (2_000_000, 30)])
    assert (await cards.of(2_000_000, 30)).frames_per_second == 30
    assert (await cards.of(1_000_000, 25)).bitrate_bps == 1_000_000
    assert sorted(maker.made) == [("Hội nghị", 1_000_000, 25), ("Hội nghị", 2_000_000, 30)]


async def test_a_call_that_is_cancelled_does_not_take_the_card_from_the_others() -> None:
    maker = Maker()
    maker.gate.clear()
    cards = Cards("x", maker.encode)
    impatient = asyncio.ensure_future(cards.of(1_000_000, 25))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    maker.gate.set()
    assert (await cards.of(1_000_000, 25)).title == "x"
    assert len(maker.made) == 1


async def test_a_failure_is_told_and_the_next_call_tries_again() -> None:
    maker = Maker(failures=1)
    cards = Cards("x", maker.encode)
    with pytest.raises(LocalFaultError, match="no encoder"):
        await cards.of(1_000_000, 25)
    assert (await cards.of(1_000_000, 25)).bitrate_bps == 1_000_000


async def test_a_card_that_takes_too_long_is_told_and_made_all_the_same() -> None:
    """A call must not be up later than planned; the next one finds the card."""
    maker = Maker()
    maker.gate.clear()
    cards = Cards("x", maker.encode, patience=0.01)
    with pytest.raises(CardError, match=r"not ready within 0\.01 s"):
        await cards.of(1_000_000, 25)
    maker.gate.set()
    await asyncio.gather(*cards._making.values())
    assert (await cards.of(1_000_000, 25)).title == "x"
    assert len(maker.made) == 1


async def test_another_title_makes_other_cards_and_the_same_one_none() -> None:
    maker = Maker()
    cards = Cards("Hội nghị", maker.encode)
    first = await cards.of(1_000_000, 25)
    cards.retitle("Hội nghị")
    assert await cards.of(1_000_000, 25) is first
    cards.retitle("Diễn tập")
    assert (await cards.of(1_000_000, 25)).title == "Diễn tập"
    assert [title for title, *_ in maker.made] == ["Hội nghị", "Diễn tập"]

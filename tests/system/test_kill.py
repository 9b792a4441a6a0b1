"""A daemon that is killed, or told to stop, in the middle of a hundred calls: no call is left up.

The rooms answer in this process, so that what they say at every moment can be watched; the daemon is a process that
knows nothing of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from bridge_monitor.config import load
from bridge_monitor.net import clock
from bridge_monitor.sim import Nation
from tests.system.rigs import Command, Country, gone_within, is_alive

Start = Callable[..., Command]

AT_LEAST = 100


class Moment(NamedTuple):
    """What the rooms say at one moment: calls answered since they came up, calls up, calls they have seen ended."""

    answered: int
    up: int
    ended: int


class Rooms:
    """The nation, watched."""

    def __init__(self, nation: Nation) -> None:
        self._nation = nation

    def look(self) -> Moment:
        report = self._nation.report()
        records = [truth.sip for truth in report.sites.values()]
        return Moment(
            sum(record.answered for record in records),
            report.dialogs_open,
            sum(record.ended_by_caller for record in records),
        )

    @property
    def packets(self) -> int:
        """RTP packets that came, also after a call's end."""
        return sum(truth.received + truth.after_bye for truth in self._nation.report().sites.values())

    async def until_up(self, calls: int) -> None:
        await until(lambda: self.look().up >= calls)


async def until(condition: Callable[[], bool], within: float = 40.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - the rooms and the daemon tell nobody
            await asyncio.sleep(0.01)


@pytest.fixture
def country(tmp_path: Path, network: str, request: pytest.FixtureRequest) -> Country:
    """Return a country that is called all at once, for a minute each."""
    provinces, communes = getattr(request, "param", (4, 29))
    made = Country(tmp_path / "country", network, provinces, communes, profiles={"long": {"duration": "60 s"}})
    made.write()
    return made


@pytest.fixture
async def rooms(country: Country) -> AsyncIterator[Rooms]:
    """Return the country's rooms, answering."""
    nation = Nation(load(country.folder, now=clock.utc(clock.posix_now())).inventory)
    await nation.start()
    yield Rooms(nation)
    await nation.stop()


async def calling(start: Start, country: Country, rooms: Rooms, at_least: int) -> tuple[Command, int]:
    """Start a daemon; return it and its media engine's process id once so many calls are up."""
    daemon = start("run", "--config", country.folder)
    await rooms.until_up(at_least)
    (engine,) = daemon.children
    return daemon, engine


async def check_kill(start: Start, country: Country, rooms: Rooms, at_least: int) -> None:
    daemon, engine = await calling(start, country, rooms, at_least)
    assert is_alive(engine)
    os.kill(daemon.pid, signal.SIGKILL)
    assert await asyncio.to_thread(gone_within, engine, 0.5), "the media engine outlives its parent"
    await asyncio.to_thread(daemon.end)
    sent = rooms.packets
    await asyncio.sleep(0.5)
    assert rooms.packets - sent <= at_least, "more comes than was on its way"
    left = rooms.look()
    assert left.up >= at_least, "the rooms believe that the calls are up: somebody has to end them"

    again = start("run", "--config", country.folder)
    await until(lambda: rooms.look().answered > left.answered)
    now = rooms.look()
    new = now.answered - left.answered
    assert now.up <= new, "orphans are up while new calls are placed"
    assert now.ended - left.ended >= left.up
    assert again.log("orphans_ended") == again.log("orphans_ended")[:1]
    assert again.log("orphans_ended")[0]["calls"] >= left.up
    again.send(signal.SIGTERM)
    assert await asyncio.to_thread(again.end) == 0
    assert rooms.look().up == 0


async def check_stop(start: Start, country: Country, rooms: Rooms, at_least: int) -> None:
    daemon, engine = await calling(start, country, rooms, at_least)
    began = time.monotonic()
    daemon.send(signal.SIGTERM)
    assert await asyncio.to_thread(daemon.end) == 0
    assert time.monotonic() - began < 10.0
    assert rooms.look().up == 0
    assert await asyncio.to_thread(gone_within, engine, 0.1)
    assert "every call has ended" in daemon.told
    assert daemon.log("stopping")[0]["calls"] >= at_least
    journal = (country.state_dir / "calls-0.journal").read_text("utf-8")
    assert journal.count('"event":"opened"') == journal.count('"event":"closed"') >= at_least


async def test_after_kill_9_the_media_end_at_once_and_the_next_start_ends_every_call(
    start: Start, country: Country, rooms: Rooms
) -> None:
    await check_kill(start, country, rooms, AT_LEAST)


async def test_sigterm_in_the_middle_of_a_hundred_calls_leaves_none(
    start: Start, country: Country, rooms: Rooms
) -> None:
    await check_stop(start, country, rooms, AT_LEAST)


async def test_an_engine_that_dies_costs_its_calls_and_is_started_anew(
    start: Start, country: Country, rooms: Rooms
) -> None:
    """Its calls are our fault, not the rooms', and are ended; nobody is left talking to nobody."""
    daemon, engine = await calling(start, country, rooms, AT_LEAST)
    os.kill(engine, signal.SIGKILL)
    await until(lambda: rooms.look().up == 0)
    await until(lambda: len(daemon.children) == 1 and daemon.children != [engine])
    await until(lambda: bool(daemon.log("measurements_invalid")))
    assert daemon.log("measurements_invalid")[0]["reasons"]["media_engine_died"] >= AT_LEAST
    daemon.send(signal.SIGTERM)
    assert await asyncio.to_thread(daemon.end) == 0
    assert rooms.look().up == 0


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("country", [(4, 99)], indirect=True)
@pytest.mark.parametrize("check", [check_kill, check_stop])
async def test_the_same_with_four_hundred_calls(
    start: Start, country: Country, rooms: Rooms, check: Callable[[Start, Country, Rooms, int], AsyncIterator[None]]
) -> None:
    await check(start, country, rooms, 390)
    assert rooms.look().up == 0

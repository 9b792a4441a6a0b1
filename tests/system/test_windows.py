"""No test call is up outside a window: counted by the rooms, whose windows are written down here once more.

The window opens and closes while the daemon runs. What the rooms count rests on their own clocks and their own account
of INVITE and end; the daemon's planner has no part in it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from bridge_monitor.config import load
from bridge_monitor.probes import Profile
from bridge_monitor.sim import Fault, FaultKind, FaultPlan, Nation, NationSettings
from tests.system.rigs import Command, Country, get

Start = Callable[..., Command]

LONGEST = Profile("short", duration_seconds=1.0, answer_timeout_seconds=1.0).longest_call_seconds
STARTS_FOR = 4.0
"""Calls are started in so many seconds; the rest of the window is for the longest call to end in."""
TROUBLE = (
    *(FaultKind.RINGS_ONLY, FaultKind.SILENT, FaultKind.BYE_UNANSWERED, FaultKind.BUSY, FaultKind.NO_MEDIA),
    FaultKind.SLOW_ANSWER,
)
SLOW_SECONDS = 25.0
"""So late a slow room would answer; the caller has given up long before, and has to keep it from doing so."""
LATE = 1.5
"""So late a call may be seen on a machine that is busy with other things."""


class Watched(NamedTuple):
    """A daemon in a country whose window opens soon."""

    nation: Nation
    daemon: Command
    opens: float
    closes: float


@asynccontextmanager
async def watched(start: Start, country: Country) -> AsyncIterator[Watched]:
    """Start the daemon with a window an hour away, then let it read one that opens in a moment."""
    country.window = (3600.0, 7200.0)
    country.write()
    daemon = start("run", "--config", country.folder)
    await asyncio.to_thread(lambda: daemon.url)
    country.window = (3.0, 3.0 + STARTS_FOR + LONGEST)
    country.write_event()
    configuration = load(country.folder, now=datetime.now(UTC))
    (window,) = configuration.event.rehearsals
    opens, closes = window.start.timestamp(), window.end.timestamp()
    faults = tuple(
        Fault(kind, sites=tuple(f"{province:02}{number:03}" for province in (1, 2, 3, 4)), seconds=SLOW_SECONDS)
        for number, kind in enumerate(TROUBLE, start=1)
    )
    nation = Nation(configuration.inventory, FaultPlan(faults, seed=1), NationSettings(windows=((opens, closes),)))
    await nation.start()
    try:
        daemon.send(signal.SIGHUP)
        while not daemon.log("reloaded"):  # noqa: ASYNC110 - the daemon tells its log
            await asyncio.sleep(0.02)
        assert time.time() < opens, "the daemon was too slow to be seen waiting"
        yield Watched(nation, daemon, opens, closes)
    finally:
        await nation.stop()


def invited(nation: Nation) -> int:
    return sum(truth.sip.invited for truth in nation.report().sites.values())


async def watch_starts(seen: Watched, until: float) -> tuple[float, float]:
    """Return when the first and the last call were started, as the rooms saw it."""
    first = last = 0.0
    known = 0
    while time.time() < until:
        now, calls = time.time(), invited(seen.nation)
        if calls > known:
            first, last, known = first or now, now, calls
        await asyncio.sleep(0.02)
    return first, last


@pytest.fixture
def country(tmp_path: Path, network: str) -> Country:
    """Return a country whose rooms are called again every two seconds."""
    return Country(
        tmp_path / "country",
        network,
        profiles={"short": {"duration": "1 s", "answer_timeout": "1 s"}},
        settings={"intervals": {"default": "2 s", "retry": "1 s", "min_between_calls": "200 ms"}},
    )


async def test_calls_begin_with_the_window_and_the_last_can_end_inside(start: Start, country: Country) -> None:
    async with watched(start, country) as seen:
        first, last = await watch_starts(seen, seen.opens + STARTS_FOR + 2 * LATE)
        up = sum(truth.calls_up for truth in seen.nation.report().sites.values())
        refusal = await asyncio.to_thread(get, seen.daemon.url, "/probe?target=01")
        calls = invited(seen.nation)
        seen.daemon.send(signal.SIGTERM)
        assert await asyncio.to_thread(seen.daemon.end) == 0
    report = seen.nation.report()
    assert seen.opens <= first < seen.opens + 1.0 + LATE
    assert seen.opens + STARTS_FOR - 2.5 < last <= seen.closes - LONGEST + LATE
    assert calls > len(country.codes) * 3 // 2, "rooms were not called again"
    assert up > 0, "rooms without media are listened to: the window is longer than its last start for a reason"
    assert (refusal[0], "outside_window" in refusal[1]) == (503, True)
    assert (report.calls_outside_window, report.dialogs_open) == (0, 0)


@pytest.mark.full
@pytest.mark.timeout(180)
async def test_at_the_windows_end_the_last_call_is_over_whatever_its_room_did(start: Start, country: Country) -> None:
    """Rooms that would answer after 25 s, when nobody waits any more, are told in time that they need not."""
    async with watched(start, country) as seen:
        await watch_starts(seen, seen.closes + 3.0)
        answered = [seen.nation.report().sites[f"{province:02}006"].sip.answered for province in (1, 2, 3, 4)]
        report = seen.nation.report()
        assert report.dialogs_open == 0
        seen.daemon.send(signal.SIGTERM)
        assert await asyncio.to_thread(seen.daemon.end) == 0
    report = seen.nation.report()
    assert answered == [0] * 4, "a CANCEL comes before a slow room takes the call"
    assert (report.calls_outside_window, report.dialogs_open) == (0, 0)

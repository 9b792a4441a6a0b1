"""Many waits on one timer of the loop: none ends too early, each soon after its time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest

from bridge_monitor.net.alarms import GRAIN_SECONDS, Alarm, Alarms


@pytest.fixture
async def alarms() -> AsyncIterator[Alarms]:
    """Return alarms whose timer is let go at the end."""
    kept = Alarms()
    yield kept
    kept.close()


async def test_alarms_go_off_in_order_none_too_early(alarms: Alarms) -> None:
    """Whatever the order they were set in."""
    loop = asyncio.get_running_loop()
    rung: list[tuple[int, float]] = []
    now = loop.time()
    deadlines = {number: now + number * 0.013 for number in (5, 1, 4, 2, 3)}
    for number, deadline in deadlines.items():
        alarms.set(Alarm(lambda at, number=number: rung.append((number, at))), deadline)
    await asyncio.sleep(5 * 0.013 + 2 * GRAIN_SECONDS)
    assert [number for number, _ in rung] == [1, 2, 3, 4, 5]
    assert all(at >= deadlines[number] for number, at in rung)


async def test_an_alarm_set_anew_goes_off_once_at_the_new_time(alarms: Alarms) -> None:
    loop = asyncio.get_running_loop()
    rung: list[float] = []
    alarm = Alarm(rung.append)
    began = loop.time()
    alarms.set(alarm, began + 0.01)
    alarms.set(alarm, began + 0.06)
    assert alarm.is_set
    await asyncio.sleep(0.06 + 2 * GRAIN_SECONDS)
    assert len(rung) == 1
    assert rung[0] >= began + 0.06
    assert not alarm.is_set


async def test_an_alarm_that_was_dropped_neither_rings_nor_keeps_its_waiter(alarms: Alarms) -> None:
    class Waiter:
        rung = False

        def ring(self, _now: float) -> None:
            Waiter.rung = True

    waiter = Waiter()
    gone = weakref.ref(waiter)
    alarm = Alarm(waiter.ring)
    alarms.set(alarm, asyncio.get_running_loop().time() + 0.01)
    alarms.drop(alarm)
    del waiter
    gc.collect()
    assert gone() is None
    await asyncio.sleep(0.01 + 2 * GRAIN_SECONDS)
    assert not Waiter.rung


async def test_nothing_goes_off_after_closing() -> None:
    rung: list[float] = []
    alarms = Alarms()
    alarms.set(Alarm(rung.append), asyncio.get_running_loop().time() + 0.01)
    alarms.close()
    await asyncio.sleep(0.01 + 2 * GRAIN_SECONDS)
    assert not rung

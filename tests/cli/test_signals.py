"""Ctrl-C, SIGTERM and a closed terminal in the middle of calls: each is ended at the room, and said so.

The rooms answer in this process, so that their own account is at hand: what they say was ended, was ended.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bridge_monitor.config import load
from bridge_monitor.net import clock
from bridge_monitor.sim import Fault, FaultKind, FaultPlan, Nation
from tests.cli.conftest import GOOD, RINGING
from tests.system.rigs import Command, Country, gone_within

Start = Callable[..., Command]


@pytest.fixture
def patient(tmp_path: Path, network: str) -> Country:
    """Return a country whose rooms are called for a minute, and waited for as long."""
    profiles = {"long": {"duration": "60 s", "answer_timeout": "60 s"}}
    made = Country(tmp_path / "patient", network, provinces=1, communes=7, profiles=profiles)
    made.write()
    return made


@pytest.fixture
async def nation(patient: Country) -> AsyncIterator[Nation]:
    """Return the rooms; one only rings."""
    inventory = load(patient.folder, now=clock.utc(clock.posix_now())).inventory
    answering = Nation(inventory, FaultPlan((Fault(FaultKind.RINGS_ONLY, sites=(RINGING,)),), seed=1))
    await answering.start()
    yield answering
    await answering.stop()


async def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - rooms tell nobody
            await asyncio.sleep(0.02)


def calls_up(nation: Nation) -> int:
    return sum(truth.calls_up for truth in nation.report().sites.values())


async def test_a_probe_ends_its_call_whatever_stops_it(nation: Nation, patient: Country, start: Start) -> None:
    """In the middle of the sound, and while it rings; by hand, by a service manager, by a terminal that goes away."""
    stops = {
        "01": signal.SIGINT,
        "01001": signal.SIGTERM,
        GOOD: signal.SIGHUP,
        RINGING: signal.SIGINT,
    }
    commands = {code: start("probe", code, "--config", patient.folder, "--json") for code in stops}
    await until(lambda: calls_up(nation) == len(stops) and nation.report().dialogs_open == len(stops) - 1)
    await until(lambda: nation.report().sites["01"].received > 0)
    engines = [pid for command in commands.values() for pid in command.children]
    for code, command in commands.items():
        command.send(stops[code])
    codes = {code: await asyncio.to_thread(command.end) for code, command in commands.items()}
    assert codes == dict.fromkeys(stops, 3)
    assert calls_up(nation) == 0
    for code, command in commands.items():
        (result,) = command.objects
        assert (result["outcome"], result["grade"], result["target"]["site"]) == ("cancelled", "untested", code)
        record = nation.report().sites[code].sip
        assert (record.cancelled, record.ended_by_caller) == ((1, 0) if code == RINGING else (0, 1))
    assert commands["01"].objects[0]["media"][0]["outbound"]["packets_sent"] > 0
    assert all(gone_within(pid, 1.0) for pid in engines)


async def test_a_ramp_ends_its_call_and_places_no_other(nation: Nation, patient: Country, start: Start) -> None:
    rates = ("--ramp", "--from", "200k", "--to", "400k", "--step", "200k")
    command = start("probe", GOOD, "--config", patient.folder, *rates, "--json")
    await until(lambda: nation.report().sites[GOOD].received > 100)
    command.send(signal.SIGINT)
    assert await asyncio.to_thread(command.end) == 3
    (ramp,) = command.objects
    assert [[result["outcome"] for result in step["results"]] for step in ramp["steps"]] == [["cancelled"]]
    record = nation.report().sites[GOOD].sip
    assert (calls_up(nation), record.invited, record.ended_by_caller) == (0, 1, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_sweep_ends_its_calls_and_shows_what_it_found(
    nation: Nation, patient: Country, start: Start, number: signal.Signals
) -> None:
    command = start("sweep", "--config", patient.folder)
    await until(lambda: calls_up(nation) == len(patient.codes))
    command.send(number)
    began = time.monotonic()
    assert await asyncio.to_thread(command.end) == 3
    assert time.monotonic() - began < 10.0
    assert calls_up(nation) == 0
    assert "Ending the calls" in command.told
    assert "0 good, 0 degraded, 0 failed, 0 busy, 8 untested" in command.printed


async def test_between_two_calls_of_a_series_ctrl_c_ends_it_with_what_was_found(
    nation: Nation, patient: Country, start: Start
) -> None:
    command = start("probe", "01001", "--config", patient.folder, "--json", "--duration", "0.3", "--count", "50")
    await until(lambda: nation.report().sites["01001"].sip.ended_by_caller >= 1)
    command.send(signal.SIGINT)
    assert await asyncio.to_thread(command.end) == 3
    assert command.objects[0]["grade"] == "good"
    assert calls_up(nation) == 0
    assert "Traceback" not in command.told


async def test_told_to_stop_while_it_comes_up_a_command_calls_nobody(
    nation: Nation, patient: Country, start: Start
) -> None:
    command = start("probe", "01001", "--config", patient.folder)
    await until(patient.state_dir.exists)
    command.send(signal.SIGTERM)
    assert await asyncio.to_thread(command.end) == 3
    assert nation.report().sites["01001"].sip.invited <= 1
    assert calls_up(nation) == 0
    assert "Traceback" not in command.told

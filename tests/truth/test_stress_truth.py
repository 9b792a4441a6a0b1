"""A sweep on a machine that is too busy, or that stands still: results may become invalid, none becomes wrong.

A simulated nation with every fault of docs/outcomes.md is called while other processes load every core, while the media
engine or the whole program is stopped and continued, and without any priority. Each result is either what the table
has for that room, or it says itself that it is invalid. The nation is not what is tried here: it runs before the load,
and a run that it calls void shows nothing and is repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from bridge_monitor.net.engine import EngineSettings, Leg, MediaEngine, StreamPlan
from tests.system.rigs import MEASURE, Command, Country
from tests.system.test_sweep import NEEDS_LONG_CALLS, NONE, PROFILES, Row, entry, plant

pytestmark = pytest.mark.root  # for the nation's priority

Start = Callable[..., Command]
Disturb = Callable[[Command], None]

ATTEMPTS = 3
BUSY_PROCESSES = 4
NATION = Path(__file__).parent / "talking_nation.py"
HEALTHY = {"fault": "healthy", "outcome": "reached", "reason": NONE, "grade": "good"}
WITHOUT_PRIORITY = ("setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice")


class Stressed(NamedTuple):
    """What became of a sweep."""

    results: dict[str, dict[str, Any]]
    void_reasons: list[str]

    @property
    def reasons(self) -> Counter[str]:
        """How many results are invalid, by reason."""
        return Counter(reason for result in self.results.values() for reason in result["invalid"])

    @property
    def believed(self) -> int:
        """How many results are not invalid."""
        return sum(not result["invalid"] for result in self.results.values())


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return ``start(*words, under=())``: a command as a process, ended after the test."""
    monkeypatch.delenv(MEASURE, raising=False)
    started: list[Command] = []

    def run(*words: str | Path, under: tuple[str, ...] = ()) -> Command:
        started.append(Command(tmp_path / "output", *words, measured=False, under=under))
        return started[-1]

    yield run
    for command in reversed(started):
        command.stop()
    for command in started:
        print(f"--- {command.process.args}\n{command.printed[-4000:]}\n{command.told[-4000:]}")  # noqa: T201 - shown by pytest if the test failed


@contextlib.contextmanager
def busy_cores(processes: int) -> Iterator[None]:
    """Load the cores with processes of ordinary priority."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def stand_still(pid: int, seconds: float = 1.0) -> None:
    """Stop a process and continue it."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def leave_alone(command: Command) -> None:
    """Do nothing more to a sweep."""
    assert command.process.poll() is None


def stop_the_engine_at_once(command: Command) -> None:
    """Stop the media engine for a second while the first calls begin."""
    (engine,) = command.children
    stand_still(engine)


def stop_the_engine(command: Command) -> None:
    """Stop the media engine for a second in the midst of calls."""
    time.sleep(2.0)
    stop_the_engine_at_once(command)


def stop_the_program(command: Command) -> None:
    """Stop the program, but not its engine, for a second in the midst of calls."""
    time.sleep(2.0)
    stand_still(command.pid)


def falter(command: Command) -> None:
    """Stop both again and again, each time for a little less than is called a stall or a lag."""
    (engine,) = command.children
    for _ in range(8):
        stand_still(engine, 0.08)
        stand_still(command.pid, 0.4)
        time.sleep(0.2)


def stop_both_in_turn(command: Command) -> None:
    """Stop the engine, then the program; most calls begin after that."""
    stop_the_engine_at_once(command)
    stand_still(command.pid)


class Trial:
    """A nation with each fault of the table in so many rooms, and sweeps of it.

    Args:
        start: Starts commands.
        country: Its rooms.
        table: The faults.
        each: How many rooms have each.
        folder: Where the fault plan goes.
        talking: Share of the rooms that send a stream of their own; the others are echoes.
        long: Whether faults that want long calls have them.
    """

    def __init__(
        self,
        start: Start,
        country: Country,
        table: list[Row],
        folder: Path,
        *,
        each: int,
        talking: float,
        long: bool = True,
    ) -> None:
        self._start, self._country, self._talking = start, country, talking
        if talking:
            table = [row for row in table if row["fault"] != "large_packets_lost"]  # only an echo shows that
        self._planted = plant(country, table, each)
        country.profiles = PROFILES
        if long:
            country.profile_of = {one.code: "long" for one in self._planted if one.row["fault"] in NEEDS_LONG_CALLS}
        country.write()
        self._faults = folder / "faults.yaml"
        self._faults.write_text(yaml.safe_dump({"seed": 2024, "faults": list(map(entry, self._planted))}), "utf-8")

    def sweep(self, disturb: Disturb, *, busy: int, under: tuple[str, ...] = ()) -> Stressed:
        """Sweep until the nation calls a run its own good one; return it."""
        for _ in range(ATTEMPTS):
            seen = self._sweep(disturb, busy, under)
            print(dict(seen.reasons), f"{seen.believed} of {len(seen.results)} believed", seen.void_reasons)  # noqa: T201 - shown by pytest if the test failed
            if not seen.void_reasons:
                assert set(seen.results) == set(self._country.codes)
                return seen
        pytest.fail("this machine was too busy for the nation: nothing was shown")

    def _sweep(self, disturb: Disturb, busy: int, under: tuple[str, ...]) -> Stressed:
        script = [sys.executable, str(NATION), str(self._country.folder), str(self._faults), str(self._talking)]
        with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as nation:
            try:
                assert nation.stdout is not None
                assert nation.stdout.readline() == "ready\n"
                with busy_cores(busy):
                    command = self._start("sweep", "--config", self._country.folder, "--json", under=under)
                    command.until('"grade"')  # rooms that are dead are told first: now calls are up
                    disturb(command)
                    command.end(within=110)
            finally:
                nation.terminate()
                said, _ = nation.communicate(timeout=20)
        results = {result["target"]["site"]: result for result in command.objects}
        return Stressed(results, json.loads(said))

    def wrong(self, seen: Stressed) -> list[str]:
        """Return each result that is neither right nor invalid."""
        truth = {one.code: one.row for one in self._planted}
        return [
            f"{code}, {row}: {result['outcome']}, {result['reason']}, {result['grade']}, {result['invalid']}"
            for code, result in seen.results.items()
            if not is_right_or_invalid(result, row := truth.get(code, HEALTHY))
        ]


def is_right_or_invalid(result: dict[str, Any], row: Row) -> bool:
    """Tell whether a result agrees with the table, or says that we are to blame and leaves the room's grade alone."""
    if (result["outcome"], result["grade"]) == (row["outcome"], row["grade"]):
        return row["reason"] in (NONE, result["reason"])
    return bool(result["invalid"]) and result["grade"] in ("invalid", "untested")


SLOW = {"no_media", "one_way_in", "one_way_out", "silent", "rings_only", "slow_answer"}
"""Faults that take ten seconds or more of waiting to be found; so does the smaller loss, which needs a long call."""


@pytest.mark.full
@pytest.mark.timeout(400)  # a spoilt run is repeated
def test_nothing_is_wrong_on_busy_cores_while_engine_and_program_stand_still(
    start: Start, network: str, tmp_path: Path, documented_faults: list[Row]
) -> None:
    """Four processes want two cores; for a second each the engine and the program are stopped: both say so."""
    caps = {"caps": {"total": {"calls_per_second": 20, "calls_at_once": 400}}}
    country = Country(tmp_path / "country", network, provinces=3, communes=19, settings=caps)
    small_loss = next(row for row in documented_faults if (row["fault"], row["grade"]) == ("loss", "degraded"))
    quick = [row for row in documented_faults if row["fault"] not in SLOW and row is not small_loss]
    trial = Trial(start, country, quick, tmp_path, each=1, talking=0.5, long=False)
    seen = trial.sweep(stop_both_in_turn, busy=BUSY_PROCESSES)
    assert not trial.wrong(seen), "\n".join(trial.wrong(seen))
    assert seen.reasons["engine_stalled"] > 0
    assert seen.reasons["loop_lag"] > 0
    assert seen.believed > 0


async def test_what_rooms_send_while_the_engine_stands_still_is_no_loss_of_theirs(network: str) -> None:
    """A hundred rooms answered meanwhile, and send: their calls begin a second late, and miss nothing."""
    rooms, before, after = 100, 25, 30
    async with await MediaEngine.start(EngineSettings(rows=rooms)) as engine:
        assert engine.pid is not None
        with contextlib.ExitStack() as stack:
            legs: list[tuple[Leg, socket.socket]] = []
            for number in range(rooms):
                room = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                room.bind((f"{network}.0.{number + 1}", 10000))
                legs.append((engine.reserve(room.getsockname()[0]), room))

            def send(seq: int) -> None:
                for leg, room in legs:
                    header = struct.pack("!BBHII", 0x80, 0, seq, 160 * seq, leg.row)
                    room.sendto(header + b"\xff" * 160, ("127.0.0.1", leg.rtp_port))

            os.kill(engine.pid, signal.SIGSTOP)
            try:
                for seq in range(before):
                    send(seq)
                for leg, _ in legs:
                    facts = {"ssrc": 1000 + leg.row, "first_seq": 1, "first_timestamp": 1, "duration_seconds": 0.8}
                    plan = StreamPlan(leg.remote_host, 10000, 10001, 0, "PCMU", (0,), report_wait_seconds=0.3, **facts)
                    engine.begin(leg, plan)
            finally:
                os.kill(engine.pid, signal.SIGCONT)
            for seq in range(before, before + after):
                await asyncio.sleep(0.02)
                send(seq)
            reports = [await engine.finished(leg) for leg, _ in legs]
    received = [report.inbound for report in reports if not report.invalid]
    assert received, "every call is invalid: nothing was shown"
    assert {(one.expected, one.lost) if one else None for one in received} == {(before + after, 0)}


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("talking", [0.0, 0.5], ids=["echoes", "half talking"])
class TestMoreRooms:
    """All faults in 120 rooms, one harm at a time."""

    @pytest.fixture
    def trial(self, start: Start, network: str, tmp_path: Path, documented_faults: list[Row], talking: float) -> Trial:
        caps = {"caps": {"total": {"calls_per_second": 15, "calls_at_once": 400}}}
        country = Country(tmp_path / "country", network, provinces=4, communes=29, settings=caps)
        return Trial(start, country, documented_faults, tmp_path, each=2, talking=talking)

    def test_nothing_is_wrong_on_busy_cores(self, trial: Trial) -> None:
        seen = trial.sweep(leave_alone, busy=BUSY_PROCESSES)
        assert not trial.wrong(seen), "\n".join(trial.wrong(seen))
        assert seen.believed > 0

    def test_nothing_is_wrong_on_busy_cores_without_priority(self, trial: Trial) -> None:
        """As an ordinary user runs it."""
        seen = trial.sweep(leave_alone, busy=BUSY_PROCESSES, under=WITHOUT_PRIORITY)
        assert not trial.wrong(seen), "\n".join(trial.wrong(seen))

    def test_nothing_is_wrong_when_the_engine_stands_still(self, trial: Trial) -> None:
        seen = trial.sweep(stop_the_engine, busy=0)
        assert not trial.wrong(seen), "\n".join(trial.wrong(seen))
        assert seen.reasons["engine_stalled"] > 0
        assert seen.believed > 0

    def test_nothing_is_wrong_when_the_program_stands_still(self, trial: Trial) -> None:
        seen = trial.sweep(stop_the_program, busy=0)
        assert not trial.wrong(seen), "\n".join(trial.wrong(seen))
        assert seen.reasons["loop_lag"] > 0
        assert seen.believed > 0

    def test_nothing_is_wrong_when_both_falter_below_every_limit(self, trial: Trial) -> None:
        """Pauses too short to be called a stall or a lag must be too short to harm."""
        seen = trial.sweep(falter, busy=0)
        assert not trial.wrong(seen), "\n".join(trial.wrong(seen))


@pytest.mark.full
@pytest.mark.timeout(300)
def test_nothing_is_wrong_when_the_engine_stands_still_while_calls_begin(
    start: Start, network: str, tmp_path: Path, documented_faults: list[Row]
) -> None:
    """Rooms that send at once have sent a second's packets before their calls begin here."""
    caps = {"caps": {"total": {"calls_per_second": 100, "calls_at_once": 400}}}
    country = Country(tmp_path / "country", network, provinces=4, communes=29, settings=caps)
    trial = Trial(start, country, documented_faults, tmp_path, each=1, talking=1.0)
    seen = trial.sweep(stop_the_engine_at_once, busy=0)
    assert not trial.wrong(seen), "\n".join(trial.wrong(seen))
    assert seen.believed > 0

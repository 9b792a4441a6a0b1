"""The SIP side's handle on media: lines as planned, rows of calls, and the process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net.mmsg import IP_MTU_DISCOVER, IP_PMTUDISC_PROBE
from bridge_monitor.sim import media_process
from bridge_monitor.sim.assignment import SimulatedSite
from bridge_monitor.sim.board import HAMPERS_FROM_ROOM, HAMPERS_TO_ROOM, ROUNDS, Line
from bridge_monitor.sim.faults import CodecStage, Direction, Fault, FaultKind
from bridge_monitor.sim.media import Media, MediaCall, answers_wrong_codec
from bridge_monitor.sim.reflector import ReflectorSettings
from bridge_monitor.sim.room_sound import CODECS
from tests.sim.rigs import Caller


def new_media(network: str, rooms: int = 3, first_port: int | None = None) -> Media:
    sites = [SimulatedSite(f"{number}", f"{network}.0.{rooms - number}", 5060, "") for number in range(rooms)]
    sites.append(SimulatedSite("second", f"{network}.0.1", 5061, ""))
    return Media(sites, 2, first_port, ReflectorSettings(), np.random.default_rng(1))


@pytest.fixture
async def media(network: str) -> AsyncIterator[Media]:
    made = new_media(network)
    yield made
    await made.stop()


def call(caller: Caller) -> MediaCall:
    return MediaCall("127.0.0.1", caller.rtp.getsockname()[1], caller.rtcp.getsockname()[1], 8, "PCMA")


@pytest.mark.parametrize(
    ("fault", "columns"),
    [
        (Fault(FaultKind.NO_MEDIA), {"flags": Line.DEAF | Line.MUTE | Line.NO_RTCP}),
        (Fault(FaultKind.SILENT), {"flags": Line.DEAF | Line.MUTE | Line.NO_RTCP}),
        (Fault(FaultKind.ONE_WAY_IN), {"flags": Line.OWN_STREAM | Line.DEAF}),
        (Fault(FaultKind.ONE_WAY_OUT), {"flags": Line.MUTE}),
        (Fault(FaultKind.UNEXPECTED_PORT), {"flags": Line.ODD_PORT}),
        (
            Fault(FaultKind.LOSS, rate=0.1, burst=3.0),
            {"loss_to_room": 0.1, "burst_to_room": 3.0, "loss_from_room": 0.1, "burst_from_room": 3.0},
        ),
        (Fault(FaultKind.LOSS, rate=0.1, direction=Direction.TO_ROOM), {"loss_to_room": 0.1, "loss_from_room": 0.0}),
        (Fault(FaultKind.LOSS, rate=0.1, direction=Direction.FROM_ROOM), {"loss_to_room": 0.0, "loss_from_room": 0.1}),
        (
            Fault(FaultKind.BANDWIDTH, bits_per_second=1e6, direction=Direction.TO_ROOM),
            {"police_to_room": 1e6, "police_from_room": 0.0},
        ),
        (Fault(FaultKind.BANDWIDTH, bits_per_second=1e6), {"police_to_room": 1e6, "police_from_room": 1e6}),
        (Fault(FaultKind.DELAY, seconds=0.5), {"delay_ns": 500_000_000}),
        (Fault(FaultKind.JITTER, seconds=0.02), {"jitter_ns": 60_000_000}),
        (Fault(FaultKind.REORDERING, rate=0.1, seconds=0.03), {"reorder_rate": 0.1, "reorder_ns": 30_000_000}),
        (Fault(FaultKind.DUPLICATION, rate=0.1), {"duplicate_rate": 0.1}),
        (Fault(FaultKind.LARGE_PACKETS_LOST, threshold_bytes=900), {"large_limit": 900}),
        (Fault(FaultKind.MUTED), {"flags": Line.OWN_STREAM | Line.MUTED}),
        (Fault(FaultKind.WRONG_CODEC), {"flags": Line.OWN_STREAM, "wrong_payload_type": 9}),
    ],
)
async def test_a_fault_sets_its_columns_and_its_end_clears_them(
    media: Media, fault: Fault, columns: dict[str, float]
) -> None:
    media.set_line(1, (fault,), own_stream=False)
    assert {name: getattr(media.board, name)[1] for name in columns} == columns
    assert np.flatnonzero(media.board.impaired).tolist() == [1]
    media.set_line(1, (Fault(FaultKind.BUSY),), own_stream=False)
    assert all(getattr(media.board, name)[1] == 0 for name in columns)
    assert media.board.impaired.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("fault", "bits"),
    [
        (Fault(FaultKind.LOSS, rate=0.1, direction=Direction.TO_ROOM), HAMPERS_TO_ROOM),
        (Fault(FaultKind.LOSS, rate=0.1, direction=Direction.FROM_ROOM), HAMPERS_FROM_ROOM),
        (Fault(FaultKind.BANDWIDTH, bits_per_second=1e6), HAMPERS_TO_ROOM | HAMPERS_FROM_ROOM),
        (Fault(FaultKind.SILENT), HAMPERS_TO_ROOM | HAMPERS_FROM_ROOM),
        (Fault(FaultKind.ONE_WAY_IN), HAMPERS_TO_ROOM),
        (Fault(FaultKind.ONE_WAY_OUT), HAMPERS_FROM_ROOM),
        (Fault(FaultKind.UNEXPECTED_PORT), HAMPERS_FROM_ROOM),
        (Fault(FaultKind.WRONG_CODEC), HAMPERS_TO_ROOM),
        (Fault(FaultKind.LARGE_PACKETS_LOST, threshold_bytes=900), HAMPERS_TO_ROOM),
        (Fault(FaultKind.DELAY, seconds=0.5), HAMPERS_FROM_ROOM),
        (Fault(FaultKind.DUPLICATION, rate=0.1), HAMPERS_FROM_ROOM),
        (Fault(FaultKind.BUSY), 0),
    ],
)
async def test_a_line_is_looked_at_closely_only_in_the_direction_in_which_a_fault_acts(
    media: Media, fault: Fault, bits: int
) -> None:
    media.set_line(2, (fault,), own_stream=False)
    assert media.board.impaired.tolist() == [0, 0, bits, 0]


@pytest.mark.parametrize("only_callers", [False, True])
async def test_packets_inside_the_machine_are_never_cut_up_and_those_for_the_world_may_be(
    network: str,
    only_callers: bool,  # noqa: FBT001 - a table's column
) -> None:
    settings = ReflectorSettings(only_callers=only_callers)
    own = Media([SimulatedSite("1", f"{network}.1.1", 5060, "")], 1, None, settings, np.random.default_rng(1))
    modes = [sock.getsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER) for sock in own._sockets.sockets]
    await own.stop()
    assert [mode == IP_PMTUDISC_PROBE for mode in modes] == [not only_callers] * 3


async def test_faults_combine_and_a_stream_of_its_own_stays(media: Media) -> None:
    faults = (Fault(FaultKind.DELAY, seconds=1.0), Fault(FaultKind.UNEXPECTED_PORT))
    media.set_line(0, faults, own_stream=True)
    assert media.board.flags[0] == Line.OWN_STREAM | Line.ODD_PORT
    assert media.board.delay_ns[0] == 1_000_000_000


async def test_rooms_of_one_address_share_its_rows(media: Media, caller: Caller) -> None:
    """Sites 2 and 3 have the lowest address, so rows 0 and 1."""
    assert media.reserve(2) == 0
    media.begin(0, 2, call(caller))
    assert media.reserve(3) == 1
    media.begin(1, 3, call(caller))
    assert media.reserve(2) is None
    assert media.board.site[:2].tolist() == [2, 3]
    assert CODECS[media.board.codec[0]] == "PCMA"
    assert media.ports(0) != media.ports(1)
    media.end(0)
    assert media.reserve(3) == 0
    assert 0 < media.board.ended_ns[0] <= time.time_ns()


async def test_the_process_reflects_and_ends_with_its_parent_s_word(network: str, caller: Caller) -> None:
    media = new_media(network)
    await media.start()
    assert media.alive
    row = media.reserve(0)
    assert row is not None
    media.begin(row, 0, call(caller))
    caller.remote_rtp = (f"{network}.0.3", media.ports(row)[0])
    caller.stream(20)
    assert len(await caller.hear(20)) == 20
    media.set_line(0, (), own_stream=True)
    assert len(await caller.hear(3)) >= 3
    assert media.board.health[ROUNDS] > 0
    await media.stop()
    assert media.board.received[0] == 20
    await media.stop()
    assert media._process is not None
    assert media._process.returncode == 0


async def test_a_process_that_does_not_come_up_is_our_own_fault(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    media = new_media(network)
    with pytest.raises(LocalFaultError, match="did not come up"):
        await media.start()


async def test_a_process_that_hangs_at_its_start_is_not_waited_for(
    network: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    script = f"{tmp_path}/hang"
    with open(script, "w") as file:  # noqa: ASYNC230, PTH123 - a test's own small file
        file.write("#!/bin/sh\nexec sleep 60\n")
    os.chmod(script, 0o700)  # noqa: PTH101 - as above
    monkeypatch.setattr(sys, "executable", script)
    monkeypatch.setattr("bridge_monitor.sim.media._START_SECONDS", 0.2)
    monkeypatch.setattr("bridge_monitor.sim.media._STOP_SECONDS", 0.2)
    with pytest.raises(LocalFaultError, match="did not come up"):
        await new_media(network).start()


async def test_the_process_ends_when_its_parent_is_gone(network: str) -> None:
    media = new_media(network)
    await media.start()
    assert media._pipe is not None
    assert media._process is not None
    os.kill(media._process.pid, signal.SIGINT)  # Ctrl-C reaches the group: that alone must not end it
    await asyncio.sleep(0.05)
    assert media.alive
    media._pipe.close()
    async with asyncio.timeout(5.0):
        assert await media._process.wait() == 0
    await media.stop()


async def test_the_process_s_own_code_runs_in_a_thread_as_well(
    network: str, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the child does, where coverage and debuggers see it."""
    media = new_media(network)
    threads: list[threading.Thread] = []
    ended = asyncio.Event()

    class Process:
        returncode: int | None = None

        async def wait(self) -> int:
            await asyncio.to_thread(threads[0].join)
            self.returncode = 0
            ended.set()
            return 0

    async def in_thread(*arguments: str, pass_fds: tuple[int, ...], **_others: object) -> Process:
        given = json.loads(arguments[3])
        copies = {fd: os.dup(fd) for fd in pass_fds}
        given["board"], given["pipe"] = copies[given["board"]], copies[given["pipe"]]
        given["sockets"] = [copies[fd] for fd in given["sockets"]]
        thread = threading.Thread(target=media_process.main, args=([json.dumps(given)],))
        threads.append(thread)
        thread.start()
        return Process()

    monkeypatch.setattr(asyncio, "create_subprocess_exec", in_thread)
    monkeypatch.setattr(gc, "disable", lambda: None)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    await media.start()
    row = media.reserve(1)
    assert row is not None
    media.set_line(1, (Fault(FaultKind.DELAY, seconds=0.0205),), own_stream=False)
    media.begin(row, 1, call(caller))
    caller.remote_rtp = (f"{network}.0.2", media.ports(row)[0])
    caller.stream(20)
    assert len(await caller.hear(20)) == 20
    await media.stop()
    assert ended.is_set()


def test_only_the_answer_stage_shows_in_the_answer() -> None:
    assert answers_wrong_codec([Fault(FaultKind.BUSY), Fault(FaultKind.WRONG_CODEC)])
    assert not answers_wrong_codec([Fault(FaultKind.WRONG_CODEC, stage=CodecStage.STREAM)])
    assert not answers_wrong_codec([])


def test_a_crowd_s_rounds_begin_as_far_apart_however_long_they_take_and_a_few_calls_wait_one() -> None:
    assert media_process.gather_seconds(50, 200_000) == 0.001
    assert media_process.gather_seconds(200, 1_000_000) == 0.0015
    assert media_process.gather_seconds(600, 2_800_000) == pytest.approx(0.0022)
    assert media_process.gather_seconds(2000, 12_000_000) == 0.0015, "others on the core have their turn all the same"

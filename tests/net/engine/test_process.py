"""`net.engine.process`: the child comes up, is spoken to, and ends with us, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge_monitor.errors import EngineDiedError, LocalFaultError
from bridge_monitor.net.engine import process as process_module
from bridge_monitor.net.engine import wire
from bridge_monitor.net.engine.plan import EngineSettings
from bridge_monitor.net.engine.process import EngineProcess

SETTINGS = EngineSettings(rows=8, port_pairs=2, source_host="127.0.0.1")

PARENT = """
import asyncio, sys
from bridge_monitor.net.engine import EngineSettings, MediaEngine, StreamPlan

async def main(port):
    engine = await MediaEngine.start(EngineSettings(rows=8, port_pairs=2, source_host="127.0.0.1"))
    leg = engine.reserve("127.0.0.1")
    engine.begin(leg, StreamPlan("127.0.0.1", port, port + 1, 0, "PCMU", (0,), 1, 1, 1, duration_seconds=60.0))
    print(engine.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(int(sys.argv[1])))
"""


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def _open_files() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir() if entry.exists()}


async def test_a_process_that_is_closed_is_gone() -> None:
    child = await EngineProcess.start(SETTINGS)
    assert len(child.ports) == 2
    assert not _ended(child.pid)
    await child.close()
    assert _ended(child.pid)
    with pytest.raises(EngineDiedError):
        child.send(b"{}")


async def test_ports_that_can_t_be_had_are_told_as_the_child_told_them() -> None:
    with pytest.raises(LocalFaultError, match=r"did not start: can't bind 192\.0\.2\.1"):
        await EngineProcess.start(EngineSettings(rows=8, port_pairs=2, source_host="192.0.2.1"))


@pytest.mark.parametrize(("code", "said"), [("", "ended at once"), ("import time; time.sleep(9)", "did not come up")])
async def test_a_child_that_says_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch, code: str, said: str) -> None:
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **kept: real([sys.executable, "-c", code], **kept))
    if "sleep" in code:
        monkeypatch.setattr(process_module, "_START_SECONDS", 0.1)
    with pytest.raises(LocalFaultError, match=said):
        await EngineProcess.start(SETTINGS)


async def test_a_child_that_can_t_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    before = _open_files()
    with pytest.raises(FileNotFoundError):
        await EngineProcess.start(SETTINGS)
    assert _open_files() == before


async def test_a_child_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_END_SECONDS", 0.1)
    child = await EngineProcess.start(SETTINGS)
    os.kill(child.pid, signal.SIGSTOP)
    await child.close()
    assert _ended(child.pid)


async def test_ctrl_c_and_a_service_manager_s_sigterm_do_not_end_the_child() -> None:
    """They reach the whole group, and the parent has calls to end first."""
    child = await EngineProcess.start(SETTINGS)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(child.pid, number)
    await asyncio.sleep(0.1)
    assert not _ended(child.pid)
    await child.close()


async def test_commands_wait_while_the_child_does_not_read() -> None:
    """None is lost and nothing blocks; they are obeyed once it reads again."""
    child = await EngineProcess.start(SETTINGS)
    told: list[bytes] = []
    child.listen(told.append, lambda: None)
    os.kill(child.pid, signal.SIGSTOP)
    for number in range(3000):
        child.send(wire.encode({"op": "stop", "row": number, "generation": 0}))
    waiting = len(child._outbox)
    assert waiting > 0
    os.kill(child.pid, signal.SIGCONT)
    async with asyncio.timeout(10):
        while child._outbox:  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.01)
    assert told == []
    await child.close()


def test_a_killed_parent_takes_the_engine_and_its_stream_with_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as room:
        room.bind(("127.0.0.1", 0))
        room.settimeout(10)
        command = [sys.executable, "-c", PARENT, str(room.getsockname()[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            engine_pid = int(parent.stdout.readline())
            for _ in range(5):
                assert len(room.recv(2048)) == 172
            parent.kill()
            parent.wait()
            killed_at = time.monotonic()
            while not _ended(engine_pid):
                assert time.monotonic() - killed_at < 2, "the engine outlives its parent"
                time.sleep(0.005)
        room.setblocking(False)  # noqa: FBT003 - the standard library's signature
        with contextlib.suppress(BlockingIOError):
            while room.recv(2048):
                pass
        time.sleep(0.1)
        with pytest.raises(BlockingIOError):
            room.recv(2048)

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge_monitor.daemon.control import SOCKET_NAME, ControlServer, daemon_slot
from bridge_monitor.domain import Evidence, Grade, LadderStep, Outcome, ProbeResult, Target
from bridge_monitor.errors import LocalFaultError, RefusedError


class Daemon:
    """What the control server talks to."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.results: list[ProbeResult] = []
        self.evidence: list[Evidence] = []
        self.outside: list[bool] = []
        self.bandwidths: list[float | None] = []
        self.released: list[tuple[str, bool]] = []

    def reserve(self, site: str, *, outside_window: bool, bandwidth_bps: float | None) -> str | None:
        self.outside.append(outside_window)
        self.bandwidths.append(bandwidth_bps)
        if site in self.taken:
            return "site_in_call"
        self.taken.add(site)
        return None

    def release(self, site: str, *, called: bool) -> None:
        self.taken.discard(site)
        self.released.append((site, called))

    def keep(self, result: ProbeResult, evidence: Evidence) -> None:
        self.results.append(result)
        self.evidence.append(evidence)

    def server(self, folder: Path) -> ControlServer:
        return ControlServer(folder, self.reserve, self.release, self.keep)


def result(site: str | None) -> ProbeResult:
    return ProbeResult(
        id="0",
        target=Target(site, "sip:x@127.0.0.1"),
        kind="sip",
        profile="audio",
        vantage="centre",
        call_id="c",
        started_at=datetime(2024, 6, 27, 7, tzinfo=UTC),
        duration_seconds=1.0,
        outcome=Outcome.REACHED,
        reason=None,
        grade=Grade.GOOD,
    )


def evidence(site: str | None) -> Evidence:
    step = LadderStep(0.0, sent=True, peer="127.0.0.1:5060", start_line="INVITE sip:x SIP/2.0", text="INVITE …")
    return Evidence("0", site, (step,), offer="v=0", answer=None)


async def until_free(daemon: Daemon) -> None:
    async with asyncio.timeout(5):
        while daemon.taken:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


async def test_without_a_daemon_there_is_no_slot(tmp_path: Path) -> None:
    async with daemon_slot(tmp_path, "01") as slot:
        assert slot is None


async def test_a_slot_is_held_as_long_as_the_connection_and_tells_its_result(tmp_path: Path) -> None:
    daemon = Daemon()
    server = daemon.server(tmp_path)
    await server.start()
    async with daemon_slot(tmp_path, "01", outside_window=True, bandwidth_bps=1.18e6) as slot:
        assert slot is not None
        assert daemon.taken == {"01"}
        assert (daemon.outside, daemon.bandwidths) == ([True], [1.18e6])
        assert await slot.tell(result("01"), evidence("01"))
    await until_free(daemon)
    assert daemon.results == [result("01")]
    assert daemon.evidence == [evidence("01")]
    assert daemon.released == [("01", True)]
    await server.stop()


async def test_a_slot_given_back_without_a_result_says_that_nobody_was_called(tmp_path: Path) -> None:
    daemon = Daemon()
    server = daemon.server(tmp_path)
    await server.start()
    async with daemon_slot(tmp_path, "01"):
        pass
    await until_free(daemon)
    assert daemon.released == [("01", False)]
    await server.stop()


async def test_a_taken_site_is_refused_with_the_daemons_reason(tmp_path: Path) -> None:
    daemon = Daemon()
    server = daemon.server(tmp_path)
    await server.start()
    daemon.taken.add("01")
    with pytest.raises(RefusedError) as caught:
        async with daemon_slot(tmp_path, "01"):
            pytest.fail("held a slot that is taken")
    assert caught.value.reason == "site_in_call"
    await server.stop()


async def test_two_daemons_with_one_state_directory_are_refused(tmp_path: Path) -> None:
    first, second = Daemon().server(tmp_path), Daemon().server(tmp_path)
    await first.start()
    with pytest.raises(RefusedError) as caught:
        await second.start()
    assert caught.value.reason == "daemon_running"
    await first.stop()


async def test_a_socket_left_by_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    dead = await asyncio.start_unix_server(lambda _r, _w: None, path=tmp_path / SOCKET_NAME)
    dead.close()
    server = Daemon().server(tmp_path)
    await server.start()
    assert (tmp_path / SOCKET_NAME).stat().st_mode & 0o777 == 0o660
    await server.stop()
    assert not (tmp_path / SOCKET_NAME).exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{}", "bad_request"),
        (b"[]", "bad_request"),
        (b"no json", "bad_request"),
        (b'{"op": "dance"}', "unknown_op"),
        (b'{"op": "reserve"}', "bad_request"),
        (b'{"op": "result", "result": {}}', "bad_request"),
    ],
)
async def test_nonsense_is_answered_and_the_connection_lives_on(tmp_path: Path, line: bytes, reason: str) -> None:
    server = Daemon().server(tmp_path)
    await server.start()
    reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
    for _ in range(2):
        writer.write(line + b"\n")
        answer = json.loads(await reader.readline())
        assert answer["ok"] is False
        assert answer["reason"].startswith(reason)
    writer.close()
    await writer.wait_closed()
    await server.stop()


async def test_a_result_of_a_site_that_is_not_held_is_not_kept(tmp_path: Path) -> None:
    """A hand command can't put results of other sites into the store."""
    daemon = Daemon()
    server = daemon.server(tmp_path)
    await server.start()
    async with daemon_slot(tmp_path, "01") as slot:
        assert slot is not None
        assert not await slot.tell(result("02"), evidence("02"))
        assert not await slot.tell(result(None), evidence(None))
    assert daemon.results == []
    await server.stop()


async def test_stopping_gives_back_what_is_still_held(tmp_path: Path) -> None:
    daemon = Daemon()
    server = daemon.server(tmp_path)
    await server.start()
    async with daemon_slot(tmp_path, "01"):
        await server.stop()
        assert daemon.taken == set()


async def test_a_daemon_that_ends_meanwhile_does_not_cost_the_hand_command_its_result(tmp_path: Path) -> None:
    server = Daemon().server(tmp_path)
    await server.start()
    async with daemon_slot(tmp_path, "01") as slot:
        assert slot is not None
        await server.stop()
        assert not await slot.tell(result("01"), evidence("01"))


async def test_a_daemon_that_answers_nonsense_is_a_local_fault(tmp_path: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"what?\n")
        writer.close()

    server = await asyncio.start_unix_server(babble, path=tmp_path / SOCKET_NAME)
    with pytest.raises(LocalFaultError, match="does not answer"):
        async with daemon_slot(tmp_path, "01"):
            pytest.fail("held a slot that nobody gave")
    server.close()
    await server.wait_closed()


async def test_a_socket_that_cannot_be_asked_is_a_local_fault(tmp_path: Path) -> None:
    """Whether a call is up is not known then, so none may be placed."""
    (tmp_path / "file").touch()
    with pytest.raises(LocalFaultError, match="can't be asked"):
        async with daemon_slot(tmp_path / "file", "01"):
            pytest.fail("held a slot that nobody gave")


async def test_a_path_too_long_for_a_socket_is_said_so(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with pytest.raises(LocalFaultError, match="shorter path"):
        await Daemon().server(folder).start()

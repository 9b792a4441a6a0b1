"""The daemon's control socket: hand commands ask here for a site's slot, and tell their results.

Owns the protocol: one JSON object a line over a UNIX socket in the state directory. The slot lives as long as the
connection, so that a killed hand command gives it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from bridge_monitor.domain import Evidence, LadderStep, ProbeResult
from bridge_monitor.errors import LocalFaultError, RefusedError

_LOG = structlog.get_logger(__name__)
_LINE_LIMIT: Final = 1 << 20
_ANSWER_PATIENCE: Final = 5.0
SOCKET_NAME: Final = "control.sock"


class Reserve(Protocol):
    """Takes the slot of a site; returns the reason if it can't be had."""

    def __call__(self, site: str, *, outside_window: bool, bandwidth_bps: float | None) -> str | None:
        """Take it; see `schedule.Planner.reserve` for the reasons, and for a bandwidth other than planned."""


class Release(Protocol):
    """Gives the slot of a site back."""

    def __call__(self, site: str, *, called: bool) -> None:
        """Give it back; ``called`` says whether a call's result was told."""


TakeResult = Callable[[ProbeResult, Evidence], None]


class ControlServer:
    """The daemon's side.

    Args:
        state_dir: Where the socket is made.
        reserve: Takes a site's slot for a hand call.
        release: Gives it back.
        take_result: Keeps the result of a hand call.
    """

    def __init__(self, state_dir: Path, reserve: Reserve, release: Release, take_result: TakeResult) -> None:
        self._path = state_dir / SOCKET_NAME
        self._reserve = reserve
        self._release = release
        self._take_result = take_result
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            RefusedError: Another daemon listens there (reason ``daemon_running``).
        LocalFaultError: The socket can't be made.
        """
        try:
            if await _somebody_listens(self._path):
                raise RefusedError("daemon_running", f"{self._path}: another daemon runs with this state directory")
            self._path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, path=self._path, limit=_LINE_LIMIT)
            self._path.chmod(0o660)
        except OSError as error:
            raise LocalFaultError(
                f"{self._path}: the control socket can't be made: {error.strerror or error}; "
                "name another directory, with a shorter path, with listen.state_dir or --state-dir"
            ) from error

    async def stop(self) -> None:
        """Stop listening; slots that are still taken are given back."""
        if self._server is not None:
            self._server.close()
            await asyncio.sleep(0)  # a connection accepted just now becomes one of those below
            for connection in list(self._connections):
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        held: dict[str, bool] = {}
        try:
            while line := await reader.readline():
                answer = self._answer(line, held)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass
        finally:
            for site, called in held.items():
                self._release(site, called=called)
            await _close(writer)

    def _answer(self, line: bytes, held: dict[str, bool]) -> dict[str, Any]:
        """Answer one request; ``held`` is what this connection holds, and whether a result was told of it."""
        try:
            request = json.loads(line)
            match request["op"]:
                case "reserve":
                    site = str(request["site"])
                    wanted = request.get("bandwidth_bps")
                    reason = self._reserve(
                        site,
                        outside_window=bool(request.get("outside_window")),
                        bandwidth_bps=None if wanted is None else float(wanted),
                    )
                    if reason is not None:
                        return {"ok": False, "reason": reason}
                    held[site] = False
                    return {"ok": True}
                case "result":
                    result = ProbeResult.from_dict(request["result"])
                    code = result.target.site
                    if code is None or code not in held:
                        return {"ok": False, "reason": "slot_not_held"}
                    self._take_result(result, _evidence_from(request["evidence"]))
                    held[code] = True
                    return {"ok": True}
                case _:
                    return {"ok": False, "reason": "unknown_op"}
        except (KeyError, TypeError, ValueError) as error:
            return {"ok": False, "reason": f"bad_request: {error}"}


class Slot:
    """A site's slot, held from the daemon by a hand command; given back when the connection closes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def tell(self, result: ProbeResult, evidence: Evidence) -> bool:
        """Hand the call's result to the daemon, which keeps it like its own; False if it could not be handed over."""
        try:
            answer = await self._ask({"op": "result", "result": result.to_dict(), "evidence": evidence.to_dict()})
        except LocalFaultError:
            return False
        return bool(answer.get("ok"))

    async def take(self, site: str, *, outside_window: bool = False, bandwidth_bps: float | None = None) -> None:
        """Take the slot.

        Raises:
            RefusedError: The daemon says no; its reason is the daemon's.
            LocalFaultError: It does not answer.
        """
        answer = await self._ask(
            {"op": "reserve", "site": site, "outside_window": outside_window, "bandwidth_bps": bandwidth_bps}
        )
        if not answer.get("ok"):
            reason = str(answer.get("reason"))
            raise RefusedError(reason, f"site {site}: the running daemon says {reason}")

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_ANSWER_PATIENCE):
                self._writer.write(json.dumps(request).encode() + b"\n")
                await self._writer.drain()
                answer: dict[str, Any] = json.loads(await self._reader.readline())
        except (TimeoutError, OSError, ValueError) as error:
            raise LocalFaultError("the running daemon does not answer on its control socket") from error
        return answer


@contextlib.asynccontextmanager
async def daemon_slot(
    state_dir: Path, site: str, *, outside_window: bool = False, bandwidth_bps: float | None = None
) -> AsyncIterator[Slot | None]:
    """Hold a site's slot of the running daemon, whose caps count this bandwidth, else the planned; None if none runs.

    Raises:
        RefusedError: The daemon says no.
        LocalFaultError: It can't be asked, so nobody knows what it has up.
    """
    path = state_dir / SOCKET_NAME
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=_LINE_LIMIT)
    except (FileNotFoundError, ConnectionRefusedError):
        yield None
        return
    except OSError as error:
        raise LocalFaultError(
            f"{path}: the running daemon can't be asked ({error.strerror}); run the command as the daemon's user"
        ) from error
    try:
        slot = Slot(reader, writer)
        await slot.take(site, outside_window=outside_window, bandwidth_bps=bandwidth_bps)
        yield slot
    finally:
        await _close(writer)


def _evidence_from(plain: dict[str, Any]) -> Evidence:
    """Rebuild what a call left behind from `Evidence.to_dict`'s form."""
    ladder = tuple(LadderStep(**step) for step in plain["ladder"])
    return Evidence(plain["result_id"], plain["site"], ladder, plain["offer"], plain["answer"])


async def _somebody_listens(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    await _close(writer)
    return True


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()

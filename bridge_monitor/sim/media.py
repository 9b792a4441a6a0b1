"""The SIP side's handle on all rooms' media: starts the media process, begins and ends calls, sets what lines do.

Owns the process and the calls' rows; must not look into packets.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import socket
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net.mmsg import enable_dont_fragment, ip_number
from bridge_monitor.sim.assignment import SimulatedSite
from bridge_monitor.sim.board import HAMPERS_FROM_ROOM, HAMPERS_TO_ROOM, READY, Board, BoardSize, Line
from bridge_monitor.sim.faults import CodecStage, Direction, Fault, FaultKind
from bridge_monitor.sim.reflector import ReflectorSettings
from bridge_monitor.sim.room_sound import CODECS
from bridge_monitor.sim.wire import MediaSockets

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0
_BEGINNING: Final = struct.Struct("=IHI")
_JITTER_WIDTH: Final = 3.0
"""Independent delays, uniform over a width w, differ by w/3 on average: that is where RFC 3550's estimate settles."""

_FLAGS: Final[Mapping[FaultKind, Line]] = {
    FaultKind.SILENT: Line.DEAF | Line.MUTE | Line.NO_RTCP,
    FaultKind.DEAD: Line.DEAF | Line.MUTE | Line.NO_RTCP,
    FaultKind.NO_MEDIA: Line.DEAF | Line.MUTE | Line.NO_RTCP,
    FaultKind.ONE_WAY_IN: Line.OWN_STREAM | Line.DEAF,
    FaultKind.ONE_WAY_OUT: Line.MUTE,
    FaultKind.UNEXPECTED_PORT: Line.ODD_PORT,
    FaultKind.MUTED: Line.OWN_STREAM | Line.MUTED,
}

_FLAGS_TO_ROOM: Final = Line.DEAF | Line.OWN_STREAM
_FLAGS_FROM_ROOM: Final = Line.MUTE | Line.ODD_PORT
_COLUMNS_TO_ROOM: Final = ("loss_to_room", "large_limit", "police_to_room")
_COLUMNS_FROM_ROOM: Final = (
    "loss_from_room", "delay_ns", "jitter_ns", "reorder_rate", "duplicate_rate", "police_from_room",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MediaCall:
    """What the media of a new call must know: where the caller wants it, and as what."""

    caller_host: str
    rtp_port: int
    rtcp_port: int
    payload_type: int
    codec: str
    signalling_host: str = ""
    """Where its INVITE came from, if media may come from there too (`ReflectorSettings.only_callers`)."""
    video: bool = False
    """Whether this is the video of a call, which is reflected whatever it is."""


class Media:
    """All rooms' media.

    Args:
        sites: The rooms, in the order of their rows.
        slots: Calls at once that one address may have.
        first_port: First media port; None for any free ones.
        settings: How the media process works.
        rng: Where seeds and SSRCs come from.
    """

    def __init__(
        self,
        sites: Sequence[SimulatedSite],
        slots: int,
        first_port: int | None,
        settings: ReflectorSettings,
        rng: np.random.Generator,
    ) -> None:
        addresses = sorted({ip_number(site.host) for site in sites})
        self._size = BoardSize(len(addresses), slots, len(sites))
        self._settings = settings
        self._rng = rng
        self._sockets = MediaSockets.open(slots, first_port)
        self._ports = tuple(self._sockets.port(index) for index in range(2 * slots))
        if not settings.only_callers:
            # Inside one machine nothing is ever cut up, and a datagram that may not be needs no number of its own: the
            # kernel's search for one costs a twentieth of all that the rooms' media cost.
            for sock in self._sockets.sockets:
                enable_dont_fragment(sock)
        self._memory_fd = os.memfd_create("bridge_monitor.sim", os.MFD_CLOEXEC)
        os.ftruncate(self._memory_fd, Board.bytes_needed(self._size))
        self.board = Board(self._size, mmap.mmap(self._memory_fd, Board.bytes_needed(self._size)))
        self.board.addresses[:] = addresses
        self.board.seed[:] = rng.integers(0, 2**63, len(sites), dtype=np.uint64)
        place = {address: index for index, address in enumerate(addresses)}
        self._first_row = [place[ip_number(site.host)] * slots for site in sites]
        self._serial = 0
        self._process: asyncio.subprocess.Process | None = None
        self._pipe: socket.socket | None = None

    @property
    def alive(self) -> bool:
        """Whether the media process runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the media process and wait until it listens.

        Raises:
            LocalFaultError: It does not come up.
        """
        self._pipe, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._pipe.setblocking(False)  # noqa: FBT003 - the method's own signature
        given = {
            "size": asdict(self._size),
            "board": self._memory_fd,
            "pipe": theirs.fileno(),
            "sockets": [sock.fileno() for sock in self._sockets.sockets],
            "settings": asdict(self._settings),
        }
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "bridge_monitor.sim.media_process",
                json.dumps(given),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(self._memory_fd, theirs.fileno(), *given["sockets"]),  # type: ignore[misc]
            )
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await asyncio.get_running_loop().sock_recv(self._pipe, 1)
        except TimeoutError:
            ready = b""
        if ready != READY:
            await self.stop()
            raise LocalFaultError("the rooms' media process did not come up; its own message is above")

    async def stop(self) -> None:
        """End the media process and give back ports and memory; the tallies stay readable."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._sockets.close()
        if self._memory_fd >= 0:
            os.close(self._memory_fd)
            self._memory_fd = -1

    # --- calls -------------------------------------------------------------------------------------------------------

    def reserve(self, site: int) -> int | None:
        """Return a free call row of the site's address, or None if all its slots are in use."""
        first = self._first_row[site]
        for row in range(first, first + self._size.slots):
            if not self.board.serial[row]:
                return row
        return None

    def ports(self, row: int) -> tuple[int, int]:
        """Return the RTP and RTCP port of a row's slot."""
        slot = row % self._size.slots
        return self._ports[slot], self._ports[self._size.slots + slot]

    def begin(self, row: int, site: int, call: MediaCall) -> None:
        """Begin a call's media on a free row."""
        board = self.board
        board.site[row] = site
        board.caller_ip[row] = ip_number(call.caller_host)
        board.signalling_ip[row] = ip_number(call.signalling_host) if call.signalling_host else 0
        board.caller_rtp_port[row] = call.rtp_port
        board.caller_rtcp_port[row] = call.rtcp_port
        board.payload_type[row] = call.payload_type
        board.codec[row] = 0 if call.video else CODECS.index(call.codec)
        board.video[row] = call.video
        ssrc, board.first_sequence[row], board.first_timestamp[row] = _BEGINNING.unpack(self._rng.bytes(10))
        board.ssrc[row] = ssrc or 1
        self._serial = self._serial % 0xFFFFFFFF + 1
        board.serial[row] = self._serial
        board.changes.tell(row)

    def end(self, row: int) -> None:
        """End a call's media: what arrives from now on comes too late."""
        self.board.ended_ns[row] = time.time_ns()
        self.board.serial[row] = 0
        self.board.changes.tell(row)

    def mute(self, site: int, *, muted: bool) -> None:
        """Have a room without faults be silent for a while, as on hold (RFC 3264 §8.4)."""
        self.board.flags[site] = Line.MUTE if muted else Line(0)
        self.board.impaired[site] = HAMPERS_FROM_ROOM if muted else 0

    # --- lines -------------------------------------------------------------------------------------------------------

    def set_line(self, site: int, faults: Sequence[Fault], *, own_stream: bool) -> None:
        """Make a room's line have these faults and no others; calls that are up feel it at once."""
        board = self.board
        flags = Line.OWN_STREAM if own_stream else Line(0)
        columns: dict[str, float] = {
            "loss_to_room": 0.0,
            "burst_to_room": 0.0,
            "loss_from_room": 0.0,
            "burst_from_room": 0.0,
            "delay_ns": 0,
            "jitter_ns": 0,
            "reorder_rate": 0.0,
            "reorder_ns": 0,
            "duplicate_rate": 0.0,
            "large_limit": 0,
            "police_to_room": 0.0,
            "police_from_room": 0.0,
            "wrong_payload_type": 0,
        }
        for fault in faults:
            flags |= _FLAGS.get(fault.kind, Line(0))
            if fault.kind is FaultKind.WRONG_CODEC:
                flags |= Line.OWN_STREAM
                columns["wrong_payload_type"] = WRONG_PAYLOAD_TYPE
            columns |= _line_columns(fault)
        for name, value in columns.items():
            getattr(board, name)[site] = value
        board.flags[site] = flags
        to_room = flags & _FLAGS_TO_ROOM or any(columns[name] for name in _COLUMNS_TO_ROOM)
        from_room = flags & _FLAGS_FROM_ROOM or any(columns[name] for name in _COLUMNS_FROM_ROOM)
        board.impaired[site] = HAMPERS_TO_ROOM * bool(to_room) | HAMPERS_FROM_ROOM * bool(from_room)


WRONG_PAYLOAD_TYPE: Final = 9
"""G.722 (RFC 3551 §6): every room has it, our offer does not."""


def _line_columns(fault: Fault) -> dict[str, float]:
    match fault.kind:
        case FaultKind.LOSS:
            columns: dict[str, float] = {}
            for direction in (Direction.TO_ROOM, Direction.FROM_ROOM):
                if fault.direction in (direction, Direction.BOTH):
                    columns |= {f"loss_{direction}": fault.rate, f"burst_{direction}": fault.burst or 0.0}
            return columns
        case FaultKind.DELAY:
            return {"delay_ns": round(fault.seconds * 1e9)}
        case FaultKind.JITTER:
            return {"jitter_ns": round(fault.seconds * _JITTER_WIDTH * 1e9)}
        case FaultKind.REORDERING:
            return {"reorder_rate": fault.rate, "reorder_ns": round(fault.seconds * 1e9)}
        case FaultKind.DUPLICATION:
            return {"duplicate_rate": fault.rate}
        case FaultKind.BANDWIDTH:
            ways = (Direction.TO_ROOM, Direction.FROM_ROOM)
            return {f"police_{way}": fault.bits_per_second for way in ways if fault.direction in (way, Direction.BOTH)}
        case FaultKind.LARGE_PACKETS_LOST:
            return {"large_limit": fault.threshold_bytes}
        case _:
            return {}


def answers_wrong_codec(faults: Sequence[Fault]) -> bool:
    """Whether the SDP answer names the codec that was not offered."""
    return any(fault.kind is FaultKind.WRONG_CODEC and fault.stage is CodecStage.ANSWER for fault in faults)

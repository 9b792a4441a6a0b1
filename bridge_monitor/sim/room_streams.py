"""What rooms send of their own accord: a G.711 stream of an empty room's noise.

Owns its pace and contents; the line (`sim.wire`) decides what becomes of it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from bridge_monitor.net.mmsg import SendBatch
from bridge_monitor.rtp.packet import HEADER_BYTES, RTP_HEADER
from bridge_monitor.sim.board import Array, Board, Line
from bridge_monitor.sim.calls import CallView
from bridge_monitor.sim.impairment import NEVER_NS
from bridge_monitor.sim.room_sound import SAMPLES, room_sound
from bridge_monitor.sim.wire import Departures, Wire

PACKET_NS: Final = 20_000_000

_LOOK_NS: Final = 20_000_000
"""How often to look for lines that have changed between reflecting and a stream of their own."""
_GRID_NS: Final = 10_000_000
"""Streams begin on this grid, so that a packet interval has two moments at which some are due, not one a stream."""
_STEP_NS: Final = 1_000_000_000
"""A stream that is this far behind has been switched on now, or our own process slept; it goes on from now."""
_BATCH: Final = 1024
_OWN_STREAM: Final = int(Line.OWN_STREAM)
_MUTED: Final = int(Line.MUTED)


class OwnStreams:
    """The rooms' own RTP streams.

    Args:
        board: The shared columns.
        wire: The way out.

    Attributes:
        packets: Packets each call's room has sent, by row.
        next_due_ns: When `send` must be called next.
    """

    def __init__(self, board: Board, wire: Wire) -> None:
        self._board = board
        self._wire = wire
        self._next_ns = np.zeros(board.size.calls, np.int64)
        self.packets = np.zeros(board.size.calls, np.int64)
        self.next_due_ns: int = 0
        self._rows: Array = np.zeros(0, np.int64)
        self._look_ns = 0
        self._batch = SendBatch(_BATCH, HEADER_BYTES + SAMPLES, pktinfo=True)
        self._batch.lengths[:] = HEADER_BYTES + SAMPLES
        self._headers: np.ndarray[Any, Any] = self._batch.data[:, :HEADER_BYTES].view(RTP_HEADER)[:, 0]
        self._headers["vpxcc"] = 0x80

    def begin(self, rows: Array, now_ns: int) -> None:
        """Start these calls' streams."""
        self.packets[rows] = 0
        self._next_ns[rows] = _on_grid(now_ns)
        own = rows[self._streams(rows)]
        if own.size:
            self._rows = np.union1d(self._rows, own)
            self.next_due_ns = min(self.next_due_ns, int(self._next_ns[own].min()))

    def send(self, calls: CallView, now_ns: int) -> None:
        """Send what is due of the calls that are up."""
        if now_ns < self.next_due_ns:
            return
        if now_ns >= self._look_ns:
            self._rows = calls.live[self._streams(calls.live)]
            self._look_ns = now_ns + _LOOK_NS
        else:
            self._rows = self._rows[calls.are_up(self._rows)]
        rows = self._rows
        late = rows[self._next_ns[rows] < now_ns - _STEP_NS]
        self._next_ns[late] = _on_grid(now_ns)
        due = rows[self._next_ns[rows] <= now_ns]
        for start in range(0, len(due), _BATCH):
            self._send_rows(due[start : start + _BATCH])
        first = int(self._next_ns[rows].min()) if len(rows) else NEVER_NS
        self.next_due_ns = min(first, self._look_ns)

    def _streams(self, rows: Array) -> Array:
        """Return which of these calls' rooms send a stream of their own."""
        board = self._board
        own: Array = (board.flags[board.site[rows]] & _OWN_STREAM != 0) & (board.video[rows] == 0)
        return own

    def timestamp(self, row: int, now_ns: int) -> int:
        """Return the RTP timestamp that belongs to ``now_ns``, for a sender report (RFC 3550 §6.4.1)."""
        ahead = (now_ns - int(self._next_ns[row])) * SAMPLES // PACKET_NS
        return int(self._board.first_timestamp[row]) + int(self.packets[row]) * SAMPLES + ahead & 0xFFFFFFFF

    def _send_rows(self, rows: Array) -> None:
        board, batch, count = self._board, self._batch, len(rows)
        sites = board.site[rows]
        packets = self.packets[rows]
        wrong = board.wrong_payload_type[sites]
        headers = self._headers[:count]
        headers["m_pt"] = np.where(wrong > 0, wrong, board.payload_type[rows]) | np.where(packets == 0, 0x80, 0)
        headers["seq"] = board.first_sequence[rows] + packets & 0xFFFF
        headers["timestamp"] = board.first_timestamp[rows] + packets * SAMPLES & 0xFFFFFFFF
        headers["ssrc"] = board.ssrc[rows]
        muted = board.flags[sites] & _MUTED != 0
        batch.data[:count, HEADER_BYTES:] = room_sound(board.codec[rows], rows, packets, muted)
        batch.dst_ip[:count] = board.caller_ip[rows]
        batch.dst_port[:count] = board.caller_rtp_port[rows]
        batch.src_ip[:count] = board.addresses[rows // board.size.slots]
        base_ns = self._next_ns[rows]
        self._wire.depart(Departures(batch, np.arange(count), sites, rows % board.size.slots, base_ns))
        self.packets[rows] += 1
        self._next_ns[rows] = base_ns + PACKET_NS


def _on_grid(now_ns: int) -> int:
    """Return the next moment at which a stream may begin."""
    return -(-now_ns // _GRID_NS) * _GRID_NS

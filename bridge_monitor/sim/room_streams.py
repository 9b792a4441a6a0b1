"""What rooms send of their own accord: a G.711 stream of an empty room's noise, and RTCP reports of what they receive.

Owns its pace and contents; the line (`sim.wire`) decides what becomes of it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from bridge_monitor.net.mmsg import RecvBatch, SendBatch
from bridge_monitor.rtp.columns import ReceptionColumns
from bridge_monitor.rtp.packet import HEADER_BYTES, RTP_HEADER
from bridge_monitor.rtp.rtcp import (
    SR,
    ReceiverReport,
    SenderReport,
    SourceDescription,
    build_compound,
    dlsr_from_ns,
    ntp_from_unix_ns,
)
from bridge_monitor.sim.board import Array, Board, Line
from bridge_monitor.sim.impairment import NEVER_NS, uniform
from bridge_monitor.sim.room_sound import SAMPLES, room_sound
from bridge_monitor.sim.wire import Departures, Wire

PACKET_NS: Final = 20_000_000

_LOOK_NS: Final = 20_000_000
"""How often to look for lines that have changed between reflecting and a stream of their own."""
_REPORTS_NS: Final = 10_000_000
"""Reports due within so long leave together: each round that sends any costs more than a report."""
_STEP_NS: Final = 1_000_000_000
"""A stream that is this far behind has been switched on now, or our own process slept; it goes on from now."""
_BATCH: Final = 1024
_RTCP_SIZE: Final = 256
_COMPENSATION: Final = 1.21828  # e − 3/2, RFC 3550 §6.3.1
_RTCP_SALT: Final = 5


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
        self._batch = SendBatch(_BATCH, HEADER_BYTES + SAMPLES, pktinfo=True)
        self._batch.lengths[:] = HEADER_BYTES + SAMPLES
        self._headers: np.ndarray[Any, Any] = self._batch.data[:, :HEADER_BYTES].view(RTP_HEADER)[:, 0]
        self._headers["vpxcc"] = 0x80

    def begin(self, rows: Array, now_ns: int) -> None:
        """Start these calls' streams."""
        self.packets[rows] = 0
        self._next_ns[rows] = now_ns
        self.next_due_ns = min(self.next_due_ns, now_ns)

    def send(self, live: Array, now_ns: int) -> None:
        """Send what is due.

        Args:
            live: Rows of the calls that are up.
            now_ns: The present time.
        """
        if now_ns < self.next_due_ns:
            return
        board = self._board
        rows = live[(board.flags[board.site[live]] & Line.OWN_STREAM != 0) & (board.video[live] == 0)]
        due = rows[self._next_ns[rows] <= now_ns]
        late = due[self._next_ns[due] < now_ns - _STEP_NS]
        self._next_ns[late] = now_ns
        for start in range(0, len(due), _BATCH):
            self._send_rows(due[start : start + _BATCH])
        first = int(self._next_ns[rows].min()) if len(rows) else NEVER_NS
        self.next_due_ns = min(first, now_ns + _LOOK_NS)

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
        muted = board.flags[sites] & Line.MUTED != 0
        batch.data[:count, HEADER_BYTES:] = room_sound(board.codec[rows], rows, packets, muted)
        batch.dst_ip[:count] = board.caller_ip[rows]
        batch.dst_port[:count] = board.caller_rtp_port[rows]
        batch.src_ip[:count] = board.addresses[rows // board.size.slots]
        base_ns = self._next_ns[rows]
        self._wire.depart(Departures(batch, np.arange(count), sites, rows % board.size.slots, base_ns))
        self.packets[rows] += 1
        self._next_ns[rows] = base_ns + PACKET_NS


class RoomReports:
    """The rooms' RTCP: sender reports where they stream, receiver reports where they reflect (RFC 3550 §6.4).

    Args:
        board: The shared columns.
        wire: The way out.
        streams: The rooms' own streams.
        reception: What each call's room has received.
        interval_seconds: The calculated interval of RFC 3550 §6.3.1; the first is half of it, each is drawn from 0.5
            to 1.5 times that.
        only_callers: Report to nobody from whom nothing has come yet, and to where RTCP really comes from.

    Attributes:
        next_due_ns: When `send` must be called next.
    """

    def __init__(
        self,
        board: Board,
        wire: Wire,
        streams: OwnStreams,
        reception: ReceptionColumns,
        interval_seconds: float,
        *,
        only_callers: bool = False,
    ) -> None:
        self._board = board
        self._wire = wire
        self._streams = streams
        self._reception = reception
        self._interval_ns = interval_seconds * 1e9 / _COMPENSATION
        calls = board.size.calls
        self._next_ns = np.zeros(calls, np.int64)
        self._reports = np.zeros(calls, np.int64)
        self._lsr = np.zeros(calls, np.uint32)
        self._lsr_ns = np.zeros(calls, np.int64)
        self._only_callers = only_callers
        self._heard = np.full(calls, not only_callers)
        self._to_ip = np.zeros(calls, np.uint32)
        self._to_port = np.zeros(calls, np.uint16)
        self._batch = SendBatch(_BATCH, _RTCP_SIZE, pktinfo=True)
        self.next_due_ns: int = NEVER_NS

    def begin(self, rows: Array, now_ns: int) -> None:
        """Start reporting on these calls."""
        self._reports[rows] = 0
        self._lsr[rows] = 0
        self._heard[rows] = not self._only_callers
        self._to_ip[rows] = self._board.caller_ip[rows]
        self._to_port[rows] = self._board.caller_rtcp_port[rows]
        self._schedule(rows, now_ns)
        self.next_due_ns = min(self.next_due_ns, int(self._next_ns[rows].min()))

    def hear(self, rows: Array) -> None:
        """Take note that these calls' callers are where they say."""
        self._heard[rows] = True

    def receive(self, batch: RecvBatch, rows: Array, entries: Array) -> None:
        """Take RTCP of callers; of it only a leading SR's time matters here (A.2: SR or RR comes first)."""
        board = self._board
        rows = rows[entries]
        np.add.at(board.rtcp_received, board.site[rows], 1)
        if self._only_callers:
            self._to_ip[rows] = batch.src_ip[entries]
            self._to_port[rows] = batch.src_port[entries]
            self._heard[rows] = True
        data = batch.data[entries]
        report = (data[:, 0] >> 6 == 2) & (data[:, 1] == SR) & (batch.lengths[entries] >= 28)
        report &= board.flags[board.site[rows]] & Line.DEAF == 0
        row = rows[report]
        self._lsr[row] = np.ascontiguousarray(data[report, 10:14]).view(">u4")[:, 0]  # middle of the NTP time
        self._lsr_ns[row] = batch.arrival_ns[entries[report]]

    def send(self, live: Array, now_ns: int) -> None:
        """Send the reports that are due."""
        if now_ns < self.next_due_ns:
            return
        board = self._board
        due = live[self._next_ns[live] <= now_ns]
        speaking = due[(board.flags[board.site[due]] & Line.NO_RTCP == 0) & self._heard[due]]
        for start in range(0, len(speaking), _BATCH):
            self._send_rows(speaking[start : start + _BATCH], now_ns)
        if len(due):
            self._schedule(due, now_ns)
        first = int(self._next_ns[live].min()) if len(live) else NEVER_NS
        self.next_due_ns = max(first, now_ns + _REPORTS_NS)

    def _schedule(self, rows: Array, now_ns: int) -> None:
        first = self._reports[rows] == 0
        chance = uniform(self._board.seed[self._board.site[rows]], self._reports[rows], _RTCP_SALT)
        wait = self._interval_ns * np.where(first, 0.5, 1.0) * (0.5 + chance)
        self._reports[rows] += 1
        self._next_ns[rows] = now_ns + wait.astype(np.int64)

    def _send_rows(self, rows: Array, now_ns: int) -> None:
        board, batch, slots = self._board, self._batch, self._board.size.slots
        for entry, row in enumerate(rows.tolist()):
            compound = self._compound(row, now_ns)
            batch.data[entry, : len(compound)] = np.frombuffer(compound, np.uint8)
            batch.lengths[entry] = len(compound)
        count = len(rows)
        batch.dst_ip[:count] = self._to_ip[rows]
        batch.dst_port[:count] = self._to_port[rows]
        batch.src_ip[:count] = board.addresses[rows // slots]
        base_ns = np.full(count, now_ns)
        self._wire.depart(Departures(batch, np.arange(count), board.site[rows], slots + rows % slots, base_ns))

    def _compound(self, row: int, now_ns: int) -> bytes:
        lsr = int(self._lsr[row])
        dlsr = dlsr_from_ns(now_ns - int(self._lsr_ns[row])) if lsr else 0
        block = self._reception.report_block(row, lsr=lsr, dlsr=dlsr)
        blocks = (block,) if block is not None else ()
        ssrc = int(self._board.ssrc[row])
        packets = int(self._streams.packets[row])
        report: SenderReport | ReceiverReport
        if packets:
            timestamp = self._streams.timestamp(row, now_ns)
            report = SenderReport(ssrc, ntp_from_unix_ns(now_ns), timestamp, packets, packets * SAMPLES, blocks)
        else:
            report = ReceiverReport(ssrc, blocks)
        return build_compound(report, SourceDescription(((ssrc, f"room-{ssrc:08x}"),)))

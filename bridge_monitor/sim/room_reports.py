"""What rooms report by RTCP of what they receive, and of what they send (RFC 3550 §6).

Owns the reports' pace and contents; the line (`sim.wire`) decides what becomes of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bridge_monitor.net.mmsg import RecvBatch, SendBatch
from bridge_monitor.rtp.columns import ReportBlocks
from bridge_monitor.rtp.rtcp import (
    RR,
    SDES,
    SR,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    build_compound,
    ntp_from_unix_ns,
)
from bridge_monitor.sim.board import Array, Board, Line
from bridge_monitor.sim.calls import CallView
from bridge_monitor.sim.impairment import NEVER_NS, uniform
from bridge_monitor.sim.room_reception import RoomReception
from bridge_monitor.sim.room_sound import SAMPLES
from bridge_monitor.sim.room_streams import OwnStreams
from bridge_monitor.sim.wire import Departures, Wire

_REPORTS_NS: Final = 20_000_000
"""Reports due within so long leave together: each round that sends any costs more than a report."""
_BATCH: Final = 1024
_RTCP_SIZE: Final = 256
_COMPENSATION: Final = 1.21828  # e − 3/2, RFC 3550 §6.3.1
_RTCP_SALT: Final = 5

RECEIVER_REPORT: Final = np.dtype(
    [
        ("head", ">u4"), ("ssrc", ">u4"), ("source", ">u4"), ("loss", ">u4"), ("highest", ">u4"), ("jitter", ">u4"),
        ("lsr", ">u4"), ("dlsr", ">u4"), ("description", ">u4"), ("chunk", ">u4"), ("item", "S7"), ("name", "S8"),
        ("end", "u1"),
    ]
)  # fmt: skip
"""RR with one block, and SDES with the CNAME ``room-`` and eight hexadecimal digits (RFC 3550 §6.4.2, §6.5)."""
_HEAD: Final = 0x81 << 24 | RR << 16 | 7
_DESCRIPTION: Final = 0x81 << 24 | SDES << 16 | 5
_ITEM: Final = b"\x01\x0droom-"
_HEXADECIMAL: Final = np.array([f"{byte:02x}".encode() for byte in range(256)], "S2")


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
        reception: RoomReception,
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
        self._receiver = self._batch.data[:, : RECEIVER_REPORT.itemsize].view(RECEIVER_REPORT)[:, 0]
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

    def send(self, calls: CallView, now_ns: int) -> None:
        """Send the reports that are due of the calls that are up."""
        if now_ns < self.next_due_ns:
            return
        board, live = self._board, calls.live
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
        board, batch, slots, count = self._board, self._batch, self._board.size.slots, len(rows)
        ssrc, lsr = board.ssrc[rows], self._lsr[rows]
        since = np.maximum(now_ns - self._lsr_ns[rows], 0) * 65536 // 1_000_000_000
        dlsr = np.where(lsr > 0, np.minimum(since, 0xFFFFFFFF), 0)
        blocks = self._reception.report_blocks(rows)
        write_receiver_reports(self._receiver[:count], ssrc, blocks, lsr, dlsr)
        batch.lengths[:count] = RECEIVER_REPORT.itemsize
        packets = self._streams.packets[rows]
        for entry in np.flatnonzero((packets > 0) | ~blocks.heard).tolist():
            block = block_of(blocks, entry, int(lsr[entry]), int(dlsr[entry]))
            compound = self._compound(int(rows[entry]), int(packets[entry]), block, now_ns)
            batch.data[entry, : len(compound)] = np.frombuffer(compound, np.uint8)
            batch.lengths[entry] = len(compound)
        batch.dst_ip[:count] = self._to_ip[rows]
        batch.dst_port[:count] = self._to_port[rows]
        batch.src_ip[:count] = board.addresses[rows // slots]
        base_ns = np.full(count, now_ns)
        self._wire.depart(Departures(batch, np.arange(count), board.site[rows], slots + rows % slots, base_ns))

    def _compound(self, row: int, packets: int, block: ReportBlock | None, now_ns: int) -> bytes:
        """Return the report of a room that sends a stream of its own, or that has received nothing."""
        ssrc = self._board.ssrc.item(row)
        blocks = (block,) if block is not None else ()
        report: SenderReport | ReceiverReport
        if packets:
            timestamp = self._streams.timestamp(row, now_ns)
            report = SenderReport(ssrc, ntp_from_unix_ns(now_ns), timestamp, packets, packets * SAMPLES, blocks)
        else:
            report = ReceiverReport(ssrc, blocks)
        return build_compound(report, SourceDescription(((ssrc, f"room-{ssrc:08x}"),)))


def block_of(blocks: ReportBlocks, entry: int, lsr: int, dlsr: int) -> ReportBlock | None:
    """Return one of the blocks by itself; None where there is none."""
    if not blocks.heard[entry]:
        return None
    return ReportBlock(
        ssrc=int(blocks.ssrc[entry]),
        fraction_lost=int(blocks.fraction_lost[entry]),
        cumulative_lost=int(blocks.cumulative_lost[entry]),
        highest_sequence=int(blocks.highest_sequence[entry]),
        jitter=int(blocks.jitter[entry]),
        lsr=lsr,
        dlsr=dlsr,
    )


def write_receiver_reports(out: Array, ssrc: Array, blocks: ReportBlocks, lsr: Array, dlsr: Array) -> None:
    """Write what rooms that reflect report: the bytes that `build_compound` makes, for all of them at once.

    Args:
        out: `RECEIVER_REPORT` for each.
        ssrc: Each room's own.
        blocks: What each received.
        lsr: Of the last SR from its caller; 0 if none.
        dlsr: Time since then, 1/65536 s.
    """
    out["head"] = _HEAD
    out["ssrc"] = ssrc
    out["source"] = blocks.ssrc
    lost = np.clip(blocks.cumulative_lost, -0x800000, 0x7FFFFF) & 0xFFFFFF
    out["loss"] = blocks.fraction_lost << 24 | lost
    out["highest"] = blocks.highest_sequence
    out["jitter"] = blocks.jitter
    out["lsr"] = lsr
    out["dlsr"] = dlsr
    out["description"] = _DESCRIPTION
    out["chunk"] = ssrc
    out["item"] = _ITEM
    out["name"] = _HEXADECIMAL[ssrc.astype(">u4").view(np.uint8)].view("S8")
    out["end"] = 0

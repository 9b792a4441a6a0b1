"""The media of a whole nation: what arrives at its rooms is counted, lost, reflected or answered, a batch at a time.

Owns the round: receive, reflect, release, stream, report. Must not know SIP; it reads calls and lines from the board.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from bridge_monitor.net.mmsg import RecvBatch, SendBatch
from bridge_monitor.rtp.packet import HEADER_BYTES, read_headers
from bridge_monitor.sim.board import HAMPERS_TO_ROOM, PACKETS, ROUNDS, Array, Board, Line
from bridge_monitor.sim.calls import CallView
from bridge_monitor.sim.impairment import Loss, Policer
from bridge_monitor.sim.room_reception import RoomReception
from bridge_monitor.sim.room_reports import RoomReports
from bridge_monitor.sim.room_streams import OwnStreams
from bridge_monitor.sim.wire import PACKET_SIZE, Departures, MediaSockets, Wire

_BATCH: Final = 2048
_LOSS_SALT: Final = 0
_IP_AND_UDP_BYTES: Final = 28
_PLAIN: Final = 0x80
"""First byte of an RTP header without padding, extension and contributing sources (RFC 3550 §5.1)."""
_FIRST_RTCP: Final = 192
_LAST_RTCP: Final = 223
"""Where RTP's second byte stands, these are RTCP's packet types (RFC 5761 §4)."""


@dataclass(frozen=True, slots=True)
class ReflectorSettings:
    """How the media process works.

    Attributes:
        queue_capacity: Most packets that may be delayed at once.
        rtcp_interval_seconds: Interval of the rooms' reports (RFC 3550 §6.2 has 5 s as its minimum).
        only_callers: For callers of the world outside: nothing is sent before something came from the call's own
            address, and what comes from others is neither counted nor reflected.
    """

    queue_capacity: int = 32768
    rtcp_interval_seconds: float = 5.0
    only_callers: bool = False


class Reflector:
    """All rooms' media.

    Args:
        board: The shared columns.
        sockets: The media sockets.
        settings: How it works.
        clock: CLOCK_REALTIME in nanoseconds.
    """

    def __init__(
        self, board: Board, sockets: MediaSockets, settings: ReflectorSettings, clock: Callable[[], int]
    ) -> None:
        self._board = board
        self._sockets = sockets
        self._clock = clock
        self._reception = RoomReception(board.size.calls)
        self._wire = Wire(board, sockets, settings.queue_capacity, clock)
        self._streams = OwnStreams(board, self._wire)
        self._only_callers = settings.only_callers
        self._reports = RoomReports(
            board,
            self._wire,
            self._streams,
            self._reception,
            settings.rtcp_interval_seconds,
            only_callers=settings.only_callers,
        )
        self._calls = CallView(board, self._begin, only_callers=settings.only_callers)
        self._loss = Loss(board.size.sites, _LOSS_SALT)
        self._policer = Policer(board.size.sites)
        self._rtp = RecvBatch(_BATCH, PACKET_SIZE, pktinfo=True)
        self._words = self._rtp.data[:, :HEADER_BYTES].view(">u4").T
        self._rtcp = RecvBatch(_BATCH, PACKET_SIZE, pktinfo=True)
        self._echo = SendBatch(_BATCH, PACKET_SIZE, pktinfo=True, data=self._rtp.data)

    @property
    def next_due_ns(self) -> int:
        """When a round is due even if nothing arrives."""
        return min(self._wire.next_due_ns, self._streams.next_due_ns, self._reports.next_due_ns)

    @property
    def waiting(self) -> int:
        """Packets that wait for their time to leave."""
        return self._wire.waiting

    def round(self, readable: Iterable[int]) -> int:
        """Do one round.

        Args:
            readable: Indices of the sockets that have something.

        Returns:
            Datagrams received.
        """
        self._calls.synchronise()
        received = 0
        slots = self._sockets.slots
        for index in readable:
            if index < slots:
                received += self._receive_rtp(index)
            elif index < self._sockets.odd:
                received += self._receive_rtcp(index)
            else:
                # Nothing should come to a port that no description names.
                self._calls.receive(self._rtcp, self._sockets.sockets[index].fileno(), 0)
        now_ns = self._clock()
        self._wire.release(now_ns)
        self._streams.send(self._calls, now_ns)
        self._reports.send(self._calls, now_ns)
        self._board.health[ROUNDS] += 1
        return received

    def _begin(self, rows: Array) -> None:
        self._reception.reset(rows)
        now_ns = self._clock()
        self._streams.begin(rows, now_ns)
        self._reports.begin(rows, now_ns)

    def _receive_rtcp(self, index: int) -> int:
        arrivals = self._calls.receive(self._rtcp, self._sockets.sockets[index].fileno(), index - self._sockets.slots)
        entries = np.flatnonzero(arrivals.belongs)
        if entries.size:
            self._reports.receive(self._rtcp, arrivals.rows, entries)
        return arrivals.datagrams

    def _receive_rtp(self, slot: int) -> int:
        board, batch = self._board, self._rtp
        count, rows, belongs, after_end = self._calls.receive(batch, self._sockets.sockets[slot].fileno(), slot)
        if after_end.any():
            np.add.at(board.after_bye, board.site[rows[after_end]], 1)
        entries = np.flatnonzero(belongs)
        if not entries.size:
            return count
        lines = board.site[rows]
        readable, seq, timestamp, ssrc = self._read_headers(count)
        np.add.at(board.received, lines[entries], 1)
        board.health[PACKETS] += len(entries)
        if not readable[entries].all():
            broken = entries[~readable[entries]]
            np.add.at(board.unreadable, lines[broken], 1)
            entries = entries[readable[entries]]
        reflecting = entries
        hampered = board.impaired[lines[entries]] & HAMPERS_TO_ROOM != 0
        if hampered.any():
            kept = np.ones(len(entries), np.bool_)
            kept[hampered] = self._arrive(entries[hampered], lines)
            own = hampered.copy()
            some = entries[hampered]
            own[hampered] = (board.flags[lines[some]] & Line.OWN_STREAM != 0) & (board.video[rows[some]] == 0)
            reflecting = entries[kept & ~own]
            entries = entries[kept]
        if self._only_callers:
            # A report goes to the address that the description names: only what came from there proves it.
            self._reports.hear(rows[entries[batch.src_ip[entries] == board.caller_ip[rows[entries]]]])
        self._reception.take(rows[entries], seq[entries], timestamp[entries], batch.arrival_ns[entries], ssrc[entries])
        if reflecting.size:
            self._reflect(reflecting, rows, lines, slot, count)
        return count

    def _read_headers(self, count: int) -> tuple[Array, Array, Array, Array]:
        """Return of each datagram of the batch whether it is RTP, its sequence number, timestamp and SSRC."""
        batch = self._rtp
        word, timestamp, ssrc = (self._words[place, :count].astype(np.int64) for place in range(3))
        if ((word >> 24 == _PLAIN) & (batch.lengths[:count] >= HEADER_BYTES)).all() and not batch.truncated[
            :count
        ].any():
            second = word >> 16 & 0xFF  # a header of twelve bytes and nothing else: what nearly all have
            return (second < _FIRST_RTCP) | (second > _LAST_RTCP), word & 0xFFFF, timestamp, ssrc
        headers = read_headers(batch.data[:count], np.minimum(batch.lengths[:count], PACKET_SIZE))
        return headers.valid & ~batch.truncated[:count], headers.seq, headers.timestamp, headers.ssrc

    def _arrive(self, entries: Array, lines: Array) -> Array:
        """Return of each of these packets of the batch whether it gets through its line to the room."""
        board = self._board
        line = lines[entries]
        limit = board.large_limit[line]
        large = (limit > 0) & (self._rtp.lengths[entries] + _IP_AND_UDP_BYTES > limit)
        np.add.at(board.large_dropped, line[large], 1)
        lost = large | (board.flags[line] & Line.DEAF != 0)
        chancy = np.flatnonzero(~lost & (board.loss_to_room[line] > 0.0))
        if chancy.size:
            some = line[chancy]
            lost[chancy] = self._loss.lost(some, board.seed[some], board.loss_to_room[some], board.burst_to_room[some])
        policed = np.flatnonzero(~lost & (board.police_to_room[line] > 0.0))
        if policed.size:
            some, packets = line[policed], entries[policed]
            size = self._rtp.lengths[packets].astype(np.int64) + _IP_AND_UDP_BYTES
            lost[policed] = self._policer.refused(some, size, self._rtp.arrival_ns[packets], board.police_to_room[some])
        np.add.at(board.dropped_to_room, line[lost], 1)
        kept: Array = ~lost
        return kept

    def _reflect(self, entries: Array, rows: Array, lines: Array, slot: int, count: int) -> None:
        board, echo, batch = self._board, self._echo, self._rtp
        echo.lengths[:count] = batch.lengths[:count]
        echo.dst_ip[:count] = board.caller_ip[rows]
        echo.dst_port[:count] = board.caller_rtp_port[rows]
        if self._only_callers:
            # Behind a translator the description names an address that can't be reached: back to where it came from,
            # which is the address that the call itself came from (RFC 4961).
            translated = batch.src_ip[:count] != board.caller_ip[rows]
            echo.dst_ip[:count][translated] = batch.src_ip[:count][translated]
            echo.dst_port[:count][translated] = batch.src_port[:count][translated]
        echo.src_ip[:count] = batch.dst_ip[:count]
        sockets = np.full(len(entries), slot)
        self._wire.depart(Departures(echo, entries, lines[entries], sockets, batch.arrival_ns[entries]))

"""What arrives on the RTP and RTCP sockets: read in batches, parsed by column, given to its rows.

Owns the receive buffers and the way from a datagram to a row's figures; must not send or end a call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from bridge_monitor.net import mmsg
from bridge_monitor.net.engine.demux import Demux, Stranger, key_of
from bridge_monitor.net.engine.frame_log import FrameLog, payload_facts
from bridge_monitor.net.engine.keymap import NO_ROW
from bridge_monitor.net.engine.layout import Array, Count, Layout
from bridge_monitor.net.engine.levels import Levels
from bridge_monitor.net.engine.plan import PORT_SHARED, SOCKET_OVERFLOW, EngineSettings
from bridge_monitor.net.engine.ports import PortPair
from bridge_monitor.net.engine.sending import invalid_bit
from bridge_monitor.rtp.frames import PACKET
from bridge_monitor.rtp.packet import HeaderBatch, read_headers

_CAPACITY: Final = 4096
_PACKET_SIZE: Final = 1536
_ROUNDS: Final = 4
"""So many full batches are read in a tick at most: the pace comes first, the kernel's buffers hold the rest."""

_SOCKET_OVERFLOW: Final = invalid_bit(SOCKET_OVERFLOW)
_PORT_SHARED: Final = invalid_bit(PORT_SHARED)


class Packets(NamedTuple):
    """RTP packets by column, in order of arrival."""

    row: Array
    key: Array  # of its source, see `demux.key_of`
    payload_type: Array
    seq: Array
    timestamp: Array
    ssrc: Array
    arrival_ns: Array
    own: Array  # whether it is ours come back

    def where(self, mask: Array) -> Packets:
        """Return those for which the mask is True."""
        return Packets(*(column[mask] for column in self))


ReceivedTap = Callable[[int, tuple[int, int], int, bytes, int], None]
"""Is given row, source address and port, arrival, datagram and its full length of a captured row's packet."""


class Receiver:
    """Receives for every row.

    Args:
        settings: Rows, and how they share sockets.
        layout: Where the rows' figures are kept.
        pairs: The sockets.
        demux: The tables.
        on_rtcp: Is given local port pair and datagram of all RTCP, whichever port it came to (RFC 5761).
        tap: Is given the packets of captured rows.

    Attributes:
        frames: The packets of rows with video.
    """

    def __init__(
        self,
        settings: EngineSettings,
        layout: Layout,
        pairs: Sequence[PortPair],
        demux: Demux,
        *,
        on_rtcp: Callable[[int, mmsg.Datagram], None],
        tap: ReceivedTap,
    ) -> None:
        self._layout = layout
        self._demux = demux
        self._on_rtcp = on_rtcp
        self._tap = tap
        self._levels = Levels(layout, demux)
        self._rows_per_pair = settings.rows_per_pair
        self._rows = settings.rows
        self._batch = mmsg.RecvBatch(_CAPACITY, _PACKET_SIZE)
        self._rtp = {pair.rtp.fileno(): number for number, pair in enumerate(pairs)}
        self._rtcp = {pair.rtcp.fileno(): number for number, pair in enumerate(pairs)}
        self._drops: dict[int, int] = {}
        self.frames = FrameLog(settings.rows, demux)
        self.captured: Array = np.zeros(settings.rows + 1, np.bool_)

    def read(self, ready: Sequence[int]) -> None:
        """Read the sockets ``ready`` (file descriptors; others' are left alone) until nothing waits."""
        rtp = [fd for fd in ready if fd in self._rtp]
        self._read_rtcp([fd for fd in ready if fd in self._rtcp])
        for _ in range(_ROUNDS):
            rtp = self._read_rtp(rtp)
            if not rtp:
                return

    def begin(self, row: int, since_ns: int) -> None:
        """Count what came for a row before it began."""
        given: list[tuple[int, Stranger]] = []
        if self._demux.keeps_any(row):
            given = self._demux.early(row, since_ns, self._layout.first_rtp_ns != 0)
            self._count_strangers(given)
        # What is kept of a stream is its end, without a gap; only a room of which nothing is left may look silent.
        if not given and self._demux.lost_early(row, since_ns):
            self._layout.invalid[row] |= _SOCKET_OVERFLOW

    def _read_rtp(self, fds: Sequence[int]) -> list[int]:
        """Give the rows what one batch takes of the sockets; return those that may have more."""
        segments, more = self._fill(fds)
        if segments:
            pairs = np.repeat([self._rtp[fd] for fd, _ in segments], [count for _, count in segments])
            self._take(len(pairs), pairs)
        return more

    def _fill(self, fds: Sequence[int]) -> tuple[list[tuple[int, int]], list[int]]:
        """Read once from each socket while the batch has room.

        Returns:
            How many datagrams of each socket that had any lie in the batch, parsed; and the sockets that may have more.
        """
        batch = self._batch
        stop = 0
        segments: list[tuple[int, int]] = []
        more = []
        for fd in fds:
            room = batch.capacity - stop
            count = batch.fill(fd, stop)
            if count:
                segments.append((fd, count))
                stop += count
            if count == room:
                more.append(fd)
        if stop:
            batch.parse(stop)
            self._check_drops(segments)
        return segments, more

    def _take(self, stop: int, pair: Array) -> None:
        """Give the batch's first ``stop`` datagrams to their rows."""
        batch = self._batch
        lengths = np.minimum(batch.lengths[:stop], _PACKET_SIZE)
        headers = read_headers(batch.data[:stop], lengths)
        key = batch.src_ip[:stop].astype(np.int64) << 16
        key |= batch.src_port[:stop]
        key |= pair << 48
        rows, own = self._demux.lookup(key, headers.ssrc)
        packets = Packets(
            rows, key, headers.payload_type, headers.seq, headers.timestamp, headers.ssrc, batch.arrival_ns[:stop], own
        )
        known = headers.valid & (rows != NO_ROW)
        whole = bool(known.all())
        if not (whole and own.all()):
            self._levels.receive(batch.data, headers, rows)
        if whole:
            self._count(packets)
        else:
            self._count(packets.where(known))
            self._take_others((~known).nonzero()[0], key, headers)
        if self.frames.live:
            self._log_frames(rows, known, headers)
        if self.captured.any():
            self._tap_batch(rows, known)

    def _log_frames(self, rows: Array, known: Array, headers: HeaderBatch) -> None:
        """Keep the batch's packets of rows with video."""
        places = np.flatnonzero(known & self.frames.watched[rows])
        if not places.size:
            return
        log = np.zeros(len(places), PACKET)
        for name in ("ssrc", "seq", "timestamp"):
            log[name] = getattr(headers, name)[places]
        log["arrival_ns"] = self._batch.arrival_ns[places]
        log["bytes"] = size = headers.payload_bytes[places]
        log["marker"], log["starts"] = payload_facts(self._batch.data, places, headers.payload_start[places], size)
        self.frames.note(rows[places], headers.payload_type[places], log)

    def _take_others(self, places: Array, key: Array, headers: HeaderBatch) -> None:
        """Look at what is no RTP packet of a known source."""
        batch = self._batch
        strangers = []
        marker, starts = payload_facts(batch.data, places, headers.payload_start[places], headers.payload_bytes[places])
        for place, ends, begins in zip(places.tolist(), marker.tolist(), starts.tolist(), strict=True):
            pair, source = divmod(int(key[place]), 1 << 48)
            if headers.rtcp[place]:
                self._on_rtcp(pair, batch.datagram(place))
            elif headers.valid[place]:
                strangers.append(
                    Stranger(
                        pair=pair,
                        source=source,
                        payload_type=int(headers.payload_type[place]),
                        seq=int(headers.seq[place]),
                        timestamp=int(headers.timestamp[place]),
                        ssrc=int(headers.ssrc[place]),
                        arrival_ns=int(batch.arrival_ns[place]),
                        octets=int(headers.payload_bytes[place]),
                        marker=ends,
                        starts=begins,
                    )
                )
            else:
                self._layout.counts[Count.UNMATCHED] += 1
        if strangers:
            adopted = self._demux.adopt(strangers, self._layout.first_rtp_ns != 0)
            self._layout.counts[Count.UNMATCHED] += len(strangers) - len(adopted)
            self._count_strangers(adopted)

    def _count_strangers(self, adopted: Sequence[tuple[int, Stranger]]) -> None:
        if not adopted:
            return
        table = np.array(
            [
                (row, key_of(one.pair, one.source), one.payload_type, one.seq, one.timestamp, one.ssrc, one.arrival_ns)
                for row, one in adopted
            ],
            np.int64,
        ).T
        row, key, payload_type, seq, timestamp, ssrc, arrival = table
        own = self._demux.own_ssrc[row] == ssrc
        self._count(Packets(row, key, payload_type, seq, timestamp, ssrc, arrival, own))
        if self.frames.live:
            self.frames.note_strangers(adopted)

    def _count(self, packets: Packets) -> None:
        """Count RTP packets for their rows."""
        if not len(packets.row):
            return
        layout, demux = self._layout, self._demux
        # A reader of the rows in between that received nothing looks again.
        version = layout.version[int(packets.row.min()) : int(packets.row.max()) + 1]
        version |= 1
        accepted = demux.accepted[packets.row, packets.payload_type]
        if not accepted.all():
            others = ~accepted
            layout.unexpected_types[packets.row[others], packets.payload_type[others]] = True
            # In the midst of an accepted stream they share its sequence numbers: left out they would look lost.
            kept = accepted | (demux.peer_ssrc[packets.row] == packets.ssrc)
            packets, accepted = packets.where(kept), accepted[kept]
        rows, arrival, own = packets.row, packets.arrival_ns, packets.own
        heard = layout.first_rtp_ns[rows]
        if not heard.all():
            fresh = heard == 0
            # The last write stands where a row occurs twice: so the first packet is written last.
            layout.first_rtp_ns[rows[fresh][::-1]] = arrival[fresh][::-1]
        elsewhere = demux.expected[rows] != packets.key
        if elsewhere.any():
            layout.unexpected_source[rows[elsewhere]] = 1
        layout.counts[Count.RTP_RECEIVED] += len(rows)
        if own.all():
            layout.echo.receive(rows, packets.seq, arrival)
        else:
            if own.any():
                layout.echo.receive(rows[own], packets.seq[own], arrival[own])
            self._count_theirs(packets.where(~own), accepted[~own])
        version += 1

    def _count_theirs(self, packets: Packets, accepted: Array) -> None:
        """Count packets of the peers' own streams."""
        layout, demux, rows = self._layout, self._demux, packets.row
        layout.reception.receive(rows, packets.seq, packets.timestamp, packets.arrival_ns, packets.ssrc)
        demux.peer_ssrc[rows[accepted]] = packets.ssrc[accepted]
        mixed = demux.shared[rows]
        if mixed.any():
            # Whose stream it is nobody knows: it may be missing from the other call.
            layout.invalid[np.isin(demux.expected, demux.expected[rows[mixed]])] |= _PORT_SHARED

    def _read_rtcp(self, fds: Sequence[int]) -> None:
        """Read the RTCP sockets, which have a datagram or two each."""
        for fd in fds:
            pair = self._rtcp[fd]
            for datagram in self._batch.datagrams(self._batch.fill(fd)):
                if datagram.drops:
                    self._note_drops(fd, datagram.drops)
                self._on_rtcp(pair, datagram)

    def _check_drops(self, segments: Sequence[tuple[int, int]]) -> None:
        """Mark the rows of a socket whose buffer has overflowed."""
        if not self._batch.drops[: sum(count for _, count in segments)].max():
            return  # the kernel tells the count only once it isn't zero
        start = 0
        for fd, count in segments:
            self._note_drops(fd, int(self._batch.drops[start : start + count].max()))
            start += count

    def _note_drops(self, fd: int, told: int) -> None:
        """Mark the rows of a socket that has dropped so many in all, if these are more than before."""
        before = self._drops.get(fd, 0)
        if told > before:
            self._drops[fd] = told
            self._layout.counts[Count.SOCKET_OVERFLOWS] += told - before
            pair = self._rtp.get(fd, self._rtcp.get(fd, 0))
            rows = slice(pair * self._rows_per_pair, (pair + 1) * self._rows_per_pair)
            self._layout.invalid[rows] |= _SOCKET_OVERFLOW

    def _tap_batch(self, rows: Array, known: Array) -> None:
        batch = self._batch
        for place in np.flatnonzero(known & self.captured[rows]).tolist():
            length = int(batch.lengths[place])
            self._tap(
                int(rows[place]),
                (int(batch.src_ip[place]), int(batch.src_port[place])),
                int(batch.arrival_ns[place]),
                batch.data[place, : min(length, _PACKET_SIZE)].tobytes(),
                length,
            )

"""The pace of video: which rows' pictures are due, their packets' headers, and one entry a picture where possible.

Owns send times of video and their lateness, as `sending` does for audio; must not receive or know a call's end beyond
its last packet. A picture's packets leave together, as an encoder's do: that burst is part of the load.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from bridge_monitor.net import mmsg, segments
from bridge_monitor.net.engine.cards import CardTable, Entries
from bridge_monitor.net.engine.layout import BINS, Array, Count, Layout, lateness_bins
from bridge_monitor.net.engine.plan import SEND_LATE, SHORT_SEND, EngineSettings
from bridge_monitor.net.engine.ports import PortPair
from bridge_monitor.net.engine.sending import LATE_SHARE, MUCH_TOO_LATE, NEVER, SentTap, invalid_bit
from bridge_monitor.net.engine.video_plan import VIDEO_CLOCK_RATE, VideoPlan
from bridge_monitor.rtp.packet import HEADER_BYTES, RTP_HEADER

_PACKETS: Final = 4096
"""Packets built at once; more than the largest picture has."""
_CHUNK: Final = 16
"""Entries between two looks at the clock."""
_SECOND: Final = 1_000_000_000

_SHORT_SEND: Final = invalid_bit(SHORT_SEND)
_SEND_LATE: Final = invalid_bit(SEND_LATE)


class _Pictures(NamedTuple):
    """The packets and entries of some rows' pictures, as they lie in the batch."""

    rows: Array
    packet_row: Array  # place in ``rows``
    packet: Array  # in the card
    seq: Array
    entry_row: Array  # place in ``rows``
    entry_first: Array  # in the batch
    entry_packets: Array


class VideoSender:
    """Sends every video row's RTP stream.

    Args:
        settings: Tick, limits, rows.
        layout: Where the rows' figures are kept.
        pairs: The sockets, each for ``rows_per_pair`` rows.
        tap: Is given the packets of captured rows.
        clock: CLOCK_MONOTONIC, ns.

    Attributes:
        next_due: When the next picture of any row is due.
        frames: Pictures sent of each row.
        entries: Entries handed to the kernel: with UDP_SEGMENT fewer than packets.
    """

    def __init__(
        self,
        settings: EngineSettings,
        layout: Layout,
        pairs: Sequence[PortPair],
        *,
        tap: SentTap,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        rows = settings.rows
        self._clock = clock
        self._source_host = settings.source_host
        self._layout = layout
        self._tap = tap
        self._fds = [pair.rtp.fileno() for pair in pairs]
        self._rows_per_pair = settings.rows_per_pair
        self._tick_ns = round(settings.tick_seconds * 1e9)
        self._late_limit_ns = round(settings.lateness_limit_seconds * 1e9)
        self._batch = segments.SegmentBatch(_PACKETS, HEADER_BYTES)
        self._headers: Array = self._batch.headers.view(RTP_HEADER)[:, 0]
        self._headers["vpxcc"] = 0x80

        self._cards: dict[tuple[int, int], CardTable] = {}
        self._tables: dict[int, CardTable] = {}
        self._plans: dict[int, VideoPlan] = {}
        self._slots: dict[int, tuple[int, int]] = {}
        self._taken: Counter[tuple[int, int]] = Counter()
        self._singly: set[int] = set()

        self.next_due: int = NEVER
        self.entries = 0
        self.frames: Array = np.zeros(rows, np.int64)
        self._due: Array = np.full(rows, NEVER, np.int64)
        self._base: Array = np.zeros(rows, np.int64)
        self._pace: Array = np.ones(rows, np.int64)
        self._limit: Array = np.zeros(rows, np.int64)
        self._late: Array = np.zeros(rows, np.int64)
        self._seq: Array = np.zeros(rows, np.int64)
        self._first_timestamp: Array = np.zeros(rows, np.int64)
        self._ssrc: Array = np.zeros(rows, np.int64)
        self._payload_type: Array = np.zeros(rows, np.uint8)
        self._octets: Array = np.zeros(rows, np.int64)
        self._last_send_ns: Array = np.zeros(rows, np.int64)
        self._dst_ip: Array = np.zeros(rows, np.uint32)
        self._dst_port: Array = np.zeros(rows, np.uint16)
        self._src_ip: Array = np.zeros(rows, np.uint32)
        self._tos: Array = np.zeros(rows, np.int32)

    def load(self, table: CardTable, bitrate_bps: int, frames_per_second: int) -> None:
        """Take a card for rows of this rate and pace that begin from now on."""
        self._cards[bitrate_bps, frames_per_second] = table

    def start(self, row: int, plan: VideoPlan, now: int) -> None:
        """Begin a row's stream at its next turn, with the first picture of the card loaded for its rate and pace.

        Args:
            row: The row.
            plan: What to send.
            now: CLOCK_MONOTONIC, ns.
        """
        self._tables[row] = self._cards[plan.bitrate_bps, plan.frames_per_second]
        self._plans[row] = plan
        self._singly.discard(row)
        for column, value in (
            (self.frames, 0),
            (self._late, 0),
            (self._octets, 0),
            (self._last_send_ns, 0),
            (self._pace, plan.frames_per_second),
            (self._limit, plan.frames),
            (self._seq, plan.first_seq),
            (self._first_timestamp, plan.first_timestamp),
            (self._ssrc, plan.ssrc),
            (self._payload_type, plan.payload_type),
            (self._dst_ip, mmsg.ip_number(plan.remote_host)),
            (self._dst_port, plan.rtp_port),
            (self._src_ip, mmsg.ip_number(plan.source_host or self._source_host)),
            (self._tos, plan.dscp << 2),
        ):
            column[row] = value
        self._base[row] = self._due[row] = self._turn(row, plan.frames_per_second, now)
        self.next_due = int(self._due.min())

    def stop(self, row: int) -> None:
        """Send no more of the row, and judge its pace."""
        self._due[row] = NEVER
        self.next_due = int(self._due.min())
        self._taken[self._slots.pop(row)] -= 1
        worst = int(self._layout.lateness_max_ns[row])
        if self._late[row] > self.frames[row] * LATE_SHARE or worst > MUCH_TOO_LATE * self._late_limit_ns:
            self._layout.invalid[row] |= _SEND_LATE

    def frame_starts(self, row: int) -> Array:
        """Return the place of each picture's first packet among those of a row, and at its end their number."""
        return self._tables[row].frame_starts(int(self.frames[row]))

    def large_packets(self, row: int) -> tuple[int, int]:
        """Return the largest payload of a row's card, in bytes, and how many packets of it were sent."""
        table = self._tables[row]
        return table.largest, table.large_among(int(self.frames[row]))

    def last_packet(self, row: int) -> tuple[int, int]:
        """Return a row's last packet's send time (CLOCK_REALTIME, ns) and its timestamp."""
        return int(self._last_send_ns[row]), int(self._timestamps(np.array([row]), self.frames[row] - 1)[0])

    def octets(self, row: int) -> int:
        """Return the bytes of payload sent of a row."""
        return int(self._octets[row])

    def tick(self, now: int, offset: int) -> list[int]:
        """Send the pictures that are due.

        Args:
            now: CLOCK_MONOTONIC, ns.
            offset: CLOCK_REALTIME − CLOCK_MONOTONIC, ns.

        Returns:
            Rows that have sent their last packet.
        """
        if self.next_due > now:
            return []
        due = np.flatnonzero(self._due <= now)
        for table, entries, rows in self._groups(due):
            layout = self._layout
            layout.version[rows] |= 1
            self._send(self._build(rows, table, entries), table, offset)
            layout.version[rows] += 1
        over = due[self.frames[due] >= self._limit[due]]
        self._due[over] = NEVER
        self.next_due = int(self._due.min())
        return over.tolist()  # type: ignore[no-any-return]

    def skip_overdue(self, now: int) -> None:
        """After a stall: let the turns that were missed pass unused, and count them as late."""
        rows = np.flatnonzero(self._due <= now)
        lateness = now - self._due[rows]
        self._layout.lateness_max_ns[rows] = np.maximum(self._layout.lateness_max_ns[rows], lateness)
        self._late[rows] += lateness > self._late_limit_ns
        self._skip_turns(rows, np.full(len(rows), now))
        self.next_due = int(self._due.min())

    # --- inside ------------------------------------------------------------------------------------------------------

    def _turn(self, row: int, pace: int, now: int) -> int:
        """Return when a row begins: pictures of different calls are spread over the interval between two."""
        slots = max(1, _SECOND // pace // self._tick_ns)
        tick = -(-now // self._tick_ns)
        turns = [(slots, (tick + wait) % slots) for wait in range(slots)]
        wait = min(range(slots), key=lambda wait: self._taken[turns[wait]])
        self._slots[row] = turns[wait]
        self._taken[turns[wait]] += 1
        return (tick + wait) * self._tick_ns

    def _groups(self, due: Array) -> Iterator[tuple[CardTable, Entries, Array]]:
        """Cut the due rows into lots of one card and way of sending whose packets fit the batch."""
        lots: dict[tuple[int, bool], list[int]] = {}
        for row in due.tolist():
            lots.setdefault((id(self._tables[row]), row in self._singly), []).append(row)
        for (_, singly), members in lots.items():
            table = self._tables[members[0]]
            rows = np.array(members)
            packets = table.counts[self.frames[rows] % len(table)].cumsum()
            start, done = 0, 0
            while start < len(rows):
                stop = max(start + 1, int(np.searchsorted(packets, done + _PACKETS, "right")))
                yield table, table.single if singly else table.whole, rows[start:stop]
                start, done = stop, int(packets[stop - 1])

    def _timestamps(self, rows: Array, frames: Array) -> Array:
        timestamps: Array = self._first_timestamp[rows] + frames * VIDEO_CLOCK_RATE // self._pace[rows] & 0xFFFFFFFF
        return timestamps

    def _build(self, rows: Array, table: CardTable, entries: Entries) -> _Pictures:
        """Write the packets of the rows' next pictures into the batch, and line up the entries that send them."""
        batch, headers = self._batch, self._headers
        picture = self.frames[rows] % len(table)
        counts, first = table.counts[picture], table.first[picture]
        place, within = _expand(counts)
        packet = first[place] + within
        seq = self._seq[rows][place] + within & 0xFFFF
        part = slice(0, len(packet))
        last = within == counts[place] - 1
        headers["m_pt"][part] = self._payload_type[rows][place] | last.astype(np.uint8) << 7
        headers["seq"][part] = seq
        headers["timestamp"][part] = self._timestamps(rows, self.frames[rows])[place]
        headers["ssrc"][part] = self._ssrc[rows][place]
        batch.payload_address[part] = table.address[packet]
        batch.payload_lengths[part] = table.lengths[packet]

        entry_row, entry = _expand(entries.counts[picture])
        entry += entries.first[picture][entry_row]
        before = counts.cumsum() - counts
        entry_first = before[entry_row] + entries.packet[entry] - first[entry_row]
        batch.line_up(entry_first, entries.packets[entry])
        to = rows[entry_row]
        batch.address(
            len(entry), dst_ip=self._dst_ip[to], dst_port=self._dst_port[to], src_ip=self._src_ip[to], tos=self._tos[to]
        )
        self._seq[rows] = self._seq[rows] + counts & 0xFFFF
        return _Pictures(rows, place, packet, seq, entry_row, entry_first, entries.packets[entry])

    def _send(self, pictures: _Pictures, table: CardTable, offset: int) -> None:
        """Send the entries, socket by socket, and count what the kernel took."""
        count = len(pictures.entry_row)
        begun, done = np.zeros(count, np.int64), np.zeros(count, np.int64)
        taken = np.zeros(len(pictures.packet), np.bool_)
        pair = pictures.rows[pictures.entry_row] // self._rows_per_pair
        edges = np.flatnonzero(np.diff(pair, prepend=-1, append=-1)).tolist()
        for first, end in pairwise(edges):
            fd = self._fds[pair[first]]
            for start in range(first, end, _CHUNK):
                stop = min(start + _CHUNK, end)
                before = self._clock()
                reached = self._batch.send(fd, start, stop)
                for entry in range(start, reached):
                    packet = int(pictures.entry_first[entry])
                    taken[packet : packet + int(pictures.entry_packets[entry])] = True
                for entry, code in list(self._batch.failed.items()):
                    self._again(fd, entry, code, pictures, taken)
                after = self._clock()
                begun[start:stop] = before + (after - before) * np.arange(stop - start) // (stop - start)
                done[start:stop] = after
        self.entries += count
        self._note(pictures, table, taken, begun + offset, done)

    def _again(self, fd: int, entry: int, code: int, pictures: _Pictures, taken: Array) -> None:
        """Send a refused entry's packets one by one, if it may have been refused for being several in one."""
        first, count = int(pictures.entry_first[entry]), int(pictures.entry_packets[entry])
        taken[first : first + count] = False
        if code in segments.REFUSALS and count > 1:
            self._singly.add(int(pictures.rows[pictures.entry_row[entry]]))
            taken[self._batch.send_singly(fd, entry, first, count)] = True
            self.entries += count

    def _note(self, pictures: _Pictures, table: CardTable, taken: Array, begun: Array, done: Array) -> None:
        """Count what the kernel took and set when each row is due again."""
        layout, rows, place = self._layout, pictures.rows, pictures.packet_row
        if not taken.all():
            layout.invalid[rows[place[~taken]]] |= _SHORT_SEND
            layout.counts[Count.SHORT_SENDS] += np.count_nonzero(~taken)
        numbers = rows[place]
        send_ns = np.repeat(begun, pictures.entry_packets)
        fresh = layout.sent[rows] == 0
        first = np.searchsorted(place, np.arange(len(rows)))
        layout.started_ns[rows[fresh]] = send_ns[first[fresh]]
        ends = np.append(first[1:], len(place))
        layout.sent[rows] += np.add.reduceat(taken, first, dtype=np.int64)
        layout.counts[Count.RTP_SENT] += np.count_nonzero(taken)
        self._octets[rows] += np.add.reduceat(np.where(taken, table.lengths[pictures.packet], 0), first)
        self._last_send_ns[rows] = send_ns[ends - 1]
        layout.echo.sent(numbers[taken], pictures.seq[taken], send_ns[taken])

        last_entry = np.searchsorted(pictures.entry_row, np.arange(len(rows)), "right") - 1
        lateness = done[last_entry] - self._due[rows]
        layout.lateness_flat[rows * BINS + lateness_bins(lateness)] += np.uint32(1)
        layout.lateness_max_ns[rows] = np.maximum(layout.lateness_max_ns[rows], lateness)
        for row in rows.tolist():
            if self._plans[row].capture:
                self._tap_picture(row, np.flatnonzero((numbers == row) & taken), pictures, table, send_ns)
        self.frames[rows] += 1
        self._due[rows] = self._base[rows] + self.frames[rows] * _SECOND // self._pace[rows]
        behind = lateness > self._late_limit_ns
        if behind.any():
            self._late[rows] += behind
            self._skip_turns(rows[behind], done[last_entry][behind])

    def _tap_picture(self, row: int, packets: Array, pictures: _Pictures, table: CardTable, send_ns: Array) -> None:
        for packet in packets.tolist():
            data = self._headers[packet].tobytes() + table.payload(int(pictures.packet[packet]))
            self._tap(row, int(send_ns[packet]), data)

    def _skip_turns(self, rows: Array, now: Array) -> None:
        """Move rows to their next turn after ``now``: a pause is not made up for in a burst (see `Sender`)."""
        interval = _SECOND // self._pace[rows]
        behind = np.maximum(now - self._due[rows], 0)
        shift = -(-behind // interval) * interval
        self._base[rows] += shift
        self._due[rows] += shift


def _expand(counts: Array) -> tuple[Array, Array]:
    """Return, for so many of each, the place of each one's owner and its own place among the owner's."""
    owner = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(owner)) - (counts.cumsum() - counts)[owner]
    return owner, within

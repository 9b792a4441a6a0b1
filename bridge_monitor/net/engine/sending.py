"""The pace: which rows are due, their headers, and one `sendmmsg` a tick and socket.

Owns send times and their lateness; must not receive or know a call's end beyond its last packet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from bridge_monitor.net import mmsg
from bridge_monitor.net.engine.layout import BINS, Array, Count, Layout, lateness_bin, lateness_bins
from bridge_monitor.net.engine.plan import (
    INVALID_REASONS,
    MAX_PAYLOAD_BYTES,
    SEND_LATE,
    SHORT_SEND,
    SILENCE,
    EngineSettings,
    StreamPlan,
)
from bridge_monitor.net.engine.ports import Marks, PortPair
from bridge_monitor.rtp.packet import HEADER_BYTES, RTP_HEADER
from bridge_monitor.rtp.rounds import reach

NEVER: Final = np.iinfo(np.int64).max
_CHUNK: Final = 32
"""Packets between two looks at the clock: some 100 µs; within a chunk send times are interpolated."""
LATE_SHARE: Final = 0.01
MUCH_TOO_LATE: Final = 5

TONE: Final = {"PCMU": bytes.fromhex("3e2b2b3ebeababbe"), "PCMA": bytes.fromhex("1401011494818194")}
"""One period of 1 kHz: the digital milliwatt (ITU-T G.711 Tables 5 and 6) two segments, about 12 dB, quieter."""

SentTap = Callable[[int, int, bytes], None]
"""Is given row, send time (CLOCK_REALTIME, ns) and datagram of each packet of a captured row."""


def invalid_bit(reason: str) -> int:
    """Return a reason's bit in ``Layout.invalid``."""
    return 1 << INVALID_REASONS.index(reason)


_SHORT_SEND: Final = invalid_bit(SHORT_SEND)
_SEND_LATE: Final = invalid_bit(SEND_LATE)


class _Lot(NamedTuple):
    """What the kernel took of a tick's packets.

    Attributes:
        due: Their rows, in ascending order.
        rows: The same as a slice if they are neighbours.
        refused: Which of them it refused for their own sake, None if none.
        send_ns: When it began with each, interpolated within its chunk, CLOCK_REALTIME.
        done: When it was done with each one's chunk, CLOCK_MONOTONIC.
        lateness: How late that was, ns.
        bins: The same as bins of the histogram.
        latest: The greatest lateness.
    """

    due: Array
    rows: Array | slice
    refused: Array | None
    send_ns: Array
    done: Array
    lateness: Array
    bins: Array
    latest: int


class Sender:
    """Sends every row's RTP stream.

    Args:
        settings: Tick, limits, rows.
        layout: Where the rows' figures are kept.
        pairs: The sockets, each for ``rows_per_pair`` rows.
        tap: Is given the packets of captured rows.
        clock: CLOCK_MONOTONIC, ns.

    Attributes:
        next_due: When each row's next packet is due, CLOCK_MONOTONIC, ns; `NEVER` of those that send nothing.
        earliest: No row is due before that.
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

        self.marks = Marks(pairs, settings.source_host)
        self._batch = mmsg.SendBatch(rows, HEADER_BYTES, pktinfo=True, tos=True, tails=True)
        self._headers: Array = self._batch.data[:, :HEADER_BYTES].view(RTP_HEADER)[:, 0]
        self._headers["vpxcc"] = 0x80
        self._header_type, self._header_ssrc = self._headers["m_pt"], self._headers["ssrc"]
        self._header_seq = self._headers["seq"]
        self._header_timestamp = self._headers["timestamp"]
        self._payloads = {
            (codec, tone): np.frombuffer(
                (TONE[codec] * MAX_PAYLOAD_BYTES)[:MAX_PAYLOAD_BYTES] if tone else bytes([silence]) * MAX_PAYLOAD_BYTES,
                np.uint8,
            )
            for codec, silence in SILENCE.items()
            for tone in (False, True)
        }
        self._payload_addresses = {kind: payload.ctypes.data for kind, payload in self._payloads.items()}

        self._ordinals = np.arange(rows)
        self._edges = np.arange(len(pairs) + 1) * self._rows_per_pair  # each pair's first row
        self._first_bin = self._ordinals * BINS
        self.next_due: Array = np.full(rows, NEVER, np.int64)
        self.earliest: int = NEVER
        self._last_send_ns: Array = np.zeros(rows, np.int64)
        self._timestamp: Array = np.zeros(rows, np.int64)
        self._first_seq: Array = np.zeros(rows, np.int64)
        self._interval: Array = np.zeros(rows, np.int64)
        self._step: Array = np.zeros(rows, np.int64)
        self._limit: Array = np.zeros(rows, np.int64)
        self._late: Array = np.zeros(rows, np.int64)
        self._large: Array = np.zeros(rows, np.bool_)
        # What concerns few rows at a time: in most ticks none of it is looked for.
        self._fresh: set[int] = set()  # rows that have sent nothing yet
        self._ending: set[int] = set()  # rows at their large packets
        self._captured: set[int] = set()
        self._refused: set[int] = set()  # rows of which a packet was refused
        self._plans: dict[int, StreamPlan] = {}

    def start(self, row: int, plan: StreamPlan, now: int) -> None:
        """Begin a row's stream at its next turn.

        Args:
            row: The row.
            plan: What to send.
            now: CLOCK_MONOTONIC, ns.
        """
        self._header_type[row] = plan.payload_type
        self._header_ssrc[row] = plan.ssrc
        batch = self._batch
        batch.dst_ip[row] = mmsg.ip_number(plan.remote_host)
        batch.dst_port[row] = plan.rtp_port
        if self.marks.suffice(row // self._rows_per_pair, plan.dscp, plan.source_host):
            batch.control_lengths[row] = 0
        else:
            batch.src_ip[row] = mmsg.ip_number(plan.source_host or self._source_host)
            batch.tos[row] = plan.dscp << 2
            batch.control_lengths[row] = batch.control_size
        batch.tail_address[row] = self._payload_addresses[plan.codec, plan.tone]
        self._plans[row] = plan
        self._first_seq[row] = plan.first_seq
        self._timestamp[row] = plan.first_timestamp
        self._last_send_ns[row] = 0
        self._late[row] = 0
        self._fresh.add(row)
        if plan.capture:
            self._captured.add(row)
        self._set_size(row, plan.payload_bytes, plan.ordinary_packets, large=False)
        # Rows of one socket share a turn, and so do neighbouring sockets: a tick has few sockets with many packets
        # each, whose rows lie together. The turns are spread over the packet interval.
        slots = max(1, int(self._interval[row]) // self._tick_ns)
        tick = -(-now // self._tick_ns)
        turn = (row // self._rows_per_pair * slots // len(self._fds) - tick) % slots
        self.next_due[row] = due = (tick + turn) * self._tick_ns
        self.earliest = min(self.earliest, due)

    def stop(self, row: int) -> None:
        """Send no more of the row, and judge its pace."""
        self.next_due[row] = NEVER
        for few in (self._fresh, self._ending, self._captured, self._refused):
            few.discard(row)
        sent = self._layout.sent.item(row)
        worst = self._layout.lateness_max_ns.item(row)
        if self._late.item(row) > sent * LATE_SHARE or worst > MUCH_TOO_LATE * self._late_limit_ns:
            self._layout.invalid[row] |= _SEND_LATE

    def tick(self, now: int, offset: int) -> list[int]:
        """Send what is due.

        Args:
            now: CLOCK_MONOTONIC, ns.
            offset: CLOCK_REALTIME − CLOCK_MONOTONIC, ns.

        Returns:
            Rows that have sent their last packet.
        """
        if self.earliest > now:
            return []
        due = (self.next_due <= now).nonzero()[0]
        over = self._send_due(due, offset) if due.size else []
        self.earliest = int(np.minimum.reduce(self.next_due))
        return over

    def _send_due(self, due: Array, offset: int) -> list[int]:
        # Neighbours, as all rows of some sockets are when none of them is idle, are reached without copies.
        rows = reach(due)
        self._header_seq[rows] = self._first_seq[rows] + self._layout.sent[rows]  # of which 16 bits are kept
        self._header_timestamp[rows] = self._timestamp[rows]
        if rows is due:
            self._batch.gather(due)
        lot = self._send(due, rows, offset)
        if not len(lot.due):
            return []
        sent = self._note(lot)
        reached = (sent >= self._limit[lot.rows]).nonzero()[0]
        return [row for row in lot.due[reached].tolist() if self._is_last(row)]

    def _send(self, due: Array, rows: Array | slice, offset: int) -> _Lot:
        """Send the due rows, socket by socket.

        Args:
            due: The rows.
            rows: The same as a slice if they are neighbours, else lined up in the batch.
            offset: CLOCK_REALTIME − CLOCK_MONOTONIC, ns.
        """
        clock, batch = self._clock, self._batch
        send, first = (batch.send_gathered, 0) if rows is due else (batch.send, int(due[0]))
        expected = self.next_due[rows]
        # As mostly: all were due at once, and those of a chunk are equally late.
        at_once = int(np.maximum.reduce(expected)) == self.earliest
        places: list[int] = []
        counts: list[int] = []
        before: list[int] = []
        after: list[int] = []
        refused: list[int] = []
        total = 0
        for fd, (start, stop) in zip(self._fds, pairwise(due.searchsorted(self._edges).tolist()), strict=True):
            for place in range(start, stop, _CHUNK):
                wanted = min(_CHUNK, stop - place)
                before.append(clock())
                count = send(fd, wanted, place + first)
                after.append(clock())
                places.append(place)
                counts.append(count)
                total += count
                if batch.failed:
                    refused += [place + failed for failed in batch.failed]
                if count < wanted:
                    self._mark_short(due[place + count : place + wanted])
        late = [at - self.earliest for at in after]
        bins = [lateness_bin(one) for one in late] if at_once else late
        table = np.array((places, counts, before, after, late, bins))
        starts, sizes, send_ns, done, lateness, bin_of = np.repeat(table, counts, axis=1)
        at = self._ordinals[: len(due)]
        if total < len(due):
            at = np.concatenate([at[place : place + count] for place, count in zip(places, counts, strict=True)])
            due, expected = due[at], expected[at]
            rows = reach(due) if len(due) else due
        step = done - send_ns
        step *= at - starts
        step //= sizes
        send_ns += step
        send_ns += offset
        if not at_once:
            lateness = done - expected
            bin_of = lateness_bins(lateness)
        refusals = np.isin(at, refused) if refused else None
        return _Lot(due, rows, refusals, send_ns, done, lateness, bin_of, late[-1])

    def _mark_short(self, rows: Array) -> None:
        """Mark rows whose packets the kernel did not take."""
        layout = self._layout
        layout.version[rows] |= 1
        layout.invalid[rows] |= _SHORT_SEND
        layout.counts[Count.SHORT_SENDS] += len(rows)
        layout.version[rows] += 1

    def _note(self, lot: _Lot) -> Array:
        """Count what the kernel took, set when each row is due again, and return how many packets each has sent."""
        layout, due, rows = self._layout, lot.due, lot.rows
        # A reader of the rows in between that aren't due looks again.
        version = layout.version[int(due[0]) : int(due[-1]) + 1]
        version |= 1
        columns = (layout.sent, self._timestamp, layout.lateness_max_ns, self.next_due)
        parts = sent, timestamp, latest, next_due = [column[rows] for column in columns]
        layout.lateness_flat[self._first_bin[rows] + lot.bins] += np.uint32(1)
        sent += 1
        timestamp += self._step[rows]
        np.maximum(latest, lot.lateness, out=latest)
        next_due += self._interval[rows]
        if rows is due:  # of a slice the parts are the columns themselves
            for column, part in zip(columns, parts, strict=True):
                column[rows] = part
        self._last_send_ns[rows] = lot.send_ns
        layout.counts[Count.RTP_SENT] += len(due)
        if self._fresh:
            fresh = (sent == 1).nonzero()[0]
            layout.started_ns[due[fresh]] = lot.send_ns[fresh]
            self._fresh.difference_update(due[fresh].tolist())
        if lot.latest > self._late_limit_ns:
            behind = lot.lateness > self._late_limit_ns
            self._late[rows] += behind
            self._skip_turns(due[behind], lot.done[behind])
        large = self._large[rows] if self._ending else None
        if large is not None:
            layout.large_sent[rows] += large
        if self._captured:
            wanted = np.isin(due, list(self._captured))
            for place in (wanted if lot.refused is None else wanted & ~lot.refused).nonzero()[0].tolist():
                self._tap_row(int(due[place]), int(lot.send_ns[place]))
        if lot.refused is not None:
            self._note_refused(due[lot.refused])
        if self._refused:  # whose next numbers have a gap
            kept = np.ones(len(due), np.bool_) if lot.refused is None else ~lot.refused
            seq = self._first_seq[due[kept]] + sent[kept] - 1 & 0xFFFF
            layout.echo.sent(due[kept], seq, lot.send_ns[kept], large=None if large is None else large[kept])
        else:
            layout.echo.sent_next(due, sent - 1, lot.send_ns, large=large)
        version += 1
        return sent

    def _note_refused(self, rows: Array) -> None:
        """Mark rows whose packets the kernel refused for their own sake."""
        self._layout.invalid[rows] |= _SHORT_SEND
        self._layout.counts[Count.SHORT_SENDS] += len(rows)
        self._refused.update(rows.tolist())

    def last_packet(self, row: int) -> tuple[int, int]:
        """Return a row's last packet's send time (CLOCK_REALTIME, ns) and its timestamp."""
        return self._last_send_ns.item(row), self._header_timestamp.item(row)

    def octets(self, row: int) -> int:
        """Return the bytes of payload sent of a row: G.711 has a byte a sample."""
        return int(self._timestamp.item(row)) - self._plans[row].first_timestamp

    def _is_last(self, row: int) -> bool:
        """Whether a row at its limit is through; if not, it goes on with its large packets."""
        plan = self._plans[row]
        if self._large[row] or not plan.large_packets:
            self.next_due[row] = NEVER
            return True
        self._set_size(row, plan.large_payload_bytes, plan.ordinary_packets + plan.large_packets, large=True)
        return False

    def _set_size(self, row: int, payload_bytes: int, limit: int, *, large: bool) -> None:
        self._batch.tail_lengths[row] = payload_bytes
        self._step[row] = payload_bytes  # G.711: a byte a sample
        self._interval[row] = payload_bytes * 125_000
        self._limit[row] = limit
        self._large[row] = large
        if large:
            self._ending.add(row)

    def _tap_row(self, row: int, send_ns: int) -> None:
        plan = self._plans[row]
        payload = self._payloads[plan.codec, plan.tone][: int(self._batch.tail_lengths[row])]
        self._tap(row, send_ns, self._headers[row].tobytes() + payload.tobytes())

    def skip_overdue(self, now: int) -> None:
        """After a stall: let the turns that were missed pass unused, and count them as late."""
        rows = np.flatnonzero(self.next_due <= now)
        lateness = now - self.next_due[rows]
        self._layout.lateness_max_ns[rows] = np.maximum(self._layout.lateness_max_ns[rows], lateness)
        self._late[rows] += lateness > self._late_limit_ns
        self._skip_turns(rows, np.full(len(rows), now))
        self.earliest = int(np.minimum.reduce(self.next_due))

    def _skip_turns(self, rows: Array, now: Array) -> None:
        """Move rows to their next turn after ``now``.

        A pause is not made up for in a burst: that would be a load which no conference has. The stream goes on a few
        turns later, its sequence numbers and timestamps without a gap.
        """
        behind = np.maximum(now - self.next_due[rows], 0)
        self.next_due[rows] += -(-behind // self._interval[rows]) * self._interval[rows]

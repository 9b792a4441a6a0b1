"""The pace: which rows are due, their headers, and one `sendmmsg` a tick and socket.

Owns send times and their lateness; must not receive or know a call's end beyond its last packet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from bridge_monitor.net import mmsg
from bridge_monitor.net.engine.layout import BINS, Array, Count, Layout, lateness_bins
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

NEVER: Final = np.iinfo(np.int64).max
_CHUNK: Final = 64
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


class Sender:
    """Sends every row's RTP stream.

    Args:
        settings: Tick, limits, rows.
        layout: Where the rows' figures are kept.
        pairs: The sockets, each for ``rows_per_pair`` rows.
        tap: Is given the packets of captured rows.
        clock: CLOCK_MONOTONIC, ns.
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
        self._pair_of = self._ordinals // self._rows_per_pair
        self._first_bin = self._ordinals * BINS
        self.next_due: Array = np.full(rows, NEVER, np.int64)
        self._last_send_ns: Array = np.zeros(rows, np.int64)
        self._timestamp: Array = np.zeros(rows, np.int64)
        self._first_seq: Array = np.zeros(rows, np.int64)
        self._interval: Array = np.zeros(rows, np.int64)
        self._step: Array = np.zeros(rows, np.int64)
        self._limit: Array = np.zeros(rows, np.int64)
        self._late: Array = np.zeros(rows, np.int64)
        self._large: Array = np.zeros(rows, np.bool_)
        self._captured: Array = np.zeros(rows, np.bool_)
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
        self._captured[row] = plan.capture
        self._set_size(row, plan.payload_bytes, plan.ordinary_packets, large=False)
        # Rows of one socket share a turn, and so do neighbouring sockets: a tick has few sockets with many packets
        # each, whose rows lie together. The turns are spread over the packet interval.
        slots = max(1, int(self._interval[row]) // self._tick_ns)
        tick = -(-now // self._tick_ns)
        turn = (row // self._rows_per_pair * slots // len(self._fds) - tick) % slots
        self.next_due[row] = (tick + turn) * self._tick_ns

    def stop(self, row: int) -> None:
        """Send no more of the row, and judge its pace."""
        self.next_due[row] = NEVER
        self._captured[row] = False
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
        due = np.flatnonzero(self.next_due <= now)
        if not due.size:
            return []
        first, last = int(due[0]), int(due[-1])
        # Neighbours, as all rows of some sockets are when none of them is idle, are reached without copies.
        rows: Array | slice = slice(first, last + 1) if last - first + 1 == due.size else due
        layout = self._layout
        layout.version[rows] |= 1
        seq = self._first_seq[rows] + layout.sent[rows] & 0xFFFF
        self._header_seq[rows] = seq
        self._header_timestamp[rows] = self._timestamp[rows] & 0xFFFFFFFF
        if rows is due:
            self._batch.gather(due)
        taken, refused, begun, done = self._send(due, None if rows is due else first)
        noted = rows
        if taken is not None:
            noted, seq = due[taken], seq[taken]
        self._note(noted, seq, begun + offset, done, refused)
        layout.version[rows] += 1
        reached = layout.sent[noted] >= self._limit[noted]
        if not reached.any():
            return []
        return [row for row in (due if taken is None else due[taken])[reached].tolist() if self._is_last(row)]

    def _send(self, due: Array, first: int | None) -> tuple[Array | None, Array | None, Array, Array]:
        """Send the due rows, socket by socket.

        Args:
            due: The rows; gathered if ``first`` is None.
            first: The first of them, if they are neighbours.

        Returns:
            Places in ``due`` that were taken, None if all; which of those the kernel refused, None if none; and for
            each taken the CLOCK_MONOTONIC times at which the kernel began with it, interpolated, and was done with its
            chunk.
        """
        pair = self._pair_of[due] if first is None else self._pair_of[first : first + len(due)]
        edges = [0, *(np.flatnonzero(pair[1:] != pair[:-1]) + 1).tolist(), len(due)]
        clock = self._clock
        send, offset = (self._batch.send_gathered, 0) if first is None else (self._batch.send, first)
        places: list[int] = []
        counts: list[int] = []
        before: list[int] = []
        after: list[int] = []
        refused: list[int] = []
        for start, stop in pairwise(edges):
            fd = self._fds[pair[start]]
            for place in range(start, stop, _CHUNK):
                wanted = min(_CHUNK, stop - place)
                before.append(clock())
                count = send(fd, wanted, place + offset)
                after.append(clock())
                places.append(place)
                counts.append(count)
                if self._batch.failed:
                    refused += [place + failed for failed in self._batch.failed]
                if count < wanted:
                    late = due[place + count : place + wanted]
                    self._layout.invalid[late] |= _SHORT_SEND
                    self._layout.counts[Count.SHORT_SENDS] += len(late)
        at = self._ordinals[: len(due)]
        short = sum(counts) < len(due)
        if short:
            parts = [at[place : place + count] for place, count in zip(places, counts, strict=True)]
            at = np.concatenate(parts)
        starts, sizes, begun, done = np.repeat(np.array((places, counts, before, after)), counts, axis=1)
        begun += (done - begun) * (at - starts) // sizes
        return at if short else None, np.isin(at, refused) if refused else None, begun, done

    def _note(self, rows: Array | slice, seq: Array, send_ns: Array, done: Array, refused: Array | None) -> None:
        """Count what the kernel took and set when each row is due again."""
        layout = self._layout
        columns = (layout.sent, self._timestamp, self._last_send_ns, layout.lateness_max_ns, self.next_due)
        parts = sent, timestamp, last_send_ns, latest, due = [column[rows] for column in columns]
        lateness = done - due
        sent += 1
        timestamp += self._step[rows]
        last_send_ns[:] = send_ns
        np.maximum(latest, lateness, out=latest)
        due += self._interval[rows]
        if not isinstance(rows, slice):  # of a slice the parts are the columns themselves
            for column, part in zip(columns, parts, strict=True):
                column[rows] = part
        numbers = self._ordinals[rows]
        layout.lateness_flat[self._first_bin[rows] + lateness_bins(lateness)] += np.uint32(1)
        layout.counts[Count.RTP_SENT] += len(numbers)
        if sent.min() == 1:
            fresh = sent == 1
            layout.started_ns[numbers[fresh]] = send_ns[fresh]
        if lateness.max() > self._late_limit_ns:
            behind = lateness > self._late_limit_ns
            self._late[rows] += behind
            self._skip_turns(numbers[behind], done[behind])
        large = self._large[rows]
        any_large = bool(large.any())
        if any_large:
            layout.large_sent[rows] += large
        captured = self._captured[rows]
        if captured.any():
            wanted = captured if refused is None else captured & ~refused
            for place in np.flatnonzero(wanted).tolist():
                self._tap_row(int(numbers[place]), int(send_ns[place]))
        if refused is not None:
            layout.invalid[numbers[refused]] |= _SHORT_SEND
            layout.counts[Count.SHORT_SENDS] += np.count_nonzero(refused)
            numbers, seq, send_ns, large = (column[~refused] for column in (numbers, seq, send_ns, large))
        layout.echo.sent(numbers, seq, send_ns, large=large if any_large else None)

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

    def _skip_turns(self, rows: Array, now: Array) -> None:
        """Move rows to their next turn after ``now``.

        A pause is not made up for in a burst: that would be a load which no conference has. The stream goes on a few
        turns later, its sequence numbers and timestamps without a gap.
        """
        behind = np.maximum(now - self.next_due[rows], 0)
        self.next_due[rows] += -(-behind // self._interval[rows]) * self._interval[rows]

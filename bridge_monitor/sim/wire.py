"""The way out of every room: the sockets of a nation's media, and what each line does to what leaves the room.

Owns sending, at once or later, and its count; must not know what a packet says.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import mmsg
from bridge_monitor.net.mmsg import SendBatch
from bridge_monitor.sim.board import (
    HAMPERS_FROM_ROOM,
    LATENESS_EDGES_NS,
    LATENESS_MAX_NS,
    QUEUE_FULL,
    UNSENT,
    Array,
    Board,
    Line,
)
from bridge_monitor.sim.impairment import DelayQueue, Loss, PacketNumbers, Policer, uniform

PACKET_SIZE = 1600
"""Longest datagram that a room takes: an Ethernet frame and some."""

_SMALL_BYTES = 256
_IP_AND_UDP_BYTES = 28
_BUFFER_BYTES = 64 << 20
_BIND_ATTEMPTS = 64
_LOSS_SALT, _DUPLICATE_SALT, _JITTER_SALT, _REORDER_SALT = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class MediaSockets:
    """A nation's media sockets: for each slot RTP and RTCP, bound to every address, and one at an unexpected port.

    Their order is: RTP of each slot, RTCP of each slot, the odd one.
    """

    sockets: tuple[socket.socket, ...]
    slots: int

    @classmethod
    def open(cls, slots: int, first_port: int | None) -> MediaSockets:
        """Bind them.

        Args:
            slots: Calls at once that one address may have.
            first_port: Port of the first pair, the others above it; None takes any free ones.

        Raises:
            LocalFaultError: A port can't be bound.
        """
        pairs = [_bind_pair(None if first_port is None else first_port + 2 * slot) for slot in range(slots)]
        odd = _bind(0 if first_port is None else first_port + 2 * slots)
        return cls((*(rtp for rtp, _ in pairs), *(rtcp for _, rtcp in pairs), odd), slots)

    @property
    def odd(self) -> int:
        """Index of the socket that no description names."""
        return 2 * self.slots

    def port(self, index: int) -> int:
        """Return the local port of a socket."""
        return int(self.sockets[index].getsockname()[1])

    def close(self) -> None:
        """Close them all."""
        for sock in self.sockets:
            sock.close()


class Departures(NamedTuple):
    """Packets that leave rooms, an entry each in every array.

    Attributes:
        batch: Holds them, addresses and lengths filled in.
        entries: Which entries of it.
        lines: Line (site row) of each.
        sockets: Index of the socket that each should leave from.
        base_ns: When each should leave: delay is counted from it, and our own lateness too.
    """

    batch: SendBatch
    entries: Array
    lines: Array
    sockets: Array
    base_ns: Array

    def only(self, which: Array | slice) -> Departures:
        """Return those that a mask, indices or a slice chooses."""
        return Departures(self.batch, self.entries[which], self.lines[which], self.sockets[which], self.base_ns[which])

    def joined(self, others: Departures) -> Departures:
        """Return these and others of the same batch."""
        if not len(others.entries):
            return self
        columns = zip(self[1:], others[1:], strict=True)
        return Departures(self.batch, *(np.concatenate(pair) for pair in columns))


class Wire:
    """Sends what leaves the rooms.

    Args:
        board: The shared columns.
        sockets: Where it leaves from.
        queue_capacity: Most packets that may wait for their time.
        clock: CLOCK_REALTIME in nanoseconds.
    """

    def __init__(self, board: Board, sockets: MediaSockets, queue_capacity: int, clock: Callable[[], int]) -> None:
        self._board = board
        self._clock = clock
        self._fds = [sock.fileno() for sock in sockets.sockets]
        self._odd = sockets.odd
        self._first_rtcp = sockets.slots
        lines = board.size.sites
        # Nearly all packets are small; a queue of entries for the largest would take eight times the memory.
        self._queue = DelayQueue(queue_capacity, _SMALL_BYTES)
        self._large_queue = DelayQueue(queue_capacity // 16, PACKET_SIZE)
        self._loss = Loss(lines, _LOSS_SALT)
        self._policer = Policer(lines)
        self._numbers = PacketNumbers(lines)

    @property
    def next_due_ns(self) -> int:
        """When `release` must be called next."""
        return min(self._queue.next_due_ns, self._large_queue.next_due_ns)

    @property
    def waiting(self) -> int:
        """Packets that wait for their time."""
        return len(self._queue) + len(self._large_queue)

    def depart(self, packets: Departures) -> None:
        """Let packets leave their rooms."""
        hampered = self._board.impaired[packets.lines] & HAMPERS_FROM_ROOM != 0
        if hampered.any():
            # What their lines leave of them goes with the others: a system call costs more than a packet.
            packets = packets.only(~hampered).joined(self._pass_lines(packets.only(hampered)))
        self._send(packets)

    def release(self, now_ns: int) -> None:
        """Send the packets whose time has come."""
        for queue in (self._queue, self._large_queue):
            entries = queue.due(now_ns)
            if len(entries):
                due_ns = queue.due_ns(entries)
                self._send(Departures(queue.batch, entries, queue.line[entries], queue.socket[entries], due_ns))
                queue.release(entries)

    def _pass_lines(self, packets: Departures) -> Departures:
        """Have hampered lines do to packets what they do; return those that leave now."""
        board = self._board
        rtp = self._is_rtp(packets.sockets)
        lost = rtp & self._lost(packets.lines, rtp)
        policed = np.flatnonzero(rtp & ~lost & (board.police_from_room[packets.lines] > 0.0))
        if policed.size:
            line = packets.lines[policed]
            size = packets.batch.lengths[packets.entries[policed]].astype(np.int64) + _IP_AND_UDP_BYTES
            lost[policed] = self._policer.refused(line, size, packets.base_ns[policed], board.police_from_room[line])
        np.add.at(board.dropped_from_room, packets.lines[lost], 1)
        packets, rtp = packets.only(~lost), rtp[~lost]
        if not len(packets.entries):
            return packets
        lines = packets.lines
        numbers = self._numbers.take(lines)
        odd = rtp & (board.flags[lines] & Line.ODD_PORT != 0)
        if odd.any():
            packets = packets._replace(sockets=np.where(odd, self._odd, packets.sockets))
        delay = board.delay_ns[lines]
        jittery = np.flatnonzero(board.jitter_ns[lines])
        if jittery.size:
            line = lines[jittery]
            chance = uniform(board.seed[line], numbers[jittery], _JITTER_SALT)
            delay[jittery] += (board.jitter_ns[line] * chance).astype(np.int64)
        held = np.flatnonzero(rtp & self._happens(board.reorder_rate, lines, numbers, _REORDER_SALT))
        if held.size:
            delay[held] += board.reorder_ns[lines[held]]
            np.add.at(board.held_back, lines[held], 1)
        twice = rtp & self._happens(board.duplicate_rate, lines, numbers, _DUPLICATE_SALT)
        if twice.any():
            np.add.at(board.duplicated, lines[twice], 1)
            copies = np.repeat(np.arange(len(lines)), 1 + twice)
            packets, delay = packets.only(copies), delay[copies]
        later = delay > 0
        if later.any():
            self._hold(packets.only(later), delay[later])
            packets = packets.only(~later)
        return packets

    def _happens(self, rate: Array, lines: Array, numbers: Array, salt: int) -> Array:
        """Return to which packets a thing of this rate by line happens; chance is asked only where it can."""
        happens = np.zeros(len(lines), np.bool_)
        possible = np.flatnonzero(rate[lines] > 0.0)
        if possible.size:
            line = lines[possible]
            happens[possible] = uniform(self._board.seed[line], numbers[possible], salt) < rate[line]
        return happens

    def _is_rtp(self, sockets: Array) -> Array:
        rtp: Array = (sockets < self._first_rtcp) | (sockets == self._odd)
        return rtp

    def _lost(self, lines: Array, rtp: Array) -> Array:
        """Return which packets the line loses on the way out, were they all RTP; chance is taken for RTP only."""
        board = self._board
        lost: Array = board.flags[lines] & Line.MUTE != 0
        chancy = np.flatnonzero(rtp & ~lost & (board.loss_from_room[lines] > 0.0))
        if chancy.size:
            line = lines[chancy]
            rate, burst = board.loss_from_room[line], board.burst_from_room[line]
            lost[chancy] = self._loss.lost(line, board.seed[line], rate, burst)
        return lost

    def _hold(self, packets: Departures, delay_ns: Array) -> None:
        """Put packets into the queues until their time."""
        packets = packets._replace(base_ns=packets.base_ns + delay_ns)
        small = packets.batch.lengths[packets.entries] <= _SMALL_BYTES
        self._hold_in(self._queue, packets.only(small))
        if not small.all():
            self._hold_in(self._large_queue, packets.only(~small))

    def _hold_in(self, queue: DelayQueue, packets: Departures) -> None:
        places = queue.take(packets.base_ns)
        count = len(places)
        if count < len(packets.entries):
            self._board.health[QUEUE_FULL] += len(packets.entries) - count
            packets = packets.only(slice(count))
        if not count:
            return
        batch, entries = packets.batch, packets.entries
        width = int(batch.lengths[entries].max())
        queue.batch.data[places, :width] = batch.data[entries, :width]
        queue.batch.lengths[places] = batch.lengths[entries]
        queue.batch.dst_ip[places] = batch.dst_ip[entries]
        queue.batch.dst_port[places] = batch.dst_port[entries]
        queue.batch.src_ip[places] = batch.src_ip[entries]
        queue.line[places] = packets.lines
        queue.socket[places] = packets.sockets

    def _send(self, packets: Departures) -> None:
        sockets = packets.sockets
        if not len(sockets):
            return
        if (sockets == sockets[0]).all():
            self._send_from(int(sockets[0]), packets)
        else:
            for index in np.unique(sockets).tolist():
                self._send_from(index, packets.only(sockets == index))
        late = self._clock() - packets.base_ns
        board = self._board
        board.lateness += np.bincount(np.searchsorted(LATENESS_EDGES_NS, late), minlength=len(board.lateness))
        board.health[LATENESS_MAX_NS] = max(int(board.health[LATENESS_MAX_NS]), int(late.max()))

    def _send_from(self, index: int, packets: Departures) -> None:
        board, batch = self._board, packets.batch
        tally = board.rtcp_sent if self._first_rtcp <= index < self._odd else board.sent
        for start in range(0, len(packets.entries), batch.capacity):  # doubled packets may be more than a batch holds
            part = slice(start, start + batch.capacity)
            entries, lines = packets.entries[part], packets.lines[part]
            gone = lines[: batch.send_rows(self._fds[index], entries)]
            if batch.failed:
                gone = np.delete(gone, batch.failed)
            np.add.at(tally, gone, 1)
            if len(gone) < len(entries):
                board.health[UNSENT] += len(entries) - len(gone)


def _bind(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        # Every site's address at once: which one a datagram came to is told by IP_PKTINFO.
        sock.bind(("0.0.0.0", port))  # noqa: S104 - only 127.0.0.0/8 has rows; others' datagrams are counted as stray
    except OSError as error:
        sock.close()
        raise LocalFaultError(f"media port {port} can't be bound: {error.strerror}") from error
    mmsg.enable_timestamps(sock)
    mmsg.enable_overflow_count(sock)
    mmsg.enable_pktinfo(sock)
    mmsg.set_buffers(sock, _BUFFER_BYTES)
    return sock


def _bind_pair(port: int | None) -> tuple[socket.socket, socket.socket]:
    """Bind RTP and the RTCP port above it (RFC 3550 §11)."""
    if port is not None:
        return _bind(port), _bind(port + 1)
    for _ in range(_BIND_ATTEMPTS):
        rtp = _bind(0)
        number = rtp.getsockname()[1]
        if number % 2 == 0:
            try:
                return rtp, _bind(number + 1)
            except LocalFaultError:
                pass
        rtp.close()
    raise LocalFaultError("no free pair of ports for RTP and RTCP")

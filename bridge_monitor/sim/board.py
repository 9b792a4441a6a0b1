"""The memory that the SIP side and the media process of a nation share, as columns.

Owns the layout. Each column has one writer: calls and lines are the SIP side's, tallies and health the media process's.
A call's ``serial`` is written last, and then told of as a change: a row is whole before the other side sees it.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

READY: Final = b"r"
"""What the media process says on its pipe once it listens."""

LATENESS_EDGES_NS: Final = np.array(
    [round(step * 10**power) for power in range(5, 10) for step in (1, 1.5, 2, 3, 4, 5, 7)], np.int64
)
"""Upper bounds of the lateness histogram: 0.1 ms to 7 s, seven steps a decade."""


class Line(IntFlag):
    """What a room's line and codec do to RTP, besides loss and delay."""

    OWN_STREAM = 1
    """The room sends a stream of its own instead of reflecting."""
    DEAF = 2
    """Nothing arrives at the room."""
    MUTE = 4
    """None of the room's RTP arrives at the caller."""
    NO_RTCP = 8
    """The room sends no RTCP."""
    ODD_PORT = 16
    """The room's RTP leaves from a port its SDP does not name."""
    MUTED = 32
    """The room's own stream is digital silence: its microphone is muted."""


CHANGES_KEPT: Final = 4096
"""So many beginnings and ends of calls are told by their rows; whoever is further behind looks at all rows."""

HAMPERS_TO_ROOM: Final = 1
"""Bit of `Board.impaired`: something befalls what comes to the room, or it does not reflect."""
HAMPERS_FROM_ROOM: Final = 2
"""Bit of `Board.impaired`: something befalls what leaves the room."""


@dataclass(frozen=True, slots=True)
class BoardSize:
    """How many rows: addresses of rooms, calls at once to one address, sites."""

    addresses: int
    slots: int
    sites: int

    @property
    def calls(self) -> int:
        """Call rows: ``slots`` for each address, side by side."""
        return self.addresses * self.slots


class _Carver:
    """Hands out columns of one buffer, each on a cache line of its own."""

    def __init__(self, buffer: mmap.mmap | None) -> None:
        self._buffer = buffer
        self.used = 0

    def column(self, dtype: str, rows: int) -> Array:
        size = np.dtype(dtype).itemsize * rows
        start, self.used = self.used, self.used + -(-size // 64) * 64
        if self._buffer is None:
            return np.zeros(0, dtype)
        return np.frombuffer(self._buffer, dtype, rows, start)


class Changes:
    """On which rows calls have begun or ended, so that the other side need not look at all of them.

    Args:
        rows: Ring of the rows.
        count: How many changes there have been; it is written last.
    """

    def __init__(self, rows: Array, count: Array) -> None:
        self._rows = rows
        self._count = count

    @property
    def count(self) -> int:
        """How often a call began or ended so far."""
        return int(self._count[0])

    def tell(self, row: int) -> None:
        """Say that a call begins or has ended on a row: after its ``serial`` is written."""
        count = self.count
        self._rows[count % CHANGES_KEPT] = row
        self._count[0] = count + 1

    def since(self, count: int) -> Array | None:
        """Return the rows of the changes after the first ``count``; None if they are too many to be known any more."""
        behind = self.count - count
        if behind > CHANGES_KEPT // 2:  # the other side may be writing into the older half
            return None
        rows: Array = self._rows[np.arange(count, count + behind) % CHANGES_KEPT].astype(np.int64)
        return rows


class Board:
    """The columns.

    Args:
        size: Number of rows.
        buffer: At least `bytes_needed` bytes, zero at first; None measures only.
    """

    def __init__(self, size: BoardSize, buffer: mmap.mmap | None) -> None:
        carver = _Carver(buffer)
        column = carver.column
        self.size, calls, sites = size, size.calls, size.sites
        self.addresses = column("u4", size.addresses)
        """Addresses of the rooms, host order, ascending; call row = index × slots + slot."""

        self.serial = column("u4", calls)
        """Number of the call on this row; 0 while there is none."""
        self.site = column("i4", calls)
        self.caller_ip = column("u4", calls)
        self.signalling_ip = column("u4", calls)
        """Where the call's INVITE came from: another address than `caller_ip` behind a translator; 0 if not told."""
        self.caller_rtp_port = column("u2", calls)
        self.caller_rtcp_port = column("u2", calls)
        self.payload_type = column("u1", calls)
        self.codec = column("u1", calls)
        """Which codec was agreed on: its place in `sim.room_sound.CODECS`."""
        self.video = column("u1", calls)
        """1 for the video of a call, which has a row of its own: every room that takes video reflects it."""
        self.ssrc = column("u4", calls)
        """The room's own."""
        self.first_sequence = column("u2", calls)
        self.first_timestamp = column("u4", calls)
        self.ended_ns = column("i8", calls)
        """When the last call on this row ended (CLOCK_REALTIME)."""
        self.changes = Changes(column("u4", CHANGES_KEPT), column("i8", 1))

        self.seed = column("u8", sites)
        """Every packet's fate on a line comes from this and the packet's number."""
        self.flags = column("u1", sites)
        self.wrong_payload_type = column("u1", sites)
        """Payload type sent whatever was agreed; 0 for none."""
        self.loss_to_room = column("f8", sites)
        self.burst_to_room = column("f8", sites)
        self.loss_from_room = column("f8", sites)
        self.burst_from_room = column("f8", sites)
        self.delay_ns = column("i8", sites)
        self.jitter_ns = column("i8", sites)
        """Width of the uniform delay that each packet has by itself."""
        self.reorder_rate = column("f8", sites)
        self.reorder_ns = column("i8", sites)
        self.duplicate_rate = column("f8", sites)
        self.large_limit = column("u4", sites)
        """Largest IP packet that passes; 0 for no limit."""
        # Bit/s that pass, IP headers included; 0 for no limit.
        self.police_to_room = column("f8", sites)
        self.police_from_room = column("f8", sites)
        self.impaired = column("u1", sites)
        """In which direction any of the above is set, as bits: the one look that healthy lines cost."""

        # Signed: NumPy's add.at has no quick way for unsigned ones.
        self.received = column("i8", sites)
        self.sent = column("i8", sites)
        self.dropped_to_room = column("i8", sites)
        self.dropped_from_room = column("i8", sites)
        self.large_dropped = column("i8", sites)
        self.duplicated = column("i8", sites)
        self.held_back = column("i8", sites)
        self.after_bye = column("i8", sites)
        self.unreadable = column("i8", sites)
        self.rtcp_received = column("i8", sites)
        self.rtcp_sent = column("i8", sites)

        self.lateness = column("i8", len(LATENESS_EDGES_NS) + 1)
        self.health = column("i8", 8)
        self.bytes_used = carver.used

    @classmethod
    def bytes_needed(cls, size: BoardSize) -> int:
        """Return how large the buffer must be."""
        return cls(size, None).bytes_used


OVERFLOWED: Final = 0
"""Index in `Board.health`: datagrams that our own full receive buffers dropped."""
UNSENT: Final = 1
"""Datagrams that the kernel would not take from us."""
QUEUE_FULL: Final = 2
"""Packets dropped because the delay queue was full."""
STRAY: Final = 3
"""Datagrams to an address or row where there never was a call."""
LATENESS_MAX_NS: Final = 4
ROUNDS: Final = 5
"""Rounds of the media loop: it is alive while this grows."""
PACKETS: Final = 6
"""RTP packets of calls received."""


def lateness_quantile(histogram: Array, quantile: float) -> float | None:
    """Return the upper bound in seconds of the bucket that holds the quantile; None without samples."""
    total = int(histogram.sum())
    if total == 0:
        return None
    bucket = int(np.searchsorted(np.cumsum(histogram), quantile * total))
    return float(LATENESS_EDGES_NS[min(bucket, len(LATENESS_EDGES_NS) - 1)]) / 1e9

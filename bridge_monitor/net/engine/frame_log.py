"""What arrived of video, packet by packet, until a stream's end: frames can only be judged then.

Owns the log of rows with video; must not decide which row a packet belongs to. Rows without video cost nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge_monitor.net.engine.demux import Demux, Stranger
from bridge_monitor.net.engine.layout import Array
from bridge_monitor.rtp.frames import PACKET
from bridge_monitor.rtp.h264 import starts_unit


class FrameLog:
    """The packets of all video rows.

    Args:
        rows: How many rows there are.
        demux: Tells our own SSRC and the peer's, and which payload types a row accepts.

    Attributes:
        live: Whether any row has video.
        watched: Which rows have; the last place answers for `NO_ROW`.
    """

    def __init__(self, rows: int, demux: Demux) -> None:
        self.live = False
        self._demux = demux
        self.watched: Array = np.zeros(rows + 1, np.bool_)
        self._parts: dict[int, list[Array]] = {}

    def start(self, row: int) -> None:
        """Keep a row's packets from now on."""
        self.watched[row] = self.live = True
        self._parts[row] = []

    def stop(self, row: int) -> tuple[Array, Array]:
        """Return, and forget, what a row received: the peer's own packets, and ours come back."""
        self.watched[row] = False
        parts = self._parts.pop(row)
        self.live = bool(self._parts)
        log = np.concatenate(parts) if parts else np.zeros(0, PACKET)
        own = log["ssrc"] == self._demux.own_ssrc[row]
        return log[~own], log[own]

    def note(self, rows: Array, payload_type: Array, log: Array) -> None:
        """Keep those packets of a batch that are a video row's stream.

        Args:
            rows: Row of each packet, `NO_ROW` of one that is nobody's.
            payload_type: Payload type of each.
            log: The packets.
        """
        demux = self._demux
        kept = self.watched[rows]
        if not kept.any():
            return
        accepted = demux.accepted[rows, payload_type] | (demux.peer_ssrc[rows] == log["ssrc"])
        kept &= accepted | (demux.own_ssrc[rows] == log["ssrc"])
        rows, log = rows[kept], log[kept]
        for row in np.unique(rows).tolist():
            self._parts[row].append(log[rows == row])

    def note_strangers(self, adopted: Sequence[tuple[int, Stranger]]) -> None:
        """Keep packets whose source was not known at first."""
        rows = np.array([row for row, _ in adopted], np.int64)
        payload_type = np.array([one.payload_type for _, one in adopted], np.int64)
        log = np.array(
            [
                (one.ssrc, one.seq, one.timestamp, one.arrival_ns, one.octets, one.marker, one.starts)
                for _, one in adopted
            ],
            PACKET,
        )
        self.note(rows, payload_type, log)


def payload_facts(data: Array, places: Array, start: Array, payload_bytes: Array) -> tuple[Array, Array]:
    """Return of each RTP packet its marker bit and whether its payload begins with the beginning of a unit.

    Args:
        data: One datagram a row.
        places: Rows of the packets asked for.
        start: Where each one's payload begins.
        payload_bytes: Bytes of payload of each.
    """
    start = np.minimum(start, data.shape[1] - 2)
    begins = starts_unit(data[places, start], data[places, start + 1]) & (payload_bytes > 0)
    return data[places, 1] >= 0x80, begins

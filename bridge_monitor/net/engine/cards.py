"""A test card on its way into the engine's process: packets in a piece of memory that both map.

Owns that memory's form, and the tables by which the engine finds a picture's packets; must not draw or encode.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bridge_monitor.net import segments
from bridge_monitor.net.engine.layout import Array

if TYPE_CHECKING:
    from bridge_monitor.net.testcard import Card

_LENGTH: Final = np.dtype("<u4")


class SharedCard:
    """A card's packets in anonymous memory, to be handed to the engine's process as often as it is started.

    Attributes:
        card: The card.
        command: What the engine is told.
        fd: The memory: each payload's length, then the payloads.
    """

    def __init__(self, card: Card) -> None:
        payloads = card.packets()
        whole = [payload for picture in payloads for payload in picture]
        lengths = np.array([len(payload) for payload in whole], _LENGTH)
        self.card = card
        self.command: dict[str, Any] = {
            "op": "card",
            "bitrate_bps": card.bitrate_bps,
            "frames_per_second": card.frames_per_second,
            "counts": [len(picture) for picture in payloads],
        }
        self.fd = os.memfd_create("bridge_monitor_card")
        with open(self.fd, "wb", closefd=False) as memory:
            memory.write(lengths.tobytes() + b"".join(whole))

    def close(self) -> None:
        """Give the memory back; an engine that has it keeps it."""
        os.close(self.fd)


class CardTable:
    """A card's packets as the engine sends them.

    Args:
        fd: The memory; it may be closed afterwards.
        counts: Packets of each picture.

    Attributes:
        first: Each picture's first packet.
        counts: How many it has.
        address: Where each packet's payload lies.
        lengths: Its bytes.
        largest: The most that any has; most packets have it.
        whole: Entries of several packets each, as far as packets have one size.
        single: Entries of one packet each.
    """

    def __init__(self, fd: int, counts: Sequence[int]) -> None:
        self._memory = np.frombuffer(mmap.mmap(fd, 0, access=mmap.ACCESS_READ), np.uint8)
        self.counts: Array = np.array(counts, np.int64)
        ends = self.counts.cumsum()
        self.first: Array = ends - self.counts
        packets = int(ends[-1])
        start = packets * _LENGTH.itemsize
        self.lengths: Array = self._memory[:start].view(_LENGTH).astype(np.int64)
        self._place: Array = start + self.lengths.cumsum() - self.lengths
        self.largest = int(self.lengths.max())
        self._large: Array = np.add.reduceat(self.lengths == self.largest, self.first, dtype=np.int64)
        self.address: Array = (self._memory.ctypes.data + self._place).astype(np.uint64)
        self.whole = Entries(self.first, self.counts, _begins(self.lengths, self.first))
        self.single = Entries(self.first, self.counts, np.arange(packets))

    def __len__(self) -> int:
        """Return how many pictures there are until it begins anew."""
        return len(self.counts)

    def payload(self, packet: int) -> bytes:
        """Return a packet's payload."""
        start = int(self._place[packet])
        return self._memory[start : start + int(self.lengths[packet])].tobytes()

    def frame_starts(self, frames: int) -> Array:
        """Return the place of each picture's first packet among those sent, and at its end their number."""
        return np.concatenate(([0], self.counts[np.arange(frames) % len(self)].cumsum()))

    def large_among(self, frames: int) -> int:
        """Return how many packets of the largest size so many pictures have."""
        return int(self._large[np.arange(frames) % len(self)].sum())


class Entries:
    """How a card's packets are sent: an entry takes some that follow each other.

    Attributes:
        first: Each picture's first entry.
        counts: How many it has.
        packet: Each entry's first packet.
        packets: How many it takes.
    """

    def __init__(self, first_packet: Array, packets: Array, begins: Array) -> None:
        self.packet: Array = begins
        self.packets: Array = np.diff(begins, append=first_packet[-1] + packets[-1])
        self.first: Array = np.searchsorted(begins, first_packet)
        self.counts: Array = np.diff(self.first, append=len(begins))


def _begins(lengths: Array, first_packet: Array) -> Array:
    """Return the packets with which an entry begins: a picture's first, and where the kernel could not cut."""
    pictures = set(first_packet.tolist())
    sizes = lengths.tolist()
    begins: list[int] = []
    for packet, size in enumerate(sizes):
        new = packet in pictures or packet - begins[-1] == segments.MAX_PACKETS
        # Only the last of an entry may be shorter than its first.
        if new or size > sizes[begins[-1]] or sizes[packet - 1] < sizes[begins[-1]]:
            begins.append(packet)
    return np.array(begins, np.int64)

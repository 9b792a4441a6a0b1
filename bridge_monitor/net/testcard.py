"""The test card: what a video call shows, encoded once for a rate and shared by all calls.

Owns the card's shape and the process that draws and encodes it; PyAV and Pillow never stay in this one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """A closed loop of pictures: its first is an IDR picture, so that it may begin anew after its last.

    Attributes:
        title: What stands on it.
        bitrate_bps: What each second of it takes on the wire, with RTP, UDP and IP headers.
        frames_per_second: Its pace.
        frames: H.264 access units as Annex B byte streams, parameter sets before each IDR picture.
    """

    title: str
    bitrate_bps: int
    frames_per_second: int
    frames: tuple[bytes, ...]

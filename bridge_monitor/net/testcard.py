"""The test card: what a video call shows, encoded once for a rate and shared by all calls.

Owns the card's shape, and how its pictures are filled up to the rate; they are drawn and encoded by `testcard_encoder`
in a process of its own, so that PyAV and Pillow never stay in this one.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge_monitor.errors import CardError
from bridge_monitor.rtp import h264

WIRE_OVERHEAD: Final = 20 + 8 + 12
"""Bytes of IPv4, UDP and RTP headers on each packet."""
LOOP_SECONDS: Final = 4
"""Two groups of pictures: an even number, so that two IDR pictures in a row never have the same ``idr_pic_id``."""
GROUP_SECONDS: Final = 2

_ENCODE_SECONDS: Final = 120.0
_LEAST_FILLER: Final = 4
_AIM: Final = 0.9
_COUNT: Final = struct.Struct("!I")


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

    def packets(self) -> list[list[bytes]]:
        """Return each frame's RTP payloads."""
        return [h264.packetise(h264.split_annex_b(frame)) for frame in self.frames]


_cards: dict[tuple[str, int, int], Card] = {}
_lock: Final = threading.Lock()


def encode(title: str, bitrate_bps: int, frames_per_second: int = 25) -> Card:
    """Return the card of a title for a rate and pace; encoded when first asked for, which takes some seconds.

    Blocks: in an event loop call it through `asyncio.to_thread`.

    Args:
        title: The event's title.
        bitrate_bps: What each second takes on the wire, with RTP, UDP and IP headers.
        frames_per_second: Its pace.

    Raises:
        CardError: The encoder's process failed, or the rate is too low for a picture at this pace.
    """
    key = (title, bitrate_bps, frames_per_second)
    with _lock:  # who asks for the same card meanwhile waits for it
        if key not in _cards:
            _cards[key] = _encode(*key)
        return _cards[key]


def _encode(title: str, bitrate_bps: int, frames_per_second: int) -> Card:
    """Have a child draw and encode, a little lower each time until every second fits, and fill each second up."""
    share, before = _AIM, float("inf")
    while True:
        frames = _run_encoder(title, round(bitrate_bps * share), bitrate_bps, frames_per_second)
        seconds = [frames[at : at + frames_per_second] for at in range(0, len(frames), frames_per_second)]
        fullest = max(sum(map(wire_bytes, second)) for second in seconds) * 8 / bitrate_bps
        if fullest <= 1:
            filled = [frame for second in seconds for frame in fill(second, bitrate_bps // 8)]
            return Card(title, bitrate_bps, frames_per_second, tuple(map(h264.join_annex_b, filled)))
        if fullest > before * 0.99:  # the encoder has nothing left to save
            raise CardError(f"{bitrate_bps} bit/s is too low for {frames_per_second} pictures a second")
        share, before = share * 0.98 / fullest, fullest


def _run_encoder(title: str, payload_bps: int, bitrate_bps: int, frames_per_second: int) -> list[list[bytes]]:
    """Return the NAL units of each picture that a child process has encoded."""
    wish = {"title": title, "payload_bps": payload_bps, "bitrate_bps": bitrate_bps, "fps": frames_per_second}
    command = [sys.executable, "-m", "bridge_monitor.net.testcard_encoder", json.dumps(wish)]
    try:
        done = subprocess.run(  # noqa: S603 (our own interpreter and module)
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ENCODE_SECONDS,
            check=True,
            process_group=0,  # a terminal's Ctrl-C is the parent's to handle
        )
    except subprocess.TimeoutExpired as error:
        raise CardError(f"the test card was not encoded within {_ENCODE_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise CardError(f"the test card could not be encoded: {said}") from error
    return list(unpack(done.stdout))


def pack(frames: Sequence[bytes]) -> bytes:
    """Return pictures as the child hands them over: each with its length before it."""
    return b"".join(_COUNT.pack(len(frame)) + frame for frame in frames)


def unpack(data: bytes) -> list[list[bytes]]:
    """Return the NAL units of each picture that `pack` wrote, less what only takes place: delimiters, remarks."""
    frames = []
    place = 0
    while place < len(data):
        (size,) = _COUNT.unpack_from(data, place)
        place += _COUNT.size
        units = h264.split_annex_b(data[place : place + size])
        frames.append([unit for unit in units if h264.nal_type(unit) in {1, 5, 7, 8}])
        place += size
    return frames


def wire_bytes(units: Sequence[bytes]) -> int:
    """Return what an access unit takes on the wire."""
    return sum(len(payload) + WIRE_OVERHEAD for payload in h264.packetise(units))


def fill(frames: Sequence[list[bytes]], budget: int) -> list[list[bytes]]:
    """Fill one second's pictures up to its bytes on the wire, spread over them.

    Filler goes before the picture and in packets of full size, so that all packets of a picture but its last have one
    size; an IDR picture's parameter sets get as much beside them as makes their packet full.

    Args:
        frames: NAL units of each picture; together they take no more than ``budget``.
        budget: Bytes on the wire.
    """
    spare = budget - sum(map(wire_bytes, frames))
    filled: list[list[bytes]] = []
    for number, units in enumerate(frames):
        # What is due up to this picture; the last one takes all that is left, to the byte where that is possible.
        due = spare // (len(frames) - number)
        picture = _filled(units, due, exactly=number == len(frames) - 1)
        spare -= wire_bytes(picture) - wire_bytes(units)
        filled.append(picture)
    return filled


def _filled(units: list[bytes], due: int, *, exactly: bool) -> list[bytes]:
    """Return a picture's units with filler that takes up to ``due`` bytes on the wire."""
    heads, slices = units[:-1], units[-1:]
    before = wire_bytes(units)
    if heads:  # make the parameter sets' packet full, if so much is due
        room = h264.MAX_PAYLOAD - 1 - sum(2 + len(unit) for unit in heads) - 2
        full = [*heads, h264.filler_unit(room)]
        if wire_bytes([*full, *slices]) - before <= due:
            heads = full
    while True:
        more = [*heads, h264.filler_unit(h264.MAX_PAYLOAD)]
        if wire_bytes([*more, *slices]) - before > due:
            break
        heads = more
    rest = due - (wire_bytes([*heads, *slices]) - before)
    # A small picture takes the rest into its own packet; a large one leaves it to the next picture, but for the last.
    if exactly or len(slices[0]) < h264.MAX_PAYLOAD // 2:
        for size in range(min(rest, h264.MAX_PAYLOAD), _LEAST_FILLER - 1, -1):
            more = [*heads, h264.filler_unit(size)]
            if wire_bytes([*more, *slices]) - before <= due:
                return [*more, *slices]
    return [*heads, *slices]

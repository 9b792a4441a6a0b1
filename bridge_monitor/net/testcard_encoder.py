"""Draws and encodes the test card: ``python -m bridge_monitor.net.testcard_encoder WISH``, started by `net.testcard`.

Owns what the card looks like and the encoder's settings; prints the access units and ends.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from typing import Any, Final

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bridge_monitor.net.testcard import GROUP_SECONDS, LOOP_SECONDS, pack
from bridge_monitor.rtp import h264

PURPOSE: Final = "Kiểm tra đường truyền"
_BARS: Final = ((192, 192, 192), (192, 192, 0), (0, 192, 192), (0, 192, 0), (192, 0, 192), (192, 0, 0), (0, 0, 192))
_SIZES: Final = ((256_000, (320, 180)), (1_000_000, (640, 360)))
"""Pictures of rates below; from the last one on 1280 × 720, the most that level 3.1 allows at 30 frames/s."""
_LARGEST: Final = (1280, 720)
_FIRST_SLICE_PROFILE: Final = bytes.fromhex("42e01f")
"""Constrained baseline, level 3.1: the profile-level-id that we offer. x264 leaves out constraint_set2, which holds."""

_FONT: Final = files("fontpkg_open_sans") / "files" / "OpenSans[wdth,wght].ttf"

Picture = Any


@dataclass(frozen=True, slots=True)
class Wish:
    """What to draw, how large, and how many bits a second to give it."""

    title: str
    payload_bps: int
    bitrate_bps: int
    fps: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return next((size for rate, size in _SIZES if self.bitrate_bps < rate), _LARGEST)


def font(size: int) -> ImageFont.FreeTypeFont:
    """Return a font that has every letter of Vietnamese; a freshly installed machine has none."""
    return ImageFont.truetype(str(_FONT), size)


def _fitting(draw: ImageDraw.ImageDraw, text: str, width: int, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Break and shrink a text until it is no wider than ``width`` and no more than two lines."""
    words = text.split() or [""]
    while True:
        chosen = font(size)
        lines = [words[0]]
        for word in words[1:]:
            longer = f"{lines[-1]} {word}"
            if draw.textlength(longer, chosen) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        if size <= 8 or (len(lines) <= 2 and max(draw.textlength(line, chosen) for line in lines) <= width):
            return "\n".join(lines[:2]), chosen
        size = size * 9 // 10


def ground(title: str, size: tuple[int, int]) -> Image.Image:
    """Return what stands still: colour bars, the event's title and what this is."""
    width, height = size
    image = Image.new("RGB", size, (16, 16, 16))
    draw = ImageDraw.Draw(image)
    for number, colour in enumerate(_BARS):
        left, right = width * number // len(_BARS), width * (number + 1) // len(_BARS) - 1
        draw.rectangle((left, 0, right, height // 3), colour)
    for text, size_of_font, centre in (
        (unicodedata.normalize("NFC", title), height // 11, height * 46 // 100),
        (PURPOSE, height // 13, height * 65 // 100),
    ):
        fitting, chosen = _fitting(draw, text, width * 9 // 10, size_of_font)
        draw.multiline_text((width / 2, centre), fitting, (255, 255, 255), chosen, "mm", align="center")
    return image


def pictures(wish: Wish) -> Iterator[Picture]:
    """Yield the loop's pictures as arrays of red, green and blue.

    Below the text a clock hand's dot goes round once in a loop, the counter counts, and a band of noise keeps the
    encoder busy, so that its rate is a real one.
    """
    width, height = wish.size
    still = ground(wish.title, wish.size)
    chance = np.random.default_rng(20240628)
    top, bottom = height * 3 // 4, height - height // 24
    left = width * 9 // 20
    counter = font(height // 10)
    count = LOOP_SECONDS * wish.fps
    for number in range(count):
        image = still.copy()
        draw = ImageDraw.Draw(image)
        text = f"{number // wish.fps:02}:{number % wish.fps:02}"
        draw.text((width // 20, (top + bottom) / 2), text, (255, 255, 255), counter, "lm")
        at = width * number / count
        draw.rectangle((at, height // 3 + 2, at + width / 40, height // 3 + height // 30), (255, 255, 255))
        picture = np.array(image)
        noise = chance.integers(16, 240, ((bottom - top) // 4, (width * 19 // 20 - left) // 4, 1), np.uint8)
        noise = noise.repeat(4, 0).repeat(4, 1).repeat(3, 2)
        picture[top : top + noise.shape[0], left : left + noise.shape[1]] = noise
        yield picture


def encode(wish: Wish) -> list[bytes]:
    """Return the loop's access units."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height = wish.size
    context.pix_fmt = "yuv420p"
    context.framerate = Fraction(wish.fps)
    context.time_base = Fraction(1, wish.fps)
    context.bit_rate = wish.payload_bps
    context.thread_count = 1
    group = GROUP_SECONDS * wish.fps
    kilobits = wish.payload_bps // 1000
    context.options = {
        "preset": "veryfast",
        "profile": "baseline",
        "level": "3.1",
        # One slice a picture; the decoder's buffer holds a second.
        "x264-params": f"slices=1:sliced-threads=0:keyint={group}:min-keyint={group}:scenecut=0:force-cfr=1:"
        f"vbv-maxrate={kilobits}:vbv-bufsize={kilobits}:vbv-init=0.5",
    }
    made: list[bytes] = []
    for number, picture in enumerate(pictures(wish)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        made += [bytes(packet) for packet in context.encode(frame)]
    made += [bytes(packet) for packet in context.encode(None)]
    return [_named(access_unit) for access_unit in made]


def _named(access_unit: bytes) -> bytes:
    """Give the sequence parameter set the very profile that we offer."""
    units = h264.split_annex_b(access_unit)
    return h264.join_annex_b(
        unit[:1] + _FIRST_SLICE_PROFILE + unit[4:] if h264.nal_type(unit) == h264.Nal.SPS else unit for unit in units
    )


def main(arguments: list[str]) -> None:
    """Write the access units of the wish to the standard output."""
    sys.stdout.buffer.write(pack(encode(Wish(**json.loads(arguments[0])))))


if __name__ == "__main__":
    main(sys.argv[1:])

"""`net.testcard_encoder`: what is drawn is what a decoder shows, with every letter of Vietnamese."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import unicodedata

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from bridge_monitor.net.testcard import pack, unpack
from bridge_monitor.net.testcard_encoder import PURPOSE, Wish, encode, font, ground, main, pictures
from bridge_monitor.rtp.h264 import join_annex_b

WISH = Wish("Hội nghị trực tuyến toàn quốc", 400_000, 500_000, 5)
MARKS = "\u0300\u0301\u0303\u0309\u0323"
BASES = "aăâeêioôơuưy"
LETTERS = sorted(
    {unicodedata.normalize("NFC", base + mark) for base, mark in itertools.product(BASES + BASES.upper(), ["", *MARKS])}
    | {"đ", "Đ"}
)


def glyph(text: str) -> bytes:
    image = Image.new("L", (64, 80))
    ImageDraw.Draw(image).text((8, 8), text, 255, font(40))
    return image.tobytes()


def test_the_font_has_every_letter_of_vietnamese() -> None:
    """No two letters look the same, and none like a letter that the font lacks."""
    glyphs = {letter: glyph(letter) for letter in LETTERS}
    assert len(LETTERS) == 12 * 6 * 2 + 2
    assert len(set(glyphs.values())) == len(LETTERS)
    assert glyph("\U0001f9ff") not in glyphs.values()


def test_letters_and_marks_written_apart_look_like_those_written_as_one() -> None:
    size = (640, 360)
    apart = unicodedata.normalize("NFD", WISH.title)
    assert ground(apart, size).tobytes() == ground(WISH.title, size).tobytes()


@pytest.mark.parametrize("title", ["", "Hội nghị", "Hội nghị trực tuyến toàn quốc " * 6, "x" * 300])
def test_any_title_stays_within_the_picture(title: str) -> None:
    for size in ((320, 180), (1280, 720)):
        picture = np.array(ground(title, size))
        text = picture[size[1] // 3 + 1 : size[1] * 3 // 4]
        edge = max(1, size[0] // 40)
        assert text.max() == 255
        assert text[:, :edge].max() == text[:, -edge:].max() == 16 or len(title) == 300
        assert picture[size[1] * 3 // 4 :].max() == 16


@pytest.mark.parametrize(("rate", "size"), [(64_000, (320, 180)), (500_000, (640, 360)), (1_000_000, (1280, 720))])
def test_a_higher_rate_has_a_larger_picture(rate: int, size: tuple[int, int]) -> None:
    assert Wish("a", rate, rate, 25).size == size


def test_a_decoder_shows_what_was_drawn() -> None:
    """The text, where only the coder's loss differs; and each picture's counter and dot go on."""
    context = av.CodecContext.create("h264", "r")
    shown = [picture for frame in encode(WISH) for picture in context.decode(av.Packet(frame))]
    shown += context.decode(None)
    drawn = list(pictures(WISH))
    assert len(shown) == len(drawn) == 20
    for ours, theirs in zip(drawn, shown, strict=True):
        picture = theirs.to_ndarray(format="rgb24").astype(int)
        text = np.s_[130:260, :]
        assert np.abs(picture[text] - ours[text]).mean() < 4
        assert np.abs(picture[280:340, 20:240] - ours[280:340, 20:240]).mean() < 12
    counters = {picture[280:340, 20:240].tobytes() for picture in drawn}
    assert len(counters) == len(drawn)


def test_it_prints_what_it_encoded(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    wish = {"title": "a", "payload_bps": 60_000, "bitrate_bps": 64_000, "fps": 5}
    main([json.dumps(wish)])
    sys.stdout.flush()
    here = capfdbinary.readouterr().out
    command = [sys.executable, "-m", "bridge_monitor.net.testcard_encoder", json.dumps(wish)]
    there = subprocess.run(command, capture_output=True, check=True).stdout
    assert here == there
    frames = unpack(there)
    assert len(frames) == 20
    assert pack([join_annex_b(units) for units in frames])
    assert PURPOSE == "Kiểm tra đường truyền"

"""`net.testcard`: the card carries just its rate, may repeat for ever, and its encoder stays in another process."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import testcard
from bridge_monitor.net.testcard import Card, fill, pack, unpack, wire_bytes
from bridge_monitor.rtp.h264 import MAX_PAYLOAD, join_annex_b, nal_type, split_annex_b

TITLE = "Hội nghị trực tuyến toàn quốc"
FPS = 25


@pytest.fixture(params=[128_000, 1_000_000, 2_000_000])
def card(request: pytest.FixtureRequest) -> Card:
    return testcard.encode(TITLE, request.param, FPS)


def decoded(frames: list[bytes]) -> list[Any]:
    context = av.CodecContext.create("h264", "r")
    found = [picture for frame in frames for picture in context.decode(av.Packet(frame))]
    return [picture.to_ndarray() for picture in [*found, *context.decode(None)]]


class TestCard:
    def test_each_second_takes_its_rate_on_the_wire(self, card: Card) -> None:
        taken = [sum(len(payload) + 40 for payload in payloads) for payloads in card.packets()]
        assert len(taken) == testcard.LOOP_SECONDS * FPS
        seconds = [sum(taken[at : at + FPS]) * 8 for at in range(0, len(taken), FPS)]
        assert all(0.995 * card.bitrate_bps <= second <= card.bitrate_bps for second in seconds)

    def test_a_picture_s_packets_have_one_size_but_the_last_of_a_piece(self, card: Card) -> None:
        """So that nearly every picture leaves in one UDP_SEGMENT entry."""
        pieces = 0
        for payloads in card.packets():
            sizes = [len(payload) for payload in payloads]
            assert max(sizes) <= MAX_PAYLOAD
            pieces += 1 + sum(here > before or before < sizes[0] for before, here in pairwise(sizes))
        assert pieces <= 1.1 * len(card.frames)

    def test_every_two_seconds_an_idr_picture_stands_alone_with_its_parameter_sets(self, card: Card) -> None:
        kinds = [[nal_type(unit) for unit in split_annex_b(frame)] for frame in card.frames]
        assert [place for place, kind in enumerate(kinds) if 5 in kind] == [0, 50]
        assert all(kind[:2] == [7, 8] and kind[-1] == 5 for kind in (kinds[0], kinds[50]))
        assert all(kind[-1] == 1 and kind.count(1) == 1 for place, kind in enumerate(kinds) if place % 50)

    def test_it_is_of_the_profile_and_level_that_the_offer_names(self, card: Card) -> None:
        assert split_annex_b(card.frames[0])[0][1:4].hex() == "42e01f"

    def test_idr_pictures_are_larger_than_the_others(self, card: Card) -> None:
        sizes = [len(frame) for frame in card.frames]
        assert sizes[50] > 2 * sorted(sizes)[50]

    def test_it_repeats_without_a_seam(self, card: Card) -> None:
        """Two rounds in one decoder: every picture is there, the second round's like the first one's."""
        pictures = decoded([*card.frames, *card.frames])
        assert len(pictures) == 2 * len(card.frames)
        assert all(np.array_equal(*pair) for pair in zip(pictures[:100], pictures[100:], strict=True))

    def test_it_is_encoded_once(self, card: Card) -> None:
        assert testcard.encode(card.title, card.bitrate_bps, card.frames_per_second) is card


def test_the_encoder_s_libraries_stay_in_its_process() -> None:
    code = (
        "import sys; from bridge_monitor.net import testcard; card = testcard.encode('a', 64000, 5);"
        "print(len(card.frames), 'av' in sys.modules, 'PIL' in sys.modules, 'asyncio' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["20", "False", "False", "False"]


def test_a_rate_that_no_picture_fits_in_is_a_local_fault() -> None:
    with pytest.raises(LocalFaultError, match="8000 bit/s is too low for 25 pictures a second"):
        testcard.encode("a", 8000, 25)


def test_an_encoder_that_fails_or_hangs_is_a_local_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LocalFaultError, match=r"could not be encoded: .*ZeroDivisionError"):
        testcard.encode("a", 64000, 0)
    monkeypatch.setattr(testcard, "_ENCODE_SECONDS", 0.01)
    with pytest.raises(LocalFaultError, match="not encoded within"):
        testcard.encode("b", 64000, 25)


class TestFill:
    @given(st.lists(st.integers(5, 4000), min_size=1, max_size=30), st.integers(0, 60_000), st.booleans())
    @settings(max_examples=200, deadline=None)
    def test_a_second_is_filled_to_its_budget_and_loses_nothing(
        self,
        sizes: list[int],
        spare: int,
        begins: bool,  # noqa: FBT001 - hypothesis gives it
    ) -> None:
        frames = [[bytes([0x41]) + b"\x80" * size] for size in sizes]
        if begins:
            frames[0] = [b"\x67" * 20, b"\x68" * 5, *frames[0]]
        least = sum(map(wire_bytes, frames))
        filled = fill(frames, least + spare)
        taken = sum(map(wire_bytes, filled))
        assert taken <= least + spare
        assert spare - (taken - least) <= 60  # too little for a packet of its own
        assert [[unit for unit in units if nal_type(unit) != 6] for units in filled] == frames
        assert all(units[-1] == given[-1] for units, given in zip(filled, frames, strict=True))

    def test_pictures_survive_the_way_from_the_child(self) -> None:
        """Delimiters and remarks stay behind."""
        frame = [b"\x67ab", b"\x68a", b"\x65abc"]
        sent = [join_annex_b([b"\x09\x10", *frame[:2], b"\x06remark", frame[2]]), join_annex_b([b"\x41x"])]
        assert unpack(pack(sent)) == [frame, [b"\x41x"]]
        assert unpack(b"") == []

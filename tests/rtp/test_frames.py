"""`rtp.frames`: which frames came whole, over loss, reordering, duplicates, wraps and restarts of the source."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_monitor.rtp.frames import PACKET, FrameReception, Packet, count_own_of_size, summarise, summarise_own
from bridge_monitor.rtp.report import FrameSummary

MS = 1_000_000
START = 1_719_471_600_000 * MS
STEP = 3600  # 25 frames/s


def stream(
    sizes: Iterable[int], *, seq: int = 65530, timestamp: int = 2**32 - 9000, ssrc: int = 7, start: int = START
) -> list[Packet]:
    """Return a stream's packets, frames 40 ms apart, their packets 0.1 ms."""
    packets = []
    for number, size in enumerate(sizes):
        for place in range(size):
            packets.append(
                Packet(
                    ssrc=ssrc,
                    seq=seq & 0xFFFF,
                    timestamp=timestamp + STEP * number & 0xFFFFFFFF,
                    arrival_ns=start + 40 * MS * number + place * MS // 10,
                    bytes=1000 + place,
                    marker=place == size - 1,
                    starts=place == 0,
                )
            )
            seq += 1
    return packets


def table(packets: Iterable[Packet]) -> Any:
    return np.array([tuple(packet) for packet in packets], PACKET)


def both(packets: Iterable[Packet]) -> FrameSummary | None:
    """Return the summary on which both implementations agree."""
    packets = list(packets)
    scalar = FrameReception()
    for packet in packets:
        scalar.receive(packet)
    assert scalar.summary() == summarise(table(packets))
    return scalar.summary()


def counts(packets: Iterable[Packet]) -> tuple[int, int, int]:
    found = both(packets)
    assert found is not None
    return found.expected, found.complete, found.lost


def without(packets: list[Packet], *places: int) -> list[Packet]:
    return [packet for place, packet in enumerate(packets) if place not in places]


class TestWhatIsLost:
    def test_a_whole_stream_has_all_its_frames_over_both_wraps(self) -> None:
        found = both(stream([4] * 50))
        assert found == FrameSummary(50, 50, 0, 25.0, 50 * 4006, 0.0, 0.0)

    def test_nothing_received_is_no_summary(self) -> None:
        assert both([]) is None

    def test_one_packet_is_one_frame_without_a_rate(self) -> None:
        assert both(stream([1])) == FrameSummary(1, 1, 0, None, 1000, None, None)

    @pytest.mark.parametrize("place", [8, 9, 10, 11])
    def test_any_packet_missing_is_one_frame_lost(self, place: int) -> None:
        assert counts(without(stream([4] * 5), place)) == (5, 4, 1)

    def test_a_frame_wholly_missing_is_lost(self) -> None:
        assert counts(without(stream([4] * 5), 8, 9, 10, 11)) == (5, 4, 1)

    def test_three_frames_wholly_missing_are_three(self) -> None:
        assert counts(without(stream([1] * 9), 3, 4, 5)) == (9, 6, 3)

    def test_a_run_from_one_frame_s_tail_to_the_next_one_s_head_is_two(self) -> None:
        assert counts(without(stream([4] * 5), 7, 8)) == (5, 3, 2)

    def test_a_run_over_tail_whole_frame_and_head_is_three(self) -> None:
        assert counts(without(stream([4] * 5), 7, 8, 9, 10, 11, 12)) == (5, 2, 3)

    def test_a_picture_left_out_by_the_source_is_no_loss(self) -> None:
        """A gap in the timestamps alone: the room's encoder skipped pictures."""
        packets = [
            packet._replace(timestamp=packet.timestamp + 9 * STEP) for packet in stream([2] * 6, timestamp=0)[6:]
        ]
        assert counts([*stream([2] * 6, timestamp=0)[:6], *packets]) == (6, 6, 0)

    def test_a_frame_of_several_units_whose_first_is_missing_is_lost(self) -> None:
        """After a frame that ended the packets that are missing can only be the next one's."""
        packets = stream([4] * 4)
        packets[9] = packets[9]._replace(starts=True)
        assert counts(without(packets, 8)) == (4, 3, 1)

    def test_a_frame_cut_by_the_beginning_or_end_of_reception_is_neither_expected_nor_lost(self) -> None:
        assert counts(stream([4] * 5)[2:-2]) == (3, 3, 0)

    def test_timestamps_that_never_grow_tell_of_no_missing_frame(self) -> None:
        packets = [packet._replace(timestamp=5) for packet in stream([1] * 6)]
        assert counts(without(packets, 2)) == (1, 0, 1)
        falling = [packet._replace(timestamp=-STEP * place & 0xFFFFFFFF) for place, packet in enumerate(packets)]
        found = both(without(falling, 2))
        assert found is not None
        assert found.frame_rate is None

    def test_duplicates_and_reordering_lose_nothing(self) -> None:
        packets = stream([4] * 5)
        packets[5], packets[6] = packets[6], packets[5]
        assert counts([*packets[:10], *packets[8:]]) == (5, 5, 0)


class TestRestart:
    def test_a_source_that_begins_anew_is_a_stream_of_its_own(self) -> None:
        """Both streams' frames add up; what lies between them is nobody's loss."""
        later = stream([3] * 10, seq=500, timestamp=77, ssrc=8, start=START + 400 * MS)
        found = both([*without(stream([4] * 10), 5), *without(later, 4)])
        assert found is not None
        assert (found.expected, found.lost) == (20, 2)
        assert found.frame_rate == pytest.approx(25)

    def test_a_jump_of_the_sequence_numbers_is_a_new_beginning(self) -> None:
        assert counts([*stream([4] * 10), *stream([4] * 10, seq=30_000)]) == (20, 20, 0)

    def test_a_stray_packet_is_left_out(self) -> None:
        packets = stream([4] * 10)
        stray = packets[0]._replace(seq=40_000, ssrc=9)
        assert counts([*packets[:7], stray, *packets[7:9], stray._replace(seq=40_001), *packets[9:]]) == (10, 10, 0)

    def test_a_new_base_of_the_timestamps_is_no_jitter(self) -> None:
        later = stream([1] * 5, seq=65535, timestamp=10**9, start=START + 200 * MS)
        found = both([*stream([1] * 5), *later])
        assert found is not None
        assert found.jitter_max_seconds == 0


def test_jitter_is_of_the_first_packets_alone() -> None:
    """A large frame takes long to arrive: that is its size, no jitter."""
    packets = [
        packet._replace(arrival_ns=START + 40 * MS * place + 3 * MS * packet_place)
        for place, size in enumerate([10, 1] * 20)
        for packet_place, packet in enumerate(stream([1] * 40)[place : place + 1] * size)
    ]
    steady = [packet._replace(seq=place) for place, packet in enumerate(packets)]
    found = both(steady)
    assert found is not None
    assert found.jitter_seconds == 0.0


def test_frames_at_30_a_second_are_30_a_second() -> None:
    packets = [packet._replace(timestamp=3000 * place) for place, packet in enumerate(stream([1] * 30))]
    found = both(packets)
    assert found is not None
    assert found.frame_rate == pytest.approx(30)
    assert found.jitter_seconds > 0.001  # type: ignore[operator]


accidents = st.lists(
    st.tuples(
        st.sampled_from(["frame"] * 8 + ["lose", "lose_many", "again", "late", "source", "skip", "stray", "no_marker"]),
        st.integers(1, 6),
        st.integers(0, 60),
    ),
    max_size=60,
)
near_wrap = st.integers(65500, 65535) | st.integers(0, 0xFFFF)


@given(accidents, near_wrap, st.integers(2**32 - 9000, 2**32 - 1) | st.integers(0, 9000), st.randoms())
@settings(max_examples=300, deadline=None)
def test_both_implementations_agree_whatever_happens(
    story: list[tuple[str, int, int]], seq: int, timestamp: int, chance: random.Random
) -> None:
    packets: list[Packet] = []
    ssrc, now = 7, START
    for what, size, delay in story:
        now += delay * MS
        if what in {"frame", "no_marker", "late"}:
            frame = stream([size], seq=seq, timestamp=timestamp, ssrc=ssrc, start=now)
            if what == "no_marker":
                frame = [packet._replace(marker=False, starts=delay % 2 == 0) for packet in frame]
            if what == "late":
                chance.shuffle(frame)
            packets += frame
            seq, timestamp = seq + size & 0xFFFF, timestamp + STEP & 0xFFFFFFFF
        elif what == "lose":
            seq, timestamp = seq + size & 0xFFFF, timestamp + STEP * (delay % 3) & 0xFFFFFFFF
        elif what == "lose_many":
            seq = seq + 750 * size & 0xFFFF
        elif what == "again" and packets:
            packets.append(packets[-min(size * 50, len(packets))]._replace(arrival_ns=now))
        elif what == "source":
            ssrc, seq = ssrc + 1, seq + 30_000 * (size % 2) & 0xFFFF
        elif what == "skip":
            timestamp = timestamp + STEP * size * 10 & 0xFFFFFFFF
        elif what == "stray":
            packets += stream([1], seq=60_000 + size, timestamp=5, ssrc=9, start=now)
    both(packets)


@given(st.lists(st.integers(1, 12), min_size=3, max_size=40), st.sets(st.integers(0, 400)), near_wrap)
@settings(max_examples=200, deadline=None)
def test_losses_are_counted_exactly_where_each_packet_tells_its_unit_s_beginning(
    sizes: list[int], losses: set[int], seq: int
) -> None:
    """Frames of one unit each, first and last kept: what is lost is what was dropped, whole frames among them."""
    packets = stream(sizes, seq=seq)
    edges = {*range(sizes[0]), *range(len(packets) - sizes[-1], len(packets))}
    losses = {place for place in losses if place < len(packets)} - edges
    ends = list(accumulate(sizes))
    hit = sum(any(place in losses for place in range(end - size, end)) for end, size in zip(ends, sizes, strict=True))
    if losses and len(losses) > len(packets) - len(edges) - 3:
        return  # hardly a frame in between: the usual step of the timestamps can't be known
    known = [both(without(packets, *losses))]
    assert known[0] is not None
    # Wholly missing neighbours of a frame whose tail is gone may be told only as far as packets are left for them.
    assert known[0].lost <= hit
    if not _touching(losses, ends):
        assert known[0].lost == hit


def _touching(losses: set[int], ends: list[int]) -> bool:
    """Tell whether a run of losses goes over the end of a frame."""
    return any(end in losses and end - 1 in losses for end in ends)


class TestOwn:
    """Our own frames come back: which packets make a frame is known."""

    SIZES = (3, 1, 4, 1, 5)

    def own(self, packets: list[Packet], first_seq: int = 65530) -> FrameSummary | None:
        return summarise_own(table(packets), first_seq, np.array([0, *accumulate(self.SIZES)]))

    def test_all_came_back(self) -> None:
        found = self.own(stream(self.SIZES))
        assert found == FrameSummary(5, 5, 0, 25.0, 14_000 + 0 + 3 + 0 + 6 + 0 + 10, 0.0, 0.0)

    @pytest.mark.parametrize(
        ("lost", "frames"), [((0,), 1), ((13,), 1), ((3,), 1), ((2, 3, 4), 3), (tuple(range(4, 14)), 3)]
    )
    def test_a_frame_with_a_missing_packet_is_lost_at_the_edges_too(self, lost: tuple[int, ...], frames: int) -> None:
        found = self.own(without(stream(self.SIZES), *lost))
        assert found is not None
        assert (found.expected, found.lost) == (5, frames)

    def test_copies_and_packets_never_sent_count_for_nothing(self) -> None:
        packets = stream(self.SIZES)
        beyond = packets[0]._replace(seq=packets[-1].seq + 1)
        assert self.own([*packets, packets[3], beyond, packets[0]._replace(seq=65529)]) == self.own(packets)

    def test_packets_of_one_size_are_counted_once_each(self) -> None:
        """Over the wrap of sequence numbers, copies left out."""
        packets = stream(self.SIZES)
        sizes = [packet.bytes for packet in packets]
        for size in (*set(sizes), 999_999):
            copied = table([*packets, packets[3], packets[0]])
            assert count_own_of_size(copied, 65530, size) == sizes.count(size)
        assert count_own_of_size(table([]), 65530, 1000) == 0

    def test_nothing_of_ours_is_no_summary(self) -> None:
        assert self.own([]) is None
        assert self.own([stream([1])[0]._replace(seq=60_000)]) is None

    def test_the_first_to_come_back_may_be_any(self) -> None:
        packets = stream(self.SIZES)
        found = self.own([*packets[5:], *packets[:5]])
        assert found is not None
        assert found.lost == 0

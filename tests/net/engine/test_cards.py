"""`net.engine.cards`: a card crosses to the engine whole, and its packets lie in as few entries as may be."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_monitor.net.engine.cards import CardTable, SharedCard
from bridge_monitor.net.segments import MAX_PACKETS
from bridge_monitor.net.testcard import Card
from bridge_monitor.rtp.h264 import join_annex_b


def table_of(card: Card) -> CardTable:
    shared = SharedCard(card)
    try:
        return CardTable(shared.fd, shared.command["counts"])
    finally:
        shared.close()


def test_every_payload_is_there(card: Card) -> None:
    table = table_of(card)
    pictures = card.packets()
    assert len(table) == len(pictures) == 8
    for place, payloads in enumerate(pictures):
        first = int(table.first[place])
        assert [table.payload(first + number) for number in range(int(table.counts[place]))] == payloads


def test_it_tells_where_each_picture_begins_over_several_rounds(card: Card) -> None:
    table = table_of(card)
    counts = [len(payloads) for payloads in card.packets()]
    starts = table.frame_starts(20).tolist()
    assert len(starts) == 21
    assert [after - before for before, after in pairwise(starts)] == [*counts, *counts, *counts[:4]]


def test_it_tells_how_many_packets_have_the_largest_size_over_several_rounds(card: Card) -> None:
    table = table_of(card)
    sizes = [[len(payload) for payload in payloads] for payloads in card.packets()]
    largest = max(max(picture) for picture in sizes)
    assert table.largest == largest
    for frames in (0, 1, 8, 20):
        sent = [size for place in range(frames) for size in sizes[place % 8]]
        assert table.large_among(frames) == sent.count(largest)


@given(st.lists(st.lists(st.integers(2, 1338 * 3), min_size=1, max_size=60), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_an_entry_s_packets_have_one_size_but_the_last(sizes: list[list[int]]) -> None:
    """Whatever the units: entries follow each other without a gap, and none goes over the end of a picture."""
    frames = tuple(join_annex_b([b"A" * size for size in picture]) for picture in sizes)
    card = Card("a", 1_000_000, 25, frames)
    table = table_of(card)
    lengths = table.lengths.tolist()
    ends = set(table.first.tolist()) | {len(lengths)}
    place = 0
    for packet, count in zip(table.whole.packet.tolist(), table.whole.packets.tolist(), strict=True):
        assert packet == place
        place += count
        one = lengths[packet:place]
        assert set(one[:-1]) <= {one[0]}
        assert one[-1] <= one[0]
        assert count <= MAX_PACKETS
        assert not any(end in ends for end in range(packet + 1, place))
        full = place in ends or count == MAX_PACKETS or one[-1] < one[0] or lengths[place] > one[0]
        assert full  # no entry ends before it must
    assert place == len(lengths)
    assert table.whole.counts.sum() == len(table.whole.packet)
    assert table.single.counts.tolist() == table.counts.tolist()
    assert set(table.single.packets.tolist()) == {1}


@pytest.mark.parametrize("place", [0, 5])
def test_a_picture_s_entries(card: Card, place: int) -> None:
    """The first has its parameter sets apart; one of 60 packets needs two entries."""
    table = table_of(card)
    first, count = int(table.whole.first[place]), int(table.whole.counts[place])
    expected = {0: [1, 9], 5: [40, 20]}[place]
    assert table.whole.packets[first : first + count].tolist() == expected

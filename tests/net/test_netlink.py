"""rtnetlink dumps, read from what a kernel (6.18) really said, cut off anywhere, and asked for anew."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.net import netlink

# tc qdisc add dev lo root tbf rate 8kbit burst 1600 limit 1600, then 40 datagrams; `tc -s` said "dropped 36".
QDISCS = bytes.fromhex(
    "bc0000002400020001000000d86a0000000000000100000000000780ffffffff0200000008000100746266002c000200280001000001000000"
    "000000e80300000000000000000000000000004006000040787d010000000005000c000000000030000700140001004a050000000000000300"
    "00000000000018000300030000004a0500002400000000000000270000002c0003004a05000000000000030000002400000027000000000000"
    "0000000000030000004a05000000000000140000000300020001000000d86a000000000000"
)
ADDRESSES = bytes.fromhex(
    "4c0000001400020002000000d86a0000020880fe01000000080001007f000001080002007f000001070003006c6f0000080008008000000014"
    "000600fffffffffffffffffe561c00fe561c00140000000300020002000000d86a000000000000"
)


def link(index: int, stats: tuple[int, ...]) -> bytes:
    """Return a link's message as the kernel lays it out: a name, then the 64-bit statistics."""
    words = struct.pack(f"={len(stats)}Q", *stats)
    body = struct.pack("=BxHiII", 0, 1, index, 0, 0) + struct.pack("=HH4s", 8, 3, b"up0\0")
    body += struct.pack("=HH", 4 + len(words), 23) + words
    return struct.pack("=IHHII", 16 + len(body), 16, 2, 1, 1) + body


class TestParsing:
    def test_a_queues_drops_are_those_that_tc_shows(self) -> None:
        assert netlink.queue_drops(QDISCS) == {1: 36}

    def test_queues_of_one_interface_add_up(self) -> None:
        assert netlink.queue_drops(QDISCS[:188] + QDISCS) == {1: 72}

    def test_an_address_has_its_interface(self) -> None:
        assert netlink.addresses(ADDRESSES) == {"127.0.0.1": 1}

    def test_an_interface_counts_what_it_had_no_room_for_and_not_what_nobody_wanted(self) -> None:
        stats = [0] * 25
        stats[6] = 1_000_000  # rx_dropped
        for place, count in ((7, 1), (11, 20), (14, 300), (15, 4000), (18, 50_000)):
            stats[place] = count
        assert netlink.link_drops(link(3, tuple(stats))) == {3: 54_321}

    def test_an_older_kernels_shorter_statistics_count_as_far_as_they_go(self) -> None:
        assert netlink.link_drops(link(3, (0,) * 7 + (5,))) == {3: 5}

    def test_messages_of_other_kinds_are_passed_over(self) -> None:
        assert netlink.link_drops(QDISCS) == netlink.addresses(QDISCS) == netlink.queue_drops(ADDRESSES) == {}

    @pytest.mark.parametrize("whole", [QDISCS, ADDRESSES, link(3, (1,) * 25)])
    def test_cut_off_anywhere_nothing_is_raised_and_nothing_is_made_up(self, whole: bytes) -> None:
        for length in range(len(whole)):
            part = whole[:length]
            assert netlink.queue_drops(part) in ({}, {1: 36})
            assert netlink.addresses(part) in ({}, {"127.0.0.1": 1})
            assert netlink.link_drops(part) in ({}, {3: 5})

    @given(st.binary(max_size=200))
    def test_whatever_comes_nothing_is_raised(self, data: bytes) -> None:
        for parse in (netlink.queue_drops, netlink.link_drops, netlink.addresses):
            assert isinstance(parse(data), dict)

    @given(st.integers(0, len(QDISCS) - 1), st.integers(0, 255))
    def test_a_byte_that_changed_raises_nothing(self, place: int, value: int) -> None:
        spoilt = bytearray(QDISCS)
        spoilt[place] = value
        assert isinstance(netlink.queue_drops(bytes(spoilt)), dict)


class TestKernel:
    def test_it_tells_its_interfaces_queues_and_addresses(self) -> None:
        asked = netlink.NetlinkSocket()
        try:
            loopback = socket.if_nametoindex("lo")
            for _ in range(3):
                assert loopback in netlink.link_drops(asked.dump(netlink.GET_LINK))
            assert isinstance(netlink.queue_drops(asked.dump(netlink.GET_QDISC)), dict)
            found = netlink.addresses(asked.dump(netlink.GET_ADDRESS, socket.AF_INET))
            assert found["127.0.0.1"] == loopback
        finally:
            asked.close()

    def test_a_refusal_is_an_error_and_what_is_left_of_an_earlier_dump_is_not_taken_for_this_one(self) -> None:
        asked = netlink.NetlinkSocket()
        answers = [
            struct.pack("=IHHII", 16, 3, 0, 77, 0),  # the end of another dump
            struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -1),
        ]
        asked.close()
        asked._socket = Answering(answers)  # type: ignore[assignment]
        with pytest.raises(OSError, match="refused"):
            asked.dump(netlink.GET_LINK)
        assert answers == []


class Answering:
    """A socket that gives these answers."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers

    def send(self, _data: bytes) -> None:
        return

    def recv(self, _size: int) -> bytes:
        return self._answers.pop(0)

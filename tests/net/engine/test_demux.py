"""`net.engine.demux`: which call a packet belongs to, also when a peer comes from elsewhere or shares its address."""

from __future__ import annotations

import numpy as np
import pytest

from bridge_monitor.net.engine.demux import Demux, Stranger, key_of
from bridge_monitor.net.engine.keymap import NO_ROW

HOST, OTHER, THIRD = 0xC0000201, 0xC0000202, 0xC0000203  # 192.0.2.1–3
SECOND = 10**9


def _source(host: int, port: int) -> int:
    return host << 16 | port


def _stranger(
    host: int, port: int, *, pair: int = 0, ssrc: int = 7, seq: int = 1, at: int = 0, kind: int = 0
) -> Stranger:
    return Stranger(pair, _source(host, port), kind, seq, 160 * seq, ssrc, at)


@pytest.fixture
def demux() -> Demux:
    """Ten rows, five on each of two ports; rows 0 (HOST:4000) and 5 (HOST:4000 on the other port) are up."""
    table = Demux(10, 5)
    table.add(0, ssrc=100, source=_source(HOST, 4000), accepted=(0, 8))
    table.add(5, ssrc=105, source=_source(HOST, 4000), accepted=(0, 8))
    return table


def _lookup(demux: Demux, *packets: tuple[int, int, int]) -> list[int]:
    """Look up packets given as (pair, source, SSRC); what is found by an own SSRC is told to be ours, nothing else."""
    key = np.array([key_of(pair, source) for pair, source, _ in packets])
    ssrc = np.array([ssrc for _, _, ssrc in packets])
    rows, own = demux.lookup(key, ssrc)
    assert own.tolist() == [
        row != NO_ROW and demux.own_ssrc[row] == packet[2] for row, packet in zip(rows, packets, strict=True)
    ]
    return rows.tolist()


def _heard(*rows: int) -> np.ndarray:
    heard = np.zeros(10, np.bool_)
    heard[list(rows)] = True
    return heard


class TestLookup:
    def test_the_same_source_on_two_ports_is_two_calls(self, demux: Demux) -> None:
        source = _source(HOST, 4000)
        assert _lookup(demux, (0, source, 1), (1, source, 1), (0, source + 1, 1)) == [0, 5, NO_ROW]
        assert len(demux) == 2

    def test_an_echo_is_told_by_our_ssrc_wherever_it_comes_from(self, demux: Demux) -> None:
        far = _source(THIRD, 9)
        assert _lookup(demux, (0, far, 100), (1, far, 100), (1, far, 105)) == [0, NO_ROW, 5]

    def test_many_calls_may_go_to_one_echoing_address_and_port(self, demux: Demux) -> None:
        """They share the key on one local port: our SSRCs tell their echoes apart."""
        shared = _source(HOST, 4000)
        demux.add(1, ssrc=101, source=shared, accepted=(0,))
        assert _lookup(demux, (0, shared, 100), (0, shared, 101)) == [0, 1]
        demux.remove(0, 0)
        assert _lookup(demux, (0, shared, 55)) == [1]

    def test_on_every_local_port_the_other_call_to_a_source_gets_what_is_left(self, demux: Demux) -> None:
        shared = _source(HOST, 4000)
        demux.add(8, ssrc=108, source=shared, accepted=(0,))
        demux.remove(5, 0)
        assert _lookup(demux, (0, shared, 55), (1, shared, 55)) == [0, 8]

    def test_the_last_row_s_echo_is_found_though_no_row_matched(self) -> None:
        """No row is written as −1, which numpy reads as the last place."""
        demux = Demux(4, 4)
        demux.add(3, ssrc=103, source=_source(HOST, 4000), accepted=(0,))
        assert _lookup(demux, (0, _source(THIRD, 1), 103)) == [3]

    def test_a_removed_row_gets_nothing(self, demux: Demux) -> None:
        demux.remove(0, 0)
        assert _lookup(demux, (0, _source(HOST, 4000), 100)) == [NO_ROW]
        assert len(demux) == 1


class TestLatching:
    def test_another_port_of_the_expected_host(self, demux: Demux) -> None:
        adopted = demux.adopt([_stranger(HOST, 6000), _stranger(HOST, 6000, seq=2)], _heard())
        assert [row for row, _ in adopted] == [0, 0]
        assert _lookup(demux, (0, _source(HOST, 6000), 7), (0, _source(HOST, 4000), 7)) == [0, 0]

    def test_another_host_if_a_single_call_waits_on_the_port(self, demux: Demux) -> None:
        """The SDP names a private address, the packets come from its translator; none of them is lost for waiting."""
        packets = [_stranger(OTHER, 6000, seq=seq, at=seq * SECOND // 2) for seq in (1, 2, 3, 4)]
        assert demux.adopt(packets[:2], _heard()) == []
        assert demux.adopt(packets[2:], _heard()) == [(0, packet) for packet in packets]
        assert _lookup(demux, (0, _source(OTHER, 6000), 7)) == [0]

    def test_another_host_waits_for_its_own_call_before_it_is_given_to_another_s(self, demux: Demux) -> None:
        """A room sends as soon as it has answered; a call beside it waits for a room that sends nothing."""
        early = _stranger(OTHER, 6000, at=SECOND)
        assert demux.adopt([early], _heard()) == []
        demux.add(1, ssrc=101, source=_source(OTHER, 6000), accepted=(0,))
        assert demux.keeps_any(1)
        assert demux.early(1, 0, _heard()) == [(1, early)]
        assert not demux.keeps_any(1)
        assert _lookup(demux, (0, _source(OTHER, 6000), 7)) == [1]

    def test_a_stranger_that_comes_again_after_a_pause_is_strange_once_more(self, demux: Demux) -> None:
        assert demux.adopt([_stranger(OTHER, 6000, at=at * SECOND) for at in (0, 5)], _heard()) == []
        again = [_stranger(OTHER, 6000, at=at * SECOND) for at in (6,)]
        assert [packet.arrival_ns for _, packet in demux.adopt(again, _heard())] == [5 * SECOND, 6 * SECOND]

    def test_a_source_that_was_latched_to_goes_to_the_call_that_expects_it(self, demux: Demux) -> None:
        packets = [_stranger(OTHER, 6000, at=at) for at in (0, SECOND)]
        assert [row for row, _ in demux.adopt(packets, _heard())] == [0, 0]
        demux.add(1, ssrc=101, source=_source(OTHER, 6000), accepted=(0,))
        assert _lookup(demux, (0, _source(OTHER, 6000), 7)) == [1]
        demux.remove(0, 0)
        assert _lookup(demux, (0, _source(OTHER, 6000), 7)) == [1]

    def test_a_flood_of_strangers_fills_no_memory(self, demux: Demux) -> None:
        for first in range(1, 9000, 200):
            demux.adopt([_stranger(OTHER, port) for port in range(first, first + 200)], _heard(5))
        assert len(demux._since) <= 4096
        assert [len(kept) for kept in demux._early] == [8192, 0]

    def test_two_calls_that_wait_can_t_be_told_apart(self, demux: Demux) -> None:
        demux.add(1, ssrc=101, source=_source(OTHER, 4000), accepted=(0,))
        assert demux.adopt([_stranger(THIRD, 6000)], _heard()) == []

    def test_of_two_calls_to_one_host_the_one_that_heard_nothing(self, demux: Demux) -> None:
        demux.add(1, ssrc=101, source=_source(HOST, 4010), accepted=(0,))
        assert demux.adopt([_stranger(HOST, 6000)], _heard()) == []
        assert [row for row, _ in demux.adopt([_stranger(HOST, 6000)], _heard(0))] == [1]

    def test_a_call_that_is_served_takes_no_second_source(self, demux: Demux) -> None:
        assert demux.adopt([_stranger(HOST, 6000)], _heard(0)) == []

    def test_a_stream_that_moves_keeps_its_row(self, demux: Demux) -> None:
        """An address translator gave it a new port; its SSRC is the old one."""
        demux.peer_ssrc[0] = 7
        assert [row for row, _ in demux.adopt([_stranger(OTHER, 6000, ssrc=7)], _heard(0))] == [0]

    def test_rooms_with_the_same_ssrc_keep_each_their_own_packets(self, demux: Demux) -> None:
        """Some endpoints all have one SSRC: the address says whose a packet from a port not named is."""
        demux.add(1, ssrc=101, source=_source(OTHER, 4000), accepted=(0,))
        demux.peer_ssrc[0] = 7
        assert [row for row, _ in demux.adopt([_stranger(OTHER, 6000, ssrc=7)], _heard(0))] == [1]
        demux.peer_ssrc[1] = 7
        moved = [_stranger(HOST, 6002, ssrc=7), _stranger(OTHER, 6002, ssrc=7), _stranger(THIRD, 6002, ssrc=7)]
        assert [row for row, _ in demux.adopt(moved, _heard(0, 1))] == [0, 1]

    def test_an_unknown_payload_type_latches_nothing(self, demux: Demux) -> None:
        assert demux.adopt([_stranger(HOST, 6000, kind=96)], _heard()) == []

    def test_a_served_call_s_host_is_not_mistaken_for_another_call_s(self, demux: Demux) -> None:
        """Its second stream must not go to the one call that still waits on that port for another host."""
        demux.add(1, ssrc=101, source=_source(OTHER, 4000), accepted=(0,))
        assert demux.adopt([_stranger(HOST, 6000)], _heard(0)) == []

    def test_late_packets_of_an_ended_call_are_nobody_s(self, demux: Demux) -> None:
        demux.remove(0, 0)
        demux.add(1, ssrc=101, source=_source(HOST, 4444), accepted=(0,))
        assert demux.adopt([_stranger(HOST, 4000)], _heard()) == []

    def test_a_new_call_to_the_same_source_is_served_all_the_same(self, demux: Demux) -> None:
        demux.remove(0, 0)
        demux.add(1, ssrc=101, source=_source(HOST, 4000), accepted=(0,))
        assert _lookup(demux, (0, _source(HOST, 4000), 7)) == [1]

    def test_graves_are_cleared_in_time(self, demux: Demux) -> None:
        demux.remove(0, 0)
        demux.remove(5, 31 * SECOND)
        demux.add(1, ssrc=101, source=_source(HOST, 4444), accepted=(0,))
        assert [row for row, _ in demux.adopt([_stranger(HOST, 4000)], _heard())] == [1]


class TestEarlyPackets:
    def test_what_came_before_the_call_began_is_given_to_it(self, demux: Demux) -> None:
        early = [_stranger(OTHER, 5000, seq=number, at=number * SECOND, kind=96) for number in (1, 2, 3)]
        assert demux.adopt(early, _heard(0, 5)) == []
        demux.add(1, ssrc=101, source=_source(OTHER, 5000), accepted=(96,))
        given = demux.early(1, 2 * SECOND, _heard(0, 5))
        assert [(row, stranger.seq) for row, stranger in given] == [(1, 2), (1, 3)]
        assert demux.early(1, 2 * SECOND, _heard(0, 5)) == []

    def test_early_packets_from_another_port_latch_too(self, demux: Demux) -> None:
        assert demux.adopt([_stranger(OTHER, 5001, at=SECOND)], _heard(0)) == []
        demux.add(1, ssrc=101, source=_source(OTHER, 5000), accepted=(0,))
        assert [row for row, _ in demux.early(1, 0, _heard(0))] == [1]
        assert _lookup(demux, (0, _source(OTHER, 5001), 9)) == [1]

    def test_packets_for_another_port_wait_on_but_not_for_ever(self, demux: Demux) -> None:
        strangers = [_stranger(OTHER, 5000, pair=1, at=at * SECOND, kind=96) for at in (1, 20)]
        demux.adopt(strangers, _heard(0, 5))
        demux.add(1, ssrc=101, source=_source(OTHER, 5000), accepted=(96,))
        assert demux.early(1, 0, _heard(0, 5)) == []
        demux.add(6, ssrc=106, source=_source(OTHER, 5000), accepted=(96,))
        assert [stranger.arrival_ns for _, stranger in demux.early(6, 0, _heard(0, 5))] == [20 * SECOND]

    def test_a_flood_of_strangers_costs_a_bounded_effort(self, demux: Demux) -> None:
        flood = [_stranger(OTHER, port, kind=96) for port in range(1, 5000)]
        assert demux.adopt(flood, _heard()) == []
        assert len(demux._since) <= 256

    def test_all_that_came_while_we_stood_still_is_given_to_the_calls_that_begin_then(self, demux: Demux) -> None:
        """More than is looked at in a batch, and of rooms whose calls begin one after the other."""
        hosts = {row: OTHER + row for row in (1, 2, 3)}
        batch = [_stranger(host, 4000, seq=seq, at=seq) for host in hosts.values() for seq in range(1, 401)]
        assert demux.adopt(batch, _heard(0)) == []
        for row, host in hosts.items():
            demux.add(row, ssrc=100 + row, source=_source(host, 4000), accepted=(0,))
            given = demux.early(row, 0, _heard(0))
            assert [(to, packet.seq) for to, packet in given] == [(row, seq) for seq in range(1, 401)]
            assert not demux.lost_early(row, 0)

    def test_a_call_whose_early_packets_may_be_lost_is_told_so(self, demux: Demux) -> None:
        flood = [_stranger(THIRD, 1 + at % 60000, kind=96, at=at) for at in range(9000)]
        demux.adopt(flood, _heard(0))
        assert demux.lost_early(1, 9000 - 8192 - 1)
        assert not demux.lost_early(1, 9000 - 8192)
        assert not demux.lost_early(6, 0), "the other local port"


class TestReports:
    def test_a_report_s_row_is_found_by_our_ssrc(self, demux: Demux) -> None:
        assert demux.row_of_ssrc(1, 105) == 5
        assert demux.row_of_ssrc(0, 105) == NO_ROW

    def test_or_by_its_sender(self, demux: Demux) -> None:
        demux.add(1, ssrc=101, source=_source(HOST, 4010), accepted=(0,))
        assert demux.row_of_peer(0, HOST, 7) == NO_ROW
        demux.peer_ssrc[1] = 7
        assert demux.row_of_peer(0, THIRD, 7) == 1
        assert demux.row_of_peer(1, HOST, 7) == 5

    def test_of_rooms_with_the_same_ssrc_by_address(self, demux: Demux) -> None:
        """Also one whose RTP does not reach us, so that its SSRC isn't known."""
        demux.add(1, ssrc=101, source=_source(OTHER, 4000), accepted=(0,))
        demux.peer_ssrc[0] = 7
        assert demux.row_of_peer(0, OTHER, 7) == 1
        demux.peer_ssrc[1] = 7
        assert demux.row_of_peer(0, OTHER, 7) == 1
        assert demux.row_of_peer(0, HOST, 7) == 0
        assert demux.row_of_peer(0, THIRD, 7) == NO_ROW

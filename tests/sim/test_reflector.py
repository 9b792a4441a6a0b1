"""The media of all rooms on real sockets: counts that are exact, fates that are planned, nothing lost of our own."""

from __future__ import annotations

import socket

import pytest

from bridge_monitor.net.mmsg import ip_number
from bridge_monitor.rtp.reception import Reception
from bridge_monitor.sim.board import LATENESS_MAX_NS, OVERFLOWED, PACKETS, QUEUE_FULL, STRAY, UNSENT, Line
from bridge_monitor.sim.reflector import ReflectorSettings
from tests.sim.rigs import MediaBench, NewBench

SECOND = 1_000_000_000


def test_a_room_reflects_each_packet_as_it_came_from_its_own_address(bench: MediaBench) -> None:
    bench.begin()
    bench.caller.stream(50)
    assert bench.round() == 50
    heard = bench.caller.heard()
    assert [packet.sequence_number for packet in heard] == list(range(50))
    assert {packet.ssrc for packet in heard} == {0x1234}
    assert bench.caller.sources == {(bench.sites[0].host, bench.sockets.port(0))}
    board = bench.board
    assert (board.received[0], board.sent[0], board.health[PACKETS]) == (50, 50, 50)
    assert board.lateness.sum() == 50
    assert 0 < board.health[LATENESS_MAX_NS] < SECOND


def test_calls_on_two_slots_of_one_address_are_kept_apart(bench: MediaBench) -> None:
    bench.begin(0)
    bench.begin(1, serial=2)
    bench.caller.stream(5)
    bench.round()
    bench.caller.heard()
    assert bench.caller.sources == {(bench.sites[0].host, bench.sockets.port(1))}


def test_what_comes_after_the_call_s_end_is_counted_and_not_reflected(bench: MediaBench) -> None:
    bench.begin()
    bench.caller.stream(3)
    bench.round()
    bench.caller.stream(2, first=3)  # in our buffer when the call ends: it still belongs to the call
    bench.end()
    bench.caller.stream(4, first=5)
    bench.round()
    assert len(bench.caller.heard()) == 5
    assert (bench.board.received[0], bench.board.after_bye[0], bench.board.health[STRAY]) == (5, 4, 0)


def test_what_belongs_to_no_call_is_stray(bench: MediaBench) -> None:
    bench.caller.remote_rtp = (bench.sites[0].host, bench.sockets.port(0))
    bench.caller.stream(2)
    bench.caller.remote_rtp = ("127.0.0.1", bench.sockets.port(1))
    bench.caller.stream(3)
    bench.caller.remote_rtp = (bench.sites[0].host, bench.sockets.port(bench.sockets.odd))
    bench.caller.stream(1)
    bench.round()
    assert bench.board.health[STRAY] == 6
    assert bench.caller.heard() == []


def test_a_call_that_begins_between_two_looks_loses_nothing(bench: MediaBench, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronise = bench.reflector._calls.synchronise

    def look_too_early() -> None:
        synchronise()
        bench.begin()

    monkeypatch.setattr(bench.reflector._calls, "synchronise", look_too_early)
    bench.caller.remote_rtp = (bench.sites[0].host, bench.sockets.port(0))
    bench.caller.stream(2)
    bench.round()
    assert len(bench.caller.heard()) == 2


def test_what_is_no_rtp_is_counted_and_dropped(bench: MediaBench) -> None:
    bench.begin()
    bench.caller.rtp.sendto(b"hello, this is no RTP", bench.caller.remote_rtp)
    bench.caller.rtp.sendto(b"", bench.caller.remote_rtp)
    bench.caller.rtp.sendto(b"\x80" + bytes(1700), bench.caller.remote_rtp)
    bench.caller.stream(1)
    bench.round()
    assert (bench.board.unreadable[0], bench.board.received[0], len(bench.caller.heard())) == (3, 4, 1)


def test_headers_of_every_shape_are_read_alike(bench: MediaBench) -> None:
    """One packet with padding, extension or contributing sources has its whole batch read the thorough way."""
    bench.begin()
    bench.caller.stream(3)
    bench.round()
    plain = b"\x80\0\0\3" + bytes(4) + b"\0\0\x12\x34"
    shapes = {
        b"\xa0" + plain[1:] + b"\0\0\0\4": True,
        b"\xa0" + plain[1:] + b"\0\0\0\5": False,
        b"\x90" + plain[1:] + b"\xbe\xde\0\0": True,
        b"\x90" + plain[1:] + b"\xbe\xde\0\1": False,
        b"\x81" + plain[1:] + bytes(4): True,
        b"\x81" + plain[1:]: False,
        b"\x80\xc8" + plain[2:]: False,
        b"\x80\xdf" + plain[2:]: False,
        b"\x80\xbf" + plain[2:]: True,
        b"\x40" + plain[1:]: False,
        plain[:11]: False,
        plain: True,
    }
    for data, readable in shapes.items():
        for together in (False, True):
            before = int(bench.board.unreadable[0])
            bench.caller.rtp.sendto(data, bench.caller.remote_rtp)
            if together:
                bench.caller.rtp.sendto(plain, bench.caller.remote_rtp)
            bench.round()
            assert bench.board.unreadable[0] - before == (not readable), data


class TestLines:
    def test_planned_losses_are_counted_exactly_in_each_direction(self, bench: MediaBench) -> None:
        bench.set(loss_to_room=0.2, loss_from_room=0.1, burst_from_room=2.0)
        bench.begin()
        for first in range(0, 2000, 100):
            bench.caller.stream(100, first=first)
            bench.round()
        heard = len(bench.caller.heard())
        board = bench.board
        to_room, from_room = int(board.dropped_to_room[0]), int(board.dropped_from_room[0])
        assert (board.received[0], board.sent[0]) == (2000, heard)
        assert heard == 2000 - to_room - from_room
        # 4 standard errors of a binomial; bursts of mean 2 widen it by about √3.
        assert abs(to_room - 400) < 4 * (2000 * 0.2 * 0.8) ** 0.5
        assert abs(from_room - 160) < 7 * (1600 * 0.1 * 0.9) ** 0.5

    def test_the_same_seed_loses_the_same_packets(self, new_bench: NewBench) -> None:
        lost = []
        for _ in range(2):
            bench = new_bench()
            bench.set(loss_to_room=0.3)
            bench.begin()
            bench.caller.stream(200)
            bench.round()
            lost.append([packet.sequence_number for packet in bench.caller.heard()])
        assert lost[0] == lost[1]
        assert 100 < len(lost[0]) < 180

    def test_large_packets_are_lost_by_the_size_of_the_ip_packet(self, bench: MediaBench) -> None:
        bench.set(large_limit=240)
        bench.begin()
        bench.caller.stream(3, payload=bytes(200))  # 200 + 12 + 28 = 240
        bench.caller.stream(2, first=3, payload=bytes(201))
        bench.round()
        assert len(bench.caller.heard()) == 3
        assert (bench.board.large_dropped[0], bench.board.dropped_to_room[0]) == (2, 2)

    def test_a_deaf_line_loses_all_that_comes_and_a_mute_one_all_that_leaves(self, new_bench: NewBench) -> None:
        bench = new_bench(2)
        bench.set(0, flags=Line.DEAF)
        bench.set(1, flags=Line.MUTE)
        for site in (0, 1):
            bench.begin(2 * site, site, serial=site + 1)
            bench.caller.stream(4)
        bench.round()
        assert bench.caller.heard() == []
        assert bench.board.dropped_to_room.tolist() == [4, 0]
        assert bench.board.dropped_from_room.tolist() == [0, 4]

    def test_packets_leave_twice_where_they_are_doubled(self, bench: MediaBench) -> None:
        bench.set(duplicate_rate=1.0)
        bench.begin()
        bench.caller.stream(700)  # doubled, more than one batch holds
        bench.round()
        numbers = [packet.sequence_number for packet in bench.caller.heard()]
        assert sorted(numbers) == sorted([*range(700), *range(700)])
        assert (bench.board.sent[0], bench.board.duplicated[0]) == (1400, 700)

    def test_packets_leave_from_the_odd_port_where_it_is_planned(self, bench: MediaBench) -> None:
        bench.set(flags=Line.ODD_PORT)
        bench.begin()
        bench.caller.stream(2)
        bench.round()
        assert len(bench.caller.heard()) == 2
        assert bench.caller.sources == {(bench.sites[0].host, bench.sockets.port(bench.sockets.odd))}

    def test_healthy_and_bad_lines_share_a_batch(self, new_bench: NewBench) -> None:
        bench = new_bench(3)
        bench.set(1, flags=Line.MUTE)
        bench.set(2, flags=Line.ODD_PORT)
        for site in range(3):
            bench.begin(2 * site, site, serial=site + 1)
            bench.caller.stream(5, ssrc=site)
        bench.round()
        assert sorted(packet.ssrc for packet in bench.caller.heard()) == [0] * 5 + [2] * 5
        assert bench.board.sent.tolist() == [5, 0, 5]


class TestDelay:
    def test_packets_wait_for_their_time(self, bench: MediaBench) -> None:
        bench.set(delay_ns=SECOND)
        bench.begin()
        bench.caller.stream(3)
        bench.caller.stream(1, first=3, payload=bytes(1000))
        bench.round()
        assert bench.caller.heard() == []
        assert bench.reflector.waiting == 4
        assert bench.reflector.next_due_ns - bench.clock() > 0
        bench.ahead_ns = SECOND // 2
        bench.round()
        assert bench.caller.heard() == []
        bench.ahead_ns = SECOND
        bench.round()
        assert [packet.sequence_number for packet in bench.caller.heard()] == [0, 1, 2, 3]
        assert bench.reflector.waiting == 0
        # Late is what leaves after its due time, and the delay itself is none of ours.
        assert bench.board.health[LATENESS_MAX_NS] < SECOND // 2

    def test_a_full_queue_is_our_own_drop(self, new_bench: NewBench) -> None:
        bench = new_bench(1, ReflectorSettings(queue_capacity=16))
        bench.set(delay_ns=SECOND)
        bench.begin()
        bench.caller.stream(20)
        bench.round()
        assert (bench.reflector.waiting, bench.board.health[QUEUE_FULL]) == (16, 4)

    def test_jitter_is_what_rfc_3550_measures(self, bench: MediaBench) -> None:
        """The width is three times the planned jitter: A.8's estimate over simulated time comes out at the plan."""
        bench.set(jitter_ns=3 * 40_000_000)
        wire = bench.reflector._wire
        bench.begin()
        due: list[tuple[int, int]] = []
        for first in range(0, 2000, 100):
            bench.caller.stream(100, first=first)
            bench.round()
            queue = wire._queue
            entries = queue.due(bench.clock() + SECOND)
            for entry in entries.tolist():
                number = int.from_bytes(queue.batch.data[entry, 2:4].tobytes(), "big")
                # As if each packet had come 20 ms after the one before, delayed as drawn.
                delay = int(queue._due[entry]) - self._arrival(bench, number)
                due.append((number * 20_000_000 + delay, number))
            queue.release(entries)
        reception = Reception(8000)
        for arrival, number in sorted(due):
            reception.receive(number, number * 160, arrival)
        summary = reception.summary()
        assert summary is not None
        assert summary.jitter_seconds == pytest.approx(0.04, rel=0.15)

    @staticmethod
    def _arrival(bench: MediaBench, number: int) -> int:
        place = number % 100
        return int(bench.reflector._rtp.arrival_ns[place])

    def test_held_back_packets_are_overtaken(self, bench: MediaBench) -> None:
        bench.set(reorder_rate=0.2, reorder_ns=SECOND)
        bench.begin()
        bench.caller.stream(200)
        bench.round()
        early = bench.caller.heard()
        bench.ahead_ns = SECOND
        bench.round()
        late = bench.caller.heard()
        assert (len(early) + len(late), len(late)) == (200, bench.board.held_back[0])
        assert 15 < len(late) < 70
        assert late[0].sequence_number < early[-1].sequence_number


class TestOwnFaults:
    def test_datagrams_dropped_by_our_own_full_buffer_are_counted(self, bench: MediaBench) -> None:
        sock = bench.sockets.sockets[0]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        bench.begin()
        bench.caller.stream(100)
        bench.round()
        received = int(bench.board.received[0])
        assert received < 100
        bench.caller.stream(1)  # the kernel tells with the next datagram
        bench.round()
        assert bench.board.health[OVERFLOWED] == 100 - received

    def test_datagrams_that_the_kernel_refuses_are_counted(self, bench: MediaBench) -> None:
        bench.begin()
        bench.board.caller_rtp_port[0] = 0
        bench.caller.stream(3)
        bench.round()
        assert (bench.board.sent[0], bench.board.health[UNSENT]) == (0, 3)


class TestCallersOfTheWorldOutside:
    @pytest.fixture
    def bench(self, new_bench: NewBench) -> MediaBench:
        """Return a bench that takes packets of a call's own addresses only."""
        bench = new_bench(settings=ReflectorSettings(rtcp_interval_seconds=0.1, only_callers=True))
        bench.begin()
        return bench

    def test_what_comes_from_others_is_neither_counted_nor_reflected(self, bench: MediaBench) -> None:
        bench.board.caller_ip[0] = ip_number("127.9.9.9")
        bench.caller.stream(3)
        bench.round()
        assert bench.caller.heard() == []
        assert (bench.board.received[0], bench.board.health[STRAY]) == (0, 3)

    def test_behind_a_translator_the_echo_goes_back_to_where_the_packets_came_from(self, bench: MediaBench) -> None:
        bench.board.caller_ip[0] = ip_number("127.9.9.9")
        bench.board.caller_rtp_port[0] = 9
        bench.board.signalling_ip[0] = ip_number("127.0.0.1")
        bench.caller.stream(3)
        bench.round()
        assert len(bench.caller.heard()) == 3
        bench.ahead_ns = 10**9
        bench.round()
        assert bench.board.rtcp_sent[0] == 0, "the address in the description has proved nothing"

    async def test_nobody_is_reported_to_before_something_came(self, bench: MediaBench) -> None:
        bench.round()
        bench.ahead_ns = 10**9
        bench.round()
        with pytest.raises(TimeoutError):
            await bench.caller.reported(within=0.1)
        bench.caller.stream(3)
        bench.round()
        bench.ahead_ns = 2 * 10**9
        bench.round()
        assert (await bench.caller.reported())[1] == 201  # a receiver report

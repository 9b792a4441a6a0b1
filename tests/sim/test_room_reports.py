"""The rooms' reports on real sockets; the quick way to a receiver's report makes the same bytes as the plain one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.rtp.columns import ReportBlocks
from bridge_monitor.rtp.rtcp import (
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    build_compound,
    ntp_from_unix_ns,
    ntp_short,
    parse_compound,
)
from bridge_monitor.sim.board import Line
from bridge_monitor.sim.room_reports import RECEIVER_REPORT, block_of, write_receiver_reports
from tests.sim.rigs import MediaBench, NewBench

SECOND = 1_000_000_000
GRID = 10_000_000
"""A room's own stream begins within so long of its call."""

words = st.integers(0, 2**32 - 1)
blocks = st.builds(ReportBlock, words, st.integers(0, 255), st.integers(-(2**25), 2**25), words, words, words, words)


@given(st.lists(st.tuples(words, blocks), min_size=1, max_size=8))
def test_receivers_reports_written_together_are_the_plain_ones(rooms: list[tuple[int, ReportBlock]]) -> None:
    fields = ("ssrc", "fraction_lost", "cumulative_lost", "highest_sequence", "jitter")
    columns = [np.array([getattr(block, name) for _, block in rooms], np.int64) for name in fields]
    lsr, dlsr = (np.array([getattr(block, name) for _, block in rooms], np.int64) for name in ("lsr", "dlsr"))
    together = ReportBlocks(np.ones(len(rooms), np.bool_), *columns)
    out = np.full(len(rooms), 0xFF, np.uint8).repeat(RECEIVER_REPORT.itemsize).view(RECEIVER_REPORT)
    write_receiver_reports(out, np.array([own for own, _ in rooms], np.uint32), together, lsr, dlsr)
    for written, (entry, (own, block)) in zip(out, enumerate(rooms), strict=True):
        assert block_of(together, entry, block.lsr, block.dlsr) == block
        plain = build_compound(ReceiverReport(own, (block,)), SourceDescription(((own, f"room-{own:08x}"),)))
        assert written.tobytes() == plain


class TestReports:
    def test_an_echoing_room_reports_what_it_received(self, bench: MediaBench) -> None:
        bench.begin()
        for number in (*range(10), *range(12, 30)):
            bench.caller.stream(1, first=number)
        bench.round()
        bench.ahead_ns = 10 * SECOND
        bench.round()
        report, description = parse_compound(bench.caller.rtcp.recv(2000))
        assert isinstance(report, ReceiverReport)
        (block,) = report.blocks
        assert (block.ssrc, block.highest_sequence, block.cumulative_lost) == (0x1234, 29, 2)
        assert (block.lsr, block.dlsr) == (0, 0)
        assert isinstance(description, SourceDescription)
        assert description.cnames[0][0] == report.ssrc == 0xABCD0000
        assert bench.board.rtcp_sent[0] == 1

    def test_a_sending_room_reports_as_sender_with_the_caller_s_time(self, bench: MediaBench) -> None:
        bench.set(flags=Line.OWN_STREAM)
        bench.begin()
        bench.caller.stream(4)
        ntp = ntp_from_unix_ns(bench.clock())
        sender = SenderReport(0x1234, ntp, 0, 4, 640)
        bench.caller.rtcp.sendto(sender.to_bytes(), (bench.sites[0].host, bench.sockets.port(2)))
        bench.round()
        assert bench.board.rtcp_received[0] == 1
        bench.ahead_ns = GRID
        bench.round()
        bench.ahead_ns = 10 * SECOND
        bench.round()
        bench.ahead_ns += GRID
        bench.round()
        report, _ = parse_compound(bench.caller.rtcp.recv(2000))
        assert isinstance(report, SenderReport)
        assert (report.packets, report.octets) == (1, 160)
        (block,) = report.blocks
        assert block.lsr == ntp_short(ntp)
        assert block.dlsr / 65536 == pytest.approx(10.0, abs=1.0)

    def test_reports_come_at_the_interval_of_rfc_3550(self, bench: MediaBench) -> None:
        bench.begin()
        bench.round()
        count = 0
        for step in range(1, 400):
            bench.ahead_ns = step * SECOND // 4
            bench.round()
            if step == 4:
                assert bench.board.rtcp_sent[0] == 0  # half of 0.5 × 5 s ÷ 1.21828 at the earliest
            count = int(bench.board.rtcp_sent[0])
        # About 100 s at 5 s ÷ 1.21828 on average.
        assert 18 <= count <= 32

    def test_a_deaf_room_reports_nothing_and_one_without_rtcp_is_silent(self, new_bench: NewBench) -> None:
        bench = new_bench(2)
        bench.set(0, flags=Line.DEAF | Line.OWN_STREAM)
        bench.set(1, flags=Line.NO_RTCP)
        for site in (0, 1):
            bench.begin(2 * site, site, serial=site + 1)
            bench.caller.stream(5)
        bench.round()
        bench.ahead_ns = GRID
        bench.round()
        bench.ahead_ns = 10 * SECOND
        bench.round()
        report, _ = parse_compound(bench.caller.rtcp.recv(2000))
        assert isinstance(report, SenderReport)
        assert report.blocks == ()
        assert bench.board.rtcp_sent.tolist() == [1, 0]
        with pytest.raises(BlockingIOError):
            bench.caller.rtcp.recv(2000)

    def test_reports_take_the_line_s_delay_but_not_its_losses(self, bench: MediaBench) -> None:
        bench.set(delay_ns=SECOND, loss_from_room=1.0, duplicate_rate=1.0, flags=Line.ODD_PORT)
        bench.begin()
        bench.round()
        bench.ahead_ns = 10 * SECOND
        bench.round()
        assert bench.board.rtcp_sent[0] == 0
        bench.ahead_ns = 11 * SECOND
        bench.round()
        assert bench.board.rtcp_sent[0] == 1
        _, source = bench.caller.rtcp.recvfrom(2000)
        assert source == (bench.sites[0].host, bench.sockets.port(2))

    def test_rtcp_of_no_call_is_left_alone(self, bench: MediaBench) -> None:
        bench.caller.rtcp.sendto(b"\x80\xc8\0\0", (bench.sites[0].host, bench.sockets.port(2)))
        assert bench.round() == 1
        assert bench.board.rtcp_received[0] == 0

    def test_an_echoing_room_tells_its_caller_s_time_and_how_long_ago_it_came(self, bench: MediaBench) -> None:
        bench.begin()
        bench.caller.stream(4)
        ntp = ntp_from_unix_ns(bench.clock())
        sender = SenderReport(0x1234, ntp, 0, 4, 640)
        bench.caller.rtcp.sendto(sender.to_bytes(), (bench.sites[0].host, bench.sockets.port(2)))
        bench.round()
        bench.ahead_ns = 10 * SECOND
        bench.round()
        report, description = parse_compound(bench.caller.rtcp.recv(2000))
        assert isinstance(report, ReceiverReport)
        (block,) = report.blocks
        assert (block.ssrc, block.highest_sequence, block.lsr) == (0x1234, 3, ntp_short(ntp))
        assert block.dlsr / 65536 == pytest.approx(10.0, abs=1.0)
        assert description == SourceDescription(((report.ssrc, f"room-{report.ssrc:08x}"),))

"""`rtp.compound`: the short way reads and writes what the plain one does."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import RtpSyntaxError
from bridge_monitor.rtp import rtcp
from bridge_monitor.rtp.compound import Report, read_reports, read_usual, report_bytes
from bridge_monitor.rtp.rtcp import Goodbye, OtherPacket, ReceiverReport, ReportBlock, SenderReport, SourceDescription

u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, (1 << 64) - 1)
block = st.builds(ReportBlock, u32, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), u32, u32, u32, u32)
at_most_one = st.lists(block, max_size=1).map(tuple)
names = st.text(st.characters(codec="utf-8"), max_size=60)
usual_report = st.one_of(
    st.builds(SenderReport, u32, u64, u32, u32, u32, at_most_one), st.builds(ReceiverReport, u32, at_most_one)
)
usual_rest = st.one_of(
    st.builds(SourceDescription, st.tuples(st.tuples(u32, names))), st.builds(Goodbye, st.tuples(u32), names)
)
usual = st.builds(lambda first, rest: [first, *rest], usual_report, st.lists(usual_rest, max_size=3))
any_packet = st.one_of(
    usual_report,
    usual_rest,
    st.builds(SenderReport, u32, u64, u32, u32, u32, st.lists(block, max_size=3).map(tuple)),
    st.builds(ReceiverReport, u32, st.lists(block, max_size=3).map(tuple)),
    st.builds(SourceDescription, st.lists(st.tuples(u32, names), max_size=3).map(tuple)),
    st.builds(Goodbye, st.lists(u32, max_size=3).map(tuple), names),
)
compounds = st.one_of(usual, st.lists(any_packet, min_size=1, max_size=4))

WHOLE = [
    SenderReport(1, 2 << 32 | 3, 4, 5, 6, (ReportBlock(7, 64, -3, 0x1FFFF, 9, 1, 2),)),
    SourceDescription(((1, "a@b.example"),)),
    Goodbye((1,), "camera off"),
]


def _plain(data: bytes) -> list[Report] | None:
    """Return what the plain reading makes of a datagram; None if it can't be read."""
    try:
        packets = rtcp.parse_compound(data)
    except RtpSyntaxError:
        return None
    return [
        Report(packet.ssrc, getattr(packet, "ntp", None), packet.blocks)
        for packet in packets
        if isinstance(packet, SenderReport | ReceiverReport)
    ]


def _agrees(data: bytes) -> None:
    report, plain = read_usual(data), _plain(data)
    assert report is None or [report] == plain
    if plain is None:
        with pytest.raises(RtpSyntaxError):
            read_reports(data)
    else:
        assert read_reports(data) == plain


class TestReading:
    @given(usual)
    def test_a_usual_compound_is_read_the_short_way(self, packets: list[rtcp.RtcpPacket]) -> None:
        data = rtcp.build_compound(*packets)
        assert [read_usual(data)] == _plain(data)

    @given(compounds)
    def test_both_ways_agree_on_any_compound(self, packets: list[rtcp.RtcpPacket]) -> None:
        _agrees(rtcp.build_compound(*packets))

    @given(compounds, st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4))
    def test_both_ways_agree_on_damaged_compounds(
        self, packets: list[rtcp.RtcpPacket], damage: list[tuple[int, int]]
    ) -> None:
        data = bytearray(rtcp.build_compound(*packets))
        for place, value in damage:
            data[place % len(data)] = value
        _agrees(bytes(data))

    @given(usual)
    def test_both_ways_agree_on_compounds_cut_at_every_byte(self, packets: list[rtcp.RtcpPacket]) -> None:
        data = rtcp.build_compound(*packets)
        for end in range(len(data)):
            _agrees(data[:end])

    @given(usual_report, usual_rest, st.data())
    def test_both_ways_agree_on_bodies_cut_at_every_word(
        self, report: rtcp.RtcpPacket, rest: rtcp.RtcpPacket, data: st.DataObject
    ) -> None:
        """Counts and inner lengths are checked, not only the outer length: the header is mended after the cut."""
        first, last = rtcp.build_compound(report), rtcp.build_compound(rest)
        words = data.draw(st.integers(0, len(last) // 4 - 1))
        _agrees(first + last[:2] + struct.pack("!H", words) + last[4 : 4 + 4 * words])

    def test_every_value_of_every_byte(self) -> None:
        """One byte of a whole usual compound is another: 256 times each."""
        data = rtcp.build_compound(*WHOLE)
        for place in range(len(data)):
            for value in range(256):
                _agrees(data[:place] + bytes([value]) + data[place + 1 :])

    @pytest.mark.parametrize(
        "rest",
        [
            b"\x81\xca\0\4\0\0\0\5\2\3bob\1\3a@b\0\0",  # two items
            b"\x81\xca\0\2\0\0\0\5\0abc",  # none
            b"\x81\xca\0\3\0\0\0\5\0abcdefg",  # what follows the chunk's end is nothing
            b"\x81\xcb\0\2\0\0\0\5\3abc",
            b"\x81\xcb\0\2\0\0\0\5\0abc",
        ],
    )
    def test_forms_that_we_never_write_are_usual_too(self, rest: bytes) -> None:
        data = b"\x80\xc9\0\1\0\0\0\7" + rest
        assert [read_usual(data)] == [Report(7, None, ())] == _plain(data)

    @pytest.mark.parametrize(
        "rest",
        [
            b"\x81\xca\0\2\0\0\0\5\1\1a\1",  # a type without a length
            b"\x81\xca\0\2\0\0\0\5\1\2ab",  # no end
            b"\x81\xca\0\2\0\0\0\5\1\3ab",
            b"\x81\xca\0\1\0\0\0\5",
            b"\x81\xca\0\0\0\0\0\5",
            b"\x81\xcb\0\0\0\0\0\5",
            b"\x81\xcb\0\2\0\0\0\5\4abc",
            b"\x81\xcb\0\3\0\0\0\5\3abc",
            b"\x81\xcb\0\1",
        ],
    )
    def test_unsound_forms_of_the_usual_are_none(self, rest: bytes) -> None:
        data = b"\x80\xc9\0\1\0\0\0\7" + rest
        assert read_usual(data) is None
        with pytest.raises(RtpSyntaxError):
            read_reports(data)

    @pytest.mark.parametrize(
        "packet",
        [
            OtherPacket(207, b"abcd"),  # XR
            SourceDescription(((1, "a"), (2, "b"))),
            Goodbye((1, 2)),
            Goodbye(()),
            ReceiverReport(9),
        ],
    )
    def test_a_compound_with_anything_else_is_read_the_plain_way(self, packet: rtcp.RtcpPacket) -> None:
        more = b"\x81\xcf\0\1abcd" if isinstance(packet, OtherPacket) else packet.to_bytes()
        data = ReceiverReport(7).to_bytes() + more
        assert read_usual(data) is None
        assert read_reports(data)[0] == Report(7, None, ())
        assert read_reports(data) == _plain(data)


class TestWriting:
    @given(u32, st.none() | st.tuples(u64, u32, u32, u32), st.none() | block)
    def test_a_report_is_written_as_the_plain_way_does(
        self, ssrc: int, sent: tuple[int, int, int, int] | None, block: ReportBlock | None
    ) -> None:
        blocks = (block,) if block else ()
        plain = SenderReport(ssrc, *sent, blocks) if sent else ReceiverReport(ssrc, blocks)
        assert report_bytes(ssrc, sent, block) == plain.to_bytes()

    def test_counts_wrap_at_32_bits_and_losses_are_clamped_to_24(self) -> None:
        wild = ReportBlock(1, 255, 0x900000, 0, 0)
        data = report_bytes(1, (2, 1 << 32 | 3, 1 << 32 | 4, 1 << 32 | 5), wild)
        assert rtcp.parse_compound(data) == (SenderReport(1, 2, 3, 4, 5, (ReportBlock(1, 255, 0x7FFFFF, 0, 0),)),)

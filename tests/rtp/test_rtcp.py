from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import RtpSyntaxError
from bridge_monitor.rtp import rtcp
from bridge_monitor.rtp.rtcp import Goodbye, OtherPacket, ReceiverReport, ReportBlock, SenderReport, SourceDescription

u32 = st.integers(0, 0xFFFFFFFF)
blocks = st.lists(
    st.builds(ReportBlock, u32, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), u32, u32, u32, u32), max_size=31
).map(tuple)
names = st.text(st.characters(codec="utf-8"), max_size=60)
built = st.one_of(
    st.builds(SenderReport, u32, st.integers(0, (1 << 64) - 1), u32, u32, u32, blocks),
    st.builds(ReceiverReport, u32, blocks),
    st.builds(SourceDescription, st.lists(st.tuples(u32, names), max_size=31).map(tuple)),
    st.builds(Goodbye, st.lists(u32, max_size=31).map(tuple), names),
)
compounds = st.lists(built, min_size=1, max_size=4)

BLOCK = ReportBlock(ssrc=7, fraction_lost=64, cumulative_lost=-3, highest_sequence=0x1FFFF, jitter=9, lsr=1, dlsr=2)


class TestRfc3550Section6:
    def test_a_sender_report_is_laid_out_as_in_the_rfc(self):
        report = SenderReport(1, 2 << 32 | 3, 4, 5, 6, (BLOCK,))
        words = struct.unpack("!13I", report.to_bytes())
        assert words[:7] == (0x81 << 24 | 200 << 16 | 12, 1, 2, 3, 4, 5, 6)
        assert words[7:] == (7, 64 << 24 | 0xFFFFFD, 0x1FFFF, 9, 1, 2)

    @given(compounds)
    def test_a_built_compound_reads_back_equal(self, packets: list[rtcp.RtcpPacket]):
        data = rtcp.build_compound(*packets)
        assert len(data) % 4 == 0
        assert rtcp.parse_compound(data) == tuple(packets)

    @given(compounds)
    def test_truncation_at_every_byte_raises_only_syntax_errors(self, packets: list[rtcp.RtcpPacket]):
        """A cut between two packets leaves a shorter compound; any other cut is an error."""
        data = rtcp.build_compound(*packets)
        ends = {0}
        for packet in packets:
            ends.add(max(ends) + len(packet.to_bytes()))
        for end in range(len(data)):
            if end in ends - {0}:
                rtcp.parse_compound(data[:end])
                continue
            with pytest.raises(RtpSyntaxError):
                rtcp.parse_compound(data[:end])

    @given(compounds, st.data())
    def test_a_body_cut_at_any_byte_raises_only_syntax_errors(
        self, packets: list[rtcp.RtcpPacket], data: st.DataObject
    ):
        """Counts and inner lengths are checked, not only the outer length: the header is mended after the cut."""
        whole = packets[0].to_bytes()
        words = data.draw(st.integers(0, len(whole) // 4 - 1))
        short = whole[:2] + struct.pack("!H", words) + whole[4 : 4 + 4 * words]
        with contextlib.suppress(RtpSyntaxError):
            rtcp.parse_compound(short)

    @given(compounds, st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4))
    def test_damaged_compounds_parse_or_raise_a_syntax_error(
        self, packets: list[rtcp.RtcpPacket], damage: list[tuple[int, int]]
    ):
        data = bytearray(rtcp.build_compound(*packets))
        for place, value in damage:
            data[place % len(data)] = value
        with contextlib.suppress(RtpSyntaxError):
            rtcp.parse_compound(bytes(data))

    @given(st.binary(max_size=80))
    def test_any_bytes_parse_or_raise_a_syntax_error(self, data: bytes):
        with contextlib.suppress(RtpSyntaxError):
            rtcp.parse_compound(data)

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            (b"", "empty"),
            (b"\x80\xc9", "2 bytes after"),
            (b"\x40\xc9\0\1" + bytes(4), "version 1"),
            (b"\x80\x08\0\1" + bytes(4), "packet type 8"),
            (b"\x80\xc9\0\2" + bytes(4), "longer than its datagram"),
            (b"\x80\xc8\0\1" + bytes(4), "sender information"),
            (b"\x80\xc9\0\0", "without SSRC"),
            (b"\x81\xc9\0\1" + bytes(4), "count of blocks"),
            (b"\x81\xca\0\1" + bytes(4), "count of chunks"),
            (b"\x81\xca\0\2" + bytes(4) + b"\1\2ab", "without end"),
            (b"\x81\xca\0\2" + bytes(4) + b"\1\3ab", "item longer"),
            (b"\x81\xca\0\2" + bytes(4) + b"\1\1a\1", "item longer"),
            (b"\x82\xcb\0\1" + bytes(4), "count of sources"),
            (b"\x80\xcb\0\1\4abc", "reason longer"),
            (b"\xa0\xc9\0\1\0\0\0\4" + b"\x80\xc9\0\1" + bytes(4), "before the last"),
            (b"\xa0\xc9\0\0", "padding of a wrong length"),
            (b"\xa0\xc9\0\1\0\0\0\0", "padding of a wrong length"),
            (b"\xa0\xc9\0\1\0\0\0\3", "padding of a wrong length"),
            (b"\xa0\xc9\0\1\0\0\0\x08", "padding of a wrong length"),
        ],
    )
    def test_an_invalid_compound_says_what_is_wrong(self, data: bytes, what: str):
        with pytest.raises(RtpSyntaxError, match=what):
            rtcp.parse_compound(data)

    def test_padding_of_the_last_packet_is_cut(self):
        assert rtcp.parse_compound(b"\xa0\xc9\0\2\0\0\0\5\0\0\0\4") == (ReceiverReport(5),)

    def test_a_profile_s_extension_of_a_report_is_ignored(self):
        data = b"\x80\xc9\0\2\0\0\0\5abcd"
        assert rtcp.parse_compound(data) == (ReceiverReport(5),)

    def test_packets_of_other_types_are_kept_as_bytes(self):
        assert rtcp.parse_compound(b"\x81\xcf\0\1abcd") == (OtherPacket(207, b"abcd"),)

    def test_other_items_of_a_source_description_are_skipped(self):
        items = b"\2\3bob\1\3a@b\0\0"
        data = b"\x81\xca\0\4\0\0\0\5" + items
        assert rtcp.parse_compound(data) == (SourceDescription(((5, "a@b"),)),)

    def test_cumulative_loss_is_clamped_to_24_bits(self):
        block = ReportBlock(1, 255, 0x900000, 0, 0)
        (report,) = rtcp.parse_compound(ReceiverReport(1, (block,)).to_bytes())
        assert isinstance(report, ReceiverReport)
        assert report.blocks[0].cumulative_lost == 0x7FFFFF

    def test_long_names_are_cut_to_255_bytes(self):
        (packet,) = rtcp.parse_compound(SourceDescription(((1, "x" * 300),)).to_bytes())
        assert packet == SourceDescription(((1, "x" * 255),))


class TestRfc3550Section641:
    def test_the_rfc_s_own_example_of_a_round_trip_time(self):
        """A b710:8000, LSR b705:2000, DLSR 0005:4000 give 6.125 s."""
        assert rtcp.rtt_from_report(0xB7108000, 0xB7052000, 0x00054000) == 6.125

    def test_without_a_sender_report_there_is_no_round_trip_time(self):
        assert rtcp.rtt_from_report(0xB7108000, 0, 0) is None

    def test_arrival_after_the_32_bit_clock_wrapped(self):
        assert rtcp.rtt_from_report(0x00008000, 0xFFFF8000, 0x00008000) == 0.5

    def test_a_little_below_zero_is_rounding(self):
        assert rtcp.rtt_from_report(1000, 900, 101) == 0.0

    def test_far_below_zero_is_a_contradiction(self):
        assert rtcp.rtt_from_report(1000, 900, 100 + 65536) is None


class TestTimes:
    def test_the_ntp_epoch_is_1900(self):
        assert rtcp.ntp_from_unix_ns(0) == 2_208_988_800 << 32

    def test_half_a_second_is_half_of_2_to_the_32(self):
        assert rtcp.ntp_from_unix_ns(1_500_000_000) & 0xFFFFFFFF == 1 << 31

    def test_ntp_seconds_wrap_in_2036(self):
        assert rtcp.ntp_from_unix_ns(2_085_978_496 * 1_000_000_000) == 0

    @given(st.integers(0, 1 << 62))
    def test_short_times_are_the_middle_of_whole_ones(self, unix_ns: int):
        assert rtcp.ntp_short_from_unix_ns(unix_ns) == rtcp.ntp_short(rtcp.ntp_from_unix_ns(unix_ns))

    @given(st.integers(0, 1 << 62), st.integers(0, 30_000_000_000))
    def test_a_difference_of_short_times_is_the_delay(self, start: int, delay: int):
        """Within the 15 µs that 1/65536 s can tell."""
        ticks = rtcp.ntp_short_from_unix_ns(start + delay) - rtcp.ntp_short_from_unix_ns(start) & 0xFFFFFFFF
        assert abs(ticks / 65536 - delay / 1e9) < 2 / 65536
        assert abs(rtcp.dlsr_from_ns(delay) - ticks) <= 1

    @pytest.mark.parametrize(("delay_ns", "dlsr"), [(-5, 0), (1_000_000_000, 65536), (1 << 60, 0xFFFFFFFF)])
    def test_dlsr_is_clamped(self, delay_ns: int, dlsr: int):
        assert rtcp.dlsr_from_ns(delay_ns) == dlsr


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"\x80\xc8", True), (b"\x80\x00", False), (b"\x00\xc8", False), (b"\x80", False), (b"\x80\xe0", False)],
)
def test_rtcp_is_told_from_rtp_by_its_packet_type(data: bytes, expected: bool):  # noqa: FBT001 - a table's column
    """RFC 5761 §4."""
    assert rtcp.is_rtcp(data) is expected

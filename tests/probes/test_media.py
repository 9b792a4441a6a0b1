from __future__ import annotations

from dataclasses import replace

import pytest

from bridge_monitor.domain import Inbound, MediaMode, Outbound, RoundTrip, Rtt, RttSource
from bridge_monitor.probes.media import burst_ratio, media_result
from bridge_monitor.quality import score_audio
from bridge_monitor.rtp.report import (
    AudioLevel,
    EchoSummary,
    FrameSummary,
    PeerReportSummary,
    ReceptionSummary,
    RttSummary,
    StreamReport,
    VideoSummary,
)

NOTHING = StreamReport(
    packets_sent=500,
    large_sent=0,
    inbound=None,
    echo=None,
    peer=None,
    unexpected_payload_types=(),
    unexpected_source=False,
    first_rtp_ns=None,
    started_ns=0,
    ended_ns=10_000_000_000,
    lateness=None,
    invalid=(),
)
RTT_ECHO = RttSummary(0.01, 0.02, 0.03, 0.04, 490)
RTT_RTCP = RttSummary(0.1, 0.2, 0.3, 0.4, 3)
ECHOED = EchoSummary(500, 490, 10, 1, 2, 0, 0, 0.001, 0.002, RTT_ECHO)
HEARD = ReceptionSummary(480, 475, 5, 1, 2, 0.003, 0.004, 1, 2, 77, 0)
REPORTED = PeerReportSummary(3, 450, 9, 0.005, RTT_RTCP)


def mos(loss_ratio: float, rtt: float, *, burst: float = 1.0) -> float:
    score = score_audio("PCMU", loss_ratio=loss_ratio, rtt_seconds=rtt, playout_seconds=0.06, burst_ratio=burst)
    assert score is not None
    return score.mos


class TestEcho:
    def test_loss_is_the_round_trip_s_and_of_neither_direction(self):
        """Jitter and round-trip times come from the echo; what can't be told is null, not 0."""
        media = media_result(replace(NOTHING, echo=ECHOED, peer=replace(REPORTED, packets_lost=None)), codec="PCMU")
        assert media.mode is MediaMode.ECHO
        assert media.round_trip == RoundTrip(500, 490, 10, 0.02)
        assert media.inbound == Inbound(500, 490, None, None, 1, 2, 0.001, 0.002)
        assert media.rtt_seconds == Rtt(0.01, 0.02, 0.03, 0.04, 490, RttSource.ECHO)
        assert media.mos == mos(0.02, 0.02)

    def test_without_reports_nothing_is_said_of_the_way_out_but_what_was_sent(self):
        media = media_result(replace(NOTHING, echo=ECHOED), codec="PCMU")
        assert media.outbound == Outbound(500, None, None, None, None)

    def test_a_report_on_all_that_was_sent_separates_the_directions(self):
        report = replace(NOTHING, echo=ECHOED, peer=replace(REPORTED, packets_reported=500, packets_lost=4))
        media = media_result(report, codec="PCMU")
        assert media.outbound == Outbound(500, 500, 4, 0.008, 0.005)
        assert media.inbound == Inbound(496, 490, 6, 6 / 496, 1, 2, 0.001, 0.002)

    def test_a_report_that_contradicts_the_echo_leaves_no_negative_loss(self):
        """More came back than the peer says it received."""
        report = replace(NOTHING, echo=ECHOED, peer=replace(REPORTED, packets_reported=500, packets_lost=12))
        media = media_result(report, codec="PCMU")
        assert media.inbound == Inbound(490, 490, 0, 0.0, 1, 2, 0.001, 0.002)

    @pytest.mark.parametrize("large", [0, 10])
    def test_a_report_on_a_part_separates_nothing(self, large: int):
        """Nor does one on a stream with large packets, whose loss is another fault."""
        echo = replace(ECHOED, large_sent=large)
        reported = 450 if not large else 500
        report = replace(NOTHING, large_sent=large, echo=echo, peer=replace(REPORTED, packets_reported=reported))
        media = media_result(report, codec="PCMU")
        assert media.inbound is not None
        assert media.inbound.packets_lost is None
        assert media.outbound == Outbound(500, reported, 9, 9 / reported, 0.005)

    def test_a_stream_of_the_room_s_own_beside_the_echo_has_its_own_count(self):
        media = media_result(replace(NOTHING, echo=ECHOED, inbound=HEARD), codec="PCMU")
        assert media.mode is MediaMode.ECHO
        assert media.inbound == Inbound(480, 475, 5, 5 / 480, 1, 2, 0.003, 0.004)

    def test_packets_too_late_for_the_playout_buffer_count_in_the_score_only(self):
        media = media_result(replace(NOTHING, echo=replace(ECHOED, late=15)), codec="PCMU")
        assert media.mos == mos(0.05, 0.02)
        assert media.round_trip == RoundTrip(500, 490, 10, 0.02)

    def test_only_large_packets_came_back(self):
        echo = replace(ECHOED, received=0, lost=500, large_sent=5, large_received=5, rtt=None, jitter_seconds=None)
        media = media_result(replace(NOTHING, echo=echo, large_sent=5), codec="PCMU")
        assert media.mode is MediaMode.ECHO
        assert (media.rtt_seconds, media.mos) == (None, None)


class TestRtcp:
    def test_each_direction_has_its_own_loss_and_the_score_the_worse(self):
        media = media_result(replace(NOTHING, inbound=HEARD, peer=REPORTED), codec="PCMU")
        assert media.mode is MediaMode.RTCP
        assert media.inbound == Inbound(480, 475, 5, 5 / 480, 1, 2, 0.003, 0.004)
        assert media.outbound == Outbound(500, 450, 9, 0.02, 0.005)
        assert media.round_trip is None
        assert media.rtt_seconds == Rtt(0.1, 0.2, 0.3, 0.4, 3, RttSource.RTCP)
        assert media.mos == mos(0.02, 0.2)

    def test_reports_of_a_room_that_sends_nothing(self):
        media = media_result(replace(NOTHING, peer=REPORTED), codec="PCMU")
        assert (media.mode, media.inbound) == (MediaMode.RTCP, None)

    def test_bursts_worsen_the_score(self):
        bursty = replace(HEARD, burst_ratio=3.0)
        media = media_result(replace(NOTHING, inbound=bursty, peer=REPORTED), codec="PCMU")
        assert media.mos == mos(0.02, 0.2, burst=3.0)


class TestInboundAlone:
    def test_without_a_delay_there_is_no_score(self):
        media = media_result(replace(NOTHING, inbound=HEARD), codec="PCMU")
        assert media.mode is MediaMode.INBOUND
        assert media.outbound == Outbound(500, None, None, None, None)
        assert (media.rtt_seconds, media.r_factor, media.mos) == (None, None, None)

    def test_reports_that_speak_of_nothing_of_ours_are_no_measurement(self):
        peer = PeerReportSummary(0, None, None, None, None)
        media = media_result(replace(NOTHING, inbound=HEARD, peer=peer), codec="PCMU")
        assert media.mode is MediaMode.INBOUND
        assert media.outbound == Outbound(500, None, None, None, None)


class TestNothing:
    def test_nothing_received_is_all_null(self):
        """Never 0 % where nothing was received."""
        media = media_result(NOTHING, codec="PCMU")
        assert (media.mode, media.inbound, media.round_trip, media.rtt_seconds) == (None, None, None, None)

    def test_nothing_sent_has_no_way_out(self):
        assert media_result(replace(NOTHING, packets_sent=0), codec="PCMU").outbound is None

    def test_an_echo_of_nothing_is_no_echo(self):
        media = media_result(replace(NOTHING, echo=replace(ECHOED, received=0, lost=500)), codec="PCMU")
        assert (media.mode, media.round_trip) == (None, None)


def test_wide_band_audio_has_no_score_and_other_facts_pass_through():
    media = media_result(replace(NOTHING, echo=ECHOED, unexpected_source=True), codec="G722", kind="audio")
    assert (media.kind, media.codec, media.unexpected_source, media.mos) == ("audio", "G722", True, None)


@pytest.mark.parametrize(("inbound", "echo", "expected"), [(None, None, 1.0), (0.4, None, 1.0), (2.0, 3.0, 3.0)])
def test_the_greatest_burst_ratio_counts_and_sparse_losses_are_none(
    inbound: float | None, echo: float | None, expected: float
):
    report = replace(NOTHING, inbound=replace(HEARD, burst_ratio=inbound), echo=replace(ECHOED, burst_ratio=echo))
    assert burst_ratio(report) == expected
    assert burst_ratio(NOTHING) == 1.0


class TestLevel:
    def test_the_room_s_own_level_is_shown(self):
        level = AudioLevel(mean_dbov=-31.5, loudest_dbov=-20.0, active_ratio=0.4, packets=62)
        media = media_result(replace(NOTHING, inbound=HEARD, level=level), codec="PCMU")
        assert (media.audio_level_dbov, media.audio_active_ratio) == (-31.5, 0.4)

    def test_an_echo_has_none(self):
        media = media_result(replace(NOTHING, echo=ECHOED), codec="PCMU")
        assert (media.audio_level_dbov, media.audio_active_ratio) == (None, None)


class TestVideo:
    """A video stream has frames, and neither R nor MOS."""

    OWN = FrameSummary(250, 245, 5, 25.0, 1_000_000, 0.004, 0.008)
    BACK = FrameSummary(240, 240, 0, 24.0, 900_000, 0.001, 0.002)

    def test_frames_of_an_echo_are_ours(self):
        media = media_result(
            replace(NOTHING, echo=ECHOED, video=VideoSummary(240, None, self.BACK)), codec="H264", kind="video"
        )
        assert (media.kind, media.codec, media.r_factor, media.mos) == ("video", "H264", None, None)
        assert (media.frames_expected, media.frames_lost, media.frame_rate) == (240, 0, 24.0)

    def test_a_room_s_own_picture_goes_before_an_echo(self):
        media = media_result(
            replace(NOTHING, inbound=HEARD, video=VideoSummary(240, self.OWN, self.BACK)), codec="H264", kind="video"
        )
        assert (media.frames_expected, media.frames_lost, media.frame_rate) == (250, 5, 25.0)

    def test_without_a_picture_there_are_no_figures_of_frames(self):
        for video in (None, VideoSummary(240, None, None)):
            media = media_result(replace(NOTHING, video=video), codec="H264", kind="video")
            assert (media.frames_expected, media.frames_lost, media.frame_rate) == (None, None, None)

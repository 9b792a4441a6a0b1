"""Which figures of a result are exported."""

from __future__ import annotations

from typing import Any

import pytest

from bridge_monitor.domain import Grade, Inbound, Outbound, Outcome, RoundTrip
from bridge_monitor.web.streams import (
    Counted,
    Direction,
    Loss,
    audio_of,
    frame_loss_ratio,
    jitters,
    losses,
    rtt_of,
    setup_delay,
    tells_of_the_line,
    video_of,
)
from tests.web.nation import echo_stream, result_of, rtcp_stream


class TestWhetherFiguresCount:
    def test_a_good_call_tells_of_the_line(self) -> None:
        assert tells_of_the_line(result_of())

    @pytest.mark.parametrize(
        "changes",
        [
            {"invalid": ("socket_overflow",)},
            {"grade": Grade.INVALID},
            {"outcome": Outcome.LOCAL_FAULT},
            {"outcome": Outcome.CANCELLED},
            {"outcome": Outcome.REFUSED},
        ],
    )
    def test_our_own_fault_and_a_call_cut_short_do_not(self, changes: dict[str, Any]) -> None:
        assert not tells_of_the_line(result_of(**changes))


class TestAudio:
    def test_the_first_audio_stream_is_the_one_shown(self) -> None:
        video, audio = rtcp_stream(kind="video"), rtcp_stream()
        assert audio_of(result_of(media=(video, audio, rtcp_stream()))) is audio

    def test_a_call_without_audio_has_none(self) -> None:
        assert audio_of(result_of(media=())) is None
        assert audio_of(result_of(media=(rtcp_stream(kind="video"),))) is None


class TestVideo:
    def test_the_first_video_stream_is_the_one_shown(self) -> None:
        video = rtcp_stream(kind="video")
        assert video_of(result_of(media=(rtcp_stream(), video, rtcp_stream(kind="video")))) is video
        assert video_of(result_of()) is None

    @pytest.mark.parametrize(
        ("expected", "lost", "ratio"), [(250, 5, 0.02), (250, 0, 0.0), (0, 0, None), (None, None, None)]
    )
    def test_frames_that_were_not_measured_have_no_loss(
        self, expected: int | None, lost: int | None, ratio: float | None
    ) -> None:
        assert frame_loss_ratio(rtcp_stream(kind="video", frames_expected=expected, frames_lost=lost)) == ratio


class TestLosses:
    def test_reports_give_both_directions_with_the_packets_they_rest_on(self) -> None:
        assert losses(rtcp_stream()) == {
            Direction.INBOUND: Loss(Counted(500, 2), 0.004),
            Direction.OUTBOUND: Loss(Counted(480, 5), 0.0104),
        }

    def test_an_echo_gives_the_round_trip_alone(self) -> None:
        """It can't tell the direction: its inbound loss is None, and must not become a 0."""
        assert losses(echo_stream()) == {Direction.ROUND_TRIP: Loss(Counted(500, 10), 0.02)}

    @pytest.mark.parametrize(
        "outbound", [None, Outbound(500, None, None, None, None), Outbound(500, 480, None, None, None)]
    )
    def test_without_a_report_nothing_is_said_of_the_way_out(self, outbound: Outbound | None) -> None:
        assert Direction.OUTBOUND not in losses(rtcp_stream(outbound=outbound))

    def test_no_stream_in_is_no_loss_in(self) -> None:
        assert losses(rtcp_stream(inbound=None, outbound=None)) == {}

    def test_packets_without_a_ratio_keep_it_unknown(self) -> None:
        stream = rtcp_stream(inbound=None, outbound=None, round_trip=RoundTrip(0, 0, 0, None))
        assert losses(stream) == {Direction.ROUND_TRIP: Loss(Counted(0, 0), None)}


class TestDelays:
    def test_jitter_is_the_mean_of_each_direction(self) -> None:
        assert jitters(rtcp_stream()) == {Direction.INBOUND: 0.0015, Direction.OUTBOUND: 0.0025}

    def test_jitter_that_was_not_measured_is_absent(self) -> None:
        inbound = Inbound(1, 1, 0, 0.0, 0, 0, None, None)
        assert jitters(rtcp_stream(inbound=inbound, outbound=None)) == {}

    def test_round_trip_times_of_no_stream_are_none(self) -> None:
        assert rtt_of(None) is None
        assert rtt_of(rtcp_stream()) == rtcp_stream().rtt_seconds

    def test_set_up_delay_is_the_time_to_the_answer_whatever_phases_it_had(self) -> None:
        assert setup_delay(result_of()) == pytest.approx(0.463)
        assert setup_delay(result_of(phases={"trying": None, "answer": 0.25, "first_rtp": 3.0})) == 0.25

    @pytest.mark.parametrize("phases", [{}, {"trying": 0.1, "ringing": 9.9, "answer": None}])
    def test_a_call_that_was_not_answered_has_no_set_up_delay(self, phases: dict[str, float | None]) -> None:
        assert setup_delay(result_of(phases=phases)) is None

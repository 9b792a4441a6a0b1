from __future__ import annotations

from dataclasses import replace

import pytest

from bridge_monitor.domain import Grade, Outcome
from bridge_monitor.probes.judge import Verdict, grade_of, judge_answered, judge_media, judge_status
from bridge_monitor.probes.media import media_result
from bridge_monitor.quality import Thresholds
from bridge_monitor.rtp.report import (
    EchoSummary,
    PeerReportSummary,
    ReceptionSummary,
    RttSummary,
    StreamReport,
    VideoSummary,
)
from bridge_monitor.sip import Trouble


def echo(*, received: int = 500, lost: int = 0, large_sent: int = 0, large_received: int = 0) -> EchoSummary:
    return EchoSummary(
        sent=received + lost,
        received=received,
        lost=lost,
        duplicates=0,
        reordered=0,
        large_sent=large_sent,
        large_received=large_received,
        jitter_seconds=0.0001,
        jitter_max_seconds=0.0002,
        rtt=RttSummary(0.001, 0.001, 0.002, 0.003, received) if received else None,
    )


def inbound(received: int = 500, lost: int = 0) -> ReceptionSummary:
    return ReceptionSummary(
        expected=received + lost,
        received=received,
        lost=lost,
        duplicates=0,
        reordered=0,
        jitter_seconds=0.0001,
        jitter_max_seconds=0.0002,
        first_arrival_ns=1,
        last_arrival_ns=2,
        ssrc=7,
        restarts=0,
    )


def peer(reported: int | None, lost: int | None) -> PeerReportSummary:
    return PeerReportSummary(
        reports=3,
        packets_reported=reported,
        packets_lost=lost,
        jitter_seconds=0.0,
        rtt=RttSummary(0.01, 0.01, 0.01, 0.01, 3),
    )


def report(
    *,
    came_back: EchoSummary | None = None,
    own: ReceptionSummary | None = None,
    says: PeerReportSummary | None = None,
    payload_types: tuple[int, ...] = (),
    silent_reports: int = 0,
    video: VideoSummary | None = None,
) -> StreamReport:
    return StreamReport(
        packets_sent=500,
        large_sent=came_back.large_sent if came_back else 0,
        inbound=own,
        echo=came_back,
        peer=says,
        unexpected_payload_types=payload_types,
        unexpected_source=False,
        first_rtp_ns=1,
        started_ns=0,
        ended_ns=2,
        lateness=None,
        invalid=(),
        peer_silent_reports=silent_reports,
        video=video,
    )


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            (302, Outcome.UNAVAILABLE),
            (401, Outcome.AUTH_FAILED),
            (403, Outcome.DECLINED),
            (404, Outcome.NOT_FOUND),
            (407, Outcome.AUTH_FAILED),
            (408, Outcome.TIMEOUT),
            (415, Outcome.NOT_ACCEPTABLE),
            (480, Outcome.UNAVAILABLE),
            (486, Outcome.BUSY),
            (488, Outcome.NOT_ACCEPTABLE),
            (499, Outcome.DECLINED),
            (500, Outcome.UNAVAILABLE),
            (503, Outcome.UNAVAILABLE),
            (600, Outcome.BUSY),
            (603, Outcome.DECLINED),
            (606, Outcome.NOT_ACCEPTABLE),
            (699, Outcome.DECLINED),
        ],
    )
    def test_each_final_response_has_its_outcome(self, status: int, outcome: Outcome) -> None:
        assert judge_status(status)[0] is outcome

    @pytest.mark.parametrize("status", [401, 407])
    @pytest.mark.parametrize("trouble", Trouble)
    def test_a_challenge_s_reason_is_why_it_was_not_answered(self, status: int, trouble: Trouble) -> None:
        assert judge_status(status, trouble) == (Outcome.AUTH_FAILED, trouble)
        assert judge_status(status) == (Outcome.AUTH_FAILED, "no_credentials")

    @pytest.mark.parametrize("status", range(300, 700))
    def test_no_final_response_is_without_an_outcome(self, status: int) -> None:
        outcome, _ = judge_status(status)
        assert outcome is not Outcome.REACHED


class TestGrades:
    def test_busy_ringing_and_our_own_doing_are_never_failed(self) -> None:
        """DESIGN rule 3: ringing, busy and untested are not failed; rule 2: our fault is never theirs."""
        assert grade_of(Outcome.BUSY) is Grade.BUSY
        assert grade_of(Outcome.LOCAL_FAULT) is Grade.INVALID
        for outcome in (Outcome.NO_ANSWER, Outcome.CANCELLED, Outcome.REFUSED):
            assert grade_of(outcome) is Grade.UNTESTED

    def test_an_account_that_we_lack_is_no_word_against_the_room(self) -> None:
        assert grade_of(Outcome.AUTH_FAILED, Trouble.NO_CREDENTIALS) is Grade.UNTESTED
        assert grade_of(Outcome.AUTH_FAILED, Trouble.REFUSED) is Grade.FAILED
        assert grade_of(Outcome.AUTH_FAILED, Trouble.UNSUPPORTED) is Grade.FAILED

    def test_the_others_are(self) -> None:
        for outcome in (Outcome.TIMEOUT, Outcome.UNREACHABLE, Outcome.NO_MEDIA, Outcome.WRONG_CODEC):
            assert grade_of(outcome) is Grade.FAILED


class TestMedia:
    def test_an_echo_is_reached(self) -> None:
        assert judge_media(report(came_back=echo())) == (Outcome.REACHED, None)

    def test_the_rooms_own_stream_with_or_without_reports_is_reached(self) -> None:
        assert judge_media(report(own=inbound())) == (Outcome.REACHED, None)
        assert judge_media(report(own=inbound(), says=peer(480, 3))) == (Outcome.REACHED, None)

    def test_nothing_at_all_is_no_media(self) -> None:
        assert judge_media(report()) == (Outcome.NO_MEDIA, None)
        assert judge_media(report(came_back=echo(received=0, lost=500))) == (Outcome.NO_MEDIA, None)
        assert judge_media(report(silent_reports=2)) == (Outcome.NO_MEDIA, None)

    def test_reports_of_our_stream_without_a_stream_are_one_way_out(self) -> None:
        assert judge_media(report(says=peer(480, 0))) == (Outcome.ONE_WAY_MEDIA_OUT, None)

    @pytest.mark.parametrize("says", [peer(480, 480), peer(None, None), peer(0, 0)])
    def test_reports_that_received_nothing_are_no_media(self, says: PeerReportSummary) -> None:
        assert judge_media(report(says=says)) == (Outcome.NO_MEDIA, None)

    def test_a_stream_whose_reports_never_speak_of_ours_is_one_way_in(self) -> None:
        assert judge_media(report(own=inbound(), silent_reports=1)) == (Outcome.ONE_WAY_MEDIA_IN, None)
        assert judge_media(report(own=inbound(), says=peer(480, 480))) == (Outcome.ONE_WAY_MEDIA_IN, None)

    def test_an_empty_report_before_the_first_full_one_says_nothing(self) -> None:
        assert judge_media(report(own=inbound(), says=peer(480, 0), silent_reports=1)) == (Outcome.REACHED, None)

    def test_a_payload_type_that_was_not_agreed_is_a_wrong_codec(self) -> None:
        assert judge_media(report(payload_types=(9,))) == (Outcome.WRONG_CODEC, "payload_type_9")
        assert judge_media(report(own=inbound(), payload_types=(13,))) == (Outcome.REACHED, None)

    def test_three_large_packets_gone_are_a_finding_two_are_chance(self) -> None:
        lost = judge_media(report(came_back=echo(large_sent=3)))
        assert lost == (Outcome.LARGE_PACKETS_LOST, None)
        assert judge_media(report(came_back=echo(large_sent=2))) == (Outcome.REACHED, None)
        assert judge_media(report(came_back=echo(large_sent=9, large_received=1))) == (Outcome.REACHED, None)


class TestAnswered:
    def verdict(self, seen: StreamReport, *, bye_answered: bool = True, hung_up: bool = False) -> Verdict:
        media = (media_result(seen, codec="PCMU"),)
        return judge_answered(seen, media, Thresholds(), setup_seconds=0.1, bye_answered=bye_answered, hung_up=hung_up)

    def test_a_clean_call_is_good(self) -> None:
        assert self.verdict(report(came_back=echo())) == Verdict(Outcome.REACHED, None, Grade.GOOD)

    def test_an_unanswered_bye_is_told_and_not_held_against_the_room(self) -> None:
        expected = Verdict(Outcome.REACHED, "bye_unanswered", Grade.GOOD)
        assert self.verdict(report(came_back=echo()), bye_answered=False) == expected

    def test_loss_is_told_before_an_unanswered_bye(self) -> None:
        seen = report(came_back=echo(received=400, lost=100))
        assert self.verdict(seen, bye_answered=False) == Verdict(Outcome.REACHED, "loss", Grade.FAILED)

    def test_a_room_that_hangs_up_is_worth_a_look(self) -> None:
        expected = Verdict(Outcome.REACHED, "hung_up", Grade.DEGRADED)
        assert self.verdict(report(came_back=echo()), hung_up=True) == expected

    def test_no_media_is_failed_whatever_the_rest(self) -> None:
        assert self.verdict(report()) == Verdict(Outcome.NO_MEDIA, None, Grade.FAILED)

    def test_a_room_that_hangs_up_before_any_packet_is_no_evidence_against_the_line(self) -> None:
        assert self.verdict(report(), hung_up=True) == Verdict(Outcome.NO_MEDIA, "hung_up", Grade.FAILED)


class TestVideo:
    """Video beside audio: its loss is graded; that none came is no fault of the line."""

    def verdict(self, audio: StreamReport, video: StreamReport) -> Verdict:
        media = (media_result(audio, codec="PCMU"), media_result(video, codec="H264", kind="video"))
        return judge_answered(
            audio, media, Thresholds(), setup_seconds=0.1, bye_answered=True, hung_up=False, video=video
        )

    def test_video_that_never_reaches_a_room_whose_reports_confirm_our_audio_is_swallowed(self) -> None:
        audio = report(own=inbound(), says=peer(450, 0))
        for seen in (report(own=inbound(), silent_reports=2), report(says=peer(900, 900))):
            assert self.verdict(audio, seen) == Verdict(Outcome.LARGE_PACKETS_LOST, None, Grade.FAILED)

    def test_without_the_room_s_word_video_that_did_not_come_is_not_held_against_the_line(self) -> None:
        for audio in (report(came_back=echo()), report(own=inbound(), says=peer(450, 0))):
            assert self.verdict(audio, report()) == Verdict(Outcome.REACHED, None, Grade.GOOD)

    def test_a_room_that_reports_nothing_at_all_proves_nothing_of_the_video(self) -> None:
        audio = report(came_back=echo(), silent_reports=2)
        assert self.verdict(audio, report(silent_reports=2)).outcome is Outcome.REACHED

    def test_video_that_comes_back_was_not_swallowed(self) -> None:
        audio = report(came_back=echo(), says=peer(450, 0))
        assert self.verdict(audio, report(came_back=echo(), silent_reports=2)).outcome is Outcome.REACHED

    @pytest.mark.parametrize(
        ("large_sent", "large_back", "small_back", "small_lost", "outcome"),
        [
            (250, 0, 75, 0, Outcome.LARGE_PACKETS_LOST),
            (250, 0, 15, 60, Outcome.LARGE_PACKETS_LOST),
            (250, 1, 75, 0, Outcome.REACHED),
            (20, 0, 15, 60, Outcome.REACHED),
            (0, 0, 75, 0, Outcome.REACHED),
        ],
        ids=["none of the large", "and loss besides", "one of them", "may be chance", "none was sent"],
    )
    def test_large_packets_that_never_come_back_are_told_from_loss(
        self, large_sent: int, large_back: int, small_back: int, small_lost: int, outcome: Outcome
    ) -> None:
        """A line that loses by rate loses of all sizes; one that loses by size needs another mend."""
        back = echo(received=small_back + large_back, lost=small_lost + large_sent - large_back)
        video = report(came_back=back, video=VideoSummary(75, None, None, large_sent, large_back))
        assert self.verdict(report(came_back=echo()), video).outcome is outcome

    def test_loss_of_video_is_graded_as_that_of_audio(self) -> None:
        audio = report(came_back=echo())
        assert self.verdict(audio, report(came_back=echo(received=800, lost=200))) == Verdict(
            Outcome.REACHED, "loss", Grade.FAILED
        )

    def test_bursts_of_video_make_its_loss_less_certain_and_leave_audio_s_alone(self) -> None:
        bursty = report(came_back=replace(echo(received=470, lost=30), burst_ratio=20.0))
        steady = report(came_back=echo())
        assert self.verdict(steady, bursty).grade is Grade.GOOD
        assert self.verdict(bursty, steady).grade is Grade.GOOD
        assert self.verdict(report(came_back=echo(received=450, lost=50)), bursty).grade is Grade.FAILED

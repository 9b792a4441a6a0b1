from __future__ import annotations

from dataclasses import replace

import pytest

from bridge_monitor.domain import Grade, Inbound, MediaMode, MediaResult, Outbound, RoundTrip, Rtt, RttSource
from bridge_monitor.quality import LossCount, Thresholds, grade_call, loss_counts, loss_in_doubt

GOOD = MediaResult(
    kind="audio",
    codec="PCMU",
    mode=MediaMode.RTCP,
    inbound=Inbound(500, 500, 0, 0.0, 0, 0, 0.001, 0.002),
    outbound=Outbound(500, 480, 0, 0.0, 0.001),
    round_trip=None,
    rtt_seconds=Rtt(0.02, 0.03, 0.04, 0.05, 3, RttSource.RTCP),
)
ECHO = MediaResult(
    kind="audio",
    codec="PCMU",
    mode=MediaMode.ECHO,
    inbound=Inbound(500, 500, None, None, 0, 0, 0.001, 0.002),
    outbound=Outbound(500, None, None, None, None),
    round_trip=RoundTrip(500, 500, 0, 0.0),
    rtt_seconds=None,
)
LIMITS = Thresholds()


def losing(direction: str, lost: int) -> MediaResult:
    """Return a good call that lost so many packets in one direction."""
    if direction == "inbound":
        return replace(GOOD, inbound=Inbound(500, 500 - lost, lost, lost / 500, 0, 0, 0.001, 0.002))
    if direction == "outbound":
        return replace(GOOD, outbound=Outbound(510, 500, lost, lost / 500, 0.001))
    return replace(ECHO, round_trip=RoundTrip(500, 500 - lost, lost, lost / 500))


def grade(*media: MediaResult, setup: float | None = 1.0, **more: object) -> tuple[Grade, str | None]:
    return grade_call(media, LIMITS, setup_seconds=setup, **more)  # type: ignore[arg-type] - passed through


def with_rtt(median: float) -> MediaResult:
    return replace(GOOD, rtt_seconds=Rtt(0.001, median, 9.0, 9.0, 3, RttSource.RTCP))


def with_jitter(mean: float) -> MediaResult:
    return replace(GOOD, inbound=Inbound(500, 500, 0, 0.0, 0, 0, mean, 9.0))


class TestLoss:
    @pytest.mark.parametrize("media", [GOOD, ECHO])
    def test_a_clean_call_is_good(self, media: MediaResult):
        assert grade(media) == (Grade.GOOD, None)

    @pytest.mark.parametrize("direction", ["inbound", "outbound", "round_trip"])
    @pytest.mark.parametrize(
        ("lost", "expected"),
        [
            (9, (Grade.GOOD, None)),
            (10, (Grade.DEGRADED, "loss")),
            (33, (Grade.DEGRADED, "loss")),
            (34, (Grade.FAILED, "loss")),
        ],
    )
    def test_each_direction_is_graded_by_its_lower_bound(
        self, direction: str, lost: int, expected: tuple[Grade, str | None]
    ):
        """Of 500 packets ten prove 1 %, thirty-four prove 5 %."""
        assert grade(losing(direction, lost)) == expected

    def test_bursts_need_more_losses(self):
        assert grade(losing("inbound", 15), burst_ratio=1.0) == (Grade.DEGRADED, "loss")
        assert grade(losing("inbound", 15), burst_ratio=4.0) == (Grade.GOOD, None)

    def test_earlier_calls_add_to_the_evidence(self):
        """Eight of 500 prove nothing alone, sixteen of 1,000 prove 1 %."""
        earlier = [LossCount("audio", "inbound", 8, 500)]
        assert grade(losing("inbound", 8)) == (Grade.GOOD, None)
        assert grade(losing("inbound", 8), earlier=earlier * 2) == (Grade.DEGRADED, "loss")

    def test_earlier_calls_of_another_direction_or_stream_do_not(self):
        earlier = [LossCount("audio", "outbound", 80, 500), LossCount("video", "inbound", 80, 500)]
        assert grade(losing("inbound", 8), earlier=earlier) == (Grade.GOOD, None)

    def test_earlier_clean_calls_do_not_excuse_a_proven_loss(self):
        earlier = [LossCount("audio", "inbound", 0, 500)] * 9
        assert grade(losing("inbound", 34), earlier=earlier) == (Grade.FAILED, "loss")

    def test_a_mended_line_is_not_held_to_its_past(self):
        earlier = [LossCount("audio", "inbound", 200, 500)] * 3
        assert grade(GOOD, earlier=earlier) == (Grade.GOOD, None)
        assert grade(losing("inbound", 4), earlier=earlier) == (Grade.GOOD, None)

    def test_the_worse_of_two_streams_wins(self):
        assert grade(GOOD, losing("outbound", 50)) == (Grade.FAILED, "loss")


class TestOtherFigures:
    @pytest.mark.parametrize(
        ("media", "setup", "expected"),
        [
            (with_rtt(0.3), 1.0, (Grade.GOOD, None)),
            (with_rtt(0.301), 1.0, (Grade.DEGRADED, "rtt")),
            (with_rtt(0.8), 1.0, (Grade.DEGRADED, "rtt")),
            (with_rtt(0.801), 1.0, (Grade.FAILED, "rtt")),
            (with_jitter(0.03), 1.0, (Grade.GOOD, None)),
            (with_jitter(0.031), 1.0, (Grade.DEGRADED, "jitter")),
            (replace(GOOD, outbound=Outbound(500, 480, 0, 0.0, 0.031)), 1.0, (Grade.DEGRADED, "jitter")),
            (GOOD, 5.0, (Grade.GOOD, None)),
            (GOOD, 5.1, (Grade.DEGRADED, "slow_answer")),
            (GOOD, None, (Grade.GOOD, None)),
        ],
    )
    def test_a_limit_is_passed_only_beyond_it(
        self, media: MediaResult, setup: float, expected: tuple[Grade, str | None]
    ):
        """The median round-trip time and the mean jitter count, not their maxima."""
        assert grade(media, setup=setup) == expected

    def test_failed_beats_degraded_whatever_the_figure(self):
        media = replace(losing("inbound", 20), rtt_seconds=with_rtt(0.9).rtt_seconds)
        assert grade(media, setup=9.0) == (Grade.FAILED, "rtt")
        assert grade(replace(media, rtt_seconds=None), setup=9.0) == (Grade.DEGRADED, "loss")

    def test_jitter_of_video_is_never_graded(self):
        assert grade(GOOD, replace(with_jitter(0.2), kind="video")) == (Grade.GOOD, None)


class TestWhatWasNotMeasured:
    def test_a_call_without_any_count_of_losses_is_untested(self):
        blank = replace(GOOD, inbound=None, outbound=None, rtt_seconds=None)
        assert grade(blank) == (Grade.UNTESTED, None)
        assert grade() == (Grade.UNTESTED, None)

    def test_directions_without_a_count_are_left_out(self):
        assert loss_counts([ECHO]) == (LossCount("audio", "round_trip", 0, 500),)
        assert loss_counts([replace(ECHO, round_trip=RoundTrip(0, 0, 0, None))]) == ()

    def test_counts_carry_their_burst_ratio(self):
        assert loss_counts([GOOD], burst_ratio=2.0) == (
            LossCount("audio", "inbound", 0, 500, 2.0),
            LossCount("audio", "outbound", 0, 480, 2.0),
        )

    def test_each_kind_of_stream_may_have_bursts_of_its_own(self):
        video = replace(ECHO, kind="video")
        counts = loss_counts([ECHO, video, replace(ECHO, kind="text")], burst_ratio={"audio": 1.5, "video": 3.0})
        assert [count.burst_ratio for count in counts] == [1.5, 3.0, 1.0]


class TestDoubt:
    @pytest.mark.parametrize(
        ("lost", "total", "doubt"),
        [
            (0, 500, False),
            (0, 200, True),
            (3, 500, True),
            (20, 500, True),
            (15, 750, False),
            (0, 60, True),
            (90, 500, False),
        ],
    )
    def test_a_count_is_in_doubt_if_a_threshold_lies_between_its_bounds(self, lost: int, total: int, doubt: bool):  # noqa: FBT001 - a table's column
        assert loss_in_doubt([LossCount("audio", "inbound", lost, total)], LIMITS) is doubt

    def test_nothing_counted_leaves_no_doubt_to_resolve(self):
        assert not loss_in_doubt([], LIMITS)

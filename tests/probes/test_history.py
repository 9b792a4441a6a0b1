"""The loss of a site's last calls, pooled with the next one's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bridge_monitor.domain import Evidence, Grade, MediaMode, MediaResult, Outcome, ProbeResult, RoundTrip, Target
from bridge_monitor.probes.history import CALLS_KEPT, LossHistory
from bridge_monitor.probes.shapes import Finished
from bridge_monitor.quality import LossCount
from bridge_monitor.rtp.report import EchoSummary, StreamReport

SITE = "46001"


def call(lost: int, *, site: str | None = SITE, measured: bool = True, burst: float | None = None) -> Finished:
    """Return a call of 500 packets."""
    round_trip = RoundTrip(500, 500 - lost, lost, lost / 500)
    media = MediaResult("audio", "PCMU", MediaMode.ECHO, None, None, round_trip, None)
    result = ProbeResult(
        id="x",
        target=Target(site, "sip:room@127.0.0.1"),
        kind="sip",
        profile="audio",
        vantage="centre",
        call_id="c",
        started_at=datetime(2024, 6, 27, 7, tzinfo=UTC),
        duration_seconds=10.0,
        outcome=Outcome.REACHED,
        reason=None,
        grade=Grade.GOOD,
        media=(media,) if measured else (),
    )
    echo = EchoSummary(500, 500 - lost, lost, 0, 0, 0, 0, 0.0, 0.0, None, burst_ratio=burst)
    stream = StreamReport(500, 0, None, echo, None, (), False, None, 0, 1, None, ())  # noqa: FBT003 - no source was odd
    return Finished(result, Evidence("x", site, ()), stream if burst else None)


def test_a_site_that_was_not_called_has_none() -> None:
    assert LossHistory().of(SITE) == ()


def test_the_last_three_calls_are_kept_the_oldest_first() -> None:
    history = LossHistory()
    for lost in (1, 2, 3, 4):
        history.note(call(lost))
    assert [count.lost for count in history.of(SITE)] == [2, 3, 4]
    assert CALLS_KEPT == 3


def test_each_count_carries_its_direction_and_its_bursts() -> None:
    history = LossHistory()
    history.note(call(7, burst=2.5))
    assert history.of(SITE) == (LossCount("audio", "round_trip", 7, 500, 2.5),)


def test_sites_are_kept_apart() -> None:
    history = LossHistory()
    history.note(call(1))
    history.note(call(2, site="46002"))
    assert [count.lost for count in history.of("46002")] == [2]


def changed(finished: Finished, **facts: object) -> Finished:
    return replace(finished, result=replace(finished.result, **facts))


@pytest.mark.parametrize(
    "finished",
    [
        call(9, site=None),
        call(9, measured=False),
        changed(call(9), outcome=Outcome.NO_MEDIA),
        changed(call(9), grade=Grade.INVALID),
        changed(call(9), reason="hung_up", grade=Grade.DEGRADED),
    ],
    ids=["not of a site", "not measured", "not reached", "our fault", "cut off: its last packets count as lost"],
)
def test_a_call_that_tells_nothing_of_the_line_is_left_out(finished: Finished) -> None:
    history = LossHistory()
    history.note(finished)
    assert history.of(SITE) == ()


def test_video_s_bursts_are_its_own() -> None:
    """Audio lost single packets, video whole frames."""
    finished = call(7, burst=1.5)
    audio = finished.result.media[0]
    bursty = EchoSummary(900, 880, 20, 0, 0, 0, 0, 0.0, 0.0, None, burst_ratio=4.0)
    video = replace(finished.stream, echo=bursty)
    stream = MediaResult("video", "H264", MediaMode.ECHO, None, None, RoundTrip(900, 880, 20, 20 / 900), None)
    history = LossHistory()
    history.note(replace(changed(finished, media=(audio, stream)), video=video))
    assert history.of(SITE) == (
        LossCount("audio", "round_trip", 7, 500, 1.5),
        LossCount("video", "round_trip", 20, 900, 4.0),
    )

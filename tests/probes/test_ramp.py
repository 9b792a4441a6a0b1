"""Ramps in figures alone: which rate is next, where loss surely begins, what is clean below."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.domain import (
    Evidence,
    Grade,
    Inbound,
    MediaMode,
    MediaResult,
    Outbound,
    Outcome,
    ProbeResult,
    RoundTrip,
    Target,
)
from bridge_monitor.probes.ramp import CALLS_A_RATE, Ramp, Step, rising
from bridge_monitor.probes.shapes import Finished
from bridge_monitor.rtp.report import EchoSummary, StreamReport

RATES = (500_000, 1_000_000, 1_500_000)
AUDIO = MediaResult("audio", "PCMU", MediaMode.ECHO, None, None, RoundTrip(500, 500, 0, 0.0), None)


def finished(lost: int = 0, total: int = 1000, *, burst: float = 1.0, video: bool = True, **facts: object) -> Finished:
    """Return a call whose video came back but for so many packets."""
    stream = MediaResult("video", "H264", MediaMode.ECHO, None, None, RoundTrip(total, total - lost, lost, 0.0), None)
    result = ProbeResult(
        id="x",
        target=Target("46001", "sip:room@127.0.0.1"),
        kind="sip",
        profile="room",
        vantage="centre",
        call_id="c",
        started_at=datetime(2024, 6, 27, 7, tzinfo=UTC),
        duration_seconds=10.0,
        outcome=Outcome.REACHED,
        reason=None,
        grade=Grade.GOOD,
        media=(AUDIO, stream) if video else (AUDIO,),
    )
    echo = EchoSummary(total, total - lost, lost, 0, 0, 0, 0, 0.0, 0.0, None, burst_ratio=burst)
    report = StreamReport(total, 0, None, echo, None, (), False, None, 0, 1, None, ())  # noqa: FBT003 - no source was odd
    return Finished(replace(result, **facts), Evidence("x", "46001", ()), None, (), report if video else None)  # type: ignore[arg-type]


def climb(*calls: Finished, rates: tuple[int, ...] = RATES) -> tuple[Ramp, list[int]]:
    """Return a ramp after these calls, and the rates they were placed at."""
    ramp, at = Ramp(rates, 0.01), []
    for call in calls:
        rate = ramp.next_rate()
        assert rate is not None
        at.append(rate)
        ramp.note(rate, call)
    return ramp, at


class TestOrder:
    def test_it_rises_while_nothing_is_lost_and_ends_with_the_last_rate(self) -> None:
        ramp, at = climb(finished(), finished(), finished())
        assert (at, ramp.next_rate()) == (list(RATES), None)
        assert ramp.begins() == {"round_trip": None}
        assert ramp.clean() == {"round_trip": 1_500_000}

    def test_a_picture_that_stays_away_at_a_higher_rate_is_told_with_that_rate(self) -> None:
        """That is no room without video: it had one below."""
        ramp, _ = climb(finished(), finished(video=False))
        assert (ramp.next_rate(), ramp.picture_gone_at()) == (None, 1_000_000)
        assert climb(finished(video=False))[0].picture_gone_at() is None
        assert climb(finished(), finished())[0].picture_gone_at() is None
        assert climb(finished(), finished(outcome=Outcome.TIMEOUT, video=False))[0].picture_gone_at() is None

    def test_it_ends_where_loss_has_surely_begun(self) -> None:
        ramp, at = climb(finished(), finished(150))
        assert (at, ramp.next_rate()) == ([500_000, 1_000_000], None)
        assert ramp.begins() == {"round_trip": 1_000_000}
        assert ramp.clean() == {"round_trip": 500_000}

    def test_loss_in_doubt_is_counted_over_another_call_before_it_rises(self) -> None:
        """12 of 1,000 are above 1 %, but not beyond doubt; neither are 24 of 2,000: on it goes, and not as clean."""
        ramp, at = climb(finished(12), finished(12), finished())
        assert at == [500_000, 500_000, 1_000_000]
        assert [len(step.results) for step in ramp.steps] == [CALLS_A_RATE, 1]
        assert ramp.clean() == {"round_trip": 1_000_000}

    def test_two_calls_together_may_prove_what_one_left_open(self) -> None:
        ramp, _ = climb(finished(14), finished(30))
        assert ramp.next_rate() is None
        assert ramp.lossy(ramp.steps[0]) == ("round_trip",)
        assert ramp.clean() == {"round_trip": None}

    def test_an_invalid_measurement_is_tried_again_once_and_counts_for_nothing(self) -> None:
        spoilt = finished(500, invalid=("send_late",))
        ramp, at = climb(spoilt, finished())
        assert at == [500_000, 500_000]
        assert ramp.steps[0].measured()["round_trip"].lost == 0
        assert ramp.next_rate() == 1_000_000
        ramp, _ = climb(spoilt, spoilt)
        assert (ramp.next_rate(), ramp.begins()) == (None, {})

    @pytest.mark.parametrize(
        "call",
        [finished(video=False), finished(outcome=Outcome.BUSY, media=()), finished(outcome=Outcome.CANCELLED)],
        ids=["no video", "busy", "broken off"],
    )
    def test_a_call_that_measures_no_video_ends_it(self, call: Finished) -> None:
        ramp, _ = climb(call)
        assert (ramp.next_rate(), ramp.begins(), ramp.clean()) == (None, {}, {})


class TestFigures:
    def test_bursts_make_loss_less_certain(self) -> None:
        steady, bursty = Step(500_000), Step(500_000)
        steady.note(finished(20))
        bursty.note(finished(20, burst=10.0))
        bounds = [step.measured()["round_trip"].lower_bound for step in (steady, bursty)]
        assert bounds[0] > bounds[1] > 0
        assert bursty.measured()["round_trip"].ratio == 0.02

    def test_each_direction_has_its_own_beginning(self) -> None:
        """Reports tell the ways apart: the way out is lossy a step before the way in."""

        def reported(out: int, into: int) -> Finished:
            stream = MediaResult(
                "video", "H264", MediaMode.RTCP, Inbound(1000, 1000 - into, into, into / 1000, 0, 0, None, None),
                Outbound(1000, 1000, out, out / 1000, None), None, None,
            )  # fmt: skip
            call = finished()
            return replace(call, result=replace(call.result, media=(AUDIO, stream)))

        ramp, _ = climb(reported(0, 0), reported(200, 3))
        assert ramp.begins() == {"outbound": 1_000_000, "inbound": None}
        assert ramp.clean() == {"outbound": 500_000, "inbound": 1_000_000}

    def test_the_plain_form_is_json_with_every_call(self) -> None:
        ramp, _ = climb(finished(), finished(150))
        plain = json.loads(json.dumps(ramp.to_dict()))
        assert plain["schema"] == "bridge_monitor.ramp/1"
        assert plain["loss_begins_bps"] == {"round_trip": 1_000_000}
        first, second = plain["steps"]
        assert (first["surely_lossy"], second["surely_lossy"]) == ([], ["round_trip"])
        assert second["loss"]["round_trip"]["packets_lost"] == 150
        assert 0.12 < second["loss"]["round_trip"]["loss_ratio_lower_bound"] < 0.15
        assert second["results"][0]["target"]["site"] == "46001"


@given(st.integers(64_000, 14_000_000), st.integers(0, 14_000_000), st.integers(1, 5_000_000))
def test_rates_rise_from_first_to_last(low: int, span: int, step: int) -> None:
    """However the three fall, no rate twice, and none but the last nearer than a step."""
    step = max(step, span // 90 + 1)
    rates = rising(low, low + span, step)
    assert (rates[0], rates[-1]) == (low, low + span)
    gaps = [high - before for before, high in itertools.pairwise(rates)]
    assert gaps[:-1] == [step] * len(gaps[:-1])
    assert all(0 < gap <= step for gap in gaps)

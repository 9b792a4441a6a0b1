from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.domain import (
    Advisory,
    Grade,
    Inbound,
    MediaMode,
    MediaResult,
    Outbound,
    Outcome,
    ProbeResult,
    RoundTrip,
    Rtt,
    RttSource,
    SipStatus,
    Target,
    TlsResult,
    TriedHop,
)
from bridge_monitor.domain.results import SCHEMA

counts = st.integers(0, 2**32)
seconds = st.floats(0, 1e4, allow_nan=False)
ratios = st.none() | st.floats(0, 1, allow_nan=False)
some_seconds = st.none() | seconds
words = st.text(max_size=12)

media = st.builds(
    MediaResult,
    kind=st.sampled_from(["audio", "video"]),
    codec=st.sampled_from(["PCMU", "PCMA"]),
    mode=st.none() | st.sampled_from(MediaMode),
    inbound=st.none()
    | st.builds(Inbound, counts, counts, st.none() | counts, ratios, counts, counts, some_seconds, some_seconds),
    outbound=st.none() | st.builds(Outbound, counts, st.none() | counts, st.none() | counts, ratios, some_seconds),
    round_trip=st.none() | st.builds(RoundTrip, counts, counts, counts, ratios),
    rtt_seconds=st.none()
    | st.builds(Rtt, seconds, seconds, seconds, seconds, st.integers(1, 10**6), st.sampled_from(RttSource)),
    r_factor=st.none() | st.floats(0, 100),
    mos=st.none() | st.floats(1, 5),
    unexpected_source=st.booleans(),
    audio_level_dbov=st.none() | st.floats(-127, 0),
    frames_expected=st.none() | st.integers(0, 10_000),
    frames_lost=st.none() | st.integers(0, 10_000),
    frame_rate=st.none() | st.floats(0, 120),
    audio_active_ratio=ratios,
)

moments = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001 (hypothesis wants naive bounds)
    datetime(2040, 1, 1),  # noqa: DTZ001 (as above)
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=7))]),
)

results = st.builds(
    ProbeResult,
    id=words,
    target=st.builds(Target, st.none() | words, words),
    kind=st.sampled_from(["sip", "sip-options"]),
    profile=words,
    vantage=words,
    call_id=st.none() | words,
    started_at=moments.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)),
    duration_seconds=seconds,
    outcome=st.sampled_from(Outcome),
    reason=st.none() | words,
    grade=st.sampled_from(Grade),
    phases=st.dictionaries(st.sampled_from(["resolve", "trying", "ringing", "answer", "bye"]), some_seconds),
    sip=st.none() | st.builds(SipStatus, st.integers(100, 699), words),
    media=st.lists(media, max_size=2).map(tuple),
    invalid=st.lists(words, max_size=2).map(tuple),
    advisories=st.lists(st.sampled_from(Advisory) | words, max_size=2).map(tuple),
    hops=st.lists(st.builds(TriedHop, words, words, st.integers(1, 65535), st.none() | words), max_size=2).map(tuple),
)


@pytest.fixture
def result() -> ProbeResult:
    """A good call with an echo."""
    stream = MediaResult(
        kind="audio",
        codec="PCMA",
        mode=MediaMode.ECHO,
        inbound=Inbound(500, 500, None, None, 0, 0, 0.0004, 0.0011),
        outbound=None,
        round_trip=RoundTrip(500, 499, 1, 0.002),
        rtt_seconds=Rtt(0.011, 0.012, 0.014, 0.02, 499, RttSource.ECHO),
        r_factor=92.1,
        mos=4.39,
    )
    return ProbeResult(
        id="0190",
        target=Target("00123", "sip:kiemtra@192.0.2.7"),
        kind="sip",
        profile="room",
        vantage="centre",
        call_id="abc@192.0.2.1",
        started_at=datetime(2024, 6, 27, 7, 0, 0, 123456, tzinfo=UTC),
        duration_seconds=12.5,
        outcome=Outcome.REACHED,
        reason=None,
        grade=Grade.GOOD,
        phases={"trying": 0.01, "bye": None},
        sip=SipStatus(200, "OK"),
        media=(stream,),
    )


@given(results)
def test_a_result_survives_its_plain_form(result: ProbeResult) -> None:
    """What comes back from JSON is the same result; times are kept to the millisecond, as moments."""
    plain = json.loads(json.dumps(result.to_dict()))
    assert ProbeResult.from_dict(plain) == result
    assert ProbeResult.from_dict(plain).to_dict() == result.to_dict()


@given(results)
def test_the_plain_form_is_made_of_json_types_only(result: ProbeResult) -> None:
    def walk(value: Any) -> None:
        if type(value) is dict:
            assert all(type(key) is str for key in value)
            value = list(value.values())
        if type(value) is list:
            for entry in value:
                walk(entry)
        else:
            assert value is None or type(value) in {str, int, float, bool}, value

    walk(result.to_dict())


def test_the_plain_form_has_the_documented_keys(result: ProbeResult) -> None:
    """The keys that the README promises; the schema only ever gains some."""
    plain = result.to_dict()
    assert plain["schema"] == SCHEMA == "bridge_monitor.probe/1"
    assert set(plain) >= {
        "target",
        "kind",
        "started_at",
        "outcome",
        "reason",
        "grade",
        "phases",
        "sip",
        "media",
        "invalid",
        "advisories",
        "hops",
    }
    assert plain["started_at"] == "2024-06-27T07:00:00.123Z"
    assert plain["target"] == {"site": "00123", "uri": "sip:kiemtra@192.0.2.7"}
    assert plain["sip"] == {"status": 200, "reason": "OK"}
    (stream,) = plain["media"]
    assert (stream["kind"], stream["codec"], stream["mode"]) == ("audio", "PCMA", "echo")
    assert set(stream["inbound"]) >= {
        "packets_expected",
        "packets_received",
        "packets_lost",
        "loss_ratio",
        "duplicates",
        "reordered",
        "jitter_seconds",
        "jitter_max_seconds",
    }
    assert stream["outbound"] is None
    assert set(stream["round_trip"]) == {"packets_sent", "packets_received", "packets_lost", "loss_ratio"}
    assert set(stream["rtt_seconds"]) == {"min", "median", "p95", "max", "samples", "source"}
    assert stream["rtt_seconds"]["source"] == "echo"


def test_keys_of_later_versions_are_passed_over_and_those_of_earlier_ones_suffice(result: ProbeResult) -> None:
    plain = result.to_dict()
    plain["weather"] = "fine"
    plain["target"]["floor"] = 3
    plain["sip"]["server"] = "codec/1"
    plain["media"][0]["inbound"]["bursts"] = 0
    plain["media"][0]["rtt_seconds"]["p99"] = 0.1
    plain["media"][0]["video"] = None
    for key in ("unexpected_source", "audio_level_dbov", "frames_expected", "frames_lost", "frame_rate"):
        del plain["media"][0][key]
    del plain["media"][0]["audio_active_ratio"], plain["advisories"], plain["hops"]
    moment = result.started_at.replace(microsecond=123000)
    assert ProbeResult.from_dict(plain) == replace(result, started_at=moment)


def test_an_advisory_stands_in_the_plain_form_by_its_name(result: ProbeResult) -> None:
    """One of a later version is kept as it is: it changes nothing of outcome or grade."""
    plain = replace(result, advisories=(Advisory.SILENT_ROOM,)).to_dict()
    assert plain["advisories"] == ["silent_room"]
    plain["advisories"].append("lights_out")
    assert ProbeResult.from_dict(plain).advisories == (Advisory.SILENT_ROOM, "lights_out")


@pytest.mark.parametrize("expires", [datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC), None])
def test_what_tls_agreed_on_stands_in_the_plain_form(result: ProbeResult, expires: datetime | None) -> None:
    assert result.to_dict()["tls"] is None
    secure = replace(result, tls=TlsResult("TLSv1.3", "pin", expires))
    plain = json.loads(json.dumps(secure.to_dict()))
    written = None if expires is None else "2026-02-03T04:05:06.000Z"
    assert plain["tls"] == {"version": "TLSv1.3", "verified": "pin", "expires_at": written}
    assert ProbeResult.from_dict(plain).tls == secure.tls
    del plain["tls"]
    assert ProbeResult.from_dict(plain).tls is None


def test_another_schema_is_refused(result: ProbeResult) -> None:
    with pytest.raises(ValueError, match=r"schema 'bridge_monitor\.probe/2' is not 'bridge_monitor\.probe/1'"):
        ProbeResult.from_dict(result.to_dict() | {"schema": "bridge_monitor.probe/2"})


@pytest.mark.parametrize("key", ["outcome", "grade"])
def test_an_unknown_outcome_or_grade_is_refused(result: ProbeResult, key: str) -> None:
    with pytest.raises(ValueError, match="splendid"):
        ProbeResult.from_dict(result.to_dict() | {key: "splendid"})


def test_a_missing_key_is_refused(result: ProbeResult) -> None:
    plain = result.to_dict()
    del plain["grade"]
    with pytest.raises(KeyError, match="grade"):
        ProbeResult.from_dict(plain)


def test_a_result_can_not_be_changed(result: ProbeResult) -> None:
    with pytest.raises(AttributeError):
        result.grade = Grade.FAILED  # type: ignore[misc]


def test_a_results_phases_are_its_own(result: ProbeResult) -> None:
    """The plain form may be changed by who got it; the result stays."""
    result.to_dict()["phases"]["bye"] = 1.0
    assert result.phases["bye"] is None

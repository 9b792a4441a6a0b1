from __future__ import annotations

from dataclasses import replace

import pytest

from bridge_monitor.probes.profile import (
    CALLABLE_SCHEMES,
    CARD_PATIENCE_SECONDS,
    REPORT_WAIT_SECONDS,
    TEARDOWN_SECONDS,
    Profile,
    Route,
)
from bridge_monitor.quality import Thresholds


def test_a_tier_without_limits_of_its_own_has_the_profiles_default() -> None:
    commune, default = Thresholds(loss_degraded=0.02), Thresholds(rtt_degraded_seconds=0.1)
    profile = Profile("room", thresholds={"default": default, "commune": commune})
    assert profile.thresholds_for("commune") is commune
    assert profile.thresholds_for("district") is default


def test_a_profile_without_any_limits_has_the_built_in_ones() -> None:
    assert Profile("room").thresholds_for("commune") == Thresholds()
    assert Profile("room", thresholds={}).thresholds_for("commune") == Thresholds()


def test_large_packets_lengthen_the_stream_by_what_they_stand_for() -> None:
    assert Profile("room", duration_seconds=10.0, large_packets=5).stream_seconds == pytest.approx(10.8)


def test_the_longest_call_waits_for_the_answer_the_report_and_the_bye() -> None:
    profile = Profile("room", duration_seconds=20.0, answer_timeout_seconds=8.0)
    assert profile.longest_call_seconds == pytest.approx(8 + 20 + REPORT_WAIT_SECONDS + TEARDOWN_SECONDS)
    assert 20 < profile.usual_call_seconds < profile.longest_call_seconds


def test_a_call_with_video_may_have_to_wait_for_its_card_first() -> None:
    plain = Profile("room", duration_seconds=20.0)
    assert replace(plain, video_bps=1_000_000).longest_call_seconds == pytest.approx(
        plain.longest_call_seconds + CARD_PATIENCE_SECONDS
    )


def test_a_short_call_that_is_answered_late_is_not_up_longer_than_said() -> None:
    """RFC 3261 §9.1: a cancelled INVITE may be answered for 64·T1; the answer is acknowledged and ended."""
    profile = Profile("short", duration_seconds=1.0, answer_timeout_seconds=8.0)
    assert profile.longest_call_seconds == pytest.approx(8 + 32 + TEARDOWN_SECONDS)


def test_options_carry_no_media() -> None:
    profile = Profile("alive", kind="sip-options", answer_timeout_seconds=5.0, large_packets=5)
    assert (profile.stream_seconds, profile.longest_call_seconds) == (0.0, 5.0)
    assert 0 < profile.bandwidth_bps < Profile("room").bandwidth_bps


def test_g711_takes_its_payload_and_forty_bytes_of_headers_fifty_times_a_second() -> None:
    assert Profile("room").bandwidth_bps == (160 + 40) * 8 * 50


def test_video_counts_with_its_fullest_second_so_that_caps_hold_on_the_wire() -> None:
    profile = Profile("video-1m", video_bps=1_000_000)
    assert profile.has_video
    assert profile.bandwidth_bps == pytest.approx(80_000 + 1_100_000)


def test_neither_audio_profiles_nor_options_have_video() -> None:
    assert not Profile("room").has_video
    assert not Profile("alive", kind="sip-options", video_bps=1_000_000).has_video


def test_every_kind_calls_sip_and_sips_in_this_version() -> None:
    assert dict(CALLABLE_SCHEMES) == {"sip": {"sip", "sips"}, "sip-options": {"sip", "sips"}}


def test_a_route_without_overrides_keeps_everything() -> None:
    assert Route() == Route(proxy=None, dscp=None, source=None)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bridge_monitor.config import Configuration, Listen
from bridge_monitor.diagnosis import Confirmation
from bridge_monitor.errors import ConfigError
from bridge_monitor.net.dns_client import DnsSettings
from bridge_monitor.net.engine.video_plan import HIGHEST_BITRATE, HIGHEST_FRAME_RATE, LOWEST_BITRATE
from bridge_monitor.probes import Profile, Route
from bridge_monitor.probes.reference import USUAL_PROFILE, Reference
from bridge_monitor.quality import Thresholds
from bridge_monitor.schedule import Caps, CapSet, Intervals

Spoil = Callable[[str, str, str], None]
Find = Callable[[], list[str]]
Good = Callable[[], Configuration]

LEAST = "tiers: [central, province, district, commune]\ndefault_profile: room\nprobes: {room: {}, short: {}}\n"


def brief(problems: Find) -> list[str]:
    return [problem.partition(";")[0] for problem in problems()]


def test_what_is_left_out_has_the_rooms_own_defaults(folder: Path, good: Good) -> None:
    (folder / "bridge_monitor.yaml").write_text(LEAST, "utf-8")
    configuration = good()
    assert configuration.profiles["room"] == Profile("room")
    assert configuration.caps == CapSet()
    assert configuration.intervals == Intervals()
    assert configuration.confirmation == Confirmation()
    assert configuration.listen == Listen()
    assert (configuration.provinces, configuration.carriers, configuration.vantage) == ({}, {}, "centre")


def test_the_shipped_defaults_are_shy(folder: Path, good: Good) -> None:
    (folder / "bridge_monitor.yaml").write_text(LEAST, "utf-8")
    configuration = good()
    assert configuration.caps.total == Caps(20.0, 200)
    assert configuration.caps.per_province.bandwidth_bps == 20e6
    assert configuration.intervals.min_between_calls == 300
    assert configuration.listen.http_host == "127.0.0.1"


def test_a_profile_with_everything_said(folder: Path, good: Good) -> None:
    text = LEAST.replace(
        "room: {}",
        "room: {kind: sip-options, duration: 4 s, answer_timeout: 8 s,"
        " media: {codecs: [PCMA, PCMA], large_packets: 6, tone: yes, video: 1.5 Mbit/s, frame_rate: 30},"
        " dscp: {audio: AF41, video: AF42, signalling: 0},"
        " thresholds: {default: {rtt_degraded: 100 ms}, commune: {loss_degraded: 2 %, setup_degraded: 9 s}}}",
    )
    (folder / "bridge_monitor.yaml").write_text(text, "utf-8")
    base = Thresholds(rtt_degraded_seconds=0.1)
    commune = Thresholds(rtt_degraded_seconds=0.1, loss_degraded=0.02, setup_degraded_seconds=9.0)
    profile = good().profiles["room"]
    assert profile == Profile(
        name="room",
        kind="sip-options",
        duration_seconds=4.0,
        answer_timeout_seconds=8.0,
        codecs=("PCMA",),
        large_packets=6,
        tone=True,
        video_bps=1_500_000,
        video_fps=30,
        dscp_audio=34,
        dscp_video=36,
        dscp_signalling=0,
        thresholds={"default": base, "commune": commune},
    )


def test_overrides_of_caps_keep_what_they_do_not_say(folder: Path, good: Good) -> None:
    text = LEAST + (
        "caps: {per_province: {calls_at_once: 40}, per_carrier: {calls_per_second: 15}}\n"
        "provinces: {01: {caps: {calls_per_second: 2}, source: 192.0.2.10}}\n"
        "carriers: {VNPT: {caps: {bandwidth: 1 Gbit/s}}, Viettel: {dscp: AF41, proxy: sip:192.0.2.9}}\n"
    )
    (folder / "bridge_monitor.yaml").write_text(text, "utf-8")
    configuration = good()
    assert configuration.caps.of_province("48") == Caps(None, 40, 20e6)
    assert configuration.caps.of_province("01") == Caps(2.0, 40, 20e6)
    assert configuration.caps.of_carrier("VNPT") == Caps(15.0, None, 1e9)
    assert configuration.caps.of_carrier("Viettel") == Caps(15.0)
    assert configuration.provinces == {"01": Route(source="192.0.2.10")}
    assert configuration.carriers == {"VNPT": Route(), "Viettel": Route(proxy="sip:192.0.2.9", dscp=34)}


def test_intervals_and_confirmation(folder: Path, good: Good) -> None:
    text = LEAST + (
        "intervals: {default: 20 min, tiers: {commune: 1 h}, retry: 30 s, retries: 0, min_between_calls: 2 min}\n"
        "confirmation: {bad_of: 3, window: 5, good_in_row: 4}\nvantage: hà-nội\n"
    )
    (folder / "bridge_monitor.yaml").write_text(text, "utf-8")
    configuration = good()
    assert configuration.intervals == Intervals({"commune": 3600.0}, 1200.0, 30.0, 0, 120.0)
    assert configuration.confirmation == Confirmation(3, 5, 4)
    assert configuration.vantage == "hà-nội"


def test_the_state_folder_is_found_from_the_files(folder: Path, good: Good) -> None:
    listen = "listen: {http: '[::1]:80', sip: 192.0.2.1:5060, rtp_ports: 20000-29999, state_dir: state}\n"
    (folder / "bridge_monitor.yaml").write_text(LEAST + listen, "utf-8")
    assert good().listen == Listen("::1", 80, "192.0.2.1", 5060, (20000, 29999), folder / "state")
    (folder / "bridge_monitor.yaml").write_text(LEAST + "listen: {state_dir: /var/lib/x}\n", "utf-8")
    assert good().listen.state_dir == Path("/var/lib/x")


def test_the_default_profile_must_exist(spoil: Spoil, problems: Find) -> None:
    spoil("bridge_monitor.yaml", "default_profile: room", "default_profile: rom")
    assert problems() == [
        (
            "bridge_monitor.yaml:2: profile 'rom' is not configured; did you mean 'room'? Else write one of: "
            "room, short (probes: in bridge_monitor.yaml)"
        )
    ]


def test_no_default_profile_is_needed_where_every_site_names_one(folder: Path, spoil: Spoil, problems: Find) -> None:
    spoil("bridge_monitor.yaml", "default_profile: room\n", "")
    sites = (folder / "sites.csv").read_text("utf-8")
    for call in ("sip:01@192.0.2.1:5060,", "sip:001@192.0.2.2,", "transport=udp,"):
        sites = sites.replace(call, call + "room")
    (folder / "sites.csv").write_text(sites, "utf-8")
    assert problems() == []


def test_a_profile_with_problems_is_still_known_to_the_sites(spoil: Spoil, problems: Find) -> None:
    spoil("bridge_monitor.yaml", "duration: 4 s", "duration: 4")
    assert len(problems()) == 1
    spoil("bridge_monitor.yaml", "  short:\n    duration: 4", "  short: 4")
    assert brief(problems) == ["bridge_monitor.yaml:11: 'probes.short' must hold keys"]


def test_missing_keys_give_no_problems_in_other_files(folder: Path, problems: Find) -> None:
    (folder / "bridge_monitor.yaml").write_text("default_profile: room\n", "utf-8")
    assert brief(problems) == [
        "bridge_monitor.yaml:1: key 'probes' is missing",
        "bridge_monitor.yaml:1: key 'tiers' is missing",
    ]


def test_one_tier_is_too_few(spoil: Spoil, problems: Find) -> None:
    spoil("bridge_monitor.yaml", "[central, province, district, commune]", "[central]")
    found = brief(problems)
    assert found[0] == "bridge_monitor.yaml:1: tiers names fewer than two tiers"
    assert not any("no province" in problem for problem in found)


def test_every_order_of_limits_is_checked(spoil: Spoil, problems: Find) -> None:
    spoil("bridge_monitor.yaml", "        loss_degraded: 1 %", "        {loss_degraded: 9 %, rtt_failed: 200 ms}")
    assert brief(problems) == [
        "bridge_monitor.yaml:7: 'probes.room.thresholds.default': loss_degraded (0.09) is above loss_failed (0.05)",
        "bridge_monitor.yaml:7: 'probes.room.thresholds.default': rtt_degraded (0.3) is above rtt_failed (0.2)",
    ]


def test_limits_of_unknown_tiers_are_named_with_the_tiers(spoil: Spoil, problems: Find) -> None:
    spoil("bridge_monitor.yaml", "      commune:\n", "      comune:\n")
    assert problems() == [
        (
            "bridge_monitor.yaml:9: 'probes.room.thresholds.comune' names no tier; did you mean 'commune'? Else use "
            "one of: default, central, province, district, commune"
        )
    ]


def test_both_counts_are_checked_against_the_window(spoil: Spoil, problems: Find) -> None:
    spoil("bridge_monitor.yaml", "window: 3", "window: 1\n  good_in_row: 1")
    assert brief(problems) == ["bridge_monitor.yaml:27: confirmation.bad_of is 2, more than window (1)"]


def test_numbers_out_of_range_are_errors_not_tracebacks(spoil: Spoil, problems: Find) -> None:
    spoil(
        "bridge_monitor.yaml",
        "calls_per_second: 20",
        "calls_per_second: -1\n    calls_at_once: 0\n    bandwidth: 0 bit/s",
    )
    spoil("bridge_monitor.yaml", "province: 10 min", "province: 0 s")
    spoil("bridge_monitor.yaml", "loss_degraded: 2 %", "loss_degraded: 0 %")
    assert brief(problems) == [
        "bridge_monitor.yaml:10: 'probes.room.thresholds.commune.loss_degraded' is '0 %'",
        "bridge_monitor.yaml:15: 'caps.total.calls_per_second' is '-1'",
        "bridge_monitor.yaml:16: 'caps.total.calls_at_once' is '0'",
        "bridge_monitor.yaml:17: 'caps.total.bandwidth' is '0 bit/s'",
        "bridge_monitor.yaml:20: 'intervals.tiers.province' is '0 s'",
    ]


class TestDns:
    def test_without_a_word_the_system_s_servers_are_asked(self, good: Good) -> None:
        assert good().dns == DnsSettings((), 5.0)

    def test_servers_and_time_limit_can_be_said(self, folder: Path, good: Good) -> None:
        text = LEAST + 'dns: {servers: [192.0.2.53, "[2001:db8::53]:5353"], timeout: 2500 ms}\n'
        (folder / "bridge_monitor.yaml").write_text(text, "utf-8")
        assert good().dns == DnsSettings((("192.0.2.53", 53), ("2001:db8::53", 5353)), 2.5)

    def test_a_name_costs_no_more_than_five_seconds(self, folder: Path, problems: Find) -> None:
        (folder / "bridge_monitor.yaml").write_text(LEAST + "dns: {timeout: 6 s}\n", "utf-8")
        (problem,) = problems()
        assert "'dns.timeout' is '6 s'" in problem


class TestReference:
    def test_without_a_word_there_is_none(self, good: Good) -> None:
        assert good().reference == Reference()
        assert good().reference.calls_at_once == 0

    def test_responders_have_the_built_in_profile_and_turn_with_each_call(self, folder: Path, good: Good) -> None:
        text = LEAST + "reference: {responders: {hanoi: sip:echo@203.0.113.7, danang: sip:echo@203.0.113.99:5070}}\n"
        (folder / "bridge_monitor.yaml").write_text(text, "utf-8")
        reference = good().reference
        assert dict(reference.responders) == {"hanoi": "sip:echo@203.0.113.7", "danang": "sip:echo@203.0.113.99:5070"}
        assert (reference.profile, reference.bad_after, reference.good_after) == (USUAL_PROFILE, 1, 1)
        assert (reference.calls_at_once, reference.bandwidth_bps) == (4, 320_000.0)
        site = reference.site_of("hanoi")
        assert (site.target.site, site.target.uri) == (None, "sip:echo@203.0.113.7")

    def test_everything_can_be_said(self, folder: Path, good: Good) -> None:
        text = LEAST + "reference: {responders: {a: sip:192.0.2.8}, profile: short, bad_after: 2, good_after: 3}\n"
        (folder / "bridge_monitor.yaml").write_text(text, "utf-8")
        assert good().reference == Reference({"a": "sip:192.0.2.8"}, Profile("short"), 2, 3)

    def test_an_unknown_profile_and_a_missing_responder_are_told_with_their_lines(
        self, folder: Path, problems: Find
    ) -> None:
        (folder / "bridge_monitor.yaml").write_text(
            LEAST + "reference:\n  responders: {a: sip:192.0.2.8}\n  profile: shrt\n", "utf-8"
        )
        assert brief(problems) == ["bridge_monitor.yaml:6: profile 'shrt' is not configured"]
        (folder / "bridge_monitor.yaml").write_text(LEAST + "reference:\n  bad_after: 2\n", "utf-8")
        assert brief(problems) == ["bridge_monitor.yaml:4: key 'reference.responders' is missing"]
        (folder / "bridge_monitor.yaml").write_text(LEAST + "reference:\n  responders: {}\n", "utf-8")
        assert brief(problems)[0].startswith("bridge_monitor.yaml:5: ")


@pytest.mark.parametrize("rate", [LOWEST_BITRATE, HIGHEST_BITRATE])
def test_video_may_have_the_rates_that_the_media_engine_can_send(folder: Path, good: Good, rate: int) -> None:
    """The bounds stand here as text and there as numbers: they must be the same."""
    for bps, fits in ((rate, True), (rate - 1 if rate == LOWEST_BITRATE else rate + 1, False)):
        text = LEAST.replace("room: {}", f"room: {{media: {{video: {bps} bit/s}}}}")
        (folder / "bridge_monitor.yaml").write_text(text, "utf-8")
        if fits:
            assert good().profiles["room"].video_bps == bps
        else:
            with pytest.raises(ConfigError, match="must be"):
                good()


def test_video_may_have_the_pace_that_the_media_engine_can_keep(folder: Path, good: Good) -> None:
    for pace, fits in ((HIGHEST_FRAME_RATE, True), (HIGHEST_FRAME_RATE + 1, False)):
        text = LEAST.replace("room: {}", f"room: {{media: {{video: 1 Mbit/s, frame_rate: {pace}}}}}")
        (folder / "bridge_monitor.yaml").write_text(text, "utf-8")
        if fits:
            assert good().profiles["room"].video_fps == pace
        else:
            with pytest.raises(ConfigError, match="must be"):
                good()

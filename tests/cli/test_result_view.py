from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bridge_monitor.cli.console import output
from bridge_monitor.cli.result_view import ladder, milliseconds, percent, printable, result_panel
from bridge_monitor.domain import (
    Advisory,
    Evidence,
    Grade,
    Inbound,
    LadderStep,
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
from bridge_monitor.domain.situations import SITUATIONS
from bridge_monitor.domain.wording import Lang, outcome_text
from bridge_monitor.probes.story import PHASES

Draw = Callable[[object], str]

AUDIO = MediaResult(
    kind="audio",
    codec="PCMA",
    mode=MediaMode.ECHO,
    inbound=Inbound(500, 490, None, None, 1, 2, 0.0012, 0.004),
    outbound=Outbound(500, None, None, None, None),
    round_trip=RoundTrip(500, 490, 10, 0.02),
    rtt_seconds=Rtt(0.01, 0.0123, 0.02, 0.03, 490, RttSource.ECHO),
    r_factor=91.2,
    mos=4.39,
)
RESULT = ProbeResult(
    id="0",
    target=Target("01001", "sip:room@192.0.2.7"),
    kind="sip",
    profile="room",
    vantage="centre",
    call_id="c",
    started_at=datetime(2024, 6, 27, 7, tzinfo=UTC),
    duration_seconds=12.0,
    outcome=Outcome.REACHED,
    reason="loss",
    grade=Grade.DEGRADED,
    phases={**dict.fromkeys(PHASES), "resolve": 0.001, "answer": 12.5},
    sip=SipStatus(200, "OK"),
    media=(AUDIO,),
)


@pytest.fixture
def draw(capsys: pytest.CaptureFixture[str]) -> Draw:
    """Return what a person would read."""

    def run(renderable: object) -> str:
        output().print(renderable)
        return capsys.readouterr().out

    return run


class TestPanel:
    def test_it_says_what_was_found_whose_it_is_and_what_to_do(self, draw: Draw) -> None:
        shown = draw(result_panel(RESULT, "en", "Phòng [A]"))
        for told in ("01001 · Phòng [A] · sip:room@192.0.2.7", "DEGRADED", "the carrier", "200 OK", "PCMA (echo)"):
            assert told in shown

    def test_the_addresses_of_a_name_are_shown_and_why_each_was_left(self, draw: Draw) -> None:
        """A numeric host has none to show."""
        hops = (TriedHop("udp", "192.0.2.1", 5060, "status_503"), TriedHop("tls", "2001:db8::1", 5061, None))
        shown = draw(result_panel(replace(RESULT, hops=hops), "en"))
        assert "Addresses called" in shown
        assert "udp 192.0.2.1:5060: status_503" in shown
        assert "tls [2001:db8::1]:5061: answered" in shown
        assert "Địa chỉ đã gọi" in draw(result_panel(replace(RESULT, hops=hops), "vi"))
        assert "Addresses called" not in draw(result_panel(RESULT, "en"))

    def test_figures_are_given_in_full_and_what_was_not_measured_is_said_so(self, draw: Draw) -> None:
        shown = draw(result_panel(RESULT, "en"))
        for told in ("RTT 12.3 ms (p95 20.0 ms, echo)", "MOS 4.39, R 91.2", "2.00 %", "not measured", "12.50 s"):
            assert told in shown

    def test_reports_and_losses_each_way_are_shown(self, draw: Draw) -> None:
        audio = replace(
            AUDIO,
            mode=MediaMode.RTCP,
            inbound=Inbound(500, 490, 10, 0.02, 0, 0, 0.001, 0.002),
            outbound=Outbound(500, 480, 24, 0.05, 0.003),
            round_trip=None,
            rtt_seconds=None,
            r_factor=None,
            mos=None,
        )
        shown = draw(result_panel(replace(RESULT, media=(audio,)), "en"))
        assert "5.00 %" in shown
        assert "RTT" not in shown
        assert "MOS" not in shown

    def test_a_stream_without_anything_received_has_no_rows(self, draw: Draw) -> None:
        audio = MediaResult("audio", "PCMU", None, None, None, None, None)
        shown = draw(result_panel(replace(RESULT, media=(audio,)), "vi"))
        assert "khứ hồi" not in shown
        assert "audio PCMU" in shown

    def test_an_invalid_measurement_names_our_fault_in_words(self, draw: Draw) -> None:
        shown = draw(result_panel(replace(RESULT, grade=Grade.INVALID, invalid=("loop_lag", "of_the_future")), "en"))
        assert "Measurement invalid" in shown
        assert "of_the_future" in shown
        assert "too busy" in shown or "late" in shown

    def test_the_sound_from_the_room_is_shown_where_it_was_measured(self, draw: Draw) -> None:
        heard = replace(AUDIO, audio_level_dbov=-25.0, audio_active_ratio=0.5)
        assert "−25.0 dBov" in draw(result_panel(replace(RESULT, media=(heard,)), "vi"))
        assert "dBov" not in draw(result_panel(RESULT, "vi"))

    def test_frames_of_video_are_shown_beside_its_packets(self, draw: Draw) -> None:
        video = replace(
            AUDIO,
            kind="video",
            codec="H264",
            mos=None,
            r_factor=None,
            frames_expected=250,
            frames_lost=5,
            frame_rate=25.0,
        )
        shown = draw(result_panel(replace(RESULT, media=(AUDIO, video)), "en"))
        assert "video H264" in shown
        assert "5 of 250 lost (2.00 %)" in shown
        assert "25.0 frames/s" in shown
        assert "mất 5 trong 250 (2.00 %)" in draw(result_panel(replace(RESULT, media=(video,)), "vi"))
        alone = replace(video, frames_expected=1, frames_lost=0, frame_rate=None)
        assert "frames/s" not in draw(result_panel(replace(RESULT, media=(alone,)), "en"))
        none_due = replace(video, frames_expected=0, frames_lost=0, frame_rate=None)
        assert "0 of 0 lost (–)" in draw(result_panel(replace(RESULT, media=(none_due,)), "en"))

    @pytest.mark.parametrize(
        ("verified", "told"),
        [
            ("authority", "TLSv1.3, certificate verified, expires 2026-02-03"),
            ("pin", "the pinned certificate"),
            ("no", "certificate NOT verified"),
            ("of_the_future", "of_the_future"),
        ],
    )
    def test_what_tls_agreed_on_is_told_and_that_nothing_was_verified_aloud(
        self, draw: Draw, verified: str, told: str
    ) -> None:
        secure = replace(RESULT, tls=TlsResult("TLSv1.3", verified, datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)))
        assert told in draw(result_panel(secure, "en"))
        unknown = replace(RESULT, tls=TlsResult("TLSv1.3", verified, None))
        assert "expires" not in draw(result_panel(unknown, "en"))
        assert "TLSv" not in draw(result_panel(RESULT, "en"))

    def test_an_advisory_says_what_was_found_and_what_to_do(self, draw: Draw) -> None:
        """It stands beside whose the fault is, and changes nothing of it."""
        advised = replace(RESULT, advisories=(Advisory.SILENT_ROOM, "of_the_future"))
        shown = draw(result_panel(advised, "en"))
        for told in ("Advisory for the room", "nothing is heard from the room", "microphone", "of_the_future"):
            assert told in shown
        assert "the carrier" in shown
        assert "micrô" in draw(result_panel(advised, "vi"))
        assert "Advisory" not in draw(result_panel(RESULT, "en"))

    @pytest.mark.parametrize("lang", ["vi", "en"])
    @pytest.mark.parametrize(("outcome", "reason"), list(SITUATIONS), ids=str)
    def test_every_situation_can_be_shown(self, draw: Draw, outcome: Outcome, reason: str | None, lang: Lang) -> None:
        result = replace(RESULT, outcome=outcome, reason=reason, media=(), sip=None)
        assert outcome_text(outcome, reason, lang) in draw(result_panel(result, lang))

    def test_a_peers_text_commands_no_terminal(self, draw: Draw) -> None:
        """A reason phrase is the peer's to choose."""
        shown = draw(result_panel(replace(RESULT, sip=SipStatus(486, "Busy \x1b[2J\x07[/red]\x9b1m")), "en"))
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "Busy �[2J�[/red]" in shown


class TestLadder:
    STEPS = (
        LadderStep(
            0.0, sent=True, peer="192.0.2.7:5060", start_line="INVITE sip:x SIP/2.0", text="INVITE\r\nVia: 1\r\n"
        ),
        LadderStep(
            0.5, sent=True, peer="192.0.2.7:5060", start_line="INVITE sip:x SIP/2.0", text="INVITE", retransmission=True
        ),
        LadderStep(
            0.6, sent=False, peer="192.0.2.7:5060", start_line="SIP/2.0 486 \x1b[31m", text="SIP/2.0 486 \x1b[31m"
        ),
    )

    def test_it_has_a_line_a_message_then_each_messages_text(self, draw: Draw) -> None:
        shown = draw(ladder(Evidence("0", "01", self.STEPS), "en"))
        assert shown.count("──▶") == 2
        assert shown.count("◀──") == 1
        assert "INVITE sip:x SIP/2.0 (retransmission)" in shown
        assert "INVITE\nVia: 1\n" in shown
        assert "\x1b" not in shown

    def test_it_speaks_vietnamese(self, draw: Draw) -> None:
        assert "(gửi lại)" in draw(ladder(Evidence("0", "01", self.STEPS), "vi"))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "–"), (0.0, "0.0 ms"), (0.0123, "12.3 ms"), (9.9, "9900.0 ms"), (12.345, "12.35 s")],
)
def test_a_duration_is_told_in_the_unit_that_fits(seconds: float | None, expected: str) -> None:
    assert milliseconds(seconds) == expected


@pytest.mark.parametrize(("ratio", "expected"), [(None, "–"), (0.0, "0.00 %"), (0.0123, "1.23 %")])
def test_a_ratio_is_told_in_per_cent(ratio: float | None, expected: str) -> None:
    assert percent(ratio) == expected


def test_lines_and_tabs_are_kept_and_the_rest_that_controls_is_not() -> None:
    assert printable("a\r\n\tb\x00c\x85đ") == "a\n\tb�c�đ"

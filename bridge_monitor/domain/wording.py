"""What outcomes, grades, phases and advisories mean, whose a fault is, what to do next: in Vietnamese and English.

Owns how the words are found; what a call can end with stands in `domain.situations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bridge_monitor.domain.results import Advisory, Grade, Outcome
from bridge_monitor.domain.situations import SITUATIONS, Lang, Owner, Situation, Text
from bridge_monitor.domain.snapshot import EventPhase, SiteGrade

__all__ = [
    "ADVISORIES",
    "GRADES",
    "INVALID_REASONS",
    "OWNERS",
    "PHASES",
    "SITE_GRADES",
    "Advice",
    "Lang",
    "Owner",
    "Text",
    "advisory_step",
    "advisory_text",
    "grade_text",
    "invalid_text",
    "next_step",
    "outcome_text",
    "owner_of",
    "owner_text",
    "phase_text",
    "site_grade_text",
]

OWNERS: Final[Mapping[Owner, Text]] = MappingProxyType(
    {
        Owner.ROOM: Text("cán bộ kỹ thuật trực tại điểm cầu", "the room's technician on call"),
        Owner.CARRIER: Text("doanh nghiệp viễn thông", "the carrier"),
        Owner.PROVINCE: Text(
            "cán bộ đầu mối của tỉnh hoặc Trung ương", "the contact officer of the province or the centre"
        ),
        Owner.OURS: Text("đơn vị vận hành chương trình này", "whoever runs this program"),
        Owner.NOBODY: Text("không ai", "nobody"),
    }
)

GRADES: Final[Mapping[Grade, Text]] = MappingProxyType(
    {
        Grade.GOOD: Text("tốt", "good"),
        Grade.DEGRADED: Text("suy giảm", "degraded"),
        Grade.FAILED: Text("không đạt", "failed"),
        Grade.BUSY: Text("đang bận", "busy"),
        Grade.UNTESTED: Text("chưa kiểm tra", "untested"),
        Grade.INVALID: Text("phép đo không hợp lệ", "invalid"),
    }
)

SITE_GRADES: Final[Mapping[SiteGrade, Text]] = MappingProxyType(
    {
        SiteGrade.UNTESTED: Text("chưa kiểm tra", "untested"),
        SiteGrade.GOOD: Text("tốt", "good"),
        SiteGrade.DEGRADED: Text("suy giảm", "degraded"),
        SiteGrade.FAILED: Text("không đạt", "failed"),
        SiteGrade.BUSY: Text("đang bận", "busy"),
        SiteGrade.ATTENDS_ELSEWHERE: Text("dự tại điểm cầu khác", "attends elsewhere"),
    }
)

PHASES: Final[Mapping[EventPhase, Text]] = MappingProxyType(
    {
        EventPhase.BEFORE: Text("chưa đến đợt kiểm tra đường truyền", "before the first rehearsal"),
        EventPhase.REHEARSAL: Text("đang kiểm tra đường truyền", "rehearsal: test calls are placed"),
        EventPhase.QUIET: Text("giờ nghỉ, không gọi", "quiet hours: nobody is called"),
        EventPhase.GAP: Text("giữa các đợt kiểm tra đường truyền", "between rehearsals"),
        EventPhase.GUARD: Text("sắp khai mạc, không gọi thử nữa", "just before the conference: no test calls"),
        EventPhase.CONFERENCE: Text("hội nghị đang diễn ra", "the conference is on"),
        EventPhase.AFTER: Text("hội nghị đã kết thúc", "the conference is over"),
    }
)

INVALID_REASONS: Final[Mapping[str, Text]] = MappingProxyType(
    {
        "send_late": Text("máy đo gửi gói tin trễ", "packets left late"),
        "short_send": Text("hệ điều hành không nhận gói tin để gửi", "the kernel did not take a packet"),
        "socket_overflow": Text("hàng đợi nhận của máy đo bị tràn", "a receive queue overflowed"),
        "port_shared": Text(
            "nhiều cuộc gọi đến cùng một địa chỉ và cổng, không tách được luồng của từng cuộc",
            "several calls went to one address and port, and their streams can't be told apart",
        ),
        "engine_stalled": Text("bộ phận gửi nhận gói bị ngừng một lúc", "the media engine did not run for a while"),
        "clock_step": Text("đồng hồ của máy đo bị chỉnh trong cuộc gọi", "the clock was stepped during the call"),
        "interface_drops": Text("giao diện mạng của máy đo bỏ gói tin", "an interface of this machine dropped packets"),
        "queue_drops": Text("hàng đợi gửi của máy đo bỏ gói tin", "a send queue of this machine dropped packets"),
        "conntrack_full": Text(
            "bảng theo dõi kết nối của máy đo bỏ gói tin", "the connection table of this machine dropped packets"
        ),
        "our_uplink": Text(
            "đường truyền của chính đơn vị đo cũng có lỗi lúc đó", "our own uplink was bad at that time"
        ),
        "loop_lag": Text("chương trình quá bận để đo đúng lúc", "the program was too busy to judge in time"),
    }
)


@dataclass(frozen=True, slots=True)
class Advice:
    """What an advisory says of the room, and what its technician may do."""

    means: Text
    todo: Text


ADVISORIES: Final[Mapping[str, Advice]] = MappingProxyType(
    {
        Advisory.SILENT_ROOM: Advice(
            Text("không nghe thấy gì từ điểm cầu (im lặng)", "nothing is heard from the room (silence)"),
            Text(
                "kiểm tra micrô: có bị tắt tiếng, chưa cắm hoặc chưa được chọn không",
                "look at the microphone: muted, not plugged in or not selected",
            ),
        ),
        Advisory.NO_VIDEO: Advice(
            Text("không thấy hình từ điểm cầu", "no picture comes from the room"),
            Text(
                "kiểm tra camera: có bị tắt, chưa cắm hoặc đang bị che không; bật hình ảnh trên thiết bị đầu cuối",
                "look at the camera: off, not plugged in or covered; switch on video in the endpoint",
            ),
        ),
    }
)
"""By `Advisory`; looked up by text, since results of later versions may name others."""


def outcome_text(outcome: Outcome, reason: str | None, lang: Lang) -> str:
    """Return what happened, in plain words; a detail without words of its own follows in brackets."""
    words = _situation(outcome, reason).means.of(lang)
    return words if reason is None or (outcome, reason) in SITUATIONS else f"{words} ({reason})"


def owner_of(outcome: Outcome, reason: str | None) -> Owner:
    """Return who can mend it."""
    return _situation(outcome, reason).owner


def owner_text(outcome: Outcome, reason: str | None, lang: Lang) -> str:
    """Return who can mend it, in words."""
    return OWNERS[owner_of(outcome, reason)].of(lang)


def next_step(outcome: Outcome, reason: str | None, lang: Lang) -> str:
    """Return what to do next."""
    return _situation(outcome, reason).todo.of(lang)


def grade_text(grade: Grade, lang: Lang) -> str:
    """Return a call's grade in words."""
    return GRADES[grade].of(lang)


def site_grade_text(grade: SiteGrade, lang: Lang) -> str:
    """Return a site's grade in words."""
    return SITE_GRADES[grade].of(lang)


def phase_text(phase: EventPhase, lang: Lang) -> str:
    """Return the event's phase in words."""
    return PHASES[phase].of(lang)


def _situation(outcome: Outcome, reason: str | None) -> Situation:
    return SITUATIONS.get((outcome, reason)) or SITUATIONS[outcome, None]


def invalid_text(reason: str, lang: Lang) -> str:
    """Return in words why a measurement is not to be believed; a reason without words of its own stays as it is."""
    text = INVALID_REASONS.get(reason)
    if text is None and (Outcome.LOCAL_FAULT, reason) in SITUATIONS:
        text = SITUATIONS[Outcome.LOCAL_FAULT, reason].means
    return text.of(lang) if text else reason


def advisory_text(advisory: str, lang: Lang) -> str:
    """Return what an advisory says of the room; one without words of its own stays as it is."""
    advice = ADVISORIES.get(advisory)
    return advice.means.of(lang) if advice else advisory


def advisory_step(advisory: str, lang: Lang) -> str:
    """Return what the room's technician may do about it; empty for an advisory without words of its own."""
    advice = ADVISORIES.get(advisory)
    return advice.todo.of(lang) if advice else ""

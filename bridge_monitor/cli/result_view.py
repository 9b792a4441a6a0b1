"""One result as a person reads it: what was found, whose it is, what to do, and the figures it rests on.

Owns the drawing of results and ladders; must not judge.
"""

from __future__ import annotations

from typing import Final

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bridge_monitor.cli.level_view import level_line
from bridge_monitor.domain import Evidence, Grade, LadderStep, MediaResult, ProbeResult, TlsResult, TriedHop
from bridge_monitor.domain.wording import (
    Lang,
    advisory_step,
    advisory_text,
    grade_text,
    invalid_text,
    next_step,
    outcome_text,
    owner_text,
)

STYLES: Final = {
    Grade.GOOD: "green",
    Grade.DEGRADED: "yellow",
    Grade.FAILED: "red",
    Grade.BUSY: "cyan",
    Grade.UNTESTED: "white",
    Grade.INVALID: "magenta",
}

_LABELS: Final[dict[str, tuple[str, str]]] = {
    "resolve": ("phân giải tên", "name resolved"),
    "connect": ("kết nối", "connected"),
    "tls": ("bắt tay TLS", "TLS agreed on"),
    "trying": ("tiếp nhận (100)", "trying (100)"),
    "ringing": ("đổ chuông (18x)", "ringing (18x)"),
    "answer": ("trả lời (200)", "answered (200)"),
    "first_rtp": ("gói RTP đầu tiên", "first RTP packet"),
    "bye": ("kết thúc (BYE)", "ended (BYE)"),
    "direction": ("Chiều", "Direction"),
    "packets": ("gói", "packets"),
    "lost": ("mất", "lost"),
    "ratio": ("tỷ lệ", "ratio"),
    "jitter": ("jitter", "jitter"),
    "inbound": ("từ điểm cầu về", "from the room"),
    "outbound": ("đến điểm cầu", "to the room"),
    "round_trip": ("khứ hồi", "round trip"),
    "owner": ("Trách nhiệm", "Whose it is"),
    "next": ("Việc cần làm", "What to do"),
    "hops": ("Địa chỉ đã gọi", "Addresses called"),
    "answered": ("có trả lời", "answered"),
    "why_invalid": ("Phép đo không hợp lệ, lỗi phía ta", "Measurement invalid, our own fault"),
    "advisory": ("Lưu ý cho điểm cầu", "Advisory for the room"),
    "frames": ("khung hình", "frames"),
    "frames_lost": ("mất {lost} trong {expected} ({ratio})", "{lost} of {expected} lost ({ratio})"),
    "frame_rate": ("{rate:.1f} khung hình/giây", "{rate:.1f} frames/s"),
    "verified_authority": ("chứng thư hợp lệ", "certificate verified"),
    "verified_pin": ("đúng chứng thư đã ghim", "the pinned certificate"),
    "verified_no": ("KHÔNG kiểm tra chứng thư", "certificate NOT verified"),
    "expires": ("hết hạn", "expires"),
    "not_measured": ("không đo được", "not measured"),
    "again": ("gửi lại", "retransmission"),
    "us": ("ta", "us"),
    "room": ("điểm cầu", "room"),
}


def label(key: str, lang: Lang) -> str:
    """Return a label of this view in the user's language."""
    return _LABELS[key][0 if lang == "vi" else 1]


def milliseconds(seconds: float | None) -> str:
    """Return a duration as text; an en dash where it was not measured."""
    if seconds is None:
        return "–"
    return f"{seconds:.2f} s" if seconds >= 10 else f"{seconds * 1000:.1f} ms"


def percent(ratio: float | None) -> str:
    """Return a ratio as per cent; an en dash where it was not measured."""
    return "–" if ratio is None else f"{ratio * 100:.2f} %"


def printable(text: str) -> str:
    """Return a peer's text without control characters: it must not command our terminal."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "" if letter == "\r" else "�" for letter in text
    )


def result_panel(result: ProbeResult, lang: Lang, name: str = "") -> RenderableType:
    """Return the final panel of a probe."""
    style = STYLES[result.grade]
    head = Text.assemble(
        (grade_text(result.grade, lang).upper(), f"bold {style}"),
        "  ",
        printable(outcome_text(result.outcome, result.reason, lang)),
    )
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row(label("owner", lang), owner_text(result.outcome, result.reason, lang))
    facts.add_row(label("next", lang), next_step(result.outcome, result.reason, lang))
    if result.sip:
        facts.add_row("SIP", printable(f"{result.sip.status} {result.sip.reason}"))
    if result.hops:
        facts.add_row(label("hops", lang), "\n".join(_hop(hop, lang) for hop in result.hops))
    if result.invalid:
        facts.add_row(label("why_invalid", lang), ", ".join(invalid_text(reason, lang) for reason in result.invalid))
    if result.tls:
        facts.add_row("TLS", _certificate(result.tls, lang))
    for advisory in result.advisories:
        facts.add_row(label("advisory", lang), _advice(advisory, lang))
    parts: list[RenderableType] = [head, facts, Text(), _phases(result, lang)]
    for stream in result.media:
        parts += [Text(), _media_title(stream), _media(stream, lang)]
        if line := level_line(stream, lang) or _frames(stream, lang):
            parts.append(line)
    title = " · ".join(part for part in (result.target.site, name, result.target.uri) if part)
    return Panel(Group(*parts), title=Text(title), border_style=style, box=ROUNDED, expand=False)


def ladder(evidence: Evidence, lang: Lang) -> RenderableType:
    """Return the call's SIP ladder, a line a message, then each message's text."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("s", justify="right")
    table.add_column(label("us", lang))
    table.add_column("")
    table.add_column(label("room", lang))
    table.add_column("SIP")
    for step in evidence.ladder:
        table.add_row(f"{step.at_seconds:.4f}", "", "──▶" if step.sent else "◀──", step.peer, Text(_title(step, lang)))
    texts: list[RenderableType] = [table]
    for step in evidence.ladder:
        arrow = "▶" if step.sent else "◀"
        texts += [
            Text(f"\n{arrow} {step.at_seconds:.4f} s {step.peer}", style="bold"),
            Text(printable(step.text.rstrip())),
        ]
    return Group(*texts)


def _hop(hop: TriedHop, lang: Lang) -> str:
    host = f"[{hop.host}]" if ":" in hop.host else hop.host
    return f"{hop.transport} {host}:{hop.port}: {hop.failed or label('answered', lang)}"


def _certificate(tls: TlsResult, lang: Lang) -> Text:
    """Return what was agreed on; that a certificate was judged by nothing is said aloud."""
    key = f"verified_{tls.verified}"
    verified = label(key, lang) if key in _LABELS else printable(tls.verified)
    line = Text(f"{printable(tls.version)}, ").append(verified, style="yellow" if tls.verified == "no" else "default")
    if tls.expires_at is not None:
        line.append(f", {label('expires', lang)} {tls.expires_at:%Y-%m-%d}")
    return line


def _advice(advisory: str, lang: Lang) -> Text:
    step = advisory_step(advisory, lang)
    advice = Text(printable(advisory_text(advisory, lang)), style="yellow")
    return advice.append(f": {step}", style="default") if step else advice


def _title(step: LadderStep, lang: Lang) -> str:
    return printable(step.start_line) + (f" ({label('again', lang)})" if step.retransmission else "")


def _phases(result: ProbeResult, lang: Lang) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for name, seconds in result.phases.items():
        reached = seconds is not None
        mark = Text("✓", style="green") if reached else Text("·", style="dim")
        table.add_row(mark, Text(label(name, lang), style="" if reached else "dim"), milliseconds(seconds))
    return table


def _media(stream: MediaResult, lang: Lang) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column(label("direction", lang))
    for column in ("packets", "lost", "ratio", "jitter"):
        table.add_column(label(column, lang), justify="right")
    unknown = label("not_measured", lang)
    inbound, outbound, echo = stream.inbound, stream.outbound, stream.round_trip
    if inbound:
        lost = unknown if inbound.packets_lost is None else str(inbound.packets_lost)
        table.add_row(
            label("inbound", lang),
            str(inbound.packets_received),
            lost,
            percent(inbound.loss_ratio),
            milliseconds(inbound.jitter_seconds),
        )
    if outbound:
        lost = unknown if outbound.packets_lost is None else str(outbound.packets_lost)
        table.add_row(
            label("outbound", lang),
            str(outbound.packets_sent),
            lost,
            percent(outbound.loss_ratio),
            milliseconds(outbound.jitter_seconds),
        )
    if echo:
        table.add_row(
            label("round_trip", lang),
            str(echo.packets_sent),
            str(echo.packets_lost),
            percent(echo.loss_ratio),
            "",
        )
    return table


def _frames(stream: MediaResult, lang: Lang) -> Text | None:
    """Return what became of a video's frames; None if none came."""
    if stream.frames_expected is None or stream.frames_lost is None:
        return None
    ratio = stream.frames_lost / stream.frames_expected if stream.frames_expected else None
    lost = label("frames_lost", lang).format(
        lost=stream.frames_lost, expected=stream.frames_expected, ratio=percent(ratio)
    )
    line = Text.assemble("  ", (label("frames", lang), "dim"), "  ", (lost, "red" if stream.frames_lost else ""))
    if stream.frame_rate is not None:
        line.append("  " + label("frame_rate", lang).format(rate=stream.frame_rate))
    return line


def _media_title(stream: MediaResult) -> Text:
    title = Text(f"{stream.kind} {stream.codec}", style="bold")
    if stream.mode:
        title.append(f" ({stream.mode})", style="dim")
    if stream.rtt_seconds:
        rtt = stream.rtt_seconds
        title.append(f"   RTT {milliseconds(rtt.median)} (p95 {milliseconds(rtt.p95)}, {rtt.source})")
    if stream.mos is not None and stream.r_factor is not None:
        title.append(f"   MOS {stream.mos:.2f}, R {stream.r_factor:.1f}")
    return title

"""The index page: what this server answers, in Vietnamese or English.

Owns the page; no data of a person, no script, nothing loaded from elsewhere.
"""

from __future__ import annotations

from html import escape
from typing import Final

from aiohttp import web

from bridge_monitor import __version__
from bridge_monitor.diagnosis import advised_sites
from bridge_monitor.domain import EventPhase
from bridge_monitor.web.language import Language, language_of
from bridge_monitor.web.services import SERVICES

_TEXTS: Final[dict[Language, dict[str, str]]] = {
    "vi": {
        "other": '<a href="?lang=en" lang="en">English</a>',
        "intro": "Kiểm tra đường truyền các điểm cầu trước hội nghị truyền hình.",
        "sites": "Số điểm cầu",
        "advised": "Số điểm cầu có lưu ý",
        "phase": "Giai đoạn",
        "call": "Gọi kiểm tra một điểm cầu, khi lịch và các giới hạn cho phép"
        " (thêm <code>&amp;debug=true</code> để xem đầy đủ)",
        "metrics": "Số liệu cho Prometheus",
        "healthy": "Tiến trình có đang hoạt động không",
        "ready": "Đã sẵn sàng chưa",
        "reload": "Đọc lại cấu hình; nếu có lỗi thì cấu hình cũ vẫn được dùng",
        "evidence": "Những gì ghi lại được từ cuộc gọi không đạt gần nhất",
    },
    "en": {
        "other": '<a href="?lang=vi" lang="vi">Tiếng Việt</a>',
        "intro": "Line checks of the rooms of a video conference.",
        "sites": "Sites",
        "advised": "Sites with an advisory",
        "phase": "Phase",
        "call": "Call one site now, if windows and caps allow it (add <code>&amp;debug=true</code> to see everything)",
        "metrics": "Metrics for Prometheus",
        "healthy": "Whether the process runs",
        "ready": "Whether it is ready",
        "reload": "Read the configuration anew; if it has problems, the old one stays in use",
        "evidence": "What the last failed call to a site left behind",
    },
}

_PHASES: Final[dict[EventPhase, str]] = {
    EventPhase.BEFORE: "trước các đợt tổng duyệt",
    EventPhase.REHEARSAL: "tổng duyệt",
    EventPhase.QUIET: "giờ nghỉ, không gọi",
    EventPhase.GAP: "giữa hai đợt tổng duyệt",
    EventPhase.GUARD: "ngay trước hội nghị, không gọi",
    EventPhase.CONFERENCE: "hội nghị đang diễn ra",
    EventPhase.AFTER: "sau hội nghị",
}

_ENDPOINTS: Final = (
    ("GET", "/metrics", "metrics", True),
    ("GET", "/probe?target=CODE&module=PROFILE", "call", False),
    ("GET", "/api/v1/sites/CODE/evidence", "evidence", False),
    ("GET", "/-/healthy", "healthy", True),
    ("GET", "/-/ready", "ready", True),
    ("POST", "/-/reload", "reload", False),
)


async def handle_index(request: web.Request) -> web.Response:
    """Answer with the list of endpoints."""
    language = language_of(request)
    text = _TEXTS[language]
    snapshot = request.app[SERVICES].snapshot()
    phase = _PHASES[snapshot.phase] if language == "vi" else str(snapshot.phase)
    advised = {code for codes in advised_sites(snapshot.states, snapshot.inventory).values() for code in codes}
    rows = "\n".join(
        f"<tr><td>{method}</td><td>{_link(path, linked=linked)}</td><td>{text[key]}</td></tr>"
        for method, path, key, linked in _ENDPOINTS
    )
    page = f"""<!DOCTYPE html>
<html lang="{language}">
<head><meta charset="utf-8"><title>bridge_monitor</title>
<style>body {{ font-family: sans-serif; margin: 2em }} td {{ padding: 0.2em 1em 0.2em 0 }}</style></head>
<body>
<h1>bridge_monitor {escape(__version__)}</h1>
<p>{text["intro"]} {text["other"]}</p>
<p>{text["sites"]}: {len(snapshot.inventory)}. {text["phase"]}: {escape(phase)}. {text["advised"]}: {len(advised)}.</p>
<table>
{rows}
</table>
</body>
</html>
"""
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return web.Response(text=page, content_type="text/html", headers=headers)


def _link(path: str, *, linked: bool) -> str:
    shown = f"<code>{escape(path)}</code>"
    return f'<a href="{escape(path)}">{shown}</a>' if linked else shown

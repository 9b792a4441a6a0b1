"""The two languages of what a person reads over HTTP.

Owns the choice of the language and the texts of refusals; pages have their own. English where none is asked for, since
programs ask for none.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from aiohttp import web

Language: TypeAlias = Literal["vi", "en"]

MESSAGES: Final[dict[str, dict[Language, str]]] = {
    "unknown_parameter": {
        "en": "unknown parameter {name!r}; known are: {known}",
        "vi": "không có tham số {name!r}; các tham số hợp lệ: {known}",
    },
    "repeated_parameter": {
        "en": "parameter {name!r} is given more than once",
        "vi": "tham số {name!r} được nêu nhiều lần",
    },
    "missing_target": {
        "en": "parameter 'target' is missing: name the code of a site, as in /probe?target=01",
        "vi": "thiếu tham số 'target': hãy nêu mã điểm cầu, ví dụ /probe?target=01",
    },
    "unknown_target": {
        "en": "no site has the code {code!r}; only sites of the inventory can be called from here",
        "vi": "không có điểm cầu nào mang mã {code!r}; chỉ gọi được các điểm cầu có trong danh sách",
    },
    "attends_elsewhere": {
        "en": "site {code!r} attends at {host!r} and is not called; name {host!r} instead",
        "vi": "điểm cầu {code!r} dự tại {host!r} nên không được gọi; hãy nêu {host!r}",
    },
    "not_testable": {
        "en": "site {code!r} can't be tested from here (it has no endpoint, or its probe is none)",
        "vi": "không kiểm tra được điểm cầu {code!r} từ đây (không có địa chỉ, hoặc probe là none)",
    },
    "unknown_module": {
        "en": "no profile is named {module!r}; known are: {known}",
        "vi": "không có cấu hình kiểm tra nào tên {module!r}; hiện có: {known}",
    },
    "bad_debug": {
        "en": "parameter 'debug' must be true or false, not {value!r}",
        "vi": "tham số 'debug' phải là true hoặc false, không phải {value!r}",
    },
    "refused": {
        "en": "the call is refused now ({reason}): {detail}",
        "vi": "cuộc gọi bị từ chối lúc này ({reason}): {detail}",
    },
    "too_many": {
        "en": "the call is refused now (too_many_probes): {limit} calls asked for by hand are already up",
        "vi": "cuộc gọi bị từ chối lúc này (too_many_probes): đã có {limit} cuộc gọi theo yêu cầu đang diễn ra",
    },
    "too_many_scrapes": {
        "en": "{limit} scrapes are already being answered; try again when one has ended",
        "vi": "đang trả lời {limit} lượt lấy số liệu; hãy thử lại khi một lượt đã xong",
    },
    "cross_site": {
        "en": "a page of another site may not ask for this",
        "vi": "trang của một địa chỉ khác không được yêu cầu việc này",
    },
    "no_evidence": {
        "en": "nothing is kept of site {code!r}: no call to it has failed yet",
        "vi": "chưa lưu gì về điểm cầu {code!r}: chưa có cuộc gọi nào không đạt",
    },
    "unknown_site": {
        "en": "no site has the code {code!r}",
        "vi": "không có điểm cầu nào mang mã {code!r}",
    },
    "reloaded": {
        "en": "the new configuration is in use",
        "vi": "đã dùng cấu hình mới",
    },
    "reload_failed": {
        "en": "the configuration has problems; the old one stays in use:",
        "vi": "cấu hình có lỗi; cấu hình cũ vẫn được dùng:",
    },
    "healthy": {"en": "healthy", "vi": "đang hoạt động"},
    "ready": {"en": "ready", "vi": "sẵn sàng"},
    "not_ready": {
        "en": "not ready yet: still starting, or stopping",
        "vi": "chưa sẵn sàng: đang khởi động hoặc đang dừng",
    },
}


def language_of(request: web.Request) -> Language:
    """Return the language asked for: ``?lang=vi|en``, else the first known one of Accept-Language, else English."""
    asked = request.query.get("lang", "")
    if asked in ("vi", "en"):
        return "vi" if asked == "vi" else "en"
    for entry in request.headers.get("Accept-Language", "").split(","):
        tag = entry.split(";")[0].strip().lower().split("-")[0]
        if tag in ("vi", "en"):
            return "vi" if tag == "vi" else "en"
    return "en"


def say(request: web.Request, key: str, **values: object) -> str:
    """Return a message in the request's language."""
    return MESSAGES[key][language_of(request)].format(**values)

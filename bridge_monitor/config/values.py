"""How single values are written in the files: durations, bandwidths, ratios, DSCPs, dates, addresses.

Owns their syntax; must not know which file or key they stand in. Each function raises ValueError with the key of the
catalogue's message, and facts for its patterns that follow from no file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, time
from ipaddress import AddressValueError, IPv4Address, ip_address
from typing import Any, Final
from zoneinfo import ZoneInfo

from bridge_monitor.config.endpoints import parse_endpoint
from bridge_monitor.net.dns_client import DNS_PORT

_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|min|h)\b ?", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_BANDWIDTH: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kMG]?)bit/s", re.ASCII)
_PREFIX: Final = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_RATIO: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)( ?%)?", re.ASCII)
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?")
_CLOCK: Final = re.compile(r"[0-9]{1,2}:[0-9]{2}", re.ASCII)
_LISTEN: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", re.ASCII)
_DNS_SERVER: Final = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+))(?::([0-9]{1,5}))?", re.ASCII)
_PORTS: Final = re.compile(r"([0-9]{4,5}) ?[-–] ?([0-9]{4,5})", re.ASCII)
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
# Class selectors and assured forwarding: RFC 2474 §4.2.2, RFC 2597 §6; EF: RFC 3246; DF: RFC 2474 §4.1.
_DSCP: Final = (
    {"DF": 0, "EF": 46}
    | {f"CS{precedence}": 8 * precedence for precedence in range(8)}
    | {f"AF{group}{drop}": 8 * group + 2 * drop for group in range(1, 5) for drop in range(1, 4)}
)


def _between(read: Callable[[Any], float], least: str, most: str) -> Callable[[Any], float]:
    low, high = read(least), read(most)

    def parse(value: Any) -> float:
        number = read(value)
        if not low <= number <= high:
            relation, bound = ("≥", least) if number < low else ("≤", most)
            raise ValueError("out_of_range", {"relation": relation, "bound": bound})
        return number

    return parse


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must_be_text")  # noqa: TRY004 - pydantic passes ValueError on, a TypeError it doesn't
    return value.strip()


def duration(value: Any) -> float:
    """Return the seconds of a text such as ``90 s``, ``5 min`` or ``1 h 30 min``."""
    text = _text(value)
    seconds, position = 0.0, 0
    while match := _PART.match(text, position):
        seconds += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
    if position != len(text) or not text:
        raise ValueError("bad_duration")
    return seconds


def duration_between(least: str, most: str) -> Callable[[Any], float]:
    """Return what parses durations within these bounds, both included."""
    return _between(duration, least, most)


def bandwidth(value: Any) -> float:
    """Return the bit/s of a text such as ``20 Mbit/s``."""
    match = _BANDWIDTH.fullmatch(_text(value))
    if not match:
        raise ValueError("bad_bandwidth")
    return float(match[1]) * _PREFIX[match[2]]


def bandwidth_between(least: str, most: str) -> Callable[[Any], float]:
    """Return what parses bandwidths within these bounds, both included."""
    return _between(bandwidth, least, most)


def ratio(value: Any) -> float:
    """Return the ratio, 0–1, of a text such as ``1 %`` or ``0.01``."""
    match = _RATIO.fullmatch(_text(value))
    number = float(match[1]) / (100.0 if match[2] else 1.0) if match else 2.0
    if number > 1.0:
        raise ValueError("bad_ratio")
    return number


def dscp(value: Any) -> int:
    """Return the code point, 0–63, of a name (``EF``) or a number."""
    text = _text(value)
    if text.upper() in _DSCP:
        return _DSCP[text.upper()]
    if re.fullmatch(r"[0-9]{1,2}", text, re.ASCII) and int(text) < 64:
        return int(text)
    raise ValueError("bad_dscp")


def listen(value: Any) -> tuple[str, int]:
    """Return host and port of a text such as ``127.0.0.1:9817``; port 0 lets the system choose."""
    match = _LISTEN.fullmatch(_text(value))
    if not match or int(match[3]) > 65535:
        raise ValueError("bad_listen")
    return match[1] or match[2], int(match[3])


def ports(value: Any) -> tuple[int, int]:
    """Return first and last port of a text such as ``20000-29999``."""
    match = _PORTS.fullmatch(_text(value))
    if not match or not 1024 <= int(match[1]) < int(match[2]) <= 65535:
        raise ValueError("bad_ports")
    return int(match[1]), int(match[2])


def source(value: Any) -> str:
    """Return an IPv4 address as written."""
    text = _text(value)
    try:
        IPv4Address(text)
    except AddressValueError as error:
        raise ValueError("bad_source") from error
    return text


def dns_server(value: Any) -> tuple[str, int]:
    """Return address and port of a text such as ``192.0.2.53``, ``192.0.2.53:5353`` or ``[2001:db8::53]:5353``."""
    text = _text(value)
    match = _DNS_SERVER.fullmatch(text)
    host, port = (match[1] or match[2], int(match[3] or DNS_PORT)) if match else (text, DNS_PORT)
    try:
        written = str(ip_address(host))
    except ValueError as error:
        raise ValueError("bad_dns_server") from error
    if not 1 <= port <= 65535:
        raise ValueError("bad_dns_server")
    return written, port


def proxy(value: Any) -> str:
    """Return the SIP URI of a proxy that this version can use: over IPv4."""
    text = _text(value)
    try:
        usable = parse_endpoint(text).callable_by("sip")
    except ValueError as error:
        raise ValueError("bad_proxy") from error
    if not usable:
        raise ValueError("bad_proxy")
    return text


def responder(value: Any) -> str:
    """Return the SIP URI of a reference responder that this version can call."""
    text = _text(value)
    try:
        usable = parse_endpoint(text).callable_by("sip")
    except ValueError as error:
        raise ValueError("bad_responder") from error
    if not usable:
        raise ValueError("bad_responder")
    return text


def fingerprint(value: Any) -> str:
    """Return a SHA-256 fingerprint as plain lower-case hexadecimal; openssl's colons may stand in it."""
    digits = _text(value).lower().replace(":", "")
    if not _FINGERPRINT.fullmatch(digits):
        raise ValueError("bad_fingerprint")
    return digits


def zone(value: Any) -> ZoneInfo:
    """Return the time zone of an IANA name."""
    text = _text(value)
    try:
        return ZoneInfo(text)
    except (KeyError, OSError, ValueError) as error:  # unknown; a directory's name; no name but a path
        raise ValueError("bad_zone") from error


def clock(value: Any) -> time:
    """Return the time of day of a text such as ``20:00``."""
    text = _text(value)
    if not _CLOCK.fullmatch(text):
        raise ValueError("bad_clock")
    hours, minutes = (int(part) for part in text.split(":"))
    if hours > 23 or minutes > 59:
        raise ValueError("bad_clock")
    return time(hours, minutes)


def moment(value: Any) -> datetime:
    """Return a date with its time; naive unless an offset was written (see `in_zone`)."""
    text = _text(value)
    if not _MOMENT.fullmatch(text):
        raise ValueError("bad_moment")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:  # such as 31 June
        raise ValueError("bad_moment") from error


def in_zone(written: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment in the event's zone; a naive one is taken as its wall clock.

    Raises:
        ValueError: ``ambiguous_moment`` or ``skipped_moment``, where the clocks are put back or forward (PEP 495).
    """
    if written.tzinfo is not None:
        return written.astimezone(zone)
    early, late = (written.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() == late.utcoffset():
        return early
    if early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != written:
        raise ValueError("skipped_moment")
    raise ValueError("ambiguous_moment")

"""Writing messages as bytes (RFC 3261 §8.1.1, §8.2.6, §17.1.1.3): one text each, since calls come by the thousand.

Owns the shape of what we send; must not know states or timers.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.sip.addresses import is_stream
from bridge_monitor.sip.events import Address
from bridge_monitor.sip.grammar import split_list
from bridge_monitor.sip.headers import Via
from bridge_monitor.sip.message import Request

ALLOW: Final = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE"
"""Methods the user agent takes (§20.5)."""

REASONS: Final = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress", 200: "OK",
    202: "Accepted", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    380: "Alternative Service", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
    410: "Gone", 413: "Request Entity Too Large", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme",
    420: "Bad Extension", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
    483: "Too Many Hops", 484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 491: "Request Pending", 500: "Server Internal Error", 501: "Not Implemented",
    503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported", 600: "Busy Everywhere",
    603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip
"""Reason phrases (§21)."""


def respond(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    contact: str | None = None,
    body: bytes = b"",
    content_type: str = "application/sdp",
    extra: tuple[str, ...] = (),
    source: Address | None = None,
) -> bytes:
    """Build a response to a request (§8.2.6).

    Args:
        request: The request, as parsed.
        status: Status code.
        reason: Reason phrase; None: the usual one.
        to_tag: Tag to add to To if it has none yet; not for 100.
        contact: Value of Contact (``<sip:…>``), or None.
        body: Body, or empty.
        content_type: Its media type.
        extra: Further whole header lines (``Allow: …``).
        source: Where the request came from: fills ``received`` and ``rport`` of its Via (RFC 3581 §4); None leaves it.
    """
    headers = request.headers
    vias = headers["via"]
    lines = [f"SIP/2.0 {status} {REASONS.get(status, '') if reason is None else reason}"]
    lines.append("Via: " + (vias[0] if source is None else _received(vias[0], request.via, source)))
    lines += [f"Via: {via}" for via in vias[1:]]
    to = headers["to"][0]
    if to_tag is not None and request.to.tag is None:
        to = f"{to};tag={to_tag}"
    lines.append(f"From: {headers['from'][0]}")
    lines.append(f"To: {to}")
    lines.append(f"Call-ID: {headers['call-id'][0]}")
    lines.append(f"CSeq: {headers['cseq'][0]}")
    if contact is not None:
        # A response that makes a dialog copies the record of the way (§12.1.1).
        lines += [f"Record-Route: {value}" for value in headers.get("record-route", ())]
        lines.append(f"Contact: {contact}")
    if "timestamp" in headers and status == 100:
        lines.append(f"Timestamp: {headers['timestamp'][0]}")
    lines += extra
    if body:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def response_destination(request: Request, source: Address) -> Address:
    """Return where the response to a request goes: its source address, and the source port if it asked with ``rport``.

    Without ``rport`` the port is that of sent-by (§18.2.2, RFC 3581 §4). ``maddr`` is ignored: it would let anybody
    aim our responses at a third party. What came over a stream is answered on the connection that it came on.
    """
    if is_stream(source):
        return source
    via = request.via
    if any(name == "rport" for name, _ in via.parameters):
        return source
    return source[0], via.port or 5060


def build_request(
    method: str,
    uri: str,
    *,
    via: str,
    from_: str,
    to: str,
    call_id: str,
    cseq: int,
    routes: tuple[str, ...] = (),
    contact: str | None = None,
    extra: tuple[str, ...] = (),
    body: bytes = b"",
) -> bytes:
    """Build a request (§8.1.1); every one carries Max-Forwards, since strict rooms refuse an ACK or BYE without it.

    Args:
        method: Its method.
        uri: Its Request-URI.
        via: Value of its only Via.
        from_: Value of From, tag included.
        to: Value of To, with the tag inside a dialog.
        call_id: Call-ID.
        cseq: Number of CSeq.
        routes: Route values, topmost first.
        contact: Value of Contact, or None.
        extra: Further whole header lines.
        body: A session description, or empty.
    """
    lines = [f"{method} {uri} SIP/2.0", f"Via: {via}"]
    lines += [f"Route: {route}" for route in routes]
    lines.append(f"Max-Forwards: 70\r\nFrom: {from_}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}")
    if contact is not None:
        lines.append(f"Contact: {contact}")
    lines += extra
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def _received(text: str, via: Via, source: Address) -> str:
    """Return a Via value with ``received`` and ``rport`` filled in (§18.2.1, RFC 3581 §4)."""
    parts = [f"SIP/2.0/{via.transport} {via.host}" + ("" if via.port is None else f":{via.port}")]
    asked = False
    for name, value in via.parameters:
        if name == "rport":
            asked = True
        elif name != "received":
            parts.append(name if value is None else f"{name}={value}")
    if asked:
        parts.append(f"rport={source[1]}")
    if asked or via.host != source[0]:
        parts.append(f"received={source[0]}")
    others = split_list(text, "Via")[1:] if "," in text else []
    return ", ".join([";".join(parts), *others])

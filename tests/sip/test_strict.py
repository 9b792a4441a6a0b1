"""The strict verdict: header fields that a call doesn't need, checked all the same."""

from __future__ import annotations

import pytest

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip import parse_message

HEAD = (
    "OPTIONS sip:room@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n"
    "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
)


def message(line: str) -> bytes:
    return f"{HEAD}{line}\r\n\r\n".encode()


@pytest.mark.parametrize(
    "line",
    [
        "Via: SIP/2.0/TCP a, SIP/2.0/UNKNOWN b;x=y",
        "Reply-To: name <tel:123>",
        "Contact: *",
        'Contact: "a, b" <sip:a@b>;expires=3, sip:c@d',
        "Route: <sip:p1;lr>, <sip:p2>;x=y",
        "Max-Forwards: 0",
        "Expires: 4294967295",
        "Retry-After: 120 (back soon);duration=3600",
        "Content-Type: multipart/mixed; boundary=abc",
        "Accept:",
        "Accept: application/sdp, text/*;q=0.5",
        "Allow: INVITE, ACK",
        "Supported:",
        "Require: a, b",
        "Date: Thu, 27 Jun 2024 14:00:00 GMT",
        'Warning: 304 isi.edu "text", 370 [::1]:5060 "other text"',
        "Subject: ;;,,;;",
        "X-Unknown: \x01;;,",
    ],
)
def test_well_formed(line: str) -> None:
    """A well-formed field passes, and is kept."""
    name = line.partition(":")[0]
    assert parse_message(message(line), strict=True).get(name) is not None


@pytest.mark.parametrize(
    "line",
    [
        "Via: SIP/2.0/UDP a, ",
        "Reply-To: Bell, A <sip:a@b>",
        "Contact: sip:a@b?Route=x",
        "Contact: <sip:a@b",
        "Route: sip:p1;lr",
        "Route: <sip:p1;lr>, sip:p2",
        "Record-Route: <nothing>",
        "Max-Forwards: 256",
        "Expires: 4294967296",
        "Min-Expires: x",
        "Retry-After: soon",
        "Content-Type: text",
        "Content-Type: te@xt/plain",
        "Content-Type: text/pla in",
        "Content-Type: text/plain;=",
        "Accept: text/plain,",
        "Allow: INVITE ACK",
        "Require:",
        "Unsupported: @",
        "Date: Thu, 27 Jun 2024 14:00:00 EST",
        "Date: Donnerstag, 27 Jun 2024 14:00:00 GMT",
        "Date: Thu, 27 Juni 2024 14:00:00 GMT",
        "Date: Thu, xx Jun 2024 14:00:00 GMT",
        "Date: Thu 27 Jun 2024 14:00:00 GMT",
        'Warning: 3044 isi.edu "text"',
        'Warning: xxx isi.edu "text"',
        'Warning: 304 @ "text"',
        "Warning: 304 isi.edu text",
        'Warning: 304 isi.edu "',
    ],
)  # fmt: skip
def test_malformed(line: str) -> None:
    """The same message passes where the call doesn't need the field."""
    parse_message(message(line))
    with pytest.raises(SipSyntaxError):
        parse_message(message(line), strict=True)


@pytest.mark.parametrize("uri", ["sip:a@b?Route=x", "<sip:a@b>", "nonsense", "sip:"])
def test_malformed_request_uri(uri: str) -> None:
    """§19.1.1: a Request-URI holds no headers."""
    with pytest.raises(SipSyntaxError):
        parse_message(message("X: y").replace(b"sip:room@192.0.2.9", uri.encode()), strict=True)


@pytest.mark.parametrize("uri", ["tel:+84-24", "http://example.com"])
def test_request_uri_of_another_scheme(uri: str) -> None:
    """RFC 4475 §3.3.2: any absolute URI is well-formed there."""
    parsed = parse_message(message("X: y").replace(b"sip:room@192.0.2.9", uri.encode()), strict=True)
    assert uri in parsed.start_line()


def test_malformed_from_of_a_response() -> None:
    """A response's From, which a call doesn't read, counts here; so does whitespace in a Call-ID."""
    data = message("X: y").replace(b"OPTIONS sip:room@192.0.2.9 SIP/2.0", b"SIP/2.0 180 Ringing")
    parse_message(data, strict=True)
    for old, new in ((b"From: <sip:a@b>", b"From: <"), (b"Call-ID: x", b"Call-ID: x y")):
        parse_message(data.replace(old, new))
        with pytest.raises(SipSyntaxError):
            parse_message(data.replace(old, new), strict=True)

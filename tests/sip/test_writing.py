"""Building requests and responses (RFC 3261 §8.1.1, §8.2.6; RFC 3581)."""

from __future__ import annotations

import pytest

from bridge_monitor.sip import Request, parse_message, respond, response_destination
from bridge_monitor.sip.writing import build_request

SOURCE = ("198.51.100.7", 40001)


def invite(
    via: str = "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKa", extra: str = "", to: str = "<sip:c@d>"
) -> Request:
    message = parse_message(
        (
            f"INVITE sip:room@192.0.2.9 SIP/2.0\r\nVia: {via}\r\nVia: SIP/2.0/TCP proxy;branch=z9hG4bKb\r\n"
            "Record-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>\r\nFrom: Tên <sip:a@b>;tag=1\r\n"
            f"To: {to}\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n{extra}Content-Length: 0\r\n\r\n"
        ).encode()
    )
    assert isinstance(message, Request)
    return message


class TestResponse:
    def test_what_is_copied(self) -> None:
        """§8.2.6.2: Via, From, To, Call-ID and CSeq as they came; with a Contact, the record of the way too."""
        data = respond(invite(), 200, to_tag="2", contact="<sip:room@192.0.2.9>", body=b"v=0\r\n", extra=("X: y",))
        assert data.decode() == (
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKa\r\n"
            "Via: SIP/2.0/TCP proxy;branch=z9hG4bKb\r\nFrom: Tên <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n"
            "Call-ID: x\r\nCSeq: 1 INVITE\r\nRecord-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>\r\n"
            "Contact: <sip:room@192.0.2.9>\r\nX: y\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
        )

    def test_reason_and_tag_are_the_callers_choice(self) -> None:
        data = respond(invite(), 299, "Được")
        assert data.startswith("SIP/2.0 299 Được\r\n".encode())
        assert b"To: <sip:c@d>\r\n" in data
        assert respond(invite(), 299).startswith(b"SIP/2.0 299 \r\n")

    def test_a_tag_that_is_there_stays(self) -> None:
        assert b"To: <sip:c@d>;tag=old\r\n" in respond(invite(to="<sip:c@d>;tag=old"), 200, to_tag="new")

    def test_timestamp_comes_back_in_100_only(self) -> None:
        """§8.2.6.1."""
        request = invite(extra="Timestamp: 54\r\n")
        assert b"Timestamp: 54\r\n" in respond(request, 100)
        assert b"Timestamp" not in respond(request, 180)

    @pytest.mark.parametrize(
        ("via", "filled"),
        [
            ("SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKa",
             "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport=40001;received=198.51.100.7"),
            ("SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa", "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa"),
            ("SIP/2.0/UDP room.example;received=203.0.113.1;hidden",
             "SIP/2.0/UDP room.example;hidden;received=198.51.100.7"),
            ("SIP/2.0/UDP room.example;x=y, SIP/2.0/UDP other;z",
             "SIP/2.0/UDP room.example;x=y;received=198.51.100.7, SIP/2.0/UDP other;z"),
        ],
    )  # fmt: skip
    def test_received_and_rport_are_filled_in(self, via: str, filled: str) -> None:
        """§18.2.1, RFC 3581 §4: a peer's own claim of where it is doesn't count."""
        assert f"Via: {filled}\r\n".encode() in respond(invite(via), 200, source=SOURCE)


class TestDestination:
    @pytest.mark.parametrize(
        ("via", "port"),
        [("SIP/2.0/UDP a:5070;rport", 40001), ("SIP/2.0/UDP a:5070", 5070), ("SIP/2.0/UDP a;maddr=203.0.113.1", 5060)],
    )
    def test_where_a_response_goes(self, via: str, port: int) -> None:
        assert response_destination(invite(via), SOURCE) == ("198.51.100.7", port)


def test_request_as_bytes() -> None:
    data = build_request(
        "INVITE", "sip:room@192.0.2.9", via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa", from_='"Tên" <sip:a@b>;tag=1',
        to="<sip:c@d>", call_id="x", cseq=3, routes=("<sip:p;lr>", "<sip:q>"), contact="<sip:a@b>", extra=("X: y",),
        body=b"v=0\r\n",
    )  # fmt: skip
    assert data.decode() == (
        "INVITE sip:room@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nRoute: <sip:p;lr>\r\n"
        'Route: <sip:q>\r\nMax-Forwards: 70\r\nFrom: "Tên" <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\n'
        "CSeq: 3 INVITE\r\nContact: <sip:a@b>\r\nX: y\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n"
        "\r\nv=0\r\n"
    )

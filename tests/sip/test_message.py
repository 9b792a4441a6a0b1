"""Reading and writing whole messages (RFC 3261 §7), to the last byte."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip import Request, Response, SipUri, parse_message
from bridge_monitor.sip.message import Message, _read_headers, _usual_headers, scan_message

INVITE = (
    b"INVITE sip:room@192.0.2.9 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKa1, SIP/2.0/UDP 192.0.2.2\r\n"
    b"v: SIP/2.0/UDP 192.0.2.3\r\n"
    b"Max-Forwards: 70\r\n"
    b'f: "Ki\xe1\xbb\x83m tra, x" <sip:kiemtra@192.0.2.1>;tag=a2\r\n'
    b"t: <sip:room@192.0.2.9>\r\n"
    b"i: a3@192.0.2.1\r\n"
    b"CSeq: 1\r\n INVITE\r\n"
    b"m: <sip:kiemtra@192.0.2.1:5060>;q=0.5 , <sip:b@c>\r\n"
    b"Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n"
    b"Record-Route: <sip:p3>\r\n"
    b"c: application/SDP ; x=y\r\n"
    b"X-Empty:\r\n"
    b"l: 5\r\n\r\nv=0\r\n"
)
OK = (
    b"SIP/2.0 200 \xc4\x90\xc6\xb0\xe1\xbb\xa3c\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1;received=192.0.2.1;rport=5060\r\n"
    b"From: <sip:kiemtra@192.0.2.1>;tag=a2\r\nTo: <sip:room@192.0.2.9>;tag=b1\r\nCall-ID: a3@192.0.2.1\r\n"
    b"CSeq: 1 INVITE\r\nContact: <sip:room@192.0.2.9:5070>\r\nServer: room\r\nContent-Length: 0\r\n\r\n"
)
RINGING = OK.replace(b"200 \xc4\x90\xc6\xb0\xe1\xbb\xa3c", b"180 Ringing").replace(b"Content-Length: 0\r\n", b"")
BYE = OK.replace(b"SIP/2.0 200 \xc4\x90\xc6\xb0\xe1\xbb\xa3c", b"BYE sip:a@192.0.2.1 SIP/2.0").replace(
    b"1 INVITE", b"2 BYE"
)
MESSAGES = [INVITE, OK, RINGING, BYE]


def request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def response(data: bytes) -> Response:
    message = parse_message(data)
    assert isinstance(message, Response)
    return message


class TestRequest:
    def test_everything_is_found_by_long_and_compact_names(self) -> None:
        invite = request(INVITE)
        assert (invite.method, invite.uri, invite.cseq) == ("INVITE", "sip:room@192.0.2.9", (1, "INVITE"))
        assert (invite.via.host, invite.via.branch) == ("192.0.2.1", "z9hG4bKa1")
        assert (invite.from_.tag, invite.from_.display_name) == ("a2", '"Kiểm tra, x"')
        assert (invite.to.tag, invite.call_id) == (None, "a3@192.0.2.1")
        assert invite.get("MAX-FORWARDS") == "70"
        assert invite.get("x-empty") == ""
        assert invite.get("Subject") is None
        assert len(invite.get_all("v")) == 2
        assert invite.contact == SipUri.parse("sip:kiemtra@192.0.2.1:5060")
        assert invite.record_route == ("<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3>")
        assert (invite.content_type, invite.sdp) == ("application/sdp", b"v=0\r\n")
        assert repr(invite) == "<Request INVITE sip:room@192.0.2.9 SIP/2.0>"

    def test_body_of_another_type_is_no_sdp(self) -> None:
        assert request(INVITE.replace(b"application/SDP", b"text/plain")).sdp == b""
        assert request(INVITE.replace(b"c: application/SDP ; x=y\r\n", b"")).sdp == b"v=0\r\n"

    def test_no_contact_and_star(self) -> None:
        assert request(BYE.replace(b"Contact: <sip:room@192.0.2.9:5070>\r\n", b"")).contact is None
        assert request(BYE.replace(b"<sip:room@192.0.2.9:5070>", b"*")).contact is None

    def test_fields_that_are_not_needed_are_not_read(self) -> None:
        """A bad Date or Contact doesn't keep a message from being read; asking for it does."""
        message = request(BYE.replace(b"Server: room", b"Date: tomorrow").replace(b"<sip:room@192.0.2.9:5070>", b"<"))
        with pytest.raises(SipSyntaxError, match="Contact"):
            _ = message.contact

    def test_a_message_of_no_kind_has_no_start_line(self) -> None:
        with pytest.raises(NotImplementedError):
            Message({}).start_line()


class TestResponse:
    def test_status_and_reason(self) -> None:
        ok = response(OK)
        assert (ok.status, ok.reason, ok.to.tag) == (200, "Được", "b1")
        assert repr(ok) == "<Response SIP/2.0 200 Được>"

    def test_reason_may_be_empty_or_no_utf8(self) -> None:
        reason = b"\xc4\x90\xc6\xb0\xe1\xbb\xa3c"
        assert response(OK.replace(reason, b"")).reason == ""
        assert response(OK.replace(reason, b"\xff")).reason == "\ufffd"

    def test_a_malformed_from_is_not_ours_to_mind(self) -> None:
        """Only what the call needs must be right: From is our own, To counts in a 2xx."""
        assert response(RINGING.replace(b"From: <sip:kiemtra", b"From: <<")).status == 180
        assert response(RINGING.replace(b"To: <sip:room", b"To: <<")).status == 180
        with pytest.raises(SipSyntaxError, match="To"):
            parse_message(OK.replace(b"To: <sip:room@192.0.2.9>", b"To: <sip:room"))


class TestFraming:
    def test_body_is_cut_to_content_length(self) -> None:
        """§18.3: bytes after it are dropped."""
        assert request(INVITE + b"INVITE again").body == b"v=0\r\n"

    def test_without_content_length_the_datagram_ends_the_body(self) -> None:
        assert response(RINGING + b"x").body == b"x"

    def test_empty_lines_before_the_start_line_are_skipped(self) -> None:
        assert response(b"\r\n\r\n" + OK).status == 200

    def test_the_same_content_length_twice(self) -> None:
        assert response(OK.replace(b"Content-Length: 0", b"l: 0\r\nContent-Length: 0")).status == 200

    @pytest.mark.parametrize("data", MESSAGES)
    def test_written_again_it_reads_the_same(self, data: bytes) -> None:
        message = parse_message(data)
        again = parse_message(message.to_bytes())
        assert again.start_line() == message.start_line()
        assert again.body == message.body
        kept = {name: values for name, values in message.headers.items() if name != "content-length"}
        assert {name: values for name, values in again.headers.items() if name != "content-length"} == kept
        assert b"\r\nCall-ID: a3" in again.to_bytes()


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b"\r\n\r\n", b"\r\n", "no empty line"),
        (b"INVITE sip:room@192.0.2.9 SIP/2.0", b"INVITE  sip:room@192.0.2.9 SIP/2.0", "bad start line"),
        (b"INVITE sip:room@192.0.2.9 SIP/2.0", b"INV@TE sip:room@192.0.2.9 SIP/2.0", "bad start line"),
        (b"INVITE sip:room@192.0.2.9 SIP/2.0", b"INVITE  SIP/2.0", "bad start line"),
        (b"INVITE sip:room@192.0.2.9 SIP/2.0", b"INVITE sip:room@192.0.2.9 SIP/7.0", "unknown protocol version"),
        (b"INVITE sip:room@192.0.2.9 SIP/2.0", b"SIP/2.0 2000 OK", "bad status line"),
        (b"INVITE sip:room@192.0.2.9 SIP/2.0", b"SIP/2.0 2x0 OK", "bad status line"),
        (b"INVITE sip:room@192.0.2.9 SIP/2.0", b"SIP/2.0 700 OK", "bad status line"),
        (b"INVITE sip:room@192.0.2.9 SIP/2.0", b"SIP/2.0 099 OK", "bad status line"),
        (b"SIP/2.0\r\nVia", b"SIP/2.0\r\n Via", "the start line is folded"),
        (b"X-Empty:", b"X-Empty", "no header field"),
        (b"X-Empty:", b"X Empty:", "no header field"),
        (b"X-Empty:", b": x", "no header field"),
        (b"X-Empty:", b"X: a\nb", "CR or LF stands alone"),
        (b"X-Empty:", b"X: a\rb", "CR or LF stands alone"),
        (b"Via: ", b"X: ", "Via"),
        (b"f: ", b"X: ", "no From"),
        (b"t: ", b"X: ", "no To"),
        (b"i: a3@192.0.2.1", b"i: ", "empty Call-ID"),
        (b"i: ", b"X: ", "no Call-ID"),
        (b"CSeq: ", b"X: ", "no CSeq"),
        (b"t: ", b"t: <sip:x@y>\r\nt: ", "more than one To"),
        (b"1\r\n INVITE", b"1 BYE", "CSeq says 'BYE'"),
        (b"1\r\n INVITE", b"x INVITE", "CSeq is no number"),
        (b"l: 5", b"l: 6", "Content-Length is 6, the body has 5 bytes"),
        (b"l: 5", b"l: -5", "Content-Length is no number"),
        (b"l: 5", b"l: 5\r\nl: 4", "several Content-Length"),
        (b"SIP/2.0/UDP 192.0.2.1:5060;rport", b"SIP/2.0/UDP @;rport", "Via has no host"),
        (b"<sip:kiemtra@192.0.2.1>;tag", b"<sip:kiemtra;tag", "From has '<'"),
        (b"<sip:room@192.0.2.9>\r\ni", b"<>\r\ni", "To has no URI"),
    ],
)
def test_malformed_messages_are_refused(old: bytes, new: bytes, what: str) -> None:
    """Each rule has its message."""
    data = INVITE.replace(b"v: SIP/2.0/UDP 192.0.2.3\r\n", b"")
    assert old in data
    with pytest.raises(SipSyntaxError, match=what):
        parse_message(data.replace(old, new, 1))


@pytest.mark.parametrize("data", MESSAGES)
def test_truncated_at_every_byte(data: bytes) -> None:
    """A cut message is read or refused, and never raises anything else."""
    for length in range(len(data)):
        with contextlib.suppress(SipSyntaxError):
            parse_message(data[:length], strict=True)


@given(
    st.sampled_from(MESSAGES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), max_size=3),
)
def test_mutated_messages(data: bytes, changes: list[tuple[int, int]], insertions: list[tuple[int, bytes]]) -> None:
    """Bytes changed, put in and left out at random raise nothing but SipSyntaxError; what is read can be written."""
    mutated = bytearray(data)
    for place, value in changes:
        mutated[place % len(mutated)] = value
    for place, extra in insertions:
        at = place % len(mutated)
        mutated[at : at + 1] = extra
    with contextlib.suppress(SipSyntaxError):
        message = parse_message(bytes(mutated))
        message.to_bytes()
        parse_message(bytes(mutated), strict=True)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """No bytes raise anything but SipSyntaxError."""
    for whole in (data, data + b"\r\n\r\n", b"SIP/2.0 200 OK\r\n" + data + b"\r\n\r\n"):
        with contextlib.suppress(SipSyntaxError):
            parse_message(whole, strict=True)


@pytest.mark.parametrize("line", ["Via", "v", "nonsense"])
def test_a_header_line_without_colon_is_none(line: str) -> None:
    """Also if what stands there is the name of a field."""
    with pytest.raises(SipSyntaxError, match="no header field"):
        scan_message(f"OPTIONS sip:a SIP/2.0\r\nTo: <sip:a>\r\n{line}\r\nFrom: <sip:b>\r\n\r\n".encode())


@pytest.mark.parametrize(("method", "readable"), [("INVITE", False), ("BYE", True)])
def test_to_is_read_only_in_a_2xx_that_makes_a_dialog(method: str, readable: bool) -> None:  # noqa: FBT001 - a parameter
    """A room that muddles To in its 200 to BYE has ended the call all the same."""
    data = (
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa\r\nFrom: <sip:a@127.0.0.1>;tag=1\r\n"
        f"To: <sip:b@127.0.0.1\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    ).encode()
    if readable:
        assert parse_message(data).cseq == (1, method)
    else:
        with pytest.raises(SipSyntaxError):
            parse_message(data)


_LINES = st.lists(
    st.one_of(
        st.builds(
            "{}{}{}".format,
            st.sampled_from(("Via", "To", "Call-ID", "CSeq", "call-id", "i", "To ", "X-Room", "", "V a")),
            st.sampled_from((":", ": ", " : ", "")),
            st.sampled_from(("a", " a\t", "a: b", "", '"x"')),
        ),
        st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=8),
    ),
    max_size=6,
)


@given(_LINES)
def test_the_short_cut_for_usual_lines_says_what_the_reader_says(lines: list[str]) -> None:
    """Or nothing: then the reader decides, and tells what is wrong."""
    usual = _usual_headers(lines)
    assert usual is None or usual == _read_headers(lines)


def test_usual_lines_need_no_more_than_the_short_cut() -> None:
    assert _usual_headers(["Via: a", "To:b ", "Call-ID: c"]) == {"via": ["a"], "to": ["b"], "call-id": ["c"]}
    for lines in (["Via: a", "Via: b"], ["Via"], ["v: a"]):
        assert _usual_headers(lines) is None

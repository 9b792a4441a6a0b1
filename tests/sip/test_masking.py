"""What a password could be guessed by is in no message that anybody is shown; lengths stay."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.sip.masking import hides, masked

HEAD = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
TAIL = b"Content-Length: 0\r\n\r\nv=0\r\n"


def line(text: bytes) -> bytes:
    """Return a line as it is shown in the midst of a message."""
    shown = masked(HEAD + text + b"\r\n" + TAIL)
    assert shown.startswith(HEAD)
    assert shown.endswith(b"\r\n" + TAIL)
    return shown[len(HEAD) : -len(TAIL) - 2]


def test_of_digest_response_and_cnonce_are_hidden() -> None:
    """What the challenge said may be seen, and whose account answers: by them one finds what is wrong."""
    assert line(
        b'Authorization: Digest username="kiemtra", realm="a, b", nonce="n=1", uri="sip:a@b", response="0123abcd", '
        b'algorithm=MD5, cnonce="x,\\"y", qop=auth, nc=00000001, opaque="o"'
    ) == (
        b'Authorization: Digest username="kiemtra", realm="a, b", nonce="n=1", uri="sip:a@b", response="********", '
        b'algorithm=MD5, cnonce="*****", qop=auth, nc=00000001, opaque="o"'
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"Proxy-Authorization: Digest response=0123", b"Proxy-Authorization: Digest response=****"),
        (b'AUTHORIZATION\t:digest RESPONSE = "01"', b'AUTHORIZATION\t:digest RESPONSE = "**"'),
        (b'Authorization: Digest nc=1,\r\n response="01"', b'Authorization: Digest nc=1,\r\n response="**"'),
        (b'Authorization: Digest auth-token="01" 2, nc=1', b'Authorization: Digest auth-token="**" *, nc=1'),
        (b'Authorization: Digest response="01', b"Authorization: Digest response=***"),
        (b'Authorization: Digest response="', b"Authorization: Digest response=*"),
        (b"Authorization: Digest response=", b"Authorization: Digest response="),
        (b"Authorization: Basic dXNlcjpw==", b"Authorization: Basic **********"),
        (b'Authorization: Bearer a.b.c, x="y"', b"Authorization: Bearer ****** *****"),
        (b"Authorization: secret", b"Authorization: ******"),
        (b"Authorization:", b"Authorization:"),
        (
            b'Authentication-Info: rspauth="01", cnonce="2", nc=1',
            b'Authentication-Info: rspauth="**", cnonce="*", nc=1',
        ),
        (b'Proxy-Authentication-Info: rspauth="01"', b'Proxy-Authentication-Info: rspauth="**"'),
    ],
)
def test_other_forms_are_found_too(text: bytes, shown: bytes) -> None:
    assert line(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        b'WWW-Authenticate: Digest realm="r", nonce="n"',
        b'Proxy-Authenticate: Digest realm="r", nonce="n"',
        b"Subject: Authorization: Digest response=1",
        b"X-Authorization: Digest response=1",
    ],
)
def test_nothing_else_is_touched(text: bytes) -> None:
    assert line(text) == text


@given(st.binary(max_size=300))
def test_whatever_stands_there_the_length_stays(junk: bytes) -> None:
    for whole in (junk, b"Authorization: " + junk, b"Authorization: Digest " + junk, HEAD + b"Authorization:" + junk):
        assert len(masked(whole)) == len(whole)


@given(st.text(alphabet="0123456789abcdef", min_size=8, max_size=64), st.integers(0, 200))
def test_a_message_cut_anywhere_shows_nothing_of_it(response: str, end: int) -> None:
    """A message that can't be read is traced as well."""
    prefix = b'Authorization: Digest username="u", response="'
    whole = prefix + response.encode() + b'", qop=auth'
    shown = masked(whole[:end])
    assert len(shown) == min(end, len(whole))
    assert response[:4].encode() not in shown[len(prefix) :]


@pytest.mark.parametrize("filler", [b"a", b"a ", b"a=", b'a="', b" ", b",", b'"', b"\\", b"a\r\n "])
def test_a_long_line_takes_no_longer_than_its_length(filler: bytes) -> None:
    """What a peer sends us must not hold the loop."""
    began = time.process_time()
    masked(b"Authorization: Digest " + filler * (64_000 // len(filler)))
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("authorization", True),
        ("proxy-authorization", True),
        ("authentication-info", True),
        ("proxy-authentication-info", True),
        ("www-authenticate", False),
        ("via", False),
    ],
)
def test_a_message_is_known_by_its_fields_to_hide_something(name: str, hidden: bool) -> None:  # noqa: FBT001 - a table's column
    assert hides({"from": [""], name: [""]}) is hidden
    assert (masked(HEAD + f"{name}: a b\r\n".encode() + TAIL) != HEAD + f"{name}: a b\r\n".encode() + TAIL) is hidden

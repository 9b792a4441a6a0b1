"""SIP URIs (RFC 3261 §19.1)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip import SipUri
from bridge_monitor.sip.grammar import REMEMBERED_LENGTH
from bridge_monitor.sip.uri import _any, _usual, check_absolute_uri

GOOD = [
    "sip:alice@example.com",
    "sip:example.com",
    "sips:alice:secret@example.com:5061;transport=tcp;lr",
    "sip:+84-24-1234;phone-context=vn@192.0.2.1?subject=test&priority=urgent",
    "sip:user;par=u%40example.net@example.com",
    "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
    "sip:[2001:db8::1]:5070;lr",
    "sip:%00%00@host5.example.net",
    "sip:room@192.0.2.9;x=[a]:b/&+$",
    "sip:a@b?x=",
]


@pytest.mark.parametrize("text", GOOD)
def test_written_as_read(text: str) -> None:
    assert str(SipUri.parse(text)) == text


def test_parts() -> None:
    """Each part is found; scheme and parameter names are lowered; a Request-URI drops method and headers."""
    uri = SipUri.parse("SIPS:alice:s%65cret@Example.com:05061;Transport=tcp;lr;method=INVITE?Subject=a%20b&x=")
    assert uri == SipUri(
        host="Example.com", user="alice", port=5061, scheme="sips", password="s%65cret",  # noqa: S106 - a URI's part
        parameters=(("transport", "tcp"), ("lr", None), ("method", "INVITE")),
        headers=(("Subject", "a%20b"), ("x", "")),
    )  # fmt: skip
    assert uri.loose
    assert (uri.parameter("transport"), uri.parameter("lr"), uri.parameter("ttl")) == ("tcp", "", None)
    assert str(uri.as_request_uri()) == "sips:alice:s%65cret@Example.com:5061;transport=tcp;lr"


def test_a_uri_fit_for_a_request_is_left_as_it_is() -> None:
    uri = SipUri.parse("sip:a@b;lr")
    assert uri.as_request_uri() is uri
    assert not SipUri.parse("sip:a@b").loose


@pytest.mark.parametrize(
    "text",
    [
        "", "sip:", "sip", "tel:123", "http://a", "sip:@b", "sip:a@", "sip:a b@c", "sip:a@b c", "sip:a@b:x",
        "sip:a@b:65536",
        "sip:a@b:", "sip:a%4@b", "sip:a%zz@b", "sip:a@b;", "sip:a@b;=x", "sip:a@b;x=", "sip:a@b;x=%", "sip:a@b?",
        "sip:a@b?x",
        "sip:a@b?=x", "sip:a@b?x=<", "sip:a:<@b", "sip:a@[1", "sip:a@b@c", 'sip:"a"@b', "sip:ộ@b", "sip:a@b;ộ",
        "<sip:a@b>",
    ],
)  # fmt: skip
def test_malformed(text: str) -> None:
    """Whatever is no SIP URI is refused."""
    with pytest.raises(SipSyntaxError):
        SipUri.parse(text)


@pytest.mark.parametrize(
    "text", [*GOOD, "tel:+84-24;x=y", "isbn:2983792873", "http://www.example.com/%20?x", "a+b.c-1:x"]
)
def test_absolute_uris_of_any_scheme(text: str) -> None:
    """Another scheme than sip is read by RFC 2396's characters only."""
    check_absolute_uri(text)
    with pytest.raises(SipSyntaxError):
        check_absolute_uri(f"{text} ")


@pytest.mark.parametrize("text", ["", "x", "x:", ":x", "1x:y", "x y:z", "x:<y>", "x:%", "sip:", "é_:x", "x:\udcff"])
def test_no_absolute_uris(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        check_absolute_uri(text)


@given(st.text("sip:@;?=&%[]0a.<> \udcff", max_size=30))
def test_nothing_else_is_raised(text: str) -> None:
    """Whatever stands after the scheme is read, or refused with SipSyntaxError; what is read is written again."""
    with contextlib.suppress(SipSyntaxError):
        uri = SipUri.parse("sip:" + text)
        assert SipUri.parse(str(uri)) == uri


NAMES = st.text("abcXYZ019-", min_size=1, max_size=8)


@given(
    st.builds(
        SipUri,
        host=st.one_of(NAMES, st.just("[2001:db8::1]")),
        user=NAMES,
        port=st.one_of(st.none(), st.integers(0, 65535)),
        scheme=st.sampled_from(["sip", "sips"]),
        password=st.one_of(st.none(), NAMES),
        parameters=st.lists(st.tuples(NAMES.map(str.lower), st.one_of(st.none(), NAMES)), max_size=3).map(tuple),
        headers=st.lists(st.tuples(NAMES, NAMES), max_size=2).map(tuple),
    )
)
def test_round_trip(uri: SipUri) -> None:
    """Every URI is read back as it was written."""
    assert SipUri.parse(str(uri)) == uri


def test_only_a_uri_of_usual_length_is_remembered() -> None:
    """What a peer makes us keep is bounded: a long one is read anew each time, with the same result."""
    short, long = "sip:room@127.0.0.1", f"sip:{'r' * REMEMBERED_LENGTH}@127.0.0.1"
    assert SipUri.parse(short) is SipUri.parse(short)
    assert SipUri.parse(long) == SipUri.parse(long)
    assert SipUri.parse(long) is not SipUri.parse(long)


_PARAMETERS = st.sampled_from((";lr", ";Transport=UDP", ";transport=tcp", ";x=", ";=x", ";", ";x=%41", ";x=[::1]", " "))
_PARTS = st.tuples(
    st.sampled_from(("sip:", "sips:", "SIP:", "tel:", "")),
    st.sampled_from(("", "00001@", "a.b-c@", "a:b@", "%41@", "a;b@", "@", "a@b@", "ph\u00f2ng@")),
    st.sampled_from(("192.0.2.1", "300.1.2.3", "1.2.3", "room.example", "[2001:db8::1]", "")),
    st.sampled_from(("", ":5060", ":05060", ":65535", ":65536", ":123456", ":", ":x")),
    st.lists(_PARAMETERS, max_size=3).map("".join),
    st.sampled_from(("", "?a=b", "?")),
)


@given(_PARTS.map("".join))
def test_the_short_cut_for_usual_uris_says_what_the_reader_says(text: str) -> None:
    """Or nothing: then the reader decides, and tells what is wrong."""
    usual = _usual(text)
    assert usual is None or usual == _any(text)


@pytest.mark.parametrize(
    "text", ["sip:00001@192.0.2.1", "sip:192.0.2.1:5060;transport=UDP", "sips:a@192.0.2.1:05061;lr;x=y"]
)
def test_a_room_s_uri_needs_no_more_than_the_short_cut(text: str) -> None:
    assert _usual(text) == _any(text) == SipUri.parse(text)
    assert _usual(text.replace("192.0.2.1", "192.0.2.1:65536")) is None


@pytest.mark.parametrize(
    ("text", "transport"),
    [
        ("sip:a@b", "udp"), ("sip:a@b;lr", "udp"), ("sip:a@b;transport=UDP", "udp"), ("sip:a@b;transport=tcp", "tcp"),
        ("sip:a@b;transport=TLS", "tls"), ("sip:a@b;transport=ws", "ws"), ("sips:a@b", "tls"),
        ("sips:a@b;transport=tcp", "tls"), ("sips:a@b;transport=tls", "tls"), ("sips:a@b;transport=udp", ""),
    ],
)  # fmt: skip
def test_the_transport_that_a_uri_asks_for(text: str, transport: str) -> None:
    """§19.1.1 and §26.2.2: over ``sips`` a stream is TLS, and a datagram is never right."""
    assert SipUri.parse(text).transport == transport

"""Via, name-addr and CSeq (RFC 3261 §20)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.grammar import REMEMBERED_LENGTH
from bridge_monitor.sip.headers import (
    _any_via,
    _usual_via,
    check_name_addr,
    parse_cseq,
    parse_name_addr,
    parse_sip_uri_of,
    parse_via,
)


class TestVia:
    def test_usual(self) -> None:
        """Transport, sent-by and branch of an everyday Via."""
        via = parse_via("SIP/2.0/UDP 192.0.2.1:5062;rport=5;received=198.51.100.1;branch=z9hG4bKabc")
        assert (via.transport, via.host, via.port, via.branch) == ("UDP", "192.0.2.1", 5062, "z9hG4bKabc")
        assert via.sent_by == "192.0.2.1:5062"

    def test_spaces_around_everything(self) -> None:
        """RFC 4475 §3.1.1.1."""
        via = parse_via("SIP  / 2.0 \t/ udp    Host.example ; branch = z9hG4bK30239")
        assert (via.transport, via.sent_by, via.branch) == ("UDP", "host.example:5060", "z9hG4bK30239")

    def test_ipv6(self) -> None:
        """An IPv6 sent-by keeps its brackets."""
        assert parse_via("SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKx").sent_by == "[2001:db8::1]:5061"

    @pytest.mark.parametrize("branch", ["", ";branch=z9hG4bK", ";branch=390skdjuw", ";branch"])
    def test_a_branch_without_magic_cookie_identifies_nothing(self, branch: str) -> None:
        """§17.2.3: a peer of RFC 2543."""
        assert parse_via(f"SIP/2.0/UDP host{branch}").branch == ""

    @pytest.mark.parametrize(
        "value",
        ["", "SIP/2.0/UDP", "SIP/2.0 host", "SIP/3.0/UDP host", "HTTP/2.0/UDP host", "SIP/2.0/U@P host",
         "SIP/2.0/UDP ho@st", "SIP/2.0/UDP host:x", "SIP/2.0/UDP host;;,;,,", "SIP/2.0/UDP host;branch=a b"],
    )  # fmt: skip
    def test_malformed(self, value: str) -> None:
        """Whatever is no Via is refused."""
        with pytest.raises(SipSyntaxError):
            parse_via(value)


class TestNameAddr:
    @pytest.mark.parametrize(
        ("value", "uri", "name", "tag"),
        [
            ("sip:a@b;tag=1", "sip:a@b", "", "1"),
            ("sip:a@b", "sip:a@b", "", None),
            ("<sip:a@b;lr>;x;tag=1", "sip:a@b;lr", "", "1"),
            ("caller<sip:a@b>;tag=1", "sip:a@b", "caller", "1"),
            ("two words <sip:a@b>", "sip:a@b", "two words", None),
            ('"Quoted \\" <name>" <sip:a@b>; tag = 1', "sip:a@b", '"Quoted \\" <name>"', "1"),
            ("Kiểm tra <sip:a@b>", "sip:a@b", "Kiểm tra", None),
            ("<http://www.example.com>;tag=1", "http://www.example.com", "", "1"),
        ],
    )
    def test_forms(self, value: str, uri: str, name: str, tag: str | None) -> None:
        """Every form of name-addr and addr-spec is read."""
        parsed = parse_name_addr(value, "From")
        assert (parsed.uri, parsed.display_name, parsed.tag) == (uri, name, tag)

    @pytest.mark.parametrize(
        "value",
        ["", "x", "sip:a@b?x=y", "sip:a,b@c", "sip:a b@c", '"open <sip:a@b>', '"name" sip:a@b', '"name"',
         "Bell, A <sip:a@b>",
         "<sip:a@b", "<>", "< sip:a@b>", "<sip:a@b> x", "<sip:a@b>;tag=", "sip:a@b;tag=x y", "a;b <sip:a@b>",
         'x"y <sip:a@b>'],
    )  # fmt: skip
    def test_malformed(self, value: str) -> None:
        """Whatever is no From, To or Contact is refused."""
        with pytest.raises(SipSyntaxError):
            parse_name_addr(value, "From")

    def test_uri_is_read_where_it_must_be(self) -> None:
        check_name_addr("<tel:123>", "From")
        assert parse_sip_uri_of("<sip:a@b>;q=1", "Contact")[1].host == "b"
        with pytest.raises(SipSyntaxError):
            check_name_addr("<sip:>", "From")
        with pytest.raises(SipSyntaxError):
            parse_sip_uri_of("<tel:123>", "Contact")


class TestCSeq:
    def test_number_and_method(self) -> None:
        assert parse_cseq("0009\t INVITE") == (9, "INVITE")
        assert parse_cseq("2147483647 BYE") == (2**31 - 1, "BYE")

    @pytest.mark.parametrize("value", ["", "1", "INVITE", "1 IN@VITE", "1 INVITE x", "-1 INVITE", "2147483648 INVITE"])
    def test_malformed(self, value: str) -> None:
        """Whatever is no CSeq is refused."""
        with pytest.raises(SipSyntaxError):
            parse_cseq(value)


@given(st.text(' \t",;=<>\\:@/SIP2.0UDPa\udcff', max_size=40))
def test_nothing_else_is_raised(text: str) -> None:
    for read in (parse_via, parse_cseq, lambda value: check_name_addr(value, "x")):
        with contextlib.suppress(SipSyntaxError):
            read(text)


def test_only_values_of_usual_length_are_remembered() -> None:
    """What a peer makes us keep is bounded: a long one is read anew each time, with the same result."""
    via, address = "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1", "<sip:room@127.0.0.1>"
    assert parse_via(via) is parse_via(via)
    assert parse_name_addr(address, "To") is parse_name_addr(address, "To")
    more = f";x={'1' * REMEMBERED_LENGTH}"
    assert parse_via(via + more) == parse_via(via + more)
    assert parse_via(via + more) is not parse_via(via + more)
    assert parse_name_addr(address + more, "To") == parse_name_addr(address + more, "To")
    assert parse_name_addr(address + more, "To") is not parse_name_addr(address + more, "To")


_HOSTS = ("192.0.2.1", "300.1.2.3", "1.2.3", "room.example", "[2001:db8::1]", "")
_PORTS = ("", ":5060", ":05060", ":65535", ":65536", ":123456", ":", ":x")
_PARAMETERS = (
    *(";rport", ";rport=5060", ";RPort=1", ";branch=z9hG4bKabc", ";branch=z9hG4bK", ";branch=1", ";received=192.0.2.9"),
    *(";received=[2001:db8::1]", ';x="a;b"', ";x=", ";=x", ";", " ;ttl=1", ";x=a b", ";x y", ";x=%41"),
)


@given(
    st.sampled_from(("SIP/2.0/UDP", "SIP/2.0/TCP", "SIP/2.0/TLS", "SIP/2.0/udp", "SIP / 2.0 / UDP", "SIP/3.0/UDP", "")),
    st.sampled_from((" ", "\t", "  ", "")),
    st.sampled_from(_HOSTS),
    st.sampled_from(_PORTS),
    st.lists(st.sampled_from(_PARAMETERS), max_size=4).map("".join),
)
def test_the_short_cut_for_usual_vias_says_what_the_reader_says(
    protocol: str, space: str, host: str, port: str, parameters: str
) -> None:
    """Or nothing: then the reader decides, and tells what is wrong."""
    text = f"{protocol}{space}{host}{port}{parameters}"
    usual = _usual_via(text)
    assert usual is None or usual == _any_via(text)


def test_an_answer_s_via_needs_no_more_than_the_short_cut() -> None:
    text = "SIP/2.0/UDP 192.0.2.1:5062;rport=5;received=198.51.100.1;branch=z9hG4bKabc"
    assert _usual_via(text) == parse_via(text)
    for host in ("192.0.2.1", "192.0.2.1:65536", "room.example:5062"):
        assert _usual_via(text.replace("192.0.2.1:5062", host)) is None
    assert _usual_via("SIP/2.0/UDP 192.0.2.1:5062") == parse_via("SIP/2.0/UDP 192.0.2.1:5062")

"""The shared grammar of header fields: scanning by hand that no input can upset."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip import grammar

HOSTILE = st.text(' \t",;=<>\\:@[]abc1.\udcff', max_size=40)


class TestLists:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("a", ["a"]),
            ("a , b", ["a", "b"]),
            ('"x, \\" y" <sip:a>, <sip:b,c;d>;e="f,g"', ['"x, \\" y" <sip:a>', '<sip:b,c;d>;e="f,g"']),
        ],
    )
    def test_commas_in_quotes_and_brackets_do_not_split(self, text: str, parts: list[str]) -> None:
        assert grammar.split_list(text, "Contact") == parts

    @pytest.mark.parametrize("text", ["", "a,", ",a", "a,,b", '"a', "<a, b", '"a\\'])
    def test_empty_or_open_elements_are_refused(self, text: str) -> None:
        with pytest.raises(SipSyntaxError):
            grammar.split_list(f"x,{text}", "Contact")

    @given(HOSTILE)
    def test_nothing_else_is_raised(self, text: str) -> None:
        with contextlib.suppress(SipSyntaxError):
            grammar.split_list(text, "x")
        with contextlib.suppress(SipSyntaxError):
            grammar.parse_parameters(text, "x")
        with contextlib.suppress(SipSyntaxError):
            grammar.split_host_port(text, "x")
        grammar.unquote(text)
        grammar.shorten(text).encode()


class TestParameters:
    def test_names_are_lowered_and_spaces_dropped(self) -> None:
        parameters = grammar.parse_parameters(' ; Tag = a1 ;lr; x="a;b" ;h=[2001:db8::1]', "To")
        assert parameters == (("tag", "a1"), ("lr", None), ("x", '"a;b"'), ("h", "[2001:db8::1]"))
        assert grammar.parameter(parameters, "tag") == "a1"
        assert grammar.parameter(parameters, "lr") == ""
        assert grammar.parameter(parameters, "none") is None
        assert grammar.parse_parameters("  ", "To") == ()

    @pytest.mark.parametrize("text", ["x", ";", ";;a", ";=b", ";a=", ';a="b', ';a="b"c', ";a b=c", ";a=b c", ";a=<b>"])
    def test_malformed(self, text: str) -> None:
        """Whatever is no parameter is refused."""
        with pytest.raises(SipSyntaxError):
            grammar.parse_parameters(text, "To")


class TestHosts:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("example.com", "example.com", None),
            ("192.0.2.1:5060", "192.0.2.1", 5060),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("[2001:db8::1]:5061", "[2001:db8::1]", 5061),
            ("host : 5060", "host", 5060),
        ],
    )
    def test_host_and_port(self, text: str, host: str, port: int | None) -> None:
        assert grammar.split_host_port(text, "Via") == (host, port)

    @pytest.mark.parametrize("text", ["", ":5060", "a b", "a:", "a:65536", "a:x", "[]", "[x]", "[1", "a:-1"])
    def test_no_host(self, text: str) -> None:
        """Whatever is no host and port is refused."""
        with pytest.raises(SipSyntaxError):
            grammar.split_host_port(text, "Via")


class TestNumbers:
    def test_leading_zeros_count_for_nothing(self) -> None:
        assert grammar.number(" 0068 ", 255, "Max-Forwards") == 68
        assert grammar.number("0" * 5000 + "7", 255, "x") == 7

    @pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "256", "9" * 5000, "١"])
    def test_no_number(self, text: str) -> None:
        """Signs, fractions, other digits and overlarge values are refused."""
        with pytest.raises(SipSyntaxError, match="x is no number from 0 to 255"):
            grammar.number(text, 255, "x")


class TestQuotes:
    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
    def test_unquote_undoes_quote(self, text: str) -> None:
        quoted = grammar.quote(text)
        assert grammar.unquote(quoted) == text
        assert grammar.end_of_quoted(quoted, 0) == len(quoted) - 1

    def test_control_characters_become_spaces(self) -> None:
        """A display name can't break out of its header."""
        assert grammar.quote("a\r\nb\x7f") == '"a  b "'

    def test_text_without_quotes_is_left(self) -> None:
        assert [grammar.unquote(text) for text in ("a", '"', '"a', '"a\\"')] == ["a", '"', '"a', "a"]


def test_readable_replaces_bytes_that_are_no_utf8() -> None:
    """Text for people can always be written."""
    assert grammar.readable("Phòng") == "Phòng"
    assert grammar.readable(b"Ph\xf2ng".decode("utf-8", "surrogateescape")) == "Ph\ufffdng"

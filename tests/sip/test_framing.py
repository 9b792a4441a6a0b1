"""Messages out of a stream: however it is cut, whatever it claims."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.framing import LARGEST_MESSAGE, PING, PONG, StreamReader, content_length


def message(body: bytes = b"", *, length: str | None = None, extra: str = "") -> bytes:
    told = str(len(body)) if length is None else length
    return f"SIP/2.0 200 OK\r\nVia: x\r\n{extra}Content-Length: {told}\r\n\r\n".encode() + body


SHORT, LONG = message(), message(b"v=0\r\n\r\ns=-\r\n")
COMPACT = b"BYE sip:x SIP/2.0\r\nl:  3\r\n\r\nabc"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


class TestFraming183:
    """RFC 3261 §18.3: Content-Length says where a message ends, and what follows begins the next."""

    def test_several_messages_in_one_piece_are_told_apart(self) -> None:
        assert StreamReader().feed(SHORT + LONG + COMPACT + SHORT) == [SHORT, LONG, COMPACT, SHORT]

    def test_a_message_that_comes_byte_by_byte_is_whole_at_its_last_byte(self) -> None:
        reader = StreamReader()
        for byte in LONG[:-1]:
            assert reader.feed(bytes([byte])) == []
        assert reader.feed(LONG[-1:]) == [LONG]

    @pytest.mark.parametrize("end", range(len(LONG)))
    def test_one_cut_short_gives_nothing_and_violates_nothing(self, end: int) -> None:
        reader = StreamReader()
        assert reader.feed(LONG[:end]) == []
        assert reader.violation is None
        assert reader.feed(LONG[end:] + SHORT) == [LONG, SHORT]

    @given(
        st.lists(st.sampled_from([SHORT, LONG, COMPACT, message(b"\r\n\r\n" * 9)]), max_size=6),
        st.lists(st.integers(0, 2000), max_size=12),
    )
    def test_the_cuts_of_the_stream_make_no_difference(self, messages: list[bytes], places: list[int]) -> None:
        reader = StreamReader()
        found = [frame for piece in cut(b"".join(messages), places) for frame in reader.feed(piece)]
        assert found == messages
        assert reader.violation is None

    @given(st.lists(st.binary(max_size=300), max_size=20))
    def test_any_bytes_are_messages_or_a_violation_and_never_more_than_the_bound(self, pieces: list[bytes]) -> None:
        reader = StreamReader()
        for piece in pieces:
            for frame in reader.feed(piece):
                assert frame in (PING, PONG) or b"\r\n\r\n" in frame
        assert len(reader._buffer) <= LARGEST_MESSAGE


class TestViolations:
    """What can't be framed ends the connection, since nothing after it can be trusted."""

    @pytest.mark.parametrize(
        ("length", "what"),
        [("-1", "no number"), ("x", "no number"), ("", "no number"), ("99999999999999999999999", "no number"),
         ("1e3", "no number"), ("65535", "more than 65535"), ("4294967295", "more than 65535")],
    )  # fmt: skip
    def test_a_length_that_is_none_or_huge(self, length: str, what: str) -> None:
        reader = StreamReader()
        offender = message(length=length)
        assert reader.feed(SHORT + offender + SHORT) == [SHORT]
        assert reader.violation is not None
        assert what in reader.violation
        assert reader.offender == offender
        assert len(reader._buffer) == 0
        assert reader.feed(SHORT) == []

    def test_none_at_all(self) -> None:
        """§20.14: over a stream it must be there."""
        reader = StreamReader()
        assert reader.feed(b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n") == []
        assert reader.violation == "no Content-Length, which a stream can't do without"

    def test_two_that_differ(self) -> None:
        reader = StreamReader()
        assert reader.feed(message(b"abc", extra="l: 2\r\n")) == []
        assert reader.violation == "several Content-Length header fields that differ"

    def test_a_head_without_end_is_given_up_at_the_bound(self) -> None:
        reader = StreamReader()
        piece = b"X" * 1000
        for _ in range(LARGEST_MESSAGE // 1000):
            assert reader.feed(piece) == []
            assert reader.violation is None
        reader.feed(piece)
        assert reader.violation is not None
        assert reader.offender.startswith(b"XXX")
        assert len(reader.offender) <= LARGEST_MESSAGE

    def test_the_largest_message_passes(self) -> None:
        empty = message(length="00000")
        body = b"x" * (LARGEST_MESSAGE - len(empty))
        whole = message(body)
        assert len(whole) == LARGEST_MESSAGE
        assert StreamReader().feed(whole) == [whole]


class TestContentLength:
    @pytest.mark.parametrize(
        ("lines", "expected"),
        [(b"Content-Length: 7", 7), (b"CONTENT-LENGTH :7", 7), (b"l:7", 7), (b"L: 007 ", 7), (b"l:\r\n 7", 7),
         (b"X: a\r\n l: 9\r\nl: 7", 7), (b"l: 7\r\nContent-Length: 7", 7)],
    )  # fmt: skip
    def test_it_is_found_in_every_form(self, lines: bytes, expected: int) -> None:
        """Long or compact, in any case, folded, twice the same; never in another field's folded line."""
        assert content_length(b"SIP/2.0 200 OK\r\n" + lines) == expected

    def test_the_start_line_is_no_header_field(self) -> None:
        with pytest.raises(SipSyntaxError):
            content_length(b"l: 7")


class TestKeepAlive:
    """RFC 5626 §4.4.1 and §3.5.1: a double CRLF asks, a single one answers; both stand between messages only."""

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"\r\n\r\n", [PING]),
            (b"\r\n", [PONG]),
            (b"\r\n\r\n" + SHORT, [PING, SHORT]),
            (b"\r\n" + SHORT, [PONG, SHORT]),
            (SHORT + b"\r\n\r\n\r\n\r\n" + LONG + b"\r\n", [SHORT, PING, PING, LONG, PONG]),
            (b"\0\0" + SHORT + b"\0", [SHORT]),
        ],
    )
    def test_they_are_told_apart(self, data: bytes, expected: list[bytes]) -> None:
        reader = StreamReader()
        assert reader.feed(data) == expected
        assert reader.violation is None

    @given(st.lists(st.integers(0, 500), max_size=8))
    def test_a_ping_is_seen_however_it_is_cut(self, places: list[int]) -> None:
        """Cut in its middle, its first half passes for an answer, which harms nothing."""
        reader = StreamReader()
        found = [frame for piece in cut(SHORT + PING + LONG + PING, places) for frame in reader.feed(piece)]
        assert [frame for frame in found if frame != PONG] == [SHORT, PING, LONG, PING]

    def test_a_carriage_return_alone_waits_for_its_other_half(self) -> None:
        reader = StreamReader()
        assert reader.feed(b"\r") == []
        assert reader.feed(b"\n") == [PONG]
        assert reader.feed(b"\r") == []
        assert reader.feed(b"\n" + SHORT) == [PING, SHORT]

    def test_an_answer_before_a_message_that_begins_later_is_no_ping(self) -> None:
        reader = StreamReader()
        assert reader.feed(PONG) == [PONG]
        assert reader.feed(SHORT) == [SHORT]
        assert reader.feed(PONG) == [PONG]

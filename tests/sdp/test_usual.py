"""The short cut for usual answers: it takes what nearly all rooms send, and says what the full reading says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.sdp import NegotiationFailure, audio_offer, negotiate_audio
from bridge_monitor.sdp.negotiation import _usual_audio, negotiate_audio_in_full
from bridge_monitor.sdp.usual import read_usual_answer

OFFER = audio_offer(host="192.0.2.1", rtp_port=40000, session_id=7)

SIPP = (
    "v=0\r\no=user1 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)
BARESIP = (
    "v=0\r\no=- 1763 2918 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\na=tool:baresip 3.1.0\r\n"
    "m=audio 24180 RTP/AVP 8 0 101\r\nb=AS:64\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp:24181\r\na=rtcp-mux\r\na=sendrecv\r\n"
    "a=label:1\r\na=ptime:20\r\n"
)


@pytest.mark.parametrize("answer", [SIPP, BARESIP])
def test_what_nearly_all_rooms_send_is_read_here(answer: str) -> None:
    usual = _usual_audio(OFFER, answer.encode())
    assert usual is not None
    assert usual == negotiate_audio(OFFER, answer.encode()) == negotiate_audio_in_full(OFFER, answer.encode())


@pytest.mark.parametrize("answer", [SIPP, BARESIP])
def test_truncated_at_every_byte_it_never_says_anything_else(answer: str) -> None:
    whole = answer.encode()
    for end in range(len(whole)):
        usual = _usual_audio(OFFER, whole[:end])
        assert usual is None or usual == negotiate_audio_in_full(OFFER, whole[:end])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0"),
        ("c=IN IP4 127.0.0.1", "c=IN IP4 224.2.1.1/127"),
        ("c=IN IP4 127.0.0.1\r\n", ""),
        ("audio 6000", "audio 0"),
        ("audio 6000", "audio 65536"),
        ("audio 6000", "audio 65535"),
        ("AVP 0", "SAVP 0"),
        ("AVP 0", "AVP 18"),
        ("PCMU/8000", "PCMU/16000"),
        ("PCMU/8000\r\n", "PCMU/8000\r\na=rtcp:x\r\n"),
        ("PCMU/8000\r\n", "PCMU/8000\r\nm=video 6002 RTP/AVP 97\r\n"),
        ("s=-", "s=ph\u00f2ng"),
        ("\r\n", "\n"),
    ],
)
def test_what_is_unusual_or_wrong_is_left_to_the_full_reading(old: str, new: str) -> None:
    assert old in SIPP
    answer = SIPP.replace(old, new).encode()
    assert _usual_audio(OFFER, answer) is None
    assert negotiate_audio(OFFER, answer) == negotiate_audio_in_full(OFFER, answer)


def test_an_offer_whose_first_line_is_no_audio_is_left_to_the_full_reading() -> None:
    (line,) = OFFER.media
    for media in ((), (replace(line, kind="video"), line), (replace(line, protocol="RTP/SAVP"),)):
        offer = replace(OFFER, media=media)
        assert _usual_audio(offer, SIPP.encode()) is None
        assert isinstance(negotiate_audio(offer, SIPP.encode()), NegotiationFailure)


@pytest.mark.parametrize("line", ["a=rtpmap:0", "a=rtpmap", "a=ptime", "a=x : y ", "a=", "a=rtpmap:0 PCMA/8000"])
def test_odd_attributes_change_nothing_here_that_they_don_t_change_there(line: str) -> None:
    """The first rtpmap of a number counts, and one that says nothing does not."""
    for answer in (SIPP, SIPP.replace("a=rtpmap", f"{line}\r\na=rtpmap")):
        read = _usual_audio(OFFER, f"{answer}{line}\r\n".encode())
        assert read is not None
        assert read == negotiate_audio_in_full(OFFER, f"{answer}{line}\r\n".encode())


def test_a_direction_of_the_session_counts_where_the_audio_has_none() -> None:
    session = SIPP.replace("t=0 0\r\n", "t=0 0\r\na=charset:UTF-8\r\na=recvonly\r\na=sendonly\r\n")
    for answer, direction in ((session, "recvonly"), (session + "a=inactive\r\n", "inactive"), (SIPP, "sendrecv")):
        read = read_usual_answer(answer.encode())
        assert read is not None
        assert read.direction == direction


_NAMES = ("rtpmap", "rtpmap ", "ptime", "maxptime", "rtcp", "sendrecv", "sendonly", "recvonly", "inactive", "x", "")
_VALUES = (
    *("0 PCMU/8000", "8 PCMA/8000", "0 pcmu/8000/1", "0  PCMU/8000", "0 PCMA/8000", "8 PCMU/16000", "97 PCMU/8000"),
    *("128 PCMA/8000", "00 PCMU/8000", "0", "20", " 30.0 ", "0x", "", "6001", "6001 IN IP4 192.0.2.9", "0 ", "99999"),
)
_ATTRIBUTE = st.builds(
    "a={}{}{}\r\n".format, st.sampled_from(_NAMES), st.sampled_from(("", ":", " : ")), st.sampled_from(_VALUES)
)
_ATTRIBUTES = st.lists(_ATTRIBUTE, max_size=6).map("".join)
_LINE = st.sampled_from(("", "b=AS:64\r\n", "i=x\r\n", "k=clear:x\r\n", "a=sendonly\r\n"))
_LINES = st.lists(_LINE, max_size=2).map("".join)


@given(
    st.sampled_from(("192.0.2.9", "room.example.org", "0.0.0.0", "1.2.3.4 ", "x/3")),
    st.tuples(_LINES, _LINES, _LINES, _ATTRIBUTES, _ATTRIBUTES),
    st.integers(0, 70000),
    st.lists(st.sampled_from(("0", "8", "97", "128", "00", "18", "x", "")), min_size=0, max_size=4).map(" ".join),
    st.sampled_from((("PCMU", "PCMA"), ("PCMA",), ("PCMA", "PCMU"))),
)
def test_it_says_what_the_full_reading_says(
    host: str, parts: tuple[str, ...], port: int, formats: str, codecs: tuple[str, ...]
) -> None:
    """Over answers made of usual and odd parts."""
    before, between, after, of_session, of_audio = parts
    offer = audio_offer(host="192.0.2.1", rtp_port=40000, session_id=7, codecs=codecs)
    answer = (
        f"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\n{before}c=IN IP4 {host}\r\n{between}t=0 0\r\n{of_session}"
        f"m=audio {port} RTP/AVP {formats}\r\n{after}{of_audio}"
    ).encode()
    usual = _usual_audio(offer, answer)
    assert usual is None or usual == negotiate_audio_in_full(offer, answer)
    assert negotiate_audio(offer, answer) == negotiate_audio_in_full(offer, answer)


@given(st.sampled_from((SIPP, BARESIP)), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3))
def test_mutated_answers_are_read_the_same(answer: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(answer.encode())
    for place, byte in changes:
        data[place % len(data)] = byte
    assert negotiate_audio(OFFER, bytes(data)) == negotiate_audio_in_full(OFFER, bytes(data))

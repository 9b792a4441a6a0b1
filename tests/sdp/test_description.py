"""Reading and writing session descriptions: what rooms really send, and nothing but SdpSyntaxError for the rest."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import SdpSyntaxError
from bridge_monitor.sdp import Connection, MediaDescription, Origin, SessionDescription, parse

ROOM = b"""v=0\r
o=room system 42 7 IN IP4 198.51.100.20\r
s=-\r
i=Meeting room\r
c=IN IP4 198.51.100.20\r
b=AS:4096\r
t=0 0\r
a=sendrecv\r
m=audio 16384 RTP/AVP 115 9 0 8 101\r
a=rtpmap:115 G7221/32000\r
a=fmtp:115 bitrate=48000\r
a=rtpmap:9 G722/8000\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
c=IN IP4 198.51.100.21/127\r
b=TIAS:64000\r
m=video 16386/2 RTP/AVP 97 34\r
b=TIAS:4096000\r
a=rtpmap:97 H264/90000\r
a=fmtp:97 profile-level-id=42800c;max-mbps=108000\r
a=rtcp-fb:* ccm fir\r
a=content:main\r
a=label:11\r
a=encryption:optional\r
m=video 16388 RTP/AVP 97\r
a=content:slides\r
a=label:12\r
m=application 5070 UDP/BFCP *\r
a=floorctrl:c-s\r
a=confid:1\r
a=floorid:2 mstrm:12\r
m=application 16390 RTP/AVP 100\r
a=rtpmap:100 H224/4800\r
"""
"""What a room system answers: several video lines, BFCP, H.224, c= after the attributes, TIAS."""

DESCRIPTIONS = [
    ROOM,
    b"v=0\no=- 1 1 IN IP4 192.0.2.1\ns=x\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 1 RTP/AVP 0\n",
    b"v=0\r\nm=audio 9 TCP/BFCP *\r\n",
    "v=0\r\no=- 1 1 IN IP6 2001:db8::1\r\ns=Phòng họp\r\nc=IN IP6 2001:db8::1\r\nt=1 2\r\nr=7d 1h 0\r\nz=0 0\r\n"
    "k=clear:x\r\na=tool:x\r\nm=audio 2 RTP/AVP 8\r\ni=label\r\n".encode(),
]


class TestRoomSystems:
    def test_reads_every_line_of_a_room_system(self) -> None:
        """BFCP, H.224, several video lines and c= after a= are all kept."""
        description = parse(ROOM)
        assert description.origin == Origin("room system", "42", 7, "198.51.100.20")
        assert [media.kind for media in description.media] == ["audio", "video", "video", "application", "application"]
        assert [media.protocol for media in description.media][3:] == ["UDP/BFCP", "RTP/AVP"]
        audio, video = description.media[:2]
        assert description.connection_of(audio) == Connection("198.51.100.21")
        assert description.connection_of(video) == Connection("198.51.100.20")
        assert (audio.bandwidths, video.port_count) == (("TIAS:64000",), 2)
        assert video.attribute("content") == "main"
        assert video.attribute("encryption") == "optional"
        assert description.media[4].rtpmap("100") == "H224/4800"
        assert description.others == (("i", "Meeting room"),)

    def test_writes_what_it_reads(self) -> None:
        """Written and read again, a description is the same."""
        for data in DESCRIPTIONS:
            description = parse(data)
            assert parse(description.to_bytes()) == description

    def test_keeps_bytes_that_are_no_utf8(self) -> None:
        """A Latin-1 session name comes back as it came."""
        data = b"v=0\r\ns=Ph\xf2ng\r\nt=0 0\r\n"
        assert parse(data).to_bytes() == data

    def test_missing_lines_have_usual_values(self) -> None:
        """A description of v= and m= alone is enough."""
        description = parse(b"v=0\r\ns=\r\nm=audio 9 RTP/AVP 0\r\n")
        assert (description.origin, description.name, description.times) == (None, "-", ("0 0",))
        assert description.connection_of(description.media[0]) is None


class TestAttributes:
    def test_attribute_tells_flag_value_and_absence_apart(self) -> None:
        description = parse(b"v=0\r\na=tool:x y\r\na=inactive\r\nm=audio 9 RTP/AVP 0\r\na=rtcp-mux\r\n")
        assert description.attribute("tool") == "x y"
        assert description.attribute("inactive") == ""
        assert description.attribute("lang") is None
        assert description.media[0].attribute("rtcp-mux") == ""

    def test_direction_of_the_stream_goes_before_that_of_the_session(self) -> None:
        description = parse(b"v=0\r\na=inactive\r\nm=audio 9 RTP/AVP 0\r\na=sendonly\r\nm=video 9 RTP/AVP 97\r\n")
        assert [description.direction_of(media) for media in description.media] == ["sendonly", "inactive"]
        plain = parse(b"v=0\r\nm=audio 9 RTP/AVP 0\r\n")
        assert plain.direction_of(plain.media[0]) == "sendrecv"

    def test_rtpmap_falls_back_to_the_static_types(self) -> None:
        media = parse(b"v=0\r\nm=audio 9 RTP/AVP 0 96 18\r\na=rtpmap:96 PCMU/8000\r\na=rtpmap\r\n").media[0]
        assert [media.rtpmap(number) for number in ("0", "96", "18", "97")] == [
            "PCMU/8000", "PCMU/8000", "G729/8000", None,
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "begins with v=0"),
        (b"\r\n\r\n", "begins with v=0"),
        (b"o=- 1 1 IN IP4 192.0.2.1\r\nv=0\r\n", "begins with v=0"),
        (b"v=1\r\n", "begins with v=0"),
        (b"v=0\r\nnonsense\r\n", "not of the form x=value: 'nonsense'"),
        (b"v=0\r\nM=audio\r\n", "not of the form x=value"),
        (b"v=0\r\nx\r\n", "not of the form x=value"),
        (b"v=0\r\nm=audio\r\n", "m= needs media, port and protocol"),
        (b"v=0\r\nm=audio x RTP/AVP 0\r\n", "port is no number from 0 to 65535: 'x'"),
        (b"v=0\r\nm=audio 65536 RTP/AVP 0\r\n", "port is no number"),
        (b"v=0\r\nm=audio 1/ RTP/AVP 0\r\n", "number of ports is no number"),
        (b"v=0\r\nm=audio " + b"9" * 5000 + b" RTP/AVP 0\r\n", "port is no number"),
        (b"v=0\r\nm=audio \xd9\xa1 RTP/AVP 0\r\n", "port is no number"),
        (b"v=0\r\no=- 1 1 IN IP4\r\n", "o= needs six fields"),
        (b"v=0\r\no=- 1 x IN IP4 192.0.2.1\r\n", "version is no number"),
        (b"v=0\r\nc=IN IP4\r\n", "c= needs IN, address type and address"),
        (b"v=0\r\nc=ATM NSAP 1\r\n", "c= needs IN, address type and address"),
    ],
)
def test_malformed_descriptions_are_refused(data: bytes, what: str) -> None:
    """Each rule has its message."""
    with pytest.raises(SdpSyntaxError, match=what):
        parse(data)


@pytest.mark.parametrize("data", DESCRIPTIONS)
def test_truncated_at_every_byte(data: bytes) -> None:
    """A cut description is read or refused, and never raises anything else."""
    for length in range(len(data)):
        with contextlib.suppress(SdpSyntaxError):
            parse(data[:length])


@given(st.sampled_from(DESCRIPTIONS), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6))
def test_mutated_descriptions(data: bytes, changes: list[tuple[int, int]]) -> None:
    """Bytes changed at random are read or refused; what is read can be written."""
    mutated = bytearray(data)
    for place, value in changes:
        mutated[place % len(mutated)] = value
    with contextlib.suppress(SdpSyntaxError):
        parse(bytes(mutated)).to_bytes()


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """No bytes raise anything but SdpSyntaxError."""
    with contextlib.suppress(SdpSyntaxError):
        parse(b"v=0\n" + data)


WORDS = st.text("abcXYZ019.-*", min_size=1, max_size=8)
ATTRIBUTES = st.lists(st.tuples(WORDS, st.one_of(st.none(), WORDS)), max_size=3).map(tuple)
CONNECTIONS = st.builds(Connection, WORDS, st.sampled_from(["IP4", "IP6"]))
MEDIA = st.builds(
    MediaDescription,
    kind=st.sampled_from(["audio", "video", "application"]),
    port=st.integers(0, 65535),
    protocol=st.sampled_from(["RTP/AVP", "UDP/BFCP", "RTP/SAVPF"]),
    formats=st.lists(WORDS, max_size=4).map(tuple),
    port_count=st.integers(1, 3),
    connection=st.one_of(st.none(), CONNECTIONS),
    bandwidths=st.lists(WORDS, max_size=2).map(tuple),
    attributes=ATTRIBUTES,
    others=st.lists(st.tuples(st.sampled_from(["i", "k"]), WORDS), max_size=2).map(tuple),
)


@given(
    st.builds(
        SessionDescription,
        origin=st.one_of(st.none(), st.builds(Origin, WORDS, WORDS, st.integers(0, 2**64 - 1), WORDS)),
        name=WORDS,
        connection=st.one_of(st.none(), CONNECTIONS),
        bandwidths=st.lists(WORDS, max_size=2).map(tuple),
        times=st.lists(st.just("1 2"), min_size=1, max_size=2).map(tuple),
        attributes=ATTRIBUTES,
        media=st.lists(MEDIA, max_size=4).map(tuple),
    )
)
def test_round_trip(description: SessionDescription) -> None:
    """Whatever can be described is read back as it was written."""
    assert parse(description.to_bytes()) == description

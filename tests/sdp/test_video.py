"""Offer and answer for an H.264 line (RFC 3264, RFC 6184 §8.2): every way a room may answer, and our own answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.sdp import (
    NegotiationFailure,
    SessionDescription,
    VideoAnswer,
    answer_audio,
    answer_video,
    audio_offer,
    negotiate_audio,
    negotiate_video,
    offer_video,
    parse,
    reanswer,
    settle,
)

AUDIO = audio_offer(host="192.0.2.1", rtp_port=40000, session_id=7)
OFFER = offer_video(AUDIO, rtp_port=40002, bitrate_bps=2_000_000)
HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"
H264 = "a=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=1;profile-level-id=42e01f\r\n"
VIDEO = "m=video 6002 RTP/AVP 97\r\n" + H264


def negotiated(media: str, *, head: str = HEAD, offer: SessionDescription = OFFER) -> VideoAnswer:
    result = negotiate_video(offer.to_bytes(), (head + media).encode())
    assert isinstance(result, VideoAnswer), result
    return result


def refused(media: str, *, head: str = HEAD, offer: SessionDescription = OFFER) -> NegotiationFailure:
    result = negotiate_video(offer, (head + media).encode())
    assert isinstance(result, NegotiationFailure), result
    return result


def answered(offer: SessionDescription, **wish: str) -> SessionDescription:
    audio = answer_audio(offer, host="192.0.2.9", rtp_port=6000, session_id=3)
    assert isinstance(audio, SessionDescription)
    return answer_video(audio, offer, rtp_port=6002, **wish)  # type: ignore[arg-type]


class TestOffer:
    def test_video_line_as_bytes(self) -> None:
        """The line names H.264 in mode 1 at level 3.1, its RTCP port, and the rate with and without headers."""
        assert OFFER.to_bytes().decode() == AUDIO.to_bytes().decode() + (
            "m=video 40002 RTP/AVP 96\r\nb=AS:2000\r\nb=TIAS:1942446\r\na=rtpmap:96 H264/90000\r\n"
            "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\na=rtcp:40003\r\na=sendrecv\r\n"
        )

    def test_an_unknown_direction_is_our_mistake(self) -> None:
        with pytest.raises(ValueError, match="both"):
            offer_video(AUDIO, rtp_port=40002, bitrate_bps=1_000_000, direction="both")

    def test_audio_is_negotiated_as_without_video(self) -> None:
        answer = (HEAD + VIDEO).encode()
        assert negotiate_audio(OFFER, answer) == negotiate_audio(AUDIO, answer)


class TestAnswerUnderstood:
    def test_number_of_the_peer_is_sent_ours_is_received(self) -> None:
        """RFC 3264 §5.1: each side uses the other's numbers."""
        assert negotiated(VIDEO) == VideoAnswer(
            host="192.0.2.9", rtp_port=6002, rtcp_port=6003, payload_type=97, accepted_payload_types=(96,),
            direction="sendrecv",
        )  # fmt: skip

    def test_first_baseline_in_our_mode_counts(self) -> None:
        """Other codecs, mode 0 and higher profiles are passed over where baseline in mode 1 is there."""
        result = negotiated(
            "m=video 6002 RTP/AVP 31 95 98 97\r\na=rtpmap:95 H264/90000\r\na=rtpmap:98 h264/90000\r\n"
            "a=fmtp:98 PROFILE-LEVEL-ID=640028; packetization-mode=1\r\n" + H264
        )
        assert result.payload_type == 97

    def test_higher_profile_counts_where_nothing_else_is_said(self) -> None:
        """Its decoder reads baseline too."""
        assert negotiated(VIDEO.replace("42e01f", "640028")).payload_type == 97

    def test_media_address_ports_and_direction(self) -> None:
        result = negotiated(VIDEO + "a=rtcp:7001\r\na=recvonly\r\nc=IN IP4 198.51.100.1\r\n")
        assert (result.host, result.rtcp_port, result.direction) == ("198.51.100.1", 7001, "recvonly")

    def test_feedback_profile_is_the_same_profile(self) -> None:
        assert negotiated(VIDEO.replace("RTP/AVP", "RTP/AVPF")).rtp_port == 6002


class TestAnswerUnusable:
    @pytest.mark.parametrize(
        ("media", "reason"),
        [
            (VIDEO.replace("6002", "0"), "media_rejected"),
            ("", "no_video"),
            ("m=application 6002 RTP/AVP 97\r\n" + H264, "no_video"),
            ("m=video 6002 RTP/AVP 34\r\n", "wrong_codec"),
            ("m=video 6002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n", "wrong_codec"),
            ("m=video 6002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=0\r\n", "wrong_codec"),
            ("m=video 6002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=fmtp\r\n", "wrong_codec"),
            (VIDEO.replace("H264/90000", "H265/90000"), "wrong_codec"),
            (VIDEO.replace("97", "128"), "wrong_codec"),
            (VIDEO.replace("97", "x"), "wrong_codec"),
            (VIDEO.replace("RTP/AVP", "RTP/SAVP"), "wrong_codec"),
            (VIDEO + "a=rtcp:x\r\n", "malformed"),
            ("m=video x RTP/AVP 97\r\n", "malformed"),
        ],
    )
    def test_reason(self, media: str, reason: str) -> None:
        """Each way to answer without usable video has its reason."""
        assert refused(media).reason == reason

    def test_nowhere_to_send(self) -> None:
        failure = refused(VIDEO, head="v=0\r\ns=-\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n")
        assert (failure.reason, "no c= line" in failure.detail) == ("malformed", True)

    def test_video_that_was_not_offered_does_not_count(self) -> None:
        assert refused(VIDEO, offer=AUDIO).reason == "no_video"


class TestOurAnswer:
    def test_offered_video_is_taken_in_its_place(self) -> None:
        """The offer's number is kept and its direction mirrored."""
        offer = parse((HEAD.replace("m=audio", VIDEO + "a=sendonly\r\nm=audio")).encode())
        answer = answered(offer)
        assert [(line.kind, line.port, line.formats) for line in answer.media] == [
            ("video", 6002, ("97",)),
            ("audio", 6000, ("0",)),
        ]
        assert (answer.direction_of(answer.media[0]), answer.media[0].attribute("rtcp")) == ("recvonly", "6003")
        assert answered(offer, direction="inactive").media[0].attribute("inactive") is not None

    @pytest.mark.parametrize(
        "media",
        [
            "",
            "m=video 0 RTP/AVP 97\r\n" + H264,
            "m=video 6002 RTP/AVP 34\r\n",
            VIDEO.replace("RTP/AVP", "RTP/SAVP"),
            "m=application 6002 RTP/AVP 97\r\n" + H264,
        ],
    )
    def test_video_that_we_can_not_speak_stays_refused(self, media: str) -> None:
        answer = answered(parse((HEAD + media).encode()))
        assert [line.port for line in answer.media][1:] in ([], [0])

    def test_video_without_an_address_stays_refused(self) -> None:
        head = "v=0\r\ns=-\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\nc=IN IP4 192.0.2.9\r\n"
        assert answered(parse((head + VIDEO).encode())).media[1].port == 0

    def test_only_the_first_usable_line_is_taken(self) -> None:
        answer = answered(parse((HEAD + "m=video 0 RTP/AVP 34\r\n" + VIDEO + VIDEO).encode()))
        assert [line.port for line in answer.media] == [6000, 0, 6002, 0]


class TestOfferInsideACall:
    def test_unchanged_answer_keeps_its_version(self) -> None:
        """RFC 3264 §8: the version counts up only with a change."""
        current = answered(OFFER).to_bytes()
        assert reanswer(current, OFFER.to_bytes()) == parse(current)

    def test_video_goes_on_with_its_ports(self) -> None:
        """A room's session refresh must not take our video away."""
        answer = reanswer(OFFER.to_bytes(), (HEAD + VIDEO + "a=sendonly\r\n").encode())
        assert isinstance(answer, SessionDescription)
        assert answer.origin is not None
        assert (answer.media[1].port, answer.media[1].formats, answer.origin.version) == (40002, ("97",), 2)

    def test_video_refused_in_the_call_stays_away(self) -> None:
        answer = reanswer(AUDIO.to_bytes(), (HEAD + VIDEO).encode())
        assert isinstance(answer, SessionDescription)
        assert answer.media[1].port == 0

    def test_unusable_descriptions_are_failures(self) -> None:
        assert isinstance(reanswer(OFFER.to_bytes(), b"v=0\r\n"), NegotiationFailure)
        broken = OFFER.to_bytes().replace(b"a=rtcp:40003", b"a=rtcp:x")
        assert reanswer(broken, (HEAD + VIDEO).encode()) == NegotiationFailure(
            "malformed", "our current description has no port for video's RTCP"
        )


class TestSettled:
    """RFC 3264 §6, §8: what an answer refuses is no part of the session, until it is offered and taken anew."""

    def test_an_answer_that_takes_all_leaves_the_offer_as_it_was(self) -> None:
        assert settle(OFFER.to_bytes(), (HEAD + VIDEO).encode()) == OFFER.to_bytes()

    @pytest.mark.parametrize("refusal", ["m=video 0 RTP/AVP 96\r\n", ""], ids=["port 0", "no line at all"])
    def test_a_refused_line_is_refused_by_us_as_well(self, refusal: str) -> None:
        settled = parse(settle(OFFER.to_bytes(), (HEAD + refusal).encode()))
        assert settled.origin is not None
        assert [(line.kind, line.port) for line in settled.media] == [("audio", 40000), ("video", 0)]
        assert (settled.origin.version, settled.media[1].attributes) == (2, ())

    def test_video_offered_again_after_its_refusal_gets_no_port_of_ours(self) -> None:
        """Its port may be another call's by now."""
        settled = settle(OFFER.to_bytes(), (HEAD + "m=video 0 RTP/AVP 96\r\n").encode())
        answer = reanswer(settled, (HEAD + VIDEO).encode())
        assert isinstance(answer, SessionDescription)
        assert [line.port for line in answer.media] == [40000, 0]
        again = reanswer(answer.to_bytes(), (HEAD + VIDEO).encode())
        assert again == answer  # nothing has changed since

    @pytest.mark.parametrize("answer", [b"x", HEAD.replace("6000", "0").encode()], ids=["unreadable", "all refused"])
    def test_what_ends_the_call_anyway_changes_nothing(self, answer: bytes) -> None:
        assert settle(OFFER.to_bytes(), answer) == OFFER.to_bytes()

    def test_an_offer_of_one_line_or_without_origin_is_left_alone(self) -> None:
        assert settle(AUDIO.to_bytes(), b"") == AUDIO.to_bytes()
        nameless = OFFER.to_bytes().replace(b"o=- 7 1 IN IP4 192.0.2.1\r\n", b"")
        assert settle(nameless, HEAD.encode()) == nameless


@given(
    here=st.integers(1, 65534),
    there=st.integers(1, 65534),
    bitrate=st.integers(64_000, 14_000_000),
    direction=st.sampled_from(["sendrecv", "sendonly", "recvonly", "inactive"]),
)
def test_what_we_answer_is_what_the_offerer_understands(here: int, there: int, bitrate: int, direction: str) -> None:
    """Offer, answer and negotiation agree over ports, rates and directions, through bytes."""
    offer = offer_video(AUDIO, rtp_port=here, bitrate_bps=bitrate, direction=direction)
    audio = answer_audio(offer, host="192.0.2.9", rtp_port=6000, session_id=3)
    assert isinstance(audio, SessionDescription)
    answer = answer_video(audio, parse(offer.to_bytes()), rtp_port=there)
    result = negotiate_video(offer.to_bytes(), answer.to_bytes())
    assert isinstance(result, VideoAnswer)
    assert (result.rtp_port, result.payload_type, result.accepted_payload_types) == (there, 96, (96,))
    mirrored = {"sendonly": "recvonly", "recvonly": "sendonly"}.get(direction, direction)
    assert result.direction == mirrored


LINES = st.lists(
    st.sampled_from(
        [
            VIDEO,
            "m=video 0 RTP/AVP 97\r\n",
            "m=audio 1 RTP/AVP 0\r\n",
            "m=video 5 RTP/AVP\r\n",
            "m=video\r\n",
            "c=IN IP4 0.0.0.0\r\n",
            "a=fmtp:97 ;;=\r\n",
            "a=rtpmap:97\r\n",
            "a=rtcp:\r\n",
            "a=inactive\r\n",
            "b=AS\r\n",
            "x=\r\n",
        ]
    ),
    max_size=8,
)


@given(LINES)
def test_any_answer_is_a_value(lines: list[str]) -> None:
    """However a room puts its lines together, nothing is raised, and an agreement has what is needed to send."""
    result = negotiate_video(OFFER, (HEAD + "".join(lines)).encode())
    if isinstance(result, VideoAnswer):
        assert result.payload_type == 97
        assert 0 < result.rtp_port < 65536
    else:
        assert result.reason in {"media_rejected", "wrong_codec", "no_video", "malformed"}


@given(st.integers(0, len(OFFER.to_bytes())))
def test_an_answer_cut_anywhere_is_a_value(length: int) -> None:
    """A description cut at any byte is understood or refused, never raised."""
    whole = replace(answered(OFFER)).to_bytes()
    assert isinstance(negotiate_video(OFFER, whole[:length]), VideoAnswer | NegotiationFailure)

"""Offer and answer for one G.711 stream (RFC 3264): every way a room may answer, and our own answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.sdp import (
    AudioAnswer,
    NegotiationFailure,
    SessionDescription,
    answer_audio,
    audio_offer,
    negotiate_audio,
    parse,
    reanswer_audio,
)

OFFER = audio_offer(host="192.0.2.1", rtp_port=40000, session_id=7)
HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"


def negotiated(media: str, *, head: str = HEAD, offer: SessionDescription = OFFER) -> AudioAnswer:
    result = negotiate_audio(offer, (head + media).encode())
    assert isinstance(result, AudioAnswer), result
    return result


def refused(media: str, *, head: str = HEAD, offer: SessionDescription = OFFER) -> NegotiationFailure:
    result = negotiate_audio(offer, (head + media).encode())
    assert isinstance(result, NegotiationFailure), result
    return result


class TestOffer:
    def test_offer_as_bytes(self) -> None:
        """The offer names G.711 in both laws, 20 ms, its RTCP port, and no telephone-event."""
        assert OFFER.to_bytes().decode() == (
            "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=bridge_monitor\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
            "m=audio 40000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n"
            "a=rtcp:40001\r\na=sendrecv\r\n"
        )

    def test_offer_of_one_codec_on_other_ports(self) -> None:
        offer = audio_offer(
            host="2001:db8::1", rtp_port=5000, rtcp_port=6001, session_id=1, version=3, codecs=("PCMA",), ptime_ms=40,
            direction="recvonly", name="x",
        )  # fmt: skip
        assert offer.to_bytes().decode() == (
            "v=0\r\no=- 1 3 IN IP6 2001:db8::1\r\ns=x\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\n"
            "a=rtpmap:8 PCMA/8000\r\na=ptime:40\r\na=rtcp:6001\r\na=recvonly\r\n"
        )

    def test_an_unknown_direction_is_our_mistake(self) -> None:
        with pytest.raises(ValueError, match="both"):
            audio_offer(host="192.0.2.1", rtp_port=40000, session_id=7, direction="both")


class TestAnswerUnderstood:
    def test_plain_answer(self) -> None:
        """One codec on one port: RTCP goes one up, 20 ms and sendrecv are understood."""
        assert negotiated("m=audio 6000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n") == AudioAnswer(
            host="192.0.2.9", rtp_port=6000, rtcp_port=6001, payload_type=8, codec="PCMA", accepted_payload_types=(8,),
            direction="sendrecv", ptime_ms=20, maxptime_ms=None,
        )  # fmt: skip

    def test_first_common_codec_counts(self) -> None:
        """Formats that we never offered are passed over; both that we did may come."""
        result = negotiated("m=audio 6000 RTP/AVP 9 101 8 0\r\na=rtpmap:101 telephone-event/8000\r\n")
        assert (result.payload_type, result.codec, result.accepted_payload_types) == (8, "PCMA", (8, 0))

    def test_codec_counts_not_its_number(self) -> None:
        """A peer that numbers PCMU 96 gets 96 and sends our 0."""
        result = negotiated("m=audio 6000 RTP/AVP 96\r\na=rtpmap:96 pcmu/8000/1\r\n")
        assert (result.payload_type, result.codec, result.accepted_payload_types) == (96, "PCMU", (0,))

    def test_media_address_ports_and_times(self) -> None:
        result = negotiated(
            "m=audio 6000 RTP/AVP 0\r\na=rtcp:7001 IN IP4 192.0.2.9\r\na=ptime:30.0\r\na=maxptime:150\r\n"
            "c=IN IP4 198.51.100.1/127\r\n"
        )
        assert (result.host, result.rtcp_port, result.ptime_ms, result.maxptime_ms) == ("198.51.100.1", 7001, 30, 150)

    @pytest.mark.parametrize("said", ["0", "x", "", "-20", "99999", "\u0662\u0660"])
    def test_useless_ptime_counts_as_not_said(self, said: str) -> None:
        assert negotiated(f"m=audio 6000 RTP/AVP 0\r\na=ptime:{said}\r\n").ptime_ms == 20

    def test_feedback_profile_is_the_same_profile(self) -> None:
        assert negotiated("m=audio 6000 RTP/AVPF 0\r\n").codec == "PCMU"

    def test_further_lines_are_ignored(self) -> None:
        assert negotiated("m=audio 6000 RTP/AVP 0\r\nm=video 6002 RTP/AVP 97\r\n").codec == "PCMU"

    def test_audio_is_found_at_its_place(self) -> None:
        """RFC 3264 §6: lines answer in the order of the offer."""
        offer = replace(OFFER, media=(replace(OFFER.media[0], kind="video"), OFFER.media[0]))
        assert negotiated("m=video 0 RTP/AVP 0\r\nm=audio 6000 RTP/AVP 0\r\n", offer=offer).rtp_port == 6000
        assert refused("m=audio 6000 RTP/AVP 0\r\n", offer=offer).reason == "no_audio"

    @pytest.mark.parametrize(
        ("said", "understood"),
        [("sendrecv", "sendonly"), ("recvonly", "inactive"), ("sendonly", "sendonly"), ("inactive", "inactive")],
    )
    def test_held_the_old_way(self, said: str, understood: str) -> None:
        """RFC 3264 §8.4: c=0.0.0.0 means that nothing may be sent there."""
        head = HEAD.replace("c=IN IP4 192.0.2.9", "c=IN IP4 0.0.0.0")
        assert negotiated(f"m=audio 6000 RTP/AVP 0\r\na={said}\r\n", head=head).direction == understood


class TestAnswerUnusable:
    @pytest.mark.parametrize(
        ("media", "reason"),
        [
            ("m=audio 0 RTP/AVP 0\r\n", "media_rejected"),
            ("", "no_audio"),
            ("m=video 6000 RTP/AVP 0\r\n", "no_audio"),
            ("m=audio 6000 RTP/AVP 18\r\n", "wrong_codec"),
            ("m=audio 6000 RTP/AVP\r\n", "wrong_codec"),
            ("m=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/16000\r\n", "wrong_codec"),
            ("m=audio 6000 RTP/AVP 128\r\na=rtpmap:128 PCMU/8000\r\n", "wrong_codec"),
            ("m=audio 6000 RTP/AVP x\r\na=rtpmap:x PCMU/8000\r\n", "wrong_codec"),
            ("m=audio 6000 RTP/SAVP 0\r\n", "wrong_codec"),
            ("m=audio 6000 RTP/AVP 0\r\na=rtcp:x\r\n", "malformed"),
            ("m=audio 6000 RTP/AVP 0\r\na=rtcp:0\r\n", "malformed"),
            ("m=audio 65535 RTP/AVP 0\r\n", "malformed"),
            ("m=audio x RTP/AVP 0\r\n", "malformed"),
        ],
    )
    def test_reason(self, media: str, reason: str) -> None:
        """Each way to answer uselessly has its reason."""
        assert refused(media).reason == reason

    def test_nowhere_to_send(self) -> None:
        failure = refused("m=audio 6000 RTP/AVP 0\r\n", head="v=0\r\ns=-\r\nt=0 0\r\n")
        assert (failure.reason, "no c= line" in failure.detail) == ("malformed", True)

    def test_one_codec_offered_another_answered(self) -> None:
        """The law that we didn't offer is a wrong codec."""
        offer = audio_offer(host="192.0.2.1", rtp_port=40000, session_id=7, codecs=("PCMA",))
        failure = refused("m=audio 6000 RTP/AVP 0\r\n", offer=offer)
        assert failure == NegotiationFailure("wrong_codec", "the answer's formats are '0'")

    def test_offer_and_answer_may_both_be_bytes(self) -> None:
        assert isinstance(negotiate_audio(OFFER.to_bytes(), OFFER.to_bytes()), AudioAnswer)


class TestOurAnswer:
    def test_takes_audio_and_refuses_the_rest(self) -> None:
        """§6: as many lines as the offer, in its order; what we don't take has port 0 and keeps its formats."""
        offer = HEAD + (
            "m=video 6002 RTP/AVP 97\r\nm=audio 6000 RTP/AVP 9 8 0\r\nm=audio 6004 RTP/AVP 0\r\n"
            "m=application 6006 UDP/BFCP *\r\n"
        )
        answer = answer_audio(offer.encode(), host="192.0.2.1", rtp_port=40000, session_id=3)
        assert isinstance(answer, SessionDescription)
        assert [(media.kind, media.port, media.formats) for media in answer.media] == [
            ("video", 0, ("97",)), ("audio", 40000, ("8", "0")), ("audio", 0, ("0",)), ("application", 0, ("*",)),
        ]  # fmt: skip
        assert answer.media[1].attributes == (
            ("rtpmap", "8 PCMA/8000"), ("rtpmap", "0 PCMU/8000"), ("ptime", "20"), ("rtcp", "40001"),
            ("sendrecv", None),
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
    )
    def test_direction_is_mirrored(self, theirs: str, ours: str) -> None:
        """§6.1, unless the application wants another."""
        offer = audio_offer(host="192.0.2.9", rtp_port=6000, session_id=1, direction=theirs)
        answer = answer_audio(offer, host="192.0.2.1", rtp_port=40000, session_id=3)
        assert isinstance(answer, SessionDescription)
        assert answer.direction_of(answer.media[0]) == ours
        wanted = answer_audio(offer, host="192.0.2.1", rtp_port=40000, session_id=3, direction="inactive")
        assert isinstance(wanted, SessionDescription)
        assert wanted.direction_of(wanted.media[0]) == "inactive"

    @pytest.mark.parametrize(
        ("offer", "reason"),
        [
            (b"nonsense", "malformed"),
            (HEAD.encode(), "no_audio"),
            ((HEAD + "m=audio 0 RTP/AVP 0\r\n").encode(), "no_audio"),
            ((HEAD + "m=audio 6000 RTP/AVP 18\r\n").encode(), "wrong_codec"),
            ((HEAD + "m=audio 6000 RTP/SAVP 0\r\n").encode(), "wrong_codec"),
            (b"v=0\r\nm=audio 6000 RTP/AVP 0\r\n", "malformed"),
        ],
    )
    def test_unanswerable_offers(self, offer: bytes, reason: str) -> None:
        """An offer without usable audio is a failure value with its reason."""
        failure = answer_audio(offer, host="192.0.2.1", rtp_port=40000, session_id=3)
        assert isinstance(failure, NegotiationFailure)
        assert failure.reason == reason


class TestAnswerInsideACall:
    def test_same_session_keeps_its_version(self) -> None:
        """§8: an answer that says the same keeps the version of o=."""
        current = OFFER.to_bytes()
        offer = audio_offer(host="192.0.2.9", rtp_port=6000, session_id=1)
        answer = reanswer_audio(current, offer.to_bytes())
        assert answer == OFFER

    def test_another_session_counts_up(self) -> None:
        """A hold changes our direction, so the version goes up by one."""
        offer = audio_offer(host="192.0.2.9", rtp_port=6000, session_id=1, version=2, direction="sendonly")
        answer = reanswer_audio(OFFER.to_bytes(), offer.to_bytes())
        assert isinstance(answer, SessionDescription)
        assert answer.origin is not None
        assert (answer.origin.version, answer.origin.session_id) == (2, "7")
        assert answer.direction_of(answer.media[0]) == "recvonly"
        assert answer.media[0].port == 40000

    def test_an_offer_that_cannot_be_taken(self) -> None:
        offer = HEAD + "m=audio 6000 RTP/AVP 18\r\n"
        failure = reanswer_audio(OFFER.to_bytes(), offer.encode())
        assert isinstance(failure, NegotiationFailure)
        assert failure.reason == "wrong_codec"

    @pytest.mark.parametrize(
        "current",
        [
            b"",
            HEAD.encode(),
            b"v=0\r\nm=audio 6000 RTP/AVP 0\r\n",
            b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 6000 RTP/AVP 0\r\n",
            (HEAD + "m=audio 65535 RTP/AVP 0\r\n").encode(),
        ],
    )
    def test_no_session_to_keep(self, current: bytes) -> None:
        failure = reanswer_audio(current, OFFER.to_bytes())
        assert isinstance(failure, NegotiationFailure)
        assert failure.reason == "malformed"


@given(
    st.sampled_from([("PCMU", "PCMA"), ("PCMA",), ("PCMU",)]),
    st.sampled_from([("PCMU", "PCMA"), ("PCMA", "PCMU"), ("PCMA",)]),
    st.integers(1, 65534),
    st.integers(1, 65534),
)
def test_both_sides_agree(ours: tuple[str, ...], theirs: tuple[str, ...], here: int, there: int) -> None:
    """Whatever one side offers and the other takes, both understand the same codec and address."""
    offer = audio_offer(host="192.0.2.1", rtp_port=here, session_id=1, codecs=ours)
    answer = answer_audio(parse(offer.to_bytes()), host="192.0.2.9", rtp_port=there, session_id=2, codecs=theirs)
    if not set(ours) & set(theirs):
        assert isinstance(answer, NegotiationFailure)
        return
    assert isinstance(answer, SessionDescription)
    result = negotiate_audio(offer, answer.to_bytes())
    assert isinstance(result, AudioAnswer)
    assert (result.host, result.rtp_port, result.rtcp_port) == ("192.0.2.9", there, there + 1)
    assert result.codec == next(codec for codec in ours if codec in theirs)

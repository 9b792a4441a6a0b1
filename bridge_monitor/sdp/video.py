"""Offer and answer for one H.264 stream beside the audio (RFC 3264, RFC 6184 §8.2): making ours, understanding theirs.

Owns the rules of the video line; must not judge: a room without video is a `NegotiationFailure` value, no fault.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bridge_monitor.domain.values import dataclass
from bridge_monitor.errors import SdpSyntaxError
from bridge_monitor.sdp.description import DIRECTIONS, MediaDescription, SessionDescription, parse, printable
from bridge_monitor.sdp.negotiation import (
    MIRRORED,
    NegotiationFailure,
    answered_lines,
    reanswer_audio,
    rtcp_port_of,
    rtp_profile,
    way_to,
)

H264_PAYLOAD_TYPE: Final = 96
"""The number that our offers give H.264."""
H264_FORMAT: Final = "profile-level-id=42e01f;packetization-mode=1"
"""Constrained baseline, level 3.1, FU-A and STAP-A allowed (RFC 6184 §8.1)."""

_ENCODING: Final = "H264/90000"
_BASELINE: Final = "42"
_PAYLOAD_SHARE: Final = 1350 / 1390
"""Of a full packet's bytes: TIAS counts no headers of IP, UDP and RTP (RFC 3890 §6.2), AS does (RFC 8866 §5.8)."""


@dataclass(frozen=True, slots=True)
class VideoAnswer:
    """What both sides agreed on for video.

    Attributes:
        host: Where our RTP goes: host text of the peer's ``c=`` line.
        rtp_port: Port for our RTP.
        rtcp_port: Port for our RTCP: ``a=rtcp`` (RFC 3605), else the next one up.
        payload_type: Payload type to send, as the peer numbers H.264.
        accepted_payload_types: What the peer may send: our number of it.
        direction: The peer's direction (``sendrecv``, ``sendonly``, ``recvonly``, ``inactive``).
    """

    host: str
    rtp_port: int
    rtcp_port: int
    payload_type: int
    accepted_payload_types: tuple[int, ...]
    direction: str


def offer_video(
    offer: SessionDescription,
    *,
    rtp_port: int,
    bitrate_bps: int,
    rtcp_port: int | None = None,
    direction: str = "sendrecv",
) -> SessionDescription:
    """Return an offer with an H.264 line after its others.

    Args:
        offer: The offer without video (`audio_offer`).
        rtp_port: Our port for video's RTP.
        bitrate_bps: What we want to get at most, headers of RTP, UDP and IP included.
        rtcp_port: Our port for its RTCP; None: the next one up.
        direction: Our direction.
    """
    line = _line(H264_PAYLOAD_TYPE, "RTP/AVP", rtp_port, rtcp_port, direction)
    bandwidths = (f"AS:{-(-bitrate_bps // 1000)}", f"TIAS:{round(bitrate_bps * _PAYLOAD_SHARE)}")
    return replace(offer, media=(*offer.media, replace(line, bandwidths=bandwidths)))


def negotiate_video(
    offer: SessionDescription | bytes, answer: SessionDescription | bytes
) -> VideoAnswer | NegotiationFailure:
    """Read the video line of a peer's answer to our offer (RFC 3264 §7).

    Lines are matched by their place. The peer may number H.264 otherwise than we did; packets of other modes than ours
    are another codec (RFC 6184 §8.2.2: the mode is not negotiated downwards).
    """
    lines = answered_lines(offer, answer, "video")
    if isinstance(lines, NegotiationFailure):
        return lines
    offered, media, theirs = lines
    ours_h264, theirs_h264 = _h264(offered), _h264(media)
    if rtp_profile(media.protocol) != rtp_profile(offered.protocol) or not ours_h264 or not theirs_h264:
        spoken = printable(f"{media.protocol} {' '.join(media.formats)}")
        return NegotiationFailure("wrong_codec", f"the answer's video is {spoken}, not H.264 in mode 1")
    way = way_to(theirs, media)
    if isinstance(way, NegotiationFailure):
        return way
    return VideoAnswer(
        host=way.host,
        rtp_port=media.port,
        rtcp_port=way.rtcp_port,
        payload_type=theirs_h264[0],
        accepted_payload_types=ours_h264,
        direction=way.direction,
    )


def answer_video(
    answer: SessionDescription,
    offer: SessionDescription,
    *,
    rtp_port: int,
    rtcp_port: int | None = None,
    direction: str | None = None,
) -> SessionDescription:
    """Return an answer that takes the offer's first video line, if it has one that we can speak; else as it was.

    Args:
        answer: The answer so far, its lines in the offer's order (`answer_audio`).
        offer: The peer's offer.
        rtp_port: Our port for video's RTP.
        rtcp_port: Our port for its RTCP; None: the next one up.
        direction: Our direction; None mirrors the offer's (RFC 3264 §6.1).
    """
    for place, (media, line) in enumerate(zip(offer.media, answer.media, strict=True)):
        if media.kind != "video" or not media.port or rtp_profile(media.protocol) != "RTP/AVP":
            continue
        numbers = _h264(media)
        if numbers and line.port == 0 and offer.connection_of(media) is not None:
            mirrored = direction or MIRRORED[offer.direction_of(media)]
            taken = _line(numbers[0], media.protocol, rtp_port, rtcp_port, mirrored)
            return replace(answer, media=(*answer.media[:place], taken, *answer.media[place + 1 :]))
    return answer


def settle(offer: bytes, answer: bytes) -> bytes:
    """Return what our offer is worth after its answer: lines that the answer refuses are refused (RFC 3264 §6, §8).

    Their ports are free for others from then on. What was not refused, or can't be read, stays as it was.
    """
    if offer.count(b"\nm=") < 2:
        return offer  # nothing is left of one whose only line was refused
    try:
        ours, theirs = parse(offer), parse(answer)
    except SdpSyntaxError:
        return offer
    refused = [place >= len(theirs.media) or theirs.media[place].port == 0 for place in range(len(ours.media))]
    if ours.origin is None or all(refused) or not any(refused):
        return offer
    media = tuple(
        MediaDescription(line.kind, 0, line.protocol, line.formats) if is_refused else line
        for line, is_refused in zip(ours.media, refused, strict=True)
    )
    # As it stands it was never sent: the next description that says so is a new one.
    return replace(ours, origin=replace(ours.origin, version=ours.origin.version + 1), media=media).to_bytes()


def reanswer(current: bytes, offer: bytes) -> SessionDescription | NegotiationFailure:
    """Answer an offer made inside a call (re-INVITE, UPDATE) with the address and ports of our current description.

    The version of ``o=`` counts up only if the answer differs from the current description (RFC 3264 §8).
    """
    answer = reanswer_audio(current, offer)
    if isinstance(answer, NegotiationFailure):
        return answer
    ours = parse(current)  # it was read before, as was the offer
    video = next((media for media in ours.media if media.kind == "video" and media.port), None)
    if video is None or ours.origin is None:
        return answer
    try:
        rtcp_port = rtcp_port_of(video)
    except SdpSyntaxError:
        return NegotiationFailure("malformed", "our current description has no port for video's RTCP")
    answer = answer_video(answer, parse(offer), rtp_port=video.port, rtcp_port=rtcp_port)
    unchanged = replace(answer, origin=ours.origin)
    return (
        unchanged
        if unchanged == ours
        else replace(answer, origin=replace(ours.origin, version=ours.origin.version + 1))
    )


def _line(payload_type: int, protocol: str, rtp_port: int, rtcp_port: int | None, direction: str) -> MediaDescription:
    if direction not in DIRECTIONS:
        raise ValueError(direction)
    rtcp = rtp_port + 1 if rtcp_port is None else rtcp_port
    attributes = (
        ("rtpmap", f"{payload_type} {_ENCODING}"),
        ("fmtp", f"{payload_type} {H264_FORMAT}"),
        ("rtcp", str(rtcp)),
        (direction, None),
    )
    return MediaDescription("video", rtp_port, protocol, (str(payload_type),), attributes=attributes)


def _h264(media: MediaDescription) -> tuple[int, ...]:
    """Return the payload types of H.264 in packetization mode 1, those of baseline profile first."""
    found = []
    for text in media.formats:
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 128
        parameters = _parameters(media, text)
        if (
            number < 128
            and (media.rtpmap(text) or "").upper() == _ENCODING
            and parameters.get("packetization-mode") == "1"
        ):
            found.append((not parameters.get("profile-level-id", _BASELINE).startswith(_BASELINE), number))
    return tuple(number for _, number in sorted(found, key=lambda entry: entry[0]))


def _parameters(media: MediaDescription, payload_type: str) -> dict[str, str]:
    """Return what ``a=fmtp`` says of a payload type, names in lower case."""
    prefix = payload_type + " "
    said = next((value for name, value in media.attributes if name == "fmtp" and (value or "").startswith(prefix)), "")
    pairs = (part.partition("=") for part in (said or "")[len(prefix) :].split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}

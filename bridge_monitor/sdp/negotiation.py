"""Offer and answer for one G.711 audio stream (RFC 3264): making ours, and understanding theirs.

Owns the rules; must not judge a call: a room's unusable answer is a `NegotiationFailure` value, never an exception.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal, NamedTuple

from bridge_monitor.domain.values import dataclass
from bridge_monitor.errors import SdpSyntaxError
from bridge_monitor.sdp.description import (
    DIRECTIONS,
    STATIC_RTPMAPS,
    Connection,
    MediaDescription,
    Origin,
    SessionDescription,
    parse,
    printable,
)
from bridge_monitor.sdp.usual import read_usual_answer

PAYLOAD_TYPES: Final = {"PCMU": 0, "PCMA": 8}
"""Static payload types of the codecs we speak (RFC 3551 §6)."""

_ENCODINGS: Final = {codec: (f"{codec}/8000", f"{codec}/8000/1") for codec in PAYLOAD_TYPES}
"""PCMU/8000 and PCMU/8000/1 are the same; another clock is another codec."""

MIRRORED: Final = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
"""The answer's direction to each offered one (RFC 3264 §6.1)."""

FailureReason = Literal["media_rejected", "wrong_codec", "no_audio", "no_video", "malformed"]


@dataclass(frozen=True, slots=True)
class AudioAnswer:
    """What both sides agreed on for audio.

    Attributes:
        host: Where our RTP goes: host text of the peer's ``c=`` line.
        rtp_port: Port for our RTP.
        rtcp_port: Port for our RTCP: ``a=rtcp`` (RFC 3605), else the next one up.
        payload_type: Payload type to send, as the peer numbers it.
        codec: ``PCMU`` or ``PCMA``.
        accepted_payload_types: What the peer may send: our numbers of the codecs agreed on.
        direction: The peer's direction (``sendrecv``, ``sendonly``, ``recvonly``, ``inactive``).
        ptime_ms: The packet time that the peer asks for; 20 if it doesn't say.
        maxptime_ms: Longest packet the peer takes, in ms; None if it doesn't say.
    """

    host: str
    rtp_port: int
    rtcp_port: int
    payload_type: int
    codec: str
    accepted_payload_types: tuple[int, ...]
    direction: str
    ptime_ms: int
    maxptime_ms: int | None


@dataclass(frozen=True, slots=True)
class NegotiationFailure:
    """Why there is nothing to exchange.

    Attributes:
        reason: ``media_rejected`` (port 0), ``wrong_codec`` (none that we offered, or another transport profile),
            ``no_audio``, ``no_video`` (no such line in its place), ``malformed`` (unreadable, or nowhere to send to).
        detail: The same for people.
    """

    reason: FailureReason
    detail: str


def audio_offer(
    *,
    host: str,
    rtp_port: int,
    session_id: int,
    rtcp_port: int | None = None,
    version: int = 1,
    codecs: tuple[str, ...] = ("PCMU", "PCMA"),
    ptime_ms: int = 20,
    direction: str = "sendrecv",
    name: str = "bridge_monitor",
) -> SessionDescription:
    """Build an offer of one G.711 audio stream.

    Args:
        host: Our address for media.
        rtp_port: Our RTP port.
        session_id: Number that identifies the session (RFC 8866 §5.2), up to 2^63-1.
        rtcp_port: Our RTCP port; None: the next one up.
        version: Version of the description; must count up with every change.
        codecs: ``PCMU``, ``PCMA``, best first.
        ptime_ms: Packet time in milliseconds.
        direction: Our direction.
        name: Session name.
    """
    connection = Connection(host, "IP6" if ":" in host else "IP4")
    formats = tuple(str(PAYLOAD_TYPES[codec]) for codec in codecs)
    attributes: list[tuple[str, str | None]] = [("rtpmap", f"{PAYLOAD_TYPES[codec]} {codec}/8000") for codec in codecs]
    attributes += _transport_attributes(rtp_port, rtcp_port, ptime_ms, direction)
    media = MediaDescription("audio", rtp_port, "RTP/AVP", formats, attributes=tuple(attributes))
    origin = Origin("-", str(session_id), version, host, connection.address_type)
    return SessionDescription(origin=origin, name=name, connection=connection, media=(media,))


def negotiate_audio(
    offer: SessionDescription | bytes, answer: SessionDescription | bytes
) -> AudioAnswer | NegotiationFailure:
    """Read a peer's answer to our offer (RFC 3264 §7).

    Lines are matched by their place; a peer's answer may name its payload types otherwise than we did, and its codec
    counts if it is one that we offered. Extra lines are ignored.
    """
    if isinstance(offer, SessionDescription) and isinstance(answer, bytes):
        usual = _usual_audio(offer, answer)
        if usual is not None:
            return usual
    return negotiate_audio_in_full(offer, answer)


def negotiate_audio_in_full(
    offer: SessionDescription | bytes, answer: SessionDescription | bytes
) -> AudioAnswer | NegotiationFailure:
    """Do the same without the short cut for usual answers."""
    lines = answered_lines(offer, answer, "audio")
    if isinstance(lines, NegotiationFailure):
        return lines
    offered, media, theirs = lines
    if rtp_profile(media.protocol) != rtp_profile(offered.protocol):
        spoken = printable(media.protocol)
        return NegotiationFailure("wrong_codec", f"the answer speaks {spoken}, the offer {offered.protocol}")
    wanted = {codec: payload_type for payload_type, codec in _codecs(offered)}
    agreed = [(payload_type, codec) for payload_type, codec in _codecs(media) if codec in wanted]
    if not agreed:
        return NegotiationFailure("wrong_codec", f"the answer's formats are {printable(media.formats)}")
    way = way_to(theirs, media)
    if isinstance(way, NegotiationFailure):
        return way
    payload_type, codec = agreed[0]
    return AudioAnswer(
        host=way.host,
        rtp_port=media.port,
        rtcp_port=way.rtcp_port,
        payload_type=payload_type,
        codec=codec,
        accepted_payload_types=tuple(dict.fromkeys(wanted[codec] for _, codec in agreed)),
        direction=way.direction,
        ptime_ms=_milliseconds(media.attribute("ptime")) or 20,
        maxptime_ms=_milliseconds(media.attribute("maxptime")),
    )


def _usual_audio(offer: SessionDescription, answer: bytes) -> AudioAnswer | None:
    """Return what both sides agreed on if the answer is of the usual form and nothing is wrong with it."""
    ours = offer.media[0] if offer.media else None
    usual = read_usual_answer(answer)
    if usual is None or ours is None or ours.kind != "audio" or rtp_profile(ours.protocol) != "RTP/AVP":
        return None
    wanted = {codec: number for number, codec in _codecs(ours)}
    agreed = []
    for text in usual.formats:
        encoding = (usual.encodings.get(text) or STATIC_RTPMAPS.get(text, "")).upper()
        codec = encoding.partition("/")[0]
        if codec in wanted and encoding in _ENCODINGS[codec] and (number := int(text)) < 128:
            agreed.append((number, codec))
    said = usual.attributes.get("rtcp")
    rtcp = str(usual.port + 1) if said is None else said.partition(" ")[0]
    if not agreed or not _is_port(rtcp):
        return None
    payload_type, codec = agreed[0]
    return AudioAnswer(
        host=usual.host,
        rtp_port=usual.port,
        rtcp_port=int(rtcp),
        payload_type=payload_type,
        codec=codec,
        accepted_payload_types=tuple(dict.fromkeys(wanted[codec] for _, codec in agreed)),
        direction=usual.direction,
        ptime_ms=_milliseconds(usual.attributes.get("ptime")) or 20,
        maxptime_ms=_milliseconds(usual.attributes.get("maxptime")),
    )


def answer_audio(
    offer: SessionDescription | bytes,
    *,
    host: str,
    rtp_port: int,
    session_id: int,
    rtcp_port: int | None = None,
    version: int = 1,
    codecs: tuple[str, ...] = ("PCMU", "PCMA"),
    ptime_ms: int = 20,
    direction: str | None = None,
    name: str = "bridge_monitor",
) -> SessionDescription | NegotiationFailure:
    """Answer an offer (RFC 3264 §6): its first usable audio line is taken, every other line refused with port 0.

    Args:
        offer: The peer's offer.
        host: Our address for media.
        rtp_port: Our RTP port.
        session_id: Number that identifies the session.
        rtcp_port: Our RTCP port; None: the next one up.
        version: Version of the description; must count up with every change.
        codecs: What we speak; the offer's order decides.
        ptime_ms: Packet time in milliseconds.
        direction: Our direction; None mirrors the offer's (RFC 3264 §6.1).
        name: Session name.
    """
    try:
        theirs = parse(offer) if isinstance(offer, bytes) else offer
    except SdpSyntaxError as error:
        return NegotiationFailure("malformed", str(error))
    lines: list[MediaDescription] = []
    failure = NegotiationFailure("no_audio", "the offer has no audio line")
    taken = False
    for media in theirs.media:
        usable = () if taken else _usable(theirs, media, codecs)
        if not usable:
            lines.append(MediaDescription(media.kind, 0, media.protocol, media.formats))
            if media.kind == "audio" and media.port and not taken:
                failure = _why_not(theirs, media)
            continue
        taken = True
        attributes: list[tuple[str, str | None]] = [("rtpmap", f"{number} {codec}/8000") for number, codec in usable]
        mirrored = direction or MIRRORED[theirs.direction_of(media)]
        attributes += _transport_attributes(rtp_port, rtcp_port, ptime_ms, mirrored)
        formats = tuple(str(number) for number, _ in usable)
        lines.append(MediaDescription("audio", rtp_port, media.protocol, formats, attributes=tuple(attributes)))
    if not taken:
        return failure
    connection = Connection(host, "IP6" if ":" in host else "IP4")
    origin = Origin("-", str(session_id), version, host, connection.address_type)
    return SessionDescription(origin=origin, name=name, connection=connection, times=theirs.times, media=tuple(lines))


def reanswer_audio(current: bytes, offer: bytes) -> SessionDescription | NegotiationFailure:
    """Answer an offer made inside a call (re-INVITE, UPDATE) with the address and ports of our current description.

    The version of ``o=`` counts up only if the answer differs from the current description (RFC 3264 §8).
    """
    try:
        ours = parse(current)
        media = next(media for media in ours.media if media.kind == "audio" and media.port)
        rtcp_port = rtcp_port_of(media)
    except (SdpSyntaxError, StopIteration):
        return NegotiationFailure("malformed", "our current description has no audio")
    connection = ours.connection_of(media)
    if connection is None or ours.origin is None:
        return NegotiationFailure("malformed", "our current description has no address")
    answer = answer_audio(
        offer,
        host=connection.host,
        rtp_port=media.port,
        session_id=0,
        rtcp_port=rtcp_port,
        codecs=tuple(codec for _, codec in _codecs(media)),
        ptime_ms=_milliseconds(media.attribute("ptime")) or 20,
        name=ours.name,
    )
    if isinstance(answer, NegotiationFailure):
        return answer
    unchanged = replace(answer, origin=ours.origin)
    if unchanged == ours:
        return unchanged
    return replace(answer, origin=replace(ours.origin, version=ours.origin.version + 1))


def _transport_attributes(
    rtp_port: int, rtcp_port: int | None, ptime_ms: int, direction: str
) -> list[tuple[str, str | None]]:
    if direction not in DIRECTIONS:
        raise ValueError(direction)
    rtcp = rtp_port + 1 if rtcp_port is None else rtcp_port
    return [("ptime", str(ptime_ms)), ("rtcp", str(rtcp)), (direction, None)]


def _codecs(media: MediaDescription) -> list[tuple[int, str]]:
    """Return (payload type, PCMU or PCMA) for each format that is one, in order."""
    found = []
    for text in media.formats:
        encoding = (media.rtpmap(text) or "").upper()
        codec = encoding.partition("/")[0]
        if codec in PAYLOAD_TYPES and encoding in _ENCODINGS[codec]:
            number = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 128
            if number < 128:
                found.append((number, codec))
    return found


def _usable(
    theirs: SessionDescription, media: MediaDescription, codecs: tuple[str, ...]
) -> tuple[tuple[int, str], ...]:
    if media.kind != "audio" or not media.port or rtp_profile(media.protocol) != "RTP/AVP":
        return ()
    if theirs.connection_of(media) is None:
        return ()
    return tuple(entry for entry in _codecs(media) if entry[1] in codecs)


def _why_not(theirs: SessionDescription, media: MediaDescription) -> NegotiationFailure:
    if theirs.connection_of(media) is None:
        return NegotiationFailure("malformed", "the offer says nowhere where to send audio (no c= line)")
    formats = f"{media.protocol} {' '.join(media.formats)}"
    return NegotiationFailure("wrong_codec", f"the offer's formats are {printable(formats)}")


def answered_lines(
    offer: SessionDescription | bytes, answer: SessionDescription | bytes, kind: Literal["audio", "video"]
) -> tuple[MediaDescription, MediaDescription, SessionDescription] | NegotiationFailure:
    """Return our first line of a kind, the line in its place of the answer (RFC 3264 §6), and the answer, read."""
    try:
        ours = parse(offer) if isinstance(offer, bytes) else offer
        theirs = parse(answer) if isinstance(answer, bytes) else answer
    except SdpSyntaxError as error:
        return NegotiationFailure("malformed", str(error))
    place = next((index for index, media in enumerate(ours.media) if media.kind == kind), None)
    if place is None or place >= len(theirs.media) or theirs.media[place].kind != kind:
        reason: FailureReason = "no_audio" if kind == "audio" else "no_video"
        return NegotiationFailure(reason, f"the answer has no {kind} line in the place of ours")
    if theirs.media[place].port == 0:
        return NegotiationFailure("media_rejected", f"the answer refuses {kind} (port 0)")
    return ours.media[place], theirs.media[place], theirs


class Way(NamedTuple):
    """Where a peer takes a stream, and in which direction it flows from the peer's side."""

    host: str
    rtcp_port: int
    direction: str


def way_to(theirs: SessionDescription, media: MediaDescription) -> Way | NegotiationFailure:
    """Return where a stream of the peer's answer is to be sent."""
    connection = theirs.connection_of(media)
    if connection is None:
        return NegotiationFailure("malformed", f"the answer says nowhere where to send {media.kind} (no c= line)")
    try:
        return Way(connection.host, rtcp_port_of(media), _direction(theirs, media, connection))
    except SdpSyntaxError as error:
        return NegotiationFailure("malformed", str(error))


def rtp_profile(protocol: str) -> str:
    """Return a transport without its feedback extension: RTP/AVPF is RTP/AVP with more RTCP (RFC 4585 §4)."""
    return protocol.removesuffix("F") if protocol.endswith(("AVPF", "SAVPF")) else protocol


def _direction(theirs: SessionDescription, media: MediaDescription, connection: Connection) -> str:
    direction = theirs.direction_of(media)
    # RFC 2543's way to hold, still sent: nothing must go to 0.0.0.0 (RFC 3264 §8.4).
    if connection.host == "0.0.0.0":  # noqa: S104 - compared with, never bound to
        return {"sendrecv": "sendonly", "recvonly": "inactive"}.get(direction, direction)
    return direction


def rtcp_port_of(media: MediaDescription) -> int:
    """Return the port for RTCP: ``a=rtcp`` (RFC 3605), else the next one up.

    Raises:
        SdpSyntaxError: It is no port.
    """
    value = media.attribute("rtcp")
    port = value.partition(" ")[0] if value is not None else str(media.port + 1)
    if not _is_port(port):
        raise SdpSyntaxError(f"no port for RTCP: {printable(port)}")
    return int(port)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535


def _milliseconds(said: str | None) -> int | None:
    """Return a packet time; some rooms write ``20.0`` or ``20 ``; what is no positive number counts as not said."""
    whole = (said or "").partition(".")[0].strip()
    if whole.isascii() and whole.isdigit() and 0 < len(whole) <= 4 and int(whole) > 0:
        return int(whole)
    return None

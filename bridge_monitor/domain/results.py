"""What one test call found: a value, made once, stored, then only read.

Owns the result's shape and its one serialised form ``bridge_monitor.probe/1`` (`ProbeResult.to_dict`), which only ever
gains keys. Must not judge: grades are given by `quality`, outcomes by `probes`. What was not measured is None, never 0.
Units are SI: seconds, ratios 0–1, counts of packets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

SCHEMA: Final = "bridge_monitor.probe/1"


class Outcome(StrEnum):
    """What became of a call. Closed: each member has its rows in ``docs/outcomes.md``."""

    REACHED = "reached"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    NAME_NOT_FOUND = "name_not_found"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"
    DECLINED = "declined"
    NOT_ACCEPTABLE = "not_acceptable"
    AUTH_FAILED = "auth_failed"
    TLS_FAILED = "tls_failed"
    NO_MEDIA = "no_media"
    ONE_WAY_MEDIA_IN = "one_way_media_in"
    ONE_WAY_MEDIA_OUT = "one_way_media_out"
    LARGE_PACKETS_LOST = "large_packets_lost"
    WRONG_CODEC = "wrong_codec"
    PROTOCOL_ERROR = "protocol_error"
    LOCAL_FAULT = "local_fault"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class Grade(StrEnum):
    """How good the line was in one call."""

    GOOD = "good"
    DEGRADED = "degraded"
    FAILED = "failed"
    BUSY = "busy"
    UNTESTED = "untested"
    INVALID = "invalid"


class Advisory(StrEnum):
    """Something of the room that its technician should know, though nothing is wrong with the line.

    Closed: each member has its row in ``docs/outcomes.md``. An advisory never changes outcome, grade or a site's
    standing, and is never evidence against a carrier.
    """

    SILENT_ROOM = "silent_room"
    NO_VIDEO = "no_video"


class MediaMode(StrEnum):
    """What the figures of a stream rest on.

    ``echo``: our own packets came back. ``rtcp``: the room's stream and its reports of ours. ``inbound``: the room's
    stream alone.
    """

    ECHO = "echo"
    RTCP = "rtcp"
    INBOUND = "inbound"


class RttSource(StrEnum):
    """Where round-trip times come from."""

    ECHO = "echo"
    RTCP = "rtcp"


@dataclass(frozen=True, slots=True)
class Target:
    """Who was called: the site's code (None with ``--any-target``) and the URI."""

    site: str | None
    uri: str


@dataclass(frozen=True, slots=True)
class SipStatus:
    """The final SIP response, or the last provisional one where no final came (RFC 3261 §7.2)."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class TriedHop:
    """An address of a host name that the request was sent to (RFC 3263 §4).

    Attributes:
        transport: ``udp``, ``tcp`` or ``tls``.
        host: IP address.
        port: Port.
        failed: Why the call went on from there or ended (``timeout``, ``icmp``, ``status_503``, …); None: it answered.
    """

    transport: str
    host: str
    port: int
    failed: str | None


@dataclass(frozen=True, slots=True)
class TlsResult:
    """What was agreed on with a peer over TLS.

    Attributes:
        version: ``TLSv1.2`` or ``TLSv1.3``.
        verified: What its certificate was judged by: ``authority`` (with its name, RFC 5922 §7), ``pin``, or ``no``.
        expires_at: When its certificate's validity ends, UTC; None if it can't be read.
    """

    version: str
    verified: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Inbound:
    """What we received, by RTP sequence numbers from the first to the last packet received (RFC 3550 A.3, A.8).

    ``packets_lost`` never nets duplicates against losses. ``loss_ratio`` is lost ÷ expected.
    """

    packets_expected: int
    packets_received: int
    packets_lost: int | None
    loss_ratio: float | None
    duplicates: int
    reordered: int
    jitter_seconds: float | None
    jitter_max_seconds: float | None


@dataclass(frozen=True, slots=True)
class Outbound:
    """What the room says it received of our stream, up to its last report's highest sequence number (RFC 3550 §6.4)."""

    packets_sent: int
    packets_reported: int | None
    packets_lost: int | None
    loss_ratio: float | None
    jitter_seconds: float | None


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Our own packets that came back from an echo; it can't tell in which direction the others were lost."""

    packets_sent: int
    packets_received: int
    packets_lost: int
    loss_ratio: float | None


@dataclass(frozen=True, slots=True)
class Rtt:
    """Round-trip times in seconds, on kernel receive timestamps, with the number of samples and their source."""

    min: float
    median: float
    p95: float
    max: float
    samples: int
    source: RttSource


@dataclass(frozen=True, slots=True)
class MediaResult:
    """A media stream of a call, both directions; ``mos`` and ``r_factor`` (ITU-T G.107) for narrow-band audio only."""

    kind: str
    codec: str
    mode: MediaMode | None
    inbound: Inbound | None
    outbound: Outbound | None
    round_trip: RoundTrip | None
    rtt_seconds: Rtt | None
    r_factor: float | None = None
    mos: float | None = None
    unexpected_source: bool = False
    """RTP came from another address or port than the room's SDP named (RFC 4961)."""
    audio_level_dbov: float | None = None
    """Mean level of the room's own audio, −127 (digital silence) to 0 dBov (RFC 6464 §3); None for an echo of ours."""
    audio_active_ratio: float | None = None
    """Share of that audio above −60 dBov, 0 to 1."""
    frames_expected: int | None = None
    """Video frames that should have come: of an echo those sent, else from the first to the last received."""
    frames_lost: int | None = None
    """Frames of them that came incomplete or not at all."""
    frame_rate: float | None = None
    """Frames a second by RTP timestamps, lost ones among them."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One test call, whole.

    Attributes:
        id: Time-ordered identifier (UUIDv7 text), unique over all vantages.
        target: Who was called.
        kind: ``sip`` or ``sip-options``.
        profile: Name of the profile it was called with.
        vantage: The place it was called from.
        call_id: The SIP Call-ID; None if nothing was sent.
        started_at: When the call was started, UTC.
        duration_seconds: From start to the end of the call, teardown included.
        outcome: What became of it.
        reason: snake_case detail of the outcome (``bye_unanswered``, ``rings``, …) or None.
        grade: How good the line was.
        phases: Seconds each phase took, in order; None where it was not reached.
        sip: The SIP response the outcome rests on.
        media: One entry a stream.
        invalid: Reasons why the measurement is not to be believed, each our own fault (DESIGN rule 2).
        advisories: What the room's technician should know (`Advisory`, in its order); never evidence against the line.
        hops: Where the request was sent, in order, where a name led to it; none for a numeric host.
        tls: What was agreed on over TLS; None where the call didn't go over it.
    """

    id: str
    target: Target
    kind: str
    profile: str
    vantage: str
    call_id: str | None
    started_at: datetime
    duration_seconds: float
    outcome: Outcome
    reason: str | None
    grade: Grade
    phases: Mapping[str, float | None] = field(default_factory=dict)
    sip: SipStatus | None = None
    media: tuple[MediaResult, ...] = ()
    invalid: tuple[str, ...] = ()
    advisories: tuple[str, ...] = ()
    hops: tuple[TriedHop, ...] = ()
    tls: TlsResult | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result's one plain serialised form: JSON types only, keys as in the issue and the README."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "target": asdict(self.target),
            "kind": self.kind,
            "profile": self.profile,
            "vantage": self.vantage,
            "call_id": self.call_id,
            "started_at": _instant(self.started_at),
            "duration_seconds": self.duration_seconds,
            "outcome": str(self.outcome),
            "reason": self.reason,
            "grade": str(self.grade),
            "phases": dict(self.phases),
            "sip": asdict(self.sip) if self.sip else None,
            "media": [_media_to_dict(stream) for stream in self.media],
            "invalid": list(self.invalid),
            "advisories": [str(name) for name in self.advisories],
            "hops": [asdict(hop) for hop in self.hops],
            "tls": _tls_to_dict(self.tls) if self.tls else None,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ProbeResult:
        """Rebuild a result from `to_dict`'s form; unknown keys are ignored, since the schema may gain some.

        Raises:
            ValueError: The schema is another one, or an enum value is unknown.
            KeyError: A key is missing.
        """
        if plain["schema"] != SCHEMA:
            raise ValueError(f"schema {plain['schema']!r} is not {SCHEMA!r}")
        sip = plain["sip"]
        return cls(
            id=plain["id"],
            target=_known(Target, plain["target"]),
            kind=plain["kind"],
            profile=plain["profile"],
            vantage=plain["vantage"],
            call_id=plain["call_id"],
            started_at=datetime.fromisoformat(plain["started_at"]),
            duration_seconds=plain["duration_seconds"],
            outcome=Outcome(plain["outcome"]),
            reason=plain["reason"],
            grade=Grade(plain["grade"]),
            phases=dict(plain["phases"]),
            sip=_known(SipStatus, sip) if sip else None,
            media=tuple(_media_from_dict(stream) for stream in plain["media"]),
            invalid=tuple(plain["invalid"]),
            advisories=tuple(plain.get("advisories", ())),
            hops=tuple(_known(TriedHop, hop) for hop in plain.get("hops", ())),
            tls=_tls_from_dict(plain["tls"]) if plain.get("tls") else None,
        )


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _tls_to_dict(tls: TlsResult) -> dict[str, Any]:
    return {**asdict(tls), "expires_at": _instant(tls.expires_at) if tls.expires_at else None}


def _tls_from_dict(plain: Mapping[str, Any]) -> TlsResult:
    expires = plain["expires_at"]
    return _known(TlsResult, {**plain, "expires_at": datetime.fromisoformat(expires) if expires else None})


def _media_to_dict(stream: MediaResult) -> dict[str, Any]:
    plain = asdict(stream)
    plain["mode"] = str(stream.mode) if stream.mode else None
    if stream.rtt_seconds:
        plain["rtt_seconds"]["source"] = str(stream.rtt_seconds.source)
    return plain


def _media_from_dict(plain: Mapping[str, Any]) -> MediaResult:
    rtt = plain["rtt_seconds"]
    return MediaResult(
        kind=plain["kind"],
        codec=plain["codec"],
        mode=MediaMode(plain["mode"]) if plain["mode"] else None,
        inbound=_known(Inbound, plain["inbound"]) if plain["inbound"] else None,
        outbound=_known(Outbound, plain["outbound"]) if plain["outbound"] else None,
        round_trip=_known(RoundTrip, plain["round_trip"]) if plain["round_trip"] else None,
        rtt_seconds=_known(Rtt, {**rtt, "source": RttSource(rtt["source"])}) if rtt else None,
        r_factor=plain["r_factor"],
        mos=plain["mos"],
        unexpected_source=plain.get("unexpected_source", False),
        audio_level_dbov=plain.get("audio_level_dbov"),
        audio_active_ratio=plain.get("audio_active_ratio"),
        frames_expected=plain.get("frames_expected"),
        frames_lost=plain.get("frames_lost"),
        frame_rate=plain.get("frame_rate"),
    )


def _known(kind: type[_T], plain: Mapping[str, Any]) -> _T:
    """Build ``kind`` from the keys it knows."""
    names = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in plain.items() if key in names})

"""What can be wrong with a simulated room: the kinds of fault, one planned fault, the whole plan, what each must show.

Owns the facts; must not choose sites (`sim.assignment`) nor read files (`sim.plan_file`). `expected` agrees with
``docs/outcomes.md``, and a test reads that table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bridge_monitor.domain import Advisory, Grade, Outcome
from bridge_monitor.quality import Thresholds

DEFAULT_ZONE: Final = "Asia/Ho_Chi_Minh"
DEFAULT_LARGEST_PACKET: Final = 1200
"""IP bytes that still pass, unless a plan says otherwise: less than a large test packet, more than any audio."""


class FaultKind(StrEnum):
    """Everything that can be planted."""

    DEAD = "dead"
    SILENT = "silent"
    RINGS_ONLY = "rings_only"
    BUSY = "busy"
    DECLINED = "declined"
    CHALLENGES = "challenges"
    SLOW_ANSWER = "slow_answer"
    NO_MEDIA = "no_media"
    ONE_WAY_IN = "one_way_in"
    ONE_WAY_OUT = "one_way_out"
    LOSS = "loss"
    DELAY = "delay"
    JITTER = "jitter"
    REORDERING = "reordering"
    DUPLICATION = "duplication"
    LARGE_PACKETS_LOST = "large_packets_lost"
    WRONG_CODEC = "wrong_codec"
    UNEXPECTED_PORT = "unexpected_port"
    MALFORMED_SIP = "malformed_sip"
    BYE_UNANSWERED = "bye_unanswered"
    MUTED = "muted"
    BANDWIDTH = "bandwidth"
    NO_VIDEO = "no_video"


class Direction(StrEnum):
    """Which way packets are lost, seen from the room."""

    TO_ROOM = "to_room"
    FROM_ROOM = "from_room"
    BOTH = "both"


class CodecStage(StrEnum):
    """Where the codec that was not offered shows: in the SDP answer, or only in the RTP that is sent."""

    ANSWER = "answer"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Clock:
    """A wall-clock time of the day the nation starts on, in the plan's zone."""

    at: time

    def __str__(self) -> str:
        return self.at.strftime("%H:%M" if self.at.second == 0 else "%H:%M:%S")


Moment = float | Clock
"""When a fault begins or ends: seconds since the nation started, or a time of day."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of a plan: what, where and when.

    The rooms are those named by ``sites``, ``provinces`` and ``carriers`` together, kept to ``tiers`` if any is given,
    and of these ``share``, drawn by the plan's seed.

    Attributes:
        kind: What is wrong.
        sites: Codes of single sites.
        provinces: Codes of provinces: every room in them.
        carriers: Names of carriers: every room on their lines.
        tiers: Only rooms of these tiers; empty means all.
        share: Part of the rooms that have it, 0–1.
        begin: When it begins; None from the start.
        end: When it ends; None never.
        combine: Whether it may befall rooms that an earlier entry has already taken at the same time.
        seconds: How long (``slow_answer``, ``delay``), how much (``jitter``: RFC 3550's estimate), how long a packet is
            held back (``reordering``).
        rate: Part of the packets, 0–1 (``loss``, ``reordering``, ``duplication``).
        burst: Mean number of packets lost in a row (Gilbert's model); None loses each packet by itself.
        direction: Which way packets are lost.
        bits_per_second: What the line lets pass, IP headers included (``bandwidth``).
        threshold_bytes: Largest IP packet that still passes (``large_packets_lost``).
        stage: Where the wrong codec shows.
        line: Its line in the plan's file; 0 if it came from no file.
    """

    kind: FaultKind
    sites: tuple[str, ...] = ()
    provinces: tuple[str, ...] = ()
    carriers: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    share: float = 1.0
    begin: Moment | None = None
    end: Moment | None = None
    combine: bool = False
    seconds: float = 0.0
    rate: float = 0.0
    burst: float | None = None
    direction: Direction = Direction.BOTH
    bits_per_second: float = 0.0
    threshold_bytes: int = DEFAULT_LARGEST_PACKET
    stage: CodecStage = CodecStage.ANSWER
    line: int = 0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong in a simulated nation.

    Attributes:
        faults: Its entries; where two want the same room at the same time, the first has it.
        seed: All choices come from it.
        zone: IANA name of the zone of its wall-clock times.
    """

    faults: tuple[Fault, ...] = ()
    seed: int = 0
    zone: str = DEFAULT_ZONE


@dataclass(frozen=True, slots=True)
class Limits:
    """Range of a parameter; ``default`` None means it must be given."""

    low: float
    high: float
    default: float | None = None


REFUSALS: Final[Mapping[FaultKind, tuple[int, tuple[str, ...]]]] = MappingProxyType(
    {
        FaultKind.BUSY: (486, ()),
        FaultKind.DECLINED: (603, ()),
        FaultKind.CHALLENGES: (401, ('WWW-Authenticate: Digest realm="simulated", nonce="0", qop="auth"',)),
    }
)
"""What an INVITE is refused with: status and further header lines. There is no account of the realm that is named."""

PARAMETERS: Final[Mapping[FaultKind, Mapping[str, Limits]]] = MappingProxyType(
    {
        FaultKind.SLOW_ANSWER: {"seconds": Limits(0.0, 180.0)},
        FaultKind.LOSS: {"rate": Limits(0.0, 1.0), "burst": Limits(1.0, 1000.0, 0.0)},
        FaultKind.DELAY: {"seconds": Limits(0.0, 10.0)},
        FaultKind.JITTER: {"seconds": Limits(0.0, 2.0)},
        FaultKind.REORDERING: {"rate": Limits(0.0, 1.0), "seconds": Limits(0.0, 2.0, 0.03)},
        FaultKind.DUPLICATION: {"rate": Limits(0.0, 1.0)},
        FaultKind.BANDWIDTH: {"bits_per_second": Limits(10_000.0, 1e10)},
        FaultKind.LARGE_PACKETS_LOST: {"threshold_bytes": Limits(68, 65535, DEFAULT_LARGEST_PACKET)},
    }
)
"""The numbers each kind understands. 68 bytes is the smallest MTU of IPv4 (RFC 791); 30 ms lets one packet overtake."""

_AMPLE_FOR_AUDIO_BPS: Final = 200_000.0
"""A line of this rate carries audio with its large packets and reports, and is a fault to calls with video alone."""

ANSWER_TIMEOUT_SECONDS: Final = 10.0
"""The caller's default patience; `expected` takes another."""

_EXPECTED: Final[Mapping[FaultKind, tuple[Outcome, Grade, str | None]]] = MappingProxyType(
    {
        FaultKind.DEAD: (Outcome.UNREACHABLE, Grade.FAILED, None),
        FaultKind.SILENT: (Outcome.TIMEOUT, Grade.FAILED, None),
        FaultKind.RINGS_ONLY: (Outcome.NO_ANSWER, Grade.UNTESTED, None),
        FaultKind.BUSY: (Outcome.BUSY, Grade.BUSY, None),
        FaultKind.DECLINED: (Outcome.DECLINED, Grade.FAILED, None),
        FaultKind.CHALLENGES: (Outcome.AUTH_FAILED, Grade.UNTESTED, "no_credentials"),
        FaultKind.NO_MEDIA: (Outcome.NO_MEDIA, Grade.FAILED, None),
        FaultKind.ONE_WAY_IN: (Outcome.ONE_WAY_MEDIA_IN, Grade.FAILED, None),
        FaultKind.ONE_WAY_OUT: (Outcome.ONE_WAY_MEDIA_OUT, Grade.FAILED, None),
        FaultKind.REORDERING: (Outcome.REACHED, Grade.GOOD, None),
        FaultKind.DUPLICATION: (Outcome.REACHED, Grade.GOOD, None),
        FaultKind.LARGE_PACKETS_LOST: (Outcome.LARGE_PACKETS_LOST, Grade.FAILED, None),
        FaultKind.WRONG_CODEC: (Outcome.WRONG_CODEC, Grade.FAILED, None),
        FaultKind.UNEXPECTED_PORT: (Outcome.REACHED, Grade.GOOD, None),
        FaultKind.MALFORMED_SIP: (Outcome.PROTOCOL_ERROR, Grade.FAILED, None),
        FaultKind.BYE_UNANSWERED: (Outcome.REACHED, Grade.GOOD, "bye_unanswered"),
        FaultKind.MUTED: (Outcome.REACHED, Grade.GOOD, None),
        FaultKind.BANDWIDTH: (Outcome.REACHED, Grade.GOOD, None),
        FaultKind.NO_VIDEO: (Outcome.REACHED, Grade.GOOD, None),
    }
)


def expected(
    fault: Fault | None,
    thresholds: Thresholds | None = None,
    *,
    answer_timeout: float = ANSWER_TIMEOUT_SECONDS,
) -> tuple[Outcome, Grade]:
    """Return what a test call without video must find of a room with this fault alone (``docs/outcomes.md``).

    Args:
        fault: The fault; None for a healthy room.
        thresholds: The grading limits of the room's tier; None for the defaults.
        answer_timeout: Seconds the caller waits for an answer.
    """
    outcome, grade, _ = _expectation(fault, thresholds or Thresholds(), answer_timeout)
    return outcome, grade


def expected_reason(
    fault: Fault | None,
    thresholds: Thresholds | None = None,
    *,
    answer_timeout: float = ANSWER_TIMEOUT_SECONDS,
) -> str | None:
    """Return the ``reason`` that comes with `expected`, or None where the table names none."""
    return _expectation(fault, thresholds or Thresholds(), answer_timeout)[2]


def expected_advisories(fault: Fault | None) -> tuple[Advisory, ...]:
    """Return the advisories that a test call to a room with this fault alone must find."""
    return (Advisory.SILENT_ROOM,) if fault and fault.kind is FaultKind.MUTED else ()


def is_certain(fault: Fault, thresholds: Thresholds | None = None) -> bool:
    """Return whether one call of the default length must find the fault's grade.

    A loss near a threshold is graded by chance: only three times the threshold is beyond doubt in about 500 packets.
    A delay or jitter must stand clear of the limit by a tenth, since paths have some of their own.
    """
    limits = thresholds or Thresholds()
    match fault.kind:
        case FaultKind.LOSS:
            seen = _rate_both_ways(fault) * (1 + 1e-9)  # 3 × 0.05 is a little more than 0.15
            if seen <= limits.loss_failed:
                return seen >= 3 * limits.loss_degraded or 3 * seen <= limits.loss_degraded
            return seen >= 3 * limits.loss_failed
        case FaultKind.DELAY:
            bounds = (limits.rtt_degraded_seconds, limits.rtt_failed_seconds)
            return all(abs(fault.seconds - bound) >= 0.1 * bound for bound in bounds)
        case FaultKind.JITTER:
            return abs(fault.seconds - limits.jitter_degraded_seconds) >= 0.1 * limits.jitter_degraded_seconds
        case FaultKind.BANDWIDTH:
            return fault.bits_per_second >= _AMPLE_FOR_AUDIO_BPS
        case FaultKind.SLOW_ANSWER:
            return abs(fault.seconds - limits.setup_degraded_seconds) >= 0.1 * limits.setup_degraded_seconds
        case _:
            return True


def _expectation(fault: Fault | None, limits: Thresholds, answer_timeout: float) -> tuple[Outcome, Grade, str | None]:
    if fault is None:
        return Outcome.REACHED, Grade.GOOD, None
    match fault.kind:
        case FaultKind.SLOW_ANSWER:
            if fault.seconds >= answer_timeout:
                return _EXPECTED[FaultKind.RINGS_ONLY]
            return _reached(fault.seconds, limits.setup_degraded_seconds, None, "slow_answer")
        case FaultKind.LOSS:
            return _reached(_rate_both_ways(fault), limits.loss_degraded, limits.loss_failed, "loss")
        case FaultKind.DELAY:
            return _reached(fault.seconds, limits.rtt_degraded_seconds, limits.rtt_failed_seconds, "rtt")
        case FaultKind.JITTER:
            return _reached(fault.seconds, limits.jitter_degraded_seconds, None, "jitter")
        case kind:
            return _EXPECTED[kind]


def _reached(value: float, degraded: float, failed: float | None, reason: str) -> tuple[Outcome, Grade, str | None]:
    if failed is not None and value > failed:
        return Outcome.REACHED, Grade.FAILED, reason
    if value > degraded:
        return Outcome.REACHED, Grade.DEGRADED, reason
    return Outcome.REACHED, Grade.GOOD, None


def _rate_both_ways(fault: Fault) -> float:
    """Return the loss an echo shows: both directions together where the fault lies in both."""
    if fault.direction is Direction.BOTH:
        return 1.0 - (1.0 - fault.rate) ** 2
    return fault.rate

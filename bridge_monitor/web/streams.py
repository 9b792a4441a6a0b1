"""What of a result is exported as figures: which stream, which packets its loss was counted over, the set-up delay.

Owns that choice; must not render it. What was not measured is None.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from bridge_monitor.domain import Grade, MediaResult, Outcome, ProbeResult, Rtt

_SETUP_PHASES: Final = ("resolve", "connect", "tls", "trying", "ringing", "answer")
_NOT_THE_LINES: Final = frozenset({Outcome.LOCAL_FAULT, Outcome.CANCELLED, Outcome.REFUSED})


class Direction(StrEnum):
    """Where loss was seen: in what we received, in what the room received, or somewhere on the way there and back."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    ROUND_TRIP = "round_trip"


class Counted(NamedTuple):
    """Packets lost, and the packets that they were counted over: lost ÷ packets is the loss."""

    packets: int
    lost: int


class Loss(NamedTuple):
    """A stream's packets and its loss ratio in one direction."""

    counted: Counted
    ratio: float | None


def tells_of_the_line(result: ProbeResult) -> bool:
    """Return whether the result's figures may be exported: not invalid, not cut short, not our own fault."""
    return not result.invalid and result.grade is not Grade.INVALID and result.outcome not in _NOT_THE_LINES


def audio_of(result: ProbeResult) -> MediaResult | None:
    """Return the call's first audio stream; the series have no label for the kind of a stream."""
    return next((stream for stream in result.media if stream.kind == "audio"), None)


def video_of(result: ProbeResult) -> MediaResult | None:
    """Return the call's first video stream; its series have names of their own."""
    return next((stream for stream in result.media if stream.kind == "video"), None)


def frame_loss_ratio(video: MediaResult) -> float | None:
    """Return frames lost ÷ frames expected."""
    return (video.frames_lost or 0) / video.frames_expected if video.frames_expected else None


def losses(stream: MediaResult) -> dict[Direction, Loss]:
    """Return the loss of each direction in which it was measured, with the packets it rests on.

    With an echo, inbound and outbound loss are not known (the packets of one direction are lost from the other's
    count), so that only ``round_trip`` is returned.
    """
    found: dict[Direction, Loss] = {}
    inbound, outbound, there_and_back = stream.inbound, stream.outbound, stream.round_trip
    if inbound and inbound.packets_lost is not None:
        found[Direction.INBOUND] = Loss(Counted(inbound.packets_expected, inbound.packets_lost), inbound.loss_ratio)
    if outbound and outbound.packets_reported is not None and outbound.packets_lost is not None:
        found[Direction.OUTBOUND] = Loss(Counted(outbound.packets_reported, outbound.packets_lost), outbound.loss_ratio)
    if there_and_back:
        found[Direction.ROUND_TRIP] = Loss(
            Counted(there_and_back.packets_sent, there_and_back.packets_lost), there_and_back.loss_ratio
        )
    return found


def jitters(stream: MediaResult) -> dict[Direction, float]:
    """Return the mean jitter of each direction in which it was measured, in seconds."""
    measured = ((Direction.INBOUND, stream.inbound), (Direction.OUTBOUND, stream.outbound))
    return {direction: side.jitter_seconds for direction, side in measured if side and side.jitter_seconds is not None}


def rtt_of(stream: MediaResult | None) -> Rtt | None:
    """Return the stream's round-trip times, if there is a stream and they were measured."""
    return stream.rtt_seconds if stream else None


def setup_delay(result: ProbeResult) -> float | None:
    """Return the seconds from the start of the call to its answer; None if it was not answered."""
    if result.phases.get("answer") is None:
        return None
    return sum(result.phases.get(phase) or 0.0 for phase in _SETUP_PHASES)

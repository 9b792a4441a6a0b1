"""What was counted of a stream: frozen summaries that cross from the media engine to whoever judges them.

Owns the shapes and their units (seconds, packets, ratios); must not compute from packets or judge. What was not
measured is None, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PLAYOUT_BUFFER_SECONDS = 0.06
"""The playout buffer we state: a packet this much later than the quickest one so far counts as ``late``."""


@dataclass(frozen=True, slots=True)
class ReceptionSummary:
    """A stream as received: sequence numbers from the first to the last packet received (RFC 3550 A.3, A.8).

    Attributes:
        expected: Packets from the lowest to the highest sequence number received.
        received: Different packets received; duplicates are not among them.
        lost: ``expected − received``: never netted against duplicates, never negative.
        duplicates: Packets received again.
        reordered: Packets received after one with a higher sequence number (RFC 4737 §3).
        jitter_seconds: Mean of the A.8 estimate over the call; None with fewer than two packets.
        jitter_max_seconds: Its maximum.
        first_arrival_ns: Arrival of the first packet, CLOCK_REALTIME nanoseconds.
        last_arrival_ns: Arrival of the last one.
        ssrc: Synchronisation source last received from.
        restarts: How often the source began anew (another SSRC, or a jump of its sequence numbers).
        rejected: Packets left out: of another source or far off in sequence, and not followed by their successor.
        late: Packets received, but more than the playout buffer later than the quickest so far.
        burst_ratio: Mean length of the runs of lost packets ÷ what independent losses give (G.107 §7's BurstR), over
            the last packets that are still told apart; None if none of them was lost.
    """

    expected: int
    received: int
    lost: int
    duplicates: int
    reordered: int
    jitter_seconds: float | None
    jitter_max_seconds: float | None
    first_arrival_ns: int | None
    last_arrival_ns: int | None
    ssrc: int | None
    restarts: int
    rejected: int = 0
    late: int = 0
    burst_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class RttSummary:
    """Round-trip times in seconds; ``samples`` is how many were measured."""

    min: float
    median: float
    p95: float
    max: float
    samples: int

    @classmethod
    def from_sorted_ns(cls, ordered: Sequence[int], *, samples: int, low: int, high: int) -> RttSummary:
        """Summarise round-trip times in nanoseconds.

        Args:
            ordered: Those kept, ascending; at least one. Median and p95 are interpolated between them.
            samples: How many were measured.
            low: The least measured, which need not be among those kept.
            high: The greatest measured.
        """
        return cls(
            min=low / 1e9,
            median=_quantile(ordered, 0.5) / 1e9,
            p95=_quantile(ordered, 0.95) / 1e9,
            max=high / 1e9,
            samples=samples,
        )


@dataclass(frozen=True, slots=True)
class EchoSummary:
    """Our own packets that came back.

    Ordinary packets only, but for the two ``large`` counts: a path that loses large packets is another fault.

    Attributes:
        sent: Ordinary packets sent.
        received: Different ones of them that came back within the ring of send times (1,024 packets; later is lost).
        lost: ``sent − received``.
        duplicates: Packets that came back again, large ones among them.
        reordered: Packets that came back after one sent later.
        large_sent: Large packets sent.
        large_received: Different ones of them that came back.
        jitter_seconds: Mean of the A.8 estimate on round-trip times, that is from true send times.
        jitter_max_seconds: Its maximum.
        rtt: Round-trip times; None if nothing came back.
        stray: Packets with our SSRC that we did not send, or sent too long ago.
        late: Packets that came back more than the playout buffer later than the quickest so far.
        burst_ratio: As in `ReceptionSummary`, over the ordinary packets still in the ring.
    """

    sent: int
    received: int
    lost: int
    duplicates: int
    reordered: int
    large_sent: int
    large_received: int
    jitter_seconds: float | None
    jitter_max_seconds: float | None
    rtt: RttSummary | None
    stray: int = 0
    late: int = 0
    burst_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class PeerReportSummary:
    """What the peer's report blocks say of our stream (RFC 3550 §6.4).

    Attributes:
        reports: Report blocks that speak of packets of ours.
        packets_reported: Our packets from the first sent up to the last report's highest sequence number.
        packets_lost: Lost among them by the peer's count (it can't see losses before the first it received, and nets
            duplicates; a negative count reads 0).
        jitter_seconds: Mean over the reports.
        rtt: From LSR and DLSR; None if no report had them.
    """

    reports: int
    packets_reported: int | None
    packets_lost: int | None
    jitter_seconds: float | None
    rtt: RttSummary | None


@dataclass(frozen=True, slots=True)
class AudioLevel:
    """How loud the peer's own stream was, by the packets looked at (`rtp.level`, one in eight).

    Attributes:
        mean_dbov: Level of the mean square over all of them, −127 (digital silence) to 0 dBov. Where a room sends
            nothing in its pauses, the pauses don't count.
        loudest_dbov: Level of the loudest packet.
        active_ratio: Share of packets above −60 dBov.
        packets: Packets looked at.
    """

    mean_dbov: float
    loudest_dbov: float
    active_ratio: float
    packets: int


@dataclass(frozen=True, slots=True)
class LatenessSummary:
    """How much later than planned our own packets left: the engine's timer error."""

    p50_seconds: float
    p99_seconds: float
    max_seconds: float
    samples: int


@dataclass(frozen=True, slots=True)
class FrameSummary:
    """The frames of one video stream as received.

    Attributes:
        expected: Frames between the first and the last received; of our own come back, those sent.
        complete: Frames of which every packet was received.
        lost: ``expected − complete``: frames of which any packet is missing, or all are.
        frame_rate: Frames a second by RTP timestamps, lost ones among them; None with fewer than two.
        bytes: RTP payload received, duplicates left out.
        jitter_seconds: Mean of the A.8 estimate, from each frame's first packet received; None with fewer than two.
        jitter_max_seconds: Its maximum.
    """

    expected: int
    complete: int
    lost: int
    frame_rate: float | None
    bytes: int
    jitter_seconds: float | None
    jitter_max_seconds: float | None


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """What a video stream has beside its packets.

    Attributes:
        frames_sent: Frames of ours.
        inbound_frames: The peer's own; None if none was received.
        echoed_frames: Ours come back; None if none was received.
        large_sent: Packets of ours of the largest size, that of most.
        large_received: Different ones of them that came back.
    """

    frames_sent: int
    inbound_frames: FrameSummary | None
    echoed_frames: FrameSummary | None
    large_sent: int = 0
    large_received: int = 0


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One stream of one call, both directions, as the media engine saw it.

    Attributes:
        packets_sent: RTP packets sent, large ones among them.
        large_sent: Large ones of them.
        inbound: The peer's own stream; None if none was received.
        echo: Our stream come back; None if nothing of it was received.
        peer: The peer's reports of ours; None if none was received.
        unexpected_payload_types: Payload types received that the answer does not allow, ascending.
        unexpected_source: RTP came from another address or port than the SDP named.
        first_rtp_ns: Arrival of the first valid RTP packet, CLOCK_REALTIME nanoseconds.
        started_ns: When sending began.
        ended_ns: When receiving ended.
        lateness: Our own pacing error; None if nothing was sent.
        invalid: Reasons why the figures are not to be believed, each our own fault.
        peer_silent_reports: Sender or receiver reports of the peer, two seconds or more after we began to send, without
            a block on our stream: it had received nothing of it (RFC 3550 §6.4).
        level: How loud the peer's own stream was; None if nothing of it was looked at.
        video: The frames of a video stream, known at its end; None of audio.
    """

    packets_sent: int
    large_sent: int
    inbound: ReceptionSummary | None
    echo: EchoSummary | None
    peer: PeerReportSummary | None
    unexpected_payload_types: tuple[int, ...]
    unexpected_source: bool
    first_rtp_ns: int | None
    started_ns: int
    ended_ns: int
    lateness: LatenessSummary | None
    invalid: tuple[str, ...]
    peer_silent_reports: int = 0
    level: AudioLevel | None = None
    video: VideoSummary | None = None


def _quantile(ordered: Sequence[int], share: float) -> float:
    """Interpolate linearly between the two neighbours, as numpy does by default."""
    place = (len(ordered) - 1) * share
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (ordered[above] - ordered[below]) * (place - below))

"""What video is asked of the media engine: a plain value that crosses between the two processes.

Owns its shape and checks; must not import asyncio or numpy, since both sides read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge_monitor.errors import LocalProtocolError
from bridge_monitor.net.engine.plan import number_problems, place_problems

VIDEO_CLOCK_RATE: Final = 90_000
"""Of H.264 over RTP, Hz (RFC 6184 §8.2.1)."""
HIGHEST_BITRATE: Final = 14_000_000
"""What level 3.1 allows (H.264 Table A-1), the level that our offer names."""
LOWEST_BITRATE: Final = 64_000
HIGHEST_FRAME_RATE: Final = 30
"""What level 3.1 allows at the card's largest size, 1280×720."""

_RANGES: Final = (
    ("bitrate_bps", LOWEST_BITRATE, HIGHEST_BITRATE),
    ("frames_per_second", 1, HIGHEST_FRAME_RATE),
)


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """What video to send, where, for how long, and what to wait for.

    The pictures are those of the card that was loaded for this rate and frame rate (`MediaEngine.load_card`).

    Attributes:
        remote_host: IPv4 address of the answer's ``c=`` line.
        rtp_port: Port of its ``m=video`` line.
        rtcp_port: Port of its ``a=rtcp``, or ``rtp_port + 1``.
        payload_type: Payload type to send.
        accepted_payload_types: Those the peer may send.
        ssrc: Our synchronisation source, random (RFC 3550 §8).
        first_seq: First sequence number, random.
        first_timestamp: First RTP timestamp, random.
        duration_seconds: How long frames are sent.
        bitrate_bps: What each second takes on the wire: payload and the headers of RTP, UDP and IP.
        frames_per_second: Frames a second.
        expect_report: Wait for a peer's report though our packets are echoed.
        report_wait_seconds: How long a report is waited for at most, after the last packet.
        report_coverage: A report that covers this share of what was sent ends the wait.
        tail_seconds: How long echoes are waited for after the last packet, beyond the greatest round-trip time so far.
        dscp: Mark of each packet (RFC 4594; AF41).
        cname: RTCP's canonical name (RFC 7022); must not tell who or where we are.
        capture: Hand each packet of the call to the parent, for `net.pcap`.
        source_host: IPv4 address of ours to send from; None leaves it to the engine's own, or to routing.
    """

    remote_host: str
    rtp_port: int
    rtcp_port: int
    payload_type: int
    accepted_payload_types: tuple[int, ...]
    ssrc: int
    first_seq: int
    first_timestamp: int
    duration_seconds: float = 10.0
    bitrate_bps: int = 1_000_000
    frames_per_second: int = 25
    expect_report: bool = False
    report_wait_seconds: float = 15.0
    report_coverage: float = 0.9
    tail_seconds: float = 0.3
    dscp: int = 34
    cname: str = "kiemtra@invalid"
    capture: bool = False
    source_host: str | None = None

    def __post_init__(self) -> None:
        for problem in (*place_problems(self), *number_problems(self, _RANGES)):
            raise LocalProtocolError(f"video plan: {problem}")

    @property
    def frames(self) -> int:
        """Frames to send, at least one."""
        return max(1, round(self.duration_seconds * self.frames_per_second))

"""What is asked of the media engine, and what it tells of itself: plain values that cross between the two processes.

Owns their shapes and checks; must not import asyncio or numpy, since both sides read it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from bridge_monitor.errors import LocalProtocolError

if TYPE_CHECKING:
    from bridge_monitor.net.engine.video_plan import VideoPlan

PAYLOAD_BYTES_PER_SECOND: Final = 8000  # G.711: one byte a sample
SILENCE: Final = {"PCMU": 0xFF, "PCMA": 0xD5}
"""Digital silence of each codec the engine can send (ITU-T G.711)."""
MAX_PAYLOAD_BYTES: Final = 1440
"""With IP, UDP and RTP headers still below an Ethernet's 1,500."""

SEND_LATE: Final = "send_late"
SHORT_SEND: Final = "short_send"
SOCKET_OVERFLOW: Final = "socket_overflow"
ENGINE_STALLED: Final = "engine_stalled"
PORT_SHARED: Final = "port_shared"
CLOCK_STEP: Final = "clock_step"
INVALID_REASONS: Final = (SEND_LATE, SHORT_SEND, SOCKET_OVERFLOW, ENGINE_STALLED, CLOCK_STEP, PORT_SHARED)
"""Why a row's figures are not to be believed; each one's place is its bit in the row's flags."""

_PLACE_RANGES: Final = (
    ("rtp_port", 1, 65535),
    ("rtcp_port", 1, 65535),
    ("ssrc", 0, 0xFFFFFFFF),
    ("first_seq", 0, 0xFFFF),
    ("first_timestamp", 0, 0xFFFFFFFF),
    ("dscp", 0, 63),
)
_AUDIO_RANGES: Final = (
    ("ptime_ms", 5, 180),
    ("large_payload_bytes", 1, MAX_PAYLOAD_BYTES),
    ("large_packets", 0, 10_000),
)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine's process is built.

    Attributes:
        rows: Calls at once.
        tick_seconds: The pace is kept in steps of this size.
        read_seconds: What has arrived is read so often; when it arrived the kernel tells.
        port_pairs: RTP/RTCP port pairs; calls to one remote host are put on different ones.
        port_range: Lowest and highest local port to use; None lets the engine look outside the ephemeral ports.
        source_host: IPv4 address to bind to.
        lateness_limit_seconds: A packet sent later than this is late; a call with more than 1 % of them, or with one
            five times as late, is invalid (``send_late``).
        stall_limit_seconds: A tick later than this invalidates every call that is up (``engine_stalled``).
        clock_step_seconds: A step of CLOCK_REALTIME beyond this invalidates every call that is up (``clock_step``).
        buffer_bytes: Kernel buffer asked for, each way and socket.
        priority: Ask to run before ordinary processes, which only a privileged user is granted.
    """

    rows: int = 2000
    tick_seconds: float = 0.005
    read_seconds: float = 0.020
    port_pairs: int = 32
    port_range: tuple[int, int] | None = None
    source_host: str = "0.0.0.0"  # noqa: S104 (the organiser's host may have many interfaces; media only answers calls)
    lateness_limit_seconds: float = 0.020
    stall_limit_seconds: float = 0.100
    clock_step_seconds: float = 0.005
    buffer_bytes: int = 2 << 20
    priority: bool = True

    @property
    def rows_per_pair(self) -> int:
        """Rows whose packets share a port pair: they lie together."""
        return -(-self.rows // self.port_pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> EngineSettings:
        """Rebuild from `to_dict`'s form, also after JSON."""
        ports = plain["port_range"]
        return cls(**{**plain, "port_range": tuple(ports) if ports else None})


@dataclass(frozen=True, slots=True)
class Leg:
    """A row of the engine held for one call.

    Attributes:
        row: Its place.
        generation: Tells this call from earlier ones on the same row.
        rtp_port: Local port of its RTP, even.
        rtcp_port: The next one.
        epoch: Which engine process; rows of one that died are gone.
        remote_host: Host it was reserved for.
        reserved_ns: When; RTP that arrives from then on may be the call's, though it began later.
    """

    row: int
    generation: int
    rtp_port: int
    rtcp_port: int
    epoch: int
    remote_host: str
    reserved_ns: int


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What to send, where, for how long, and what to wait for.

    Attributes:
        remote_host: IPv4 address of the answer's ``c=`` line.
        rtp_port: Port of its ``m=`` line.
        rtcp_port: Port of its ``a=rtcp``, or ``rtp_port + 1``.
        payload_type: Payload type to send.
        codec: ``PCMU`` or ``PCMA``.
        accepted_payload_types: Those the peer may send.
        ssrc: Our synchronisation source, random (RFC 3550 §8).
        first_seq: First sequence number, random.
        first_timestamp: First RTP timestamp, random.
        ptime_ms: Milliseconds of audio a packet.
        duration_seconds: How long ordinary packets are sent.
        large_packets: So many large packets follow them, in real time, with DF set.
        large_payload_bytes: Payload of each: stands for as much audio as it holds.
        tone: 1 kHz instead of digital silence.
        expect_report: Wait for a peer's report though our packets are echoed.
        report_wait_seconds: How long a report is waited for at most, after the last packet.
        report_coverage: A report that covers this share of what was sent ends the wait.
        tail_seconds: How long echoes are waited for after the last packet, beyond the greatest round-trip time so far.
        dscp: Mark of each packet (RFC 4594).
        cname: RTCP's canonical name (RFC 7022); must not tell who or where we are.
        capture: Hand each packet of the call to the parent, for `net.pcap`.
        source_host: IPv4 address of ours to send from; None leaves it to the engine's own, or to routing.
    """

    remote_host: str
    rtp_port: int
    rtcp_port: int
    payload_type: int
    codec: str
    accepted_payload_types: tuple[int, ...]
    ssrc: int
    first_seq: int
    first_timestamp: int
    ptime_ms: int = 20
    duration_seconds: float = 10.0
    large_packets: int = 0
    large_payload_bytes: int = 1280
    tone: bool = False
    expect_report: bool = False
    report_wait_seconds: float = 15.0
    report_coverage: float = 0.9
    tail_seconds: float = 0.3
    dscp: int = 46
    cname: str = "kiemtra@invalid"
    capture: bool = False
    source_host: str | None = None

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise LocalProtocolError(f"stream plan: {problem}")

    def _problems(self) -> list[str]:
        """Return what the engine could not carry out."""
        problems = place_problems(self)
        if self.codec not in SILENCE:
            problems.append(f"codec {self.codec!r} is none of {', '.join(SILENCE)}")
        return problems + number_problems(self, _AUDIO_RANGES)

    @property
    def payload_bytes(self) -> int:
        """Payload of an ordinary packet."""
        return self.ptime_ms * PAYLOAD_BYTES_PER_SECOND // 1000

    @property
    def ordinary_packets(self) -> int:
        """Ordinary packets to send, at least one."""
        return max(1, round(self.duration_seconds * 1000 / self.ptime_ms))


def place_problems(plan: StreamPlan | VideoPlan) -> list[str]:
    """Return what is wrong with addresses and numbers that plans of audio and of video have."""
    problems = []
    hosts = (("remote_host", plan.remote_host), ("source_host", plan.source_host or "0.0.0.0"))  # noqa: S104 (none named)
    for name, host in hosts:
        try:
            socket.inet_pton(socket.AF_INET, host)
        except (OSError, ValueError):
            problems.append(f"{name} {host!r} is no IPv4 address")
    problems += number_problems(plan, _PLACE_RANGES)
    types = plan.payload_type, *plan.accepted_payload_types
    if min(types) < 0 or max(types) > 127:
        problems.append("payload types are outside 0–127")
    return problems


def number_problems(plan: StreamPlan | VideoPlan, ranges: Iterable[tuple[str, int, int]]) -> list[str]:
    """Return which of the plan's numbers (name, lowest, highest) lie outside their ranges."""
    problems = []
    for name, low, high in ranges:
        number = getattr(plan, name)
        if not low <= number <= high:
            problems.append(f"{name} {number} is outside {low}–{high}")
    return problems


@dataclass(frozen=True, slots=True)
class CapturedPacket:
    """One RTP or RTCP datagram of a captured call, as the engine sent or received it.

    Attributes:
        sent: True if we sent it.
        rtcp: True if it is RTCP.
        time_ns: Kernel receive time, or our send time, CLOCK_REALTIME.
        local_port: Our port.
        remote_host: The other side.
        remote_port: Its port.
        data: The datagram, as far as it was kept.
        length: Its full length.
    """

    sent: bool
    rtcp: bool
    time_ns: int
    local_port: int
    remote_host: str
    remote_port: int
    data: bytes
    length: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The engine's own counts since its process started.

    Attributes:
        rows_up: Calls that are sending or waiting now.
        rtp_sent: RTP packets sent.
        rtp_received: RTP packets received and given to a call.
        rtcp_sent: RTCP datagrams sent.
        rtcp_received: RTCP datagrams received and given to a call.
        unmatched: Datagrams that belong to no call.
        socket_overflows: Datagrams dropped by full receive buffers of ours.
        short_sends: RTP packets that the kernel did not take at once, or refused.
        stalls: Ticks that came later than the limit.
        clock_steps: Steps of CLOCK_REALTIME.
        captures_dropped: Captured packets that the parent took too slowly.
        cpu_seconds: Processor time of the engine's process.
        restarts: How often the process died and was started anew.
    """

    rows_up: int
    rtp_sent: int
    rtp_received: int
    rtcp_sent: int
    rtcp_received: int
    unmatched: int
    socket_overflows: int
    short_sends: int
    stalls: int
    clock_steps: int
    captures_dropped: int
    cpu_seconds: float
    restarts: int

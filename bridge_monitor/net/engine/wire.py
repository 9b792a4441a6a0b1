"""Messages between the engine's process and its parent, one a SEQPACKET datagram.

Owns their form: JSON for what is said, binary frames for what is said of each call or packet: how a stream ended, and
captured packets. Must not decide anything.
"""

from __future__ import annotations

import json
import marshal
import math
import socket
import struct
from collections import deque
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from bridge_monitor.errors import LocalProtocolError
from bridge_monitor.net import mmsg
from bridge_monitor.net.engine.plan import CapturedPacket, StreamPlan
from bridge_monitor.net.engine.video_plan import VideoPlan
from bridge_monitor.rtp.report import FrameSummary, PeerReportSummary, RttSummary, VideoSummary

MAX_MESSAGE: Final = 1 << 16
_FDS_SPACE: Final = socket.CMSG_SPACE(4)
_TAKE: Final = int(socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
_CAPTURE: Final = struct.Struct("!BBIIqHIHH")
_CAPTURE_KIND: Final = 1  # JSON begins with "{"
_BEGIN: Final = struct.Struct("!BBIIq")
_BEGIN_KIND: Final = 3
_FINISHED: Final = struct.Struct("!BBHIIqqqd4dq")
_FINISHED_KIND: Final = 2
ENDS_AT_ONCE: Final = 64
"""So many frames of ends make a message at most, so that it is never too long."""
_PEER: Final = 1
_RTT: Final = 2
_NO_RTT: Final = RttSummary(0.0, 0.0, 0.0, 0.0, 0)
_NO_PEER: Final = PeerReportSummary(0, None, None, None, None)
_SENT: Final = 1
_RTCP: Final = 2
_JSON: Final = json.JSONEncoder(separators=(",", ":")).encode


class Finished(NamedTuple):
    """The end of a stream: what is not in its row."""

    row: int
    generation: int
    peer: PeerReportSummary | None
    video: VideoSummary | None


def encode(message: dict[str, Any]) -> bytes:
    """Return a message's bytes."""
    return _JSON(message).encode()


def decode(data: bytes) -> dict[str, Any]:
    """Return the message that `encode` wrote."""
    message: dict[str, Any] = json.loads(data)
    return message


def receive(channel: socket.socket) -> tuple[bytes, tuple[int, ...]]:
    """Return the next message that waits and the open files that came with it; no bytes if the other end is gone.

    Raises:
        BlockingIOError: None waits.
        ConnectionError: The other end is gone.
    """
    data, control, _, _ = channel.recvmsg(MAX_MESSAGE, _FDS_SPACE, _TAKE)
    if not control:
        return data, ()
    return data, tuple(number for _, _, fds in control for number in memoryview(fds).cast("i"))


def encode_capture(row: int, generation: int, packet: CapturedPacket) -> bytes:
    """Return the frame of a captured packet of one call."""
    head = _CAPTURE.pack(
        _CAPTURE_KIND,
        (_SENT if packet.sent else 0) | (_RTCP if packet.rtcp else 0),
        row,
        generation,
        packet.time_ns,
        packet.local_port,
        mmsg.ip_number(packet.remote_host),
        packet.remote_port,
        packet.length,
    )
    return head + packet.data


def decode_capture(data: bytes) -> tuple[int, int, CapturedPacket] | None:
    """Return (row, generation, packet) of a captured packet's frame; None if the message is none."""
    if data[:1] != bytes([_CAPTURE_KIND]):
        return None
    _, flags, row, generation, time_ns, local_port, remote_ip, remote_port, length = _CAPTURE.unpack_from(data)
    packet = CapturedPacket(
        sent=bool(flags & _SENT),
        rtcp=bool(flags & _RTCP),
        time_ns=time_ns,
        local_port=local_port,
        remote_host=mmsg.ip_text(remote_ip),
        remote_port=remote_port,
        data=data[_CAPTURE.size :],
        length=length,
    )
    return row, generation, packet


def encode_begin(row: int, generation: int, reserved_ns: int, plan: StreamPlan | VideoPlan) -> bytes:
    """Return the command that begins a stream."""
    head = _BEGIN.pack(_BEGIN_KIND, isinstance(plan, VideoPlan), row, generation, reserved_ns)
    return head + marshal.dumps(tuple([getattr(plan, name) for name in plan.__slots__]))


def decode_begin(data: bytes) -> tuple[int, int, int, StreamPlan | VideoPlan | LocalProtocolError] | None:
    """Return (row, generation, reserved_ns, plan) of a command that begins a stream; None if the message is none.

    What can't be carried out has, instead of its plan, what is wrong with it: the plan is checked once more.
    """
    if data[0] != _BEGIN_KIND:
        return None
    _, video, row, generation, reserved_ns = _BEGIN.unpack_from(data)
    try:
        values = marshal.loads(data[_BEGIN.size :])  # noqa: S302 (our own parent's, of the same interpreter)
        return row, generation, reserved_ns, VideoPlan(*values) if video else StreamPlan(*values)
    except LocalProtocolError as error:
        return row, generation, reserved_ns, error
    except (EOFError, TypeError, ValueError) as error:
        return row, generation, reserved_ns, LocalProtocolError(f"no plan: {error}")


def encode_finished(row: int, generation: int, peer: PeerReportSummary | None, video: VideoSummary | None) -> bytes:
    """Return the frame that tells a stream's end and what is not in its row; up to `ENDS_AT_ONCE` make a message."""
    said = peer or _NO_PEER
    rtt = said.rtt or _NO_RTT
    pictures = encode(asdict(video)) if video else b""
    frame = _FINISHED.pack(
        _FINISHED_KIND,
        (_PEER if peer else 0) | (_RTT if said.rtt else 0),
        len(pictures),
        row,
        generation,
        said.reports,
        -1 if said.packets_reported is None else said.packets_reported,
        -1 if said.packets_lost is None else said.packets_lost,
        math.nan if said.jitter_seconds is None else said.jitter_seconds,
        rtt.min,
        rtt.median,
        rtt.p95,
        rtt.max,
        rtt.samples,
    )
    return frame + pictures


def decode_finished(data: bytes) -> list[Finished]:
    """Return the ends of streams that a message tells; none if it tells something else."""
    ends = []
    place = 0
    while place < len(data) and data[place] == _FINISHED_KIND:
        _, flags, size, row, generation, reports, reported, lost, jitter, *rtt = _FINISHED.unpack_from(data, place)
        place += _FINISHED.size
        peer = None
        if flags & _PEER:
            peer = PeerReportSummary(
                reports=reports,
                packets_reported=None if reported < 0 else reported,
                packets_lost=None if lost < 0 else lost,
                jitter_seconds=None if math.isnan(jitter) else jitter,
                rtt=RttSummary(*rtt) if flags & _RTT else None,
            )
        video = _video_of(json.loads(data[place : place + size])) if size else None
        place += size
        ends.append(Finished(row, generation, peer, video))
    return ends


def _video_of(plain: dict[str, Any]) -> VideoSummary:
    frames = {
        name: FrameSummary(**plain[name]) if plain[name] else None for name in ("inbound_frames", "echoed_frames")
    }
    return VideoSummary(**{**plain, **frames})


Outbox = deque[bytes]
"""Messages that wait until the parent has room for them: the engine never blocks on its parent."""

"""Messages between the engine's process and its parent, one a SEQPACKET datagram.

Owns their form: JSON for what is said, a binary frame for captured packets. Must not decide anything.
"""

from __future__ import annotations

import json
import socket
import struct
from collections import deque
from dataclasses import asdict
from typing import Any, Final

from bridge_monitor.net import mmsg
from bridge_monitor.net.engine.plan import CapturedPacket
from bridge_monitor.rtp.report import FrameSummary, PeerReportSummary, RttSummary, VideoSummary

MAX_MESSAGE: Final = 1 << 16
_FDS_SPACE: Final = socket.CMSG_SPACE(4)
_CAPTURE: Final = struct.Struct("!BBIIqHIHH")
_CAPTURE_KIND: Final = 1  # JSON begins with "{"
_SENT: Final = 1
_RTCP: Final = 2
_JSON: Final = json.JSONEncoder(separators=(",", ":")).encode


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
    flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
    data, control, _, _ = channel.recvmsg(MAX_MESSAGE, _FDS_SPACE, flags)
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


def peer_to_dict(summary: PeerReportSummary | None) -> dict[str, Any] | None:
    """Return a peer's summary as plain values."""
    if summary is None:
        return None
    plain = {name: getattr(summary, name) for name in summary.__slots__}  # `asdict` takes eight times as long
    rtt = summary.rtt
    return plain | {"rtt": {name: getattr(rtt, name) for name in rtt.__slots__} if rtt else None}


def peer_from_dict(plain: dict[str, Any] | None) -> PeerReportSummary | None:
    """Rebuild from `peer_to_dict`'s form."""
    if plain is None:
        return None
    return PeerReportSummary(**{**plain, "rtt": RttSummary(**plain["rtt"]) if plain["rtt"] else None})


def video_to_dict(summary: VideoSummary) -> dict[str, Any]:
    """Return what a video stream's pictures came to as plain values."""
    return asdict(summary)


def video_from_dict(plain: dict[str, Any]) -> VideoSummary:
    """Rebuild from `video_to_dict`'s form."""
    frames = {
        name: FrameSummary(**plain[name]) if plain[name] else None for name in ("inbound_frames", "echoed_frames")
    }
    return VideoSummary(**{**plain, **frames})


Outbox = deque[bytes]
"""Messages that wait until the parent has room for them: the engine never blocks on its parent."""

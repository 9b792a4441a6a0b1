from __future__ import annotations

import stat
import struct
from pathlib import Path

import pytest

from bridge_monitor.daemon.capture import CallCapture
from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import clock
from bridge_monitor.net.engine import CapturedPacket

OURS, ROOM = ("127.0.0.1", 5060), ("127.0.0.2", 5070)
SENT, RECEIVED = True, False
RTP = bytes.fromhex("80000001000000a000000001") + b"heard in the room"
RTCP = bytes.fromhex("80c90001") + bytes(4)


def packets(path: Path) -> list[tuple[int, bytes, int]]:
    """Return (nanoseconds or microseconds as the file has it, captured bytes, length on the wire) of each packet."""
    data = path.read_bytes()
    magic = struct.unpack_from("<I", data)[0]
    order = "<" if magic in (0xA1B2C3D4, 0xA1B23C4D) else ">"
    scale = 1 if struct.unpack_from(order + "I", data)[0] == 0xA1B23C4D else 1000
    found, place = [], 24
    while place < len(data):
        seconds, fraction, kept, length = struct.unpack_from(order + "IIII", data, place)
        found.append((seconds * 1_000_000_000 + fraction * scale, data[place + 16 : place + 16 + kept], length))
        place += 16 + kept
    return found


def captured(*, sent: bool, rtcp: bool, after_ns: int) -> CapturedPacket:
    data = RTCP if rtcp else RTP
    time_ns = clock.posix_now_ns() + after_ns
    return CapturedPacket(sent, rtcp, time_ns, 20000 + rtcp, "127.0.0.3", 30000 + rtcp, data, len(data))


def test_packets_come_out_in_order_of_time_each_way(tmp_path: Path) -> None:
    path = tmp_path / "call.pcap"
    with CallCapture(path, keep_payload=True) as capture:
        capture.media([captured(sent=False, rtcp=False, after_ns=10**9)])
        capture.sip(SENT, OURS, ROOM, b"INVITE")
        capture.sip(RECEIVED, OURS, ROOM, b"SIP/2.0 200 OK")
        capture.media(
            [captured(sent=True, rtcp=rtcp, after_ns=after) for rtcp, after in ((False, 10**8), (True, 2 * 10**9))]
        )
    found = packets(path)
    times = [time for time, _, _ in found]
    assert times == sorted(times)
    assert [part in data for part, (_, data, _) in zip([b"INVITE", b"200 OK", RTP, RTP, RTCP], found, strict=True)] == (
        [True] * 5
    )
    there = bytes([127, 0, 0, 1, 127, 0, 0, 3])
    assert there in found[2][1]
    assert there[4:] + there[:4] in found[3][1]


def test_what_was_heard_is_left_out_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "call.pcap"
    with CallCapture(path, keep_payload=False) as capture:
        capture.media([captured(sent=False, rtcp=False, after_ns=0), captured(sent=False, rtcp=True, after_ns=1)])
    (_, rtp, length), (_, rtcp, _) = packets(path)
    assert RTP[:12] in rtp
    assert b"heard" not in rtp
    assert length >= len(RTP) + 28
    assert RTCP in rtcp


def test_a_capture_is_nobody_elses_to_read(tmp_path: Path) -> None:
    """It names addresses, and with --pcap-payload it holds what was heard."""
    path = tmp_path / "call.pcap"
    with CallCapture(path, keep_payload=False):
        pass
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_an_interrupted_call_is_written_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "call.pcap"

    def interrupted() -> None:
        with CallCapture(path, keep_payload=False) as capture:
            capture.sip(SENT, OURS, ROOM, b"INVITE")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(packets(path)) == 1


def test_a_file_that_cannot_be_written_is_said_before_anybody_is_called(tmp_path: Path) -> None:
    with pytest.raises(LocalFaultError, match="can't be written"):
        CallCapture(tmp_path / "missing" / "call.pcap", keep_payload=False)

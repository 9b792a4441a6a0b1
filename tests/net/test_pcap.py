"""`net.pcap`: our own reading of the file form, and Wireshark's."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import pytest

from bridge_monitor.net.pcap import PcapWriter, rtp_header_length
from bridge_monitor.rtp.packet import RtpPacket
from bridge_monitor.rtp.rtcp import ReceiverReport, SourceDescription, build_compound

ROOM = ("192.0.2.7", 4000)
OURS = ("198.51.100.1", 20000)


def _records(data: bytes) -> list[tuple[int, int, bytes]]:
    """Return (time, original length, bytes) of each record."""
    magic, major, minor, *_, link = struct.unpack_from("=IHHiIII", data)
    assert (magic, major, minor, link) == (0xA1B23C4D, 2, 4, 228)
    records, place = [], 24
    while place < len(data):
        seconds, nanoseconds, kept, full = struct.unpack_from("=IIII", data, place)
        place += 16
        records.append((seconds * 10**9 + nanoseconds, full, data[place : place + kept]))
        place += kept
    return records


def _packet(number: int) -> bytes:
    return RtpPacket(0, 1000 + number, 160 * number, 0xABCDEF01, b"\x55" * 160).to_bytes()


def test_headers_carry_addresses_ports_lengths_and_a_right_checksum() -> None:
    file = io.BytesIO()
    PcapWriter(file).write(1_700_000_000_123_456_789, OURS, ROOM, b"OPTIONS sip:x SIP/2.0\r\n\r\n", tos=0x60)
    ((time_ns, full, packet),) = _records(file.getvalue())
    assert time_ns == 1_700_000_000_123_456_789
    assert full == len(packet) == 28 + 25
    assert packet[28:].startswith(b"OPTIONS")
    assert packet[1] == 0x60
    assert packet[12:20] == bytes([198, 51, 100, 1, 192, 0, 2, 7])
    assert struct.unpack("!HHH", packet[20:26]) == (20000, 4000, 33)
    words = sum(struct.unpack("!10H", packet[:20]))
    assert (words & 0xFFFF) + (words >> 16) == 0xFFFF


def test_rtp_payload_is_cut_unless_asked_for() -> None:
    cut, whole = io.BytesIO(), io.BytesIO()
    PcapWriter(cut).write(1, ROOM, OURS, _packet(1), rtp=True)
    PcapWriter(whole, payload=True).write(1, ROOM, OURS, _packet(1), rtp=True)
    ((_, full, packet),) = _records(cut.getvalue())
    assert (full, len(packet)) == (28 + 172, 28 + 12)
    assert b"\x55\x55" not in cut.getvalue()
    assert _records(whole.getvalue())[0][2].endswith(b"\x55" * 160)


def test_rtcp_on_the_rtp_port_is_kept_whole() -> None:
    report = build_compound(ReceiverReport(7), SourceDescription(((7, "x"),)))
    file = io.BytesIO()
    PcapWriter(file).write(1, ROOM, OURS, report, rtp=True)
    assert _records(file.getvalue())[0][2][28:] == report


def test_a_truncated_datagram_keeps_its_full_length() -> None:
    file = io.BytesIO()
    PcapWriter(file, payload=True).write(1, ROOM, OURS, b"x" * 100, rtp=True, length=2000)
    ((_, full, packet),) = _records(file.getvalue())
    assert (full, len(packet)) == (2028, 128)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x80\x00", 0),
        (_packet(1), 12),
        (RtpPacket(0, 1, 1, 1, b"voice", csrcs=(1, 2)).to_bytes(), 20),
        (RtpPacket(0, 1, 1, 1, b"voice", extension=(0xBEDE, b"loud")).to_bytes(), 16),
        (b"\x8f" + bytes(11), 12),
    ],
)
def test_the_header_ends_before_anything_heard_in_the_room(data: bytes, expected: int) -> None:
    assert rtp_header_length(data) == expected


@pytest.mark.peer("tshark")
def test_wireshark_reads_a_cut_capture(tmp_path: Path) -> None:
    """Addresses, sequence numbers and loss come out of tshark as they went in, though payload is cut."""
    path = tmp_path / "call.pcap"
    with path.open("wb") as file:
        writer = PcapWriter(file)
        for number in (0, 1, 2, 5, 6):
            writer.write(10**18 + number * 20_000_000, ROOM, OURS, _packet(number), rtp=True)
    fields = ["-e", "ip.src", "-e", "udp.dstport", "-e", "rtp.seq", "-e", "frame.time_delta"]
    decode = ["tshark", "-r", str(path), "-d", "udp.port==4000,rtp"]
    told = subprocess.run([*decode, "-T", "fields", *fields], check=True, capture_output=True, text=True).stdout
    rows = [line.split("\t") for line in told.splitlines()]
    assert [row[:3] for row in rows] == [["192.0.2.7", "20000", str(1000 + number)] for number in (0, 1, 2, 5, 6)]
    assert [round(float(row[3]), 9) for row in rows] == [0, 0.02, 0.02, 0.06, 0.02]
    streams = subprocess.run([*decode, "-q", "-z", "rtp,streams"], check=True, capture_output=True, text=True).stdout
    assert "0xABCDEF01" in streams
    assert "2 (28.6%)" in streams

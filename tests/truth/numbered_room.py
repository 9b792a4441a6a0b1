"""A far end whose numbers are chosen, and its reports after RFC 3550 A.3. Shares no code with the package.

``numbered_room.py HOST PORT SEGMENTS_JSON``: once a first packet has come it sends each segment's packets, every 20 ms:
``[[ssrc, first sequence number, first timestamp, packets], …]``. Each quarter of a second it reports what it received
of the caller, by a sender report while it sends and by a receiver report then, until it is ended.
"""

import contextlib
import json
import os
import selectors
import socket
import struct
import sys
import time

with contextlib.suppress(PermissionError):  # a busy machine's delay is not the path's
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
HOST, PORT, SEGMENTS = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
INTERVAL, REPORT_EVERY = 0.02, 0.25
NTP_EPOCH = 2208988800
SO_TIMESTAMPNS = 35


def bound(port: int) -> socket.socket:
    """Return a socket whose packets bear the kernel's time."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind((HOST, port))
    return sock


def receive(sock: socket.socket) -> tuple[bytes, float, tuple[str, int]]:
    """Return a datagram, when it came (CLOCK_REALTIME) and whence."""
    data, control, _, source = sock.recvmsg(2048, 256)
    seconds, nanoseconds = struct.unpack("qq", control[0][2])
    return data, seconds + nanoseconds / 1e9, source


def ntp(moment: float) -> int:
    """Return a CLOCK_REALTIME moment as the 64 bits of RFC 3550 §4."""
    return int((moment + NTP_EPOCH) * 2**32)


rtp, rtcp = bound(PORT), bound(PORT + 1)
print("ready", flush=True)  # noqa: T201 - the test waits for it

data, _, caller = receive(rtp)
(theirs,) = struct.unpack_from("!I", data, 8)
(highest,) = struct.unpack_from("!H", data, 2)
base, received, cycles = highest, 1, 0
lsr, lsr_at = 0, 0.0
plan = [
    (ssrc, (first + number) & 0xFFFF, (timestamp + 160 * number) & 0xFFFFFFFF)
    for ssrc, first, timestamp, count in SEGMENTS
    for number in range(count)
]
started = time.time()
next_report, sent = started + REPORT_EVERY, 0
own = plan[0][0]
waiting = selectors.DefaultSelector()
waiting.register(rtp, selectors.EVENT_READ)
waiting.register(rtcp, selectors.EVENT_READ)


def report() -> bytes:
    """Build an SR or RR with one block."""
    extended = cycles + highest
    lost = min(max(extended - base + 1 - received, -0x800000), 0x7FFFFF)  # duplicates are netted, as A.3 has it
    now = time.time()
    dlsr = int((now - lsr_at) * 65536) if lsr else 0
    block = struct.pack("!IIIIII", theirs, lost & 0xFFFFFF, extended, 0, lsr, dlsr)
    if sent == len(plan):
        return struct.pack("!BBHI", 0x81, 201, 7, own) + block
    elapsed = int((now - started) * 8000) & 0xFFFFFFFF
    return struct.pack("!BBHIQIII", 0x81, 200, 12, own, ntp(now), elapsed, sent, 160 * sent) + block


while True:
    now = time.time()
    while sent < len(plan) and started + INTERVAL * sent <= now:
        own, number, timestamp = plan[sent]
        rtp.sendto(struct.pack("!BBHII", 0x80, 0, number, timestamp, own) + b"\xff" * 160, caller)
        sent += 1
    if now >= next_report:
        rtcp.sendto(report(), (caller[0], caller[1] + 1))
        next_report += REPORT_EVERY
    nearest = min(next_report, started + INTERVAL * sent) if sent < len(plan) else next_report
    for key, _ in waiting.select(max(0.0, nearest - time.time())):
        data, arrival, _ = receive(key.fileobj)
        if key.fileobj is rtcp:
            if data[1] == 200:
                lsr, lsr_at = struct.unpack_from("!I", data, 10)[0], arrival
            continue
        (number,) = struct.unpack_from("!H", data, 2)
        received += 1
        if (number - highest) & 0xFFFF < 0x8000:
            cycles += 0x10000 if number < highest else 0
            highest = number

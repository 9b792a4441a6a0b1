"""A far end with a stream of its own and receiver reports after RFC 3550 A.3. Shares no code with the package.

``talking_room.py HOST PORT PACKETS JITTER_MS``: waits for a first packet, then sends PACKETS packets of 20 ms, numbered
from 1000, each up to JITTER_MS late, and a report each second until it is ended.
"""

import contextlib
import random
import selectors
import socket
import struct
import sys
import time

HOST, PORT, PACKETS, JITTER = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / 1000
OWN, FIRST = 0x600DF00D, 1000
rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
rtp.bind((HOST, PORT))
rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
rtcp.bind((HOST, PORT + 1))
print("ready", flush=True)  # noqa: T201 - the test waits for it

data, caller = rtp.recvfrom(2048)
heard = {"ssrc": struct.unpack_from("!I", data, 8)[0], "cycles": 0, "highest": struct.unpack_from("!H", data, 2)[0]}
base, received = heard["highest"], 1
lsr = lsr_at = 0
chance = random.Random(7)
started = time.monotonic()
due = [started + 0.02 * number + chance.random() * JITTER for number in range(PACKETS)]
due.sort()  # late, not reordered
sent, next_report = 0, started + 1.0
waiting = selectors.DefaultSelector()
waiting.register(rtp, selectors.EVENT_READ)
waiting.register(rtcp, selectors.EVENT_READ)


def report() -> bytes:
    """Build an RR with one block."""
    highest = heard["cycles"] + heard["highest"]
    lost = highest - base + 1 - received
    dlsr = round((time.monotonic() - lsr_at) * 65536) if lsr else 0
    return struct.pack("!BBHIIIIIII", 0x81, 201, 7, OWN, heard["ssrc"], lost & 0xFFFFFF, highest, 0, lsr, dlsr)


while True:
    now = time.monotonic()
    while sent < PACKETS and due[sent] <= now:
        header = struct.pack("!BBHII", 0x80, 0, FIRST + sent, 160 * sent, OWN)
        with contextlib.suppress(PermissionError):  # a firewall's drop on the way out
            rtp.sendto(header + b"\xff" * 160, caller)
        sent += 1
    if now >= next_report:
        rtcp.sendto(report(), (caller[0], caller[1] + 1))
        next_report += 1.0
    nearest = min(next_report, due[sent]) if sent < PACKETS else next_report
    for key, _ in waiting.select(max(0.0, nearest - time.monotonic())):
        data, _ = key.fileobj.recvfrom(2048)
        if key.fileobj is rtcp:
            if data[1] == 200:
                lsr, lsr_at = struct.unpack_from("!I", data, 10)[0], time.monotonic()
            continue
        number = struct.unpack_from("!H", data, 2)[0]
        received += 1
        if (number - heard["highest"]) & 0xFFFF < 0x8000:
            heard["cycles"] += 0x10000 if number < heard["highest"] else 0
            heard["highest"] = number

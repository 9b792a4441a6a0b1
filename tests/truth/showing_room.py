"""A far end with a picture of its own: ``showing_room.py HOST PORT PICTURES``. Shares no code with the package.

Waits for a first packet, then sends PICTURES pictures, 30 a second, numbered from 2000, each of 3 + (number mod 4)
packets: the fragments of one H.264 unit (RFC 6184 §5.8).
"""

import contextlib
import os
import socket
import struct
import sys
import time

HOST, PORT, PICTURES = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with contextlib.suppress(PermissionError):  # a busy machine's delay is not the path's
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
rtp.bind((HOST, PORT))
print("ready", flush=True)  # noqa: T201 - the test waits for it
_, caller = rtp.recvfrom(2048)
seq, started = 2000, time.monotonic()
for number in range(PICTURES):
    time.sleep(max(0.0, started + number / 30 - time.monotonic()))
    count = 3 + number % 4
    for place in range(count):
        last = place == count - 1
        head = struct.pack("!BBHII", 0x80, 96 | last << 7, seq & 0xFFFF, 3000 * number & 0xFFFFFFFF, 0x600DF00D)
        unit = bytes([0x7C, (0 if place else 0x80) | (0x40 if last else 0) | 1])
        with contextlib.suppress(PermissionError):  # a firewall's drop on the way out
            rtp.sendto(head + unit + b"\xaa" * 1000, caller)
        seq += 1
time.sleep(60)

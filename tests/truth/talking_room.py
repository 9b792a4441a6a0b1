"""A far end with streams of its own and receiver reports after RFC 3550 A.3. Shares no code with the package.

``talking_room.py HOST PORT PACKETS JITTER_MS``: to each caller, from its first packet on, it sends PACKETS packets of
20 ms, each up to JITTER_MS late, and a report each second until the caller's BYE. Its SSRC is the complement of the
caller's, its first sequence number the low half of the caller's SSRC. Each report is printed too: the caller's SSRC,
the extended highest sequence number, the cumulative loss.
"""

import contextlib
import heapq
import os
import random
import select
import socket
import struct
import sys
import time

HOST, PORT, PACKETS, JITTER = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / 1000
SO_RCVBUFFORCE = 33
with contextlib.suppress(PermissionError):  # a busy machine's delay is not the path's
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
with contextlib.suppress(PermissionError):
    rtp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
rtp.bind((HOST, PORT))
rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
rtcp.bind((HOST, PORT + 1))
print("ready", flush=True)  # noqa: T201 - the test waits for it
chance = random.Random(7)


class Caller:
    """One caller: what was heard of it, and our stream to it."""

    def __init__(self, ssrc: int, number: int, address: tuple[str, int]) -> None:
        self.ssrc, self.own, self.address = ssrc, ssrc ^ 0xFFFFFFFF, address
        self.base = self.highest = number
        self.received = 0
        self.lsr, self.lsr_at = 0, 0.0
        now = time.monotonic()
        self.due = sorted(
            now + 0.02 * packet + chance.random() * JITTER for packet in range(PACKETS)
        )  # never reordered
        self.sent, self.next_report, self.gone = 0, now + 1.0, False

    def hear(self, number: int) -> None:
        """Count a packet."""
        self.received += 1
        ahead = (number - self.highest) & 0xFFFF
        if ahead < 0x8000:
            self.highest += ahead

    def act(self, now: float) -> float:
        """Send what is due and return when there is more to do."""
        while self.sent < PACKETS and self.due[self.sent] <= now:
            first = self.ssrc & 0xFFFF
            header = struct.pack("!BBHII", 0x80, 0, first + self.sent & 0xFFFF, 160 * self.sent, self.own)
            with contextlib.suppress(PermissionError):  # a firewall's drop on the way out
                rtp.sendto(header + b"\xff" * 160, self.address)
            self.sent += 1
        if not self.gone and now >= self.next_report:
            rtcp.sendto(self.report(now), (self.address[0], self.address[1] + 1))
            self.next_report += 1.0
        times = [float("inf") if self.gone else self.next_report]
        if self.sent < PACKETS:
            times.append(self.due[self.sent])
        return min(times)

    def report(self, now: float) -> bytes:
        """Build an RR with one block."""
        lost = self.highest - self.base + 1 - self.received
        print(self.ssrc, self.highest, lost, flush=True)  # noqa: T201 - the test compares it
        dlsr = round((now - self.lsr_at) * 65536) if self.lsr else 0
        block = (self.ssrc, lost & 0xFFFFFF, self.highest, 0, self.lsr, dlsr)
        return struct.pack("!BBHIIIIIII", 0x81, 201, 7, self.own, *block)

    def told(self, data: bytes) -> None:
        """Read a compound of the caller's."""
        place = 0
        while place + 4 <= len(data):
            kind, words = data[place + 1], struct.unpack_from("!H", data, place + 2)[0]
            if kind == 200:
                self.lsr, self.lsr_at = struct.unpack_from("!I", data, place + 10)[0], time.monotonic()
            self.gone |= kind == 203
            place += 4 * (words + 1)


callers: dict[int, Caller] = {}
agenda: list[tuple[float, int]] = []
while True:
    now = time.monotonic()
    while agenda and agenda[0][0] <= now:
        _, ssrc = heapq.heappop(agenda)
        then = callers[ssrc].act(now)
        if then != float("inf"):
            heapq.heappush(agenda, (then, ssrc))
    pause = max(0.0, agenda[0][0] - time.monotonic()) if agenda else None
    ready = select.select([rtp, rtcp], [], [], pause)[0]
    if rtp in ready:
        data, address = rtp.recvfrom(2048)
        number, ssrc = struct.unpack_from("!2xH4xI", data)
        if ssrc not in callers:
            callers[ssrc] = Caller(ssrc, number, address)
            heapq.heappush(agenda, (0.0, ssrc))
        callers[ssrc].hear(number)
    if rtcp in ready:
        data, _ = rtcp.recvfrom(2048)
        ssrc = struct.unpack_from("!I", data, 4)[0]
        if ssrc in callers:
            callers[ssrc].told(data)

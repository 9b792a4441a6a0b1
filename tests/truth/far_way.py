"""A long way to the room: passes datagrams on, late. Shares no code with the package.

``far_way.py HOST PORT TARGET_PORT [PORT TARGET_PORT …]``: what comes to HOST:PORT goes on to HOST:TARGET_PORT after a
delay between 20 and 35 ms, a triangle in time, and the answers go back without one. Both ways share the triangle,
so two programs that use them at the same time meet the same delays: 151 packets of 20 ms meet each phase once in 11
periods.
"""

import contextlib
import heapq
import itertools
import os
import select
import socket
import sys
import time

LEAST, SWING, PERIOD = 0.020, 0.015, 3.02 / 11
with contextlib.suppress(PermissionError):  # a busy machine's delay is not the path's
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def udp(port: int) -> socket.socket:
    """Open a socket of ours."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((sys.argv[1], port))
    return sock


numbers = list(map(int, sys.argv[2:]))
targets = {udp(port): (sys.argv[1], target) for port, target in zip(numbers[::2], numbers[1::2], strict=True)}
outer: dict[tuple[socket.socket, tuple[str, int]], socket.socket] = {}
inner: dict[socket.socket, tuple[socket.socket, tuple[str, int]]] = {}
waiting: list[tuple[float, int, socket.socket, bytes, tuple[str, int]]] = []
order = itertools.count()
print("ready", flush=True)  # noqa: T201 - the test waits for it
while True:
    now = time.monotonic()
    while waiting and waiting[0][0] <= now:
        _, _, sock, data, target = heapq.heappop(waiting)
        sock.sendto(data, target)
    pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
    for sock in select.select([*targets, *inner], [], [], pause)[0]:
        data, source = sock.recvfrom(4096)
        now = time.monotonic()
        if sock in inner:
            front, caller = inner[sock]
            front.sendto(data, caller)
            continue
        if (sock, source) not in outer:
            outer[sock, source] = udp(0)
            inner[outer[sock, source]] = (sock, source)
        late = LEAST + SWING * abs(now % PERIOD / PERIOD * 2 - 1)
        heapq.heappush(waiting, (now + late, next(order), outer[sock, source], data, targets[sock]))

"""A far end that sends each datagram back. Shares no code with the package: ``echo_room.py HOST PORT``."""

import contextlib
import os
import socket
import sys

SO_RCVBUFFORCE = 33
with contextlib.suppress(PermissionError):  # a busy machine's delay is not the path's
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
room = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
with contextlib.suppress(PermissionError):
    room.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
room.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)  # noqa: T201 - the test waits for it
while True:
    data, source = room.recvfrom(2048)
    with contextlib.suppress(PermissionError):  # a firewall's drop on the way out
        room.sendto(data, source)

"""Reflects on all addresses of loopback, each packet from the address it came to: ``reflector.py PORT``."""

import contextlib
import os
import select
import socket
import sys

from bridge_monitor.net import mmsg

SIZE, CAPACITY = 256, 1024

with contextlib.suppress(PermissionError):
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
mmsg.enable_timestamps(sock)
mmsg.enable_pktinfo(sock)
mmsg.set_buffers(sock, 16 << 20)
sock.bind(("0.0.0.0", int(sys.argv[1])))
received = mmsg.RecvBatch(CAPACITY, SIZE, pktinfo=True)
answers = mmsg.SendBatch(CAPACITY, SIZE, pktinfo=True, data=received.data)
print("ready", flush=True)  # noqa: T201 - the test waits for it
while True:
    select.select([sock], [], [])
    count = received.recv(sock.fileno())
    for name, column in (("dst_ip", received.src_ip), ("dst_port", received.src_port), ("src_ip", received.dst_ip)):
        getattr(answers, name)[:count] = column[:count]
    answers.lengths[:count] = received.lengths[:count]
    done = 0
    while done < count:
        done += answers.send(sock.fileno(), count - done, done)

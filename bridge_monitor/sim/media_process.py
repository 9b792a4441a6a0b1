"""The process that is all rooms' media: runs `sim.reflector` until the pipe to its parent closes.

Owns the loop's waiting. Started as ``python -m bridge_monitor.sim.media_process`` by `sim.media`, which hands over the
board's memory, the sockets and the pipe as open file descriptors.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from bridge_monitor.net.priority import ask_for_priority
from bridge_monitor.sim.board import READY, Board, BoardSize
from bridge_monitor.sim.reflector import Reflector, ReflectorSettings
from bridge_monitor.sim.wire import MediaSockets

_IDLE_NS: Final = 10_000_000
"""How long a new call may wait until it is noticed when nothing else happens."""
_BUSY_DATAGRAMS: Final = 8
_GATHER_SECONDS: Final = 0.001
"""Pause under load, so that one system call fetches many datagrams: it bounds what we add to a round trip."""
_RUSH_DATAGRAMS: Final = 100
_RUSH_GATHER_SECONDS: Final = 0.0015
"""The same when a thousand calls are up: a round's own cost must be shared by hundreds of datagrams."""
_CROWD_DATAGRAMS: Final = 300
_CROWD_NS: Final = 5_000_000
"""With two thousand, rounds begin so far apart: the quicker one is, the longer the next batch may gather."""
_CONTROL_NS: Final = 20_000_000
"""So seldom RTCP is read in a rush: it bears the kernel's times, so that nothing is measured otherwise."""
_SHORT_NS: Final = 1_000_000
"""Waits below poll's resolution are slept."""


def run(reflector: Reflector, sockets: MediaSockets, pipe: socket.socket, clock: Callable[[], int]) -> None:
    """Do rounds until the pipe's other end closes."""
    index_of = {sock.fileno(): index for index, sock in enumerate(sockets.sockets)}
    # Not epoll, which is told of each datagram, at the cost of whoever sends it: a tenth of a million times a second.
    poll = select.poll()
    for fd in (*index_of, pipe.fileno()):
        poll.register(fd, select.POLLIN)
    pipe.send(READY)
    received, control_ns = 0, 0
    while True:
        now_ns = clock()
        wait_ns = min(reflector.next_due_ns - now_ns, _IDLE_NS)
        if 0 < wait_ns < _SHORT_NS:
            time.sleep(wait_ns / 1e9)
            wait_ns = 0
        ready = poll.poll(max(wait_ns, 0) / 1e6)
        if any(fd == pipe.fileno() for fd, _ in ready):
            return
        readable = sorted(index_of[fd] for fd, _ in ready)
        if received > _RUSH_DATAGRAMS and now_ns - control_ns < _CONTROL_NS:
            readable = [index for index in readable if index < sockets.slots]
        else:
            control_ns = now_ns
        began_ns = clock()
        received = reflector.round(readable)
        if received > _BUSY_DATAGRAMS:
            time.sleep(gather_seconds(received, clock() - began_ns))


def gather_seconds(received: int, round_ns: int) -> float:
    """Return how long to let datagrams gather after a round.

    Args:
        received: How many the round had.
        round_ns: How long it took.
    """
    if received <= _RUSH_DATAGRAMS:
        return _GATHER_SECONDS
    if received <= _CROWD_DATAGRAMS:
        return _RUSH_GATHER_SECONDS
    return max(_RUSH_GATHER_SECONDS, (_CROWD_NS - round_ns) / 1e9)


def main(arguments: list[str]) -> None:
    """Take over what `sim.media` hands over and run.

    Args:
        arguments: One JSON object: ``size`` (of the board), ``board``, ``pipe`` and ``sockets`` (descriptors),
            ``settings``.
    """
    ask_for_priority()  # a nation that is late itself proves nothing
    given = json.loads(arguments[0])
    size = BoardSize(**given["size"])
    memory = mmap.mmap(given["board"], Board.bytes_needed(size))
    os.close(given["board"])
    board = Board(size, memory)
    sockets = MediaSockets(tuple(socket.socket(fileno=fd) for fd in given["sockets"]), size.slots)
    reflector = Reflector(board, sockets, ReflectorSettings(**given["settings"]), time.time_ns)
    # Nothing in the loop makes reference cycles, and a collection would stop the media of the whole nation.
    gc.freeze()
    gc.disable()
    with socket.socket(fileno=given["pipe"]) as pipe:
        run(reflector, sockets, pipe, time.time_ns)
    sockets.close()


if __name__ == "__main__":
    # Ctrl-C reaches the whole group; the parent first ends the calls, then closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(sys.argv[1:])

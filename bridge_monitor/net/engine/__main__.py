"""Entry of the engine's process: ``python -m bridge_monitor.net.engine MEMORY_FD CHANNEL_FD SETTINGS``.

Started by `client.MediaEngine` only. Owns what makes it end with its parent; the work is `loop.Engine`'s.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import signal
import socket
import sys
from typing import Final

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net.engine import wire
from bridge_monitor.net.engine.layout import Layout
from bridge_monitor.net.engine.loop import Engine
from bridge_monitor.net.engine.plan import EngineSettings
from bridge_monitor.net.engine.ports import open_pairs
from bridge_monitor.net.priority import ask_for_priority

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_TIMERSLACK: Final = 29


def main(arguments: list[str]) -> None:
    """Run the engine until its parent is gone."""
    memory_fd, channel_fd, settings_text = int(arguments[0]), int(arguments[1]), arguments[2]
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_TIMERSLACK, 1)
    # Ctrl-C and a service manager's SIGTERM reach the whole group: the parent still has calls to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    settings = EngineSettings.from_dict(json.loads(settings_text))
    if settings.priority:
        ask_for_priority()
    memory = mmap.mmap(memory_fd, Layout.size(settings.rows))
    with socket.socket(fileno=channel_fd) as channel:
        try:
            pairs = open_pairs(settings, int.from_bytes(os.urandom(4), "big"))
        except LocalFaultError as error:
            channel.send(wire.encode({"event": "failed", "reason": str(error)}))
            return
        engine = Engine(settings, memoryview(memory), channel, pairs)
        gc.collect()
        gc.freeze()
        gc.disable()  # nothing here makes cycles; a collection would be a late tick
        engine.run()


if __name__ == "__main__":
    main(sys.argv[1:])

"""One process of the media engine, as its parent sees it: started, spoken to, read, ended.

Owns the child, the channel and the shared memory; must not know calls.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from typing import Final

from bridge_monitor.errors import EngineDiedError, LocalFaultError
from bridge_monitor.net.engine import wire
from bridge_monitor.net.engine.layout import Layout
from bridge_monitor.net.engine.plan import EngineSettings
from bridge_monitor.net.polling import PacedReader

_START_SECONDS: Final = 30.0
_END_SECONDS: Final = 5.0
_MESSAGES_AT_ONCE: Final = 256


class EngineProcess:
    """A running engine process.

    Attributes:
        ports: Its RTP ports, one a port pair.
        layout: The rows; this side may only read.
        pid: Its process id.
    """

    def __init__(
        self, child: subprocess.Popen[bytes], channel: socket.socket, layout: Layout, ports: tuple[int, ...]
    ) -> None:
        self.ports = ports
        self.layout = layout
        self.pid = child.pid
        self._child = child
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._outbox: deque[tuple[bytes, list[int]]] = deque()
        self._blocked = False
        self._reader: PacedReader | None = None
        self._on_message: Callable[[bytes], None] | None = None
        self._on_death: Callable[[], None] | None = None

    @classmethod
    async def start(cls, settings: EngineSettings) -> EngineProcess:
        """Start one and wait until it is ready.

        Raises:
            LocalFaultError: It can't have its ports, or did not come up.
        """
        child, ours, layout = _launch(settings)
        try:
            ports = await _ready(ours)
        except BaseException:
            ours.close()
            child.kill()
            child.wait()
            raise
        return cls(child, ours, layout, ports)

    def listen(self, on_message: Callable[[bytes], None], on_death: Callable[[], None]) -> None:
        """Be told of each message, and once of the process's end."""
        self._on_message = on_message
        self._on_death = on_death
        self._reader = PacedReader(self._channel.fileno(), self._read)

    def send(self, command: bytes, *fds: int) -> None:
        """Send a command (`wire`), and with it open files; it waits here while the engine doesn't read.

        Raises:
            EngineDiedError: The process has ended.
        """
        if self._channel.fileno() < 0:
            raise EngineDiedError("the media engine's process has ended")
        # Duplicates: the caller may close his while these still wait.
        self._outbox.append((command, [os.dup(fd) for fd in fds]))
        self._write()

    async def close(self) -> None:
        """End the process and wait for its end."""
        self._close_channel()
        try:
            await asyncio.to_thread(self._child.wait, _END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            await asyncio.to_thread(self._child.wait)

    def _read(self) -> int:
        """Hand on what waits; return how many messages that were."""
        for number in range(_MESSAGES_AT_ONCE):
            try:
                data = self._channel.recv(wire.MAX_MESSAGE)
            except BlockingIOError:
                return number
            except ConnectionError:
                data = b""
            if not data:
                self._died()
                return number
            if self._on_message is not None:
                self._on_message(data)
            if self._channel.fileno() < 0:
                break
        return number + 1

    def _write(self) -> None:
        while self._outbox:
            try:
                message, fds = self._outbox[0]
                if fds:
                    socket.send_fds(self._channel, [message], fds)
                else:
                    self._channel.send(message)
            except BlockingIOError:
                self._loop.add_writer(self._channel, self._write)
                self._blocked = True
                return
            except ConnectionError:
                return  # the reader notices the end
            self._drop_first()
        if self._blocked:
            self._loop.remove_writer(self._channel)
            self._blocked = False

    def _died(self) -> None:
        self._close_channel()
        self._child.kill()  # its end of the channel is gone, so it is of no use even if it lives
        self._child.wait()
        if self._on_death is not None:
            self._on_death()

    def _close_channel(self) -> None:
        if self._channel.fileno() >= 0:
            if self._reader is not None:
                self._reader.close()
            self._loop.remove_writer(self._channel)
            self._channel.close()
            while self._outbox:
                self._drop_first()

    def _drop_first(self) -> None:
        for fd in self._outbox.popleft()[1]:
            os.close(fd)


def _launch(settings: EngineSettings) -> tuple[subprocess.Popen[bytes], socket.socket, Layout]:
    """Start the child with the memory and its end of the channel."""
    size = Layout.size(settings.rows)
    memory_fd = os.memfd_create("bridge_monitor_media")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)  # noqa: FBT003 (the standard library's signature)
    try:
        os.ftruncate(memory_fd, size)
        layout = Layout(settings.rows, memoryview(mmap.mmap(memory_fd, size, access=mmap.ACCESS_READ)))
        child = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [
                sys.executable,
                "-m",
                "bridge_monitor.net.engine",
                str(memory_fd),
                str(theirs.fileno()),
                json.dumps(settings.to_dict()),
            ],
            pass_fds=(memory_fd, theirs.fileno()),
            stdin=subprocess.DEVNULL,
            process_group=0,  # a terminal's Ctrl-C is the parent's to handle
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    except BaseException:
        ours.close()
        raise
    finally:
        os.close(memory_fd)
        theirs.close()
    return child, ours, layout


async def _ready(channel: socket.socket) -> tuple[int, ...]:
    """Wait for the child's first message, and return its ports."""
    try:
        async with asyncio.timeout(_START_SECONDS):
            data = await asyncio.get_running_loop().sock_recv(channel, wire.MAX_MESSAGE)
    except (TimeoutError, ConnectionError) as error:
        raise LocalFaultError("the media engine did not come up") from error
    if not data:
        raise LocalFaultError("the media engine ended at once")
    message = wire.decode(data)
    if message["event"] != "ready":
        raise LocalFaultError(f"the media engine did not start: {message['reason']}")
    return tuple(message["ports"])

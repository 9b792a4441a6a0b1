"""A socket is read at its wake-ups while little comes, and at a steady pace while much does; nothing stays unread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from bridge_monitor.net.polling import BUSY_PER_SECOND, PACE_SECONDS, PacedReader, on_the_grid


class Line:
    """A socket that is read, and who sends to it."""

    def __init__(self) -> None:
        self.here, self.there = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.here.bind(("127.0.0.1", 0))
        self.here.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self.there.connect(self.here.getsockname())
        self.read: list[tuple[bytes, float]] = []
        self.looks = 0

    def take(self) -> int:
        """Read what waits."""
        self.looks += 1
        before = len(self.read)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.read.append((self.here.recv(100), asyncio.get_running_loop().time()))
        return len(self.read) - before


@pytest.fixture
def line() -> Iterator[Line]:
    """Return a line that nobody reads yet."""
    made = Line()
    yield made
    made.here.close()
    made.there.close()


async def send(line: Line, count: int, pause: float) -> None:
    for number in range(count):
        line.there.send(b"%d" % number)
        await asyncio.sleep(pause)


async def test_while_little_comes_each_datagram_is_read_at_once(line: Line) -> None:
    reader = PacedReader(line.here.fileno(), line.take)
    loop = asyncio.get_running_loop()
    for _ in range(10):
        sent = loop.time()
        line.there.send(b"x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert line.read
        assert line.read.pop()[1] - sent < PACE_SECONDS
        await asyncio.sleep(0.02)
    assert not reader.is_busy
    reader.close()


async def test_while_much_comes_it_is_read_at_a_pace_and_then_at_once_again(line: Line) -> None:
    """All of it and in order, in far fewer looks than there are datagrams; afterwards a wake-up is enough again."""
    reader = PacedReader(line.here.fileno(), line.take)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await send(line, 600, 0.0005)
    took = loop.time() - began
    assert reader.is_busy
    await asyncio.sleep(3 * PACE_SECONDS)
    assert [int(data) for data, _ in line.read] == list(range(600))
    # At once until it was found busy, then once in each pace.
    assert line.looks <= BUSY_PER_SECOND * 0.1 + took / PACE_SECONDS + 10
    await asyncio.sleep(0.25)
    assert not reader.is_busy
    line.there.send(b"600")
    await asyncio.sleep(0.001)
    assert line.read[-1][0] == b"600"
    reader.close()


@pytest.mark.parametrize("busy", [False, True])
async def test_nothing_is_read_after_closing(line: Line, busy: bool) -> None:  # noqa: FBT001 - a parameter
    reader = PacedReader(line.here.fileno(), line.take)
    if busy:
        await send(line, 60, 0.0)
    assert reader.is_busy is busy
    reader.close()
    line.read.clear()
    line.there.send(b"late")
    await asyncio.sleep(3 * PACE_SECONDS)
    assert not line.read


@pytest.mark.parametrize("busy", [False, True])
async def test_who_reads_may_close(line: Line, busy: bool) -> None:  # noqa: FBT001 - a parameter
    def take() -> int:
        if reader.is_busy is busy:
            reader.close()
        return line.take()

    reader = PacedReader(line.here.fileno(), take)
    await send(line, 60, 0.0)
    await asyncio.sleep(3 * PACE_SECONDS)
    looks = line.looks
    line.there.send(b"late")
    await asyncio.sleep(3 * PACE_SECONDS)
    assert line.looks == looks > 0


def test_the_grid_is_never_before_the_moment_and_at_most_a_pace_after() -> None:
    for at in (0.0, 0.001, 12.34, 12.3400001, 86_400.005):
        assert 0 <= on_the_grid(at) - at < PACE_SECONDS + 1e-9

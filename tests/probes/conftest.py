"""Our side of a call as the daemon has it, and rooms written by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.interop.rigs import Line, open_line
from tests.probes.rooms import Room


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """Return our side of the calls."""
    opened, close = await open_line()
    try:
        yield opened
    finally:
        await close()


@pytest.fixture
async def new_room() -> AsyncIterator[Callable[[], Awaitable[Room]]]:
    """Return what makes rooms; they say nothing until they have a script."""
    rooms: list[Room] = []

    async def make() -> Room:
        rooms.append(await Room.open("127.0.0.1"))
        return rooms[-1]

    yield make
    for room in rooms:
        room.close()


@pytest.fixture
async def room(new_room: Callable[[], Awaitable[Room]]) -> Room:
    """Return a room."""
    return await new_room()

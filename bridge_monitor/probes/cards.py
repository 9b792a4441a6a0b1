"""The test cards that video calls of this process show: one for each rate and pace, encoded once and beforehand.

Owns when a card is encoded, and that nobody waits for it twice; must not draw or encode (`net.testcard`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from bridge_monitor.net import testcard

Encode = Callable[[str, int, int], testcard.Card]


class Cards:
    """Cards by rate and pace.

    Args:
        title: The event's title, which stands on each.
        encode: Makes one; blocks for a second or two, and may raise LocalFaultError.
    """

    def __init__(self, title: str = "", encode: Encode = testcard.encode) -> None:
        self._title = title
        self._encode = encode
        self._making: dict[tuple[int, int], asyncio.Task[testcard.Card]] = {}

    def prepare(self, rates: Iterable[tuple[int, int]]) -> None:
        """Begin to make cards for these rates (bit/s) and paces (frames a second), and don't wait for them."""
        for bitrate_bps, frames_per_second in rates:
            self._task(bitrate_bps, frames_per_second)

    async def of(self, bitrate_bps: int, frames_per_second: int) -> testcard.Card:
        """Return a card; a call whose turn is over does not end its making.

        Raises:
            LocalFaultError: It can't be made here; the next who asks tries again.
        """
        return await asyncio.shield(self._task(bitrate_bps, frames_per_second))

    def _task(self, bitrate_bps: int, frames_per_second: int) -> asyncio.Task[testcard.Card]:
        key = (bitrate_bps, frames_per_second)
        task = self._making.get(key)
        if task is None:
            work = asyncio.to_thread(self._encode, self._title, bitrate_bps, frames_per_second)
            task = self._making[key] = asyncio.get_running_loop().create_task(work, name=f"card-{bitrate_bps}")

            def forget_a_failure(done: asyncio.Task[testcard.Card]) -> None:
                if done.cancelled() or done.exception() is not None:
                    self._making.pop(key, None)

            task.add_done_callback(forget_a_failure)
        return task

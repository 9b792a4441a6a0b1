"""The test cards that video calls of this process show: one for each rate and pace, encoded once and beforehand.

Owns when a card is encoded, and that nobody waits for it twice; must not draw or encode (`net.testcard`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from bridge_monitor.errors import CardError
from bridge_monitor.net import testcard
from bridge_monitor.probes.profile import CARD_PATIENCE_SECONDS

Encode = Callable[[str, int, int], testcard.Card]


class Cards:
    """Cards by rate and pace.

    Args:
        title: The event's title, which stands on each.
        encode: Makes one; blocks for a second or two, and may raise CardError.
        patience: How long a call waits for one, in seconds.
    """

    def __init__(
        self, title: str = "", encode: Encode = testcard.encode, *, patience: float = CARD_PATIENCE_SECONDS
    ) -> None:
        self._title = title
        self._encode = encode
        self._patience = patience
        self._making: dict[tuple[int, int], asyncio.Task[testcard.Card]] = {}

    def retitle(self, title: str) -> None:
        """Put another title on the cards from now on."""
        if title != self._title:
            self._title = title
            self._making = {}

    def prepare(self, rates: Iterable[tuple[int, int]]) -> None:
        """Begin to make cards for these rates (bit/s) and paces (frames a second), and don't wait for them."""
        for bitrate_bps, frames_per_second in rates:
            self._task(bitrate_bps, frames_per_second)

    async def of(self, bitrate_bps: int, frames_per_second: int) -> testcard.Card:
        """Return a card; a call whose turn is over does not end its making.

        Raises:
            CardError: It can't be made here, which the next who asks tries again; or it takes too long, and then it is
                made all the same.
        """
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(self._task(bitrate_bps, frames_per_second))
        except TimeoutError as error:
            raise CardError(f"the test card was not ready within {self._patience:g} s") from error

    def _task(self, bitrate_bps: int, frames_per_second: int) -> asyncio.Task[testcard.Card]:
        key = (bitrate_bps, frames_per_second)
        task = self._making.get(key)
        if task is None:
            work = asyncio.to_thread(self._encode, self._title, bitrate_bps, frames_per_second)
            making = self._making
            task = making[key] = asyncio.get_running_loop().create_task(work, name=f"card-{bitrate_bps}")

            def forget_a_failure(done: asyncio.Task[testcard.Card]) -> None:
                if done.cancelled() or done.exception() is not None:
                    making.pop(key, None)

            task.add_done_callback(forget_a_failure)
        return task

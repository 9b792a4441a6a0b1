"""Which row, and so which local port, a call gets: the parent's book of the engine's rows.

Owns what is free and who uses which port; must not talk to the engine.
"""

from __future__ import annotations

import heapq

from bridge_monitor.errors import PortsExhaustedError
from bridge_monitor.net.engine.plan import EngineSettings


class RowBook:
    """Free and used rows of one engine process."""

    def __init__(self, settings: EngineSettings) -> None:
        per_pair = settings.rows_per_pair
        self._per_pair = per_pair
        # Heaps: the lowest goes first, so that the rows in use lie together and the others' memory is never touched.
        self._free = [
            list(range(pair * per_pair, min((pair + 1) * per_pair, settings.rows)))
            for pair in range(settings.port_pairs)
        ]
        self._hosts: list[dict[str, int]] = [{} for _ in range(settings.port_pairs)]
        self._loads = [0] * settings.port_pairs
        self._used: dict[int, str] = {}
        self._next = 0

    def __len__(self) -> int:
        """Return how many rows are used."""
        return len(self._used)

    def pair_of(self, row: int) -> int:
        """Return the port pair of a row."""
        return row // self._per_pair

    def take(self, remote_host: str) -> int:
        """Return the lowest free row on the port with the fewest calls to this host, and of those the fewest calls.

        With more calls to one host than there are ports some share one; the engine then tells them apart by the ports
        that the answers named.

        Raises:
            PortsExhaustedError: Every row is used.
        """
        count = len(self._free)
        ideal = (0, min(self._loads))
        best: tuple[int, int, int] | None = None
        for turn in range(count):
            pair = (self._next + turn) % count
            if self._free[pair]:
                found = (self._hosts[pair].get(remote_host, 0), self._loads[pair], turn)
                if best is None or found < best:
                    best = found
                if found[:2] == ideal:
                    break  # as mostly: calls go to ever other hosts, and the ports are loaded evenly
        if best is None:
            raise PortsExhaustedError(f"all {len(self._used)} rows of the media engine are used")
        pair = (self._next + best[2]) % count
        self._next = pair + 1
        row = heapq.heappop(self._free[pair])
        self._hosts[pair][remote_host] = best[0] + 1
        self._loads[pair] += 1
        self._used[row] = remote_host
        return row

    def give_back(self, row: int) -> None:
        """Make a row free. What still comes for its call finds no new one: packets are told by source and SSRC."""
        pair = self.pair_of(row)
        host = self._used.pop(row)
        self._loads[pair] -= 1
        left = self._hosts[pair].pop(host) - 1
        if left:
            self._hosts[pair][host] = left
        heapq.heappush(self._free[pair], row)

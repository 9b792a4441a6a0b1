"""The text of every site's series, kept from one scrape to the next: what has not changed is not rendered again.

Owns the kept text and how it is brought up to date; must not know the daemon or HTTP. Families stand one after the
other in an exposition, so a site's lines are spread over all of it: they are kept in blocks, one for each family and
run of sites, and new lines of a few sites are spliced in. A block is never changed, only replaced: whoever writes out
an exposition holds the blocks of its moment.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from bridge_monitor.domain import Inventory, Site, SiteState
from bridge_monitor.web.aggregates import Packets, Place
from bridge_monitor.web.site_series import (
    ADVISORY,
    INFO,
    PHASES,
    SITE_FAMILIES,
    info_labels,
    render_advisories,
    render_families,
    render_info,
    render_phases,
    site_facts,
    site_labels,
)

RUN_SITES: Final = 32
"""Sites of a run: a millisecond and a half if all of them are new, a twentieth of one if none is."""

Blocks: TypeAlias = tuple[bytes, ...]
"""The text of some sites, one block for each family of `HEADERS`."""

HEADERS: Final = tuple(family.header for family in (INFO, *(entry.family for entry in SITE_FAMILIES), PHASES, ADVISORY))


class SiteRun:
    """Consecutive sites of an inventory, and their text."""

    def __init__(self, sites: Sequence[Site], inventory: Inventory) -> None:
        self._sites = sites
        self._codes = [site.code for site in sites]
        self._labels = [site_labels(site, inventory) for site in sites]
        self._shown: list[tuple[SiteState | None, Packets | None] | None] = [None] * len(sites)
        self._sizes = [array("I", bytes(4 * len(sites))) for _ in HEADERS[1:]]
        self._info = "".join(
            [
                render_info(labels, info_labels(site, inventory))
                for site, labels in zip(sites, self._labels, strict=True)
            ]
        ).encode()
        self._blocks: Blocks = (b"",) * len(self._sizes)
        self.places: frozenset[Place] = frozenset(
            (inventory.province_of(site.code), site.tier) for site in sites if site.testable
        )

    def at(self, states: Mapping[str, SiteState], packets: Mapping[str, Packets]) -> Blocks:
        """Return the text of the sites in these states, with these counters; renders only what isn't kept so."""
        now = list(zip(map(states.get, self._codes), map(packets.get, self._codes), strict=True))
        changed = [
            index
            for index, (new, old) in enumerate(zip(now, self._shown, strict=True))
            if old is None or new[0] is not old[0] or new[1] is not old[1]
        ]
        if changed:
            lines = [self._render(index, *now[index]) for index in changed]
            columns = zip(*lines, strict=True)
            self._blocks = tuple(
                [
                    _splice(block, sizes, changed, column)
                    for block, sizes, column in zip(self._blocks, self._sizes, columns, strict=True)
                ]
            )
            for index in changed:
                self._shown[index] = now[index]
        return (self._info, *self._blocks)

    def _render(self, index: int, state: SiteState | None, packets: Packets | None) -> list[bytes]:
        facts, labels = site_facts(self._sites[index], state, packets or {}), self._labels[index]
        texts = [*render_families(SITE_FAMILIES, facts, labels)]
        texts += (render_phases(facts, labels), render_advisories(facts, labels))
        return [text.encode() for text in texts]


class KeptText:
    """The runs of one inventory; each is made when it is first asked for."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._sites = tuple(inventory)
        self._runs: list[SiteRun | None] = [None] * -(-len(self._sites) // RUN_SITES)
        self._places: tuple[Place, ...] | None = None

    def __len__(self) -> int:
        return len(self._runs)

    def run(self, number: int) -> SiteRun:
        """Return one run, from 0."""
        run = self._runs[number]
        if run is None:
            start = number * RUN_SITES
            run = self._runs[number] = SiteRun(self._sites[start : start + RUN_SITES], self.inventory)
        return run

    def runs(self) -> Iterator[SiteRun]:
        """Yield the runs in the inventory's order."""
        return map(self.run, range(len(self)))

    def places(self) -> tuple[Place, ...]:
        """Return where sites are called, sorted."""
        if self._places is None:
            self._places = tuple(sorted({place for run in self.runs() for place in run.places}))
        return self._places


def _splice(block: bytes, sizes: array[int], changed: Sequence[int], lines: Sequence[bytes]) -> bytes:
    """Return the block with other lines for some of its sites; ``sizes`` of the sites' lines are brought up to date."""
    kept = memoryview(block)
    pieces: list[bytes | memoryview] = []
    begin = at = done = 0
    for index, line in zip(changed, lines, strict=True):
        at += sum(sizes[done:index])
        pieces += (kept[begin:at], line)
        begin = at = at + sizes[index]
        sizes[index] = len(line)
        done = index + 1
    pieces.append(kept[begin:])
    return b"".join(pieces)

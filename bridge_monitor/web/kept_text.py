"""The text of every site's series, kept from one scrape to the next: what has not changed is not rendered again.

Owns the kept text and how it is brought up to date; must not know the daemon or HTTP. Families stand one after the
other in an exposition, so a site's lines are spread over all of it: they are kept in blocks, one for each family and
run of sites, and new lines of a few sites are spliced in. A block is never changed, only replaced: whoever writes out
an exposition holds the blocks of its moment.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from operator import is_
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
"""Sites of a run: a millisecond and a half if all of them are new, a hundredth of one if none is."""

Blocks: TypeAlias = tuple[bytes, ...]
"""The text of some sites, one block for each family of `HEADERS`."""

_NEVER: Final = object()
"""No site's state nor packets: of a site that was not rendered yet."""

HEADERS: Final = tuple(family.header for family in (INFO, *(entry.family for entry in SITE_FAMILIES), PHASES, ADVISORY))


class SiteRun:
    """Consecutive sites of an inventory, and their text."""

    def __init__(self, sites: Sequence[Site], inventory: Inventory) -> None:
        self._sites = sites
        self._codes = [site.code for site in sites]
        self._labels = [site_labels(site, inventory) for site in sites]
        self._states: list[object] = [_NEVER] * len(sites)
        self._packets: list[object] = [_NEVER] * len(sites)
        self._sizes = [array("I", bytes(4 * len(sites))) for _ in HEADERS[1:]]
        self._info = "".join(
            [
                render_info(labels, info_labels(site, inventory))
                for site, labels in zip(sites, self._labels, strict=True)
            ]
        ).encode()
        self._blocks: Blocks = (self._info, *[b""] * len(self._sizes))
        self.places: frozenset[Place] = frozenset(
            (inventory.province_of(site.code), site.tier) for site in sites if site.testable
        )

    def at(self, states: Mapping[str, SiteState], packets: Mapping[str, Packets]) -> Blocks:
        """Return the text of the sites in these states, with these counters; renders only what isn't kept so."""
        new_states, new_packets = list(map(states.get, self._codes)), list(map(packets.get, self._codes))
        # Nearly always nothing is new: one look for all sites.
        if not (all(map(is_, new_states, self._states)) and all(map(is_, new_packets, self._packets))):
            self._update(new_states, new_packets)
        return self._blocks

    def _update(self, states: list[SiteState | None], packets: list[Packets | None]) -> None:
        changed = [
            index
            for index in range(len(states))
            if states[index] is not self._states[index] or packets[index] is not self._packets[index]
        ]
        lines = [self._render(index, states[index], packets[index]) for index in changed]
        columns = zip(*lines, strict=True)
        self._blocks = (
            self._info,
            *[
                _splice(block, sizes, changed, column)
                for block, sizes, column in zip(self._blocks[1:], self._sizes, columns, strict=True)
            ],
        )
        self._states[:], self._packets[:] = states, packets

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
        self._numbers = {site.code: number // RUN_SITES for number, site in enumerate(self._sites)}

    def __len__(self) -> int:
        return len(self._runs)

    def run(self, number: int) -> SiteRun:
        """Return one run, from 0."""
        run = self._runs[number]
        if run is None:
            start = number * RUN_SITES
            run = self._runs[number] = SiteRun(self._sites[start : start + RUN_SITES], self.inventory)
        return run

    def run_of(self, code: str) -> SiteRun | None:
        """Return the run that a site is in; None if the inventory has no such site."""
        number = self._numbers.get(code)
        return None if number is None else self.run(number)

    def runs(self) -> Iterator[SiteRun]:
        """Yield the runs in the inventory's order."""
        return map(self.run, range(len(self)))

    def places(self) -> tuple[Place, ...]:
        """Return where sites are called, sorted."""
        if self._places is None:
            self._places = tuple(sorted({place for run in self.runs() for place in run.places}))
        return self._places


def _splice(block: bytes, sizes: array[int], changed: Sequence[int], lines: Sequence[bytes]) -> bytes:
    """Return the block with other lines for some of its sites; ``sizes`` of the sites' lines are brought up to date.

    A block whose lines are what they were is returned itself.
    """
    kept = memoryview(block)
    pieces: list[bytes | memoryview] = []
    begin = at = done = 0
    for index, line in zip(changed, lines, strict=True):
        size = sizes[index]
        if not line and not size:
            continue  # as it mostly is where a family is empty: no video, no advisory
        at += sum(sizes[done:index])
        if size != len(line) or not block.startswith(line, at):
            pieces += (kept[begin:at], line)
            begin = at + size
            sizes[index] = len(line)
        at += size
        done = index + 1
    if not pieces:
        return block
    pieces.append(kept[begin:])
    return b"".join(pieces)

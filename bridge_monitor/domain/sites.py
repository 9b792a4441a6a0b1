"""Sites, and the tree they make.

Owns the facts of rooms and their place in the conference; must not know how a site is called or judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Site:
    """One room (điểm cầu) of the conference.

    Attributes:
        code: Unique code, a string; leading zeros are kept.
        name: Name in the users' language.
        tier: Name of its tier (``central``, ``province``, …).
        parent: Code of the site above it; None for the root.
        carrier: Who provides its line; empty if not known.
        endpoint: URI to call; None if it can't be called.
        probe: Name of the profile it is called with; None means "not testable from here" (``probe = none``).
        attends_at: Code of the site where its people sit; such a site is never called and never down.
        via: Code of the site or bridge a test call to it really crosses; None: its parent.
        speaking: True if it will speak in the conference.
        labels: Further columns ``label:NAME`` of the site list.
    """

    code: str
    name: str
    tier: str
    parent: str | None = None
    carrier: str = ""
    endpoint: str | None = None
    probe: str | None = None
    attends_at: str | None = None
    via: str | None = None
    speaking: bool = False
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def testable(self) -> bool:
        """Whether test calls are placed to it."""
        return self.attends_at is None and self.probe is not None and self.endpoint is not None


class Inventory:
    """All sites, as a tree; immutable.

    The sites must already be checked: parents exist and there is no cycle (`config` reports such mistakes by line).

    Args:
        sites: The sites, in the order of the list.
        tiers: Names of the tiers from the top down.
    """

    def __init__(self, sites: Iterable[Site], tiers: tuple[str, ...]) -> None:
        self._sites = {site.code: site for site in sites}
        self.tiers = tiers
        self._rank = {name: rank for rank, name in enumerate(tiers)}
        children: dict[str, list[str]] = {}
        for site in self._sites.values():
            if site.parent is not None:
                children.setdefault(site.parent, []).append(site.code)
        self._children = {code: tuple(below) for code, below in children.items()}
        self._place: dict[str, tuple[str, str]] = {}
        for site in self._sites.values():
            self._place[site.code] = self._find_place(site)

    def __len__(self) -> int:
        return len(self._sites)

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites.values())

    def __contains__(self, code: object) -> bool:
        return code in self._sites

    def __getitem__(self, code: str) -> Site:
        return self._sites[code]

    def get(self, code: str) -> Site | None:
        """Return the site with this code, or None."""
        return self._sites.get(code)

    def children(self, code: str) -> tuple[str, ...]:
        """Return the codes of the sites directly below."""
        return self._children.get(code, ())

    def ancestors(self, code: str) -> Iterator[Site]:
        """Yield the site itself, then each site above it, up to the root."""
        current: str | None = code
        while current is not None:
            site = self._sites[current]
            yield site
            current = site.parent

    def province_of(self, code: str) -> str:
        """Return the code of its province: the site of the second tier at or above it; empty for the root."""
        return self._place[code][0]

    def district_of(self, code: str) -> str:
        """Return the code of its district: the site of tier ``district`` at or above it; empty where there is none."""
        return self._place[code][1]

    def testable(self) -> Iterator[Site]:
        """Yield the sites that test calls are placed to, in the order of the list."""
        return (site for site in self._sites.values() if site.testable)

    def _find_place(self, site: Site) -> tuple[str, str]:
        province = district = ""
        for above in self.ancestors(site.code):
            if self._rank.get(above.tier) == 1:
                province = above.code
            if above.tier == "district":
                district = above.code
        return province, district

"""Reads ``sites.csv``: every room, and the tree they make.

Owns the checks of single lines; must not check how sites refer to each other (`config.tree`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bridge_monitor.config.endpoints import SCHEMES, Endpoint, parse_endpoint
from bridge_monitor.config.files import LABEL, Table, read_table
from bridge_monitor.config.problems import Problems, guess_name, listing
from bridge_monitor.config.references import Known
from bridge_monitor.config.settings import NOT_TESTABLE, Settings
from bridge_monitor.domain import Site

FILE: Final = "sites.csv"
REQUIRED: Final = ("code", "name", "tier", "parent")
OPTIONAL: Final = ("carrier", "endpoint", "probe", "attends_at", "via", "speaking")

_CODE: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_FLAGS: Final = {"": False, "no": False, "không": False, "0": False} | {"yes": True, "có": True, "x": True, "1": True}
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SiteList:
    """The sites that could be read.

    Attributes:
        file: The list's name as the operator gave it.
        sites: Sites by code, in the list's order.
        lines: Line of each site.
        complete: False if lines could not be read at all: then an unknown code may be theirs.
        sound: Codes of the sites whose own line could be read whole.
    """

    file: str
    sites: Mapping[str, Site]
    lines: Mapping[str, int]
    complete: bool
    sound: frozenset[str]

    def known(self, tiers: tuple[str, ...] | None) -> Known | None:
        """Return what the other files may refer to, or None if that is not known for certain."""
        if tiers is None or len(tiers) < 2 or not self.complete:
            return None
        provinces = {code for code, site in self.sites.items() if site.tier == tiers[1] or code not in self.sound}
        carriers = {site.carrier: None for site in self.sites.values() if site.carrier}
        return Known(tiers[1], provinces, carriers, self.sites.keys())


def read_sites(path: Path, settings: Settings, problems: Problems) -> SiteList:
    """Read the list and check each line by itself.

    Args:
        path: ``sites.csv``.
        settings: Tiers and profiles it may name; what is not known there is not checked.
        problems: Where its problems go.
    """
    table = read_table(path, problems, required=REQUIRED, optional=OPTIONAL, labels=True)
    if table is None:
        return SiteList(str(path), {}, {}, complete=False, sound=frozenset())
    if not table.rows and table.complete:
        problems.add(table.file, 0, "no_sites")
    return _Reader(table, settings, problems).read()


class _Reader:
    def __init__(self, table: Table, settings: Settings, problems: Problems) -> None:
        self._table = table
        self._settings = settings
        self._problems = problems
        self._tiers = frozenset(settings.tiers or ())
        self._lines: dict[str, int] = {}
        self._endpoints: dict[str, tuple[str, int]] = {}
        self._carriers: dict[str, tuple[str, int]] = {}
        self._spelt: set[str] = set()
        self._without_profile: list[int] = []
        self._line = 0

    def read(self) -> SiteList:
        table = self._table
        # The columns known here, in their order; for those left out the empty cell put after the last one.
        pick = itemgetter(*table.places((*REQUIRED, *OPTIONAL), missing=-1))
        labels = [
            (place, name.removeprefix(LABEL)) for place, name in enumerate(table.columns) if name.startswith(LABEL)
        ]
        sites: dict[str, Site] = {}
        sound: set[str] = set()
        for row in table.rows:
            self._line = row.line
            values = pick([*row.cells, ""])
            code = values[0]
            usable = self._check_code(code)
            if row.whole:
                site = self._site(values, _labels(row.cells, labels) if labels else _NO_LABELS)
            else:
                site = Site(code, values[1], values[2])
            if usable:
                sites[code], self._lines[code] = site, row.line
                if row.whole:
                    sound.add(code)
        if self._without_profile:
            self._note_missing_default()
        return SiteList(table.file, sites, self._lines, table.complete, frozenset(sound))

    def _note(self, key: str, **facts: Any) -> None:
        self._problems.add(self._table.file, self._line, key, **facts)

    def _check_code(self, code: str) -> bool:
        if not code:
            self._note("missing_value", column="code")
        elif not _CODE.fullmatch(code):
            self._note("bad_code", code=code)
        elif code in self._lines:
            self._note("duplicate_code", code=code, first=self._lines[code])
        else:
            return True
        return False

    def _site(self, values: Sequence[str], labels: Mapping[str, str]) -> Site:
        code, name, tier, parent, carrier, endpoint, probe, attends_at, via, speaking = values
        if not name:
            self._note("missing_value", column="name")
        if tier not in self._tiers and self._settings.tiers:
            known = self._settings.tiers
            self._note("unknown_tier", tier=tier, known=listing(known), guess=guess_name(tier, known))
        if carrier:
            self._check_carrier(carrier)
        flag = _FLAGS.get(speaking.lower())
        if flag is None:
            self._note("bad_flag", value=speaking, column="speaking")
        parsed = self._endpoint(code, endpoint, attends_at) if endpoint else None
        if not (endpoint or attends_at or probe == NOT_TESTABLE):
            self._note("no_way_to_test", code=code)
        profile = self._profile(probe, called=bool(endpoint and not attends_at))
        if parsed is not None and profile is not None and not attends_at:
            self._check_callable(endpoint, parsed, profile)
        return Site(
            code,
            name,
            tier,
            parent or None,
            carrier,
            endpoint or None,
            profile,
            attends_at or None,
            via or None,
            bool(flag),
            labels,
        )

    # --- single columns ----------------------------------------------------------------------------------------------

    def _check_carrier(self, carrier: str) -> None:
        if carrier in self._spelt:
            return
        folded = "".join(carrier.casefold().split())
        other, first = self._carriers.setdefault(folded, (carrier, self._line))
        if other == carrier:
            self._spelt.add(carrier)
        else:
            self._note("carrier_spelling", carrier=carrier, other=other, first=first)

    def _endpoint(self, code: str, endpoint: str, attends_at: str) -> Endpoint | None:
        try:
            parsed = parse_endpoint(endpoint)
        except ValueError as error:
            guess = guess_name(endpoint.partition(":")[0] + ":", SCHEMES) if str(error) == "endpoint_scheme" else None
            self._note(str(error), endpoint=endpoint, known=listing(SCHEMES), guess=guess)
            return None
        other, first = self._endpoints.setdefault(endpoint, (code, self._line))
        if first != self._line and not attends_at:
            self._note("shared_endpoint", endpoint=endpoint, other=other, first=first)
        return parsed

    def _profile(self, probe: str, *, called: bool) -> str | None:
        """Return the name of the site's profile; None if it has none."""
        if probe == NOT_TESTABLE:
            return None
        if probe:
            known = self._settings.profile_names
            if known is not None and probe not in known:
                names = (*known, NOT_TESTABLE)
                self._note("unknown_profile", profile=probe, known=listing(names), guess=guess_name(probe, names))
            return probe
        if called and self._settings.default_profile is None and self._settings.profile_names is not None:
            self._without_profile.append(self._line)
        return self._settings.default_profile if called else None

    def _check_callable(self, endpoint: str, parsed: Endpoint, name: str) -> None:
        profile = self._settings.profiles.get(name)
        if profile is not None and not parsed.callable_by(profile.kind):
            self._note("not_callable", profile=name, kind=profile.kind, endpoint=endpoint)

    def _note_missing_default(self) -> None:
        count, first = len(self._without_profile), self._without_profile[0]
        self._problems.add(self._settings.file, 1, "no_default_profile", count=count, first=first)


def _labels(cells: Sequence[str], labels: Sequence[tuple[int, str]]) -> Mapping[str, str]:
    return MappingProxyType({name: cells[place] for place, name in labels if cells[place]})

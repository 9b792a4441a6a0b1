"""Reads ``contacts.csv``: who is registered for which province or carrier.

Owns the checks of the roster; must not show or send it (it is kept out of metrics, logs and results).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from bridge_monitor.config import values
from bridge_monitor.config.files import Row, read_table
from bridge_monitor.config.problems import Problems, guess_name, listing
from bridge_monitor.config.references import Known
from bridge_monitor.domain import Contact, ContactScope

FILE: Final = "contacts.csv"
COLUMNS: Final = ("scope", "code", "role", "channel", "address", "registered_at")

_ADDRESSES: Final = {
    "email": (re.compile(r"[^@\s]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"), "truc@example.org"),
    "webhook": (re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(/\S*)?"), "https://sms.example.org/hook"),
    "phone": (re.compile(r"\+?[0-9][0-9 .-]{2,}"), "+84 24 0000 0000"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A contact and its line in the roster."""

    line: int
    contact: Contact


def read_contacts(path: Path, zone: ZoneInfo, now: datetime, problems: Problems) -> tuple[Line, ...]:
    """Read the roster and check each line by itself.

    Args:
        path: ``contacts.csv``.
        zone: Zone of its times.
        now: The present; a registration still to come gives a warning.
        problems: Where its problems go.
    """
    table = read_table(path, problems, required=COLUMNS)
    if table is None:
        return ()
    pick = itemgetter(*table.places(COLUMNS, missing=-1))
    reader = _Reader(table.file, zone, now, problems)
    return tuple(line for row in table.rows if row.whole and (line := reader.read(row, pick(row.cells))) is not None)


def check_contacts(file: str, lines: Sequence[Line], known: Known, problems: Problems) -> None:
    """Check the roster's provinces and carriers against the site list."""
    for entry in lines:
        contact = entry.contact
        check = known.check_province if contact.scope is ContactScope.PROVINCE else known.check_carrier
        if contact.code:
            check(problems, file, entry.line, contact.code)


class _Reader:
    def __init__(self, file: str, zone: ZoneInfo, now: datetime, problems: Problems) -> None:
        self._file = file
        self._zone = zone
        self._now = now
        self._problems = problems
        self._seen: dict[tuple[str, ...], int] = {}
        self._line = 0

    def read(self, row: Row, cells: Sequence[str]) -> Line | None:
        """Return the contact, or None if its scope is not known."""
        self._line = row.line
        scope, code, role, channel, address, registered = cells
        for column, value in (("code", code), ("role", role)):
            if not value:
                self._note("missing_value", column=column)
        first = self._seen.setdefault((scope, code, role, channel, address), row.line)
        if first != row.line:
            self._note("duplicate_contact", first=first)
        self._check_address(channel, address, registered=bool(registered))
        registered_at = self._registered_at(registered) if registered else None
        scopes = list(ContactScope)
        if scope not in scopes:
            guess = guess_name(scope, scopes)
            self._note("bad_cell_choice", value=scope, column="scope", known=listing(scopes), guess=guess)
            return None
        return Line(row.line, Contact(ContactScope(scope), code, role, channel, address, registered_at))

    def _note(self, key: str, **facts: Any) -> None:
        self._problems.add(self._file, self._line, key, **facts)

    def _check_address(self, channel: str, address: str, *, registered: bool) -> None:
        """Check how the contact is reached; who hasn't registered may have neither channel nor address."""
        if not (channel or address or registered):
            return
        if channel not in _ADDRESSES:
            known, guess = listing(_ADDRESSES), guess_name(channel, _ADDRESSES)
            self._note("bad_cell_choice", value=channel, column="channel", known=known, guess=guess)
            return
        pattern, example = _ADDRESSES[channel]
        if not pattern.fullmatch(address):
            self._note("bad_contact_address", address=address, channel=channel, example=example)

    def _registered_at(self, text: str) -> datetime | None:
        facts: dict[str, Any] = {"path": "registered_at", "value": text, "zone": self._zone.key, "offset": ""}
        try:
            written = values.moment(text)
            facts["offset"] = written.replace(tzinfo=written.tzinfo or self._zone).isoformat()[-6:]
            moment = values.in_zone(written, self._zone)
        except ValueError as error:
            self._note(str(error), **facts)
            return None
        if moment > self._now:
            self._note("future_registration", moment=f"{moment:%Y-%m-%d %H:%M}")
        return moment

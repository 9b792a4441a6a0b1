"""Reads ``credentials:`` of ``bridge_monitor.yaml``: our accounts, where they are used, where their secrets are.

Owns its keys and checks; the secrets themselves are read by `config.secret_sources`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from bridge_monitor.config.documents import Document, KeyPath, Strict, dotted, fit
from bridge_monitor.config.problems import Problems
from bridge_monitor.config.references import Known
from bridge_monitor.config.secret_sources import SOURCES, Source, read_secret
from bridge_monitor.domain import Secret
from bridge_monitor.probes.keyring import Account

SECTION: Final = "credentials"

_INLINE: Final = frozenset(
    {"password", "passwd", "pass", "pwd", "passphrase", "secret", "key", "ha1", "token", "mật_khẩu", "mat_khau"}
)
"""Keys that somebody would write the secret itself under."""

_Text = Annotated[str, Field(min_length=1)]


class _AccountKeys(Strict):
    realm: _Text
    user: _Text
    sites: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    provinces: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    carriers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    all: bool = False
    file: _Text | None = None
    env: _Text | None = None
    credential: _Text | None = None


@dataclass(frozen=True, slots=True)
class WrittenAccount:
    """An account as the file has it.

    Attributes:
        account: What it says.
        path: Where it stands.
        source: What kind of source its secret has.
    """

    account: Account
    path: KeyPath
    source: Source


def read_credentials(
    document: Document, problems: Problems, folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[WrittenAccount, ...]:
    """Read the section; every entry is checked by itself.

    Args:
        document: The file.
        problems: Where its problems go.
        folder: The folder that names of files are relative to.
        environment: The process's environment; None for the real one.
    """
    entries = document.plain.get(SECTION)
    if not isinstance(entries, list):
        return ()
    reader = _Reader(document, problems, folder, os.environ if environment is None else environment)
    found = (reader.read((SECTION, place), entry) for place, entry in enumerate(entries))
    written = tuple(entry for entry in found if entry is not None)
    reader.check_twice(written)
    return written


def check_credentials(
    written: tuple[WrittenAccount, ...], file: str, line: Callable[[KeyPath], int], known: Known, problems: Problems
) -> None:
    """Check the sites, provinces and carriers that accounts are for against the site list."""
    for entry in written:
        account = entry.account
        for code in sorted(account.sites):
            known.check_site(problems, file, line((*entry.path, "sites")), code)
        for code in sorted(account.provinces):
            known.check_province(problems, file, line((*entry.path, "provinces")), code)
        for name in sorted(account.carriers):
            known.check_carrier(problems, file, line((*entry.path, "carriers")), name)


class _Reader:
    def __init__(self, document: Document, problems: Problems, folder: Path, environment: Mapping[str, str]) -> None:
        self._document = document
        self._problems = problems
        self._folder = folder
        self._environment = environment

    def read(self, path: KeyPath, entry: Any) -> WrittenAccount | None:
        if not isinstance(entry, dict):
            self._note(path, "must_be_mapping")
            return None
        inline = [key for key in entry if key.lower().replace("-", "_") in _INLINE]
        for key in inline:
            self._note((*path, key), "inline_secret")
            del entry[key]  # so that nothing else looks at it, or asks for a source beside it
        keys = fit(self._document, _AccountKeys, self._problems, at=path)
        if keys is None:
            return None
        if keys.all == bool(keys.sites or keys.provinces or keys.carriers):
            self._note(path, "credentials_scope")
        named: list[Source] = [source for source in SOURCES if getattr(keys, source) is not None]
        if len(named) != 1:
            if not inline:
                self._note(path, "secret_source")
            return None
        (source,) = named
        account = Account(
            realm=keys.realm,
            user=keys.user,
            password=self._secret((*path, source), source, getattr(keys, source)),
            sites=frozenset(keys.sites or ()),
            provinces=frozenset(keys.provinces or ()),
            carriers=frozenset(keys.carriers or ()),
            everywhere=keys.all,
        )
        return WrittenAccount(account, path, source)

    def check_twice(self, written: tuple[WrittenAccount, ...]) -> None:
        """Note what has two accounts for one realm: which of them is used would be chance."""
        first: dict[tuple[str, str, str], KeyPath] = {}
        for entry in written:
            for kind, place in _places(entry.account):
                key = (entry.account.realm, kind, place)
                if key in first:
                    line = self._document.line(first[key])
                    self._note(entry.path, "duplicate_credentials", realm=entry.account.realm, first=line)
                    break
                first[key] = entry.path

    def _secret(self, path: KeyPath, source: Source, name: str) -> Secret | None:
        try:
            return read_secret(source, name, self._folder, self._environment)
        except ValueError as error:
            key, *facts = error.args
            self._note(path, key, **dict(*facts))
            return None

    def _note(self, path: KeyPath, key: str, /, **facts: Any) -> None:
        self._problems.add(self._document.file, self._document.line(path), key, path=dotted(path), **facts)


def _places(account: Account) -> list[tuple[str, str]]:
    places = [("site", code) for code in sorted(account.sites)]
    places += [("province", code) for code in sorted(account.provinces)]
    places += [("carrier", name) for name in sorted(account.carriers)]
    return [*places, ("all", "")] if account.everywhere else places

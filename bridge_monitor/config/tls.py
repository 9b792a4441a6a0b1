"""Reads what TLS peers must show, and what we show them: section ``tls`` and the overrides of that name.

Owns its keys and the checks of the files they name; what they mean belongs to `sip.TlsSettings` and `net.tls`. A key
file is named here and never read into anything of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from bridge_monitor.config import values
from bridge_monitor.config.documents import KeyPath, Strict
from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import tls
from bridge_monitor.probes.profile import TlsBook
from bridge_monitor.sip import TlsSettings

SECTION: Final = "tls"
_OTHERS: Final = 0o077

Note = Callable[..., None]
"""Called with a key's path, a message's key and its facts."""


class TlsKeys(Strict):
    """What may stand in ``tls`` of a province, carrier or site."""

    ca_file: Annotated[str, Field(min_length=1)] | None = None
    certificate: Annotated[str, Field(min_length=1)] | None = None
    key: Annotated[str, Field(min_length=1)] | None = None
    pins: Annotated[list[Annotated[str, BeforeValidator(values.fingerprint)]], Field(min_length=1)] | None = None
    verify: bool | None = None


class MainTlsKeys(TlsKeys):
    """The section itself: what holds everywhere, and what differs for single sites."""

    sites: dict[str, TlsKeys] = Field(default_factory=dict)


class TlsReader:
    """Makes settings of keys; what one doesn't say is as in the section itself.

    Args:
        main: The section.
        folder: What relative names of files start from.
        note: Where problems go.
    """

    def __init__(self, main: MainTlsKeys, folder: Path, note: Note) -> None:
        self._folder = folder
        self._note = note
        self._main = main
        self._default = TlsSettings()
        self._default = self.settings((SECTION,), main)

    def book(self) -> TlsBook:
        """Return what holds everywhere and for single sites."""
        sites = {code: self.settings((SECTION, "sites", code), keys) for code, keys in self._main.sites.items()}
        return TlsBook(self._default, MappingProxyType(sites))

    def settings(self, path: KeyPath, keys: TlsKeys) -> TlsSettings:
        """Return what some keys say; how a peer is judged and what we show it are each taken over whole, or not."""
        made = self._default
        if keys.ca_file is not None or keys.pins is not None or keys.verify is not None:
            made = replace(
                made,
                ca_file=self._path(keys.ca_file),
                pins=tuple(keys.pins or ()),
                verify=True if keys.verify is None else keys.verify,
            )
        if keys.certificate is not None or keys.key is not None:
            made = replace(made, certificate=self._path(keys.certificate), key=self._path(keys.key))
        self._check(path, keys, made)
        return made

    def _path(self, written: str | None) -> str | None:
        return str(self._folder / written) if written else None

    def _check(self, path: KeyPath, keys: TlsKeys, made: TlsSettings) -> None:
        ways = [name for name in ("ca_file", "pins") if getattr(keys, name) is not None]
        ways += ["verify"] if keys.verify is False else []
        if len(ways) > 1:
            self._note((*path, ways[-1]), "tls_contradiction", path=_dotted(path), ways=", ".join(ways))
            return
        if keys.verify is False:
            self._note((*path, "verify"), "tls_unverified", path=_dotted((*path, "verify")))
        if keys.key is not None and keys.certificate is None:
            self._note((*path, "key"), "key_without_certificate", path=_dotted((*path, "key")))
            return
        self._check_secret((*path, "certificate" if keys.key is None else "key"), made.key or made.certificate)
        if keys.ca_file is not None:
            self._check_use((*path, "ca_file"), TlsSettings(ca_file=made.ca_file))
        if keys.certificate is not None:
            self._check_use((*path, "certificate"), replace(made, ca_file=None, pins=(), verify=False))

    def _check_secret(self, path: KeyPath, name: str | None) -> None:
        try:
            mode = Path(name).stat().st_mode if name else 0
        except OSError:
            return  # that it can't be read is told by its use
        if mode & _OTHERS:
            self._note(path, "open_tls_key", path=_dotted(path), file=name)

    def _check_use(self, path: KeyPath, settings: TlsSettings) -> None:
        try:
            tls.context_of(settings)
        except LocalFaultError as error:
            self._note(path, "tls_file", path=_dotted(path), error=error)


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)


def overridden(reader: TlsReader, section: str, overrides: Mapping[str, Any]) -> dict[str, TlsSettings]:
    """Return the settings of the provinces or carriers that have some of their own."""
    return {
        name: reader.settings((section, name, SECTION), keys.tls)
        for name, keys in overrides.items()
        if keys.tls is not None
    }

"""The names that this machine's ``/etc/hosts`` gives addresses to: many sites name their hosts there (hosts(5)).

Owns the file and its re-reading; must not ask anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final

HOSTS_FILE: Final = Path("/etc/hosts")

_LOOPBACK: Final = ("127.0.0.1", "::1")
_MOST_BYTES: Final = 16 << 20


class HostsFile:
    """The file's names, read anew when it has changed.

    Args:
        path: Where it is; a missing one has no names.
    """

    def __init__(self, path: Path = HOSTS_FILE) -> None:
        self._path = path
        self._version: tuple[int, ...] | None = None
        self._addresses: Mapping[str, tuple[str, ...]] = {}

    def find(self, name: str) -> tuple[str, ...]:
        """Return the addresses of a name, IPv4 and IPv6 as they stand there; none if it isn't there.

        ``localhost`` and what ends with it is this machine, whatever the file says (RFC 6761 §6.3).
        """
        name = name.rstrip(".").lower()
        if name == "localhost" or name.endswith(".localhost"):
            return _LOOPBACK
        self._refresh()
        return self._addresses.get(name, ())

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            version = (found.st_mtime_ns, found.st_size, found.st_ino)
            if version != self._version:
                with self._path.open("rb") as file:
                    self._addresses = parse_hosts(file.read(_MOST_BYTES).decode("utf-8", "replace"))
                self._version = version
        except OSError:
            self._version, self._addresses = None, {}


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Return the addresses by name in lower case; a line that is none is passed over, as the system does."""
    found: dict[str, dict[str, None]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            written = str(ip_address(address))
        except ValueError:
            continue
        for name in names:
            found.setdefault(name.rstrip(".").lower(), {})[written] = None
    return {name: tuple(addresses) for name, addresses in found.items()}

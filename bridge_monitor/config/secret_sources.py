"""Where secrets are read from: a file, a variable of the environment, a credential of systemd.

Owns the reading and what a source must be like; must not keep a secret, nor name one, or what may be one by mistake,
in any message.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from bridge_monitor.domain import Secret

Source = Literal["file", "env", "credential"]
SOURCES: Final[tuple[Source, ...]] = ("file", "env", "credential")
"""Kinds of source, as the keys that name one."""

_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
"""Set by systemd for a service with LoadCredential= (systemd.exec(5))."""
_LARGEST: Final = 4096
_NAMES: Final[Mapping[str, re.Pattern[str]]] = {
    "file": re.compile(r"[^\0]+"),
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII),
    "credential": re.compile(r"[A-Za-z0-9._@:-]*[A-Za-z0-9_@:-][A-Za-z0-9._@:-]*", re.ASCII),  # a file's name, no path
}


def read_secret(source: Source, name: str, folder: Path, environment: Mapping[str, str]) -> Secret:
    """Return a secret.

    Args:
        source: What kind of source.
        name: The file (relative to the folder), the variable or the credential.
        folder: The folder of the configuration.
        environment: The process's environment.

    Raises:
        ValueError: With the key of the catalogue's message and its facts. ``secret_not_here``: this process has no such
            variable or no credentials; a service of the same configuration may well have them.
    """
    if not _NAMES[source].fullmatch(name):
        raise ValueError("bad_secret_name")
    if source == "env":
        if name not in environment:
            raise ValueError("secret_not_here")
        return _checked(os.fsencode(environment[name]))
    if source == "credential":
        if not environment.get(_DIRECTORY):
            raise ValueError("secret_not_here")
        return _checked(_read(Path(environment[_DIRECTORY]) / name))
    return _checked(_read(folder / name))


def _read(path: Path) -> bytes:
    """Return what a file holds; what is raised doesn't say where it is: that may be a secret put there."""
    try:
        # Not to be waited for: a named pipe would hold the program.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            mode = os.fstat(fd).st_mode
            data = file.read(_LARGEST + 1) if stat.S_ISREG(mode) else None
    except OSError as error:
        raise ValueError("unreadable_secret", {"error": error.strerror}) from None
    if data is None:
        raise ValueError("unreadable_secret", {"error": "not a regular file"})
    if mode & stat.S_IRWXO:
        raise ValueError("open_secret", {"mode": f"{stat.S_IMODE(mode):04o}"})
    return data


def _checked(data: bytes) -> Secret:
    """Return the one line of text that a source must hold, its line end left out."""
    try:
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("bad_secret") from None
    if not text or len(data) > _LARGEST or any(character < " " for character in text):
        raise ValueError("bad_secret")
    return Secret(text)

"""One call at a time per site, over all processes of this host.

Owns the lock files: one byte range a site, held by open file description (F_OFD_SETLK), so that the kernel frees it
when the process ends, however it ends. Must not know windows or caps: the daemon's planner keeps those.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from pathlib import Path
from typing import Final

_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock of Linux on 64-bit machines
_FILES: Final = 64
"""The kernel walks all locks of a file for each one taken: with thousands of calls up, one file would cost too much."""


class SiteLocks:
    """The host's site locks.

    Args:
        path: What the lock files are called, a dot and two hexadecimal digits added; made if missing.

    Raises:
        OSError: One can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._held: set[str] = set()
        self._fds: list[int] = []
        try:
            for number in range(_FILES):
                file = path.with_name(f"{path.name}.{number:02x}")
                self._fds.append(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError:
            self.close()
            raise

    def acquire(self, site: str) -> bool:
        """Take the site's lock; False if this or another process has it."""
        if site in self._held:
            return False
        try:
            self._set(fcntl.F_WRLCK, site)
        except (BlockingIOError, PermissionError):
            return False
        self._held.add(site)
        return True

    def release(self, site: str) -> None:
        """Give the site's lock back; nothing happens if it isn't held."""
        if site in self._held:
            self._held.discard(site)
            self._set(fcntl.F_UNLCK, site)

    def close(self) -> None:
        """Give all locks back."""
        self._held.clear()
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def _set(self, kind: int, site: str) -> None:
        # 62 bits of a hash as offset: two sites would have to collide to hinder each other.
        digest = hashlib.sha256(site.encode()).digest()
        offset = int.from_bytes(digest[:8], "big") >> 2
        fcntl.fcntl(self._fds[digest[8] % _FILES], fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0))

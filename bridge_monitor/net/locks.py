"""One call at a time per site, over all processes of this host.

Owns the lock file: one byte range a site in one file, held by open file description (F_OFD_SETLK), so that the kernel
frees it when the process ends, however it ends. Must not know windows or caps: the daemon's planner keeps those.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from pathlib import Path
from typing import Final

_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock of Linux on 64-bit machines


class SiteLocks:
    """The host's site locks.

    Args:
        path: The lock file; made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held: set[str] = set()

    def acquire(self, site: str) -> bool:
        """Take the site's lock; False if this or another process has it."""
        if site in self._held:
            return False
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, self._range(fcntl.F_WRLCK, site))
        except (BlockingIOError, PermissionError):
            return False
        self._held.add(site)
        return True

    def release(self, site: str) -> None:
        """Give the site's lock back; nothing happens if it isn't held."""
        if site in self._held:
            self._held.discard(site)
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, self._range(fcntl.F_UNLCK, site))

    def close(self) -> None:
        """Give all locks back."""
        self._held.clear()
        os.close(self._fd)

    @staticmethod
    def _range(kind: int, site: str) -> bytes:
        # 62 bits of a hash as offset: two sites would have to collide to hinder each other.
        offset = int.from_bytes(hashlib.sha256(site.encode()).digest()[:8], "big") >> 2
        return _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0)

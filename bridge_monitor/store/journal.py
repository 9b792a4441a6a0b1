"""The journal of dialogs: which calls are up, so that after a SIGKILL the next start can end every one of them.

Owns one append-only file of JSON lines in the state directory, and a lock that makes it one process's. Must not know
what is in a record beyond its ``call_id``, end a call, or buffer: a written line has reached the kernel on return. It
is not synced to the disk for each call: it has to survive the process, and no call survives the machine.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from bridge_monitor.errors import LocalFaultError, RefusedError

SCHEMA: Final = "bridge_monitor.dialogs/1"

_HEADER: Final = json.dumps({"schema": SCHEMA}, separators=(",", ":")).encode() + b"\n"
_MODE: Final = 0o600  # records name rooms' addresses
_JSON: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode  # records hold no circles


class DialogJournal:
    """An append-only journal of dialogs with one writer; a context manager.

    Opening it takes the lock (``path`` with ``.lock`` added), reads what earlier processes left, and rewrites the file
    with the calls that are still open. It is rewritten again whenever it has grown past ``compact_bytes``.

    Args:
        path: The journal's file; its directory must exist.
        compact_bytes: Size from which closed calls are dropped from the file.

    Attributes:
        torn_lines: Lines that could not be read at the start: a write that was cut short. What such a line would have
            said is lost, and nothing else.

    Raises:
        RefusedError: Another process has the journal (reason ``journal_in_use``).
        LocalFaultError: The file can't be read or written, or is no dialog journal (it is left as it is).
    """

    def __init__(self, path: Path, *, compact_bytes: int = 8 << 20) -> None:
        self._path = path
        self._compact_bytes = compact_bytes
        self._next_compaction = compact_bytes
        self._mend_line = False
        self._lock_fd = self._lock()
        self._fd = -1
        self._size = 0
        try:
            self._open, self.torn_lines = self._read()
            self._orphans = tuple(self._open.values())
            self._rewrite(sync=True)
        except OSError as error:
            os.close(self._lock_fd)
            raise self._fault(error) from error
        except LocalFaultError:
            os.close(self._lock_fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def orphans(self) -> list[dict[str, Any]]:
        """Return the last record of each call that earlier processes left open, oldest first.

        They stay in the file until `closed` is called for each, so that a second crash loses none.
        """
        return [record for record in self._orphans if record["call_id"] in self._open]

    def opened(self, record: Mapping[str, Any]) -> None:
        """Note a call that is being set up: from now on somebody has to end it.

        Args:
            record: JSON-able facts that suffice to end it from another process, with its ``call_id``.

        Raises:
            LocalFaultError: It could not be written: don't place the call.
        """
        self._note("opened", record)

    def confirmed(self, record: Mapping[str, Any]) -> None:
        """Note that the call was answered; the record takes the place of the earlier one. Called before its ACK.

        Raises:
            LocalFaultError: It could not be written: end the call.
        """
        self._note("confirmed", record)

    def closed(self, call_id: str) -> None:
        """Note that the call has ended. A call that isn't open is passed over.

        Raises:
            LocalFaultError: It could not be written; the next start will end the call once more, which is harmless.
        """
        if self._open.pop(call_id, None) is None:
            return
        self._append({"event": "closed", "call_id": call_id})

    def close(self) -> None:
        """Let the file and its lock go; open calls stay in it. May be called twice."""
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock_fd = -1

    def _lock(self) -> int:
        # The lock is a file of its own: rewriting replaces the journal, and a lock would stay with the old file.
        lock_path = self._path.with_name(self._path.name + ".lock")
        try:
            fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise self._fault(error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            message = (
                f"{self._path}: another process keeps its calls in this journal; stop it, or use its control socket"
            )
            raise RefusedError("journal_in_use", message) from error
        return fd

    def _read(self) -> tuple[dict[str, dict[str, Any]], int]:
        """Return the open calls' records by Call-ID, and the number of unreadable lines."""
        calls: dict[str, dict[str, Any]] = {}
        torn = 0
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return calls, torn
        if content and not content.startswith(_HEADER):
            # Never rewrite what isn't ours: a wrong path must not cost the operator a file.
            raise LocalFaultError(f"{self._path}: is no dialog journal ({SCHEMA}); move it away or name another file")
        for line in content[len(_HEADER) :].split(b"\n"):
            if line and not _replay(line, calls):
                torn += 1
        return calls, torn

    def _note(self, event: str, record: Mapping[str, Any]) -> None:
        self._open[record["call_id"]] = dict(record)
        try:
            self._append({"event": event, "record": self._open[record["call_id"]]})
        except LocalFaultError:
            if event == "opened":
                del self._open[record["call_id"]]
            raise

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = _encode(entry)
        if self._mend_line:
            line = b"\n" + line  # a write was cut short: begin a line of our own
        try:
            self._mend_line = True
            _write_all(self._fd, line)
            self._mend_line = False
        except OSError as error:
            raise self._fault(error) from error
        self._size += len(line)
        if self._size > self._next_compaction:
            self._compact()

    def _compact(self) -> None:
        try:
            self._rewrite(sync=False)
        except OSError:
            # A full disk: the old file is whole and still ours. Try again when it has doubled.
            self._next_compaction = self._size * 2
            return
        self._next_compaction = max(self._compact_bytes, 2 * self._size)

    def _rewrite(self, *, sync: bool) -> None:
        """Replace the file by one with the open calls only: at every moment one of the two is whole."""
        beside = self._path.with_name(self._path.name + ".new")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, _MODE)
        content = b"".join([_HEADER, *self._lines()])
        try:
            _write_all(fd, content)
            if sync:
                os.fsync(fd)
            beside.replace(self._path)
        except OSError:
            os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = fd, len(content)
        self._mend_line = False

    def _lines(self) -> Iterable[bytes]:
        return (_encode({"event": "opened", "record": record}) for record in self._open.values())

    def _fault(self, error: OSError) -> LocalFaultError:
        return LocalFaultError(f"{self._path}: the journal of calls can't be kept: {error.strerror or error}")


def _encode(entry: Mapping[str, Any]) -> bytes:
    # ASCII: bytes of a peer that are no UTF-8 travel as lone surrogates, which only the escaped form can carry.
    return _JSON(entry).encode() + b"\n"


def _replay(line: bytes, calls: dict[str, dict[str, Any]]) -> bool:
    """Apply one line to the open calls; return False if it can't be read."""
    try:
        match json.loads(line):
            case {"event": "closed", "call_id": str(call_id)}:
                calls.pop(call_id, None)
            case {"event": "opened" | "confirmed", "record": {"call_id": str(call_id)} as record}:
                calls[call_id] = record
            case _:
                return False
    except ValueError:
        return False
    return True


def _write_all(fd: int, data: bytes) -> None:
    """Hand all of it to the kernel; one call to write(2) unless the kernel takes less."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])

"""Which calls are up, in this process and in dead ones, so that a later start can end every one of them.

Owns the choice of journal files and what is struck out at an orderly end; the file's form is `store.DialogJournal`'s.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Final

import structlog

from bridge_monitor.errors import LocalFaultError, RefusedError
from bridge_monitor.store import DialogJournal

_LOG = structlog.get_logger(__name__)
_JOURNALS: Final = "calls-{}.journal"


class Ledger:
    """The journals of this process as calls see them: its own, and those that dead processes left.

    Args:
        journals: The first is ours.
    """

    def __init__(self, journals: list[DialogJournal]) -> None:
        self._journals = journals
        self._answered: dict[str, bool] = {}

    def orphans(self) -> list[dict[str, Any]]:
        """Return the records of calls that dead processes left up."""
        return [record for journal in self._journals for record in journal.orphans()]

    def opened(self, record: dict[str, Any]) -> None:
        """Note a call that is being set up."""
        self._journals[0].opened(record)
        self._answered[record["call_id"]] = False

    def confirmed(self, record: dict[str, Any]) -> None:
        """Note that it was answered; called before its ACK."""
        self._answered[record["call_id"]] = True
        self._journals[0].confirmed(record)

    def closed(self, call_id: str) -> None:
        """Note that it has ended."""
        self._answered.pop(call_id, None)
        for journal in self._journals:
            try:
                journal.closed(call_id)
            except LocalFaultError as error:
                _LOG.warning("journal_not_written", error=str(error))

    def settle(self) -> int:
        """Strike out what an orderly end has done its part for; return how many calls the next start has to end.

        Not answered: its CANCEL was sent, or must not be (RFC 3261 §9.1), and a late 200 that draws no ACK is ended by
        the room itself (§13.3.1.4). An orphan: it was asked to end over and over, and is never asked again. A call
        whose BYE nobody answered is tried once more.
        """
        done = [call_id for call_id, answered in self._answered.items() if not answered]
        for call_id in [*done, *(record["call_id"] for record in self.orphans())]:
            self.closed(call_id)
        return len(self._answered)

    def close(self) -> None:
        """Close the files."""
        for journal in self._journals:
            journal.close()


def open_journals(state_dir: Path) -> list[DialogJournal]:
    """Open every journal that no living process holds: the first is ours, the others are the dead's.

    Each process needs a journal of its own, since hand probes and the daemon run side by side.
    """
    journals: list[DialogJournal] = []
    index = 0
    while not journals or (state_dir / _JOURNALS.format(index)).exists():
        with contextlib.suppress(RefusedError):
            journals.append(DialogJournal(state_dir / _JOURNALS.format(index)))
        index += 1
    return journals

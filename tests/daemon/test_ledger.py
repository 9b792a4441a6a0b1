from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge_monitor.daemon.ledger import Ledger, open_journals
from bridge_monitor.errors import LocalFaultError
from bridge_monitor.store import DialogJournal


def record(call_id: str) -> dict[str, Any]:
    return {"call_id": call_id}


def left_by_the_dead(folder: Path, number: int, *call_ids: str) -> None:
    with DialogJournal(folder / f"calls-{number}.journal") as journal:
        for call_id in call_ids:
            journal.opened(record(call_id))


def test_orphans_are_those_of_every_journal_that_nobody_holds(tmp_path: Path) -> None:
    left_by_the_dead(tmp_path, 0, "a")
    left_by_the_dead(tmp_path, 1, "b")
    left_by_the_dead(tmp_path, 2, "c")
    with DialogJournal(tmp_path / "calls-1.journal"):
        ledger = Ledger(open_journals(tmp_path))
        assert [orphan["call_id"] for orphan in ledger.orphans()] == ["a", "c"]
        ledger.close()


def test_a_second_process_gets_a_journal_of_its_own(tmp_path: Path) -> None:
    first, second = Ledger(open_journals(tmp_path)), Ledger(open_journals(tmp_path))
    first.opened(record("a"))
    second.opened(record("b"))
    first.close()
    second.close()
    ledger = Ledger(open_journals(tmp_path))
    assert {orphan["call_id"] for orphan in ledger.orphans()} == {"a", "b"}
    ledger.close()


def test_an_orphan_that_ended_is_struck_out_of_the_journal_it_stands_in(tmp_path: Path) -> None:
    left_by_the_dead(tmp_path, 0, "a")
    left_by_the_dead(tmp_path, 1, "b")
    ledger = Ledger(open_journals(tmp_path))
    ledger.closed("b")
    ledger.close()
    again = Ledger(open_journals(tmp_path))
    assert [orphan["call_id"] for orphan in again.orphans()] == ["a"]
    again.close()


def test_at_an_orderly_end_only_answered_calls_are_left_to_the_next_start(tmp_path: Path) -> None:
    """What was not answered is cancelled, and an orphan was tried: neither may delay every start from now on."""
    left_by_the_dead(tmp_path, 0, "orphan")
    ledger = Ledger(open_journals(tmp_path))
    for call_id in ("ringing", "answered", "over"):
        ledger.opened(record(call_id))
    for call_id in ("answered", "over"):
        ledger.confirmed(record(call_id))
    ledger.closed("over")
    assert ledger.settle() == 1
    ledger.close()
    again = Ledger(open_journals(tmp_path))
    assert [orphan["call_id"] for orphan in again.orphans()] == ["answered"]
    again.close()


def test_a_killed_process_leaves_what_rang_as_well(tmp_path: Path) -> None:
    ledger = Ledger(open_journals(tmp_path))
    ledger.opened(record("ringing"))
    ledger.close()  # as the kernel does
    again = Ledger(open_journals(tmp_path))
    assert [orphan["call_id"] for orphan in again.orphans()] == ["ringing"]
    again.close()


def test_a_call_that_could_not_be_noted_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    ledger = Ledger(open_journals(tmp_path))
    with monkeypatch.context() as broken:
        broken.setattr("bridge_monitor.store.journal.os.write", full)
        with pytest.raises(LocalFaultError):
            ledger.opened(record("a"))
    assert ledger.settle() == 0
    ledger.close()


def test_an_end_that_cannot_be_written_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    ledger = Ledger(open_journals(tmp_path))
    ledger.opened(record("a"))
    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr("bridge_monitor.store.journal.os.write", full)
        ledger.closed("a")
    assert [line["event"] for line in logs] == ["journal_not_written"]
    assert ledger.settle() == 0
    ledger.close()

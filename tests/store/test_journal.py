"""The journal of dialogs: what survives a process that is killed at any moment."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge_monitor.errors import LocalFaultError, RefusedError
from bridge_monitor.store import DialogJournal

HEADER = b'{"schema":"bridge_monitor.dialogs/1"}\n'


def record_of(call_id: str, state: str = "early") -> dict[str, Any]:
    return {"call_id": call_id, "state": state, "remote_target": "sip:phòng@127.1.0.1", "route_set": ["<sip:a;lr>"]}


def call_ids(journal: DialogJournal) -> list[str]:
    return [record["call_id"] for record in journal.orphans()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dialogs.journal"


class TestOrphans:
    def test_a_new_journal_has_none(self, path: Path) -> None:
        with DialogJournal(path) as journal:
            assert journal.orphans() == []
            assert journal.torn_lines == 0

    def test_an_empty_file_is_a_new_journal(self, path: Path) -> None:
        path.touch()
        with DialogJournal(path) as journal:
            assert journal.orphans() == []

    def test_what_was_open_at_the_end_is_found_at_the_next_start_in_order_with_its_last_record(
        self, path: Path
    ) -> None:
        with DialogJournal(path) as journal:
            for call_id in ("a", "b", "c"):
                journal.opened(record_of(call_id))
            journal.confirmed(record_of("b", "confirmed"))
            journal.closed("a")
        with DialogJournal(path) as journal:
            assert journal.orphans() == [record_of("b", "confirmed"), record_of("c")]

    def test_calls_of_this_process_are_no_orphans(self, path: Path) -> None:
        with DialogJournal(path) as journal:
            journal.opened(record_of("a"))
            assert journal.orphans() == []

    def test_an_orphan_stays_until_it_was_ended_over_any_number_of_starts(self, path: Path) -> None:
        with DialogJournal(path) as journal:
            journal.opened(record_of("a"))
            journal.opened(record_of("b"))
        with DialogJournal(path) as journal:
            journal.closed("a")
            assert call_ids(journal) == ["b"]
        with DialogJournal(path) as journal:
            assert call_ids(journal) == ["b"]
            journal.closed("b")
        with DialogJournal(path) as journal:
            assert call_ids(journal) == []

    def test_a_record_given_is_not_shared_with_the_caller(self, path: Path) -> None:
        """The record written at a rewrite is the one that was given, whatever the caller does with its dict."""
        record = record_of("a")
        with DialogJournal(path, compact_bytes=0) as journal:
            journal.opened(record)
            record["state"] = "confirmed"
            journal.opened(record_of("b"))
        with DialogJournal(path) as journal:
            assert journal.orphans()[0] == record_of("a")

    def test_a_peer_s_bytes_that_are_no_text_survive(self, path: Path) -> None:
        """SIP headers decoded with surrogateescape hold lone surrogates."""
        record = record_of("a") | {"remote_uri": b"sip:\xff@x".decode("utf-8", "surrogateescape")}
        with DialogJournal(path) as journal:
            journal.opened(record)
        with DialogJournal(path) as journal:
            assert journal.orphans() == [record]

    def test_only_its_owner_can_read_it(self, path: Path) -> None:
        """Records name the addresses of rooms."""
        with DialogJournal(path):
            assert path.stat().st_mode & 0o777 == 0o600


class TestTornLines:
    def test_a_line_that_was_cut_short_at_any_byte_costs_that_line_only(self, path: Path) -> None:
        with DialogJournal(path) as journal:
            journal.opened(record_of("a"))
            journal.closed("a")
            journal.opened(record_of("b"))
            journal.opened(record_of("c"))
        whole = path.read_bytes()
        last = whole.rindex(b"\n", 0, -1) + 1
        for end in range(last, len(whole) - 1):
            path.write_bytes(whole[:end])
            with DialogJournal(path) as journal:
                assert call_ids(journal) == ["b"]
                assert journal.torn_lines == (1 if end > last else 0)
        path.write_bytes(whole[:-1])  # the line is whole, only its end is missing
        with DialogJournal(path) as journal:
            assert call_ids(journal) == ["b", "c"]

    @pytest.mark.parametrize(
        "line",
        [
            b"{",
            b"5",
            b'"text"',
            b"[]",
            b"{}",
            b"\xff\x00",
            b'{"event":"opened"}',
            b'{"event":"opened","record":[]}',
            b'{"event":"opened","record":{"call_id":{}}}',
            b'{"event":"closed"}',
            b'{"event":"closed","call_id":[]}',
            b'{"event":"paused","record":{"call_id":"a"}}',
        ],
    )
    def test_a_line_in_the_middle_that_can_t_be_read_is_passed_over_and_counted(self, path: Path, line: bytes) -> None:
        entry = json.dumps({"event": "opened", "record": record_of("a")}).encode()
        path.write_bytes(HEADER + line + b"\n" + entry + b"\n")
        with DialogJournal(path) as journal:
            assert call_ids(journal) == ["a"]
            assert journal.torn_lines == 1
        with DialogJournal(path) as journal:
            assert journal.torn_lines == 0, "the rewrite at the start drops it"

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(tail=st.binary(max_size=200))
    def test_no_bytes_after_whole_lines_hide_them(self, path: Path, tail: bytes) -> None:
        entry = json.dumps({"event": "opened", "record": record_of("a")}).encode()
        path.write_bytes(HEADER + entry + b"\n" + tail)
        with DialogJournal(path) as journal:
            assert call_ids(journal) == ["a"]


class TestForeignFiles:
    @pytest.mark.parametrize("content", [b"code,name\n00,x\n", HEADER[:-5], b'{"schema":"bridge_monitor.dialogs/2"}\n'])
    def test_a_file_that_is_no_journal_is_left_as_it_is(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(LocalFaultError, match=r"is no dialog journal.*name another file"):
            DialogJournal(path)
        assert path.read_bytes() == content
        path.unlink()
        DialogJournal(path).close()  # and its lock was let go

    def test_a_directory_that_is_missing_is_told_with_the_path(self, tmp_path: Path) -> None:
        with pytest.raises(LocalFaultError, match=r"gone/dialogs\.journal: .*No such file"):
            DialogJournal(tmp_path / "gone" / "dialogs.journal")

    def test_a_path_that_can_t_be_read_is_told_and_the_lock_let_go(self, path: Path) -> None:
        path.mkdir()
        with pytest.raises(LocalFaultError, match="Is a directory"):
            DialogJournal(path)
        path.rmdir()
        DialogJournal(path).close()

    def test_a_path_that_can_t_be_written_is_told_and_the_lock_let_go(self, path: Path) -> None:
        beside = path.with_name(path.name + ".new")
        beside.mkdir()
        with pytest.raises(LocalFaultError, match="the journal of calls can't be kept"):
            DialogJournal(path)
        beside.rmdir()
        DialogJournal(path).close()


class TestSingleWriter:
    def test_a_second_opening_is_refused_until_the_first_is_closed(self, path: Path) -> None:
        journal = DialogJournal(path)
        with pytest.raises(RefusedError, match="another process keeps its calls") as refused:
            DialogJournal(path)
        assert refused.value.reason == "journal_in_use"
        journal.close()
        journal.close()
        DialogJournal(path).close()


class TestCompaction:
    def test_closing_a_call_that_is_not_open_writes_nothing(self, path: Path) -> None:
        with DialogJournal(path) as journal:
            journal.closed("never")
            assert path.read_bytes() == HEADER

    def test_the_file_stays_small_over_a_rehearsal_and_loses_no_open_call(self, path: Path) -> None:
        with DialogJournal(path, compact_bytes=20_000) as journal:
            for number in range(2_000):
                journal.opened(record_of(f"call-{number}"))
                journal.confirmed(record_of(f"call-{number}", "confirmed"))
                if number % 100:
                    journal.closed(f"call-{number}")
                assert path.stat().st_size < 21_000
        with DialogJournal(path) as journal:
            assert call_ids(journal) == [f"call-{number}" for number in range(0, 2_000, 100)]

    def test_many_open_calls_do_not_make_every_write_a_rewrite(self, path: Path) -> None:
        """Above the limit the file is rewritten when it has doubled, not with each line."""
        with DialogJournal(path, compact_bytes=1_000) as journal:
            rewrites = 0
            inode = path.stat().st_ino
            for number in range(500):
                journal.opened(record_of(f"call-{number}"))
                rewrites += path.stat().st_ino != inode
                inode = path.stat().st_ino
        assert rewrites < 12

    def test_a_rewrite_that_fails_costs_nothing_and_is_tried_again_later(self, path: Path) -> None:
        beside = path.with_name(path.name + ".new")
        with DialogJournal(path, compact_bytes=1_000) as journal:
            beside.mkdir()
            for number in range(20):
                journal.opened(record_of(f"call-{number}"))
                journal.closed(f"call-{number}")
            assert path.stat().st_size > 2_000
            beside.rmdir()
            journal.opened(record_of("last"))
            while path.stat().st_size > 1_000:
                journal.opened(record_of("more"))
                journal.closed("more")
        with DialogJournal(path) as journal:
            assert call_ids(journal) == ["last"]


@contextmanager
def room_for(path: Path, more: int) -> Iterator[None]:
    """Let the kernel take only so many more bytes into the file, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestFullDisk:
    @pytest.mark.parametrize("more", [0, 1, 40])
    def test_a_call_that_can_t_be_noted_is_told_and_does_not_spoil_what_comes_after(
        self, path: Path, more: int
    ) -> None:
        """The kernel takes a part of the line and then no more; the call is not placed, and is no orphan."""
        with DialogJournal(path) as journal:
            journal.opened(record_of("a"))
            with room_for(path, more), pytest.raises(LocalFaultError, match=r"dialogs\.journal: .*File too large"):
                journal.opened(record_of("b"))
            journal.opened(record_of("c"))
        with DialogJournal(path) as journal:
            assert call_ids(journal) == ["a", "c"]
            assert journal.torn_lines == (1 if more else 0)

    def test_a_call_whose_answer_can_t_be_noted_is_still_to_be_ended(self, path: Path) -> None:
        with DialogJournal(path) as journal:
            journal.opened(record_of("a"))
            with room_for(path, 10), pytest.raises(LocalFaultError):
                journal.confirmed(record_of("a", "confirmed"))
        with DialogJournal(path) as journal:
            assert journal.orphans() == [record_of("a")]

    def test_a_rewrite_that_does_not_fit_leaves_the_journal_whole(self, path: Path) -> None:
        with DialogJournal(path) as journal:
            journal.opened(record_of("a"))
        before = path.read_bytes()
        path.with_name(path.name + ".new").touch()
        with room_for(path.with_name(path.name + ".new"), 60), pytest.raises(LocalFaultError, match="File too large"):
            DialogJournal(path)
        assert path.read_bytes() == before
        with DialogJournal(path) as journal:
            assert call_ids(journal) == ["a"]


WRITER = """
import sys
from pathlib import Path
from bridge_monitor.store import DialogJournal
journal = DialogJournal(Path(sys.argv[1]), compact_bytes=int(sys.argv[2]))
for orphan in journal.orphans():
    print("orphan", orphan["call_id"], flush=True)
number = 0
while True:
    call = f"{sys.argv[3]}-{number}"
    journal.opened({"call_id": call, "state": "early", "padding": "x" * 300})
    print("opened", call, flush=True)
    journal.confirmed({"call_id": call, "state": "confirmed"})
    print("confirmed", call, flush=True)
    if number % 3:
        print("closing", call, flush=True)
        journal.closed(call)
        print("closed", call, flush=True)
    number += 1
"""


class Writer:
    """A real process that journals calls and says on its standard output what has returned."""

    def __init__(self, path: Path, name: str, *, compact_bytes: int = 1 << 20) -> None:
        command = [sys.executable, "-c", WRITER, str(path), str(compact_bytes), name]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.said: list[tuple[str, str]] = []

    def kill_after(self, lines: int) -> None:
        """Read so many lines, kill -9 the process wherever it is then, and read what it still had said."""
        assert self._process.stdout
        output: Iterator[bytes] = iter(self._process.stdout)
        for _ in range(lines):
            self._note(next(output))
        os.kill(self._process.pid, signal.SIGKILL)
        for line in output:
            self._note(line)
        self._process.stdout.close()
        assert self._process.wait(10) == -signal.SIGKILL

    def _note(self, line: bytes) -> None:
        if line.endswith(b"\n"):
            verb, call = line.decode().split()
            self.said.append((verb, call))

    def calls(self, verb: str) -> set[str]:
        """Return the calls of which it said this."""
        return {call for said, call in self.said if said == verb}


class TestKilledProcesses:
    @pytest.mark.parametrize("lines", [1, 2, 57, 400])
    @pytest.mark.parametrize("compact_bytes", [2_000, 1 << 20], ids=["rewriting often", "appending only"])
    def test_kill_9_at_any_moment_leaves_every_call_that_was_up(
        self, path: Path, lines: int, compact_bytes: int
    ) -> None:
        """What was said to be open is found, what was said to be closed is not, the lock is free."""
        writer = Writer(path, "one", compact_bytes=compact_bytes)
        writer.kill_after(lines)
        with DialogJournal(path) as journal:
            found = {record["call_id"]: record["state"] for record in journal.orphans()}
        up = writer.calls("opened") - writer.calls("closing")
        assert up <= set(found)
        assert not set(found) & writer.calls("closed")
        in_doubt = set(found) - up - writer.calls("closing")
        assert len(in_doubt) <= 1, "only the call it was just writing may be there unsaid"
        assert all(found[call] == "confirmed" for call in up & writer.calls("confirmed"))

    def test_the_orphans_of_a_killed_process_are_handed_on_by_a_second_killed_one(self, path: Path) -> None:
        first = Writer(path, "one")
        first.kill_after(100)
        second = Writer(path, "two", compact_bytes=2_000)
        second.kill_after(200)
        left = first.calls("opened") - first.calls("closing")
        assert left <= second.calls("orphan")
        with DialogJournal(path) as journal:
            found = {record["call_id"] for record in journal.orphans()}
        assert left <= found
        assert second.calls("opened") - second.calls("closing") <= found

    def test_a_living_process_keeps_others_out_and_a_killed_one_does_not(self, path: Path) -> None:
        writer = Writer(path, "one")
        assert writer._process.stdout
        writer._note(writer._process.stdout.readline())
        with pytest.raises(RefusedError):
            DialogJournal(path)
        writer.kill_after(1)
        DialogJournal(path).close()

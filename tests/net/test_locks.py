from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge_monitor.net.locks import SiteLocks

HOLDER = """
import sys, time
from pathlib import Path
from bridge_monitor.net.locks import SiteLocks
locks = SiteLocks(Path(sys.argv[1]))
assert locks.acquire("00123")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sites.lock"


def test_a_site_is_taken_once_in_one_process(path: Path) -> None:
    locks = SiteLocks(path)
    assert locks.acquire("01")
    assert not locks.acquire("01")
    assert locks.acquire("02")
    locks.release("01")
    assert locks.acquire("01")
    locks.close()


def test_releasing_what_is_not_held_changes_nothing(path: Path) -> None:
    locks = SiteLocks(path)
    locks.release("01")
    assert locks.acquire("01")
    locks.close()


def test_two_descriptions_of_the_file_exclude_each_other(path: Path) -> None:
    """Locks belong to the open file, not to the process: two parts of one process are kept apart too."""
    one, other = SiteLocks(path), SiteLocks(path)
    assert one.acquire("01")
    assert not other.acquire("01")
    assert other.acquire("02")
    one.close()
    assert other.acquire("01")
    other.close()


def test_a_killed_process_gives_its_sites_back(path: Path) -> None:
    """The kernel frees the lock of a process that ended by SIGKILL."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == "held\n"
        locks = SiteLocks(path)
        assert not locks.acquire("00123")
        assert locks.acquire("00124")
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        assert locks.acquire("00123")
        locks.close()

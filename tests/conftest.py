"""What all tests share: peers and rights they need, free ports, the tables of docs/outcomes.md, nothing left behind.

Owns skipping (always with a reason that names what is missing, and a failure under CI=true) and the guards against
left-over processes and tasks; must not import the package, so that a broken module fails its own tests only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from hypothesis import settings

ROOT: Final = Path(__file__).resolve().parent.parent


class Peer(NamedTuple):
    """A real program that tests run against (or a file of one, by its path), and the Debian package it comes from."""

    program: str
    package: str

    @property
    def is_there(self) -> bool:
        """Whether it is installed."""
        return self.file is not None if "/" in self.program else shutil.which(self.program) is not None

    @property
    def file(self) -> Path | None:
        """Where it is, if it is given as a path, which may be a pattern: some folders have the architecture's name."""
        return next(iter(sorted(Path("/").glob(self.program[1:]))), None)


# The name in @pytest.mark.peer(name), and what it stands for; scripts/test installs the same packages.
PEERS: Final = {
    "sipp": Peer("sipp", "sip-tester"),
    "baresip": Peer("baresip", "baresip-core"),
    "baresip-video": Peer("/usr/lib/baresip/modules/avcodec.so", "baresip-ffmpeg"),
    "kamailio": Peer("kamailio", "kamailio"),
    "linphone": Peer("lp-auto-answer", "linphone-cli"),
    "irtt": Peer("irtt", "irtt"),
    "tshark": Peer("tshark", "tshark"),
    "openssl": Peer("openssl", "openssl"),
    "kamailio-tls": Peer("/usr/lib/*/kamailio/modules/tls.so", "kamailio-tls-modules"),
    "nft": Peer("nft", "nftables"),
    "ip": Peer("ip", "iproute2"),
    "promtool": Peer("promtool", "prometheus"),
    "gcc": Peer("gcc", "gcc"),
    "nsd": Peer("nsd", "nsd"),
}

# An ordinary user's path has no nft, and Debian keeps it there.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

# --- hypothesis: no deadline, since a slow shared machine is no bug ----------

settings.register_profile("quick", deadline=None, max_examples=60, derandomize=os.environ.get("CI") == "true")
settings.register_profile("full", deadline=None, max_examples=2000)
settings.load_profile("quick")


# --- peers and rights -----------------------------------------------------------------------------------------------


@functools.cache
def _namespace_problem() -> str | None:
    """Return why this process can't make network namespaces, or None; found out by making one."""
    if shutil.which("ip") is None:
        return "ip is not installed (Debian package iproute2)"
    name = f"bm-right-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return made.stderr.strip() or "ip netns add failed"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose peer or right is missing; under CI=true fail it, since there nothing may be missing."""
    missing = []
    for mark in item.iter_markers("peer"):
        for name in mark.args:
            peer = PEERS[name]
            if not peer.is_there:
                missing.append(f"{peer.program} is not installed (Debian package {peer.package})")
    if item.get_closest_marker("root") and (problem := _namespace_problem()):
        missing.append(f"network namespaces can't be made here: {problem}")
    if missing:
        reason = "; ".join(missing)
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true, and {reason}", pytrace=False)
        pytest.skip(reason)


# --- ports ----------------------------------------------------------------------------------------------------------


def _free_port(kind: socket.SocketKind, host: str) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def free_udp_port() -> Callable[[str], int]:
    """Return ``port(host)``: a UDP port of that address that nobody had a moment ago."""
    return functools.partial(_free_port, socket.SOCK_DGRAM)


@pytest.fixture
def free_tcp_port() -> Callable[[str], int]:
    """Return ``port(host)``: a TCP port of that address that nobody had a moment ago."""
    return functools.partial(_free_port, socket.SOCK_STREAM)


# --- docs/outcomes.md -----------------------------------------------------------------------------------------------


def _table_after(text: str, heading: str) -> list[dict[str, str]]:
    """Return the rows of the first table below a heading, as column title → cell without backquotes."""
    _, found, below = text.partition(f"\n## {heading}\n")
    if not found:
        raise LookupError(f"docs/outcomes.md has no heading {heading!r}")
    section = below.split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")] for line in lines]
    title, _rule, *rows = cells
    return [dict(zip(title, row, strict=True)) for row in rows]


@pytest.fixture(scope="session")
def documented_outcomes() -> list[dict[str, str]]:
    """Return the table "Situations" of docs/outcomes.md: situation, outcome, reason, grade, whose, what to do."""
    return _table_after((ROOT / "docs/outcomes.md").read_text("utf-8"), "Situations")


@pytest.fixture(scope="session")
def documented_responses() -> list[dict[str, str]]:
    """Return the table "Final responses" of docs/outcomes.md: status, outcome, reason."""
    return _table_after((ROOT / "docs/outcomes.md").read_text("utf-8"), "Final responses")


@pytest.fixture(scope="session")
def documented_invalid_reasons() -> list[dict[str, str]]:
    """Return the table "Invalid measurements" of docs/outcomes.md: reason, what went wrong here, what to do."""
    return _table_after((ROOT / "docs/outcomes.md").read_text("utf-8"), "Invalid measurements")


@pytest.fixture(scope="session")
def documented_advisories() -> list[dict[str, str]]:
    """Return the table "Advisories" of docs/outcomes.md: advisory, whose, what was found, what to do."""
    return _table_after((ROOT / "docs/outcomes.md").read_text("utf-8"), "Advisories")


@pytest.fixture(scope="session")
def documented_faults() -> list[dict[str, str]]:
    """Return the table "Simulated faults" of docs/outcomes.md: fault, with, outcome, reason, grade."""
    return _table_after((ROOT / "docs/outcomes.md").read_text("utf-8"), "Simulated faults")


# --- nothing left behind --------------------------------------------------------------------------------------------

# Every process that this run starts inherits it, however far it moves away from its parent.
_RUN_MARK: Final = f"BRIDGE_MONITOR_TEST_RUN={uuid.uuid4()}"
os.environ["BRIDGE_MONITOR_TEST_RUN"] = _RUN_MARK.partition("=")[2]

_KEPT_BY_PYTHON: Final = re.compile(r"multiprocessing\.(resource_tracker|forkserver)")
_GRACE_SECONDS: Final = 2.0


def _describe(pid: int) -> str | None:
    """Return a living process's command line; None if it has ended, or belongs to Python itself."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return None
    return None if state in "ZX" or _KEPT_BY_PYTHON.search(command) else f"{pid}: {command}"


def _children() -> set[int]:
    """Return the living children of this process, of all its threads."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in (task / "children").read_text("ascii").split())
    return {pid for pid in found if _describe(pid)}


def _marked() -> set[int]:
    """Return the living processes that carry this run's mark, but for this one."""
    mark = _RUN_MARK.encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
    return {pid for pid in found if _describe(pid)}


def _assert_none_remain(look: Callable[[], set[int]], known: set[int]) -> None:
    """Fail if processes are there that weren't, after a moment in which they may end; end them for the next test."""
    until = time.monotonic() + _GRACE_SECONDS
    while (left := look() - known) and time.monotonic() < until:
        time.sleep(0.02)
    described = [text for pid in sorted(left) if (text := _describe(pid))]
    for pid in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    if described:
        pytest.fail("processes left behind:\n" + "\n".join(described), pytrace=False)


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a child process or, if it is a coroutine, an asyncio task behind."""
    known = _children()
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_leaves_no_task_behind")
    yield
    _assert_none_remain(_children, known)


@pytest.fixture
async def _leaves_no_task_behind() -> AsyncIterator[None]:
    """Fail a coroutine test whose tasks outlive it, once they had a moment to end."""
    known = asyncio.all_tasks()
    yield
    if tasks := {task for task in asyncio.all_tasks() - known if task is not asyncio.current_task()}:
        _, left = await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
        if left:
            pytest.fail("tasks left behind:\n" + "\n".join(map(repr, left)), pytrace=False)


@pytest.fixture(autouse=True, scope="module")
def _leaves_no_orphan_behind() -> Iterator[None]:
    """Fail a module whose processes live on, even those that were given away to init."""
    known = _marked()
    yield
    _assert_none_remain(_marked, known)


def pytest_report_header() -> str:
    """Name the missing peers at the top of the run."""
    missing = [f"{peer.program} ({peer.package})" for peer in PEERS.values() if not peer.is_there]
    return f"python {sys.version.split()[0]}, peers missing: {', '.join(missing) or 'none'}"

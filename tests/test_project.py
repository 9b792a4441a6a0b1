"""The project's own promises: locks, scripts and guards do what README and CONTRIBUTING say.

Owns scripts/ and conftest's guards; must not reach for the network: set-up is tried with a project that needs nothing.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import bridge_monitor

ROOT: Final = Path(__file__).resolve().parent.parent
PYPROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SCRIPTS: Final = [*sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file()), ROOT / ".ci/run"]
SHELL_SCRIPTS: Final = [path for path in SCRIPTS if path.read_bytes().startswith(b"#!/usr/bin/env bash\n")]
LOCKS: Final = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"]


def _locked(lock: Path) -> dict[str, set[str]]:
    """Return the locked versions by package name; two where an environment marker tells them apart."""
    found: dict[str, set[str]] = {}
    for line in lock.read_text("utf-8").splitlines():
        if match := re.match(r"([a-z0-9._-]+)==([^\s;]+)", line):
            found.setdefault(match[1], set()).add(match[2])
    return found


def _name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


class TestPackage:
    def test_the_version_is_said_once_more_and_alike(self) -> None:
        assert PYPROJECT["project"]["version"] == bridge_monitor.__version__

    def test_the_changelog_knows_the_version_or_what_is_unreleased(self) -> None:
        text = (ROOT / "CHANGELOG.md").read_text("utf-8")
        assert re.search(rf"^## \[(Unreleased|{re.escape(bridge_monitor.__version__)})\]", text, re.MULTILINE)

    def test_the_package_is_typed(self) -> None:
        assert (ROOT / "bridge_monitor/py.typed").exists()

    def test_the_console_script_points_to_a_function_that_is_there(self) -> None:
        module, _, function = PYPROJECT["project"]["scripts"]["bridge-monitor"].partition(":")
        tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_bytes())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


class TestLocks:
    @pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
    def test_every_requirement_is_pinned_and_hashed(self, lock: Path) -> None:
        text = lock.read_text("utf-8").replace("\\\n", " ")
        entries = [line for line in text.splitlines() if line.strip()]
        assert entries
        assert [line for line in entries if not re.match(r"[a-z0-9._-]+==\S+.* --hash=sha256:[0-9a-f]{64}", line)] == []

    @pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
    def test_no_address_stands_in_a_lock(self, lock: Path) -> None:
        assert not re.search(r"://|^\s*-", lock.read_text("utf-8").replace("    --hash=", ""), re.MULTILINE)

    def test_what_the_program_needs_is_locked(self) -> None:
        needed = {_name_of(requirement) for requirement in PYPROJECT["project"]["dependencies"]}
        assert needed - set(_locked(LOCKS[0])) == set()

    def test_what_the_checks_need_is_locked(self) -> None:
        needed = {_name_of(requirement) for requirement in PYPROJECT["dependency-groups"]["dev"]}
        assert needed - set(_locked(LOCKS[1])) == set()

    def test_both_locks_hold_the_same_versions(self) -> None:
        runtime, development = map(_locked, LOCKS)
        assert {name: version for name, version in runtime.items() if development.get(name) != version} == {}


class TestScripts:
    def test_every_script_can_be_run_and_is_of_a_kind_that_is_checked(self) -> None:
        first_lines = {script.name: script.read_text("utf-8").partition("\n")[0] for script in SCRIPTS}
        assert set(first_lines.values()) <= {"#!/usr/bin/env bash", "#!/usr/bin/env python3"}, first_lines
        assert [script.name for script in SCRIPTS if not os.access(script, os.X_OK)] == []

    @pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda script: script.name)
    def test_a_shell_script_is_well_formed_and_stops_at_its_first_error(self, script: Path) -> None:
        assert "set -euo pipefail" in script.read_text("utf-8")
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0

    def test_the_peers_that_are_installed_are_those_that_tests_ask_for(self, request: pytest.FixtureRequest) -> None:
        conftest = next(
            plugin
            for plugin in request.config.pluginmanager.get_plugins()
            if getattr(plugin, "__file__", None) == str(ROOT / "tests/conftest.py")
        )
        text = (ROOT / "scripts/test").read_text("utf-8")
        block = text.partition("\npeers=(\n")[2].partition("\n)\n")[0]
        assert set(block.split()) == {f"{peer.program}={peer.package}" for peer in conftest.PEERS.values()}

    def test_full_branch_coverage_is_asked_of_levels_0_to_2(self) -> None:
        """The rooms named in scripts/test are those of the table in test_architecture.py."""
        tree = ast.parse((ROOT / "tests/test_architecture.py").read_bytes())
        table = next(
            node.value
            for node in tree.body
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "LEVELS"
        )
        assert isinstance(table, ast.Dict)
        pure = {
            room
            for level, rooms in zip(table.keys, table.values, strict=True)
            if level and ast.literal_eval(level) <= 2 and isinstance(rooms, ast.Call)
            for room in ast.literal_eval(rooms.args[0])
        }
        named = re.search(r"^pure_rooms=\((.*)\)$", (ROOT / "scripts/test").read_text("utf-8"), re.MULTILINE)
        assert named
        assert set(named[1].split()) == pure

    def test_continuous_integration_runs_what_everyone_runs(self) -> None:
        assert "scripts/test" in (ROOT / ".ci/run").read_text("utf-8")

    def test_the_tests_explain_themselves(self) -> None:
        shown = subprocess.run([ROOT / "scripts/test", "--help"], capture_output=True, text=True, check=True).stdout
        assert "--full" in shown
        assert "#" not in shown


NOTHING_NEEDED: Final = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "nothing-needed"
version = "1"
"""
BACKEND: Final = """
import zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "nothing_needed-1-py3-none-any.whl"
    info = "nothing_needed-1.dist-info/"
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as wheel:
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: nothing-needed\\nVersion: 1\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name

build_wheel = build_editable
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout of a project that needs nothing, so that set-up needs no network; its path has a space."""
    root = tmp_path / "a checkout"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/setup", root / "scripts/setup")
    (root / "pyproject.toml").write_text(NOTHING_NEEDED)
    (root / "backend.py").write_text(BACKEND)
    for lock in LOCKS:
        (root / lock.name).write_text("")
    return root


def _set_up(checkout: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "scripts/setup"],
        cwd="/",
        env={**os.environ, "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


class TestSetup:
    def test_it_is_done_once_then_quick_and_done_again_when_its_basis_changed(self, checkout: Path) -> None:
        """An interrupted run and a changed lock make it new, a changed project file is installed, else all is kept."""
        before = {path.name for path in checkout.iterdir()}
        first = _set_up(checkout)
        assert first.returncode == 0, first.stderr
        assert {path.name for path in checkout.iterdir()} - before - {"__pycache__"} == {".venv"}
        environment = checkout / ".venv"
        assert subprocess.run([environment / "bin/pip", "show", "-q", "nothing-needed"], check=False).returncode == 0

        token = environment / "made once"
        token.touch()
        began = time.monotonic()
        second = _set_up(checkout)
        assert (second.returncode, second.stderr) == (0, "")
        assert time.monotonic() - began < 3
        assert token.exists()

        (checkout / "pyproject.toml").write_text(NOTHING_NEEDED + "\n# changed\n")
        third = _set_up(checkout)
        assert (third.returncode, third.stderr) == (0, "scripts/setup: ready\n")
        assert token.exists()

        stamp = environment / "bridge_monitor.stamp"
        stamp.unlink()
        assert _set_up(checkout).returncode == 0
        assert stamp.exists()
        assert not token.exists()

        token.touch()
        (checkout / "requirements-dev.lock").write_text("# changed\n")
        assert _set_up(checkout).returncode == 0
        assert not token.exists()

    @pytest.mark.parametrize(
        ("answer", "complaint"),
        [
            ('case "$*" in *print*) echo 3.9;; *) exit 1;; esac', "Python 3.11 or newer is needed"),
            ('case "$*" in *print*) echo 3.11;; *ensurepip*) exit 1;; esac', "apt-get install python3-venv"),
            ("exit 127", "does not run"),
        ],
    )
    def test_an_unfit_interpreter_is_named_and_nothing_is_made(
        self, checkout: Path, answer: str, complaint: str
    ) -> None:
        python = checkout / "python"
        python.write_text(f"#!/bin/sh\n{answer}\n")
        python.chmod(0o755)
        done = _set_up(checkout, str(python))
        assert done.returncode == 1
        assert complaint in done.stderr
        assert not (checkout / ".venv").exists()


GUARDED: Final = """
import asyncio, subprocess, time
import pytest

def test_child():
    subprocess.Popen(["sleep", "60"])

def test_tidy():
    subprocess.run(["true"], check=True)

async def test_task():
    asyncio.ensure_future(asyncio.sleep(60), loop=asyncio.get_running_loop())

async def test_tidy_task():
    await asyncio.create_task(asyncio.sleep(0))
"""
PEERLESS: Final = """
import os
import pytest

os.environ["PATH"] = "/nowhere"  # whatever is installed here, the guard must miss it

@pytest.mark.peer("sipp")
def test_peer():
    pass
"""
ORPHANING: Final = """
import shlex, subprocess, sys

ORPHAN = shlex.join(["setsid", sys.executable, "-c", "import time; print(flush=True); time.sleep(61)"]) + " & "

def test_orphan():
    with subprocess.Popen(ORPHAN, shell=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as shell:
        shell.stdout.readline()  # it runs: while a program is being loaded nobody can see its environment
"""

Inner = Callable[..., str]


@pytest.fixture
def inner(tmp_path: Path) -> Inner:
    """Return ``run(text, **environment)``: pytest's own report of a test file under this project's conftest."""

    def run(text: str, **environment: str) -> str:
        shutil.copy(ROOT / "tests/conftest.py", tmp_path)
        (tmp_path / "test_inner.py").write_text(text)
        (tmp_path / "pytest.ini").write_text(
            "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
            "markers =\n    peer(name): x\n    root: x\n    full: x\n"
        )
        options = ["-rA", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
        kept = {name: value for name, value in os.environ.items() if name not in {"CI", "PYTEST_ADDOPTS"}}
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, str(tmp_path)],
            cwd=tmp_path,
            env={**kept, **environment},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                report, _ = process.communicate(timeout=60)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        return str(report)

    return run


class TestGuards:
    def test_a_test_that_leaves_a_child_or_a_task_behind_fails(self, inner: Inner) -> None:
        report = inner(GUARDED)
        assert "ERROR test_inner.py::test_child - Failed: processes left behind" in report
        assert "ERROR test_inner.py::test_task - Failed: tasks left behind" in report
        assert "PASSED test_inner.py::test_tidy\n" in report
        assert "ERROR test_inner.py::test_tidy" not in report

    def test_a_process_given_away_to_init_is_found_at_the_end_of_its_module(self, inner: Inner) -> None:
        report = inner(ORPHANING)
        assert "ERROR test_inner.py::test_orphan - Failed: processes left behind" in report
        assert "time.sleep(61)" in report

    def test_a_missing_peer_is_skipped_by_name_and_fails_under_continuous_integration(self, inner: Inner) -> None:
        missing = "sipp is not installed (Debian package sip-tester)"
        assert re.search(rf"^SKIPPED \[1\] .*: {re.escape(missing)}$", inner(PEERLESS), re.MULTILINE)
        assert f"test_inner.py::test_peer - Failed: CI=true, and {missing}" in inner(PEERLESS, CI="true")


class TestReadme:
    @pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/outcomes.md"])
    def test_every_link_of_a_page_leads_somewhere(self, page: str) -> None:
        text = re.sub(r"<!--.*?-->", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
        links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
        assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []

    def test_the_two_commands_stand_in_it(self) -> None:
        text = (ROOT / "README.md").read_text("utf-8")
        assert "scripts/demo\n" in text
        assert "scripts/test\n" in text

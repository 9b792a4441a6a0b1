"""What the command line's tests share: a country whose rooms answer, and the commands run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from bridge_monitor.cli.main import main
from tests.system.conftest import _media_at_full_pace, network
from tests.system.rigs import Command, Country, own_network

__all__ = ["_media_at_full_pace", "network"]

DEAD, RINGING, BUSY, SLOW, SILENT = "01001", "01002", "01003", "01004", "01005"
GOOD = "01006"
MUTED = "01008"


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def spoilt(self) -> bool:
        """Whether this machine spoilt a measurement: then it tells nothing, by the program's own rule."""
        if self.out.startswith("{"):
            return any(result.get("invalid") for result in self.objects)
        return "Measurement invalid" in self.out or "Phép đo không hợp lệ" in self.out or "were invalid" in self.err

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Its output as JSON, an object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def bridge_monitor(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Return ``bridge_monitor(*words)``: run a command in this process, in English; again if this machine spoilt it."""

    def once(*words: str | Path) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    def run(*words: str | Path) -> Said:
        said = once(*words)
        for _ in range(3):
            if not said.spoilt:
                break
            said = once(*words)
        return said

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Return ``start(*words)``: a command as a process, ended after the test, its output shown if that failed."""
    started: list[Command] = []

    def run(*words: str | Path) -> Command:
        started.append(Command(tmp_path / "output", *words))
        return started[-1]

    yield run
    for command in reversed(started):
        command.stop()
    for command in started:
        print(f"--- {command.process.args}\n{command.printed[-4000:]}\n{command.told[-4000:]}")  # noqa: T201 - shown by pytest if the test failed


@pytest.fixture(autouse=True)
def _in_english_and_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep the user's language, configuration and state out; forget the log that a command has set up."""
    for name in ("LC_ALL", "LC_MESSAGES", "BRIDGE_MONITOR_CONFIG", "BRIDGE_MONITOR_LANG", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("bridge_monitor.daemon.centre.os.geteuid", lambda: 1000)
    monkeypatch.setattr("bridge_monitor.daemon.centre._DRAIN_PATIENCE", 0.5)
    yield
    structlog.reset_defaults()


def a_country(folder: Path, network: str, **changes: Any) -> Country:
    """Return a province with seven communes and profiles for every purpose, not yet written."""
    profiles = {
        "short": {"duration": "1 s", "answer_timeout": "1 s"},
        "long": {"duration": "60 s"},
        "patient": {"duration": "1 s", "answer_timeout": "60 s"},
        "alive": {"kind": "sip-options", "answer_timeout": "1 s"},
    }
    more_sites = [
        ["01901", "Phòng 01901", "commune", "01", "VNPT", "", "", GOOD, "", ""],
        ["01902", "Phòng 01902", "commune", "01", "VNPT", "sip:01902@192.0.2.9", "none", "", "", ""],
    ]
    return Country(folder, network, provinces=1, communes=7, profiles=profiles, more_sites=more_sites, **changes)


@pytest.fixture
def country(tmp_path: Path, network: str) -> Country:
    """Return a written country; nobody answers in it."""
    made = a_country(tmp_path / "country", network)
    made.write()
    return made


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    """Return a country whose rooms answer, some with a fault; shared by a module's tests."""
    folder = tmp_path_factory.mktemp("rooms")
    plan = [
        {"kind": "dead", "sites": [DEAD]},
        {"kind": "rings_only", "sites": [RINGING]},
        {"kind": "busy", "sites": [BUSY]},
        {"kind": "slow_answer", "sites": [SLOW], "seconds": 15},
        {"kind": "silent", "sites": [SILENT]},
        {"kind": "muted", "sites": [MUTED]},
    ]
    with own_network() as prefix:
        made = a_country(folder / "country", prefix)
        # A room is listened to for two seconds before it is called silent.
        made.communes, made.profile_of = 8, {MUTED: "heard"}
        made.profiles = {**made.profiles, "heard": {"duration": "2.5 s", "answer_timeout": "1 s"}}
        made.write()
        (folder / "faults.yaml").write_text(yaml.safe_dump({"seed": 1, "faults": plan}), "utf-8")
        simulator = Command(
            folder, "simulate", "--config", made.folder, "--faults", folder / "faults.yaml", "--json", measured=False
        )
        try:
            simulator.until("simulating")
            yield made
        finally:
            simulator.stop()

"""A small good configuration to spoil, and a present in which it is good."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from bridge_monitor.config import Configuration, load
from bridge_monitor.errors import ConfigError, Problem

HERE = Path(__file__).parent
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")


@pytest.fixture(scope="session")
def now() -> datetime:
    """Two hours before the first rehearsal window of the good configuration."""
    return datetime(2024, 6, 26, 12, 0, tzinfo=HANOI)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the good configuration, as the current folder."""
    copy = tmp_path / "copy"
    shutil.copytree(HERE / "good", copy)
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def spoil(folder: Path) -> Callable[[str, str, str], None]:
    """Return ``spoil(file, old, new)``: replaces the one place of the good file."""

    def replace(file: str, old: str, new: str) -> None:
        path = folder / file
        text = path.read_text("utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), "utf-8")

    return replace


@pytest.fixture
def problems(folder: Path, now: datetime) -> Callable[[], list[str]]:
    """Return ``problems()``: the texts of all problems of the spoilt configuration, warnings included."""

    def find(lang: Literal["en", "vi"] = "en") -> list[str]:
        assert folder.is_dir()
        found: tuple[Problem, ...]
        try:
            found = load(Path(), now=now, lang=lang).warnings
        except ConfigError as error:
            found = error.problems
        return [str(problem) for problem in found]

    return find


@pytest.fixture
def good(folder: Path, now: datetime) -> Callable[[], Configuration]:
    """Return ``good()``: loads the folder, which must have no errors."""
    return lambda: load(folder, now=now)

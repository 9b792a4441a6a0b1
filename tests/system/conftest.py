"""What tests of the whole share: a network of their own, commands that are ended, a nation that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.rigs import Command, own_network


@pytest.fixture
def network() -> Iterator[str]:
    """Return the first two bytes of addresses that no other test has."""
    with own_network() as prefix:
        yield prefix


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Return ``start(*words)``: a command as a process; it is ended after the test, its output shown if that failed."""
    started: list[Command] = []

    def run(*words: str | Path) -> Command:
        started.append(Command(tmp_path / "output", *words))
        return started[-1]

    yield run
    for command in reversed(started):
        command.stop()
    for command in started:
        print(f"--- {command.process.args}\n{command.printed[-4000:]}\n{command.told[-4000:]}")  # noqa: T201 - shown by pytest if the test failed

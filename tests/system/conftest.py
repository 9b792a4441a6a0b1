"""What tests of the whole share: a network of their own, commands that are ended, a nation that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.rigs import MEASURE, Command, own_network
from tests.system.uplink import Uplink


@pytest.fixture
def network() -> Iterator[str]:
    """Return the first two bytes of addresses that no other test has."""
    with own_network() as prefix:
        yield prefix


@pytest.fixture(autouse=True)
def _media_at_full_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage from tracing the media processes that this process starts itself."""
    monkeypatch.delenv(MEASURE, raising=False)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Return ``start(*words, measured=False, inside="")``: a command as a process, in a network namespace if named.

    It is ended after the test, and its output shown if that failed.
    """
    started: list[Command] = []

    def run(*words: str | Path, measured: bool = False, inside: str = "") -> Command:
        under = ("ip", "netns", "exec", inside) if inside else ()
        started.append(Command(tmp_path / "output", *words, measured=measured, under=under))
        return started[-1]

    yield run
    for command in reversed(started):
        command.stop()
    for command in started:
        print(f"--- {command.process.args}\n{command.printed[-4000:]}\n{command.told[-4000:]}")  # noqa: T201 - shown by pytest if the test failed


@pytest.fixture
def uplink() -> Iterator[Uplink]:
    """Return two namespaces with a cable between them."""
    laid = Uplink()
    try:
        laid.lay()
        yield laid
    finally:
        laid.remove()

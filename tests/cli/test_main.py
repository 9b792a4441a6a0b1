from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from bridge_monitor import __version__
from bridge_monitor.cli import main as command_line
from tests.cli.conftest import Said

COMMANDS = [
    [],
    ["run"],
    ["sweep"],
    ["probe"],
    ["check-config"],
    ["sites"],
    ["sites", "list"],
    ["sites", "show"],
    ["simulate"],
    ["demo"],
]

Run = Callable[..., Said]


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_each_command_explains_itself(self, bridge_monitor: Run, command: list[str]) -> None:
        said = bridge_monitor(*command, "--help")
        assert said.code == 0
        assert "Usage: bridge-monitor" in said.out
        assert len(said.out.split()) > 20
        assert said.err == ""

    @pytest.mark.parametrize("command", [words for words in COMMANDS if words not in ([], ["sites"])], ids=" ".join)
    def test_each_option_explains_itself(self, bridge_monitor: Run, command: list[str]) -> None:
        """An option's line goes on with a sentence, or the next line does."""
        out = bridge_monitor(*command, "--help").out
        options = re.findall(r"^│ [ *]*(--[a-z-]+)[^│]*│$", out, re.MULTILINE)
        assert len(options) >= 2
        for name in options:
            described = out.split(f" {name} ", 1)[1].split("│")[0]
            assert re.search(r"[A-Za-z]{3,}\S* \S+", described), f"{name} says nothing"

    @pytest.mark.parametrize("command", [[], ["sites"]], ids=" ".join)
    def test_without_a_command_the_help_is_shown_and_it_counts_as_misuse(
        self, bridge_monitor: Run, command: list[str]
    ) -> None:
        said = bridge_monitor(*command)
        assert said.code == 3
        assert "Commands" in said.out + said.err

    def test_the_version_is_told(self, bridge_monitor: Run) -> None:
        said = bridge_monitor("--version")
        assert (said.code, said.out) == (0, f"bridge_monitor {__version__}\n")


class TestMisuse:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["nonsense"], "No such command"),
            (["probe"], "Missing argument"),
            (["probe", "--no-such-option", "x"], "No such option"),
            (["probe", "x", "--count", "0"], "--count"),
            (["probe", "x", "--duration", "long"], "--duration"),
            (["probe", "x", "y"], "unexpected extra argument"),
            (["run"], "--config"),
            (["sweep"], "--config"),
            (["sites", "list"], "--config"),
            (["sites", "nonsense"], "No such command"),
            (["simulate"], "--config"),
            (["simulate", "--config", "x", "--duration", "0"], "--duration"),
            (["check-config"], "Missing argument"),
            (["demo", "--sites", "none"], "--sites"),
            (["demo", "--lang", "fr"], "--lang"),
        ],
        ids=lambda words: " ".join(words) if isinstance(words, list) else "",
    )
    def test_misuse_ends_with_3_and_says_what_is_wrong(self, bridge_monitor: Run, words: list[str], told: str) -> None:
        """2 would mean "failed", 1 "degraded"."""
        said = bridge_monitor(*words)
        assert said.code == 3
        assert told in said.err
        assert said.out == ""


class TestAccidents:
    def test_a_bug_of_ours_ends_with_3_and_its_traceback(
        self, bridge_monitor: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_words: object, **_options: object) -> int:
            raise ZeroDivisionError

        monkeypatch.setattr("bridge_monitor.cli.sites.list_sites", broken)
        said = bridge_monitor("sites", "list", "--config", "x")
        assert said.code == 3
        assert "ZeroDivisionError" in said.err
        assert "A bug of this program" in said.err

    def test_ctrl_c_before_anything_was_done_ends_with_3(
        self, bridge_monitor: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_words: object, **_options: object) -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr("bridge_monitor.cli.sites.list_sites", interrupted)
        said = bridge_monitor("sites", "list", "--config", "x")
        assert (said.code, said.out, said.err) == (3, "", "")

    def test_as_a_program_it_ends_with_the_commands_code(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.argv", ["bridge-monitor", "nonsense"])
        with pytest.raises(SystemExit) as caught:
            command_line.entry()
        assert caught.value.code == 3

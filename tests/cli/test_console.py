from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import structlog
import typer

from bridge_monitor.cli import console
from bridge_monitor.cli.console import LangChoice, grouped, language, messages, output, refuse, show_problems
from bridge_monitor.errors import ConfigError, Problem

ROOT = Path(__file__).resolve().parents[2]
BELL = "\x1b"


class TestLanguage:
    @pytest.mark.parametrize(
        ("variables", "expected"),
        [
            ({"LANG": "vi_VN.UTF-8"}, "vi"),
            ({"LANG": "vi_VN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
            ({"LANG": "en_US.UTF-8", "LC_ALL": "vi_VN"}, "vi"),
            ({"LANG": "fr_FR.UTF-8"}, "en"),
            ({"LANG": ""}, "en"),
        ],
    )
    def test_it_is_the_locales(self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert language(None) == expected

    def test_the_one_asked_for_goes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
        assert language(LangChoice.VI) == "vi"

    @pytest.mark.parametrize(("lang", "expected"), [("vi", "10.595"), ("en", "10,595")])
    def test_thousands_stand_apart_as_the_language_has_it(self, lang: str, expected: str) -> None:
        assert grouped(10_595, lang) == expected  # type: ignore[arg-type]


class TestPlainText:
    def test_piped_output_has_no_escape_codes_and_keeps_long_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        output().print("x" * 500, style="bold red")
        messages().print("y" * 500, style="green")
        said = capsys.readouterr()
        assert said.out == "x" * 500 + "\n"
        assert said.err == "y" * 500 + "\n"

    def test_brackets_in_names_are_no_markup(self, capsys: pytest.CaptureFixture[str]) -> None:
        output().print("Phòng [/red] họp :smile: [bold]A[/bold]")
        assert capsys.readouterr().out == "Phòng [/red] họp :smile: [bold]A[/bold]\n"


class TestEnds:
    def test_a_refusal_says_why_and_ends_with_3(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(typer.Exit) as caught:
            refuse("not now [really]")
        assert caught.value.exit_code == 3
        assert capsys.readouterr().err == "not now [really]\n"

    @pytest.mark.parametrize(
        ("lang", "count", "told"),
        [("en", 1, "1 configuration error"), ("en", 2, "2 configuration errors"), ("vi", 2, "2 lỗi cấu hình")],
    )
    def test_every_problem_has_its_line_and_errors_are_counted(
        self, capsys: pytest.CaptureFixture[str], lang: str, count: int, told: str
    ) -> None:
        problems = [Problem("sites.csv", line, "wrong", "mend it") for line in range(1, count + 1)]
        warning = Problem("event.yaml", 3, "past", "give new dates", warning=True)
        show_problems(ConfigError((*problems, warning)), lang)  # type: ignore[arg-type]
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == "sites.csv:1: wrong; mend it"
        assert lines[-2:] == ["event.yaml:3: past; give new dates", told]

    def test_a_reader_that_leaves_ends_the_command_quietly(self) -> None:
        command = f"{sys.executable} -m bridge_monitor sites list --json --config configs/vn-2024"
        ended = subprocess.run(
            ["bash", "-c", f"{command} | head -n 1 >/dev/null; exit ${{PIPESTATUS[0]}}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (3, "")


class TestLog:
    def test_it_goes_to_standard_error_as_json_where_nobody_watches(self, capsys: pytest.CaptureFixture[str]) -> None:
        console.configure_log()
        structlog.get_logger().info("not shown")
        structlog.get_logger().warning("shown", site="01")
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith('{"site": "01", "event": "shown", "level": "warning", "timestamp": "')
        assert said.err.count("\n") == 1

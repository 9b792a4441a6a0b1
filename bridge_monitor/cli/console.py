"""Where the commands write: colour and tables on a terminal, plain text when piped, messages apart from results.

Owns the language, the two consoles, the log and how a command is interrupted; must not know what is shown.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final, NoReturn

import structlog
import typer
from rich.console import Console

from bridge_monitor.domain.wording import Lang
from bridge_monitor.errors import ConfigError

EXIT_GOOD = 0
EXIT_DEGRADED = 1
EXIT_FAILED = 2
EXIT_UNKNOWN = 3

_PIPED_WIDTH: Final = 10_000
"""Piped output keeps whole lines: a program or a mail reads it, not a window of 80 columns."""


class LangChoice(StrEnum):
    """Languages of results, errors and reports."""

    VI = "vi"
    EN = "en"


def default_lang() -> LangChoice:
    """Return the language of the user's locale, English if it is neither."""
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return LangChoice.VI if locale.startswith("vi") else LangChoice.EN


def language(choice: LangChoice | None) -> Lang:
    """Return the language asked for, else the locale's."""
    return "vi" if (choice or default_lang()) is LangChoice.VI else "en"


def output() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


def messages() -> Console:
    """Return the console for progress and errors, so that results can be piped."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPED_WIDTH
    # No markup: names come from files and reason phrases from peers, and either may hold a bracket.
    return _Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


class _Console(Console):
    """A console whose reader may leave (``| head``): that is no verdict, hence not rich's exit code 1."""

    def on_broken_pipe(self) -> None:
        """End the command quietly; calls that are up are ended on the way out."""
        self.quiet = True
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_UNKNOWN)


def run_interruptibly(work: Coroutine[Any, Any, int]) -> int:
    """Run a command's work; SIGTERM and a closed terminal (SIGHUP) cancel it just as Ctrl-C does.

    Python's own answer to the two is to end at once, and the room would keep a call that nobody ends.
    """

    async def watched() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        return EXIT_UNKNOWN


def grouped(count: int, lang: Lang) -> str:
    """Return a count with its thousands apart, as people of the language write it."""
    return f"{count:,}".replace(",", "." if lang == "vi" else ",")


def configure_log(level: int = logging.WARNING) -> None:
    """Log to standard error: coloured lines on a terminal, JSON otherwise."""
    on_terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def refuse(message: str) -> NoReturn:
    """Say why the command can't be done and end with 3 (unknown, by the monitoring-plugin convention)."""
    messages().print(message, style="bold red")
    raise typer.Exit(EXIT_UNKNOWN)


def show_problems(error: ConfigError, lang: Lang) -> None:
    """Print each problem on a line of its own, as ``file:line: what; mend``."""
    console = messages()
    for problem in error.problems:
        style = "yellow" if problem.warning else "red"
        console.print(str(problem), style=style)
    errors = sum(not problem.warning for problem in error.problems)
    noun = "configuration error" if errors == 1 else "configuration errors"
    console.print(f"{errors} lỗi cấu hình" if lang == "vi" else f"{errors} {noun}", style="bold")

from __future__ import annotations

import inspect
import re

import pytest

from bridge_monitor import errors
from bridge_monitor.errors import BridgeMonitorError, ConfigError, Problem, RefusedError


def classes() -> dict[str, type[Exception]]:
    return {
        name: member
        for name, member in vars(errors).items()
        if inspect.isclass(member) and issubclass(member, Exception)
    }


def test_the_tree_drawn_in_the_docstring_is_the_hierarchy() -> None:
    """Each class stands under its base, drawn by its depth, and no class is missing."""
    assert errors.__doc__ is not None
    drawn: dict[str, str | None] = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"^    ([ │├└─]*)(\w+Error)\b", line)
        if match is None:
            continue
        path = [*path[: len(match[1]) // 4], match[2]]
        drawn[match[2]] = path[-2] if len(path) > 1 else None
    assert drawn == {
        name: None if member is BridgeMonitorError else member.__base__.__name__  # type: ignore[union-attr]
        for name, member in classes().items()
    }


@pytest.mark.parametrize("member", classes().values(), ids=classes().keys())
def test_every_error_is_ours_and_says_what_it_is(member: type[Exception]) -> None:
    assert issubclass(member, BridgeMonitorError)
    assert member.__doc__


def test_a_problem_reads_file_line_what_and_mend() -> None:
    problem = Problem("sites.csv", 7, "parent 99 is unknown", "write the code of a site above it")
    assert str(problem) == "sites.csv:7: parent 99 is unknown; write the code of a site above it"
    assert not problem.warning


def test_problems_sort_by_file_and_line() -> None:
    later, earlier = Problem("sites.csv", 12, "a", "b"), Problem("sites.csv", 9, "z", "b")
    assert sorted([later, earlier, Problem("event.yaml", 99, "a", "b")])[1:] == [earlier, later]


def test_a_config_error_shows_all_problems_a_line_each() -> None:
    problems = (Problem("a.csv", 1, "x", "y"), Problem("b.csv", 2, "v", "w"))
    error = ConfigError(problems)
    assert error.problems == problems
    assert str(error) == "a.csv:1: x; y\nb.csv:2: v; w"


def test_a_refusal_has_a_reason_for_programs_and_a_message_for_people() -> None:
    error = RefusedError("quiet_hours", "no calls between 20:00 and 06:00")
    assert error.reason == "quiet_hours"
    assert str(error) == "no calls between 20:00 and 06:00"

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from bridge_monitor.config import Configuration, load
from bridge_monitor.errors import ConfigError, Problem

Spoil = Callable[[str, str, str], None]
Find = Callable[..., list[str]]
Good = Callable[[], Configuration]
FILES = ("sites.csv", "contacts.csv", "event.yaml", "bridge_monitor.yaml")


def outcome(folder: Path, now: datetime) -> tuple[Problem, ...]:
    """Return all problems of a folder; an error without a fatal one would be a bug."""
    try:
        return load(folder, now=now).warnings
    except ConfigError as error:
        if all(problem.warning for problem in error.problems):
            raise AssertionError("refused without an error") from error
        return error.problems


def test_a_good_folder_has_no_warnings_and_is_remembered(good: Good, folder: Path) -> None:
    configuration = good()
    assert configuration.warnings == ()
    assert configuration.folder == folder


def test_all_problems_of_all_files_come_at_once(spoil: Spoil, problems: Find) -> None:
    spoil("sites.csv", "commune,001,Viettel", "commune,1,Viettel")
    spoil("contacts.csv", "province,01", "province,02")
    spoil("event.yaml", "guard: 60 min", "guard: 60")
    spoil(
        "event.yaml",
        "start: 2024-06-26 14:00\n    end: 2024-06-26 17:00",
        "start: 2024-06-25 14:00\n    end: 2024-06-25 17:00",
    )
    spoil("bridge_monitor.yaml", "window: 3", "windows: 3")
    spoil("bridge_monitor.yaml", "  01:", "  1:")
    assert [problem.partition(";")[0] for problem in problems()] == [
        "bridge_monitor.yaml:20: '1' is no province of sites.csv",
        "bridge_monitor.yaml:28: unknown key 'confirmation.windows'",
        "contacts.csv:2: '02' is no province of sites.csv",
        "event.yaml:5: 'rehearsals[1]' lies in the past (until 2024-06-25 17:00)",
        "event.yaml:11: 'guard' is '60', no duration",
        "sites.csv:6: parent '1' is not in the list",
    ]


def test_warnings_come_with_the_configuration_if_there_is_no_error(spoil: Spoil, good: Good) -> None:
    spoil("sites.csv", "commune,001,VNPT", "commune,001,vnpt")
    (warning,) = good().warnings
    assert warning.warning
    assert warning.line == 7


def test_problems_name_the_file_as_the_operator_did(folder: Path, now: datetime) -> None:
    (folder / "event.yaml").unlink()
    with pytest.raises(ConfigError) as caught:
        load(Path("../copy"), now=now)
    assert [problem.file for problem in caught.value.problems] == ["../copy/event.yaml"]


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("en", "nowhere:0: there is no such folder; name the folder that holds "),
        ("vi", "nowhere:0: không có thư mục này; chỉ ra thư mục chứa "),
    ],
)
def test_a_folder_that_is_not_there_is_one_problem(lang: str, text: str, now: datetime) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Path("nowhere"), now=now, lang="vi" if lang == "vi" else "en")
    assert str(caught.value).startswith(text)
    assert len(caught.value.problems) == 1


def test_an_empty_folder_lacks_every_file(tmp_path: Path, now: datetime) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, now=now)
    assert {Path(problem.file).name for problem in caught.value.problems} == set(FILES)
    assert len(caught.value.problems) == len(FILES)


@pytest.mark.parametrize("file", FILES)
def test_files_truncated_at_every_byte_give_a_configuration_or_problems_in_their_lines(
    file: str, folder: Path, now: datetime
) -> None:
    whole = (folder / file).read_bytes()
    for length in range(len(whole)):
        (folder / file).write_bytes(whole[:length])
        lines = whole[:length].count(b"\n") + 1
        found = outcome(folder, now)
        assert all(0 <= problem.line <= lines for problem in found if Path(problem.file).name == file)


@pytest.mark.parametrize("file", FILES)
def test_a_line_left_out_or_doubled_is_never_a_traceback(file: str, folder: Path, now: datetime) -> None:
    lines = (folder / file).read_text("utf-8").splitlines(keepends=True)
    for place, line in enumerate(lines):
        for middle in ([], [line, line]):
            (folder / file).write_text("".join([*lines[:place], *middle, *lines[place + 1 :]]), "utf-8")
            assert all(problem.what and problem.mend for problem in outcome(folder, now))

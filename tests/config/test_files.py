from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.config.files import Table, read_table, read_text
from bridge_monitor.config.problems import Problems


def table_of(path: Path, data: bytes, *, labels: bool = False) -> tuple[Table | None, list[str]]:
    path.write_bytes(data)
    problems = Problems("en")
    table = read_table(path, problems, required=("code", "name"), optional=("tier",), labels=labels)
    return table, [str(problem).removeprefix(str(path)) for problem in problems.all()]


def rows(table: Table | None) -> list[tuple[int, list[str]]]:
    assert table is not None
    return [(row.line, list(row.cells)) for row in table.rows]


@pytest.mark.parametrize(
    "data",
    [
        "code,name\n01,Hà Nội\n48,Đà Nẵng\n",
        "\ufeffcode,name\n01,Hà Nội\n48,Đà Nẵng\n",
        "code,name\r\n01,Hà Nội\r\n48,Đà Nẵng\r\n",
        "code;name\n01;Hà Nội\n48;Đà Nẵng",
        "code\tname\n01\tHà Nội\n48\tĐà Nẵng\n",
        " code , name \n 01 , Hà Nội \n48,  Đà Nẵng\n",
        unicodedata.normalize("NFD", "code,name\n01,Hà Nội\n48,Đà Nẵng\n"),
    ],
    ids=["plain", "byte order mark", "CRLF", "semicolons", "tabs", "spaces", "decomposed letters"],
)
def test_what_spreadsheets_write_is_read_the_same(tmp_path: Path, data: str) -> None:
    table, problems = table_of(tmp_path / "t.csv", data.encode())
    assert rows(table) == [(2, ["01", "Hà Nội"]), (3, ["48", "Đà Nẵng"])]
    assert problems == []


def test_lines_are_counted_through_comments_empty_lines_and_quoted_line_breaks(tmp_path: Path) -> None:
    data = '# about, "this"\n\ncode,name\n01,"Hà\nNội"\n,\n# more\n48,"Đà ""Nẵng"""\n'
    table, problems = table_of(tmp_path / "t.csv", data.encode())
    assert rows(table) == [(4, ["01", "Hà\nNội"]), (8, ["48", 'Đà "Nẵng"'])]
    assert problems == []


def test_a_quote_that_never_closes_leaves_the_table_incomplete(tmp_path: Path) -> None:
    table, problems = table_of(tmp_path / "t.csv", b'code,name\n01,"Ha Noi\n48,Da Nang\n')
    assert table is not None
    assert not table.complete
    assert [problem.partition(";")[0] for problem in problems] == [":2: the quotes don't match: unexpected end of data"]


def test_a_line_after_one_with_bad_quotes_is_read(tmp_path: Path) -> None:
    table, problems = table_of(tmp_path / "t.csv", b'code,name\n01,"Ha" Noi\n48,Da Nang\n')
    assert rows(table) == [(3, ["48", "Da Nang"])]
    assert len(problems) == 1


def test_a_line_of_the_wrong_length_keeps_its_place(tmp_path: Path) -> None:
    table, problems = table_of(tmp_path / "t.csv", b"code,name\n01\n48,Da Nang,x\n")
    assert table is not None
    assert [(row.cells, row.whole) for row in table.rows] == [(["01", ""], False), (["48", "Da Nang"], False)]
    assert len(problems) == 2


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# code,name\n"])
def test_an_empty_file_lacks_its_columns(tmp_path: Path, data: bytes) -> None:
    table, problems = table_of(tmp_path / "t.csv", data)
    assert table is None
    assert [problem.partition(";")[0] for problem in problems] == [
        ":1: column 'code' is missing",
        ":1: column 'name' is missing",
    ]


def test_a_slip_in_a_columns_name_is_reported_once_and_read_as_meant(tmp_path: Path) -> None:
    table, problems = table_of(tmp_path / "t.csv", b"code,nam,teir\n01,Ha Noi,province\n")
    assert table is not None
    assert table.columns == ("code", "name", "tier")
    assert [problem.partition(";")[0] for problem in problems] == [
        ":1: unknown column 'nam'",
        ":1: unknown column 'teir'",
    ]


def test_a_slip_beside_the_right_column_is_not_taken_for_it(tmp_path: Path) -> None:
    table, problems = table_of(tmp_path / "t.csv", b"code,name,names\n01,Ha Noi,x\n")
    assert table is not None
    assert table.columns == ("code", "name", "names")
    assert len(problems) == 1


def test_labels_are_columns_only_where_they_are_allowed_and_named(tmp_path: Path) -> None:
    table, problems = table_of(tmp_path / "t.csv", b"code,name,label:room\n01,Ha Noi,A1\n", labels=True)
    assert table is not None
    assert problems == []
    for header in (b"code,name,label:\n", b"code,name,room\n"):
        assert len(table_of(tmp_path / "t.csv", header, labels=True)[1]) == 1
    assert len(table_of(tmp_path / "t.csv", b"code,name,label:room\n")[1]) == 1


def test_a_missing_file_with_a_look_alike_beside_it_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "event.yml").touch()
    problems = Problems("en")
    assert read_text(tmp_path / "event.yaml", problems) is None
    assert "did you mean 'event.yml'?" in problems.all()[0].mend


def test_utf_16_is_named_at_its_first_byte(tmp_path: Path) -> None:
    _, problems = table_of(tmp_path / "t.csv", "code,name\n".encode("utf-16"))
    assert [problem.partition(";")[0] for problem in problems] == [":1: byte 0xff is not UTF-8"]


@given(st.binary(max_size=80) | st.text(alphabet='code,name;"\n\r#\t ', max_size=80).map(str.encode))
def test_any_bytes_are_a_table_or_problems(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    table, problems = table_of(tmp_path_factory.getbasetemp() / "any.csv", data)
    assert table is not None or problems

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from bridge_monitor.config.documents import Document, Strict, dotted, fit, read_document
from bridge_monitor.config.problems import Problems


class Inner(Strict):
    low: int
    high: int = 9


class Outer(Strict):
    name: str
    inner: Inner | None = None
    table: dict[str, Inner] = Field(default_factory=dict)
    sizes: list[int] = Field(default_factory=list)
    pattern: Annotated[str, Field(pattern="^a+$")] = "a"
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5


def read(path: Path, text: str) -> tuple[Document | None, Problems]:
    path.write_text(text, "utf-8")
    problems = Problems("en")
    return read_document(path, problems), problems


def fitted(path: Path, text: str, **stand_ins: object) -> tuple[Outer | None, list[str]]:
    document, problems = read(path, text)
    assert document is not None
    model = fit(document, Outer, problems, stand_ins=stand_ins)
    return model, [f"{problem.line}: {problem.what}" for problem in problems.all()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


def test_scalars_stay_what_was_written(path: Path) -> None:
    document, problems = read(path, "01: no\ntime: 20:00\nday: 2024-06-27\nempty:\nquoted: ''\ntilde: ~\nhex: 0x10\n")
    assert document is not None
    assert document.plain == {
        "01": "no",
        "time": "20:00",
        "day": "2024-06-27",
        "empty": None,
        "quoted": "",
        "tilde": None,
        "hex": "0x10",
    }
    assert problems.all() == ()


def test_keys_and_values_have_their_lines(path: Path) -> None:
    document, _ = read(path, "# head\na:\n  b:\n    - c\n    - d: |\n        text\n  e:\n    f\n")
    assert document is not None
    assert document.line(("a",)) == 2
    assert document.line(("a", "b", 1)) == 5
    assert document.line(("a", "b", 1, "d")) == 5
    assert (document.line(("a", "e")), document.value_line(("a", "e"))) == (7, 8)
    assert document.line(("a", "missing", "deeper")) == 2
    assert document.line(("missing",)) == 1


def test_an_empty_file_is_an_empty_mapping(path: Path) -> None:
    document, problems = read(path, "# nothing yet\n")
    assert document is not None
    assert document.plain == {}
    assert problems.all() == ()


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n"])
def test_a_file_that_is_no_mapping_is_refused(path: Path, text: str) -> None:
    document, problems = read(path, text)
    assert document is None
    assert [problem.what for problem in problems.all()] == ["'file.yaml' must hold keys"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b\n c: d\n", 2),
        ("a: [b\n", 1),
        ("a: b\n---\nc: d\n", 2),
        ("a: *b\n", 1),
        ("a: '\n", 1),
        ("a: b\nc: \x07\n", 2),
    ],
)
def test_a_slip_in_the_syntax_has_its_line(path: Path, text: str, line: int) -> None:
    document, problems = read(path, text)
    assert document is None
    assert [problem.line for problem in problems.all()] == [line]


def test_aliases_are_read_where_they_stand_and_those_without_end_are_left_out(path: Path) -> None:
    document, problems = read(path, "a: &a {b: c}\nd: *a\ne: &e [f, *e, g]\n")
    assert document is not None
    assert document.plain == {"a": {"b": "c"}, "d": {"b": "c"}, "e": ["f", "g"]}
    assert [str(problem).removeprefix(str(path)) for problem in problems.all()] == [
        ":3: alias 'e[2]' holds itself; write the values out"
    ]


def test_a_path_reads_as_the_operator_counts() -> None:
    assert dotted(("rehearsals", 0, "start")) == "rehearsals[1].start"
    assert dotted(()) == ""


def test_every_problem_of_a_mapping_is_found_at_once(path: Path) -> None:
    text = "nane: x\ninner:\n  high: much\ntable:\n  a: {low: 1.5, lo: 2}\n  b: 3\nsizes: [1, two, 3]\nshare: 1\n"
    model, problems = fitted(path, text)
    assert model is None
    assert problems == [
        "1: key 'name' is missing",
        "1: unknown key 'nane'",
        "2: key 'inner.low' is missing",
        "3: 'inner.high' is 'much', no whole number",
        "5: 'table.a.low' is '1.5', no whole number",
        "5: unknown key 'table.a.lo'",
        "6: 'table.b' must hold keys",
        "7: 'sizes[2]' is 'two', no whole number",
        "8: 'share' is '1'; it must be < 1",
    ]


def test_what_is_right_beside_a_problem_is_kept(path: Path) -> None:
    text = "nane: x\ninner: {high: much}\ntable:\n  a: {low: 1.5}\n  b: {low: 2, high: x, more: y}\nsizes: [1, two]\n"
    model, problems = fitted(path, text, name="stand-in")
    assert model == Outer(name="stand-in", table={"b": Inner(low=2)})
    assert len(problems) == 8


def test_a_wrong_value_of_a_required_key_gives_way_to_its_stand_in(path: Path) -> None:
    model, problems = fitted(path, "name: [a]\nsizes: [1]\n", name="stand-in")
    assert model == Outer(name="stand-in", sizes=[1])
    assert problems == ["1: 'name' must be a single value"]


def test_a_complaint_without_message_of_its_own_is_passed_on(path: Path) -> None:
    _, problems = fitted(path, "name: x\npattern: b\n")
    assert problems == ["2: 'pattern' is not valid: String should match pattern '^a+$'"]


def test_keys_without_value_are_named(path: Path) -> None:
    _, problems = fitted(path, "name:\ntable:\nsizes:\nshare:\nnane:\n")
    assert problems == [
        "1: 'name' has no value",
        "2: 'table' has no value",
        "3: 'sizes' has no value",
        "4: 'share' has no value",
        "5: unknown key 'nane'",
    ]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_numbers_are_finite(path: Path, value: str) -> None:
    _, problems = fitted(path, f"name: x\nshare: {value}\n")
    assert problems == [f"2: 'share' is '{value}', no number"]


@given(st.text(alphabet="namesizt:[]{},&*!|>'\"-\n #01", max_size=60))
def test_any_text_is_a_document_or_a_problem(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    document, problems = read(tmp_path_factory.getbasetemp() / "any.yaml", text)
    assert document is not None or problems.fatal
    if document is not None:
        fit(document, Outer, problems)
    lines = len(text.splitlines()) + 1
    assert all(0 <= problem.line <= lines for problem in problems.all())

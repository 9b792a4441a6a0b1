from __future__ import annotations

from bridge_monitor.config.problems import Problems, guess_code, guess_name, listing


def test_problems_come_in_file_and_line_order() -> None:
    problems = Problems("en")
    problems.add("b.csv", 9, "no_sites")
    problems.add("b.csv", 2, "no_sites")
    problems.add("a.csv", 7, "no_sites")
    assert [(problem.file, problem.line) for problem in problems.all()] == [("a.csv", 7), ("b.csv", 2), ("b.csv", 9)]


def test_warnings_alone_are_not_fatal() -> None:
    problems = Problems("en")
    problems.add("event.yaml", 1, "past_conference", end="2024-06-28 11:30")
    assert not problems.fatal
    assert problems.warnings() == problems.all()
    problems.add("sites.csv", 0, "no_sites")
    assert problems.fatal
    assert len(problems.warnings()) == 1


def test_a_name_is_guessed_whatever_its_case() -> None:
    assert guess_name("VIETEL", ["VNPT", "Viettel"]) == "Viettel"
    assert guess_name("fpt", ["VNPT", "Viettel"]) is None


def test_no_guess_is_made_among_thousands_of_names() -> None:
    assert guess_name("name1", [f"name{number}" for number in range(501)]) is None


def test_a_code_that_lost_its_leading_zeros_is_recognised_among_thousands() -> None:
    codes = {f"{number:05}" for number in range(11000)} | {"01"}
    assert guess_code("1", codes) == "01"
    assert guess_code("271", codes) == "00271"
    assert guess_code("271", {"272"}) == "272"


def test_a_listing_is_cut_where_nobody_would_read_on() -> None:
    assert listing(["a", "b"]) == "a, b"
    assert listing([]) == "–"
    assert listing([str(number) for number in range(31)]).endswith("28, 29, …")

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from bridge_monitor.config import Configuration, load
from bridge_monitor.domain import QuietHours

Spoil = Callable[[str, str, str], None]
Find = Callable[[], list[str]]
Good = Callable[[], Configuration]


def brief(problems: Find) -> list[str]:
    return [problem.partition(";")[0] for problem in problems()]


def overlap(line: int, number: int, start: str, end: str) -> str:
    """The problem of a window that begins within that of line 5."""
    what = f"'rehearsals[{number}]' begins at {start}, before the window of line 5 has ended at {end}"
    return f"event.yaml:{line}: {what}"


def test_dates_are_taken_in_the_events_zone(good: Good) -> None:
    event = good().event
    assert event.title == "Hội nghị trực tuyến toàn quốc"
    assert event.zone.key == "Asia/Ho_Chi_Minh"
    assert event.registration_deadline == datetime(2024, 6, 19, 17, 0, tzinfo=UTC)
    assert event.conference.start == datetime(2024, 6, 28, 1, 30, tzinfo=UTC)
    assert event.conference.end.tzinfo is event.zone
    assert event.quiet_hours == QuietHours(time(20), time(6))


def test_an_open_end_is_the_guards_start(good: Good) -> None:
    event = good().event
    assert event.guard == timedelta(hours=1)
    assert event.rehearsals[-1].end == event.guard_start == datetime(2024, 6, 28, 0, 30, tzinfo=UTC)


def test_windows_come_in_order_whatever_the_files(good: Good, spoil: Spoil) -> None:
    spoil(
        "event.yaml",
        "  - start: 2024-06-27 14:00\n",
        "  - start: 2024-06-27 14:00\n  - {start: 2024-06-26 09:00, end: 2024-06-26 11:00}\n",
    )
    starts = [window.start for window in good().event.rehearsals]
    assert starts == sorted(starts)
    assert len(starts) == 3


def test_windows_that_touch_do_not_overlap(spoil: Spoil, problems: Find) -> None:
    spoil("event.yaml", "end: 2024-06-26 17:00", "end: 2024-06-27 14:00")
    assert problems() == []


def test_an_offset_is_converted_to_the_events_zone(good: Good, spoil: Spoil) -> None:
    spoil("event.yaml", "start: 2024-06-26 14:00", "start: 2024-06-26T07:00:00Z")
    assert good().event.rehearsals[0].start.isoformat() == "2024-06-26T14:00:00+07:00"


def test_what_may_be_left_out_has_its_default(good: Good, spoil: Spoil) -> None:
    spoil("event.yaml", "registration_deadline: 2024-06-20 00:00\n", "")
    spoil("event.yaml", "quiet_hours:\n  start: 20:00\n  end: 06:00\nguard: 60 min\n", "")
    event = good().event
    assert (event.registration_deadline, event.quiet_hours, event.guard) == (None, None, timedelta(hours=1))


def test_a_window_is_compared_with_the_longest_before_it(spoil: Spoil, problems: Find) -> None:
    spoil(
        "event.yaml",
        "    end: 2024-06-26 17:00\n",
        "    end: 2024-06-27 13:00\n  - {start: 2024-06-26 15:00, end: 2024-06-26 16:00}\n"
        "  - {start: 2024-06-27 12:00, end: 2024-06-27 13:00}\n",
    )
    assert brief(problems) == [
        overlap(7, 2, "2024-06-26 15:00", "2024-06-27 13:00"),
        overlap(8, 3, "2024-06-27 12:00", "2024-06-27 13:00"),
    ]


def test_windows_are_checked_against_each_other_beside_other_problems(spoil: Spoil, problems: Find) -> None:
    spoil("event.yaml", "zone: Asia/Ho_Chi_Minh", "zone: Hanoi")
    spoil("event.yaml", "guard: 60 min", "gard: 60 min")
    spoil("event.yaml", "end: 2024-06-26 17:00", "end: 2024-06-27 15:00\n  - start: soon\n  - {}")
    assert brief(problems) == [
        "event.yaml:2: 'zone' is 'Hanoi', no known time zone",
        "event.yaml:7: 'rehearsals[2].start' is 'soon', no date with time",
        "event.yaml:8: key 'rehearsals[3].start' is missing",
        overlap(9, 4, "2024-06-27 14:00", "2024-06-27 15:00"),
        "event.yaml:13: unknown key 'gard'",
    ]


def test_without_a_readable_conference_open_windows_are_not_judged(spoil: Spoil, problems: Find) -> None:
    spoil("event.yaml", "  end: 2024-06-28 11:30", "  ende: 2024-06-28 11:30")
    assert brief(problems) == [
        "event.yaml:12: key 'conference.end' is missing",
        "event.yaml:14: unknown key 'conference.ende'",
    ]


def test_a_conference_ends_after_its_start(spoil: Spoil, problems: Find) -> None:
    spoil("event.yaml", "  end: 2024-06-28 11:30", "  end: 2024-06-28 08:30")
    assert brief(problems) == [
        "event.yaml:14: 'conference' ends at 2024-06-28 08:30, not after its start 2024-06-28 08:30"
    ]


def test_a_missing_list_of_windows_is_named_once(spoil: Spoil, problems: Find) -> None:
    spoil(
        "event.yaml",
        "rehearsals:\n  - start: 2024-06-26 14:00\n    end: 2024-06-26 17:00\n  - start: 2024-06-27 14:00\n",
        "",
    )
    assert brief(problems) == ["event.yaml:1: key 'rehearsals' is missing"]


def test_a_window_is_past_only_when_it_has_ended(good: Good, folder: Path) -> None:
    end = good().event.rehearsals[0].end
    assert load(folder, now=end - timedelta(seconds=1)).warnings == ()
    assert [warning.line for warning in load(folder, now=end).warnings] == [5]


def test_a_window_that_is_no_mapping_is_named(spoil: Spoil, problems: Find) -> None:
    spoil("event.yaml", "  - start: 2024-06-27 14:00\n", "  - 2024-06-27 14:00\n  -\n")
    assert brief(problems) == [
        "event.yaml:7: 'rehearsals[2]' must hold keys",
        "event.yaml:8: 'rehearsals[3]' has no value",
    ]


def test_unknown_keys_of_what_may_be_left_out_are_known_by_their_place(spoil: Spoil, problems: Find) -> None:
    spoil("event.yaml", "  start: 20:00\n", "  start: 20:00\n  stop: 06:00\n")
    assert problems() == ["event.yaml:10: unknown key 'quiet_hours.stop'; remove it; the keys here are: start, end"]

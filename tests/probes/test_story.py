"""The notes of a call: what each phase took, and how it ended."""

from __future__ import annotations

import pytest

from bridge_monitor.domain import Grade, Outcome
from bridge_monitor.probes.judge import Verdict
from bridge_monitor.probes.story import PHASES, Story, quiet


def test_no_phase_was_reached_at_first() -> None:
    story = Story(10.0)
    assert tuple(story.phases) == PHASES
    assert set(story.phases.values()) == {None}
    assert (story.verdict, story.stream, story.setup_seconds, story.call_id) == (None, None, None, None)


def test_a_phase_takes_the_time_from_its_begin_or_from_the_end_of_the_one_before() -> None:
    story = Story(10.0)
    story.begin("trying", 10.0)
    story.end("trying", 10.25)
    story.end("ringing", 12.25)
    assert (story.phases["trying"], story.phases["ringing"]) == (0.25, 2.0)


def test_a_phase_never_takes_less_than_nothing() -> None:
    """An event's time may be read a moment before ours."""
    story = Story(0.0)
    story.begin("bye", 5.0)
    story.end("bye", 4.9)
    assert story.phases["bye"] == 0.0


def test_whoever_watches_is_told_of_each_begin_and_each_end() -> None:
    told: list[tuple[str, float | None]] = []
    story = Story(0.0, lambda phase, seconds: told.append((phase, seconds)))
    story.begin("trying", 1.0)
    story.end("trying", 1.5)
    story.set("first_rtp", 0.02)
    assert told == [("trying", None), ("trying", 0.5), ("first_rtp", 0.02)]


def test_nobody_has_to_watch() -> None:
    story = Story(0.0)
    story.begin("trying", 1.0)
    assert story.progress is quiet
    assert story.phases["trying"] is None


@pytest.mark.parametrize(
    ("outcome", "grade"),
    [
        (Outcome.BUSY, Grade.BUSY),
        (Outcome.NO_ANSWER, Grade.UNTESTED),
        (Outcome.CANCELLED, Grade.UNTESTED),
        (Outcome.LOCAL_FAULT, Grade.INVALID),
        (Outcome.TIMEOUT, Grade.FAILED),
    ],
)
def test_the_grade_of_a_call_that_was_not_reached_follows_from_its_outcome(outcome: Outcome, grade: Grade) -> None:
    story = Story(0.0)
    story.conclude(outcome, "detail")
    assert story.verdict == Verdict(outcome, "detail", grade)


def test_options_never_make_a_site_good() -> None:
    story = Story(0.0)
    story.conclude_options()
    assert story.verdict == Verdict(Outcome.REACHED, "options_only", Grade.UNTESTED)

"""From a site's results to its verdict: one bad call is tried again before it turns a site, and so is one good call.

Owns what counts as evidence and how much of it turns a grade; must not know why a line is bad.

================================================  =====================================================
result                                            what it does
================================================  =====================================================
good, degraded, failed                            evidence: kept in ``recent``, may turn the grade
busy                                              nothing; a site never graded yet shows as busy
it rang, or only OPTIONS was answered             nothing; but two in a row take back a "failed" that
                                                  rests on not being reached: then nothing is known
invalid, cancelled, refused                       nothing
================================================  =====================================================
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from bridge_monitor.diagnosis.settings import Confirmation
from bridge_monitor.domain import Grade, Outcome, ProbeResult, SiteGrade, SiteState
from bridge_monitor.errors import LocalProtocolError

_EVIDENCE: Final = {
    Grade.GOOD: SiteGrade.GOOD,
    Grade.DEGRADED: SiteGrade.DEGRADED,
    Grade.FAILED: SiteGrade.FAILED,
}

_NEVER_GRADED: Final = frozenset({SiteGrade.UNTESTED, SiteGrade.BUSY})

_NOT_REACHED: Final = frozenset(
    {
        Outcome.TIMEOUT,
        Outcome.UNREACHABLE,
        Outcome.NAME_NOT_FOUND,
        Outcome.NOT_FOUND,
        Outcome.UNAVAILABLE,
        Outcome.AUTH_FAILED,
        Outcome.TLS_FAILED,
    }
)


def judge(state: SiteState, result: ProbeResult, confirmation: Confirmation, now: datetime) -> SiteState:
    """Return what is known of a site after one more result.

    Args:
        state: What was known before.
        result: The new result.
        confirmation: How many results turn a verdict.
        now: When the result came; aware.

    Raises:
        LocalProtocolError: The result is another site's.
    """
    if result.target.site != state.site:
        raise LocalProtocolError(f"a result of site {result.target.site} can't judge site {state.site}")
    after = replace(state, last=result)
    if state.grade is SiteGrade.ATTENDS_ELSEWHERE:
        return after
    evidence = _evidence(state, result)
    if evidence is None:
        return _show_busy(after, result, now) if state.grade in _NEVER_GRADED else after
    recent = (*state.recent, evidence)[-confirmation.window :]
    grade = _turn(state.grade, recent, confirmation)
    same = grade is state.grade
    return replace(
        after,
        grade=grade,
        since=state.since if same else None if grade is SiteGrade.UNTESTED else now,
        confirmed=(same and state.confirmed) or _is_confirmed(grade, recent, confirmation),
        recent=() if grade is SiteGrade.UNTESTED else recent,
        last_valid=result,
    )


def wants_retry(state: SiteState) -> bool:
    """Return whether a site must be tried again soon: its verdict is about to turn, or its last call told nothing.

    True while the grade rests on one bad result, while the last evidence contradicts the grade, and after a call that
    was our own fault or was cut short. A room that is busy or rings is not called any sooner for it.
    """
    last = state.last
    if last is None:
        return False
    if _is_void(last) or last.outcome is Outcome.CANCELLED:
        return True
    return bool(state.recent) and (not state.confirmed or state.recent[-1] is not state.grade)


def _evidence(state: SiteState, result: ProbeResult) -> SiteGrade | None:
    """Return what a result says of the line; `SiteGrade.UNTESTED` for "not what was held against it"."""
    if _is_void(result):
        return None
    if not _answers_unmeasured(result):
        return _EVIDENCE.get(result.grade)
    rests_on = state.last_valid
    if state.grade is not SiteGrade.FAILED or rests_on is None:
        return None
    taken_back = rests_on.outcome in _NOT_REACHED or _answers_unmeasured(rests_on)
    return SiteGrade.UNTESTED if taken_back else None


def _is_void(result: ProbeResult) -> bool:
    """Whether a measurement is our own fault (DESIGN rule 2)."""
    return bool(result.invalid) or result.grade is Grade.INVALID


def _answers_unmeasured(result: ProbeResult) -> bool:
    """Whether the room gave a sign of life, and nothing of its line was measured (DESIGN rule 3)."""
    if result.outcome is Outcome.REACHED:
        return result.grade is Grade.UNTESTED or result.kind == "sip-options"
    return result.outcome is Outcome.NO_ANSWER


def _show_busy(state: SiteState, result: ProbeResult, now: datetime) -> SiteState:
    """Show a site never graded as busy while it is, and as untested once it isn't."""
    if _is_void(result):
        return state
    if result.grade is Grade.BUSY and state.grade is not SiteGrade.BUSY:
        return replace(state, grade=SiteGrade.BUSY, since=now)
    return replace(state, grade=SiteGrade.UNTESTED, since=None) if _answers_unmeasured(result) else state


def _turn(grade: SiteGrade, recent: tuple[SiteGrade, ...], confirmation: Confirmation) -> SiteGrade:
    """Return the grade that the evidence makes of this one."""
    if grade in _NEVER_GRADED:
        return recent[-1]
    for worse in (SiteGrade.FAILED, SiteGrade.DEGRADED):
        if worse > grade and _count(worse, recent) >= confirmation.bad_of:
            return worse
    row = recent[-confirmation.good_in_row :]
    if len(row) == confirmation.good_in_row and all(seen < grade for seen in row):
        return max(row)
    return grade


def _is_confirmed(grade: SiteGrade, recent: tuple[SiteGrade, ...], confirmation: Confirmation) -> bool:
    return grade <= SiteGrade.GOOD or _count(grade, recent) >= confirmation.bad_of


def _count(grade: SiteGrade, recent: tuple[SiteGrade, ...]) -> int:
    """Count the evidence at least as bad as this."""
    return sum(seen >= grade for seen in recent)

"""When our own uplink was bad, by the calls to reference responders beyond it: pure, in POSIX seconds.

Owns the intervals and what is still open; must not place calls. A result says nothing of a room if it was bad while
every responder was bad, too: hosts in different places have only our uplink in common.

A call that was bad makes its whole time bad, since where in it the fault lay isn't told. What lies before the start of
the oldest call in flight is settled; what lies after it may still turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from bridge_monitor.domain import Grade, Outcome, ProbeResult

OUR_UPLINK: Final = "our_uplink"
"""The reason that an invalid result names (``docs/outcomes.md``)."""

_KEPT_SECONDS: Final = 7200.0
"""Longer than any call: a profile's media last an hour at most."""

_LINE_FAULTS: Final = frozenset(
    {
        Outcome.TIMEOUT,
        Outcome.UNREACHABLE,
        Outcome.NAME_NOT_FOUND,
        Outcome.NO_MEDIA,
        Outcome.ONE_WAY_MEDIA_IN,
        Outcome.ONE_WAY_MEDIA_OUT,
        Outcome.LARGE_PACKETS_LOST,
    }
)
_THEIR_OWN: Final = frozenset({"hung_up", "reported_by_peer"})


class Span(NamedTuple):
    """A stretch of time, both ends included."""

    start: float
    end: float

    def meets(self, other: Span) -> bool:
        """Return whether the two share a moment."""
        return self.start <= other.end and other.start <= self.end


def is_bad(result: ProbeResult) -> bool | None:
    """Return whether a reference call was bad; None if it says nothing of the way there.

    Busy, declined, hung up, an answer with an error: only a host that was reached can say so, yet nothing was measured.
    """
    if result.invalid or result.reason in _THEIR_OWN:
        return None
    if result.outcome in _LINE_FAULTS:
        return True
    if result.outcome is not Outcome.REACHED or result.grade not in {Grade.GOOD, Grade.DEGRADED, Grade.FAILED}:
        return None
    return result.grade is not Grade.GOOD


def can_be_excused(result: ProbeResult) -> bool:
    """Return whether a room's result must wait for the reference: bad, and not our fault by another reason already."""
    return result.grade in {Grade.DEGRADED, Grade.FAILED} and not result.invalid


def span_of(result: ProbeResult) -> Span:
    """Return the time a call took."""
    start = result.started_at.timestamp()
    return Span(start, start + result.duration_seconds)


class Responder:
    """What is known of the way to one responder.

    Args:
        bad_after: So many bad calls, one ending after the other, make it bad.
        good_after: So many good ones make it good again.
    """

    def __init__(self, bad_after: int, good_after: int) -> None:
        self._bad_after = bad_after
        self._good_after = good_after
        self._in_flight: dict[int, float] = {}
        self._spans: list[Span] = []
        self._run: list[Span] = []
        """The calls that contradict the verdict, since the last that agreed with it."""
        self.bad: bool | None = None
        """The verdict after the last call; None before the first that says something."""

    def began(self, call: int, at: float) -> None:
        """Take note of a call's start."""
        self._in_flight[call] = at

    def ended(self, call: int, at: float, *, bad: bool | None) -> None:
        """Take note of its end; ``bad`` None: it says nothing."""
        start = self._in_flight.pop(call)
        if bad is None:
            return
        span = Span(start, max(start, at))
        if bad == (self.bad is True):
            self._agree(span, bad=bad)
            return
        self._run.append(span)
        if len(self._run) >= (self._bad_after if bad else self._good_after):
            run, self._run, self.bad = self._run, [], bad
            if bad:
                self._add(Span(min(one.start for one in run), max(one.end for one in run)))

    def _agree(self, span: Span, *, bad: bool) -> None:
        """Take a call that says what was known: what contradicted it in between was chance."""
        if self.bad is None:
            self.bad = False
        if bad:
            self._add(Span(min([span.start, *(one.start for one in self._run)]), span.end))
        self._run = []

    def bad_spans(self) -> list[Span]:
        """Return when it is known to have been bad."""
        return self._spans

    def doubtful_spans(self) -> list[Span]:
        """Return when it was bad or may yet turn out to have been."""
        open_since = [*self._in_flight.values(), *(span.start for span in self._run)]
        return [*self._spans, Span(min(open_since), math.inf)] if open_since else self._spans

    def _add(self, span: Span) -> None:
        """Add a bad time, joined with those it meets."""
        apart = [other for other in self._spans if not other.meets(span)]
        met = [other for other in self._spans if other.meets(span)]
        joined = Span(min([span.start, *(o.start for o in met)]), max([span.end, *(o.end for o in met)]))
        horizon = joined.end - _KEPT_SECONDS
        self._spans = sorted([*(other for other in apart if other.end >= horizon), joined])


class Uplink:
    """What is known of our uplink.

    Args:
        names: The responders.
        bad_after: See `Responder`.
        good_after: See `Responder`.

    Attributes:
        responders: What is known of each, by name.
    """

    def __init__(self, names: Iterable[str], *, bad_after: int = 1, good_after: int = 1) -> None:
        self.responders = {name: Responder(bad_after, good_after) for name in names}

    def was_bad(self, within: Span) -> bool | None:
        """Return whether every responder was bad at some moment of this time; None if that may still turn out."""
        responders = self.responders.values()
        if not responders:
            return False
        if _common(within, (one.bad_spans() for one in responders)):
            return True
        return None if _common(within, (one.doubtful_spans() for one in responders)) else False


def _common(within: Span, all_spans: Iterable[list[Span]]) -> list[Span]:
    """Return what lists of spans have in common within this time."""
    common = [within]
    for spans in all_spans:
        common = [
            Span(max(one.start, other.start), min(one.end, other.end))
            for one in common
            for other in spans
            if one.meets(other)
        ]
    return common

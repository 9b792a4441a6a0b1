"""Results and states as the diagnosis's tests need them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import pytest

from bridge_monitor.diagnosis import Confirmation, judge
from bridge_monitor.domain import Grade, Outcome, ProbeResult, SiteGrade, SiteState, Target

START = datetime(2024, 6, 27, 7, tzinfo=UTC)

KINDS: dict[str, dict[str, Any]] = {
    "good": {"outcome": Outcome.REACHED, "grade": Grade.GOOD},
    "degraded": {"outcome": Outcome.REACHED, "grade": Grade.DEGRADED, "reason": "loss"},
    "lossy": {"outcome": Outcome.REACHED, "grade": Grade.FAILED, "reason": "loss"},
    "no_media": {"outcome": Outcome.NO_MEDIA, "grade": Grade.FAILED},
    "timeout": {"outcome": Outcome.TIMEOUT, "grade": Grade.FAILED},
    "busy": {"outcome": Outcome.BUSY, "grade": Grade.BUSY},
    "rings": {"outcome": Outcome.NO_ANSWER, "grade": Grade.UNTESTED, "reason": "rings"},
    "options": {"outcome": Outcome.REACHED, "grade": Grade.UNTESTED, "reason": "options_only", "kind": "sip-options"},
    "options_good": {"outcome": Outcome.REACHED, "grade": Grade.GOOD, "kind": "sip-options"},
    "invalid": {"outcome": Outcome.REACHED, "grade": Grade.INVALID, "invalid": ("send_late",)},
    "invalid_rings": {"outcome": Outcome.NO_ANSWER, "grade": Grade.UNTESTED, "invalid": ("loop_lag",)},
    "local_fault": {"outcome": Outcome.LOCAL_FAULT, "grade": Grade.INVALID},
    "cancelled": {"outcome": Outcome.CANCELLED, "grade": Grade.UNTESTED},
    "refused": {"outcome": Outcome.REFUSED, "grade": Grade.UNTESTED, "reason": "guard"},
}


def make_result(kind: str, site: str = "a") -> ProbeResult:
    facts = {"kind": "sip", "reason": None} | KINDS[kind]
    return ProbeResult(
        id=kind,
        target=Target(site, "sip:a@192.0.2.1"),
        profile="room",
        vantage="centre",
        call_id=None,
        started_at=START,
        duration_seconds=1.0,
        **facts,
    )


def after(
    *kinds: str,
    state: SiteState | None = None,
    confirmation: Confirmation | None = None,
) -> SiteState:
    """Return the state after these results, a minute apart; the first at 07:01."""
    begin = state or SiteState("a", SiteGrade.UNTESTED)
    moments = [START + timedelta(minutes=minute) for minute in range(1, len(kinds) + 1)]
    return reduce(
        lambda so_far, step: judge(so_far, make_result(step[0]), confirmation or Confirmation(), step[1]),
        zip(kinds, moments, strict=True),
        begin,
    )


class Kit:
    """What the diagnosis's tests share."""

    START = START
    KINDS = KINDS
    result = staticmethod(make_result)
    after = staticmethod(after)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    """Tools of the diagnosis's tests."""
    return Kit

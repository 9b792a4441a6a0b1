"""One immutable picture of the whole nation, published by reference to everything that shows it.

Owns the shape; `store` keeps the latest facts it is made of, `daemon` publishes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from bridge_monitor.domain.results import ProbeResult
from bridge_monitor.domain.sites import Inventory


class SiteGrade(IntEnum):
    """A site's standing, numbered as ``bridge_site_grade`` exports it."""

    UNTESTED = 0
    GOOD = 1
    DEGRADED = 2
    FAILED = 3
    BUSY = 4
    ATTENDS_ELSEWHERE = 5


class EventPhase(StrEnum):
    """Where the event stands at a moment. ``gap`` is time between windows; ``quiet`` the quiet hours inside one."""

    BEFORE = "before"
    REHEARSAL = "rehearsal"
    QUIET = "quiet"
    GAP = "gap"
    GUARD = "guard"
    CONFERENCE = "conference"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class SiteState:
    """What is known of one site now.

    Attributes:
        site: Its code.
        grade: Its verdict; busy and invalid results leave it as it was, unless it was untested.
        since: When the grade last changed; None while untested.
        confirmed: False while the grade rests on one bad result that is being tried again.
        recent: Grades of its last valid results, newest last, at most `diagnosis.Confirmation.window`.
        last: Its newest result, whatever it was.
        last_valid: Its newest result that was evidence for or against its grade (`diagnosis.judge`): not invalid, busy,
            cancelled or refused, and no ringing that left the grade as it was.
    """

    site: str
    grade: SiteGrade
    since: datetime | None = None
    confirmed: bool = True
    recent: tuple[SiteGrade, ...] = ()
    last: ProbeResult | None = None
    last_valid: ProbeResult | None = None


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """How far the running (or the last) sweep is.

    Attributes:
        number: Counts from 1; 0 before the first.
        started_at: When it began.
        finished_at: When its last site was done; None while it runs.
        total: Sites it covers.
        done: Sites that have a result of this sweep.
    """

    number: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    total: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The nation at one moment."""

    taken_at: datetime
    phase: EventPhase
    inventory: Inventory
    states: Mapping[str, SiteState]
    sweep: SweepProgress = field(default_factory=SweepProgress)
    calls_in_flight: int = 0

"""What goes into a call and what comes out of it.

Owns the shapes that `probes.call`, `probes.runner` and the hand commands share; must not place calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, Protocol

from bridge_monitor.domain import Evidence, Outcome, ProbeResult, Target
from bridge_monitor.domain.values import dataclass
from bridge_monitor.net import clock
from bridge_monitor.net.engine import CapturedPacket, MediaEngine
from bridge_monitor.net.host_drops import HostDrops
from bridge_monitor.net.names import Names
from bridge_monitor.net.sip_udp import SipStack
from bridge_monitor.probes.cards import Cards
from bridge_monitor.probes.judge import grade_of
from bridge_monitor.probes.profile import Profile, Route
from bridge_monitor.probes.story import PHASES
from bridge_monitor.quality import LossCount, Thresholds
from bridge_monitor.rtp.report import StreamReport
from bridge_monitor.sip import NO_CREDENTIALS, Credentials


class Journal(Protocol):
    """Where dialogs are noted before they can outlive this process (`store.DialogJournal`)."""

    def opened(self, record: dict[str, Any]) -> None:
        """Note a call that is being set up."""

    def confirmed(self, record: dict[str, Any]) -> None:
        """Note that it was answered; called before its ACK."""

    def closed(self, call_id: str) -> None:
        """Note that it has ended."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A call's result and what it leaves behind: what the media engine counted of audio and video, captured packets.

    Attributes:
        kept: The evidence, or how to make it.
    """

    result: ProbeResult
    kept: Evidence | Callable[[], Evidence]
    stream: StreamReport | None = None
    packets: tuple[CapturedPacket, ...] = ()
    video: StreamReport | None = None

    @property
    def evidence(self) -> Evidence:
        """The messages and descriptions of the call. Made when asked for: of a good call mostly nobody wants it."""
        return self.kept if isinstance(self.kept, Evidence) else self.kept()


@dataclass(frozen=True, slots=True)
class CallSite:
    """Whom to call and how.

    Attributes:
        target: The site's code and URI.
        profile: What kind of call.
        route: The province's and carrier's overrides.
        thresholds: The limits of the site's tier.
        earlier: Loss of the site's last calls, pooled with this one's.
        credentials: Our accounts for whoever challenges it, by realm.
    """

    target: Target
    profile: Profile
    route: Route
    thresholds: Thresholds
    earlier: tuple[LossCount, ...] = ()
    credentials: Credentials = field(default_factory=lambda: NO_CREDENTIALS)


@dataclass(frozen=True, slots=True)
class Equipment:
    """What calls share in this process."""

    stack: SipStack
    engine: MediaEngine
    journal: Journal
    lag: clock.LoopLagMonitor
    vantage: str = "centre"
    drops: HostDrops | None = None
    cards: Cards = field(default_factory=Cards)
    names: Names = field(default_factory=Names)

    @staticmethod
    def now() -> float:
        """Return the calls' clock: the loop's monotonic seconds."""
        return clock.monotonic_now()


def refused(site: CallSite, reason: str, *, vantage: str) -> Finished:
    """Return the result of a call that was not placed: nothing was sent, and it says nothing of the room."""
    now = clock.posix_now()
    result = ProbeResult(
        id=clock.new_id(now),
        target=site.target,
        kind=site.profile.kind,
        profile=site.profile.name,
        vantage=vantage,
        call_id=None,
        started_at=clock.utc(now),
        duration_seconds=0.0,
        outcome=Outcome.REFUSED,
        reason=reason,
        grade=grade_of(Outcome.REFUSED),
        phases=dict.fromkeys(PHASES),
    )
    return Finished(result, Evidence(result.id, site.target.site, ()))

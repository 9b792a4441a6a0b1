"""Which responders beyond our uplink are called all the time, and how.

Owns this setting and what follows from it; must not read files (`config` does) nor place calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from bridge_monitor.domain import Target
from bridge_monitor.probes.profile import Profile, Route, TlsBook
from bridge_monitor.probes.shapes import CallSite
from bridge_monitor.sip import TlsSettings

LANES: Final = 2
"""Chains of calls to each responder; they overlap, so that no moment lies between two calls."""

USUAL_PROFILE: Final = Profile(name="reference", duration_seconds=5.0, answer_timeout_seconds=4.0)
"""Short, since a bad result waits for its end; long enough that 95 % are sure of a loss of some per cent."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference responders.

    Attributes:
        responders: URI by name; none: no reference.
        profile: How each is called.
        bad_after: So many bad calls in a row make a responder bad.
        good_after: So many good ones make it good again.
        tls: What they must show over TLS, and what we show them.
    """

    responders: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    profile: Profile = USUAL_PROFILE
    bad_after: int = 1
    good_after: int = 1
    tls: TlsSettings = field(default_factory=TlsSettings)

    @property
    def calls_at_once(self) -> int:
        """How many calls are up for it."""
        return LANES * len(self.responders)

    @property
    def bandwidth_bps(self) -> float:
        """What these take, in bit/s each way."""
        return self.calls_at_once * self.profile.bandwidth_bps

    def site_of(self, name: str) -> CallSite:
        """Return how a responder is called."""
        profile = self.profile
        route = TlsBook(self.tls).of("", Route())
        return CallSite(Target(None, self.responders[name]), profile, route, profile.thresholds_for("default"))

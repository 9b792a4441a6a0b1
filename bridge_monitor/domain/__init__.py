"""Facts: sites, event, contacts, results, evidence, snapshot. Level 0: imports nothing of the package but errors."""

from bridge_monitor.domain.contacts import Contact, ContactScope
from bridge_monitor.domain.event import Event, QuietHours, Window
from bridge_monitor.domain.evidence import Evidence, LadderStep
from bridge_monitor.domain.ids import time_ordered_id
from bridge_monitor.domain.results import (
    Advisory,
    Grade,
    Inbound,
    MediaMode,
    MediaResult,
    Outbound,
    Outcome,
    ProbeResult,
    RoundTrip,
    Rtt,
    RttSource,
    SipStatus,
    Target,
    TlsResult,
    TriedHop,
)
from bridge_monitor.domain.secret import Secret
from bridge_monitor.domain.sites import Inventory, Site
from bridge_monitor.domain.snapshot import EventPhase, SiteGrade, SiteState, Snapshot, SweepProgress

__all__ = [
    "Advisory",
    "Contact",
    "ContactScope",
    "Event",
    "EventPhase",
    "Evidence",
    "Grade",
    "Inbound",
    "Inventory",
    "LadderStep",
    "MediaMode",
    "MediaResult",
    "Outbound",
    "Outcome",
    "ProbeResult",
    "QuietHours",
    "RoundTrip",
    "Rtt",
    "RttSource",
    "Secret",
    "SipStatus",
    "Site",
    "SiteGrade",
    "SiteState",
    "Snapshot",
    "SweepProgress",
    "Target",
    "TlsResult",
    "TriedHop",
    "Window",
    "time_ordered_id",
]

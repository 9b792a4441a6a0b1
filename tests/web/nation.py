"""Rooms, results, a nation to show, and a daemon that answers as it is told.

Owns examples only; must not assert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from bridge_monitor.domain import (
    Event,
    EventPhase,
    Evidence,
    Grade,
    Inbound,
    Inventory,
    LadderStep,
    MediaMode,
    MediaResult,
    Outbound,
    Outcome,
    ProbeResult,
    RoundTrip,
    Rtt,
    RttSource,
    SipStatus,
    Site,
    SiteGrade,
    SiteState,
    Snapshot,
    SweepProgress,
    Target,
    TlsResult,
    Window,
)
from bridge_monitor.errors import Problem
from bridge_monitor.web import Aggregates, AppServices, OwnHealth

Client: TypeAlias = TestClient[Request, Application]

TIERS = ("central", "province", "district", "commune")
STARTED = datetime(2024, 6, 27, 7, 30, tzinfo=UTC)
CERTIFICATE = TlsResult("TLSv1.3", "authority", datetime(2030, 1, 1, tzinfo=UTC))
PHASES = {"resolve": 0.001, "connect": 0.002, "trying": 0.01, "ringing": 0.05, "answer": 0.4, "first_rtp": 0.02}


def rtcp_stream(**changes: Any) -> MediaResult:
    """A room that sends a stream of its own and reports ours: 2 of 500 lost inbound, 5 of 480 outbound."""
    stream: dict[str, Any] = {
        "kind": "audio",
        "codec": "PCMU",
        "mode": MediaMode.RTCP,
        "inbound": Inbound(500, 498, 2, 0.004, 0, 1, 0.0015, 0.004),
        "outbound": Outbound(500, 480, 5, 0.0104, 0.0025),
        "round_trip": None,
        "rtt_seconds": Rtt(0.01, 0.0125, 0.02, 0.03, 4, RttSource.RTCP),
        "r_factor": 92.1,
        "mos": 4.4,
    }
    return MediaResult(**(stream | changes))


def echo_stream(**changes: Any) -> MediaResult:
    """A room that echoes: 10 of 500 packets did not come back; no direction can be told."""
    echoed: dict[str, Any] = {
        "mode": MediaMode.ECHO,
        "inbound": Inbound(495, 490, None, None, 0, 0, 0.001, 0.002),
        "outbound": None,
        "round_trip": RoundTrip(500, 490, 10, 0.02),
        "rtt_seconds": Rtt(0.01, 0.0205, 0.03, 0.04, 490, RttSource.ECHO),
    }
    return rtcp_stream(**(echoed | changes))


def result_of(site: str | None = "01001", **changes: Any) -> ProbeResult:
    """A good call, unless changed."""
    facts: dict[str, Any] = {
        "id": "0190-1",
        "target": Target(site, "sip:room@127.1.0.1"),
        "kind": "sip",
        "profile": "standard",
        "vantage": "centre",
        "call_id": "abc@127.0.0.1",
        "started_at": STARTED,
        "duration_seconds": 10.75,
        "outcome": Outcome.REACHED,
        "reason": None,
        "grade": Grade.GOOD,
        "phases": PHASES | {"bye": None},
        "sip": SipStatus(200, "OK"),
        "media": (rtcp_stream(),),
    }
    return ProbeResult(**(facts | changes))


def evidence_of(result: ProbeResult) -> Evidence:
    """The ladder of a call that was declined."""
    steps = (
        _step(0.0, "INVITE sip:room@127.1.0.1 SIP/2.0", sent=True),
        _step(0.5, "INVITE sip:room@127.1.0.1 SIP/2.0", sent=True, retransmission=True),
        _step(0.6, "SIP/2.0 603 Decline", sent=False),
    )
    return Evidence(result.id, result.target.site, steps, offer="v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n")


def _step(at_seconds: float, line: str, *, sent: bool, retransmission: bool = False) -> LadderStep:
    return LadderStep(at_seconds, sent, "127.1.0.1:5060", line, f"{line}\r\n\r\n", retransmission)


def small_inventory(extra: Iterable[Site] = ()) -> Inventory:
    """The centre, one province with a district, a commune called and one that attends at the district."""
    return Inventory(
        [
            Site("00", "Điểm cầu Trung ương", "central"),
            Site("01", 'Hà Nội "A"\\', "province", "00", "VNPT", "sip:room@127.1.0.0", "standard"),
            Site("01001", "Ba Đình", "district", "01", "VNPT", "sip:room@127.1.0.1", "standard"),
            Site("0100101", "Phúc Xá", "commune", "01001", "Viettel", "sip:room@127.1.1.1", "standard"),
            Site("0100102", "Trúc Bạch", "commune", "01001", "VNPT", attends_at="01001"),
            *extra,
        ],
        TIERS,
    )


def national_inventory(communes: int = 10_594) -> Inventory:
    """11,363 rooms: the centre, 63 provinces, 705 districts and the communes, all of them called."""
    sites = [Site("00", "Điểm cầu Trung ương", "central", None, "VNPT", "sip:r@127.0.0.1", "standard")]
    sites += [
        Site(f"{n:02}", f"Tỉnh {n}", "province", "00", "VNPT", f"sip:r@127.1.0.{n}", "standard") for n in range(1, 64)
    ]
    sites += [
        Site(f"{n:03}", f"Huyện {n}", "district", f"{n % 63 + 1:02}", "VNPT", f"sip:r@127.2.0.{n}", "standard")
        for n in range(100, 805)
    ]
    sites += [
        Site(f"{n:05}", f"Xã {n}", "commune", f"{n % 705 + 100:03}", "Viettel", f"sip:r@127.3.0.{n}", "standard")
        for n in range(1, communes + 1)
    ]
    return Inventory(sites, TIERS)


def national_states(inventory: Inventory) -> dict[str, SiteState]:
    """Every room has a result with all figures, each with digits of its own, as real ones have."""
    states = {}
    for number, site in enumerate(inventory):
        jitter = 0.001 + number / 7e6
        stream = rtcp_stream(
            inbound=Inbound(500, 498, 2, 2 / (500 + number), 0, 1, jitter, jitter * 3),
            outbound=Outbound(500, 480, 5, 5 / (480 + number), jitter / 2),
            rtt_seconds=Rtt(0.01, 0.0125 + number / 3e6, 0.02, 0.03, 4, RttSource.RTCP),
            mos=4.4 - number / 7e5,
        )
        phases = {name: seconds + number / 9e7 for name, seconds in PHASES.items()} | {"bye": 0.01 + number / 9e7}
        result = result_of(
            site.code,
            id=f"r{number}",
            started_at=STARTED + timedelta(milliseconds=number * 50),
            duration_seconds=10.75 + number / 7e5,
            phases=phases,
            media=(stream,),
        )
        states[site.code] = SiteState(site.code, SiteGrade.GOOD, STARTED, last=result, last_valid=result)
    return states


def snapshot_of(inventory: Inventory, *states: SiteState, **changes: Any) -> Snapshot:
    """A picture taken in the rehearsal, 3 of 4 sites of the first sweep done."""
    facts: dict[str, Any] = {
        "taken_at": STARTED,
        "phase": EventPhase.REHEARSAL,
        "inventory": inventory,
        "states": {state.site: state for state in states},
        "sweep": SweepProgress(1, STARTED, None, 4, 3),
        "calls_in_flight": 2,
    }
    return Snapshot(**(facts | changes))


def state_of(result: ProbeResult, grade: SiteGrade = SiteGrade.GOOD, **changes: Any) -> SiteState:
    """The state of a site whose newest result is this valid one."""
    facts: dict[str, Any] = {"since": STARTED, "last": result, "last_valid": result}
    return SiteState(str(result.target.site), grade, **(facts | changes))


def an_event() -> Event:
    """The conference of 28 June 2024."""
    zone = ZoneInfo("Asia/Ho_Chi_Minh")
    start = datetime(2024, 6, 28, 8, 30, tzinfo=zone)
    rehearsal = Window(datetime(2024, 6, 27, 14, tzinfo=zone), start - timedelta(hours=1))
    return Event(
        "Hội nghị", zone, None, (rehearsal,), None, timedelta(hours=1), Window(start, start + timedelta(hours=3))
    )


@dataclass
class Daemon:
    """What the daemon does for the web room, with every answer settable; records what it was asked."""

    snapshot: Snapshot
    aggregates: Aggregates = field(default_factory=Aggregates)
    health: OwnHealth = field(default_factory=OwnHealth)
    event: Event | None = field(default_factory=an_event)
    answer: Callable[[str, str], ProbeResult] = lambda code, profile: result_of(code, profile=profile)
    problems: tuple[Problem, ...] = ()
    reload_error: Exception | None = None
    kept: dict[str, Evidence] = field(default_factory=dict)
    left_behind: Evidence | None = None
    is_ready: bool = True
    probed: list[tuple[str, str]] = field(default_factory=list)
    reloads: int = 0
    probes_at_once: int = 4

    async def probe(self, code: str, profile: str) -> tuple[ProbeResult, Evidence | None]:
        self.probed.append((code, profile))
        return self.answer(code, profile), self.left_behind

    async def reload(self) -> tuple[Problem, ...]:
        self.reloads += 1
        if self.reload_error:
            raise self.reload_error
        return self.problems

    def services(self, **changes: Any) -> AppServices:
        facts: dict[str, Any] = {
            "snapshot": lambda: self.snapshot,
            "aggregates": self.aggregates,
            "health": self.health,
            "probe": self.probe,
            "profiles": lambda: ("standard", "options"),
            "reload": self.reload,
            "evidence": self.kept.get,
            "ready": lambda: self.is_ready,
            "event": lambda: self.event,
            "probes_at_once": self.probes_at_once,
        }
        return AppServices(**(facts | changes))

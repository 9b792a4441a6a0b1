"""What the web room is given by the daemon: a few callables, read anew for each request so that a reload shows at once.

Owns the names; must not implement any of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from bridge_monitor.domain import Event, Evidence, ProbeResult, Snapshot
from bridge_monitor.errors import Problem
from bridge_monitor.web.aggregates import Aggregates
from bridge_monitor.web.health import OwnHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class AppServices:
    """The daemon, as far as HTTP reaches it.

    Attributes:
        snapshot: The nation now.
        aggregates: The counters since the start.
        health: The daemon's own figures.
        probe: Calls a site of the inventory by a profile, both by name, keeping windows, caps and one call a site;
            returns the result and what the call left behind, also if it was good; raises `RefusedError` if the call
            must not be placed now.
        profiles: Names of the profiles that calls can be placed with.
        reload: Reads the configuration anew and returns its problems; with any that is no mere warning (or on
            `ConfigError`) the old one stays in use. Sets `OwnHealth.config_last_reload_successful`.
        evidence: What a site's last failure left behind.
        ready: Whether the daemon is up: configuration loaded, engine started, orphaned calls ended.
        event: The event in use, if there is one.
        probes_at_once: How many calls ``/probe`` has up at once at most.
    """

    snapshot: Callable[[], Snapshot]
    aggregates: Aggregates
    health: OwnHealth
    probe: Callable[[str, str], Awaitable[tuple[ProbeResult, Evidence | None]]]
    profiles: Callable[[], Collection[str]]
    reload: Callable[[], Awaitable[tuple[Problem, ...]]]
    evidence: Callable[[str], Evidence | None]
    ready: Callable[[], bool]
    event: Callable[[], Event | None] = lambda: None
    probes_at_once: int = 4


SERVICES: Final = web.AppKey("services", AppServices)

"""How the daemon itself fares, as it exports it.

Owns the figures between two scrapes; whoever measures them writes them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class OwnHealth:
    """The daemon's own figures.

    Attributes:
        event_loop_lag_seconds: How late the event loop last woke; None before it was measured.
        schedule_lag_seconds: How late the most overdue site is; None if nothing is scheduled.
        config_last_reload_successful: Whether the configuration in use is the newest one: False after a reload that
            found problems and kept the old one. Set by whoever reloads, on SIGHUP as by HTTP.
        reference_up: Whether each reference responder is good, by name; those not yet called are left out.
    """

    event_loop_lag_seconds: float | None = None
    schedule_lag_seconds: float | None = None
    config_last_reload_successful: bool = True
    reference_up: Mapping[str, bool] = field(default_factory=dict)

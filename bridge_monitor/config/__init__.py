"""The operator's files, parsed into the rooms' settings: all problems at once, or nothing applied.

Owns the files' form and every message about them; must not place calls nor keep state. Level 7.
"""

from bridge_monitor.config.loading import Configuration, load
from bridge_monitor.config.settings import Listen
from bridge_monitor.config.shift import shift_event
from bridge_monitor.config.spans import callable_spans
from bridge_monitor.config.summary import Summary, summarise

__all__ = ["Configuration", "Listen", "Summary", "callable_spans", "load", "shift_event", "summarise"]

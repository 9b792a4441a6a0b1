"""How the garbage collector behaves in a process that has thousands of calls up.

Owns the settings and the reason for them; must not be used by a library user's process: it is global.
"""

from __future__ import annotations

import gc


def settle_collector() -> None:
    """Keep the collector from stopping the event loop for long; call it once everything is loaded."""
    gc.collect()
    gc.freeze()

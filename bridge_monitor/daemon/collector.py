"""How the garbage collector behaves in a process that has thousands of calls up.

Owns the settings and the reason for them. They are the process's: for commands, never for a library.
"""

from __future__ import annotations

import gc
from typing import Final

BACKSTOP: Final = 2_000_000
"""Objects that may come, beyond those that went, before the collector looks at them by itself: some 300 MB."""

_NEVER: Final = 1_000_000


def settle_collector(backstop: int = BACKSTOP) -> None:
    """Keep the collector from stopping the loop: call it when everything is loaded, and whenever no call is up.

    What is loaded (11,000 sites, modules, settings) is never looked at again, and what the calls leave behind only when
    this is called again: they make no cycles (800 calls left four objects in some), so that counting references frees
    it all. Looking at what 2,000 calls hold takes a quarter of a second of a core's time, and three times as long on a
    core that the media engine needs first: long enough to spoil every call that is up.

    Args:
        backstop: See `BACKSTOP`: should something leak in cycles after all, while no moment is calm.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(backstop, _NEVER, _NEVER)

"""How the garbage collector behaves in a process that has thousands of calls up.

Owns the settings and the reason for them. They are the process's: for commands, never for a library.
"""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 5_000
_MIDDLE: Final = 10
_NEVER: Final = 1_000_000


def settle_collector() -> None:
    """Keep the collector from stopping the loop for long: call it when everything is loaded and no call is up.

    What is loaded (11,000 sites, modules, settings) is never looked at again, and what the calls leave behind only when
    this is called again: a full collection over the nation's results takes 60 to 70 ms, and finds nothing, since
    results hold no cycles. The young generations go on, which cost a millisecond or two: each time thousands of objects
    have come, not the usual 700, which two calls leave behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)

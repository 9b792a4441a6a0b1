"""Scheduling priority of processes that pace media.

Owns the asking; where it is not granted the process runs as it is, and measures its own lateness.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

_REAL_TIME: Final = 1
_NICE: Final = -10


def ask_for_priority() -> None:
    """Run before ordinary processes where we may: a late packet is a wrong measurement.

    The lowest real-time priority, which the kernel limits to 95 % of a processor; else a better nice value; else none.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(_REAL_TIME))
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)

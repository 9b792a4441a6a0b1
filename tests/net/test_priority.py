from __future__ import annotations

import os
import subprocess
import sys

ASK = """
import os, sys
from bridge_monitor.net.priority import ask_for_priority
if sys.argv[1] == "drop":
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
ask_for_priority()
print(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.getpriority(os.PRIO_PROCESS, 0))
"""


def ask(privilege: str) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", ASK, privilege], capture_output=True, text=True, check=True)
    policy, nice = done.stdout.split()
    return int(policy), int(nice)


def test_a_process_that_may_runs_in_real_time_another_as_it_is() -> None:
    """Asking never fails; root gets the lowest real-time priority, or at least a better nice value."""
    policy, nice = ask("keep")
    if os.geteuid() == 0:
        assert policy == os.SCHED_RR or nice < 0
    else:
        assert policy in {os.SCHED_RR, os.SCHED_OTHER}


def test_without_the_right_it_runs_as_it_is() -> None:
    policy, nice = ask("drop" if os.geteuid() == 0 else "keep")
    assert (policy, nice) == (os.SCHED_OTHER, 0) or policy == os.SCHED_RR

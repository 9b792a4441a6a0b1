"""A simulated nation of which a share sends streams of their own: ``talking_nation.py FOLDER FAULTS SHARE``.

Says when every room answers; told to end (SIGTERM), prints why its run shows nothing, as a JSON list: empty if it does.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from bridge_monitor.config import load
from bridge_monitor.net import clock
from bridge_monitor.sim import Nation, NationSettings, load_fault_plan

BEFORE_ALL = 3  # real-time priority, above the media engine's: the nation is not what is tried


def put_before_all() -> None:
    """Run, and let the media process run, before whatever else wants the cores."""
    children = Path("/proc/thread-self/children").read_text("ascii").split()
    for member in (os.getpid(), *map(int, children)):
        os.sched_setscheduler(member, os.SCHED_RR, os.sched_param(BEFORE_ALL))


async def answer() -> None:
    """Answer until SIGTERM."""
    inventory = load(Path(sys.argv[1]), now=clock.utc(clock.posix_now())).inventory
    plan = load_fault_plan(Path(sys.argv[2]), inventory)
    nation = Nation(inventory, plan, NationSettings(own_stream_share=float(sys.argv[3])))
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await nation.start()
    put_before_all()
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    try:
        await told.wait()
    finally:
        await nation.stop()
    print(json.dumps(nation.report().void_reasons))  # noqa: T201 - its result


asyncio.run(answer())

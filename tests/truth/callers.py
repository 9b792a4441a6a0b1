"""Our side, inside a namespace: many streams of one engine at once. ``callers.py JOB_FILE`` prints their reports.

The job has the engine's ``settings`` and the ``plans``. ``begun`` and the engine's process id are printed once all have
begun; in the end one line of JSON: the reports in order of the plans, the engine's counts, and SSRC, number and send
time of each captured packet.
"""

import asyncio
import json
import struct
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bridge_monitor.net.engine import EngineSettings, MediaEngine, StreamPlan


async def call(job: dict[str, Any]) -> None:
    """Run all streams to their ends."""
    settings = EngineSettings().to_dict() | job["settings"]
    async with await MediaEngine.start(EngineSettings.from_dict(settings)) as engine:
        legs = []
        for plain in job["plans"]:
            plan = StreamPlan(**{**plain, "accepted_payload_types": tuple(plain["accepted_payload_types"])})
            legs.append(engine.reserve(plan.remote_host))
            engine.begin(legs[-1], plan)
        print(f"begun {engine.pid}", flush=True)  # noqa: T201 - the test waits for it
        reports = await asyncio.gather(*(engine.finished(leg) for leg in legs))
        sent = [packet for leg in legs for packet in engine.captured(leg) if packet.sent and not packet.rtcp]
        told = {
            "reports": [asdict(report) for report in reports],
            "ports": [leg.rtp_port for leg in legs],
            "stats": asdict(engine.stats()),
            "sent": [(*struct.unpack_from("!2xH4xI", packet.data)[::-1], packet.time_ns) for packet in sent],
        }
        print(json.dumps(told))  # noqa: T201 - its only other output


asyncio.run(call(json.loads(Path(sys.argv[1]).read_text("ascii"))))

"""Our side, inside a namespace: one stream by the real media engine. ``caller.py PLAN_JSON`` prints the report."""

import asyncio
import json
import sys
from dataclasses import asdict

from bridge_monitor.net.engine import EngineSettings, MediaEngine, StreamPlan


async def call() -> None:
    """Run one stream to its end."""
    plain = json.loads(sys.argv[1])
    plan = StreamPlan(**{**plain, "accepted_payload_types": tuple(plain["accepted_payload_types"])})
    async with await MediaEngine.start(EngineSettings(rows=4, port_pairs=2)) as engine:
        leg = engine.reserve(plan.remote_host)
        engine.begin(leg, plan)
        print(json.dumps(asdict(await engine.finished(leg))))  # noqa: T201 - its only output


asyncio.run(call())

"""Our side, inside a namespace: one video stream by the real engine. ``video_caller.py PLAN_JSON CARD_FILE``."""

import asyncio
import json
import pickle
import sys
from dataclasses import asdict
from pathlib import Path

from bridge_monitor.net.engine import EngineSettings, MediaEngine, VideoPlan
from bridge_monitor.net.testcard import Card


async def call(plan: VideoPlan, card: Card) -> None:
    """Run one stream to its end, and print the report."""
    async with await MediaEngine.start(EngineSettings(rows=4, port_pairs=2)) as engine:
        engine.load_card(card)
        leg = engine.reserve(plan.remote_host)
        engine.begin(leg, plan)
        print(json.dumps(asdict(await engine.finished(leg))))  # noqa: T201 - its only output


plain = json.loads(sys.argv[1])
asyncio.run(
    call(
        VideoPlan(**{**plain, "accepted_payload_types": tuple(plain["accepted_payload_types"])}),
        pickle.loads(Path(sys.argv[2]).read_bytes()),  # noqa: S301 - the test wrote it
    )
)

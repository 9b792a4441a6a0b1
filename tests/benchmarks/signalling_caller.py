"""Our calling side without media, a process of its own: what ``bench signalling`` measures.

``signalling_caller.py PORT CALLS RATE DRAIN``: places the calls at 127.0.0.1:PORT at the runner's pace (what falls due
within its shortest nap starts together), waits DRAIN seconds for the last transaction's timers, and prints one JSON
line of what happened and what it cost.

Each call takes the way of `probes.call.SipCall`, in its order, with the objects that the daemon wires: `Signalling`
(name, INVITE with an SDP offer, answer negotiated, ACK, BYE), one `SipStack`, the `Ledger` over a real journal file
(dialog written before its ACK), the messages kept for evidence; their ladder is made only for bad calls, as by the
daemon. Left out: the media engine, and what is not signalling (plan, verdict, store).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import harness

from bridge_monitor.daemon.collector import settle_collector
from bridge_monitor.daemon.ledger import Ledger, open_journals
from bridge_monitor.domain import Target
from bridge_monitor.net import clock
from bridge_monitor.net.engine import MediaEngine
from bridge_monitor.net.sip_udp import SipStack
from bridge_monitor.probes.profile import Profile, Route
from bridge_monitor.probes.runner import SHORTEST_NAP_SECONDS
from bridge_monitor.probes.shapes import CallSite, Equipment
from bridge_monitor.probes.signalling import Signalling
from bridge_monitor.probes.story import Story
from bridge_monitor.quality import Thresholds
from bridge_monitor.sdp import AudioAnswer, audio_offer, negotiate_audio
from bridge_monitor.sip import SipUri


class Tally:
    """What became of the calls."""

    def __init__(self) -> None:
        self.completed = 0
        self.failed = 0
        self.latest = 0.0
        self.seen: list[Signalling] = []

    async def call(self, site: CallSite, equipment: Equipment) -> None:
        """Place one call and end it."""
        story = Story(equipment.now())
        signalling = Signalling(site, equipment, story, None)
        uri = SipUri.parse(site.target.uri)
        await signalling.reach(uri)
        offer = audio_offer(
            host=signalling.host,
            rtp_port=40000,
            rtcp_port=40001,
            codecs=site.profile.codecs,
            session_id=clock.random_bits(31),
        )
        answered = await signalling.invite(uri, lambda _host: offer.to_bytes())
        if answered is None or isinstance(answered, SipUri):
            self.failed += 1
            return
        signalling.acknowledge()
        agreed = isinstance(negotiate_audio(offer, answered.sdp), AudioAnswer)
        await signalling.bye()
        signalling.leave()
        if agreed and story.phases["bye"] is not None:
            self.completed += 1
        else:
            self.failed += 1
        self.seen.append(signalling)


async def place_calls(port: int, calls: int, rate: float, drain: float, state: Path) -> dict[str, Any]:
    """Place the calls at their pace; return the tally with its processor time, first call to last timer."""
    ledger = Ledger(open_journals(state))
    stack = SipStack("127.0.0.1", on_closed=ledger.closed)
    no_media = cast("MediaEngine", None)  # never touched: a call without media reserves no row
    equipment = Equipment(stack, no_media, ledger, clock.LoopLagMonitor())
    site = CallSite(Target("00001", f"sip:service@127.0.0.1:{port}"), Profile("audio"), Route(), Thresholds())
    tally = Tally()
    settle_collector()
    cpu, begun = harness.cpu_seconds(os.getpid()), equipment.now()
    async with asyncio.TaskGroup() as up:
        for number in range(calls):
            due = begun + number / rate
            if due > equipment.now():
                await asyncio.sleep(max(due - equipment.now(), SHORTEST_NAP_SECONDS))
            tally.latest = max(tally.latest, equipment.now() - due)
            up.create_task(tally.call(site, equipment))
    took = equipment.now() - begun
    await asyncio.sleep(drain)
    cpu = harness.cpu_seconds(os.getpid()) - cpu
    left = await stack.drain(0)
    stack.close()
    ledger.close()
    repeated = sum(step.retransmission for signalling in tally.seen for step in signalling.ladder)
    told = {"completed": tally.completed, "failed": tally.failed, "latest": tally.latest, "repeated": repeated}
    return {**told, "left_open": left, "seconds": took, "cpu_seconds": cpu}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        port, calls, rate, drain = sys.argv[1:]
        told = asyncio.run(place_calls(int(port), int(calls), float(rate), float(drain), Path(folder)))
    harness.say(json.dumps(told))

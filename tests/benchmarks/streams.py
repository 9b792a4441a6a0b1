"""Calls of the media engine towards the reflector, an address each; for benchmarks of the engine alone."""

from __future__ import annotations

import random

import harness

from bridge_monitor.net.engine import Leg, MediaEngine, StreamPlan


def begin(engine: MediaEngine, far: harness.Reflector, place: int, seconds: float) -> Leg:
    """Begin a call of so long to the reflector's ``place``-th address."""
    host = f"127.1.{place // 250}.{place % 250 + 1}"
    leg = engine.reserve(host)
    plan = StreamPlan(
        remote_host=host,
        rtp_port=far.port,
        rtcp_port=far.port + 1,
        payload_type=0,
        codec="PCMU",
        accepted_payload_types=(0,),
        ssrc=random.getrandbits(32),
        first_seq=random.getrandbits(16),
        first_timestamp=random.getrandbits(32),
        duration_seconds=seconds,
    )
    engine.begin(leg, plan)
    return leg

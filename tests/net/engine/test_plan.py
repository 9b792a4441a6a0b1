"""`net.engine.plan`: what is asked of the engine survives the way to its process, or is refused before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge_monitor.errors import LocalProtocolError
from bridge_monitor.net.engine.plan import EngineSettings, StreamPlan

FACTS: dict[str, Any] = {
    "remote_host": "192.0.2.1",
    "rtp_port": 4000,
    "rtcp_port": 4001,
    "payload_type": 0,
    "codec": "PCMU",
    "accepted_payload_types": (0,),
    "ssrc": 1,
    "first_seq": 2,
    "first_timestamp": 3,
}


@pytest.mark.parametrize("ports", [None, (20000, 20100)])
def test_settings_survive_json(ports: tuple[int, int] | None) -> None:
    settings = EngineSettings(port_range=ports)
    assert EngineSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_a_plan_counts_its_packets() -> None:
    assert StreamPlan(**FACTS).ordinary_packets == 500
    assert StreamPlan(**FACTS).payload_bytes == 160
    thirty = StreamPlan(**{**FACTS, "ptime_ms": 30, "duration_seconds": 3.0})
    assert (thirty.ordinary_packets, thirty.payload_bytes) == (100, 240)
    assert StreamPlan(**{**FACTS, "duration_seconds": 0.0}).ordinary_packets == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"remote_host": "room.example"}, "no IPv4 address"),
        ({"source_host": "eth0"}, "source_host 'eth0' is no IPv4 address"),
        ({"accepted_payload_types": (0, -1)}, "payload types"),
        ({"dscp": 64}, "dscp 64 is outside 0–63"),
        ({"ptime_ms": 4}, "ptime_ms 4"),
        ({"codec": "G729"}, "none of PCMU, PCMA"),
        ({"rtp_port": 0}, "rtp_port 0 is outside 1–65535"),
        ({"first_seq": 65536}, "first_seq 65536"),
        ({"payload_type": 128}, "payload types"),
        ({"large_payload_bytes": 1441}, "large_payload_bytes 1441"),
    ],
)
def test_a_plan_that_the_engine_can_t_carry_out_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(LocalProtocolError, match=said):
        StreamPlan(**{**FACTS, **change})


def test_rows_per_pair_covers_all_rows() -> None:
    settings = EngineSettings(rows=2000, port_pairs=32)
    assert settings.rows_per_pair * 32 >= 2000 > (settings.rows_per_pair - 1) * 32

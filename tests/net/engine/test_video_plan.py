"""`net.engine.video_plan`: a video plan that the engine can't carry out is refused."""

from __future__ import annotations

from typing import Any

import pytest

from bridge_monitor.errors import LocalProtocolError
from bridge_monitor.net.engine import VideoPlan

FACTS: dict[str, Any] = {
    "remote_host": "192.0.2.1",
    "rtp_port": 4000,
    "rtcp_port": 4001,
    "payload_type": 96,
    "accepted_payload_types": (96, 97),
    "ssrc": 1,
    "first_seq": 2,
    "first_timestamp": 3,
}


def test_a_video_plan_counts_its_frames() -> None:
    assert VideoPlan(**FACTS).frames == 250
    assert VideoPlan(**{**FACTS, "duration_seconds": 0.5, "frames_per_second": 30}).frames == 15
    assert VideoPlan(**{**FACTS, "duration_seconds": 0.0}).frames == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"remote_host": "room.example"}, "no IPv4 address"),
        ({"rtcp_port": 0}, "rtcp_port 0 is outside 1–65535"),
        ({"accepted_payload_types": (128,)}, "payload types"),
        ({"bitrate_bps": 20_000_000}, "bitrate_bps 20000000 is outside 64000–14000000"),
        ({"frames_per_second": 0}, "frames_per_second 0"),
        ({"dscp": 64}, "dscp 64"),
    ],
)
def test_a_video_plan_that_the_engine_can_t_carry_out_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(LocalProtocolError, match=said):
        VideoPlan(**{**FACTS, **change})

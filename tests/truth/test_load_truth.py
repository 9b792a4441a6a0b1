"""Five hundred calls at once from one engine: none of its own packets is lost, and it says so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge_monitor.net.engine import EngineSettings, MediaEngine, StreamPlan

CALLS = 500
HERE = Path(__file__).parent


def _dropped_at(port: int) -> int:
    """Return how many datagrams the kernel dropped at a socket (the last column of /proc/net/udp)."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text("ascii").splitlines()[1:]]
    (drops,) = [int(row[-1]) for row in rows if int(row[1].split(":")[1], 16) == port]
    return drops


@pytest.mark.root
async def test_five_hundred_calls_lose_only_what_the_reflector_s_kernel_dropped(
    free_udp_port: Callable[[str], int],
) -> None:
    """50 packets a second each way and call; own sends are whole, own buffers hold, each echo finds its call."""
    port = free_udp_port("127.0.0.1")
    reflector = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "reflector.py"), str(port), stdout=asyncio.subprocess.PIPE
    )
    assert reflector.stdout is not None
    try:
        assert await reflector.stdout.readline() == b"ready\n"
        async with await MediaEngine.start(EngineSettings(rows=CALLS)) as engine:
            legs = []
            for number in range(CALLS):
                host = f"127.1.{number // 250}.{number % 250 + 1}"
                legs.append(engine.reserve(host))
                facts = {"ssrc": 7919 * number, "first_seq": 65500, "first_timestamp": number, "duration_seconds": 4.0}
                engine.begin(legs[-1], StreamPlan(host, port, port + 1, 0, "PCMU", (0,), **facts))
            reports = await asyncio.gather(*(engine.finished(leg) for leg in legs))
            stats = engine.stats()
        dropped = _dropped_at(port)
    finally:
        reflector.kill()
        await reflector.wait()
    assert stats.rtp_sent == CALLS * 200
    assert (stats.short_sends, stats.socket_overflows, stats.unmatched) == (0, 0, 0)
    echoes = [report.echo for report in reports]
    assert all(echo.sent == 200 for echo in echoes)
    assert sum(echo.lost for echo in echoes) == dropped
    assert sum(echo.duplicates + echo.stray for echo in echoes) == 0
    assert not any(report.unexpected_source for report in reports)

"""A real Prometheus scrapes the exporter: what it stored is what was said."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from bridge_monitor.web import create_app, serve
from tests.web.nation import (
    STARTED,
    Daemon,
    an_event,
    echo_stream,
    national_inventory,
    national_states,
    result_of,
    small_inventory,
    snapshot_of,
    state_of,
)

PATIENCE = 60.0

CONFIG = """
global: {{scrape_interval: {interval}s, scrape_timeout: {interval}s}}
scrape_configs:
  - job_name: bridge_monitor
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    """A Prometheus server of our own, asked by its HTTP API."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{port}/api/v1/query"

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the samples of an instant query; none while the server is not up yet."""
        try:
            async with self._session.get(self._url, params={"query": expression}) as response:
                answer = json.loads(await response.text()) if response.status == 200 else {"data": {"result": []}}
        except aiohttp.ClientConnectionError:
            return []
        return [(entry["metric"], float(entry["value"][1])) for entry in answer["data"]["result"]]

    async def value(self, expression: str) -> float:
        """Return the one value of a query that must have one sample."""
        ((_, value),) = await self.query(expression)
        return value

    async def until_up(self, times: int = 1) -> None:
        """Wait until the target was scraped well so often, and well at last."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if await self.query(f"up == 1 and sum_over_time(up[10m]) >= {times}"):
                return
            await asyncio.sleep(0.1)
        pytest.fail(f"not scraped well after {PATIENCE:.0f} s: up is {await self.query('up')}")


@contextlib.asynccontextmanager
async def prometheus(folder: Path, port: int, target: int, *, interval: int = 1) -> AsyncIterator[Prometheus]:
    """Run a Prometheus on loopback that scrapes the port, with configuration and storage in the folder."""
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(port=target, interval=interval))
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        async with aiohttp.ClientSession() as session:
            yield Prometheus(session, port)
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.peer("promtool")  # Debian's package of promtool is the server's
async def test_prometheus_stores_what_the_exporter_says(tmp_path: Path, free_tcp_port: Callable[[str], int]) -> None:
    inventory = small_inventory()
    echo = result_of("0100101", media=(echo_stream(),))
    daemon = Daemon(snapshot_of(inventory, state_of(result_of()), state_of(echo)))
    for result in (result_of(), echo):
        daemon.aggregates.observe(result, inventory[str(result.target.site)], inventory)
    server = await serve(create_app(daemon.services()), "127.0.0.1", 0)
    try:
        async with prometheus(tmp_path, free_tcp_port("127.0.0.1"), server.port) as stored:
            await stored.until_up()
            assert await stored.value('bridge_probe_success{site="01001"}') == 1
            assert await stored.value("count(bridge_site_grade)") == 5
            assert await stored.value('bridge_site_grade{site="0100102"}') == 5
            last_run = 'bridge_probe_last_run_timestamp_seconds{site="01001"}'
            assert await stored.value(last_run) == STARTED.timestamp()
            loss = "sum by (direction) (bridge_rtp_packets_lost_total) / sum by (direction) (bridge_rtp_packets_total)"
            assert {labels["direction"]: value for labels, value in await stored.query(loss)} == {
                "inbound": 2 / 500,
                "outbound": 5 / 480,
                "round_trip": 10 / 500,
            }
            named = (
                'bridge_rtt_seconds * on (site) group_left (name) bridge_site_info{province_name="Hà Nội \\"A\\"\\\\"}'
            )
            assert {labels["name"] for labels, _ in await stored.query(named)} == {"Ba Đình", "Phúc Xá"}
            assert await stored.value('sum(bridge_probes_total{outcome="reached"})') == 2
            median = "histogram_quantile(0.5, sum by (le) (bridge_probes_rtt_seconds_bucket))"
            assert 0.01 < await stored.value(median) <= 0.02
            start = an_event().conference.start.timestamp()
            assert await stored.value("bridge_event_conference_start_timestamp_seconds") == start
            assert await stored.query('bridge_event_phase{phase="rehearsal"} == 1')
    finally:
        await server.stop()


@pytest.mark.full  # the first scrape makes a quarter of a million series: half a minute
@pytest.mark.peer("promtool")
async def test_prometheus_scrapes_the_whole_nation_in_time(tmp_path: Path, free_tcp_port: Callable[[str], int]) -> None:
    """11,363 rooms with every figure, compressed, within the scrape timeout that Prometheus has by default."""
    inventory = national_inventory()
    daemon = Daemon(snapshot_of(inventory, *national_states(inventory).values()))
    server = await serve(create_app(daemon.services()), "127.0.0.1", 0)
    try:
        async with prometheus(tmp_path, free_tcp_port("127.0.0.1"), server.port, interval=10) as stored:
            await stored.until_up()
            first = await stored.value("scrape_duration_seconds")
            await stored.until_up(times=2)
            later = await stored.value("scrape_duration_seconds")
            assert await stored.value("count(bridge_probe_success == 1)") == len(inventory)
            assert await stored.value("scrape_samples_scraped") > 18 * len(inventory)
            print(f"\nscrape by Prometheus: first {first:.2f} s, later {later:.2f} s")  # noqa: T201 - shown with pytest -s
    finally:
        await server.stop()

"""What the daemon's tests share: a small country, its rooms answering in this process, and a call centre."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bridge_monitor import config
from bridge_monitor.config import Configuration
from bridge_monitor.daemon.centre import CallCentre, CentreSettings, open_centre
from bridge_monitor.net import clock
from bridge_monitor.sim import Fault, FaultPlan, Nation
from tests.system.conftest import _media_at_full_pace, network
from tests.system.rigs import Country

__all__ = ["_media_at_full_pace", "network"]

StartNation = Callable[..., Awaitable[Nation]]


@pytest.fixture
def country(tmp_path: Path, network: str) -> Country:
    """Return a province with four communes, called for a second each."""
    return Country(tmp_path / "country", network, provinces=1, communes=4, profiles={"short": {"duration": "1 s"}})


@pytest.fixture
def load(country: Country) -> Callable[[], Configuration]:
    """Return what reads the country's files as they are now."""
    country.write()
    return lambda: config.load(country.folder, now=clock.utc(clock.posix_now()))


@pytest.fixture
def configuration(load: Callable[[], Configuration]) -> Configuration:
    """Return the country's configuration."""
    return load()


@pytest.fixture
async def start_nation(configuration: Configuration) -> AsyncIterator[StartNation]:
    """Return ``start_nation(*faults)``: the country's rooms, answering."""
    started: list[Nation] = []

    async def start(*faults: Fault) -> Nation:
        started.append(Nation(configuration.inventory, FaultPlan(faults, seed=1)))
        await started[-1].start()
        return started[-1]

    yield start
    for nation in started:
        await nation.stop()


@pytest.fixture
async def centre(country: Country) -> AsyncIterator[CallCentre]:
    """Return a call centre with a state directory of its own."""
    async with open_centre(
        CentreSettings(state_dir=country.state_dir, sip_host="127.0.0.1", calls_at_once=16)
    ) as opened:
        yield opened

"""A daemon over the small inventory, and an HTTP client of its application."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bridge_monitor.web import create_app
from tests.web.nation import Client, Daemon, small_inventory, snapshot_of


@pytest.fixture
def daemon() -> Daemon:
    """A daemon that watches the small inventory; its answers may be set until the first request and after."""
    return Daemon(snapshot_of(small_inventory()))


@pytest.fixture
async def client(daemon: Daemon) -> AsyncIterator[Client]:
    """A client that speaks real HTTP to the daemon's application."""
    async with TestClient(TestServer(create_app(daemon.services()))) as opened:
        yield opened

"""Listening, the real port, and an address that can't be used."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest

from bridge_monitor.errors import ConfigError
from bridge_monitor.web import create_app, serve
from tests.web.nation import Daemon


class TestServe:
    @pytest.mark.parametrize(("host", "prefix"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
    async def test_it_listens_on_the_port_it_names_until_it_is_stopped(
        self, daemon: Daemon, host: str, prefix: str
    ) -> None:
        server = await serve(create_app(daemon.services()), host, 0)
        try:
            assert server.port > 0
            assert server.url == f"{prefix}{server.port}"
            async with aiohttp.ClientSession() as session, session.get(f"{server.url}/-/healthy") as response:
                assert response.status == 200
        finally:
            await server.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, server.port)

    async def test_a_port_in_use_is_a_problem_of_the_configuration_with_its_place(self, daemon: Daemon) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ConfigError) as refused:
                await serve(create_app(daemon.services()), "127.0.0.1", port, file="bridge_monitor.yaml", line=7)
        (problem,) = refused.value.problems
        assert str(problem) == (
            f"bridge_monitor.yaml:7: can't listen for HTTP on 127.0.0.1:{port}: Address already in use; "
            "stop what already listens there, or name another address and port of this machine"
        )

    @pytest.mark.parametrize(
        ("host", "port", "told"),
        [
            ("192.0.2.1", 0, "Cannot assign requested address"),
            ("127.0.0.1", 70000, "port must be 0-65535"),
            ("no such host", 0, "Name or service not known"),
        ],
    )
    async def test_an_address_that_is_not_ours_is_told_with_its_reason(
        self, daemon: Daemon, host: str, port: int, told: str
    ) -> None:
        with pytest.raises(ConfigError, match=told):
            await serve(create_app(daemon.services()), host, port)

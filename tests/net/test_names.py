from __future__ import annotations

import asyncio
import socket

import pytest

from bridge_monitor.net.names import NameNotFoundError, resolve


async def test_a_literal_is_its_own_address() -> None:
    assert await resolve("127.0.0.7", 5070) == ("127.0.0.7", 5070)


async def test_localhost_is_found_by_the_system() -> None:
    assert await resolve("localhost", 5060) == ("127.0.0.1", 5060)


async def test_a_name_that_does_not_exist_is_said_so() -> None:
    with pytest.raises(NameNotFoundError) as caught:
        await resolve("no-such-room.invalid", 5060)
    assert caught.value.reason == "no_such_name"


@pytest.mark.parametrize("host", ["::1", "[2001:db8::1]"])
async def test_ipv6_is_named_as_not_supported_yet(host: str) -> None:
    with pytest.raises(NameNotFoundError) as caught:
        await resolve(host, 5060)
    assert caught.value.reason == "ipv6_not_supported"


async def test_a_label_too_long_is_no_name() -> None:
    with pytest.raises(NameNotFoundError) as caught:
        await resolve("x" * 80 + ".example", 5060)
    assert caught.value.reason == "no_such_name"


async def test_a_silent_resolver_costs_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object, **__: object) -> list[object]:
        await asyncio.sleep(3600)
        raise socket.gaierror

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", silent)
    with pytest.raises(NameNotFoundError) as caught:
        await resolve("room.example", 5060, timeout=0.01)
    assert caught.value.reason == "resolver_timeout"

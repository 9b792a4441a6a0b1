"""The responder on real sockets, called by a caller written by hand, by sipp and by baresip."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.responder import Responder, ResponderSettings
from tests.interop.conftest import new_process, start_baresip
from tests.interop.rigs import SoftClient
from tests.sim.rigs import Caller, NewCaller
from tests.sim.test_peer_sipp import MEDIA_SCENARIO, call_with_sipp

__all__ = ["new_process", "start_baresip"]

Start = Callable[..., Awaitable[Responder]]


@pytest.fixture
async def start(network: str, free_udp_port: Callable[[str], int]) -> AsyncIterator[Start]:
    """Return ``start(**settings)``: a responder that listens."""
    started: list[Responder] = []

    async def begin(**settings: Any) -> Responder:
        address = f"{network}.0.7"
        responder = Responder(ResponderSettings(**{"host": address, "port": free_udp_port(address), **settings}))
        await responder.start()
        started.append(responder)
        return responder

    yield begin
    for responder in started:
        await responder.stop()


def address_of(responder: Responder) -> tuple[str, int]:
    return responder.settings.host, responder.settings.port


class TestEcho:
    async def test_what_is_sent_comes_back_as_it_was(self, start: Start, caller: Caller) -> None:
        responder = await start()
        assert await caller.call(address_of(responder)) == 200
        caller.stream(50)
        heard = await caller.hear(50)
        assert sorted(packet.sequence_number for packet in heard) == list(range(50))
        assert caller.sources == {caller.remote_rtp}
        assert await caller.hang_up(address_of(responder)) == 200
        status = responder.status()
        assert (status.calls_up, status.tally.answered, status.tally.ended) == (0, 1, {"caller": 1})
        assert (status.packets, status.strays, status.dropped, status.unsent) == (50, 0, 0, 0)
        assert status.late_seconds is not None

    async def test_only_the_caller_is_answered_and_nobody_before_he_spoke(
        self, start: Start, new_caller: NewCaller
    ) -> None:
        """No RTP and no RTCP goes to an address that a description names, until something came from there."""
        responder = await start()
        caller, stranger = new_caller(), new_caller()
        offered = caller.offer()
        # The description names another host's ports than the caller's: as if to flood it.
        victim = f"{address_of(responder)[0].rsplit('.', 1)[0]}.99"
        caller.offer = lambda: offered.replace("127.0.0.1", victim)  # type: ignore[method-assign]
        assert await caller.call(address_of(responder)) == 200
        stranger.remote_rtp = caller.remote_rtp
        await asyncio.sleep(0.05)
        assert caller.heard() == stranger.heard() == []
        caller.stream(5)  # from the address that the INVITE came from: a translator stands between, so back there
        assert len(await caller.hear(5)) == 5
        assert responder.status().strays == 0

    async def test_the_echo_is_reported_on(self, start: Start, caller: Caller) -> None:
        responder = await start()
        assert await caller.call(address_of(responder)) == 200
        with pytest.raises(TimeoutError):
            await caller.reported(within=0.3)
        caller.stream(20)
        await caller.hear(20)
        report = await caller.reported(within=8.0)
        assert report[1] == 201  # a receiver report (RFC 3550 §6.4.2)

    async def test_an_address_in_use_is_a_local_fault_and_leaves_nothing_behind(self, start: Start) -> None:
        first = await start()
        with pytest.raises(LocalFaultError, match=r"Address already in use"):
            await start(port=first.settings.port)

    async def test_callers_are_told_of_the_end(self, start: Start, caller: Caller) -> None:
        responder = await start()
        assert await caller.call(address_of(responder)) == 200
        stopping = asyncio.ensure_future(responder.stop())
        text, _ = await caller.receive()
        assert text.startswith("BYE sip:test@")
        await stopping
        assert not responder.alive


@pytest.mark.peer("sipp")
class TestSipp:
    async def test_a_hundred_calls_of_its_own_scenario_succeed(self, start: Start, tmp_path: Path) -> None:
        responder = await start(calls=40, unproven_per_host=40)
        options = ("-sn", "uac", "-m", "100", "-r", "50", "-d", "200")
        code, output = await call_with_sipp(address_of(responder), *options, folder=tmp_path)
        assert code == 0, output
        status = responder.status()
        assert (status.tally.answered, status.tally.ended, status.calls_up) == (100, {"caller": 100}, 0)

    async def test_its_rtp_is_counted_and_sent_back(self, start: Start, tmp_path: Path) -> None:
        audio = tmp_path / "silence.ul"
        audio.write_bytes(b"\xff" * 8000)  # 1 s of PCMU
        scenario = tmp_path / "media.xml"
        scenario.write_text(MEDIA_SCENARIO.replace("AUDIO", str(audio)), encoding="utf-8")
        responder = await start()
        options = ("-sf", str(scenario), "-m", "3", "-r", "3")
        code, output = await call_with_sipp(address_of(responder), *options, folder=tmp_path)
        assert code == 0, output
        status = responder.status()
        assert 3 * 48 <= status.packets <= 3 * 52  # a second in 50 packets, give or take where it starts and stops
        assert (status.strays, status.unsent) == (0, 0)


@pytest.mark.peer("baresip")
class TestBaresip:
    @pytest.fixture
    def host(self) -> str:
        """Return where baresip is: its RTP leaves from the kernel's choice, which on loopback is this."""
        return "127.0.0.1"

    async def test_it_calls_hears_itself_and_hangs_up(
        self, start: Start, start_baresip: Callable[..., Awaitable[SoftClient]]
    ) -> None:
        responder = await start()
        uri = "sip:echo@{}:{}".format(*address_of(responder))
        client = await start_baresip("-e", f"/dial {uri}", "-t", "6")
        await client.process.until(lambda: responder.status().packets >= 50, "be heard")
        await client.process.ended()
        log = client.process.logs()
        assert "Call established" in log
        received = re.search(r"^packets: +(\d+) +(\d+)", log, re.MULTILINE)
        assert received, log
        assert int(received[2]) > 50
        assert responder.status().tally.ended == {"caller": 1}

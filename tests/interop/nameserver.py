"""A real DNS server (NSD) with zones that a test makes, and a way to it that counts and loses questions.

Owns its start and its files; it is ended by its process id.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.interop.rigs import PeerProcess, is_bound

Address = tuple[str, int]

_CONFIGURATION: Final = """
server:
  ip-address: {host}@{port}
  username: ""
  server-count: 1
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
remote-control:
  control-enable: no
"""
_ZONE: Final = """
$ORIGIN {name}.
$TTL {ttl}
@ SOA ns hostmaster 1 3600 600 86400 {negative_ttl}
@ NS ns
ns A {host}
"""


@contextlib.asynccontextmanager
async def nameserver(
    folder: Path, address: Address, zones: Mapping[str, str | None], *, ttl: int = 300, negative_ttl: int = 60
) -> AsyncIterator[Address]:
    """Run NSD with these zones, and yield where it listens.

    Args:
        folder: Its files.
        address: Where it listens.
        zones: Records by zone, beside SOA and NS; None: the server should have the zone and doesn't (SERVFAIL).
        ttl: Seconds that a record lives.
        negative_ttl: Seconds that an absence lives.
    """
    host, port = address
    process = PeerProcess(["nsd", "-d", "-c", "nsd.conf"], folder)
    text = _CONFIGURATION.format(host=host, port=port, folder=folder)
    for name, records in zones.items():
        text += f'zone:\n  name: {name}\n  zonefile: "{name}.zone"\n'
        if records is not None:
            head = _ZONE.format(name=name, host=host, ttl=ttl, negative_ttl=negative_ttl)
            (folder / f"{name}.zone").write_text(head + records, "utf-8")
    (folder / "nsd.conf").write_text(text, "utf-8")
    try:
        await process.started(lambda: is_bound(host, port))
        yield address
    finally:
        process.stop()
        print(process.logs())  # noqa: T201 - pytest shows it if the test failed


class Relay(asyncio.DatagramProtocol):
    """A way to a DNS server.

    Attributes:
        address: Where it takes questions.
        questions: Those that came, as bytes.
        lost: How many of the first it swallows.
        delay: Seconds that it holds each question back.
    """

    def __init__(self, server: Address) -> None:
        self.server = server
        self.address: Address = ("", 0)
        self.questions: list[bytes] = []
        self.lost = 0
        self.delay = 0.0
        self._here: Any = None
        self._there: list[asyncio.DatagramTransport] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, server: Address) -> AsyncIterator[Relay]:
        """Open a way, and close it at the end."""
        relay = cls(server)
        loop = asyncio.get_running_loop()
        relay._here, _ = await loop.create_datagram_endpoint(lambda: relay, local_addr=(server[0], 0))
        relay.address = relay._here.get_extra_info("sockname")
        try:
            yield relay
        finally:
            for transport in (relay._here, *relay._there):
                transport.close()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.questions.append(data)
        if len(self.questions) > self.lost:
            asyncio.get_running_loop().call_later(self.delay, self._pass_on, data, addr)

    def _pass_on(self, data: bytes, asker: Address) -> None:
        # One question, one socket: the answer finds its way back by it.
        asyncio.get_running_loop().create_task(self._exchange(data, asker), name="relay")

    async def _exchange(self, data: bytes, asker: Address) -> None:
        here = self._here

        class Back(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, _addr: Address) -> None:
                here.sendto(data, asker)

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Back, remote_addr=self.server)
        self._there.append(transport)
        transport.sendto(data)

"""``/metrics`` over HTTP: slices written as they are made, compressed for a client on another host that takes that.

Owns the transfer; the text is the exporter's. A scrape of the whole nation is tens of megabytes, and calls are up
meanwhile: the event loop is given back every few milliseconds, and there are never many transfers at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from aiohttp import web

from bridge_monitor.web.exporter import Exporter
from bridge_monitor.web.freshener import Freshener
from bridge_monitor.web.language import say
from bridge_monitor.web.services import SERVICES
from bridge_monitor.web.text import CONTENT_TYPE

LONGEST_SECONDS: Final = 60.0
"""A client that doesn't read holds the text of its moment; Prometheus itself gives up after ten seconds by default."""

TURN_SECONDS: Final = 0.003
"""Processor time after which the loop is given back: on a core that is nearly full, some ten milliseconds on the clock.
Giving it back more often makes a scrape wait for more of the calls' own work."""

AT_ONCE: Final = 4
"""Transfers at once: each may hold the text of a moment of its own, 22 MB for a nation."""

_GZIP_BYTES: Final = 1 << 16
"""Text packed at a time: about half a millisecond."""


class Metrics:
    """Handles ``/metrics``."""

    def __init__(self) -> None:
        self._exporter = Exporter()
        self._freshener: Freshener | None = None
        self._up = 0

    async def background(self, app: web.Application) -> AsyncIterator[None]:
        """Render ahead of scrapes while the application runs (a cleanup context)."""
        self._freshener = Freshener(self._exporter, app[SERVICES])
        task = asyncio.create_task(self._freshener.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Write the exposition of one moment, in slices."""
        if self._up >= AT_ONCE:
            raise web.HTTPServiceUnavailable(text=say(request, "too_many_scrapes", limit=AT_ONCE) + "\n")
        self._up += 1
        try:
            return await self._write(request)
        finally:
            self._up -= 1
            if self._freshener:
                self._freshener.scraped()  # only now: the first scrape renders everything itself

    async def _write(self, request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        slices = self._exporter.slices(
            services.snapshot(), services.aggregates.view(), services.health, services.event()
        )
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE, "Vary": "Accept-Encoding"})
        # Level 1: six times smaller for a seventh of a second; level 9 costs eight times as much for little more. On
        # one host even that is several times the whole scrape, taken from the calls, and spares no line anything.
        packed = accepts_gzip(request) and not _comes_from_here(request)
        if packed:
            response.headers["Content-Encoding"] = "gzip"
        await response.prepare(request)
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                begun = time.thread_time()
                for data in _gzip(slices) if packed else slices:
                    if data:
                        await response.write(data)
                    if time.thread_time() - begun >= TURN_SECONDS:
                        await asyncio.sleep(0)
                        begun = time.thread_time()
                await response.write_eof()
        except ConnectionError:
            # The client gave up, as Prometheus does at its timeout: it knows, and counts the scrape as failed.
            return response
        except TimeoutError:
            if request.transport:
                request.transport.abort()
        return response


def _gzip(slices: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for text in slices:
        yield b""
        for start in range(0, len(text), _GZIP_BYTES):
            yield packer.compress(text[start : start + _GZIP_BYTES])
    yield packer.flush()


def is_of_this_host(ours: str, theirs: str) -> bool:
    """Return whether a client runs on this very host, by the two addresses of its connection."""
    address = ipaddress.ip_address(theirs.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return ours == theirs or (mapped or address).is_loopback


def _comes_from_here(request: web.Request) -> bool:
    ours, theirs = (request.get_extra_info(end) for end in ("sockname", "peername"))
    return bool(ours and theirs) and is_of_this_host(ours[0], theirs[0])


def accepts_gzip(request: web.Request) -> bool:
    """Return whether Accept-Encoding names gzip with a weight above 0 (RFC 9110 §12.5.3)."""
    for entry in ",".join(request.headers.getall("Accept-Encoding", [])).split(","):
        coding, _, weight = entry.replace(" ", "").lower().partition(";q=")
        if coding == "gzip":
            return not _is_zero(weight)
    return False


def _is_zero(weight: str) -> bool:
    return weight.strip("0") in ("", ".") and weight != ""

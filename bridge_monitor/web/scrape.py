"""``/metrics`` over HTTP: the text of one moment, brought up to date on the event loop and written from a thread.

Owns the answer; the text is the exporter's, the writing `transfer`'s. A scrape of the whole nation is tens of
megabytes, and calls are up meanwhile: the event loop is given back every few milliseconds, and there are never many
transfers at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from aiohttp import web

from bridge_monitor.web.exporter import Exporter
from bridge_monitor.web.freshener import Freshener
from bridge_monitor.web.language import say
from bridge_monitor.web.services import SERVICES
from bridge_monitor.web.text import CONTENT_TYPE
from bridge_monitor.web.transfer import Transfer

LONGEST_SECONDS: Final = 60.0
"""A client that doesn't read holds the text of its moment; Prometheus itself gives up after ten seconds by default."""

TURN_SECONDS: Final = 0.003
"""Processor time after which the loop is given back: on a core that is nearly full, some ten milliseconds on the clock.
Giving it back more often makes a scrape wait for more of the calls' own work."""

AT_ONCE: Final = 4
"""Transfers at once: each has a thread, and may hold the text of a moment of its own, 22 MB for a nation."""

_EMPTY_SECONDS: Final = 0.005
"""Between two looks whether a connection's head has left; it mostly has at the first."""

_Done = TypeVar("_Done")


class Metrics:
    """Handles ``/metrics``."""

    def __init__(self) -> None:
        self._exporter = Exporter()
        self._freshener: Freshener | None = None
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="metrics")
        self._up = 0

    async def background(self, app: web.Application) -> AsyncIterator[None]:
        """Render ahead of scrapes while the application runs (a cleanup context)."""
        self._freshener = Freshener(self._exporter, app[SERVICES])
        task = asyncio.create_task(self._freshener.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self._threads.shutdown(wait=False)  # transfers were stopped with their requests

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Write the exposition of one moment."""
        if self._up >= AT_ONCE:
            raise web.HTTPServiceUnavailable(text=say(request, "too_many_scrapes", limit=AT_ONCE) + "\n")
        self._up += 1
        try:
            return await self._answer(request)
        finally:
            self._up -= 1
            if self._freshener:
                self._freshener.scraped()  # only now: the first scrape renders everything itself

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        parts = await self._text(request)
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE, "Vary": "Accept-Encoding"})
        transfer = Transfer()
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                # On one host compressing costs more than the whole scrape, taken from the calls, and spares no line
                # anything.
                if accepts_gzip(request) and not _comes_from_here(request):
                    parts = await self._in_thread(transfer.pack, parts)
                    response.headers["Content-Encoding"] = "gzip"
                response.content_length = sum(map(len, parts))
                await response.prepare(request)
                if connection := await _duplicate(request):
                    await self._in_thread(transfer.send, connection, parts)
        except OSError:
            # The client gave up, as Prometheus does at its timeout, or has not read in time. It knows by the length,
            # and counts the scrape as failed.
            if request.transport:
                request.transport.abort()
        finally:
            transfer.stop()
        return response

    async def _in_thread(self, work: Callable[..., _Done], *arguments: Any) -> _Done:
        # Shielded, or work that still waits for a thread would never be done, nor close what it was given.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments))

    async def _text(self, request: web.Request) -> list[bytes]:
        """Return the exposition of this moment, all of it brought up to date."""
        services = request.app[SERVICES]
        begun = time.thread_time()
        parts = []
        for part in self._exporter.slices(
            services.snapshot(), services.aggregates.view(), services.health, services.event()
        ):
            if part:
                parts.append(part)
            elif time.thread_time() - begun >= TURN_SECONDS:
                await asyncio.sleep(0)
                begun = time.thread_time()
        return parts


async def _duplicate(request: web.Request) -> socket.socket | None:
    """Return the request's connection once the head of the answer has left, to write to; None if it is gone."""
    while (transport := request.transport) is not None and not transport.is_closing():
        if not transport.get_write_buffer_size():
            return socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        await asyncio.sleep(_EMPTY_SECONDS)
    return None


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

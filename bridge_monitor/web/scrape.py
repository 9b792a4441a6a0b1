"""``/metrics`` over HTTP: slices written as they are made, compressed if the client takes that.

Owns the transfer; the text is the exporter's. Between two slices the event loop is given back: a scrape of the whole
nation is tens of megabytes, and calls are up meanwhile.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from aiohttp import web

from bridge_monitor.web.services import EXPORTER, SERVICES
from bridge_monitor.web.text import CONTENT_TYPE

LONGEST_SECONDS: Final = 60.0
"""A client that doesn't read holds a snapshot; Prometheus itself gives up after ten seconds by default."""

_GZIP_CONTAINER: Final = 16 + zlib.MAX_WBITS


async def handle_metrics(request: web.Request) -> web.StreamResponse:
    """Write the exposition of one moment, in slices."""
    services = request.app[SERVICES]
    slices = request.app[EXPORTER].slices(
        services.snapshot(), services.aggregates.view(), services.health, services.event()
    )
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE, "Vary": "Accept-Encoding"})
    # Level 1: six times smaller for a seventh of a second; level 9 costs eight times as much for little more.
    gzip = zlib.compressobj(1, zlib.DEFLATED, _GZIP_CONTAINER) if accepts_gzip(request) else None
    if gzip:
        response.headers["Content-Encoding"] = "gzip"
    await response.prepare(request)
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            for text in slices:
                data = gzip.compress(text.encode()) if gzip else text.encode()
                if data:
                    await response.write(data)
                await asyncio.sleep(0)
            await response.write_eof(gzip.flush() if gzip else b"")
    except ConnectionResetError:
        # The client gave up, as Prometheus does at its timeout: it knows, and counts the scrape as failed.
        return response
    except TimeoutError:
        if request.transport:
            request.transport.abort()
    return response


def accepts_gzip(request: web.Request) -> bool:
    """Return whether Accept-Encoding names gzip with a weight above 0 (RFC 9110 §12.5.3)."""
    for entry in ",".join(request.headers.getall("Accept-Encoding", [])).split(","):
        coding, _, weight = entry.replace(" ", "").lower().partition(";q=")
        if coding == "gzip":
            return not _is_zero(weight)
    return False


def _is_zero(weight: str) -> bool:
    return weight.strip("0") in ("", ".") and weight != ""

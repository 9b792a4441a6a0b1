"""Listening for HTTP.

Owns the listening socket and its end; must not know what is served.
"""

from __future__ import annotations

import os
from typing import Final

from aiohttp import web

from bridge_monitor.errors import ConfigError, Problem

_STOP_SECONDS: Final = 2.0
"""How long requests under way may take to end once the server is stopped."""


class Server:
    """A listening server.

    Attributes:
        host: The address it listens on.
        port: The real port, also where 0 was asked for.
    """

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        self._runner = runner
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """Its address as a URL, without a path."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    async def stop(self) -> None:
        """Close the socket, let requests under way end for two seconds, then cut them."""
        await self._runner.cleanup()


async def serve(app: web.Application, host: str, port: int, *, file: str = "listen address", line: int = 0) -> Server:
    """Listen on an address and serve the application there.

    Args:
        app: The application.
        host: Address or name to bind to.
        port: Port; 0 lets the kernel choose.
        file: Where the operator set the address, for the message if it can't be used.
        line: The line in that file.

    Raises:
        ConfigError: The address can't be bound.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError) as error:
        await runner.cleanup()
        # asyncio words the error itself; the reason alone is what the operator needs.
        reason = (
            os.strerror(error.errno) if isinstance(error, OSError) and error.errno and error.errno > 0 else str(error)
        )
        what = f"can't listen for HTTP on {host}:{port}: {reason}"
        mend = "stop what already listens there, or name another address and port of this machine"
        raise ConfigError((Problem(file, line, what, mend),)) from error
    bound = runner.addresses[0]
    return Server(runner, bound[0], bound[1])

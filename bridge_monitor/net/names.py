"""From a host name to an IPv4 address, in bounded time.

Owns A look-ups by the system's resolver. NAPTR and SRV (RFC 3263), IPv6 and fail-over come with a later issue.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Final

from bridge_monitor.errors import BridgeMonitorError

RESOLVE_TIMEOUT_SECONDS: Final = 5.0


class NameNotFoundError(BridgeMonitorError):
    """A host name led to no address.

    Attributes:
        reason: ``no_such_name``, ``resolver_timeout`` or ``ipv6_not_supported``.
    """

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"{host}: {reason}")
        self.reason = reason


def _is_ipv4(host: str) -> bool:
    """Return whether the host is an IPv4 address in dotted decimal form."""
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        return False
    return True


async def resolve(host: str, port: int, *, timeout: float = RESOLVE_TIMEOUT_SECONDS) -> tuple[str, int]:  # noqa: ASYNC109 - the bound is the point
    """Return the address to send to.

    Args:
        host: IPv4 literal or host name.
        port: Port, handed through.
        timeout: Seconds after which a silent resolver is given up.

    Raises:
        NameNotFoundError: No such name, a silent resolver, or an IPv6 literal.
    """
    if _is_ipv4(host):
        return host, port
    try:
        literal = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    else:
        if literal.version == 6:
            raise NameNotFoundError(host, "ipv6_not_supported")
        return str(literal), port
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
    except TimeoutError:
        raise NameNotFoundError(host, "resolver_timeout") from None
    except (socket.gaierror, UnicodeError):
        raise NameNotFoundError(host, "no_such_name") from None
    return str(found[0][4][0]), port

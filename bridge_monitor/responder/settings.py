"""What the responder is asked to be: where it listens and how much it takes on.

Owns the bounds and their defaults; must not read files or arguments (`cli` does).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Final

_LISTEN: Final = re.compile(r"([0-9.]{7,15})(?::([0-9]{1,5}))?", re.ASCII)
_PORTS: Final = re.compile(r"([0-9]{4,5})-([0-9]{4,5})", re.ASCII)
SIP_PORT: Final = 5060


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponderSettings:
    """How the responder works.

    Attributes:
        host: IPv4 address of this machine that it listens on.
        port: Its SIP port.
        advertise: The address callers reach it by, where a translator stands before it; empty: ``host``.
        media_ports: First and last UDP port for media: two a call, and one more; None takes any free ones.
        calls: Calls at once; the next finds it busy.
        allow: Networks that may call; others get no answer at all. Empty: everybody.
        idle_seconds: A call whose packets have stayed away so long is ended.
        longest_seconds: The longest a call may last.
        unproven_per_host: Calls of one address that were answered and not yet acknowledged; more get no answer, since
            an address that acknowledges nothing may be a forged one.

    Raises:
        ValueError: A value is out of its bounds; the text says which.
    """

    host: str
    port: int = SIP_PORT
    advertise: str = ""
    media_ports: tuple[int, int] | None = None
    calls: int = 20
    allow: tuple[IPv4Network, ...] = ()
    idle_seconds: float = 15.0
    longest_seconds: float = 7200.0
    unproven_per_host: int = 8

    def __post_init__(self) -> None:
        for name, count in (("calls", self.calls), ("unproven_per_host", self.unproven_per_host)):
            if not 1 <= count <= 1000:
                raise ValueError(f"{name} must be between 1 and 1000; it is {count}")
        if self.media_ports is not None:
            first, last = self.media_ports
            needed = 2 * self.calls + 1
            if first % 2 or last - first + 1 < needed:
                raise ValueError(
                    f"{self.calls} calls need {needed} media ports, the first of them even; {first}-{last} won't do"
                )

    @property
    def reached_by(self) -> str:
        """The address callers reach it by."""
        return self.advertise or self.host

    def allows(self, host: str) -> bool:
        """Return whether this address may call."""
        return not self.allow or any(IPv4Address(host) in network for network in self.allow)


def parse_listen(text: str) -> tuple[str, int]:
    """Return address and port of ``192.0.2.7:5060``; the port may be left out.

    Raises:
        ValueError: It is not of that form.
    """
    match = _LISTEN.fullmatch(text)
    port = int(match[2] or SIP_PORT) if match else 0
    if match is None or not 1 <= port <= 65535 or not is_address(match[1]):
        raise ValueError(text)
    return match[1], port


def parse_ports(text: str) -> tuple[int, int]:
    """Return first and last port of ``40000-40099``.

    Raises:
        ValueError: It is not of that form.
    """
    match = _PORTS.fullmatch(text)
    if match is None or not 1024 <= int(match[1]) < int(match[2]) <= 65535:
        raise ValueError(text)
    return int(match[1]), int(match[2])


def is_address(text: str) -> bool:
    """Return whether this is an IPv4 address that packets can be sent from: not ``0.0.0.0``, no group."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    return not (address.is_unspecified or address.is_multicast)

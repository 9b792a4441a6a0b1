"""Addresses that carry their transport (RFC 3261 §18), and what a TLS peer must show.

Owns these facts alone; must not connect, resolve or read a certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

DEFAULT_PORTS: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}
"""Transports that can be called, and their ports where a URI names none (RFC 3261 §19.1.2)."""

DATAGRAM_LIMIT: Final = 1300
"""A request of more bytes goes over a stream where the MTU isn't known (RFC 3261 §18.1.1)."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What a peer must show, and what we show it. Files are named, never held: a key stays where it is.

    Attributes:
        ca_file: PEM file of the authorities trusted; None for the system's.
        certificate: PEM file of our own certificate and its chain; None for none.
        key: PEM file of its key; None: it stands in ``certificate``.
        pins: SHA-256 fingerprints (lower-case hexadecimal) of certificates, one of which must be the peer's. They take
            the place of authority, name and dates.
        verify: False to take any certificate; results then say so.
    """

    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    pins: tuple[str, ...] = ()
    verify: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form: JSON types only."""
        return {**asdict(self), "pins": list(self.pins)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read the plain form.

        Raises:
            KeyError: A key is missing.
        """
        return cls(**{name: plain[name] for name in cls.__slots__} | {"pins": tuple(plain["pins"])})


class StreamAddress(tuple[str, int]):  # noqa: SLOT001 - a tuple's subclass has no slots for more attributes
    """Host and port as any address, and that it is reached over a stream; never equal to the same place over UDP.

    A plain tuple is UDP: that path pays nothing for this one.

    Attributes:
        transport: ``tcp`` or ``tls``.
        name: Whom we mean to reach, as the URI named it: its certificate must say so (RFC 5922 §7); TLS only.
        tls: What it must show; TLS only.
    """

    transport: str
    name: str
    tls: TlsSettings

    def __new__(
        cls, host: str, port: int, transport: str = "tcp", name: str = "", tls: TlsSettings | None = None
    ) -> Self:
        """Make one; ``name`` and ``tls`` count for TLS only."""
        made = super().__new__(cls, (host, port))
        made.transport = transport
        made.name = name if transport == "tls" else ""
        made.tls = tls or TlsSettings()
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StreamAddress) and self._identity() == other._identity()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self[0], self[1], self.transport))

    def __repr__(self) -> str:
        return f"{self.transport}:{self[0]}:{self[1]}"

    def __getnewargs__(self) -> tuple[str, int, str, str, TlsSettings]:
        return self._identity()

    def _identity(self) -> tuple[str, int, str, str, TlsSettings]:
        return self[0], self[1], self.transport, self.name, self.tls


def is_stream(address: tuple[str, int]) -> bool:
    """Return whether messages to this address are sent over a reliable transport, which repeats nothing (§17)."""
    return type(address) is not tuple


def address_to_list(address: tuple[str, int]) -> list[Any]:
    """Return an address as JSON types: host and port, and what a stream has beyond them."""
    plain: list[Any] = [address[0], address[1]]
    if isinstance(address, StreamAddress):
        plain += [address.transport, address.name, address.tls.to_dict()]
    return plain


def address_from_list(plain: list[Any]) -> tuple[str, int]:
    """Read `address_to_list`'s form.

    Raises:
        KeyError: A key is missing.
        TypeError: A value has another type.
        ValueError: A value can't be.
    """
    host, port, *stream = plain
    if not stream:
        return str(host), int(port)
    transport, name, tls = stream
    if transport not in ("tcp", "tls"):
        raise ValueError(transport)
    return StreamAddress(str(host), int(port), transport, str(name), TlsSettings.from_dict(tls))

"""Endpoints as the site list writes them: which URIs there are, and what can be called in this version.

Owns the check of a URI's form; must not resolve or call it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.probes import CALLABLE_SCHEMES
from bridge_monitor.sip import DEFAULT_PORTS, SipUri

SCHEMES: Final = ("sip:", "sips:", "whip+https:", "janus+https:", "json+https:")

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_PORT: Final = r"(?::([0-9]{1,5}))?"
_WEB: Final = re.compile(
    rf"((?:whip|janus|json)\+https)://(\[[0-9A-Fa-f:.]+\]|{_NAME}){_PORT}(?:[/?][!-~]*)?", re.ASCII | re.IGNORECASE
)
# What nearly all rooms have, read 10 times as fast as by the whole grammar: 11,000 of them are read at every start.
_PLAIN: Final = re.compile(rf"sip:(?:[A-Za-z0-9._-]+@)?({_NAME}){_PORT}", re.ASCII)
_DOTTED: Final = re.compile(r"[0-9.]+", re.ASCII)
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the checks need to know of a URI.

    Attributes:
        scheme: Its scheme, lower case, without the colon.
        host: Its host; an IPv6 address in brackets.
        port: Its port, or None.
        transport: The transport it asks for (`sip.SipUri.transport`); empty where that is none.
    """

    scheme: str
    host: str
    port: int | None
    transport: str = "udp"

    def callable_by(self, kind: str) -> bool:
        """Return whether profiles of this kind can call it in this version: over UDP, TCP or TLS, and IPv4."""
        return (
            self.scheme in CALLABLE_SCHEMES[kind] and self.transport in DEFAULT_PORTS and not self.host.startswith("[")
        )


def parse_endpoint(text: str) -> Endpoint:
    """Return the parts of an endpoint's URI.

    Raises:
        ValueError: ``endpoint_scheme`` if no known scheme begins it, ``endpoint_syntax`` if the rest doesn't parse.
    """
    lowered = text.lower()
    if not lowered.startswith(SCHEMES):
        raise ValueError("endpoint_scheme")
    endpoint = _parse_sip(text) if lowered.startswith(("sip:", "sips:")) else _parse_web(text)
    if endpoint is None or (endpoint.port is not None and not 1 <= endpoint.port <= 65535):
        raise ValueError("endpoint_syntax")
    if _DOTTED.fullmatch(endpoint.host) and not _IPV4.fullmatch(endpoint.host):
        raise ValueError("endpoint_syntax")
    return endpoint


def _parse_sip(text: str) -> Endpoint | None:
    if match := _PLAIN.fullmatch(text):
        return Endpoint("sip", match[1], int(match[2]) if match[2] else None)
    try:
        uri = SipUri.parse(text)
    except SipSyntaxError:
        return None
    if uri.headers:  # they would be headers of the call (RFC 3261 §19.1.1), which is ours to write
        return None
    return Endpoint(uri.scheme, uri.host, uri.port, uri.transport)


def _parse_web(text: str) -> Endpoint | None:
    match = _WEB.fullmatch(text)
    return Endpoint(match[1].lower(), match[2], int(match[3]) if match[3] else None) if match else None

"""SIP and SIPS URIs (RFC 3261 §19.1).

Owns reading, writing and comparing the parts we need; must not resolve names.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Final

from bridge_monitor.domain.values import dataclass
from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.grammar import REMEMBERED, REMEMBERED_LENGTH, is_digits, is_host, number, shorten

_ALPHANUMERIC: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_MARK: Final = "-_.!~*'()"
_UNRESERVED: Final = frozenset(_ALPHANUMERIC + _MARK)
_USER: Final = _UNRESERVED | frozenset("&=+$,;?/")
_PASSWORD: Final = _UNRESERVED | frozenset("&=+$,")
_PARAMETER: Final = _UNRESERVED | frozenset("[]/:&+$")
_HEADER: Final = _UNRESERVED | frozenset("[]/?:+$")
_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")
_SCHEME: Final = frozenset(_ALPHANUMERIC + "+-.")
# Everything a URI may hold, in RFC 2396's generic form (absoluteURI): no space, quote, angle bracket or control.
_GENERIC: Final = _UNRESERVED | frozenset(";/?:@&=+$,[]")


@dataclass(frozen=True, slots=True)
class SipUri:
    """``sip:user:password@host:port;parameters?headers``; parts are kept as written, escapes included.

    Attributes:
        host: Host name, IPv4 address, or IPv6 address in brackets.
        user: User part, or None.
        port: Port, or None.
        scheme: ``sip`` or ``sips``.
        password: Password, or None.
        parameters: In order; names in lower case; None: no ``=``.
        headers: In order, as (name, value).
    """

    host: str
    user: str | None = None
    port: int | None = None
    scheme: str = "sip"
    password: str | None = None
    parameters: tuple[tuple[str, str | None], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def parse(text: str) -> SipUri:
        """Read a SIP or SIPS URI.

        Raises:
            SipSyntaxError: It is none.
        """
        return _remembered(text) if len(text) <= REMEMBERED_LENGTH else _read(text)

    def __str__(self) -> str:
        userinfo = ""
        if self.user is not None:
            userinfo = f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        port = "" if self.port is None else f":{self.port}"
        text = f"{self.scheme}:{userinfo}{self.host}{port}"
        for name, value in self.parameters:
            text += f";{name}" if value is None else f";{name}={value}"
        if self.headers:
            text += "?" + "&".join(f"{name}={value}" for name, value in self.headers)
        return text

    def parameter(self, wanted: str) -> str | None:
        """Return the value of a parameter; empty if it has none; None if it isn't there."""
        for name, value in self.parameters:
            if name == wanted:
                return value or ""
        return None

    @property
    def transport(self) -> str:
        """The transport it asks for, lower case: TLS for ``sips`` (§26.2.2), UDP where nothing is said (RFC 3263 §4.1).

        Empty where the two contradict each other: ``sips`` is never sent over UDP.
        """
        named = (self.parameter("transport") or "").lower() if self.parameters else ""
        if self.scheme == "sips":
            return "tls" if named in ("", "tcp", "tls") else ""
        return named or "udp"

    @property
    def loose(self) -> bool:
        """Whether it names a loose router: it has the parameter ``lr`` (§19.1.1)."""
        return any(name == "lr" for name, _ in self.parameters)

    def as_request_uri(self) -> SipUri:
        """Return it as it may stand in a request line: without headers and ``method`` (§19.1.1, table 1)."""
        if not self.parameters and not self.headers:
            return self  # as mostly
        kept = tuple(entry for entry in self.parameters if entry[0] != "method")
        if not self.headers and len(kept) == len(self.parameters):
            return self
        return replace(self, parameters=kept, headers=())


def check_absolute_uri(text: str) -> None:
    """Check any URI: a SIP one whole, another only by RFC 2396's characters.

    Raises:
        SipSyntaxError: It is none.
    """
    scheme, colon, rest = text.partition(":")
    if scheme.lower() in ("sip", "sips"):
        SipUri.parse(text)
    elif (
        not colon or not rest or not scheme[:1].isalpha() or not _SCHEME.issuperset(scheme) or not _fits(rest, _GENERIC)
    ):
        raise SipSyntaxError(f"no URI: {shorten(text)}")


# What nearly all are: IPv4, and no escapes. There is one way to match a text, so nothing to go back for.
_USUAL: Final = re.compile(
    r"(sips?):(?:([A-Za-z0-9_.!~*'()-]+)@)?([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?::([0-9]{1,5}))?"
    r"((?:;[A-Za-z0-9_.-]+(?:=[A-Za-z0-9_.-]+)?)*)"
)


def _read(text: str) -> SipUri:
    return _usual(text) or _any(text)


def _usual(text: str) -> SipUri | None:
    """Read a URI of the usual form; None if it has another, or something is wrong with it."""
    found = _USUAL.fullmatch(text)
    if found is None:
        return None
    scheme, user, host, port_text, tail = found.groups()
    port = None if port_text is None else int(port_text)
    if port is not None and port > 65535:
        return None
    pairs = [part.partition("=") for part in tail[1:].split(";")] if tail else ()
    parameters = tuple([(name.lower(), value if equals else None) for name, equals, value in pairs])
    return SipUri(host, user, port, scheme, None, parameters)


def _any(text: str) -> SipUri:
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in ("sip", "sips"):
        raise SipSyntaxError(f"no SIP URI: {shorten(text)}")
    # The user part may hold ; and ? unescaped, but no @ (§25.1): the first @ ends it.
    userinfo, at, after = rest.partition("@")
    user = password = None
    if at:
        rest = after
        user, colon, secret = userinfo.partition(":")
        password = secret if colon else None
        if not user or not _fits(user, _USER) or not _fits(secret, _PASSWORD):
            raise SipSyntaxError(f"bad user part of a URI: {shorten(text)}")
    rest, question, query = rest.partition("?")
    address, *parameter_texts = rest.split(";")
    host, port = _host_port(address, text)
    return SipUri(
        host=host,
        user=user,
        port=port,
        scheme=scheme,
        password=password,
        parameters=tuple(_parameter(part, text) for part in parameter_texts),
        headers=tuple(_header(part, text) for part in query.split("&")) if question else (),
    )


_remembered = lru_cache(REMEMBERED)(_read)


def _host_port(address: str, text: str) -> tuple[str, int | None]:
    closing = address.rfind("]")
    colon = address.find(":", closing + 1)
    host, port = (address, None) if colon < 0 else (address[:colon], address[colon + 1 :])
    if not is_host(host) or (port is not None and not is_digits(port)):
        raise SipSyntaxError(f"bad host or port of a URI: {shorten(text)}")
    return host, None if port is None else number(port, 65535, "port of a URI")


def _parameter(part: str, text: str) -> tuple[str, str | None]:
    name, equals, value = part.partition("=")
    if not name or not _fits(name, _PARAMETER) or (equals and not value) or not _fits(value, _PARAMETER):
        raise SipSyntaxError(f"bad parameter of a URI: {shorten(text)}")
    return name.lower(), value if equals else None


def _header(part: str, text: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if not name or not equals or not _fits(name, _HEADER) or not _fits(value, _HEADER):
        raise SipSyntaxError(f"bad header of a URI: {shorten(text)}")
    return name, value


def _fits(text: str, allowed: frozenset[str]) -> bool:
    """Return whether the text holds only these characters and whole %-escapes."""
    if allowed.issuperset(text):
        return True
    if "%" not in text:
        return False
    first, *escaped = text.split("%")
    return allowed.issuperset(first) and all(
        len(part) >= 2 and _HEXADECIMAL.issuperset(part[:2]) and allowed.issuperset(part[2:]) for part in escaped
    )

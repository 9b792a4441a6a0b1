"""Header fields that the protocol itself reads (RFC 3261 §20): Via, From, To, Contact, Route, CSeq.

Owns their shapes and readers; must not know messages or what is done with them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from bridge_monitor.domain.values import dataclass
from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.grammar import (
    REMEMBERED,
    REMEMBERED_LENGTH,
    TOKEN,
    WHITESPACE,
    Parameters,
    end_of_quoted,
    is_token,
    number,
    parameter,
    parse_parameters,
    shorten,
    split_host_port,
)
from bridge_monitor.sip.uri import SipUri, check_absolute_uri

COMPACT_FORMS: Final = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "o": "event", "r": "refer-to", "s": "subject", "t": "to",
    "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip
"""Compact forms (RFC 3261 §7.3.3 and the IANA registry), in lower case."""

MAGIC_COOKIE: Final = "z9hG4bK"
"""What a branch of RFC 3261 begins with (§8.1.1.7)."""

LARGEST_CSEQ: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Via:
    """The topmost Via (§20.42): who sent a request and where its responses go.

    Attributes:
        transport: ``UDP``, ``TCP``, …, in upper case.
        host: Host of sent-by.
        port: Port of sent-by, or None.
        parameters: All parameters.
        branch: Transaction identifier; empty if it isn't one of RFC 3261 (no magic cookie, or nothing after it).
    """

    transport: str
    host: str
    port: int | None
    parameters: Parameters
    branch: str

    @property
    def sent_by(self) -> str:
        """Host and port in one text, as transactions are matched by it (§17.2.3)."""
        return f"{self.host}:{self.port or 5060}".lower()


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A From, To, Contact, Route or Record-Route value (§20.10).

    Attributes:
        uri: The URI as written.
        display_name: Display name as written, quotes included; empty if there is none.
        parameters: Parameters of the header field.
    """

    uri: str
    display_name: str
    parameters: Parameters

    @property
    def tag(self) -> str | None:
        """The tag, or None (RFC 2543 peers)."""
        return parameter(self.parameters, "tag")


def parse_via(value: str) -> Via:
    """Read one Via value.

    Raises:
        SipSyntaxError: It is none.
    """
    return _remembered_via(value) if len(value) <= REMEMBERED_LENGTH else _read_via(value)


def _read_via(value: str) -> Via:
    return _usual_via(value) or _any_via(value)


# What nearly all are: IPv4 and parameters that are tokens. There is one way to match a text, so nothing to go back for.
_USUAL_VIA: Final = re.compile(
    r"SIP/2\.0/(UDP|TCP|TLS) ([0-9]{1,3}(?:\.[0-9]{1,3}){3}):([0-9]{1,5})((?:;[A-Za-z0-9_-]+(?:=[A-Za-z0-9._-]+)?)*)"
)


def _usual_via(value: str) -> Via | None:
    """Read a Via of the usual form; None if it has another, or something is wrong with it."""
    found = _USUAL_VIA.fullmatch(value)
    if found is None:
        return None
    transport, host, port_text, tail = found.groups()
    port = int(port_text)
    pairs = [part.partition("=") for part in tail[1:].split(";")] if tail else []
    parameters = tuple([(name.lower(), text if equals else None) for name, equals, text in pairs])
    branch = parameter(parameters, "branch") or ""
    if port > 65535:
        return None
    return Via(transport, host, port, parameters, branch if _is_of_rfc_3261(branch) else "")


def _is_of_rfc_3261(branch: str) -> bool:
    return len(branch) > len(MAGIC_COOKIE) and branch.startswith(MAGIC_COOKIE)


def _any_via(value: str) -> Via:
    head, semicolon, tail = value.partition(";")
    name, _, rest = head.partition("/")
    version, _, rest = rest.partition("/")
    transport, _, sent_by = rest.strip(WHITESPACE).replace("\t", " ").partition(" ")
    if name.strip(WHITESPACE).upper() != "SIP" or version.strip(WHITESPACE) != "2.0" or not is_token(transport):
        raise SipSyntaxError(f"Via needs SIP/2.0/transport: {shorten(value)}")
    host, port = split_host_port(sent_by.strip(WHITESPACE), "Via")
    parameters = parse_parameters(semicolon + tail, "Via")
    branch = parameter(parameters, "branch") or ""
    return Via(transport.upper(), host, port, parameters, branch if _is_of_rfc_3261(branch) else "")


def parse_name_addr(value: str, what: str) -> NameAddr:
    """Read ``"name" <uri>;parameters`` or ``uri;parameters``.

    Raises:
        SipSyntaxError: It is neither. A URI of the scheme sip isn't read itself: see `check_name_addr`.
    """
    return _remembered_name_addr(value, what) if len(value) <= REMEMBERED_LENGTH else _read_name_addr(value, what)


def _read_name_addr(value: str, what: str) -> NameAddr:
    value = value.strip(WHITESPACE)
    if value[:1] == '"':
        closing = end_of_quoted(value, 0)
        display_name, rest = value[: closing + 1], value[closing + 1 :].lstrip(WHITESPACE)
        if rest[:1] != "<":
            raise SipSyntaxError(f"{what} has no <URI> after its display name: {shorten(value)}")
    else:
        opening = value.find("<")
        semicolon = value.find(";")
        if opening < 0 or 0 <= semicolon < opening:
            return _parse_bare(value, what)
        display_name, rest = value[:opening].rstrip(WHITESPACE), value[opening:]
        if not all(TOKEN.issuperset(word) or not word.isascii() for word in display_name.split()):
            raise SipSyntaxError(f"{what} has a display name that needs quotes: {shorten(value)}")
    closing = rest.find(">")
    if closing < 0:
        raise SipSyntaxError(f"{what} has '<' that isn't closed: {shorten(value)}")
    uri = rest[1:closing]
    if not uri or " " in uri or "\t" in uri or "<" in uri:
        raise SipSyntaxError(f"{what} has no URI between <>: {shorten(value)}")
    return NameAddr(uri, display_name, parse_parameters(rest[closing + 1 :], what))


def check_name_addr(value: str, what: str) -> NameAddr:
    """Read as `parse_name_addr` does, and the URI in it too.

    Raises:
        SipSyntaxError: Either is malformed.
    """
    parsed = parse_name_addr(value, what)
    check_absolute_uri(parsed.uri)
    return parsed


def parse_sip_uri_of(value: str, what: str) -> tuple[NameAddr, SipUri]:
    """Read a value whose URI must be a SIP URI.

    Raises:
        SipSyntaxError: It isn't.
    """
    parsed = parse_name_addr(value, what)
    return parsed, SipUri.parse(parsed.uri)


_remembered_via = lru_cache(REMEMBERED)(_read_via)
_remembered_name_addr = lru_cache(REMEMBERED)(_read_name_addr)


def parse_cseq(value: str) -> tuple[int, str]:
    """Read a CSeq into number and method (§20.16).

    Raises:
        SipSyntaxError: It is none; the number must be below 2^31 (§8.1.1.5).
    """
    return _remembered_cseq(value) if len(value) <= REMEMBERED_LENGTH else _read_cseq(value)


def _read_cseq(value: str) -> tuple[int, str]:
    fields = value.split()
    if len(fields) != 2 or not is_token(fields[1]):
        raise SipSyntaxError(f"CSeq needs a number and a method: {shorten(value)}")
    return number(fields[0], LARGEST_CSEQ, "CSeq"), fields[1]


_remembered_cseq = lru_cache(REMEMBERED)(_read_cseq)


def _parse_bare(value: str, what: str) -> NameAddr:
    # Without <>, everything after ; belongs to the header, and the URI may hold neither ? nor comma (§20).
    uri, semicolon, tail = value.partition(";")
    uri = uri.rstrip(WHITESPACE)
    if ":" not in uri or any(character in uri for character in ' \t?,"<>'):
        raise SipSyntaxError(f"{what} has no URI: {shorten(value)}")
    return NameAddr(uri, "", parse_parameters(semicolon + tail, what))

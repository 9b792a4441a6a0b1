"""The small grammar that header fields share (RFC 3261 §25.1): tokens, quoted strings, lists, parameters.

Owns scanning by hand, one pass, no regular expressions: no input can make it backtrack. Knows no header field.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.errors import SipSyntaxError

TOKEN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~")
_HOST: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
_IPV6: Final = frozenset("0123456789abcdefABCDEF:.")
WHITESPACE: Final = " \t"

REMEMBERED: Final = 1024
"""So many header values and URIs, each as it was read, are remembered: within a call the same ones come many times."""
REMEMBERED_LENGTH: Final = 256
"""The longest that are: what a peer can make us keep is bounded."""

Parameters = tuple[tuple[str, str | None], ...]
"""Parameters in order; names in lower case; quoted values keep their quotes; None: no ``=``."""


def is_token(text: str) -> bool:
    """Return whether the text is one token."""
    return bool(text) and TOKEN.issuperset(text)


def is_digits(text: str) -> bool:
    """Return whether the text is one or more ASCII digits."""
    return text.isascii() and text.isdigit()


def number(text: str, largest: int, what: str) -> int:
    """Read a decimal number.

    Raises:
        SipSyntaxError: It is none, or larger than it may be.
    """
    text = text.strip(WHITESPACE)
    # Leading zeros are allowed without limit; int() of a huge text is not for us to pay.
    significant = text if len(text) <= 20 else text.lstrip("0") or "0"
    if not is_digits(text) or len(significant) > 20 or int(significant) > largest:
        raise SipSyntaxError(f"{what} is no number from 0 to {largest}: {shorten(text)}")
    return int(significant)


def shorten(text: str) -> str:
    """Return a peer's text quoted and cut short: fit for a message to people, whatever its bytes."""
    return repr(readable(text[:60]))


def readable(text: str) -> str:
    """Return the text with bytes that were no UTF-8 replaced."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def find_outside(text: str, wanted: str, start: int = 0) -> int:
    """Return the place of the first of the wanted characters outside quoted strings and ``<>``; -1 if there is none.

    A wanted ``<`` is found itself.

    Raises:
        SipSyntaxError: A quoted string or ``<`` isn't closed.
    """
    index, length = start, len(text)
    while index < length:
        character = text[index]
        if character in wanted:
            return index
        if character == '"':
            index = end_of_quoted(text, index)
        elif character == "<":
            index = text.find(">", index)
            if index < 0:
                raise SipSyntaxError(f"'<' isn't closed: {shorten(text)}")
        index += 1
    return -1


def end_of_quoted(text: str, start: int) -> int:
    """Return the place of the quote that closes the one at `start`.

    Raises:
        SipSyntaxError: There is none.
    """
    index, length = start + 1, len(text)
    while index < length:
        character = text[index]
        if character == '"':
            return index
        index += 2 if character == "\\" else 1
    raise SipSyntaxError(f"a quoted string isn't closed: {shorten(text)}")


def split_outside(text: str, separator: str) -> list[str]:
    """Split at a separator outside quoted strings and ``<>``; parts are stripped of whitespace.

    Raises:
        SipSyntaxError: A quoted string or ``<`` isn't closed.
    """
    if '"' not in text and "<" not in text:
        return [part.strip(WHITESPACE) for part in text.split(separator)]
    parts, start = [], 0
    while (index := find_outside(text, separator, start)) >= 0:
        parts.append(text[start:index].strip(WHITESPACE))
        start = index + 1
    parts.append(text[start:].strip(WHITESPACE))
    return parts


def split_list(text: str, what: str) -> list[str]:
    """Split a comma-separated header value; no element may be empty.

    Raises:
        SipSyntaxError: An element is empty, or a quoted string or ``<`` isn't closed.
    """
    parts = split_outside(text, ",") if "," in text else [text.strip(WHITESPACE)]
    if "" in parts:
        raise SipSyntaxError(f"{what} has an empty element: {shorten(text)}")
    return parts


def parse_parameters(text: str, what: str) -> Parameters:
    """Read ``;name=value;name`` (the leading ``;`` included); an empty text is no parameters.

    Raises:
        SipSyntaxError: Something else stands there.
    """
    text = text.strip(WHITESPACE)
    if not text:
        return ()
    if text[0] != ";":
        raise SipSyntaxError(f"{what} has {shorten(text)} where a parameter should be")
    found: list[tuple[str, str | None]] = []
    for part in split_outside(text[1:], ";"):
        name, equals, value = part.partition("=")
        name, value = name.rstrip(WHITESPACE).lower(), value.lstrip(WHITESPACE)
        right = name and TOKEN.issuperset(name)
        if not right or (equals and not (value and TOKEN.issuperset(value)) and not is_parameter_value(value)):
            raise SipSyntaxError(f"{what} has a bad parameter: {shorten(part)}")
        found.append((name, value if equals else None))
    return tuple(found)


def is_parameter_value(text: str) -> bool:
    """Return whether the text is a token, a host or a quoted string (``gen-value``)."""
    if text[:1] == '"':
        return end_of_quoted(text, 0) == len(text) - 1
    return is_token(text) or is_host(text)


def parameter(parameters: Parameters, wanted: str) -> str | None:
    """Return the value of the first parameter of this name; empty if it has none; None if it isn't there."""
    for name, value in parameters:
        if name == wanted:
            return value or ""
    return None


def is_host(text: str) -> bool:
    """Return whether the text can be a host: a name, an IPv4 address, or an IPv6 address in brackets."""
    if text[:1] == "[":
        return len(text) > 3 and text[-1] == "]" and _IPV6.issuperset(text[1:-1])
    return bool(text) and _HOST.issuperset(text)


def split_host_port(text: str, what: str) -> tuple[str, int | None]:
    """Read ``host[:port]``.

    Raises:
        SipSyntaxError: The host or port can't be one.
    """
    closing = text.rfind("]")
    colon = text.find(":", closing + 1)
    host, port = (text, None) if colon < 0 else (text[:colon].rstrip(WHITESPACE), text[colon + 1 :])
    if not is_host(host):
        raise SipSyntaxError(f"{what} has no host: {shorten(text)}")
    return host, None if port is None else number(port, 65535, f"port of {what}")


def unquote(text: str) -> str:
    """Return the content of a quoted string, escapes resolved; any other text as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    out, index = [], 0
    while index < len(inner):
        index += inner[index] == "\\"
        out.append(inner[index : index + 1])
        index += 1
    return "".join(out)


def quote(text: str) -> str:
    """Return the text as a quoted string; control characters, which it can't hold, become spaces."""
    clean = "".join(" " if character < " " or character == "\x7f" else character for character in text)
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'

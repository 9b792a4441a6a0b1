"""Takes out of a message what a password could be guessed by, before anybody is shown it: ladders, captures, traces.

Owns which parameters of which header fields may be seen; must not change a message's length: a capture's must hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SHOWN: Final = frozenset(
    {b"username", b"realm", b"nonce", b"uri", b"algorithm", b"opaque", b"qop", b"nc", b"nextnonce", b"charset"}
    | {b"userhash", b"stale"}
)
"""What of Digest may be seen: that of a challenge, and who answers it. ``response``, ``cnonce`` and ``rspauth`` not."""

_LINE: Final = re.compile(
    rb"^((?:proxy-)?(?:authorization|authentication-info)[ \t]*:)((?:[^\r\n]|\r?\n[ \t])*)",
    re.IGNORECASE | re.MULTILINE,
)
_TOKEN: Final = rb"A-Za-z0-9_.!%*+`'~-"
# What begins in the midst of a name isn't looked at: else a long line without '=' would take time by its square.
_PARAMETER: Final = re.compile(
    rb"(?<![" + _TOKEN + rb"])([" + _TOKEN + rb"]+)([ \t\r\n]*=[ \t\r\n]*)"
    rb'("(?:[^"\\]|\\.)*"?|[^,\s]*)',
    re.DOTALL,
)
_SCHEME: Final = re.compile(rb"[ \t\r\n]*([A-Za-z0-9-]+)(?=[ \t\r\n])")
_BETWEEN: Final = re.compile(rb"[^ \t\r\n,]")
_VISIBLE: Final = re.compile(rb"[^ \t\r\n]")


def hides(headers: Mapping[str, object]) -> bool:
    """Return whether a message with these header fields (by name in lower case) has something to hide."""
    return (  # one by one: it is asked of every message
        "authorization" in headers
        or "proxy-authorization" in headers
        or "authentication-info" in headers
        or "proxy-authentication-info" in headers
    )


def masked(data: bytes) -> bytes:
    """Return the message with ``*`` for each byte that is to be hidden.

    Shown are parameters of Digest as in `SHOWN`. Of another scheme nothing is: what stands there may be the password.
    """
    return _LINE.sub(_mask_line, data)


def _mask_line(line: re.Match[bytes]) -> bytes:
    title, value = line[1], line[2]
    if title.lower().startswith((b"authentication-info", b"proxy-authentication-info")):
        return title + _mask_parameters(value)
    scheme = _SCHEME.match(value)
    begin = scheme.end() if scheme else 0
    rest = value[begin:]
    digest = scheme is not None and scheme[1].lower() == b"digest"
    return title + value[:begin] + (_mask_parameters(rest) if digest else _VISIBLE.sub(b"*", rest))


def _mask_parameters(value: bytes) -> bytes:
    """Mask all but what may be shown and the commas between, also what is no parameter."""
    parts, end = [], 0
    for one in _PARAMETER.finditer(value):
        parts.append(_BETWEEN.sub(b"*", value[end : one.start()]))
        parts.append(one[1] + one[2] + (one[3] if one[1].lower() in SHOWN else _hidden(one[3])))
        end = one.end()
    parts.append(_BETWEEN.sub(b"*", value[end:]))
    return b"".join(parts)


def _hidden(text: bytes) -> bytes:
    """Return a value's mask; the quotes around it stay."""
    inner = text[1:-1] if text[:1] == b'"' and text[-1:] == b'"' and len(text) > 1 else text
    return text.replace(inner, b"*" * len(inner), 1) if inner else text

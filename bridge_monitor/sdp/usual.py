"""The answer that nearly all rooms give, read in one go: one audio line, RTP/AVP, IPv4, nothing held or refused.

Owns a short cut and no rule: whatever isn't exactly of this form is None here and read in full (`negotiation`), and
what is read here says the same there. A property test holds the two together.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from bridge_monitor.sdp.description import DIRECTIONS

# Each line's end is the only CR in it, so that there is one way to match a text and nothing to go back for.
_USUAL: Final = re.compile(
    r"v=0\r\no=[!-~]+ [!-~]+ [0-9]{1,19} IN IP4 [!-~]+\r\ns=[ -~]*\r\nc=IN IP4 ([!-.0-~]+)\r\n(?:b=[ -~]*\r\n)*"
    r"t=[ -~]*\r\n((?:a=[ -~]*\r\n)*)"
    r"m=audio ([0-9]{1,5}) RTP/AVP ([0-9]{1,3}(?: [0-9]{1,3})*)\r\n(?:b=[ -~]*\r\n)*((?:a=[ -~]*\r\n)*)"
)
_ON_HOLD: Final = "0.0.0.0"  # noqa: S104 - compared with, never bound to (RFC 3264 §8.4)


class UsualAnswer(NamedTuple):
    """What stands in it, unjudged.

    Attributes:
        host: Of its ``c=`` line.
        port: Of its audio line, 1 to 65535.
        formats: Payload types, best first.
        encodings: ``encoding/clock`` by payload type, of those that have a line of their own.
        attributes: The audio line's own, first of each name; empty for a flag.
        direction: The peer's direction.
    """

    host: str
    port: int
    formats: list[str]
    encodings: dict[str, str]
    attributes: dict[str, str]
    direction: str


def read_usual_answer(answer: bytes) -> UsualAnswer | None:
    """Read an answer of the usual form; None if it has another."""
    if not answer.isascii():
        return None
    found = _USUAL.fullmatch(answer.decode("ascii"))
    if found is None:
        return None
    host, of_session, port_text, formats, of_audio = found.groups()
    port = int(port_text)
    if not 0 < port <= 65535 or host == _ON_HOLD:
        return None
    encodings: dict[str, str] = {}
    attributes: dict[str, str] = {}
    direction = ""
    for line in of_audio.split("\r\n"):
        name, _, value = line[2:].strip().partition(":")
        name, value = name.strip(), value.strip()
        if name == "rtpmap":
            number, space, encoding = value.partition(" ")
            if space:
                encodings.setdefault(number, encoding.strip())
        elif name in DIRECTIONS:
            direction = direction or name
        else:
            attributes.setdefault(name, value)
    if not direction:
        names = (line[2:].strip().partition(":")[0].strip() for line in of_session.split("\r\n"))
        direction = next((name for name in names if name in DIRECTIONS), "sendrecv")
    return UsualAnswer(host, port, formats.split(" "), encodings, attributes, direction)

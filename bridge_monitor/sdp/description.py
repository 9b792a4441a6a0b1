"""A session description as values (RFC 8866): reading what rooms really send, and writing it back.

Owns syntax; must not know what an offer or an answer means (`negotiation`). Tolerates LF line ends, missing ``s=`` and
``t=``, lines out of order (``c=`` after attributes), unknown line types and any ``m=`` transport (BFCP, H.224).
"""

from __future__ import annotations

from dataclasses import field
from typing import Final

from bridge_monitor.domain.values import dataclass
from bridge_monitor.errors import SdpSyntaxError

STATIC_RTPMAPS: Final = {"0": "PCMU/8000", "3": "GSM/8000", "4": "G723/8000", "8": "PCMA/8000", "9": "G722/8000",
                         "15": "G728/8000", "18": "G729/8000"}  # fmt: skip
"""Encodings of static payload types (RFC 3551 §6)."""

DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")

Attribute = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Origin:
    """The ``o=`` line (RFC 8866 §5.2); ``version`` counts up with every change of the description."""

    username: str
    session_id: str
    version: int
    address: str
    address_type: str = "IP4"

    def __str__(self) -> str:
        return f"{self.username} {self.session_id} {self.version} IN {self.address_type} {self.address}"


@dataclass(frozen=True, slots=True)
class Connection:
    """The ``c=`` line (RFC 8866 §5.7); ``host`` is without TTL and count."""

    host: str
    address_type: str = "IP4"

    def __str__(self) -> str:
        return f"IN {self.address_type} {self.host}"


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One ``m=`` line and what belongs to it (RFC 8866 §5.14).

    Attributes:
        kind: ``audio``, ``video``, ``application``, …
        port: Transport port; 0 means refused (RFC 3264 §6).
        protocol: ``RTP/AVP``, ``UDP/BFCP``, …
        formats: Payload types or other formats, best first.
        port_count: Number of ports (``49170/2``).
        connection: Its own ``c=`` line, or None.
        bandwidths: ``b=`` values (``AS:64``, ``TIAS:64000``).
        attributes: ``a=`` lines in order, as (name, value or None).
        others: Other lines in order, as (letter, value).
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int = 1
    connection: Connection | None = None
    bandwidths: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    others: tuple[tuple[str, str], ...] = ()

    def attribute(self, name: str) -> str | None:
        """Return the value of the first attribute of this name; empty for a flag; None if there is none."""
        return _attribute(self.attributes, name)

    def rtpmap(self, payload_type: str) -> str | None:
        """Return ``encoding/clock`` of a payload type, from ``a=rtpmap`` or the static table; None if unknown."""
        prefix = payload_type + " "
        for name, value in self.attributes:
            if name == "rtpmap" and value is not None and value.startswith(prefix):
                return value[len(prefix) :].strip()
        return STATIC_RTPMAPS.get(payload_type)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description. Missing ``o=`` is None; ``others`` holds session lines of no own field (``i=``, ``u=``)."""

    origin: Origin | None
    name: str = "-"
    connection: Connection | None = None
    bandwidths: tuple[str, ...] = ()
    times: tuple[str, ...] = ("0 0",)
    attributes: tuple[Attribute, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    media: tuple[MediaDescription, ...] = field(default=())

    def attribute(self, name: str) -> str | None:
        """Return the value of the first session attribute of this name; empty for a flag; None if there is none."""
        return _attribute(self.attributes, name)

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """Return where a stream goes: its own ``c=``, else the session's."""
        return media.connection or self.connection

    def direction_of(self, media: MediaDescription) -> str:
        """Return a stream's direction, from the describer's side; ``sendrecv`` if not said (RFC 8866 §6.7)."""
        for attributes in (media.attributes, self.attributes):
            for name, _ in attributes:
                if name in DIRECTIONS:
                    return name
        return "sendrecv"

    def to_bytes(self) -> bytes:
        """Return the description in the order of RFC 8866 §5, lines ended by CRLF."""
        lines = ["v=0"]
        if self.origin is not None:
            lines.append(f"o={self.origin}")
        lines.append(f"s={self.name}")
        early = [f"{letter}={value}" for letter, value in self.others if letter in "iuep"]
        late = [f"{letter}={value}" for letter, value in self.others if letter not in "iuep"]
        lines += early
        if self.connection is not None:
            lines.append(f"c={self.connection}")
        lines += [f"b={value}" for value in self.bandwidths]
        lines += [f"t={value}" for value in self.times]
        lines += late
        lines += _attribute_lines(self.attributes)
        for media in self.media:
            count = f"/{media.port_count}" if media.port_count != 1 else ""
            lines.append(f"m={media.kind} {media.port}{count} {media.protocol} {' '.join(media.formats)}")
            lines += [f"{letter}={value}" for letter, value in media.others]
            if media.connection is not None:
                lines.append(f"c={media.connection}")
            lines += [f"b={value}" for value in media.bandwidths]
            lines += _attribute_lines(media.attributes)
        return ("\r\n".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


def parse(data: bytes) -> SessionDescription:
    """Read a description.

    Raises:
        SdpSyntaxError: The bytes are no description, or a line that decides where media goes is unreadable.
    """
    text = data.decode("utf-8", "surrogateescape")
    lines = [line.rstrip("\r \t") for line in text.split("\n")]
    lines = [line for line in lines if line]
    if not lines or lines[0] != "v=0":
        raise SdpSyntaxError("a description begins with v=0 (RFC 8866 §5.1)")
    sections: list[list[tuple[str, str]]] = [[]]
    for line in lines[1:]:
        if len(line) < 2 or line[1] != "=" or not ("a" <= line[0] <= "z"):
            raise SdpSyntaxError(f"not of the form x=value: {printable(line)}")
        letter, value = line[0], line[2:].strip()
        if letter == "m":
            sections.append([])
        sections[-1].append((letter, value))
    return _read_session(sections[0], tuple(_read_media(section) for section in sections[1:]))


def printable(text: str | tuple[str, ...]) -> str:
    """Return a peer's text, or list of texts, quoted and cut short: fit for people to read, whatever its bytes."""
    joined = text if isinstance(text, str) else " ".join(text)
    return repr(joined[:60].encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


@dataclass(slots=True)
class _Section:
    """Lines that a session and a media description have in common."""

    connection: Connection | None = None
    bandwidths: list[str] = field(default_factory=list)
    attributes: list[Attribute] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)

    def take(self, letter: str, value: str) -> None:
        if letter == "c":
            # Several c= lines are layered multicast (§5.7); the first is the base layer.
            self.connection = self.connection or _read_connection(value)
        elif letter == "b":
            self.bandwidths.append(value)
        elif letter == "a":
            name, colon, rest = value.partition(":")
            self.attributes.append((name.strip(), rest.strip() if colon else None))
        else:
            self.others.append((letter, value))


def _read_session(lines: list[tuple[str, str]], media: tuple[MediaDescription, ...]) -> SessionDescription:
    common = _Section()
    origin: Origin | None = None
    name = "-"
    times: list[str] = []
    for letter, value in lines:
        if letter == "o":
            origin = _read_origin(value)
        elif letter == "s":
            name = value or "-"
        elif letter == "t":
            times.append(value)
        else:
            common.take(letter, value)
    return SessionDescription(
        origin=origin,
        name=name,
        connection=common.connection,
        bandwidths=tuple(common.bandwidths),
        times=tuple(times) or ("0 0",),
        attributes=tuple(common.attributes),
        others=tuple(common.others),
        media=media,
    )


def _read_media(lines: list[tuple[str, str]]) -> MediaDescription:
    fields = lines[0][1].split()
    if len(fields) < 3:
        raise SdpSyntaxError(f"m= needs media, port and protocol: {printable(lines[0][1])}")
    port, slash, count = fields[1].partition("/")
    common = _Section()
    for letter, value in lines[1:]:
        common.take(letter, value)
    return MediaDescription(
        kind=fields[0].lower(),
        port=_number(port, 65535, "port"),
        protocol=fields[2].upper(),
        formats=tuple(fields[3:]),
        port_count=_number(count, 65535, "number of ports") if slash else 1,
        connection=common.connection,
        bandwidths=tuple(common.bandwidths),
        attributes=tuple(common.attributes),
        others=tuple(common.others),
    )


def _read_origin(value: str) -> Origin:
    fields = value.split()
    if len(fields) < 6:
        raise SdpSyntaxError(f"o= needs six fields: {printable(value)}")
    # Some rooms put spaces into the user name: the last five fields are the sure ones.
    session_id, version, _, address_type, address = fields[-5:]
    return Origin(" ".join(fields[:-5]), session_id, _number(version, 2**64 - 1, "version"), address, address_type)


def _read_connection(value: str) -> Connection:
    fields = value.split()
    if len(fields) != 3 or fields[0].upper() != "IN":
        raise SdpSyntaxError(f"c= needs IN, address type and address: {printable(value)}")
    return Connection(fields[2].partition("/")[0], fields[1].upper())


def _number(text: str, largest: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or int(text) > largest:
        raise SdpSyntaxError(f"{what} is no number from 0 to {largest}: {printable(text)}")
    return int(text)


def _attribute(attributes: tuple[Attribute, ...], wanted: str) -> str | None:
    for name, value in attributes:
        if name == wanted:
            return value or ""
    return None


def _attribute_lines(attributes: tuple[Attribute, ...]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]

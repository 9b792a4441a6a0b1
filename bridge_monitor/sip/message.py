"""SIP messages and their reader (RFC 3261 §7): quick on what every message needs, lazy on the rest.

Owns the message values; must not judge what a message means. Reading checks start line, framing, the names of the
header fields, and those of Via, From, To, Call-ID and CSeq that the message's kind depends on; `strict` reads the rest.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.grammar import WHITESPACE, is_digits, is_token, number, readable, shorten, split_list
from bridge_monitor.sip.headers import (
    COMPACT_FORMS,
    NameAddr,
    Via,
    parse_cseq,
    parse_name_addr,
    parse_sip_uri_of,
    parse_via,
)
from bridge_monitor.sip.uri import SipUri

Headers = dict[str, list[str]]
"""Values by name (lower case, long form), in order of appearance."""

MANDATORY: Final = ("via", "from", "to", "call-id", "cseq")
"""What every message must have (§8.1.1); Max-Forwards is missing in RFC 2543 messages and not asked for."""

_SINGLE: Final = ("from", "to", "call-id", "cseq", "max-forwards")


class Message:
    """What requests and responses have in common. Treat as immutable.

    Attributes:
        headers: Values by name; see `Headers`.
        body: The body, cut to Content-Length.
    """

    __slots__ = ("_cseq", "_from", "_to", "_via", "body", "headers")

    def __init__(self, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body
        self._via: Via | None = None
        self._from: NameAddr | None = None
        self._to: NameAddr | None = None
        self._cseq: tuple[int, str] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.start_line()}>"

    def start_line(self) -> str:
        """Return the first line, without its line end."""
        raise NotImplementedError

    def get(self, name: str) -> str | None:
        """Return the first value of a header field, by long or compact name in any case; None if it isn't there."""
        values = self.headers.get(_long_name(name))
        return values[0] if values else None

    def get_all(self, name: str) -> list[str]:
        """Return the values of a header field, one for each time it appears; lists in one line aren't split."""
        return self.headers.get(_long_name(name), [])

    @property
    def via(self) -> Via:
        """The topmost Via."""
        if self._via is None:
            value = self.headers["via"][0]
            # Nearly always alone; a comma may also stand inside a quoted parameter.
            self._via = parse_via(split_list(value, "Via")[0] if "," in value else value)
        return self._via

    @property
    def from_(self) -> NameAddr:
        """The From header field."""
        if self._from is None:
            self._from = parse_name_addr(self.headers["from"][0], "From")
        return self._from

    @property
    def to(self) -> NameAddr:
        """The To header field."""
        if self._to is None:
            self._to = parse_name_addr(self.headers["to"][0], "To")
        return self._to

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.headers["call-id"][0]

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method of CSeq."""
        if self._cseq is None:
            self._cseq = parse_cseq(self.headers["cseq"][0])
        return self._cseq

    @property
    def contact(self) -> SipUri | None:
        """The SIP URI of the first Contact; None without Contact or for ``*``.

        Raises:
            SipSyntaxError: It is no SIP URI.
        """
        value = self.get("contact")
        if value is None or value == "*":
            return None
        return parse_sip_uri_of(split_list(value, "Contact")[0], "Contact")[1]

    @property
    def record_route(self) -> tuple[str, ...]:
        """All Record-Route values, topmost first, each read once as proof that it is usable.

        Raises:
            SipSyntaxError: One isn't.
        """
        found: list[str] = []
        for value in self.get_all("record-route"):
            for element in split_list(value, "Record-Route"):
                parse_sip_uri_of(element, "Record-Route")
                found.append(element)
        return tuple(found)

    @property
    def content_type(self) -> str:
        """Media type of the body in lower case without parameters; empty if not said."""
        return (self.get("content-type") or "").partition(";")[0].strip(WHITESPACE).lower()

    @property
    def sdp(self) -> bytes:
        """The body if it is a session description (or its type isn't said), else empty."""
        return self.body if self.body and self.content_type in ("application/sdp", "") else b""

    def to_bytes(self) -> bytes:
        """Return the message as it goes on the wire; Content-Length is written to fit the body."""
        lines = [self.start_line()]
        for name, values in self.headers.items():
            if name != "content-length":
                title = _title(name)
                lines += [f"{title}: {value}" for value in values]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


class Request(Message):
    """A request (§7.1).

    Attributes:
        method: Its method, as written: methods are case-sensitive.
        uri: Its Request-URI, as written.
    """

    __slots__ = ("method", "uri")

    def __init__(self, method: str, uri: str, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri

    def start_line(self) -> str:
        """Return the request line."""
        return f"{self.method} {self.uri} SIP/2.0"


class Response(Message):
    """A response (§7.2).

    Attributes:
        status: Its status code, 100–699.
        reason: Its reason phrase; may be empty.
    """

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason

    def start_line(self) -> str:
        """Return the status line."""
        return f"SIP/2.0 {self.status} {self.reason}"


def parse_message(data: bytes, *, strict: bool = False) -> Request | Response:
    """Read one datagram as a message; bytes after Content-Length are dropped (§18.3).

    Args:
        data: The datagram; empty lines before the start line are skipped (§7.5).
        strict: Also read every header field that RFC 3261 defines and that has a grammar worth checking.

    Raises:
        SipSyntaxError: It is no SIP/2.0 message, or a field that routes it is missing or malformed.
    """
    message = scan_message(data)
    headers = message.headers
    for name in MANDATORY:
        if name not in headers:
            raise SipSyntaxError(f"no {_title(name)} header field")
    for name in _SINGLE:
        if len(headers.get(name, ())) > 1:
            raise SipSyntaxError(f"more than one {_title(name)} header field")
    if not headers["call-id"][0]:
        raise SipSyntaxError("empty Call-ID")
    length = headers.get("content-length")
    if length is not None:
        _cut_body(message, length)
    # Reading a field is its check; what was read is kept.
    _, method = message.cseq
    _ = message.via
    if isinstance(message, Response):
        # From in a response is our own, and To matters where it makes a dialog: what isn't needed can't be fatal.
        if method == "INVITE" and 200 <= message.status < 300:
            _ = message.to
    elif method != message.method:
        raise SipSyntaxError(f"CSeq says {shorten(method)}, the request line {shorten(message.method)}")
    else:
        _ = message.from_
        _ = message.to
    if strict:
        from bridge_monitor.sip.strict import check_message

        check_message(message)
    return message


def scan_message(data: bytes) -> Request | Response:
    """Take a datagram apart into start line, header fields and body, without reading any field.

    Raises:
        SipSyntaxError: Not even that can be done.
    """
    if data[:2] == b"\r\n":
        data = data.lstrip(b"\r\n")
    end = data.find(b"\r\n\r\n")
    if end < 0:
        raise SipSyntaxError("no empty line ends the header fields")
    head = data[:end].decode("utf-8", "surrogateescape")
    if "\r\n " in head or "\r\n\t" in head:
        head = _unfold(head)
    start_line, *lines = head.split("\r\n")
    if head.count("\n") != len(lines) or head.count("\r") != len(lines):
        raise SipSyntaxError("a CR or LF stands alone")
    headers = _usual_headers(lines) or _read_headers(lines)
    body = data[end + 4 :]
    if start_line[:8].upper() == "SIP/2.0 ":
        status, _, reason = start_line[8:].partition(" ")
        if len(status) != 3 or not is_digits(status) or not "1" <= status[0] <= "6":
            raise SipSyntaxError(f"bad status line: {shorten(start_line)}")
        return Response(int(status), readable(reason), headers, body)
    fields = start_line.split(" ")
    if len(fields) != 3 or not is_token(fields[0]) or not fields[1]:
        raise SipSyntaxError(f"bad start line: {shorten(start_line)}")
    if fields[2].upper() != "SIP/2.0":
        raise SipSyntaxError(f"unknown protocol version: {shorten(fields[2])}")
    return Request(fields[0], fields[1], headers, body)


def _usual_headers(lines: list[str]) -> Headers | None:
    """Read lines of which each has another of the usual names, as in most answers; None if it is otherwise."""
    try:
        headers = {_USUAL_NAMES[(pair := line.split(":", 1))[0]]: [pair[1].strip(WHITESPACE)] for line in lines}
    except LookupError:
        return None
    return headers if len(headers) == len(lines) else None


def _read_headers(lines: list[str]) -> Headers:
    headers: Headers = {}
    for line in lines:
        title, colon, value = line.partition(":")
        name = (_USUAL_NAMES.get(title) if colon else None) or _field_name(title, line)
        value = value.strip(WHITESPACE)
        if name in headers:
            headers[name].append(value)
        else:
            headers[name] = [value]
    return headers


def _field_name(title: str, line: str) -> str:
    """Return a header field's long name in lower case."""
    name = title.rstrip(WHITESPACE).lower()
    if len(title) == len(line) or not is_token(name):
        raise SipSyntaxError(f"no header field: {shorten(line)}")
    return COMPACT_FORMS.get(name, name)


def _cut_body(message: Message, values: list[str]) -> None:
    length = number(values[0], 2**32 - 1, "Content-Length")
    if len(values) > 1 and any(value != values[0] for value in values):
        raise SipSyntaxError("several Content-Length header fields that differ")
    if length > len(message.body):
        raise SipSyntaxError(f"Content-Length is {length}, the body has {len(message.body)} bytes")
    if length < len(message.body):
        message.body = message.body[:length]


def _unfold(head: str) -> str:
    # A line that begins with whitespace continues the one before (§7.3.1).
    first, *rest = head.split("\r\n")
    lines = [first]
    for line in rest:
        if line[:1] in (" ", "\t"):
            if len(lines) == 1:
                raise SipSyntaxError("the start line is folded")
            lines[-1] = f"{lines[-1].rstrip(WHITESPACE)} {line.lstrip(WHITESPACE)}"
        else:
            lines.append(line)
    return "\r\n".join(lines)


def _long_name(name: str) -> str:
    name = name.lower()
    return COMPACT_FORMS.get(name, name)


def _title(name: str) -> str:
    return _TITLES.get(name) or "-".join(part.capitalize() for part in name.split("-"))


_TITLES: Final = {"call-id": "Call-ID", "cseq": "CSeq", "www-authenticate": "WWW-Authenticate", "rack": "RAck",
                  "rseq": "RSeq", "mime-version": "MIME-Version"}  # fmt: skip

_USUAL_NAMES: Final = {_title(name): name for name in (
    "via", "from", "to", "call-id", "cseq", "contact", "content-type", "content-length", "max-forwards", "user-agent",
    "server", "allow", "supported", "record-route", "route", "accept", "date", "expires", "require",
)}  # fmt: skip
"""Header fields by their usual spelling: most that come are these."""

"""Messages out of a stream of bytes (RFC 3261 §18.3), and the keep-alives between them (RFC 5626 §3.5.1).

Owns where a message ends: by its Content-Length alone. Must not read a message: what it means is the agent's.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.grammar import number

PING: Final = b"\r\n\r\n"
"""What the side that made the connection sends to keep it alive; the other answers with `PONG` (RFC 5626 §4.4.1)."""
PONG: Final = b"\r\n"

LARGEST_MESSAGE: Final = 65535
"""As large as a datagram can be: no peer makes us keep more of an unfinished message."""


class StreamReader:
    """Takes one connection's bytes, however they are cut, and gives whole messages.

    Attributes:
        violation: Why the stream can't be read any further, or None. Where one message ends is lost then, and with it
            where the next begins: the connection is of no use any more.
        offender: The message that did it, as far as it had come.
    """

    def __init__(self) -> None:
        self.violation: str | None = None
        self.offender = b""
        self._buffer = bytearray()
        self._scanned = 0
        self._size = 0
        self._half_ping = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the messages they complete, in order, and `PING` or `PONG` for each keep-alive.

        A lone CRLF is told as `PONG` at once; if another follows by itself, that is told as `PING`.
        """
        frames: list[bytes] = []
        if self.violation is not None:
            return frames
        buffer = self._buffer
        buffer += data
        while buffer:
            if not self._size and not self._find_end(frames):
                break
            if len(buffer) < self._size:
                break
            frames.append(bytes(buffer[: self._size]))
            del buffer[: self._size]
            self._size = self._scanned = 0
        return frames

    def _find_end(self, frames: list[bytes]) -> bool:
        """Find out how long the message at the front is; False if its head isn't all here, or can't be used."""
        buffer = self._buffer
        if not self._scanned:
            self._take_keep_alives(frames)
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            # The part of a keep-alive is no message yet.
            self._scanned = 0 if len(buffer) <= 3 and bytes(buffer) in (b"\r", b"\r\n\r") else len(buffer)
            if len(buffer) > LARGEST_MESSAGE:
                self._violate(f"a head of more than {LARGEST_MESSAGE} bytes")
            return False
        head = bytes(buffer[:end])
        try:
            self._size = len(head) + 4 + content_length(head)
        except SipSyntaxError as error:
            self._violate(str(error), head + b"\r\n\r\n")
            return False
        if self._size > LARGEST_MESSAGE:
            self._violate(f"a message of more than {LARGEST_MESSAGE} bytes", head + b"\r\n\r\n")
            return False
        return True

    def _take_keep_alives(self, frames: list[bytes]) -> None:
        buffer = self._buffer
        while buffer:
            if buffer[0] == 0:  # what some keep address translators awake with
                del buffer[0]
            elif self._half_ping and buffer == b"\r":
                return
            elif self._half_ping and buffer.startswith(PONG):
                self._half_ping = False
                frames.append(PING)
                del buffer[: len(PONG)]
            elif buffer.startswith(PING):
                frames.append(PING)
                del buffer[: len(PING)]
            elif buffer.startswith(PONG) and buffer != b"\r\n\r":
                frames.append(PONG)
                del buffer[: len(PONG)]
                self._half_ping = not buffer
            else:
                self._half_ping = False
                return

    def _violate(self, what: str, offender: bytes | None = None) -> None:
        self.violation = what
        self.offender = bytes(self._buffer[:LARGEST_MESSAGE]) if offender is None else offender
        self._buffer.clear()
        self._size = 0


def content_length(head: bytes) -> int:
    """Return the Content-Length of a message's head: start line and header fields, without the empty line.

    Raises:
        SipSyntaxError: There is none, which a stream can't do without (§18.3, §20.14), or it is no number, or two
            differ.
    """
    found: list[bytes] = []
    name = b""
    for line in head.split(b"\r\n")[1:]:
        if line[:1] in (b" ", b"\t"):  # the line before goes on (§7.3.1)
            if name in (b"content-length", b"l"):
                found[-1] = (found[-1] + b" " + line.strip()).strip()
            continue
        title, _, value = line.partition(b":")
        name = title.strip().lower()
        if name in (b"content-length", b"l"):
            found.append(value.strip())
    if not found:
        raise SipSyntaxError("no Content-Length, which a stream can't do without")
    if any(value != found[0] for value in found):
        raise SipSyntaxError("several Content-Length header fields that differ")
    return number(found[0].decode("utf-8", "replace"), 2**32 - 1, "Content-Length")

"""A room written by hand, for orders of messages that no real peer can be made to send; nothing of our parser is in it.

Owns plain text in and out; must not import the package.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any

Address = tuple[str, int]
Script = Callable[[str], Iterable[str]]
"""From a request to what is sent back, in order."""


def header(message: str, name: str) -> str:
    """Return the first value of a header field."""
    found = re.search(rf"^{name}: *(.*?)\r$", message, re.MULTILINE | re.IGNORECASE)
    assert found, f"no {name} in {message}"
    return found[1]


class Echo(asyncio.DatagramProtocol):
    """Sends each datagram back.

    Attributes:
        lost: Places of those that it keeps, from 1.
    """

    def __init__(self) -> None:
        self.lost: set[int] = set()
        self._place = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._place += 1
        if self._place not in self.lost:
            self._transport.sendto(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Leave ICMP errors aside: the caller is gone."""


class Room(asyncio.DatagramProtocol):
    """Answers by a script for each method; without one, it says nothing.

    Attributes:
        requests: Every request received, in order.
        responses: Every response received, in order.
        script: What to send back, by method.
        rtp_port: Where it echoes RTP.
        echo: What it does with RTP.
        video_port: Where it echoes video.
        video_echo: What it does with video.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.port = 0
        self.rtp_port = 0
        self.requests: list[str] = []
        self.responses: list[str] = []
        self.script: dict[str, Script] = {}
        self.echo = Echo()
        self.video_port = 0
        self.video_echo = Echo()
        self._arrived = asyncio.Event()

    @classmethod
    async def open(cls, host: str) -> Room:
        """Bind its two sockets."""
        loop = asyncio.get_running_loop()
        room = cls(host)
        room._sip, _ = await loop.create_datagram_endpoint(lambda: room, local_addr=(host, 0))
        room._media, _ = await loop.create_datagram_endpoint(lambda: room.echo, local_addr=(host, 0))
        room._video, _ = await loop.create_datagram_endpoint(lambda: room.video_echo, local_addr=(host, 0))
        room.video_port = room._video.get_extra_info("sockname")[1]
        room.port = room._sip.get_extra_info("sockname")[1]
        room.rtp_port = room._media.get_extra_info("sockname")[1]
        return room

    def close(self) -> None:
        self._sip.close()
        self._media.close()
        self._video.close()

    @property
    def uri(self) -> str:
        return f"sip:room@{self.host}:{self.port}"

    @property
    def methods(self) -> list[str]:
        """Return the methods received, in order, repeated ones too."""
        return [request.split()[0] for request in self.requests]

    def datagram_received(self, data: bytes, addr: Address) -> None:
        message = data.decode("utf-8", "replace")
        if message.startswith("SIP/2.0"):
            self.responses.append(message)
        else:
            self.requests.append(message)
            for reply in self.script.get(message.split()[0], lambda _request: ())(message):
                self._sip.sendto(reply.encode(), addr)
        self._arrived.set()

    def error_received(self, exc: Exception) -> None:
        """Leave ICMP errors aside: the caller is gone."""

    def send(self, message: str, to: Address) -> None:
        self._sip.sendto(message.encode(), to)

    async def until(self, reached: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until something is true after a message has arrived."""
        async with asyncio.timeout(seconds):
            while not reached():
                self._arrived.clear()
                await self._arrived.wait()

    async def until_it_has(self, method: str, count: int = 1) -> None:
        """Wait until a request was received so many times."""
        await self.until(lambda: self.methods.count(method) >= count)

    def sdp(self, *, host: str | None = None, port: int | None = None, formats: str = "0") -> str:
        """Return an answer that leads to the echo."""
        return (
            f"v=0\r\no=room 1 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {host or self.host}\r\nt=0 0\r\n"
            f"m=audio {port or self.rtp_port} RTP/AVP {formats}\r\n"
        )

    def sdp_with_video(self, *attributes: str, mode: int = 1, port: int | None = None, host: str | None = None) -> str:
        """Return an answer that leads to both echoes, H.264 under a number of its own."""
        lines = [
            f"m=video {self.video_port if port is None else port} RTP/AVP 99",
            f"c=IN IP4 {host or self.host}",
            "a=rtpmap:99 H264/90000",
            f"a=fmtp:99 packetization-mode={mode}; profile-level-id=42e01f",
            *(f"a={attribute}" for attribute in attributes),
        ]
        return self.sdp() + "".join(f"{line}\r\n" for line in lines)

    def answers(self, *, sdp: str | None = None) -> None:
        """Answer calls and end them as is right."""
        body = self.sdp() if sdp is None else sdp
        self.script["INVITE"] = lambda request: [self.response(request, "200 OK", body=body)]
        self.script["BYE"] = lambda request: [self.response(request, "200 OK")]

    def response(self, request: str, status: str, *extra: str, body: str = "", cseq: str | None = None) -> str:
        """Return a response to a request."""
        to = header(request, "To")
        lines = [
            f"SIP/2.0 {status}",
            f"Via: {header(request, 'Via')}",
            f"From: {header(request, 'From')}",
            f"To: {to}" if "tag=" in to or status.startswith("100") else f"To: {to};tag=room",
            f"Call-ID: {header(request, 'Call-ID')}",
            f"CSeq: {cseq or header(request, 'CSeq')}",
            f"Contact: <{self.uri}>",
            *extra,
        ]
        if body:
            lines.append("Content-Type: application/sdp")
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])

    def request(self, invite: str, method: str, number: int = 1, *, body: str = "") -> str:
        """Return a request of the room's inside the call that an INVITE began."""
        contact = re.search(r"<(.*)>", header(invite, "Contact"))
        assert contact
        lines = [
            f"{method} {contact[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bKroom{method}{number}",
            "Max-Forwards: 70",
            f"From: {header(invite, 'To')};tag=room",
            f"To: {header(invite, 'From')}",
            f"Call-ID: {header(invite, 'Call-ID')}",
            f"CSeq: {number} {method}",
            f"Contact: <{self.uri}>",
        ]
        if body:
            lines.append("Content-Type: application/sdp")
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])

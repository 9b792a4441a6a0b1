"""Rigs for the simulated nation: a SIP caller written by hand, and all rooms' media driven without their process.

Nothing of our SIP stack is in the caller, so that it doesn't vouch for itself.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge_monitor.net.mmsg import ip_number
from bridge_monitor.rtp.packet import RtpPacket, parse_packet
from bridge_monitor.sim.assignment import SimulatedSite
from bridge_monitor.sim.board import HAMPERS_FROM_ROOM, HAMPERS_TO_ROOM, Board
from bridge_monitor.sim.reflector import Reflector, ReflectorSettings
from bridge_monitor.sim.wire import MediaSockets


@dataclass
class Caller:
    """A SIP caller on 127.0.0.1 with one RTP socket and one RTCP socket beside it."""

    sip: socket.socket
    rtp: socket.socket
    rtcp: socket.socket
    number: int = 0
    tag: str = ""
    remote_contact: str = ""
    invite: str = ""
    answer: str = ""
    remote_rtp: tuple[str, int] = ("", 0)
    sources: set[tuple[str, int]] = field(default_factory=set)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.sip.getsockname()
        return host, port

    def offer(self) -> str:
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self.rtp.getsockname()[1]} RTP/AVP 0 8\r\na=rtcp:{self.rtcp.getsockname()[1]}\r\n"
        )

    def request(
        self, method: str, uri: str, *, cseq: int = 1, body: str = "", branch: str = "", to_tag: str = ""
    ) -> str:
        host, port = self.address
        branch = branch or f"z9hG4bK{method}{self.number}{cseq}"
        to_tag = f";tag={to_tag}" if to_tag else ""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:test@{host}>;tag=from{self.number}\r\nTo: <{uri}>{to_tag}\r\n"
            f"Call-ID: {self.number}@{host}:{port}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:test@{host}:{port}>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def send(self, text: str, room: tuple[str, int]) -> None:
        self.sip.sendto(text.encode(), room)

    async def receive(self, within: float = 3.0) -> tuple[str, tuple[str, int]]:
        """Return the next SIP datagram and where it came from."""
        async with asyncio.timeout(within):
            data, source = await asyncio.get_running_loop().sock_recvfrom(self.sip, 65535)
        return data.decode(), source

    async def final(self, within: float = 3.0) -> int:
        """Return the status of the next final response."""
        while True:
            text, _ = await self.receive(within)
            status = int(text.split(" ", 2)[1])
            if status >= 200:
                self.answer = text
                self.tag = re.search(r"^To:.*;tag=(\S+)", text, re.MULTILINE)[1]  # type: ignore[index]
                return status

    async def call(self, room: tuple[str, int]) -> int:
        """Send an INVITE, acknowledge what comes, and return its status."""
        self.number += 1
        uri = f"sip:room@{room[0]}:{room[1]}"
        self.invite = self.request("INVITE", uri, body=self.offer())
        self.send(self.invite, room)
        status = await self.final()
        branch = "" if status < 300 else f"z9hG4bKINVITE{self.number}1"
        self.send(self.request("ACK", uri, branch=branch, to_tag=self.tag), room)
        if status == 200:
            body = self.answer.partition("\r\n\r\n")[2]
            self.remote_rtp = (
                re.search(r"^c=IN IP4 (\S+)", body, re.MULTILINE)[1],  # type: ignore[index]
                int(re.search(r"^m=audio (\d+)", body, re.MULTILINE)[1]),  # type: ignore[index]
            )
        return status

    async def hang_up(self, room: tuple[str, int]) -> int:
        """Send a BYE and return its status."""
        self.send(self.request("BYE", f"sip:room@{room[0]}:{room[1]}", cseq=2, to_tag=self.tag), room)
        return await self.final()

    def stream(self, count: int, *, first: int = 0, payload: bytes = b"\xff" * 160, ssrc: int = 0x1234) -> None:
        """Send RTP packets at once."""
        for number in range(first, first + count):
            packet = RtpPacket(0, number & 0xFFFF, number * 160 & 0xFFFFFFFF, ssrc, payload)
            self.rtp.sendto(packet.to_bytes(), self.remote_rtp)

    def heard(self) -> list[RtpPacket]:
        """Return what waits on the RTP socket."""
        packets: list[RtpPacket] = []
        while True:
            try:
                data, source = self.rtp.recvfrom(65535)
            except BlockingIOError:
                return packets
            self.sources.add(source)
            packets.append(parse_packet(data))

    async def hear(self, count: int, within: float = 3.0) -> list[RtpPacket]:
        """Return RTP packets until so many have come."""
        packets = self.heard()
        async with asyncio.timeout(within):
            while len(packets) < count:
                await asyncio.sleep(0.005)
                packets += self.heard()
        return packets

    async def reported(self, within: float = 3.0) -> bytes:
        """Return the next RTCP datagram."""
        async with asyncio.timeout(within):
            return await asyncio.get_running_loop().sock_recv(self.rtcp, 65535)


@dataclass
class MediaBench:
    """A reflector driven by hand, its clock as far ahead as a test wants."""

    sites: list[SimulatedSite]
    board: Board
    sockets: MediaSockets
    settings: ReflectorSettings
    caller: Caller
    ahead_ns: int = 0
    reflector: Reflector = field(init=False)

    def __post_init__(self) -> None:
        self.reflector = Reflector(self.board, self.sockets, self.settings, self.clock)

    def clock(self) -> int:
        return time.time_ns() + self.ahead_ns

    def begin(self, row: int = 0, site: int = 0, *, serial: int = 1) -> None:
        """Begin a call of the caller's on a row."""
        board = self.board
        board.site[row] = site
        board.caller_ip[row] = ip_number("127.0.0.1")
        board.caller_rtp_port[row] = self.caller.rtp.getsockname()[1]
        board.caller_rtcp_port[row] = self.caller.rtcp.getsockname()[1]
        board.ssrc[row] = 0xABCD0000 + row
        board.first_sequence[row] = 65530
        board.first_timestamp[row] = 2**32 - 800
        board.serial[row] = serial
        board.changes.tell(row)
        self.caller.remote_rtp = (self.sites[site].host, self.sockets.port(row % self.board.size.slots))

    def end(self, row: int = 0) -> None:
        self.board.ended_ns[row] = time.time_ns()
        self.board.serial[row] = 0
        self.board.changes.tell(row)

    def round(self) -> int:
        """Do one round over all sockets."""
        return self.reflector.round(range(len(self.sockets.sockets)))

    def set(self, site: int = 0, **columns: float) -> None:
        """Set columns of a line."""
        for name, value in columns.items():
            getattr(self.board, name)[site] = value
        self.board.impaired[site] = HAMPERS_TO_ROOM | HAMPERS_FROM_ROOM


NewCaller = Callable[[], Caller]
NewBench = Callable[..., MediaBench]

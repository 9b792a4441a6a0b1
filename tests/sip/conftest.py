"""A user agent under test in virtual time: alone with a hand-driven peer, or two of them over a network that drops."""

from __future__ import annotations

import functools
import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge_monitor.sdp import audio_offer
from bridge_monitor.sip import (
    Address,
    Event,
    Request,
    Response,
    SipUri,
    StreamAddress,
    UserAgent,
    parse_message,
    respond,
)
from bridge_monitor.sip.message import scan_message

HERE: Address = ("192.0.2.1", 5060)
ROOM: Address = ("192.0.2.9", 5070)
OFFER = audio_offer(host=HERE[0], rtp_port=40000, session_id=1).to_bytes()
ANSWER = audio_offer(host=ROOM[0], rtp_port=50000, session_id=2).to_bytes()
LATENCY = 1 / 16
"""One way, seconds; a binary fraction, so that times of retransmission are exact."""


def make_agent(local: Address, prefix: str, *, answering: bool = False) -> UserAgent:
    counter = itertools.count(1)
    return UserAgent(local=local, token=lambda: f"{prefix}{next(counter)}", answering=answering)


def assert_nothing_left(agent: UserAgent) -> None:
    """No call, transaction, timer or event may outlive its time."""
    core = agent._core
    assert not core.calls
    assert not core.clients
    assert not core.pending
    assert not core.servers
    assert not agent._answerer._repeaters
    assert len(core.timers) == 0
    assert agent.get_timer() is None


@dataclass
class Sent:
    """One message that the agent under test sent."""

    at: float
    message: Request | Response
    destination: Address
    data: bytes

    @property
    def kind(self) -> str:
        message = self.message
        return message.method if isinstance(message, Request) else f"{message.status} {message.cseq[1]}"


class Peer:
    """One agent, whose peer is the test itself."""

    offer = OFFER
    answer = ANSWER

    def __init__(self, *, answering: bool = False, room: Address = ROOM) -> None:
        self.agent = make_agent(HERE, "t", answering=answering)
        self.room = room
        """Where the peer is: the transport between the two is this address's."""
        self.now = 0.0
        self.sent: list[Sent] = []
        self.events: list[Event] = []
        self.strict = True
        """Whether all that the agent sends must pass the strict parser; a 400 repeats what was malformed."""
        self._taken = 0

    def settle(self) -> None:
        for data, destination in self.agent.datagrams_to_send():
            message = parse_message(data, strict=True) if self.strict else scan_message(data)
            self.sent.append(Sent(self.now, message, destination, data))
        while (event := self.agent.next_event()) is not None:
            self.events.append(event)

    def advance(self, until: float) -> None:
        """Let time pass, firing each timer at its exact time."""
        while (timer := self.agent.get_timer()) is not None and timer <= until:
            self.now = max(timer, self.now)
            self.agent.handle_timer(self.now)
            self.settle()
        self.now = until

    def receive(self, data: bytes, source: Address | None = None) -> None:
        self.agent.receive_datagram(data, source or self.room, self.now)
        self.settle()

    def invite(self, *, answer_timeout: float = 10.0, **options: Any) -> str:
        uri = SipUri.parse("sip:room@192.0.2.9:5070")
        call_id = self.agent.invite(uri, self.room, OFFER, self.now, answer_timeout=answer_timeout, **options)
        self.settle()
        return call_id

    def reply(self, status: int, reason: str | None = None, *, to: Sent | None = None, **options: Any) -> bytes:
        """Send a response to the last request of the agent (or to that one), and return it."""
        request = (to or self.last_request()).message
        assert isinstance(request, Request)
        if status > 100:
            options.setdefault("to_tag", "room")
        if request.method == "INVITE" and 200 <= status < 300:
            options.setdefault("contact", "<sip:room@192.0.2.9:5070>")
            options.setdefault("body", ANSWER)
        data = respond(request, status, reason, source=HERE, **options)
        self.receive(data)
        return data

    def last_request(self) -> Sent:
        return next(sent for sent in reversed(self.sent) if isinstance(sent.message, Request))

    def assert_nothing_left(self) -> None:
        """Let the longest timer pass; then the agent must have forgotten everything."""
        self.advance(self.now + 100.0)
        assert_nothing_left(self.agent)

    def take_sent(self) -> list[Sent]:
        """Return what was sent since the last time."""
        fresh, self._taken = self.sent[self._taken :], len(self.sent)
        return fresh

    def kinds(self) -> list[str]:
        """Return the kinds of what was sent since the last time."""
        return [sent.kind for sent in self.take_sent()]

    def times(self, kind: str) -> list[float]:
        return [sent.at for sent in self.sent if sent.kind == kind]

    def take_events(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def answered(self) -> str:
        """Place a call, let it be answered and acknowledge it; forget all that until here."""
        call_id = self.invite()
        self.reply(200)
        self.agent.acknowledge(call_id, self.now)
        self.settle()
        self.take_sent()
        self.take_events()
        return call_id

    def request(
        self, method: str, *, call: Sent | None = None, cseq: int = 1, branch: str = "z9hG4bKpeer", body: bytes = b"",
        to_tag: str | None = "", call_id: str = "strange", extra: str = "", uri: str = "sip:kiemtra@192.0.2.1:5060",
    ) -> bytes:  # fmt: skip
        """Send the agent a request, inside the dialog that `call` (its INVITE) began or out of the blue."""
        from_, to = "<sip:room@192.0.2.9>;tag=room", "<sip:kiemtra@192.0.2.1>"
        if call is not None:
            invite = call.message
            call_id = invite.call_id
            from_ = f"{invite.headers['to'][0]};tag=room"
            to = invite.headers["from"][0]
        elif to_tag:
            to += f";tag={to_tag}"
        if body:
            extra += "Content-Type: application/sdp\r\n"
        data = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5070;rport;branch={branch}\r\nMax-Forwards: 70\r\n"
            f"From: {from_}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:room@192.0.2.9:5070>\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.receive(data)
        return data


@dataclass(order=True)
class _Flight:
    at: float
    serial: int
    data: bytes = field(compare=False)
    source: Address = field(compare=False)
    destination: Address = field(compare=False)


class Network:
    """Two agents over a network with a fixed latency; messages are numbered from 0 in the order they are sent."""

    offer = OFFER
    answer = ANSWER

    def __init__(self) -> None:
        self.now = 0.0
        self.agents = {HERE: make_agent(HERE, "a"), ROOM: make_agent(ROOM, "b", answering=True)}
        self.caller, self.room = self.agents[HERE], self.agents[ROOM]
        self.lost: Callable[[int, Sent], bool] = lambda _number, _sent: False
        self.on_event: Callable[[UserAgent, Event], None] = lambda _agent, _event: None
        self.sent: list[Sent] = []
        self.events: dict[Address, list[Event]] = {HERE: [], ROOM: []}
        self._flying: list[_Flight] = []
        self._plans: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._plans, (when, next(self._serial), action))

    def run(self, until: float) -> None:
        """Let everything happen up to then, in order."""
        self._settle()
        while (when := min(self._dates(), default=None)) is not None and when <= until:
            self.now = max(when, self.now)
            while self._plans and self._plans[0][0] <= self.now:
                heapq.heappop(self._plans)[2]()
            while self._flying and self._flying[0].at <= self.now:
                flight = heapq.heappop(self._flying)
                self.agents[flight.destination].receive_datagram(flight.data, flight.source, self.now)
            for agent in self.agents.values():
                agent.handle_timer(self.now)
            self._settle()
        self.now = until

    def times(self, kind: str) -> list[float]:
        return [sent.at for sent in self.sent if sent.kind == kind]

    def assert_nothing_left(self) -> None:
        for agent in self.agents.values():
            assert_nothing_left(agent)

    def _dates(self) -> Iterator[float]:
        for agent in self.agents.values():
            if (timer := agent.get_timer()) is not None:
                yield timer
        if self._flying:
            yield self._flying[0].at
        if self._plans:
            yield self._plans[0][0]

    def _settle(self) -> None:
        for local, agent in self.agents.items():
            while (event := agent.next_event()) is not None:
                self.events[local].append(event)
                self.on_event(agent, event)
            for data, destination in agent.datagrams_to_send():
                number = len(self.sent)
                sent = Sent(self.now, parse_message(data, strict=True), destination, data)
                self.sent.append(sent)
                if not self.lost(number, sent):
                    flight = _Flight(self.now + LATENCY, next(self._serial), data, local, destination)
                    heapq.heappush(self._flying, flight)


@pytest.fixture
def peer() -> Peer:
    """A caller whose peer is the test."""
    return Peer()


@pytest.fixture(params=["tcp", "tls"])
def streamed(request: pytest.FixtureRequest) -> Peer:
    """A caller whose peer is reached over a stream."""
    return Peer(room=StreamAddress(*ROOM, request.param))


@pytest.fixture
def called() -> Peer:
    """An agent that takes calls, whose peer is the test."""
    return Peer(answering=True)


@pytest.fixture(scope="session")
def make_peer() -> Callable[[], Peer]:
    """The maker of answering agents, for property tests that need a fresh one each time."""
    return functools.partial(Peer, answering=True)


@pytest.fixture
def network() -> Network:
    """A caller and an answering room over a network."""
    return Network()

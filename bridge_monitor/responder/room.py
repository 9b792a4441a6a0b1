"""The responder's SIP, sans I/O: who is answered, who is not, and when a call is over.

Owns the bounds: calls at once, answers that nobody acknowledged, calls without packets. Must not touch sockets or
clocks. Whatever comes in, at most one datagram leaves for it, and to its source alone, until the sender has proved that
it is there, by an ACK; only the 200 of an answered call, and the BYE that ends one without ACK, are repeated before
(RFC 3261 §13.3.1.4), and few of those calls may wait at once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.responder.settings import ResponderSettings, is_address
from bridge_monitor.sdp import AudioAnswer, NegotiationFailure, answer_audio, negotiate_audio
from bridge_monitor.sim.media import MediaCall
from bridge_monitor.sip import (
    Acknowledged,
    Address,
    ByeCompleted,
    Ended,
    Event,
    Invited,
    Request,
    SessionChanged,
    TimedOut,
    TransportFailed,
    UserAgent,
    parse_message,
    respond,
    response_destination,
)

LOOK_SECONDS: Final = 1.0
"""How often calls are looked at for missing packets."""

MOST_PACKETS_PER_SECOND: Final = 250
"""G.711 in packets of 10 ms is 100. More is no call, but a load, or two echoes that answer each other."""

EndedBy = Literal["caller", "no_packets", "too_many", "too_long", "no_ack", "stopped"]


class MediaPort(Protocol):
    """Where calls' media begins and ends (`sim.media.Media`); the responder has as many lines as rows."""

    def reserve(self, site: int) -> int | None:
        """Return a free row, or None."""

    def ports(self, row: int) -> tuple[int, int]:
        """Return the row's RTP and RTCP port."""
        ...

    def begin(self, row: int, site: int, call: MediaCall) -> None:
        """Begin the row's media."""

    def end(self, row: int) -> None:
        """End the row's media."""

    def mute(self, site: int, *, muted: bool) -> None:
        """Have a line be silent, or not."""


@dataclass(slots=True)
class Tally:
    """What befell the responder since its start.

    Attributes:
        answered: Calls taken.
        busy: Calls that found no room.
        refused: Calls it could not take: no G.711, no address to send to.
        options: OPTIONS requests answered.
        ignored: Datagrams that got no answer: of networks not allowed, or of hosts that acknowledge nothing.
        ended: Calls over, by who or what ended them.
    """

    answered: int = 0
    busy: int = 0
    refused: int = 0
    options: int = 0
    ignored: int = 0
    ended: Counter[EndedBy] = field(default_factory=Counter)


@dataclass(slots=True)
class _Call:
    host: str
    since: float
    row: int
    first_packets: int
    packets: int
    heard_at: float
    looked_at: float
    up: bool = True
    proven: bool = False
    ended_by: EndedBy = "caller"


class EchoRoom:
    """One room that takes every call at once and gives back what it hears.

    Args:
        settings: Its bounds.
        media: Where media begins and ends.
        token: Makes tags and branches.
        packets: Gives the RTP packets that a row has received so far.
        own_ports: Local ports of the media: a call that wants its echo there would echo for ever.
        on_ended: Is told of each call that is over: what ended it, how many seconds it lasted, its packets.
    """

    def __init__(
        self,
        settings: ResponderSettings,
        media: MediaPort,
        token: Callable[[], str],
        packets: Callable[[int], int],
        *,
        own_ports: frozenset[int] = frozenset(),
        on_ended: Callable[[EndedBy, float, int], None] = lambda _by, _seconds, _packets: None,
    ) -> None:
        self._settings = settings
        self._media = media
        self._packets = packets
        self._own_ports = own_ports
        self._on_ended = on_ended
        self._secret = token().encode()
        self._agent = UserAgent(
            local=(settings.reached_by, settings.port),
            token=token,
            user="echo",
            display_name="bridge_monitor responder",
            product="bridge_monitor responder",
            answering=True,
            strangers=True,
        )
        self._calls: dict[str, _Call] = {}
        self._session_number = 0
        self._look_at: float | None = None
        self._out: list[tuple[bytes, Address]] = []
        self._tally = Tally()

    # --- verbs -------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram."""
        if not self._settings.allows(source[0]):
            self._tally.ignored += 1
            return
        data = data.lstrip(b"\r\n")  # as the parser does (§7.5): the bounds must see what it sees
        if data.startswith(b"INVITE ") and self._turn_away(data, source):
            return
        self._tally.options += data.startswith(b"OPTIONS ")
        self._agent.receive_datagram(data, source, now)
        self._pump(now)

    def get_timer(self) -> float | None:
        """Return when `handle_timer` must be called next, or None."""
        due = [at for at in (self._agent.get_timer(), self._look_at) if at is not None]
        return min(due, default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due: retransmissions, and the end of calls without packets."""
        self._agent.handle_timer(now)
        if self._look_at is not None and self._look_at <= now:
            for call_id, call in list(self._calls.items()):
                self._look(call_id, call, now)
            self._look_at = now + LOOK_SECONDS
        self._pump(now)

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Drain what is to be sent."""
        out, self._out = self._out, []
        return out

    def hang_up(self, now: float) -> None:
        """End every call."""
        for call_id, call in list(self._calls.items()):
            self._end(call_id, call, "stopped", now)
        self._pump(now)

    # --- facts -------------------------------------------------------------------------------------------------------

    @property
    def calls_open(self) -> int:
        """Calls that something is left to end of."""
        return len(self._calls)

    @property
    def calls_up(self) -> int:
        """Calls whose media run."""
        return sum(call.up for call in self._calls.values())

    @property
    def tally(self) -> Tally:
        """What befell it since its start."""
        return replace(self._tally, ended=self._tally.ended.copy())

    # --- conduct -----------------------------------------------------------------------------------------------------

    def _turn_away(self, data: bytes, source: Address) -> bool:
        """Deal with an INVITE that gets no call: without an answer, or with one that is never repeated."""
        unproven = sum(call.host == source[0] and not call.proven for call in self._calls.values())
        if unproven < self._settings.unproven_per_host and self.calls_up < self._settings.calls:
            return False
        try:
            request = parse_message(data)
            assert isinstance(request, Request)  # noqa: S101 - no status line begins like this
            if request.to.tag is not None or request.call_id in self._calls:
                return False  # of a call that is up: the user agent's affair
            if unproven >= self._settings.unproven_per_host:
                self._tally.ignored += 1
                return True
            # Without state (RFC 3261 §8.2.7): a repeated INVITE gets the same tag; a lost answer is asked for again.
            tag = hashlib.blake2s(request.call_id.encode(), key=self._secret[:32], digest_size=8).hexdigest()
            reply = respond(request, 486, to_tag=tag, source=source)
        except (SipSyntaxError, KeyError):
            return False
        self._tally.busy += 1
        self._out.append((reply, response_destination(request, source)))
        return True

    def _pump(self, now: float) -> None:
        while (event := self._agent.next_event()) is not None:
            self._act(event, now)
        self._out += self._agent.datagrams_to_send()

    def _act(self, event: Event, now: float) -> None:
        match event:
            case Invited():
                self._invited(event, now)
            case SessionChanged(call_id=call_id, offer=offer, answer=answer):
                self._move(call_id, offer, answer)
            case Acknowledged(call_id=call_id):
                if call_id in self._calls:
                    self._calls[call_id].proven = True
            case Ended(call_id=call_id):
                self._over(call_id, now)
            case ByeCompleted(call_id=call_id) | TimedOut(call_id=call_id) | TransportFailed(call_id=call_id):
                # What we ended has its reason; what the agent ended by itself had no ACK (§13.3.1.4).
                call = self._calls.get(call_id)
                if call is not None and call.up:
                    call.ended_by = "no_ack"
                self._over(call_id, now)
            case _:
                pass

    def _invited(self, event: Invited, now: float) -> None:
        row = self._media.reserve(0)
        agreed = None
        answer = None
        if row is not None:
            rtp_port, rtcp_port = self._media.ports(row)
            self._session_number += 1
            answer = answer_audio(
                event.sdp,
                host=self._settings.reached_by,
                rtp_port=rtp_port,
                rtcp_port=rtcp_port,
                session_id=self._session_number,
                name="echo",
            )
            agreed = None if isinstance(answer, NegotiationFailure) else self._agreed(answer.to_bytes(), event.sdp)
        if row is None or agreed is None or answer is None or isinstance(answer, NegotiationFailure):
            self._tally.refused += 1
            self._agent.refuse(event.call_id, 488 if row is not None else 486, now)
            return
        # Media first: the caller's first packet may follow the 200 at once.
        self._media.mute(row, muted=False)
        self._media.begin(row, row, _media_call(agreed, event.source[0]))
        packets = self._packets(row)
        self._calls[event.call_id] = _Call(event.source[0], now, row, packets, packets, now, now)
        self._tally.answered += 1
        if self._look_at is None:
            self._look_at = now + LOOK_SECONDS
        self._agent.accept(event.call_id, answer.to_bytes(), now)

    def _move(self, call_id: str, offer: bytes, answer: bytes) -> None:
        """Send the echo where a re-INVITE wants it; on hold (RFC 3264 §8.4) nowhere."""
        call = self._calls.get(call_id)
        if call is None or not call.up:
            return
        agreed = self._agreed(answer, offer)
        self._media.mute(call.row, muted=agreed is None)
        if agreed is not None:
            self._media.end(call.row)
            self._media.begin(call.row, call.row, _media_call(agreed, call.host))

    def _agreed(self, answer: bytes, offer: bytes) -> AudioAnswer | None:
        """Return what both sides agreed on, if the echo may be sent there; None on hold or without an address."""
        agreed = negotiate_audio(answer, offer)
        if isinstance(agreed, NegotiationFailure) or agreed.direction != "sendrecv" or not is_address(agreed.host):
            return None
        ours = agreed.host in {self._settings.host, self._settings.reached_by}
        return None if ours and agreed.rtp_port in self._own_ports else agreed

    def _look(self, call_id: str, call: _Call, now: float) -> None:
        if not call.up:
            return
        packets = self._packets(call.row)
        fresh, waited = packets - call.packets, max(LOOK_SECONDS, now - call.looked_at)
        call.packets, call.looked_at = packets, now
        if fresh:
            call.heard_at = now
        if fresh > MOST_PACKETS_PER_SECOND * waited:
            self._end(call_id, call, "too_many", now)
        elif now - call.since >= self._settings.longest_seconds:
            self._end(call_id, call, "too_long", now)
        elif now - call.heard_at >= self._settings.idle_seconds and call.proven:
            self._end(call_id, call, "no_packets", now)

    def _end(self, call_id: str, call: _Call, by: EndedBy, now: float) -> None:
        """Say BYE; media ends at once, whether or not the BYE is answered."""
        if call.up:
            call.ended_by = by
            self._silence(call)
            self._agent.bye(call_id, now)

    def _silence(self, call: _Call) -> None:
        call.packets = self._packets(call.row)
        call.up = False
        self._media.end(call.row)

    def _over(self, call_id: str, now: float) -> None:
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        if call.up:
            self._silence(call)
        self._tally.ended[call.ended_by] += 1
        self._on_ended(call.ended_by, now - call.since, call.packets - call.first_packets)
        if not self._calls:
            self._look_at = None


def _media_call(agreed: AudioAnswer, signalling_host: str) -> MediaCall:
    return MediaCall(agreed.host, agreed.rtp_port, agreed.rtcp_port, agreed.payload_type, agreed.codec, signalling_host)

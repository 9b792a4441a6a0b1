"""The SIP side of all simulated rooms, sans I/O: each room a user agent, and what its faults make of it.

Owns how a room conducts itself and the record of its calls; must not touch sockets or clocks. It shares our SIP stack,
so it proves scale, not correctness: correctness needs peers that we didn't write.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from bridge_monitor.errors import SdpSyntaxError, SipSyntaxError
from bridge_monitor.sdp import (
    AudioAnswer,
    NegotiationFailure,
    SessionDescription,
    answer_audio,
    answer_video,
    negotiate_audio,
    negotiate_video,
)
from bridge_monitor.sdp import parse as parse_sdp
from bridge_monitor.sim.assignment import SimulatedSite
from bridge_monitor.sim.faults import REFUSALS, Fault, FaultKind
from bridge_monitor.sim.media import MediaCall, answers_wrong_codec
from bridge_monitor.sip import (
    Acknowledged,
    Address,
    ByeCompleted,
    Ended,
    Event,
    Invited,
    Request,
    TimedOut,
    TransportFailed,
    UserAgent,
    parse_message,
    respond,
    response_destination,
)

Window = tuple[float, float]
"""A span of POSIX seconds, [start, end)."""

RING_SECONDS: Final = 180.0
"""So long a room rings that nobody takes; then 480, as RFC 3261 §21.4.18 has it."""

_FOREIGN_CODECS: Final = (("9", "G722/8000"), ("18", "G729/8000"), ("4", "G723/8000"), ("15", "G728/8000"))
_NEVER: Final = float("inf")


class MediaPort(Protocol):
    """Where calls' media begins and ends (`sim.media.Media`)."""

    def reserve(self, site: int) -> int | None:
        """Return a free row for a call of the site, or None."""

    def ports(self, row: int) -> tuple[int, int]:
        """Return the row's RTP and RTCP port."""
        ...

    def begin(self, row: int, site: int, call: MediaCall) -> None:
        """Begin the row's media."""

    def end(self, row: int) -> None:
        """End the row's media."""


@dataclass(slots=True)
class SiteRecord:
    """What befell one room's SIP.

    Attributes:
        invited: Calls that reached it.
        answered: Calls that it took.
        acknowledged: Calls whose 200 was acknowledged.
        refused: Calls that it answered with a failure.
        ended_by_caller: Answered calls ended by the caller's BYE.
        cancelled: Calls taken back before an answer.
        cut_off: Calls that were up when the room went dead.
        given_up: Answered calls that the room had to end itself.
        options: OPTIONS requests that reached it.
        most_calls_up: Largest number of calls at once, from their INVITE to their end.
        calls_outside_window: Calls that were not inside one window from their INVITE to their end.
    """

    invited: int = 0
    answered: int = 0
    acknowledged: int = 0
    refused: int = 0
    ended_by_caller: int = 0
    cancelled: int = 0
    cut_off: int = 0
    given_up: int = 0
    options: int = 0
    most_calls_up: int = 0
    calls_outside_window: int = 0


@dataclass(slots=True)
class _Call:
    invited_at: float
    offer: bytes
    row: int | None = None
    video_row: int | None = None
    answered: bool = False


@dataclass(slots=True)
class _Room:
    site: SimulatedSite
    agent: UserAgent | None = None
    armed_for: float = _NEVER
    faults: tuple[Fault, ...] = ()
    kinds: frozenset[FaultKind] = frozenset()
    calls: dict[str, _Call] = field(default_factory=dict)
    record: SiteRecord = field(default_factory=SiteRecord)


class Rooms:
    """All rooms' SIP.

    Args:
        sites: The rooms, in the order of their rows.
        media: Where media begins and ends.
        token: Makes tags and branches.
        windows: When calls may be up; empty means always.
        posix_offset: POSIX seconds minus the `now` of all verbs.
        answer_delay: Seconds from ringing to the answer of a healthy room.
    """

    def __init__(
        self,
        sites: Sequence[SimulatedSite],
        media: MediaPort,
        token: Callable[[], str],
        *,
        windows: Sequence[Window] = (),
        posix_offset: float = 0.0,
        answer_delay: float = 0.0,
    ) -> None:
        self._rooms = [_Room(site) for site in sites]
        self._media = media
        self._token = token
        self._windows = tuple(windows)
        self._posix_offset = posix_offset
        self._answer_delay = answer_delay
        self._timers: list[tuple[float, int, int, str | None]] = []
        self._timer_number = 0
        self._session_number = 0
        self._out: list[tuple[int, bytes, Address]] = []

    # --- verbs -------------------------------------------------------------------------------------------------------

    def receive(self, index: int, data: bytes, source: Address, now: float) -> None:
        """Take a datagram that came to a room."""
        room = self._rooms[index]
        if FaultKind.SILENT in room.kinds or FaultKind.DEAD in room.kinds:
            return
        if data.startswith((b"INVITE ", b"OPTIONS ")) and self._intercept(index, room, data, source):
            return
        agent = room.agent
        if agent is None:
            agent = room.agent = self._new_agent(room.site)
        agent.receive_datagram(data, source, now)
        self._pump(index, room, agent, now)

    def get_timer(self) -> float | None:
        """Return when `handle_timer` must be called next, or None."""
        return self._timers[0][0] if self._timers else None

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        while self._timers and self._timers[0][0] <= now:
            _, _, index, call_id = heapq.heappop(self._timers)
            room = self._rooms[index]
            if call_id is not None:
                self._take_up(index, room, call_id, now)
                continue
            room.armed_for = _NEVER
            if room.agent is not None:
                room.agent.handle_timer(now)
                self._pump(index, room, room.agent, now)

    def datagrams_to_send(self) -> list[tuple[int, bytes, Address]]:
        """Drain what rooms have to send: (room, datagram, destination)."""
        out, self._out = self._out, []
        return out

    def set_faults(self, index: int, faults: tuple[Fault, ...], now: float) -> None:
        """Make a room have these faults and no others; one that dies forgets its calls, as without power."""
        room = self._rooms[index]
        room.faults = faults
        room.kinds = frozenset(fault.kind for fault in faults)
        if FaultKind.DEAD in room.kinds:
            for call_id in list(room.calls):
                room.record.cut_off += room.calls[call_id].answered
                self._close(room, call_id, now)
            room.agent = None

    def hang_up(self, now: float) -> int:
        """End every call from the rooms' side; return how many there were."""
        count = 0
        for index, room in enumerate(self._rooms):
            if room.agent is not None and room.calls:
                for call_id in list(room.calls):
                    count += 1
                    if room.calls[call_id].answered:
                        room.agent.bye(call_id, now)
                    else:
                        self._refuse(room, call_id, 480, now)
                self._pump(index, room, room.agent, now)
        return count

    # --- facts -------------------------------------------------------------------------------------------------------

    def record(self, index: int) -> SiteRecord:
        """Return what befell a room so far."""
        return replace(self._rooms[index].record)

    def calls_up(self, index: int) -> int:
        """Return the calls of a room that are up: invited and not over."""
        return len(self._rooms[index].calls)

    def dialogs_open(self, index: int) -> int:
        """Return the answered calls of a room that are not over."""
        return sum(call.answered for call in self._rooms[index].calls.values())

    def open_calls_outside_windows(self, now: float) -> int:
        """Return how many calls that are up have been outside the windows."""
        calls = (call for room in self._rooms for call in room.calls.values())
        return sum(self.outside_windows(call.invited_at, now) for call in calls)

    def outside_windows(self, begin: float, end: float) -> bool:
        """Whether a call from ``begin`` to ``end`` (in `now`'s seconds) was not inside one window."""
        begin, end = begin + self._posix_offset, end + self._posix_offset
        return bool(self._windows) and not any(start <= begin and end < stop for start, stop in self._windows)

    # --- conduct -----------------------------------------------------------------------------------------------------

    def _intercept(self, index: int, room: _Room, data: bytes, source: Address) -> bool:
        """Answer what a faulty room answers otherwise than a user agent would; whether it did."""
        options = data.startswith(b"OPTIONS ")
        if not options and FaultKind.MALFORMED_SIP not in room.kinds:
            return False
        try:
            request = parse_message(data)
        except SipSyntaxError:
            return False
        assert isinstance(request, Request)  # noqa: S101 - neither beginning can be a status line
        room.record.options += options
        if FaultKind.MALFORMED_SIP in room.kinds:
            room.record.invited += not options
            reply = respond(request, 200, to_tag=self._token(), source=source).replace(
                b"SIP/2.0 200", b"SIP/2.0 2OO", 1
            )
        elif FaultKind.BUSY in room.kinds:
            reply = respond(request, 486, to_tag=self._token(), source=source)  # as to an INVITE (RFC 3261 §11.2)
        else:
            return False
        self._out.append((index, reply, response_destination(request, source)))
        return True

    def _pump(self, index: int, room: _Room, agent: UserAgent, now: float) -> None:
        """Act on the agent's events, take what it sends and mind its timer."""
        while (event := agent.next_event()) is not None:
            self._act(index, room, agent, event, now)
        sent = agent.datagrams_to_send()
        if FaultKind.BYE_UNANSWERED in room.kinds:
            sent = [(data, to) for data, to in sent if not _answers_bye(data)]
        self._out += [(index, data, to) for data, to in sent]
        due = agent.get_timer()
        if due is None:
            if not room.calls:
                room.agent = None  # thousands of idle rooms need no agent
        elif due < room.armed_for:
            room.armed_for = due
            self._arm(due, index, None)

    def _act(self, index: int, room: _Room, agent: UserAgent, event: Event, now: float) -> None:
        match event:
            case Invited():
                self._invited(index, room, agent, event, now)
            case Acknowledged(call_id=call_id):
                if call_id in room.calls:
                    room.record.acknowledged += 1
            case Ended(call_id=call_id, by=by):
                call = room.calls.get(call_id)
                if call is not None:
                    if not call.answered:
                        room.record.cancelled += 1
                    elif by == "remote":
                        room.record.ended_by_caller += 1
                    else:
                        room.record.given_up += 1
                    self._close(room, call_id, now)
            case ByeCompleted(call_id=call_id) | TimedOut(call_id=call_id) | TransportFailed(call_id=call_id):
                if call_id in room.calls:
                    room.record.given_up += 1
                    self._close(room, call_id, now)
            case _:
                pass

    def _invited(self, index: int, room: _Room, agent: UserAgent, event: Invited, now: float) -> None:
        record = room.record
        record.invited += 1
        room.calls[event.call_id] = _Call(now, event.sdp)
        record.most_calls_up = max(record.most_calls_up, len(room.calls))
        refusal = next((REFUSALS[kind] for kind in REFUSALS if kind in room.kinds), None)
        if refusal is not None:
            self._refuse(room, event.call_id, refusal[0], now, refusal[1])
        else:
            agent.ring(event.call_id, now)
            if FaultKind.RINGS_ONLY in room.kinds:
                self._arm(now + RING_SECONDS, index, event.call_id)
                return
            slow = [fault.seconds for fault in room.faults if fault.kind is FaultKind.SLOW_ANSWER]
            wait = slow[0] if slow else self._answer_delay
            if wait > 0.0:
                self._arm(now + wait, index, event.call_id)
            else:
                self._accept(index, room, event.call_id, now)

    def _take_up(self, index: int, room: _Room, call_id: str, now: float) -> None:
        """Take a call that has rung long enough, if it is still there."""
        call = room.calls.get(call_id)
        if call is None or call.answered or room.agent is None:
            return
        if now - call.invited_at >= RING_SECONDS and FaultKind.RINGS_ONLY in room.kinds:
            self._refuse(room, call_id, 480, now)
        else:
            self._accept(index, room, call_id, now)
        self._pump(index, room, room.agent, now)

    def _accept(self, index: int, room: _Room, call_id: str, now: float) -> None:
        call = room.calls[call_id]
        row = self._media.reserve(index)
        if row is None:
            self._refuse(room, call_id, 486, now)
            return
        rtp_port, rtcp_port = self._media.ports(row)
        self._session_number += 1
        try:
            offer = parse_sdp(call.offer)  # once for all who look into it
        except SdpSyntaxError:
            self._refuse(room, call_id, 488, now)
            return
        answer = answer_audio(
            offer,
            host=room.site.host,
            rtp_port=rtp_port,
            rtcp_port=rtcp_port,
            session_id=self._session_number,
            name=room.site.code,
        )
        if isinstance(answer, NegotiationFailure):
            self._refuse(room, call_id, 488, now)
            return
        agreed = negotiate_audio(answer, offer)
        media_call = None if isinstance(agreed, NegotiationFailure) else _media_call(agreed)
        if media_call is None:
            self._refuse(room, call_id, 488, now)
            return
        if answers_wrong_codec(room.faults):
            answer = _with_foreign_codec(answer, offer)
        # Media first: the caller's first packet may follow the 200 at once.
        self._media.begin(row, index, media_call)
        call.row, call.answered = row, True
        if FaultKind.NO_VIDEO not in room.kinds:
            answer = self._take_video(index, call, answer, offer)
        room.record.answered += 1
        assert room.agent is not None  # noqa: S101 - a call has come through it
        room.agent.accept(call_id, answer.to_bytes(), now)

    def _take_video(
        self, index: int, call: _Call, answer: SessionDescription, offer: SessionDescription
    ) -> SessionDescription:
        """Return the answer with the offered video taken, if there is any and a row for it."""
        row = self._media.reserve(index) if any(line.kind == "video" and line.port for line in offer.media) else None
        if row is None:
            return answer
        rtp_port, rtcp_port = self._media.ports(row)
        taken = answer_video(answer, offer, rtp_port=rtp_port, rtcp_port=rtcp_port)
        agreed = negotiate_video(taken, offer)
        if isinstance(agreed, NegotiationFailure) or not _is_ipv4(agreed.host):
            return answer
        ports = agreed.rtp_port, agreed.rtcp_port
        self._media.begin(row, index, MediaCall(agreed.host, *ports, agreed.payload_type, "H264", video=True))
        call.video_row = row
        return taken

    def _refuse(self, room: _Room, call_id: str, status: int, now: float, extra: tuple[str, ...] = ()) -> None:
        room.record.refused += 1
        self._close(room, call_id, now)
        assert room.agent is not None  # noqa: S101 - a call has come through it
        room.agent.refuse(call_id, status, now, extra)

    def _close(self, room: _Room, call_id: str, now: float) -> None:
        call = room.calls.pop(call_id)
        for row in (call.row, call.video_row):
            if row is not None:
                self._media.end(row)
        room.record.calls_outside_window += self.outside_windows(call.invited_at, now)

    def _arm(self, due: float, index: int, call_id: str | None) -> None:
        self._timer_number += 1
        heapq.heappush(self._timers, (due, self._timer_number, index, call_id))

    def _new_agent(self, site: SimulatedSite) -> UserAgent:
        return UserAgent(
            local=(site.host, site.port),
            token=self._token,
            user=site.user or "room",
            display_name=site.code,
            product="bridge_monitor simulate",
            answering=True,
        )


def _media_call(agreed: AudioAnswer) -> MediaCall | None:
    if not _is_ipv4(agreed.host):
        return None  # rooms live in 127.0.0.0/8, and so do their callers
    return MediaCall(agreed.host, agreed.rtp_port, agreed.rtcp_port, agreed.payload_type, agreed.codec)


def _is_ipv4(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts)


def _with_foreign_codec(answer: SessionDescription, offer: SessionDescription) -> SessionDescription:
    """Return the answer with a codec that the offer does not have, which RFC 3264 §6.1 forbids."""
    offered = {text for media in offer.media for text in media.formats}
    number, encoding = next(codec for codec in _FOREIGN_CODECS if codec[0] not in offered)
    media = []
    for line in answer.media:
        if line.kind == "audio" and line.port:
            others = tuple(entry for entry in line.attributes if entry[0] != "rtpmap")
            line = replace(line, formats=(number,), attributes=(("rtpmap", f"{number} {encoding}"), *others))  # noqa: PLW2901 - the changed line takes its place
        media.append(line)
    return replace(answer, media=tuple(media))


def _answers_bye(data: bytes) -> bool:
    if not data.startswith(b"SIP/2.0 "):
        return False
    return parse_message(data).cseq[1] == "BYE"

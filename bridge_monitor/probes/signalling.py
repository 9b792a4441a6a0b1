"""The SIP side of one test call: dialling, redirects, what may come instead of an answer, and every way to end it.

Owns the call's socket, channel and journal entry; must not know of media but the offer it carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal

from bridge_monitor.domain import LadderStep, Outcome, SipStatus, TriedHop
from bridge_monitor.errors import LocalFaultError, LocalProtocolError
from bridge_monitor.net.channel import CallChannel, WireTap
from bridge_monitor.net.sip_streams import NotConnectedError
from bridge_monitor.net.sip_udp import SipUdp
from bridge_monitor.probes import connecting
from bridge_monitor.probes.hops import LEAST_SHARE_SECONDS, Hops
from bridge_monitor.probes.judge import judge_connection, judge_status
from bridge_monitor.probes.redirects import Redirects
from bridge_monitor.probes.shapes import CallSite, Equipment
from bridge_monitor.probes.story import Story
from bridge_monitor.sip import (
    DATAGRAM_LIMIT,
    DEFAULT_PORTS,
    Address,
    Answered,
    ByeCompleted,
    Challenged,
    ConnectionLost,
    DialogRecord,
    Ended,
    Event,
    NoFinalAnswer,
    OptionsAnswered,
    ProtocolViolated,
    Provisional,
    Rejected,
    SessionChanged,
    SipUri,
    StreamAddress,
    TimedOut,
    TransportFailed,
    is_stream,
)
from bridge_monitor.sip.location import direct

BYE_PATIENCE_SECONDS: Final = 4.0
"""A BYE is sent four times in it (RFC 3261 §17.1.2, timer E); the agent goes on after it."""

_CANCEL_PATIENCE: Final = 2.0
_LATE_ANSWER_PATIENCE: Final = 33.0  # 64·T1 and a little: then the transaction is over on its own
_SMALL_OFFER: Final = 500
"""Our header fields take 500 to 700 bytes: with less than this beside them, nothing is near `DATAGRAM_LIMIT`."""
_LONG: Final = 3600.0
_NEXT_HOP: Final = "next hop"
_BYE_NOT_TAKEN: Final = (None, 401, 407)
"""Nobody answered it; or it was refused for want of credentials, and the room may hold the call for up."""
_CLOSING: Final = (Rejected, Ended, ByeCompleted, TimedOut, TransportFailed)


class Signalling:
    """The dialog of one call.

    Args:
        site: Whom to call and how.
        equipment: The shared sockets and journal.
        story: Where everything is noted.
        tap: Is given each SIP datagram of the call.

    Attributes:
        redirects: Where redirects may lead the call on.
    """

    def __init__(self, site: CallSite, equipment: Equipment, story: Story, tap: WireTap | None) -> None:
        self._site = site
        self._equipment = equipment
        self._story = story
        self._tap = tap
        self._udp: SipUdp | None = None
        self._channel: CallChannel | None = None
        self._hops: Hops | None = None
        self._hops_before: tuple[TriedHop, ...] = ()
        self._record: DialogRecord | None = None
        self._answered = False
        self._rang = False
        self._name = ""
        self._destination: Address | None = None
        self.redirects = Redirects()

    @property
    def ladder(self) -> tuple[LadderStep, ...]:
        """The messages so far."""
        return self._channel.ladder if self._channel else ()

    @property
    def hops(self) -> tuple[TriedHop, ...]:
        """The addresses of names that were tried so far, in order, and what became of each."""
        return self._hops_before + (self._hops.tried if self._hops else ())

    @property
    def host(self) -> str:
        """Our address as the room sees it; known once `reach` has returned."""
        return self._sip.local[0]

    @property
    def left_from(self) -> str:
        """Our address once something could be sent, else empty."""
        return self._udp.local[0] if self._udp is not None else ""

    async def reach(self, uri: SipUri) -> Address:
        """Find the address to send to, our socket towards it, and the connection that it wants.

        Raises:
            NameNotFoundError: The host has no address.
            NotConnectedError: None of them lets us have a connection.
            ResolverError: Nobody could be asked for it.
            LocalFaultError: There is no way to it from here.
        """
        self.redirects.note_called(uri)
        story, names, proxy = self._story, self._equipment.names, self._site.route.proxy
        story.begin("resolve", self._equipment.now())
        first = SipUri.parse(proxy) if proxy else uri
        numeric = direct(first)  # what nearly all rooms have: nothing to ask, nothing to wait for
        usual = numeric is not None and numeric.transport in DEFAULT_PORTS and ":" not in numeric.host
        found = (numeric,) if numeric is not None and usual else await names.locate(first)
        story.end("resolve", self._equipment.now())
        if self._hops is not None:
            self._hops_before = self.hops
        self._hops = Hops(names, found, seconds=self._site.profile.answer_timeout_seconds, named=numeric is None)
        self._name = first.host
        self._record = None
        self._turn()
        await self._connect()
        return self._towards

    async def ask_options(self, uri: SipUri) -> None:
        """Send OPTIONS; any response shows that line and SIP are alive, and no more (RFC 3261 §11.2)."""
        story = self._story
        while True:
            udp, destination = self._sip, self._towards
            story.begin("answer", udp.now())
            left = self._way.begin(udp.now())
            credentials = self._site.credentials
            self._open_channel(udp.agent.options(uri, destination, udp.now(), credentials=credentials))
            udp.flush()
            event = await self._next(self._way.patience(udp.now(), left))
            if not self._goes_on(event):
                break
            await self._connect()
        if isinstance(event, OptionsAnswered):
            story.end("answer", event.at)
            story.status = SipStatus(event.status, event.reason)
            story.conclude_options()
        else:
            self._fail(event)

    async def invite(self, uri: SipUri, describe: Callable[[str], bytes]) -> Answered | SipUri | None:
        """Send the INVITE and wait; where its host has more than one address, to one after the other (RFC 3263 §4.3).

        Args:
            uri: Whom to call.
            describe: Returns our offer for a call to this address; asked anew where we leave from another one of ours.

        Returns:
            The answer; the target of a redirect that may be followed (§8.1.3.4); None if it came to nothing, which is
            then concluded.

        Raises:
            NotConnectedError: The last one doesn't let us have a connection.
            LocalFaultError: This machine doesn't.
        """
        offer = describe(self._towards[0])
        while True:
            home = self._sip
            if len(offer) >= _SMALL_OFFER:
                await self._prefer_stream(uri, offer)
            self._send_invite(uri, offer)
            answer = await self._wait_for_answer()
            if answer != _NEXT_HOP:
                return answer
            await self._connect()
            if self._sip is not home:
                offer = describe(self._towards[0])

    def acknowledge(self) -> None:
        """Take the answer: the dialog is journalled before its ACK, so that whoever comes after us can end it."""
        udp, call_id = self._sip, self._call_id
        record = udp.agent.dialog_record(call_id)
        if record is not None:
            self._equipment.journal.confirmed(record.to_dict())
        self._answered = True
        udp.agent.acknowledge(call_id, udp.now())
        udp.flush()

    async def until_hung_up(self, unless: asyncio.Future[Any], changed: Callable[[SessionChanged], None]) -> None:
        """Return when the room has ended the call, or once ``unless`` is done.

        The room's other requests inside the call are the agent's to answer; ``changed`` is told of an accepted offer.
        """
        while not self._story.hung_up:
            event = await self._next(_LONG, unless)
            if event is None and unless.done():
                return
            if isinstance(event, SessionChanged):
                changed(event)
            self._story.hung_up = isinstance(event, Ended)

    async def bye(self) -> None:
        """End the answered call; the room's response is awaited for a while, not for ever."""
        udp, story = self._sip, self._story
        if story.hung_up:
            return
        story.begin("bye", udp.now())
        udp.agent.bye(self._call_id, udp.now())
        udp.flush()
        event = await self._closing(BYE_PATIENCE_SECONDS)
        if isinstance(event, ByeCompleted) and event.status not in _BYE_NOT_TAKEN:
            story.end("bye", event.at)
        else:
            # A BYE of the room's that crossed ours has ended the call as well.
            story.bye_answered = isinstance(event, Ended)

    async def abandon(self) -> None:
        """End whatever is up after the story broke off: BYE or CANCEL, bounded in time."""
        if self._udp is None or self._story.call_id is None:
            return
        if self._answered:
            await self.bye()
        else:
            to_be_closed = self._udp.agent.cancel(self._story.call_id, self._udp.now())
            self._udp.flush()
            if to_be_closed:
                await self._closing(_CANCEL_PATIENCE)

    def leave(self) -> None:
        """Hear no more of the call; the agent sees it to its end and the journal is told of that."""
        if self._udp is not None and self._story.call_id is not None:
            self._udp.close_channel(self._story.call_id)

    def _send_invite(self, uri: SipUri, offer: bytes) -> None:
        udp, story, destination = self._sip, self._story, self._towards
        now = udp.now()
        story.invited = now if story.invited is None else story.invited
        story.begin("trying", now)
        self._rang = False
        udp.local_errors.pop(destination, None)  # an earlier call's, that ended before it could ask
        left, credentials = self._way.begin(now), self._site.credentials
        if is_stream(destination):
            left = max(LEAST_SHARE_SECONDS, left)  # the connection may have taken nearly all of it
        if self._record is None:
            route = self._preloaded_route()
            call_id = udp.agent.invite(
                uri, destination, offer, now, answer_timeout=left, route=route, credentials=credentials
            )
        else:
            call_id = self._record.call_id
            udp.agent.invite_elsewhere(
                self._record, destination, offer, now, answer_timeout=left, credentials=credentials
            )
        self._open_channel(call_id)
        self._journal_opened()
        udp.flush()

    def _goes_on(self, event: Event | None) -> bool:
        """Note what became of the current address; if it has failed and there is another, turn to that (RFC 3263 §4.3).

        A failure is no response at all, one of the transport, or 503.
        """
        way, now = self._way, self._sip.now()
        match event:
            case Rejected(status=503) | OptionsAnswered(status=503):
                turns = way.note_failure("status_503", now, retry_after=event.retry_after)
            case TransportFailed():
                local = self._sip.local_errors.get(self._towards)
                turns = way.note_failure(local or event.reason, now, ours=local is not None)
            case TimedOut() | NoFinalAnswer() | None:
                turns = way.is_silent and way.note_failure("timeout", now)
            case _:
                way.note_answer()
                turns = False
        if turns:
            self._turn()
            self._story.invited = None  # what the room takes to answer begins with the request that reaches it
        return turns

    def _turn(self) -> None:
        """Take the socket that leads to the current address; what was begun on another one is taken back there."""
        route, before, hop = self._site.route, self._udp, self._way.current
        destination = hop.address if hop.transport == "udp" else connecting.stream_of(hop, self._name, route.tls)
        dscp = self._site.profile.dscp_signalling if route.dscp is None else route.dscp
        self.leave()  # its channel is the socket's that it was opened on
        self._udp = self._equipment.stack.towards(destination, source=route.source, dscp=dscp)
        self._destination = destination
        if before is not self._udp and before is not None:
            self._take_back(before)

    def _take_back(self, udp: SipUdp) -> None:
        """Give up the INVITE that was sent from there; the agent sees it to its end."""
        if self._record is not None:
            udp.agent.cancel(self._record.call_id, udp.now())
            udp.flush()
            self._record = None

    async def _connect(self) -> None:
        """Have the connection that the current address wants; where there is none, turn to the next (RFC 3263 §4.3).

        Raises:
            NotConnectedError: There is none to be had from the last one.
            LocalFaultError: Nor from this machine.
        """
        while isinstance(destination := self._destination, StreamAddress):
            udp, way = self._sip, self._way
            left = way.begin(udp.now())
            try:
                await connecting.connect(udp, destination, self._story, way.patience(udp.now(), left))
            except (NotConnectedError, LocalFaultError) as error:
                if not way.note_failure(error.reason, udp.now(), ours=isinstance(error, LocalFaultError)):
                    self._take_back(udp)
                    raise
                self._turn()
            else:
                return

    async def _prefer_stream(self, uri: SipUri, offer: bytes) -> None:
        """Go on over TCP if the INVITE is too large for a datagram, unless the room has none (RFC 3261 §18.1.1)."""
        udp, way, towards, stack = self._sip, self._way, self._towards, self._equipment.stack
        if is_stream(towards) or not stack.may_have_tcp(towards):
            return
        if udp.agent.measure_invite(uri, towards, offer, self._preloaded_route()) <= DATAGRAM_LIMIT:
            return
        address, began = StreamAddress(*towards), udp.now()
        try:
            await connecting.connect(udp, address, self._story, way.patience(began, way.seconds))
        except (NotConnectedError, LocalFaultError):
            stack.note_without_tcp(towards)  # what it took isn't the room's: over UDP it has all its time
        else:
            self._destination = address
            way.begin(began)
            way.note_transport("tcp")

    async def _wait_for_answer(self) -> Answered | SipUri | Literal["next hop"] | None:
        story = self._story
        while True:
            event = await self._next(self._way.patience(self._sip.now(), _LATE_ANSWER_PATIENCE))
            if self._goes_on(event):
                return _NEXT_HOP
            match event:
                case Provisional():
                    self._note_provisional(event)
                case Challenged():
                    self._journal_opened()  # another INVITE is to be cancelled now
                case Answered():
                    story.end("answer", event.at)
                    story.status = SipStatus(event.status, event.reason)
                    story.setup_seconds = event.at - (story.invited or story.started)
                    return event
                case Rejected() | TransportFailed() if (target := self.redirects.target_after(event)) is not None:
                    return target
                case _:
                    self._fail(event)
                    return None

    def _note_provisional(self, event: Provisional) -> None:
        story = self._story
        story.status = SipStatus(event.status, event.reason)
        phase = "trying" if event.status == 100 else "ringing"
        self._rang = self._rang or event.status > 100
        if story.phases[phase] is None and story.phases["ringing"] is None:
            story.end(phase, event.at)
            story.begin("ringing" if phase == "trying" else "answer", event.at)

    def _fail(self, event: Event | None) -> None:
        """Conclude a call that was not answered."""
        story = self._story
        match event:
            case Rejected():
                story.status = SipStatus(event.status, event.reason)
                story.conclude(*judge_status(event.status, event.trouble))
            case TransportFailed():
                local = self._sip.local_errors.pop(self._towards, None)
                story.conclude(*((Outcome.LOCAL_FAULT, local) if local else judge_connection(event.reason)))
            case ConnectionLost():
                story.conclude(Outcome.UNREACHABLE, "connection_lost")
            case ProtocolViolated():
                story.conclude(Outcome.PROTOCOL_ERROR, event.what)
            case Ended():
                story.conclude(Outcome.UNAVAILABLE, "ended_before_answer")
            case NoFinalAnswer() | TimedOut() | None if self._rang:
                story.conclude(Outcome.NO_ANSWER, "rings")
            case _:
                story.conclude(Outcome.TIMEOUT)

    def _journal_opened(self) -> None:
        self._record = self._sip.agent.dialog_record(self._call_id)
        if self._record is not None:
            self._equipment.journal.opened(self._record.to_dict())

    def _preloaded_route(self) -> tuple[str, ...]:
        """Return the Route that leads over the proxy, as a loose router (§8.1.2)."""
        proxy = self._site.route.proxy
        if not proxy:
            return ()
        return (f"<{proxy}>" if SipUri.parse(proxy).loose else f"<{proxy};lr>",)

    @property
    def _sip(self) -> SipUdp:
        if self._udp is None:
            raise LocalProtocolError("the call has no socket yet")
        return self._udp

    @property
    def _way(self) -> Hops:
        if self._hops is None:
            raise LocalProtocolError("the call has no destination yet")
        return self._hops

    @property
    def _towards(self) -> Address:
        if self._destination is None:
            raise LocalProtocolError("the call has no destination yet")
        return self._destination

    @property
    def _call_id(self) -> str:
        if self._story.call_id is None:
            raise LocalProtocolError("nothing was sent yet")
        return self._story.call_id

    def _open_channel(self, call_id: str) -> None:
        before = self._channel
        self._story.call_id = call_id
        self._channel = self._sip.open_channel(call_id, tap=self._tap, started=self._story.started)
        if before is not None:
            self._channel.follow(before)

    async def _next(self, patience: float, unless: asyncio.Future[Any] | None = None) -> Event | None:
        """Return the call's next event, or None after ``patience`` seconds or once ``unless`` is done."""
        if self._channel is None:
            raise LocalProtocolError("the call has no channel yet")
        return await self._channel.next_event(patience, unless=unless)

    async def _closing(self, patience: float) -> Event | None:
        """Return the event that closes the call, or None after ``patience`` seconds."""
        deadline = self._sip.now() + patience
        while (left := deadline - self._sip.now()) > 0:
            event = await self._next(left)
            if isinstance(event, _CLOSING):
                return event
        return None

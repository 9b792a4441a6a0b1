"""The SIP side of one test call: dialling, redirects, what may come instead of an answer, and every way to end it.

Owns the call's socket, channel and journal entry; must not know of media but the offer it carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from bridge_monitor.domain import LadderStep, Outcome, SipStatus
from bridge_monitor.errors import LocalFaultError, LocalProtocolError, SipSyntaxError
from bridge_monitor.net.channel import CallChannel, WireTap
from bridge_monitor.net.names import resolve
from bridge_monitor.net.sip_streams import NotConnectedError
from bridge_monitor.net.sip_udp import SipUdp
from bridge_monitor.probes.judge import judge_connection, judge_status
from bridge_monitor.probes.shapes import CallSite, Equipment
from bridge_monitor.probes.story import Story
from bridge_monitor.sip import (
    DATAGRAM_LIMIT,
    DEFAULT_PORTS,
    Address,
    Answered,
    ByeCompleted,
    ConnectionLost,
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

BYE_PATIENCE_SECONDS: Final = 4.0
"""A BYE is sent four times in it (RFC 3261 §17.1.2, timer E); the agent goes on after it."""

_CANCEL_PATIENCE: Final = 2.0
_LATE_ANSWER_PATIENCE: Final = 33.0  # 64·T1 and a little: then the transaction is over on its own
_MAX_REDIRECTS: Final = 3
_LEAST_PATIENCE: Final = 1.0
_SMALL_OFFER: Final = 500
"""Our header fields take 500 to 700 bytes: with less than this beside them, nothing is near `DATAGRAM_LIMIT`."""
_LONG: Final = 3600.0
_CLOSING: Final = (Rejected, Ended, ByeCompleted, TimedOut, TransportFailed)


class Signalling:
    """The dialog of one call.

    Args:
        site: Whom to call and how.
        equipment: The shared sockets and journal.
        story: Where everything is noted.
        tap: Is given each SIP datagram of the call.
    """

    def __init__(self, site: CallSite, equipment: Equipment, story: Story, tap: WireTap | None) -> None:
        self._site = site
        self._equipment = equipment
        self._story = story
        self._tap = tap
        self._udp: SipUdp | None = None
        self._channel: CallChannel | None = None
        self._destination: Address | None = None
        self._answered = False
        self._rang = False
        self._secure = False
        self._patience = site.profile.answer_timeout_seconds
        self._seen: set[str] = set()

    @property
    def ladder(self) -> tuple[LadderStep, ...]:
        """The messages so far."""
        return tuple(self._channel.ladder) if self._channel else ()

    @property
    def host(self) -> str:
        """Our address as the room sees it; known once `reach` has returned."""
        return self._sip.local[0]

    @property
    def left_from(self) -> str:
        """Our address once something could be sent, else empty."""
        return self._udp.local[0] if self._udp is not None else ""

    async def reach(self, uri: SipUri) -> Address:
        """Find the address to send to, and our socket towards it.

        Raises:
            NameNotFoundError: The host has no address.
            LocalFaultError: There is no way to it from here.
        """
        story, route = self._story, self._site.route
        story.begin("resolve", self._equipment.now())
        hop = SipUri.parse(route.proxy) if route.proxy else uri
        transport = hop.transport
        destination: Address = await resolve(hop.host, hop.port or DEFAULT_PORTS.get(transport, 5060))
        if transport != "udp":
            destination = StreamAddress(*destination, transport, hop.host, route.tls)
        self._destination = destination
        story.end("resolve", self._equipment.now())
        dscp = self._site.profile.dscp_signalling if route.dscp is None else route.dscp
        self.leave()  # its channel is the socket's that it was opened on
        self._udp = self._equipment.stack.towards(destination, source=route.source, dscp=dscp)
        if isinstance(destination, StreamAddress):
            await self._connect(destination)
        return destination

    async def _connect(self, address: StreamAddress) -> None:
        """Have the connection first: what it takes is no part of the room's answer, and why it fails is known.

        Raises:
            NotConnectedError: There is none to be had, or not within the patience for an answer.
        """
        story, patience = self._story, self._site.profile.answer_timeout_seconds
        began = self._sip.now()
        story.begin("connect", began)
        try:
            async with asyncio.timeout(patience):
                connected = await self._sip.connect(address)
        except TimeoutError:
            raise NotConnectedError("connect_timeout") from None
        story.set("connect", connected.connect_seconds)
        if connected.tls_seconds is not None:
            story.set("tls", connected.tls_seconds)
            story.tls = connected.tls
        self._patience = max(_LEAST_PATIENCE, patience - (self._sip.now() - began))

    async def _prefer_stream(self, uri: SipUri, offer: bytes) -> None:
        """Go on over TCP if the INVITE is too large for a datagram, unless the room has none (RFC 3261 §18.1.1)."""
        stack, towards = self._equipment.stack, self._towards
        if len(offer) < _SMALL_OFFER or is_stream(towards) or not stack.may_have_tcp(towards):
            return
        if self._sip.agent.measure_invite(uri, towards, offer, self._preloaded_route()) <= DATAGRAM_LIMIT:
            return
        address = StreamAddress(*towards)
        try:
            await self._connect(address)
        except (NotConnectedError, LocalFaultError):
            stack.note_without_tcp(towards)
        else:
            self._destination = address

    async def ask_options(self, uri: SipUri) -> None:
        """Send OPTIONS; any response shows that line and SIP are alive, and no more (RFC 3261 §11.2)."""
        udp, story, destination = self._sip, self._story, self._towards
        story.begin("answer", udp.now())
        self._open_channel(udp.agent.options(uri, destination, udp.now()))
        udp.flush()
        event = await self._next(self._patience)
        if isinstance(event, OptionsAnswered):
            story.end("answer", event.at)
            story.status = SipStatus(event.status, event.reason)
            story.conclude_options()
        else:
            self._fail(event)

    async def invite(self, uri: SipUri, offer: bytes) -> Answered | SipUri | None:
        """Send the INVITE and wait.

        Returns:
            The answer; the target of a redirect that may be followed (§8.1.3.4); None if it came to nothing, which is
            then concluded.
        """
        udp, story = self._sip, self._story
        await self._prefer_stream(uri, offer)
        now = udp.now()
        story.invited = now if story.invited is None else story.invited
        story.begin("trying", now)
        self._rang = False
        udp.local_errors.pop(self._towards, None)  # an earlier call's, that ended before it could ask
        call_id = udp.agent.invite(
            uri,
            self._towards,
            offer,
            now,
            answer_timeout=self._patience,
            route=self._preloaded_route(),
        )
        self._open_channel(call_id)
        self._seen.add(str(uri))
        self._secure = uri.scheme == "sips"
        record = udp.agent.dialog_record(call_id)
        if record is not None:
            self._equipment.journal.opened(record.to_dict())
        udp.flush()
        return await self._wait_for_answer()

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
        if isinstance(event, ByeCompleted) and event.status is not None:
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

    async def _wait_for_answer(self) -> Answered | SipUri | None:
        story = self._story
        while True:
            event = await self._next(_LATE_ANSWER_PATIENCE)
            match event:
                case Provisional():
                    self._note_provisional(event)
                case Answered():
                    story.end("answer", event.at)
                    story.status = SipStatus(event.status, event.reason)
                    story.setup_seconds = event.at - (story.invited or story.started)
                    return event
                case Rejected() if (target := self._redirect(event)) is not None:
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

    def _redirect(self, event: Rejected) -> SipUri | None:
        """Return the first target that can be called and was not yet, unless there were too many (§8.1.3.4)."""
        if not 300 <= event.status < 400 or len(self._seen) > _MAX_REDIRECTS:
            return None
        for contact in event.contacts:
            try:
                target = SipUri.parse(contact)
            except SipSyntaxError:
                continue
            if _callable(target, self._secure) and str(target) not in self._seen:
                return target
        return None

    def _fail(self, event: Event | None) -> None:
        """Conclude a call that was not answered."""
        story = self._story
        match event:
            case Rejected():
                story.status = SipStatus(event.status, event.reason)
                story.conclude(*judge_status(event.status))
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

    def _preloaded_route(self) -> tuple[str, ...]:
        """Return the Route that leads over the proxy, as a loose router (§8.1.2)."""
        proxy = self._site.route.proxy
        if not proxy:
            return ()
        return (f"<{proxy}>" if SipUri.parse(proxy).loose else f"<{proxy};lr>",)

    # --- helpers -----------------------------------------------------------------------------------------------------

    @property
    def _sip(self) -> SipUdp:
        if self._udp is None:
            raise LocalProtocolError("the call has no socket yet")
        return self._udp

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
        before = self._channel.ladder if self._channel else []
        self._story.call_id = call_id
        self._channel = self._sip.open_channel(call_id, tap=self._tap, started=self._story.started)
        self._channel.ladder[:0] = before

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


def _callable(uri: SipUri, secure: bool) -> bool:  # noqa: FBT001 - one question, two facts
    """Tell whether this version can call it, over IPv4; ``sips`` is left for nothing else (§8.1.3.4)."""
    return uri.transport in DEFAULT_PORTS and not uri.host.startswith("[") and (uri.scheme == "sips" or not secure)

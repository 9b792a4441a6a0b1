"""The user agent of one local address, caller and called side, without sockets and clocks.

Owns the way of a datagram to the transaction, call or dialog it belongs to; whatever comes in, nothing is raised.

Use: give it datagrams, ICMP errors and the time; after each, send what `datagrams_to_send` returns, take events until
`next_event` returns None, and call `handle_timer` when `get_timer` says so. `now` is monotonic, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.answering import Answerer, answer_unreadable
from bridge_monitor.sip.calls import Call, Stage, Told, invite_request
from bridge_monitor.sip.client_transactions import ClientTransaction, RequestPlan, State
from bridge_monitor.sip.core import Core, MessageHook
from bridge_monitor.sip.dialog import DialogRecord, apply_route_set, dialog_of_record
from bridge_monitor.sip.digest import NO_CREDENTIALS, Credentials
from bridge_monitor.sip.events import (
    Address,
    Event,
    OptionsAnswered,
    ProtocolViolated,
    TimedOut,
    TransportFailed,
)
from bridge_monitor.sip.incoming import IncomingCall
from bridge_monitor.sip.login import Login, ask
from bridge_monitor.sip.masking import hides, masked
from bridge_monitor.sip.message import Request, Response, parse_message, scan_message
from bridge_monitor.sip.refusal import product_of, retry_after_of
from bridge_monitor.sip.salvage import claimed_call_id, find_transaction, repair, stray_plan
from bridge_monitor.sip.uri import SipUri


class UserAgent:
    """One user agent; carries any number of calls, over UDP and over streams (`addresses.StreamAddress`).

    Args:
        local: Our address as peers reach it: goes into Via and Contact.
        token: Returns a fresh random token: letters and digits only, at least 64 bits (RFC 3261 §19.3).
        user: User part of our URIs.
        display_name: Display name that the rooms see.
        product: What we call ourselves in User-Agent and Server.
        answering: Tell the application of calls to us (`Invited`) instead of answering 486.
        strangers: Answer so that nobody can aim us at a third party, or draw more than he sends; see `Core`.
    """

    def __init__(
        self,
        *,
        local: Address,
        token: Callable[[], str],
        user: str = "kiemtra",
        display_name: str = "Kiểm tra đường truyền",
        product: str = "bridge_monitor",
        answering: bool = False,
        strangers: bool = False,
    ) -> None:
        self._core = Core(
            local=local,
            token=token,
            user=user,
            display_name=display_name,
            product=product,
            answering=answering,
            strangers=strangers,
        )
        self._answerer = Answerer(self._core)

    @property
    def on_message(self) -> MessageHook | None:
        """Called as (Call-ID or None, sent by us, peer, bytes, now) with every message; for ladders and captures."""
        return self._core.on_message

    @on_message.setter
    def on_message(self, hook: MessageHook | None) -> None:
        self._core.on_message = hook

    @property
    def open_calls(self) -> tuple[str, ...]:
        """Call-IDs of the calls, ours and theirs, that something is left to end of."""
        core = self._core
        core.superseded = [call for call in core.superseded if call.is_open]
        given_up = (call.call_id for call in core.superseded)
        return (*(call_id for call_id, call in core.calls.items() if call.is_open), *given_up)

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram that came from `source`."""
        if len(data) <= 4 and not data.strip(b"\r\n\0"):
            return  # a keep-alive (RFC 5626 §3.5.1)
        try:
            message = parse_message(data)
        except SipSyntaxError as error:
            self._receive_unreadable(data, source, now, str(error))
            return
        if self._core.on_message is not None:
            self._trace(message.call_id, source, masked(data) if hides(message.headers) else data, now)
        if isinstance(message, Response):
            self._receive_response(message, source, now)
            return
        try:
            self._answerer.receive(message, source, now)
        except SipSyntaxError as error:
            self._refuse_unreadable(message, source, now, str(error))

    def receive_broken(self, data: bytes, source: Address, now: float, what: str) -> None:
        """Take what a stream can't be read beyond (`framing.StreamReader.offender`); its connection is gone by now."""
        waiting = list(self._core.pending.get(source, ()))
        self._receive_unreadable(data, source, now, what)
        self._lose([one for one in waiting if one in self._core.pending.get(source, ())], now)

    def transport_failed(self, destination: Address, now: float, reason: str = "icmp") -> None:
        """Take note that the network says `destination` can't be reached: all that waits for it fails."""
        for transaction in list(self._core.pending.get(destination, ())):
            transaction.transport_failed(now, reason)

    def connection_lost(self, destination: Address, now: float) -> None:
        """Take note that the connection to `destination` broke; what is sent there next wants a new one.

        What nothing came back for is sent again, once; a call with a provisional response is taken back.
        """
        self._lose(list(self._core.pending.get(destination, ())), now)

    def needs(self, destination: Address) -> bool:
        """Return whether a call or transaction still sends to `destination`; looks at every call."""
        return destination in self._core.pending or any(
            call.is_open and call.destination == destination
            for call in (*self._core.calls.values(), *self._core.superseded)
        )

    def handle_timer(self, now: float) -> None:
        """Do what is due by now."""
        self._core.timers.fire_due(now)

    def get_timer(self) -> float | None:
        """Return when `handle_timer` must be called next, or None."""
        return self._core.timers.next_deadline()

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Return what is to be sent, in order, and forget it."""
        datagrams, self._core.outbox = self._core.outbox, []
        return datagrams

    def next_event(self) -> Event | None:
        """Return the oldest event not taken yet, or None."""
        return self._core.events.popleft() if self._core.events else None

    def invite(
        self,
        uri: SipUri,
        destination: Address,
        offer: bytes,
        now: float,
        *,
        answer_timeout: float,
        route: tuple[str, ...] = (),
        from_host: str | None = None,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> str:
        """Place a call and return its Call-ID.

        Args:
            uri: Whom to call.
            destination: Where to send it: the address of the room, or of the proxy.
            offer: Our session description.
            now: The time.
            answer_timeout: Seconds after which the call is taken back if it has no final response (`NoFinalAnswer`).
            route: Route values of a preloaded route (``<sip:proxy;lr>``), topmost first (§8.1.2).
            from_host: Host of our From URI; None: our address.
            credentials: Our accounts by realm, for whoever challenges the call's requests.

        Raises:
            SipSyntaxError: A route is none.
        """
        plan = self._plan("INVITE", uri, destination, route, from_host)
        Call(self._core, plan, offer, credentials=credentials).start(answer_timeout, now)
        return plan.call_id

    def invite_elsewhere(
        self,
        record: DialogRecord,
        destination: Address,
        offer: bytes,
        now: float,
        *,
        answer_timeout: float,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> None:
        """Send a call's INVITE to another address: the same request, but for its branch (RFC 3263 §4.3).

        Of the first one nothing is told any more. Should it be answered after all, its dialog is ended.

        Args:
            record: The call, as `dialog_record` had it before its first answer.
            destination: Where to send it now.
            offer: Our session description.
            now: The time.
            answer_timeout: As for `invite`, from now on.
            credentials: As for `invite`.
        """
        core = self._core
        before = core.calls.get(record.call_id)
        if isinstance(before, Call):
            before.supersede(now)
            core.superseded = [call for call in (*core.superseded, before) if call.is_open]
        branch = core.new_branch()
        plan = replace(record.invite_plan(), branch=branch, via=core.via(branch, destination), destination=destination)
        Call(core, plan, offer, credentials=credentials).start(answer_timeout, now)

    def measure_invite(self, uri: SipUri, destination: Address, offer: bytes, route: tuple[str, ...] = ()) -> int:
        """Return how many bytes the INVITE would have: beyond `DATAGRAM_LIMIT` it goes over TCP (§18.1.1)."""
        return len(invite_request(self._core, self._plan("INVITE", uri, destination, route, None), offer))

    def options(
        self, uri: SipUri, destination: Address, now: float, *, credentials: Credentials = NO_CREDENTIALS
    ) -> str:
        """Ask for capabilities (§11) and return the Call-ID; its end is told by an event."""
        core = self._core
        plan = self._plan("OPTIONS", uri, destination, (), None)
        call_id = plan.call_id

        def receive(response: Response, at: float) -> None:
            product, later = product_of(response), retry_after_of(response)
            core.events.append(OptionsAnswered(call_id, response.status, response.reason, at, product, later))

        def fail(reason: str, at: float) -> None:
            core.events.append(TimedOut(call_id, at) if reason == "timeout" else TransportFailed(call_id, reason, at))

        ask(
            core,
            plan,
            Login(credentials, core.token) if credentials else None,
            contact=core.contact_towards(destination, plan.uri),
            extra=("Accept: application/sdp", f"User-Agent: {core.product}"),
            on_final=receive,
            on_failure=fail,
            now=now,
        )
        return call_id

    def acknowledge(self, call_id: str, now: float) -> None:
        """Send the ACK to the 2xx of `Answered`; nothing happens if the call has ended in between."""
        call = self._core.calls.get(call_id)
        if isinstance(call, Call):
            call.acknowledge(now)

    def bye(self, call_id: str, now: float) -> bool:
        """End a call in whatever stage it is: CANCEL before the answer, ACK and BYE after it.

        Returns:
            True if its closing event is still to come or to be taken; False if there is no such call any more.
        """
        call = self._core.calls.get(call_id)
        return call is not None and call.end(now)

    def cancel(self, call_id: str, now: float) -> bool:
        """Do the same as `bye`: which of the two the call needs is for its stage to say, not for its caller."""
        return self.bye(call_id, now)

    def dialog_record(self, call_id: str) -> DialogRecord | None:
        """Return what a later process needs to end a call of ours; None if nothing is left to end."""
        call = self._core.calls.get(call_id)
        return call.record() if isinstance(call, Call) else None

    def end_orphan(self, record: DialogRecord, now: float, *, credentials: Credentials = NO_CREDENTIALS) -> None:
        """End a call of a process that died: BYE if confirmed, CANCEL if early. `Ended` tells how it went.

        For a CANCEL to be understood, our address should be that of the process that died. A BYE may be challenged:
        hence the credentials.

        Raises:
            SipSyntaxError: The record is damaged.
        """
        dialog = dialog_of_record(record)
        call = Call(self._core, record.invite_plan(), b"", Told.END, credentials)
        if record.state == "early":
            call.adopt_early(now)
        else:
            call.adopt_dialog(dialog, now)

    def ring(self, call_id: str, now: float, status: int = 180) -> None:
        """Send a provisional response to a call to us."""
        call = self._core.calls.get(call_id)
        if isinstance(call, IncomingCall):
            call.ring(status, now)

    def accept(self, call_id: str, answer: bytes, now: float) -> None:
        """Answer a call to us with 200 and our session description; `Acknowledged` follows."""
        call = self._core.calls.get(call_id)
        if isinstance(call, IncomingCall):
            call.accept(answer, now)

    def refuse(self, call_id: str, status: int, now: float, extra: tuple[str, ...] = ()) -> None:
        """Answer a call to us with a status from 300 up and further header lines; no event follows."""
        call = self._core.calls.get(call_id)
        if isinstance(call, IncomingCall):
            call.refuse(status, now, extra)

    def _plan(
        self, method: str, uri: SipUri, destination: Address, route: tuple[str, ...], from_host: str | None
    ) -> RequestPlan:
        core = self._core
        branch = core.new_branch()
        target = str(uri.as_request_uri())
        request_uri, routes = apply_route_set(target, route)
        return RequestPlan(
            method=method,
            uri=request_uri,
            branch=branch,
            via=core.via(branch, destination),
            from_=f"{core.quoted_name} <sip:{core.user}@{from_host or core.host}>;tag={core.token()}",
            to=f"<{target}>",
            call_id=f"{core.token()}@{core.host}",
            cseq=1,
            destination=destination,
            routes=routes,
        )

    def _call_of(self, invite: ClientTransaction) -> Call | None:
        """Return the call whose INVITE it is; one given up for another address has the same Call-ID as the current."""
        current = self._core.calls.get(invite.plan.call_id)
        calls = (current, *self._core.superseded)
        return next((call for call in calls if isinstance(call, Call) and call.transaction is invite), None)

    def _lose(self, waiting: list[ClientTransaction], now: float) -> None:
        for transaction in waiting:
            call = self._call_of(transaction)
            wanted = True
            if call is not None:
                if transaction.state is State.PROCEEDING:
                    call.connection_lost(now)
                    continue
                wanted = call.stage is Stage.CALLING
            if not wanted or not transaction.send_again(now):
                transaction.transport_failed(now, "connection_lost")

    def _receive_response(self, response: Response, source: Address, now: float) -> None:
        core = self._core
        if len(response.headers["via"]) > 1 or "," in response.headers["via"][0]:
            # More than one Via: it was meant for somebody else (§8.1.3.3).
            core.events.append(ProtocolViolated(None, "a response with more than one Via", now, source))
            return
        via, method = response.via, response.cseq[1]
        transaction = core.clients.get((via.branch, method))
        if transaction is not None and transaction.receive(response, source, now):
            return
        # A 2xx that no transaction wants: a fork's or a late one, or the answer to a call of a process that died.
        if method == "INVITE" and 200 <= response.status < 300 and via.sent_by == core.sent_by:
            self._end_stray(response, source, now)

    def _end_stray(self, response: Response, source: Address, now: float) -> None:
        try:
            _ = response.from_
        except SipSyntaxError as error:
            # From is our own: what stands there now can't be answered.
            self._core.events.append(ProtocolViolated(None, str(error), now, source))
            return
        call = self._core.calls.get(response.call_id)
        if call is None:
            call = Call(self._core, stray_plan(response, source), b"", Told.NOTHING)
            call.adopt_stray(response, now)
        elif isinstance(call, Call):
            call.receive_stray(response, source, now)

    def _receive_unreadable(self, data: bytes, source: Address, now: float, what: str) -> None:
        core = self._core
        try:
            message: Request | Response | None = scan_message(data)
        except SipSyntaxError:
            message = None
        call_id = claimed_call_id(message, data)
        self._trace(call_id, source, masked(data), now)
        if isinstance(message, Request):
            self._refuse_unreadable(message, source, now, what)
            return
        transaction = find_transaction(core, message, call_id, source)
        if transaction is None:
            core.events.append(ProtocolViolated(None, what, now, source))
            return
        plan = transaction.plan
        call = core.calls.get(plan.call_id)
        concerned = False
        if plan.method == "INVITE" and isinstance(call, Call) and call.transaction in (transaction, None):
            concerned = call.violate(what, source, now)
        else:
            about = plan.call_id if plan.method == "OPTIONS" else None
            core.events.append(ProtocolViolated(about, what, now, source))
        if message is not None:
            transaction.receive(repair(message, plan), source, now)
        elif concerned and call is not None:
            call.end(now)

    def _refuse_unreadable(self, request: Request, source: Address, now: float, what: str) -> None:
        self._core.events.append(ProtocolViolated(None, what, now, source))
        answer_unreadable(request, self._core, source, now)

    def _trace(self, call_id: str | None, source: Address, data: bytes, now: float) -> None:
        if self._core.on_message is not None:
            self._core.on_message(call_id, False, source, data, now)  # noqa: FBT003 - positional by its type

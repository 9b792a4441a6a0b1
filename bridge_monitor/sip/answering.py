"""The called side (RFC 3261 §8.2, §12.2.2): what a room sends us inside a call, and what others send out of the blue.

Owns the answer to every request; must not place calls. Every request but INVITE is answered at once.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sdp import NegotiationFailure, reanswer
from bridge_monitor.sip.calls import Call
from bridge_monitor.sip.core import Core
from bridge_monitor.sip.dialog import Dialog, dialog_of_request
from bridge_monitor.sip.events import Address, Invited, SessionChanged
from bridge_monitor.sip.grammar import readable
from bridge_monitor.sip.incoming import IncomingCall, Repeater
from bridge_monitor.sip.message import Request
from bridge_monitor.sip.server_transactions import ServerTransaction, server_key
from bridge_monitor.sip.writing import ALLOW, respond, response_destination

_TAKEN_METHODS: Final = frozenset(ALLOW.split(", "))
_UNTAKEN_METHODS: Final = frozenset(("REGISTER", "SUBSCRIBE", "NOTIFY", "MESSAGE", "REFER", "PRACK", "PUBLISH"))
"""Methods that we know and don't take: 405; any other is 501 (§8.2.1, §21.5.2)."""


class Answerer:
    """Answers requests for one user agent."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._repeaters: dict[str, tuple[int, Repeater]] = {}

    def receive(self, request: Request, source: Address, now: float) -> None:
        """Take a request.

        Raises:
            SipSyntaxError: A field that the answer depends on is unreadable; nothing was changed.
        """
        method = request.method
        known = self._core.servers.get(server_key(request, "INVITE" if method == "ACK" else method))
        if method == "ACK":
            self._receive_ack(request, known, now)
        elif known is not None:
            known.receive_again(now)
        elif method == "CANCEL":
            self._receive_cancel(request, source, now)
        else:
            self._receive_new(request, source, now)

    def _receive_ack(self, request: Request, known: ServerTransaction | None, now: float) -> None:
        # An ACK is never answered (§17): what it doesn't fit is dropped.
        if known is not None:
            known.receive_ack(now)
        number, repeater = self._repeaters.get(request.call_id, (None, None))
        if repeater is not None and number == request.cseq[0]:
            self._stop_repeating(request.call_id)
        call = self._core.calls.get(request.call_id)
        if isinstance(call, IncomingCall) and call.find_dialog(request.to.tag or "", request.from_.tag or ""):
            call.receive_ack(request.sdp, now)

    def _receive_cancel(self, request: Request, source: Address, now: float) -> None:
        invite = self._core.servers.get(server_key(request, "INVITE"))
        self._answer(request, source, 481 if invite is None else 200, now)
        call = self._core.calls.get(request.call_id)
        if isinstance(call, IncomingCall) and call.transaction is invite:
            call.cancel(now)

    def _receive_new(self, request: Request, source: Address, now: float) -> None:
        method = request.method
        if method not in _TAKEN_METHODS:
            status = 405 if method in _UNTAKEN_METHODS else 501
            self._answer(request, source, status, now, extra=(f"Allow: {ALLOW}",))
        elif "require" in request.headers:
            # We take no extension yet, so whatever is asked for is one too many (§8.2.2.3).
            unsupported = tuple(f"Unsupported: {value}" for value in request.get_all("require"))
            self._answer(request, source, 420, now, extra=unsupported)
        elif request.to.tag is not None:
            self._receive_inside(request, source, now)
        elif method == "INVITE":
            self._receive_invite(request, source, now)
        elif method == "OPTIONS":
            self._answer_options(request, source, now)
        else:
            self._answer(request, source, 481, now)

    def _receive_inside(self, request: Request, source: Address, now: float) -> None:
        method, number = request.method, request.cseq[0]
        call = self._core.calls.get(request.call_id)
        dialog = None if call is None else call.find_dialog(request.to.tag or "", request.from_.tag or "")
        if call is None or dialog is None or (dialog.ended and method != "BYE"):
            self._answer(request, source, 481, now)
            return
        if dialog.remote_cseq is not None and number < dialog.remote_cseq:
            self._answer(request, source, 500, now)
            return
        target = request.contact if method in ("INVITE", "UPDATE") else None
        dialog.remote_cseq = number
        if method == "BYE":
            self._answer(request, source, 200, now)
            self._stop_repeating(request.call_id)
            call.receive_bye(dialog, now)
        elif method == "INVITE" or (method == "UPDATE" and request.body):
            if self._receive_offer(request, source, call, now) and target is not None:
                dialog.retarget(target)
        elif method == "OPTIONS":
            self._answer_options(request, source, now)
        else:
            if target is not None:
                dialog.retarget(target)
            contact = self._core.contact_towards(source, request.uri) if method == "UPDATE" else None
            self._answer(request, source, 200, now, contact=contact)

    def _receive_offer(self, request: Request, source: Address, call: Call | IncomingCall, now: float) -> bool:
        """Answer a re-INVITE or an UPDATE with an offer; return whether the session goes on as asked (§14.2)."""
        core = self._core
        if request.body and not request.sdp:
            self._answer(request, source, 415, now, extra=("Accept: application/sdp",))
            return False
        if request.call_id in self._repeaters:
            # An earlier re-INVITE isn't acknowledged yet.
            self._answer(request, source, 500, now, extra=("Retry-After: 5",))
            return False
        # Without an offer in the re-INVITE, our 200 makes one: the session as it is.
        description = call.local_sdp
        if request.sdp:
            answer = reanswer(call.local_sdp, request.sdp)
            if isinstance(answer, NegotiationFailure):
                self._answer(request, source, 488, now)
                return False
            description = answer.to_bytes()
        contact = core.contact_towards(source, request.uri)
        transaction = self._answer(request, source, 200, now, contact=contact, body=description)
        if request.sdp:
            call.local_sdp = description
            core.events.append(SessionChanged(request.call_id, request.sdp, description, now))
        if request.method == "INVITE":
            self._repeat(request, transaction, call, now)
        return True

    def _repeat(self, request: Request, transaction: ServerTransaction, call: Call | IncomingCall, now: float) -> None:
        call_id = request.call_id

        def give_up(at: float) -> None:
            del self._repeaters[call_id]
            call.end(at)

        self._repeaters[call_id] = request.cseq[0], Repeater(self._core, transaction, give_up, now)

    def _stop_repeating(self, call_id: str) -> None:
        _, repeater = self._repeaters.pop(call_id, (0, None))
        if repeater is not None:
            repeater.stop()

    def _receive_invite(self, request: Request, source: Address, now: float) -> None:
        core = self._core
        if request.call_id in core.calls:
            # The same call by another way, or our own come back (§8.2.2.2).
            self._answer(request, source, 482, now)
        elif not core.answering:
            self._answer(request, source, 486, now)
        elif not request.uri.lower().startswith(("sip:", "sips:")):
            self._answer(request, source, 416, now)
        elif request.body and not request.sdp:
            self._answer(request, source, 415, now, extra=("Accept: application/sdp",))
        else:
            dialog: Dialog = dialog_of_request(request, core.token(), source, pinned=core.strangers)
            call = IncomingCall(core, ServerTransaction(core, request, source), dialog)
            if not core.strangers:
                call.ring(100, now)
            from_uri, uri = readable(request.from_.uri), readable(request.uri)
            core.events.append(Invited(request.call_id, from_uri, uri, request.sdp, source, now))

    def _answer_options(self, request: Request, source: Address, now: float) -> None:
        self._answer(
            request,
            source,
            200,
            now,
            contact=self._core.contact_towards(source, request.uri),
            extra=(f"Allow: {ALLOW}", "Accept: application/sdp"),
        )

    def _answer(
        self,
        request: Request,
        source: Address,
        status: int,
        now: float,
        *,
        contact: str | None = None,
        body: bytes = b"",
        extra: tuple[str, ...] = (),
    ) -> ServerTransaction:
        core = self._core
        transaction = ServerTransaction(core, request, source)
        response = respond(
            request,
            status,
            to_tag=core.token(),
            contact=contact,
            body=body,
            extra=(*extra, f"Server: {core.product}"),
            source=source,
        )
        transaction.respond(status, response, now)
        return transaction


def answer_unreadable(request: Request, core: Core, source: Address, now: float) -> None:
    """Answer a malformed request with 400, statelessly, if it says enough of where it came from (§21.4.1)."""
    if request.method == "ACK":
        return
    try:
        response = respond(request, 400, source=source, extra=(f"Server: {core.product}",))
    except (SipSyntaxError, KeyError):
        return
    core.send(response, response_destination(request, source), readable(request.call_id), now)

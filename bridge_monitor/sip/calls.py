"""A call that we place: from INVITE to its end, over all branches of a fork (RFC 3261 §13.2, §15.1.1).

Owns the rule that a call always ends: whatever comes late, twice or malformed, every dialog gets its ACK and its BYE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Final

from bridge_monitor.domain import SipStatus
from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sdp import settle
from bridge_monitor.sip.client_transactions import ClientTransaction, RequestPlan, State
from bridge_monitor.sip.core import Core
from bridge_monitor.sip.dialog import Dialog, DialogRecord, dialog_of_response, early_record
from bridge_monitor.sip.digest import NO_CREDENTIALS, Credentials
from bridge_monitor.sip.events import (
    Address,
    Answered,
    ByeCompleted,
    Challenged,
    ConnectionLost,
    Ended,
    Event,
    NoFinalAnswer,
    ProtocolViolated,
    Provisional,
    Rejected,
    TimedOut,
    TransportFailed,
)
from bridge_monitor.sip.grammar import readable
from bridge_monitor.sip.login import CHALLENGES, Login, ask, renewed
from bridge_monitor.sip.message import Response
from bridge_monitor.sip.refusal import product_of, rejection
from bridge_monitor.sip.salvage import without_route
from bridge_monitor.sip.timers import TRANSACTION_TIMEOUT
from bridge_monitor.sip.writing import ALLOW

MAX_ACKS: Final = 32
"""A 2xx is repeated eleven times in 64·T1 (§13.3.1.4): more than that is a peer that answers ACKs."""


class Stage(StrEnum):
    """How far a call is, as the application sees it."""

    CALLING = "calling"
    """No final response yet."""
    TAKING_BACK = "taking back"
    """No final response yet, and none is wanted any more."""
    ANSWERED = "answered"
    """The 2xx is here; the application hasn't acknowledged it."""
    UP = "up"
    ENDING = "ending"
    """Our BYE waits for its response."""
    CLOSED = "closed"
    """The closing event was given; the call lingers to answer what the peer repeats."""


class Told(StrEnum):
    """What the application is told of a call."""

    ALL = "all"
    END = "end"
    """Only that it has ended: an orphan of another process."""
    NOTHING = "nothing"
    """A stray answer to nothing we know of."""


class Call:
    """One call of ours.

    Args:
        core: The user agent's shared state.
        invite: Fields of its INVITE.
        offer: Our session description.
        told: What the application is told.
        credentials: Our accounts, for whoever challenges its requests.
    """

    __slots__ = ("_authorization", "_cancel_answered", "_cancel_sent", "_credentials", "_login", "core", "dialogs",
                 "invite", "local_sdp", "primary", "provisional", "stage", "timers", "told", "transaction")  # fmt: skip

    def __init__(
        self,
        core: Core,
        invite: RequestPlan,
        offer: bytes,
        told: Told = Told.ALL,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> None:
        self.core = core
        self.invite = invite
        self.local_sdp = offer
        self.told = told
        self.timers: dict[str, int] = {}
        self.stage = Stage.CALLING
        self.transaction: ClientTransaction | None = None
        self.dialogs: dict[str, Dialog] = {}
        self.primary: Dialog | None = None
        self.provisional: SipStatus | None = None
        self._cancel_sent = False
        self._cancel_answered = False
        self._credentials = credentials
        self._login: Login | None = None
        self._authorization: tuple[str, ...] = ()
        core.calls[invite.call_id] = self

    @property
    def call_id(self) -> str:
        """Its Call-ID."""
        return self.invite.call_id

    @property
    def destination(self) -> Address:
        """Where its requests go now."""
        return self.invite.destination if self.primary is None else self.primary.destination

    @property
    def is_open(self) -> bool:
        """Whether something is left to end."""
        return self.stage is not Stage.CLOSED

    def start(self, answer_timeout: float, now: float) -> None:
        """Send the INVITE."""
        self.core.timers.start(self, "answer", now + answer_timeout)
        self._send_invite(now)

    def adopt_early(self, now: float) -> None:
        """Take back an INVITE that another process sent: CANCEL it, and be there for what answers it."""
        self.transaction = self._invite_transaction(b"")
        self.transaction.resume()
        self.stage = Stage.TAKING_BACK
        self._cancel(now)

    def adopt_stray(self, response: Response, now: float) -> None:
        """End the dialog that a 2xx makes which no transaction of ours asked for."""
        try:
            dialog = dialog_of_response(self.invite, response)
        except SipSyntaxError:
            dialog = dialog_of_response(self.invite, without_route(response))
        self._acknowledge(dialog, now)
        self.adopt_dialog(dialog, now)

    def adopt_dialog(self, dialog: Dialog, now: float) -> None:
        """End a confirmed dialog that no transaction of ours knows."""
        self.dialogs[dialog.remote_tag] = self.primary = dialog
        # Its 2xx may still be repeated for 64*T1, and each wants its ACK.
        self.core.timers.start(self, "linger", now + TRANSACTION_TIMEOUT)
        self._bye(dialog, now)

    def acknowledge(self, now: float) -> None:
        """Send the ACK to the 2xx that the application was told of; nothing happens if the call has moved on."""
        if self.stage is Stage.ANSWERED and self.primary is not None:
            self.stage = Stage.UP
            self._acknowledge(self.primary, now)

    def end(self, now: float) -> bool:
        """End the call in whatever stage it is; return whether it wasn't closed yet."""
        if self.stage is Stage.CALLING:
            self._take_back(now)
        elif self.stage is Stage.TAKING_BACK:
            self._cancel(now)
        elif self.stage in (Stage.ANSWERED, Stage.UP) and self.primary is not None:
            self._end_dialog(self.primary, now)
        return self.stage is not Stage.CLOSED

    def supersede(self, now: float) -> None:
        """Give way to a request for the same that goes elsewhere (RFC 3263 §4.3).

        Nothing is told of this one any more; what it may still bring is ended.
        """
        self.told = Told.NOTHING
        self.end(now)

    def record(self) -> DialogRecord | None:
        """Return what a later process needs to end the call; None if nothing is left to end."""
        if self.stage is Stage.CLOSED:
            return None
        return early_record(self.invite) if self.primary is None else self.primary.record(self.invite)

    def violate(self, what: str, source: Address, now: float) -> bool:
        """Take note that the response to our INVITE is unreadable; return whether the call still depended on it.

        If so, the call is to be taken back; but no CANCEL goes out yet: what can be read may be a final response.
        """
        concerned = self.stage is Stage.CALLING
        self._tell(ProtocolViolated(self.call_id if concerned else None, what, now, source))
        if concerned:
            self._give_up()
        return concerned

    def connection_lost(self, now: float) -> None:
        """Take note that the connection broke which the final response was to come over.

        The room may ring all the same, so the call is taken back, over another connection.
        """
        if self.stage is Stage.CALLING:
            self._tell(ConnectionLost(self.call_id, now))
            self._take_back(now)

    def find_dialog(self, local_tag: str, remote_tag: str) -> Dialog | None:
        """Return the dialog with these tags, or None; it may be ending."""
        dialog = self.dialogs.get(remote_tag)
        return dialog if dialog is not None and dialog.local_tag == local_tag and not dialog.gone else None

    def receive_bye(self, dialog: Dialog, now: float) -> None:
        """Take the peer's BYE, already answered. If it crosses our own, the call is over without an answer to ours."""
        dialog.gone = not dialog.ended
        dialog.ended = True
        if dialog is self.primary and self.is_open:
            self._close(Ended(self.call_id, "remote", now), now)

    def receive_stray(self, response: Response, source: Address, now: float) -> None:
        """Take a 2xx that has our Call-ID and comes late, or with a branch that isn't that of our INVITE.

        If the INVITE still waits for its final response, this is it: else it would go on being repeated.
        """
        if self.transaction is None or not self.transaction.receive(response, source, now):
            self.receive_success(response, source, now)

    def receive_success(self, response: Response, source: Address, now: float) -> None:
        """Take a 2xx to the INVITE: the first, a repeated one, or that of another branch of a fork (§13.2.2.4)."""
        known = self.dialogs.get(response.to.tag or "")
        if known is not None:
            # Before the application has acknowledged, it isn't ours to do so.
            if known.ack is not None or known.ended:
                self._acknowledge(known, now)
            return
        try:
            dialog = dialog_of_response(self.invite, response)
        except SipSyntaxError as error:
            self.violate(str(error), source, now)
            dialog = dialog_of_response(self.invite, without_route(response))
        self.dialogs[dialog.remote_tag] = dialog
        if self.stage is Stage.CALLING:
            self._answered(dialog, response, source, now)
            return
        if self.stage is Stage.TAKING_BACK:
            self.primary = dialog
        self._end_dialog(dialog, now)

    def fire(self, timer: str, now: float) -> None:
        """Take note that ``answer`` or ``linger`` ran out."""
        if timer == "answer":
            self._tell(NoFinalAnswer(self.call_id, self.provisional, now))
            self._take_back(now)
        else:
            self._forget_if_done()

    def _answered(self, dialog: Dialog, response: Response, source: Address, now: float) -> None:
        self.core.timers.stop(self, "answer")
        self.stage = Stage.ANSWERED
        self.primary = dialog
        if response.sdp:
            self.local_sdp = settle(self.local_sdp, response.sdp)
        self._tell(
            Answered(
                self.call_id,
                response.status,
                response.reason,
                response.sdp,
                readable(dialog.remote_target),
                now,
                source,
                product_of(response),
            )
        )

    def _receive_response(self, response: Response, source: Address, now: float) -> None:
        status = response.status
        if status >= 300:
            self._receive_refusal(response, now)
        elif status >= 200:
            self.receive_success(response, source, now)
        else:
            if status > 100 or self.provisional is None:
                self.provisional = SipStatus(status, response.reason)
            if self.stage is Stage.CALLING:
                self._tell(Provisional(self.call_id, status, response.reason, bool(response.sdp), now))
            else:
                self._cancel(now)

    def _receive_refusal(self, response: Response, now: float) -> None:
        """Answer a challenge with another INVITE (§22.2, §22.3); else the call is over."""
        trouble = None
        if response.status in CHALLENGES and self.stage is Stage.CALLING:
            self._login = self._login or Login(self._credentials, self.core.token)
            trouble = self._login.take(response)
            if trouble is None:
                self.invite = renewed(self.core, self.invite)
                self._authorization = self._login.lines("INVITE", self.invite.uri)
                self._send_invite(now)
                self._tell(Challenged(self.call_id, response.status, now))
                return
        self._close(rejection(self.call_id, response, trouble, now), now)

    def _receive_failure(self, reason: str, now: float) -> None:
        if reason == "timeout":
            self._close(TimedOut(self.call_id, now), now)
        else:
            self._close(TransportFailed(self.call_id, reason, now), now)

    def _give_up(self) -> None:
        self.core.timers.stop(self, "answer")
        self.stage = Stage.TAKING_BACK

    def _take_back(self, now: float) -> None:
        self._give_up()
        self._cancel(now)

    def _cancel(self, now: float) -> None:
        """Send the CANCEL, once, and only between a provisional response and a final one (§9.1)."""
        invite = self.transaction
        if self._cancel_sent or invite is None or invite.state is not State.PROCEEDING:
            return
        self._cancel_sent = True
        plan = replace(self.invite, method="CANCEL")
        cancel = ClientTransaction(
            self.core,
            plan,
            plan.to_bytes(),
            on_response=lambda response, _source, at: self._receive_cancel_response(invite, response, at),
            on_failure=lambda _reason, _now: None,
        )
        cancel.start(now)
        invite.cancel_sent(now)

    def _receive_cancel_response(self, invite: ClientTransaction, response: Response, now: float) -> None:
        if response.status < 200:
            return
        self._cancel_answered = True
        # 481: the peer knows of no such INVITE. For an orphan that is the end; else its final response is under way.
        if response.status == 481 and self.told is Told.END and self.stage is Stage.TAKING_BACK:
            invite.terminate()
            self._close(TimedOut(self.call_id, now), now)

    def _acknowledge(self, dialog: Dialog, now: float) -> None:
        """Send the ACK to a 2xx: a transaction of its own, the same bytes for each repeated 2xx (§13.2.2.4)."""
        if dialog.ack is None:
            branch = self.core.new_branch()
            via = self.core.via(branch, dialog.destination)
            plan = dialog.plan("ACK", dialog.invite_cseq, branch, via)
            # It can't be challenged, so it repeats the INVITE's credentials (§22.1).
            dialog.ack = plan.to_bytes(extra=self._authorization)
        if dialog.acks == MAX_ACKS:
            return
        dialog.acks += 1
        self.core.send(dialog.ack, dialog.destination, self.call_id, now)

    def _end_dialog(self, dialog: Dialog, now: float) -> None:
        """ACK, if that wasn't done, then BYE."""
        if dialog.ack is None:
            self._acknowledge(dialog, now)
        self._bye(dialog, now)

    def _bye(self, dialog: Dialog, now: float) -> None:
        dialog.ended = True
        if dialog is self.primary:
            self.stage = Stage.ENDING
        login = Login(self._credentials, self.core.token, self._login) if self._credentials else None
        send_bye(self.core, dialog, lambda status, at: self._bye_completed(dialog, status, at), now, login)

    def _bye_completed(self, dialog: Dialog, status: int | None, now: float) -> None:
        dialog.gone = True
        if dialog is self.primary and self.is_open:
            self._close(ByeCompleted(self.call_id, status, now), now)

    def _close(self, event: Rejected | TransportFailed | TimedOut | ByeCompleted | Ended, now: float) -> None:
        self.stage = Stage.CLOSED
        self.core.timers.stop(self, "answer")
        if self.told is Told.END:
            answered = self._cancel_answered
            if isinstance(event, ByeCompleted):
                answered = event.status is not None
            elif isinstance(event, Rejected | Ended):
                answered = True
            self.core.events.append(Ended(self.call_id, "local", now, answered))
        else:
            self._tell(event)
        self._forget_if_done()

    def _tell(self, event: Event) -> None:
        if self.told is Told.ALL:
            self.core.events.append(event)

    def _forget_if_done(self) -> None:
        done = self.stage is Stage.CLOSED and self.transaction is None and not self.timers
        if done and self.core.calls.get(self.call_id) is self:
            del self.core.calls[self.call_id]

    def _invite_terminated(self, transaction: ClientTransaction) -> None:
        if transaction is self.transaction:  # else it was challenged, and another INVITE has taken its place
            self.transaction = None
            self._forget_if_done()

    def _send_invite(self, now: float) -> None:
        request = invite_request(self.core, self.invite, self.local_sdp, self._authorization)
        self.transaction = self._invite_transaction(request)
        self.transaction.start(now)

    def _invite_transaction(self, request: bytes) -> ClientTransaction:
        return ClientTransaction(
            self.core,
            self.invite,
            request,
            on_response=self._receive_response,
            on_failure=self._receive_failure,
            on_terminated=self._invite_terminated,
        )


def invite_request(core: Core, plan: RequestPlan, offer: bytes, authorization: tuple[str, ...] = ()) -> bytes:
    """Return an INVITE; ``authorization`` are the header lines that answer challenges to it."""
    extra = (*authorization, f"Allow: {ALLOW}", f"User-Agent: {core.product}")
    return plan.to_bytes(contact=core.contact_towards(plan.destination, plan.uri), extra=extra, body=offer)


def send_bye(
    core: Core,
    dialog: Dialog,
    completed: Callable[[int | None, float], None],
    now: float,
    login: Login | None = None,
) -> None:
    """Send the BYE of a dialog (§15.1.1).

    Args:
        core: The user agent's shared state.
        dialog: The dialog.
        completed: Called with the status of the final response; None if nobody answered.
        now: The time.
        login: Answers challenges to it, and those that its call was asked before.
    """
    dialog.local_cseq += 1
    branch = core.new_branch()
    ask(
        core,
        dialog.plan("BYE", dialog.local_cseq, branch, core.via(branch, dialog.destination)),
        login,
        on_final=lambda response, at: completed(response.status, at),
        on_failure=lambda _reason, at: completed(None, at),
        now=now,
    )

"""A call that somebody places to us (RFC 3261 §13.3), where the application asked to be told of them.

Owns ringing, accepting and refusing, and the repetition of the 2xx until its ACK; a call always ends, as in `calls`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from bridge_monitor.sip.calls import send_bye
from bridge_monitor.sip.core import Core
from bridge_monitor.sip.dialog import Dialog
from bridge_monitor.sip.events import Acknowledged, Address, ByeCompleted, Ended
from bridge_monitor.sip.message import Request
from bridge_monitor.sip.server_transactions import ServerTransaction
from bridge_monitor.sip.timers import T1, T2, TRANSACTION_TIMEOUT
from bridge_monitor.sip.writing import ALLOW, respond


class Repeater:
    """Our 2xx to an INVITE, sent again and again until its ACK comes (§13.3.1.4).

    Args:
        core: The user agent's shared state.
        transaction: The server transaction that the 2xx was sent by.
        give_up: Called when no ACK came in 64·T1.
        now: When the 2xx was sent.
    """

    __slots__ = ("_core", "_give_up", "_interval", "_transaction", "timers")

    def __init__(
        self, core: Core, transaction: ServerTransaction, give_up: Callable[[float], object], now: float
    ) -> None:
        self._core = core
        self._transaction = transaction
        self._give_up = give_up
        self._interval = T1
        self.timers: dict[str, int] = {}
        core.timers.start(self, "repeat", now + T1)
        core.timers.start(self, "give up", now + TRANSACTION_TIMEOUT)

    def stop(self) -> None:
        """The ACK is here, or is waited for no more."""
        self._core.timers.stop_all(self)
        # The call has us and we had the call: without this, each one would be left to the garbage collector.
        self._give_up = _nobody_waits

    def fire(self, timer: str, now: float) -> None:
        """Send again, or give up."""
        if timer == "repeat":
            self._transaction.send_again(now)
            self._interval = min(2 * self._interval, T2)
            self._core.timers.start(self, "repeat", now + self._interval)
            return
        give_up = self._give_up
        self.stop()
        give_up(now)


def _nobody_waits(_now: float) -> None:
    return


class Stage(StrEnum):
    """How far a call to us is."""

    RINGING = "ringing"
    ACCEPTED = "accepted"
    UP = "up"
    ENDING = "ending"
    CLOSED = "closed"


class IncomingCall:
    """One call to us.

    Args:
        core: The user agent's shared state.
        transaction: Its INVITE's server transaction.
        dialog: The dialog that our 2xx makes.
    """

    _repeater: Repeater
    """Runs from `accept` on."""

    __slots__ = ("_repeater", "core", "dialog", "local_sdp", "stage", "transaction")

    def __init__(self, core: Core, transaction: ServerTransaction, dialog: Dialog) -> None:
        self.core = core
        self.transaction = transaction
        self.dialog = dialog
        self.local_sdp = b""
        self.stage = Stage.RINGING
        core.calls[dialog.call_id] = self

    @property
    def request(self) -> Request:
        """Its INVITE."""
        return self.transaction.request

    @property
    def destination(self) -> Address:
        """Where its caller is reached: the connection that its INVITE came on, if it came on one."""
        return self.transaction.source

    @property
    def is_open(self) -> bool:
        """Whether something is left to end."""
        return self.stage is not Stage.CLOSED

    def ring(self, status: int, now: float) -> None:
        """Send a provisional response."""
        if self.stage is Stage.RINGING:
            self._respond(status, b"", now)

    def accept(self, answer: bytes, now: float) -> None:
        """Send the 2xx with our description."""
        if self.stage is not Stage.RINGING:
            return
        self.stage = Stage.ACCEPTED
        self.local_sdp = answer
        self._respond(200, answer, now)
        self._repeater = Repeater(self.core, self.transaction, self.end, now)

    def refuse(self, status: int, now: float, extra: tuple[str, ...] = ()) -> None:
        """Send a final response other than 2xx."""
        if self.stage is Stage.RINGING:
            self._forget()
            self._respond(status, b"", now, extra)

    def cancel(self, now: float) -> None:
        """Take the caller's CANCEL, already answered (§9.2)."""
        if self.stage is Stage.RINGING:
            self.refuse(487, now)
            self.core.events.append(Ended(self.dialog.call_id, "remote", now))

    def end(self, now: float) -> bool:
        """End the call in whatever stage it is; return whether it wasn't closed yet."""
        if self.stage is Stage.RINGING:
            self.refuse(480, now)
        elif self.stage in (Stage.ACCEPTED, Stage.UP):
            self._repeater.stop()
            self.stage = Stage.ENDING
            self.dialog.ended = True
            send_bye(self.core, self.dialog, self._bye_completed, now)
        return self.stage is not Stage.CLOSED

    def find_dialog(self, local_tag: str, remote_tag: str) -> Dialog | None:
        """Return the dialog if it has these tags and a 2xx was sent, else None; it may be ending."""
        dialog = self.dialog
        right = dialog.local_tag == local_tag and dialog.remote_tag == remote_tag
        return dialog if right and self.stage is not Stage.RINGING else None

    def receive_ack(self, body: bytes, now: float) -> None:
        """Take the ACK to our 2xx."""
        self._repeater.stop()
        if self.stage is Stage.ACCEPTED:
            self.stage = Stage.UP
            self.core.events.append(Acknowledged(self.dialog.call_id, body, now))

    def receive_bye(self, dialog: Dialog, now: float) -> None:
        """Take the caller's BYE, already answered."""
        dialog.ended = True
        self._repeater.stop()
        self._forget()
        self.core.events.append(Ended(dialog.call_id, "remote", now))

    def _bye_completed(self, status: int | None, now: float) -> None:
        # A BYE of the caller's that crossed ours has told the end already.
        if self.is_open:
            self._forget()
            self.core.events.append(ByeCompleted(self.dialog.call_id, status, now))

    def _forget(self) -> None:
        self.stage = Stage.CLOSED
        del self.core.calls[self.dialog.call_id]

    def _respond(self, status: int, body: bytes, now: float, extra: tuple[str, ...] = ()) -> None:
        source = self.transaction.source
        response = respond(
            self.request,
            status,
            to_tag=self.dialog.local_tag if status > 100 else None,
            contact=self.core.contact_towards(source, self.request.uri) if 100 < status < 300 else None,
            body=body,
            extra=(f"Allow: {ALLOW}", f"Server: {self.core.product}") if 200 <= status < 300 else extra,
            source=source,
        )
        self.transaction.respond(status, response, now)

"""Server transactions (RFC 3261 §17.2, RFC 6026 §7.1) as state tables.

Owns the repetition of our responses; must not know calls or dialogs. The two rules of `client_transactions` hold.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

from bridge_monitor.sip.addresses import is_stream
from bridge_monitor.sip.core import Core, ServerKey
from bridge_monitor.sip.events import Address
from bridge_monitor.sip.message import Request
from bridge_monitor.sip.timers import T1, T2, T4, TRANSACTION_TIMEOUT
from bridge_monitor.sip.writing import response_destination


class State(StrEnum):
    """States of figures 7 and 8, and Accepted of RFC 6026."""

    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Input(StrEnum):
    """What can happen to a server transaction; timers are named as in §17.2."""

    REQUEST = "request again"
    ACK = "ACK"
    PROVISIONAL = "1xx from user"
    SUCCESS = "2xx from user"
    FAILURE = "300-699 from user"
    TIMER_G = "G"
    TIMER_H = "H"
    TIMER_I = "I"
    TIMER_J = "J"
    TIMER_L = "L"


class Action(StrEnum):
    """What a row makes the transaction do."""

    SEND = "send the last response"
    BACK_OFF_G = "start G with twice the interval, at most T2"
    STOP_TIMERS = "stop all timers"
    START_G = "start G"
    START_H = "start H"
    START_I = "start I"
    START_J = "start J"
    START_L = "start L"


Table: TypeAlias = dict[State, dict[Input, tuple[State, tuple[Action, ...]]]]

INVITE_SERVER: Final[Table] = {
    # RFC 3261 figure 7, as amended by RFC 6026 §7.1 (Accepted, timer L).
    State.PROCEEDING: {
        Input.REQUEST: (State.PROCEEDING, (Action.SEND,)),
        Input.PROVISIONAL: (State.PROCEEDING, (Action.SEND,)),
        Input.SUCCESS: (State.ACCEPTED, (Action.SEND, Action.START_L)),
        Input.FAILURE: (State.COMPLETED, (Action.SEND, Action.START_G, Action.START_H)),
    },
    State.ACCEPTED: {
        # The user repeats its 2xx until the ACK (§13.3.1.4); a repeated INVITE is absorbed.
        Input.SUCCESS: (State.ACCEPTED, (Action.SEND,)),
        Input.TIMER_L: (State.TERMINATED, ()),
    },
    State.COMPLETED: {
        Input.REQUEST: (State.COMPLETED, (Action.SEND,)),
        Input.TIMER_G: (State.COMPLETED, (Action.SEND, Action.BACK_OFF_G)),
        Input.TIMER_H: (State.TERMINATED, ()),
        Input.ACK: (State.CONFIRMED, (Action.STOP_TIMERS, Action.START_I)),
    },
    State.CONFIRMED: {
        Input.TIMER_I: (State.TERMINATED, ()),
    },
    State.TERMINATED: {},
}

NON_INVITE_SERVER: Final[Table] = {
    # RFC 3261 figure 8, without its state Proceeding: every request but INVITE is answered at once.
    State.TRYING: {
        Input.SUCCESS: (State.COMPLETED, (Action.SEND, Action.START_J)),
        Input.FAILURE: (State.COMPLETED, (Action.SEND, Action.START_J)),
    },
    State.COMPLETED: {
        Input.REQUEST: (State.COMPLETED, (Action.SEND,)),
        Input.TIMER_J: (State.TERMINATED, ()),
    },
    State.TERMINATED: {},
}

_DELAYS: Final[dict[Action, tuple[str, float]]] = {
    Action.START_G: ("G", T1),
    Action.START_H: ("H", TRANSACTION_TIMEOUT),
    Action.START_I: ("I", T4),
    Action.START_J: ("J", TRANSACTION_TIMEOUT),
    Action.START_L: ("L", TRANSACTION_TIMEOUT),
}

_NOT_ON_STREAMS: Final = (Action.START_I, Action.START_J)
"""Their timers wait for what only UDP repeats: over a stream they are 0 (§17.2, table 4)."""


def server_key(request: Request, method: str) -> ServerKey:
    """Return what a request's server transaction is found by (§17.2.3).

    Args:
        request: The request.
        method: The method to look for: INVITE for an ACK or a CANCEL.
    """
    via = request.via
    if via.branch:
        return via.branch, via.sent_by, method
    # A peer of RFC 2543: what stays the same over retransmissions, ACK and CANCEL.
    return request.headers["via"][0], request.call_id, request.from_.tag or "", str(request.cseq[0]), method


class ServerTransaction:
    """One server transaction; whoever makes it responds at once, an INVITE at least with 100.

    Args:
        core: The user agent's shared state.
        request: The request that began it.
        source: Where it came from.
    """

    __slots__ = ("_interval", "_key", "_table", "core", "destination", "request", "response", "source",
                 "state", "timers")  # fmt: skip

    def __init__(self, core: Core, request: Request, source: Address) -> None:
        self.core = core
        self.request = request
        self.source = source
        self.destination = response_destination(request, source)
        self.timers: dict[str, int] = {}
        self.response = b""
        invite = request.method == "INVITE"
        self._table = INVITE_SERVER if invite else NON_INVITE_SERVER
        self._interval = T1
        self._key = server_key(request, request.method)
        self.state = State.PROCEEDING if invite else State.TRYING
        core.servers[self._key] = self

    def respond(self, status: int, response: bytes, now: float) -> None:
        """Send a response of ours."""
        self.response = response
        self._take(Input.PROVISIONAL if status < 200 else Input.SUCCESS if status < 300 else Input.FAILURE, now)

    def send_again(self, now: float) -> None:
        """Send our 2xx once more (§13.3.1.4)."""
        self._take(Input.SUCCESS, now)

    def receive_again(self, now: float) -> None:
        """Take a retransmission of the request."""
        self._take(Input.REQUEST, now)

    def receive_ack(self, now: float) -> None:
        """Take an ACK that belongs to this transaction."""
        self._take(Input.ACK, now)

    def fire(self, timer: str, now: float) -> None:
        """Take note that a timer ran out."""
        self._take(Input(timer), now)

    def _take(self, kind: Input, now: float) -> None:
        row = self._table[self.state].get(kind)
        if row is None:
            return
        self.state, actions = row
        timers = self.core.timers
        for action in actions:
            if action is Action.SEND:
                self.core.send(self.response, self.destination, self.request.call_id, now)
            elif action is Action.STOP_TIMERS:
                timers.stop_all(self)
            elif action is Action.BACK_OFF_G:
                self._interval = min(2 * self._interval, T2)
                timers.start(self, "G", now + self._interval)
            elif not is_stream(self.destination):
                timer, delay = _DELAYS[action]
                timers.start(self, timer, now + delay)
            elif action is not Action.START_G:  # a stream repeats nothing itself (§17.2.1)
                timer, delay = _DELAYS[action]
                timers.start(self, timer, now if action in _NOT_ON_STREAMS else now + delay)
        if self.core.strangers and self.state is State.COMPLETED:
            self.state = State.TERMINATED  # who missed the response asks again (§8.2.7)
        if self.state is State.TERMINATED:
            timers.stop_all(self)
            del self.core.servers[self._key]

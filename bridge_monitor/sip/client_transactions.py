"""Client transactions (RFC 3261 §17.1, RFC 6026 §7.2) as state tables.

Owns retransmission, time-out and the ACK to a non-2xx; must not know calls or dialogs: it tells its user by callback.

Two rules make the tables work:

1. An input that a state has no row for is dropped: that is what the figures mean by showing no arrow.
2. The new state is set before the actions of a row run, so that the user may act on the transaction while it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeAlias

from bridge_monitor.domain.values import dataclass
from bridge_monitor.sip.addresses import is_stream
from bridge_monitor.sip.core import Core
from bridge_monitor.sip.events import Address
from bridge_monitor.sip.message import Response
from bridge_monitor.sip.timers import T1, T2, T4, TRANSACTION_TIMEOUT
from bridge_monitor.sip.writing import build_request


class State(StrEnum):
    """States of figures 5 and 6, and Accepted of RFC 6026."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class Input(StrEnum):
    """What can happen to a client transaction; timers are named as in §17.1."""

    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "300-699"
    TRANSPORT_ERROR = "transport_error"
    CANCEL_SENT = "cancel_sent"
    TIMER_A = "A"
    TIMER_B = "B"
    TIMER_D = "D"
    TIMER_E = "E"
    TIMER_F = "F"
    TIMER_K = "K"
    TIMER_M = "M"
    TIMER_CANCEL = "cancel"


class Action(StrEnum):
    """What a row makes the transaction do."""

    SEND = "send the request again"
    BACK_OFF_A = "start A with twice the interval"
    BACK_OFF_E = "start E with twice the interval, at most T2"
    SLOW_E = "start E with T2"
    STOP_TIMERS = "stop all timers"
    START_CANCEL = "give the final response 64*T1 from now"
    START_D = "start D"
    START_K = "start K"
    START_M = "start M"
    ACK = "acknowledge the response"
    TELL = "tell the user the response"
    TELL_TIMEOUT = "tell the user of the time-out"
    TELL_TRANSPORT = "tell the user of the transport error"


Table: TypeAlias = dict[State, dict[Input, tuple[State, tuple[Action, ...]]]]

_FINAL_ROWS: Final[dict[Input, tuple[State, tuple[Action, ...]]]] = {
    Input.SUCCESS: (State.ACCEPTED, (Action.STOP_TIMERS, Action.START_M, Action.TELL)),
    Input.FAILURE: (State.COMPLETED, (Action.STOP_TIMERS, Action.ACK, Action.START_D, Action.TELL)),
    Input.TRANSPORT_ERROR: (State.TERMINATED, (Action.TELL_TRANSPORT,)),
}

INVITE_CLIENT: Final[Table] = {
    # RFC 3261 figure 5, as amended by RFC 6026 §7.2 (Accepted, timer M).
    State.CALLING: {
        Input.TIMER_A: (State.CALLING, (Action.SEND, Action.BACK_OFF_A)),
        Input.TIMER_B: (State.TERMINATED, (Action.TELL_TIMEOUT,)),
        Input.PROVISIONAL: (State.PROCEEDING, (Action.STOP_TIMERS, Action.TELL)),
        **_FINAL_ROWS,
    },
    State.PROCEEDING: {
        Input.PROVISIONAL: (State.PROCEEDING, (Action.TELL,)),
        # §9.1: 64*T1 after the CANCEL an INVITE without final response counts as cancelled.
        Input.CANCEL_SENT: (State.PROCEEDING, (Action.START_CANCEL,)),
        Input.TIMER_CANCEL: (State.TERMINATED, (Action.TELL_TIMEOUT,)),
        **_FINAL_ROWS,
    },
    State.ACCEPTED: {
        # Every 2xx goes to the user: it repeats its ACK, or meets another branch of a fork (§13.2.2.4).
        Input.SUCCESS: (State.ACCEPTED, (Action.TELL,)),
        Input.TIMER_M: (State.TERMINATED, ()),
    },
    State.COMPLETED: {
        Input.FAILURE: (State.COMPLETED, (Action.ACK,)),
        Input.TIMER_D: (State.TERMINATED, ()),
    },
    State.TERMINATED: {},
}

NON_INVITE_CLIENT: Final[Table] = {
    # RFC 3261 figure 6.
    State.TRYING: {
        Input.TIMER_E: (State.TRYING, (Action.SEND, Action.BACK_OFF_E)),
        Input.TIMER_F: (State.TERMINATED, (Action.TELL_TIMEOUT,)),
        Input.PROVISIONAL: (State.PROCEEDING, (Action.TELL,)),
        Input.SUCCESS: (State.COMPLETED, (Action.STOP_TIMERS, Action.START_K, Action.TELL)),
        Input.FAILURE: (State.COMPLETED, (Action.STOP_TIMERS, Action.START_K, Action.TELL)),
        Input.TRANSPORT_ERROR: (State.TERMINATED, (Action.TELL_TRANSPORT,)),
    },
    State.PROCEEDING: {
        Input.TIMER_E: (State.PROCEEDING, (Action.SEND, Action.SLOW_E)),
        Input.TIMER_F: (State.TERMINATED, (Action.TELL_TIMEOUT,)),
        Input.PROVISIONAL: (State.PROCEEDING, (Action.TELL,)),
        Input.SUCCESS: (State.COMPLETED, (Action.STOP_TIMERS, Action.START_K, Action.TELL)),
        Input.FAILURE: (State.COMPLETED, (Action.STOP_TIMERS, Action.START_K, Action.TELL)),
        Input.TRANSPORT_ERROR: (State.TERMINATED, (Action.TELL_TRANSPORT,)),
    },
    State.COMPLETED: {
        Input.TIMER_K: (State.TERMINATED, ()),
    },
    State.TERMINATED: {},
}

_DELAYS: Final[dict[Action, tuple[str, float]]] = {
    Action.SLOW_E: ("E", T2),
    Action.START_CANCEL: ("cancel", TRANSACTION_TIMEOUT),
    Action.START_D: ("D", TRANSACTION_TIMEOUT),
    Action.START_K: ("K", T4),
    Action.START_M: ("M", TRANSACTION_TIMEOUT),
}

_TIMERS: Final = {str(one): one for one in Input}
"""Inputs by the name of the timer that gives them; ``Input(name)`` asks the same at ten times the cost."""
_NOT_ON_STREAMS: Final = (Action.START_D, Action.START_K)
"""Their timers wait for what only UDP repeats: over a stream they are 0 (table 4)."""

_WAITING: Final = (State.CALLING, State.TRYING, State.PROCEEDING)


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """The fields of a request that its ACK and CANCEL repeat (§9.1, §17.1.1.3).

    Attributes:
        method: Its method.
        uri: Its Request-URI.
        branch: Its branch.
        via: Its Via value, branch included.
        from_: Its From value, tag included.
        to: Its To value.
        call_id: Its Call-ID.
        cseq: Its CSeq number.
        destination: Where it is sent.
        routes: Its Route values.
    """

    method: str
    uri: str
    branch: str
    via: str
    from_: str
    to: str
    call_id: str
    cseq: int
    destination: Address
    routes: tuple[str, ...] = ()

    def to_bytes(self, *, contact: str | None = None, extra: tuple[str, ...] = (), body: bytes = b"") -> bytes:
        """Return the request."""
        return self._build(self.method, self.to, contact, extra, body)

    def follow_up(self, method: str, to: str) -> bytes:
        """Return the ACK to a non-2xx, or the CANCEL: same Request-URI, Via, Route, From, Call-ID and CSeq number."""
        return self._build(method, to, None, (), b"")

    def _build(self, method: str, to: str, contact: str | None, extra: tuple[str, ...], body: bytes) -> bytes:
        return build_request(
            method,
            self.uri,
            via=self.via,
            from_=self.from_,
            to=to,
            call_id=self.call_id,
            cseq=self.cseq,
            routes=self.routes,
            contact=contact,
            extra=extra,
            body=body,
        )


class ClientTransaction:
    """One client transaction.

    Args:
        core: The user agent's shared state.
        plan: The request's fields.
        request: The request as bytes.
        on_response: Called with each response that counts.
        on_failure: Called with ``timeout``, ``icmp`` or why the connection failed, when no final response can come any
            more.
        on_terminated: Called with the transaction when it is gone, whatever the way.
    """

    __slots__ = (
        "_failure",
        "_interval",
        "_on_failure",
        "_on_response",
        "_on_terminated",
        "_table",
        "core",
        "plan",
        "request",
        "sent_again",
        "state",
        "timers",
    )

    def __init__(
        self,
        core: Core,
        plan: RequestPlan,
        request: bytes,
        *,
        on_response: Callable[[Response, Address, float], None],
        on_failure: Callable[[str, float], None],
        on_terminated: Callable[[ClientTransaction], None] | None = None,
    ) -> None:
        self.core = core
        self.plan = plan
        self.request = request
        self.timers: dict[str, int] = {}
        self._on_response = on_response
        self._on_failure = on_failure
        self._on_terminated = on_terminated
        self._interval = T1
        self._failure = "icmp"
        self.sent_again = False
        invite = plan.method == "INVITE"
        self._table = INVITE_CLIENT if invite else NON_INVITE_CLIENT
        self.state = State.CALLING if invite else State.TRYING
        core.clients[plan.branch, plan.method] = self
        core.pending.setdefault(plan.destination, {})[self] = None

    def start(self, now: float) -> None:
        """Send the request for the first time."""
        repeat, give_up = ("A", "B") if self.state is State.CALLING else ("E", "F")
        if not is_stream(self.plan.destination):
            self.core.timers.start(self, repeat, now + T1)
        self.core.timers.start(self, give_up, now + TRANSACTION_TIMEOUT)
        self.core.send(self.request, self.plan.destination, self.plan.call_id, now)

    def resume(self) -> None:
        """Take over an INVITE that another process sent and that has a provisional response: nothing is sent."""
        self.state = State.PROCEEDING

    def receive(self, response: Response, source: Address, now: float) -> bool:
        """Take a response; return False if this state has no use for it."""
        status = response.status
        actions = self._advance(Input.PROVISIONAL if status < 200 else Input.SUCCESS if status < 300 else Input.FAILURE)
        for action in actions or ():
            if action is Action.TELL:
                self._on_response(response, source, now)
            elif action is Action.ACK:
                ack = self.plan.follow_up("ACK", response.headers["to"][0])
                self.core.send(ack, self.plan.destination, self.plan.call_id, now)
            else:
                self._perform(action, now)
        return actions is not None

    def send_again(self, now: float) -> bool:
        """Send the request once more, since its connection broke and another will take its place; False the next time.

        To the peer it is a retransmission: whoever has it already answers as before (§17.2.3).
        """
        if self.sent_again:
            return False
        self.sent_again = True
        self.core.send(self.request, self.plan.destination, self.plan.call_id, now)
        return True

    def transport_failed(self, now: float, reason: str = "icmp") -> None:
        """Take note that the request couldn't be delivered."""
        self._failure = reason
        self._take(Input.TRANSPORT_ERROR, now)

    def cancel_sent(self, now: float) -> None:
        """Take note that a CANCEL for this INVITE was sent."""
        self._take(Input.CANCEL_SENT, now)

    def fire(self, timer: str, now: float) -> None:
        """Take note that a timer ran out."""
        self._take(_TIMERS[timer], now)

    def terminate(self) -> None:
        """Forget the transaction without telling its user of a failure."""
        self.state = State.TERMINATED
        self._settle()

    def _take(self, kind: Input, now: float) -> None:
        for action in self._advance(kind) or ():
            self._perform(action, now)

    def _advance(self, kind: Input) -> tuple[Action, ...] | None:
        """Go to the next state; return the actions that are due, or None if there is no row."""
        row = self._table[self.state].get(kind)
        if row is None:
            return None
        self.state, actions = row
        if self.state not in _WAITING:
            self._settle()
        return actions

    def _perform(self, action: Action, now: float) -> None:
        timers = self.core.timers
        if action is Action.SEND:
            self.core.send(self.request, self.plan.destination, self.plan.call_id, now)
        elif action is Action.STOP_TIMERS:
            timers.stop_all(self)
        elif action is Action.BACK_OFF_A:
            self._interval *= 2
            timers.start(self, "A", now + self._interval)
        elif action is Action.BACK_OFF_E:
            self._interval = min(2 * self._interval, T2)
            timers.start(self, "E", now + self._interval)
        elif action in _DELAYS:
            timer, delay = _DELAYS[action]
            if action in _NOT_ON_STREAMS and is_stream(self.plan.destination):
                delay = 0.0
            timers.start(self, timer, now + delay)
        else:
            self._on_failure("timeout" if action is Action.TELL_TIMEOUT else self._failure, now)

    def _settle(self) -> None:
        """Leave the tables that this state no longer belongs in."""
        core, plan = self.core, self.plan
        waiting = core.pending.get(plan.destination)
        if waiting is not None and self in waiting:
            del waiting[self]
            if not waiting:
                del core.pending[plan.destination]
        if self.state is State.TERMINATED:
            core.timers.stop_all(self)
            core.clients.pop((plan.branch, plan.method), None)
            if self._on_terminated is not None:
                self._on_terminated(self)

"""What the user agent tells its application: frozen values, past tense, `at` in the agent's monotonic seconds.

Owns the vocabulary only; must not judge: outcomes are given by `probes`.

Every call started with `UserAgent.invite` yields exactly one *closing* event: `Rejected`, `TransportFailed`,
`TimedOut`, `ByeCompleted` or `Ended`. After it no dialog of the call is left on our side, and the agent itself still
answers what the peer retransmits. The others (`Provisional`, `Challenged`, `Answered`, `NoFinalAnswer`,
`ConnectionLost`, `ProtocolViolated`, `SessionChanged`) come before it. An OPTIONS request yields `OptionsAnswered`,
`TransportFailed` or `TimedOut`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from bridge_monitor.domain import SipStatus
from bridge_monitor.domain.values import dataclass

Address: TypeAlias = tuple[str, int]
"""Host text (an IP address) and port: of UDP, or, if it is an `addresses.StreamAddress`, of the transport it names."""


@dataclass(frozen=True, slots=True)
class Provisional:
    """A provisional response to our INVITE, 100 included (RFC 3261 §13.2.2.1)."""

    call_id: str
    status: int
    reason: str
    has_sdp: bool
    at: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The first 2xx to our INVITE. The application must `acknowledge` or `bye` it; until then no ACK is sent.

    Attributes:
        sdp: The body; empty if there was none.
        remote_target: The peer's Contact URI, where the dialog's requests go.
        peer: Address that the 2xx came from.
        product: The peer's ``Server`` or ``User-Agent`` header, or None.
    """

    call_id: str
    status: int
    reason: str
    sdp: bytes
    remote_target: str
    at: float
    peer: Address
    product: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A 3xx–6xx to our INVITE, already acknowledged. Closes the call.

    Attributes:
        retry_after: Seconds of its Retry-After header, or None (RFC 3261 §20.33).
        contacts: URIs of its Contact headers, best first (3xx; RFC 3261 §8.1.3.4).
        warning: Text of its Warning header, or None: says why a 488 was sent (RFC 3261 §20.43).
        trouble: Of a 401 or 407 to a call that was still wanted: why its challenge was not answered (`login.Trouble`).
    """

    call_id: str
    status: int
    reason: str
    retry_after: float | None
    contacts: tuple[str, ...]
    at: float
    warning: str | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Challenged:
    """A 401 or 407 to our INVITE was answered by another INVITE: `UserAgent.dialog_record` has changed."""

    call_id: str
    status: int
    at: float


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """The request couldn't be delivered. Closes the call.

    Attributes:
        reason: ``icmp``; of a stream, why it could not be had or kept (``connection_refused``, …).
    """

    call_id: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class TimedOut:
    """No final response in 64·T1: timer B or F, or that long after our CANCEL (RFC 3261 §9.1). Closes the call."""

    call_id: str
    at: float


@dataclass(frozen=True, slots=True)
class NoFinalAnswer:
    """The ``answer_timeout`` of the call passed without a final response; the agent now takes the call back.

    A closing event follows: `Rejected` (487), `ByeCompleted` (the answer came late) or `TimedOut`.

    Attributes:
        provisional: The last provisional response other than 100, else the 100, else None: nothing at all came.
    """

    call_id: str
    provisional: SipStatus | None
    at: float


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection broke after a provisional response; the agent takes the call back over a new one.

    A closing event follows, as for `NoFinalAnswer`.
    """

    call_id: str
    at: float


@dataclass(frozen=True, slots=True)
class ByeCompleted:
    """Our BYE has its final response; None: nobody answered it in 64·T1 or it met ICMP. Closes the call."""

    call_id: str
    status: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over by the peer's BYE, also one that crosses ours, or as an orphan. Closes the call.

    Attributes:
        by: ``remote``: the peer's BYE (or CANCEL, where we were called). ``local``: `UserAgent.end_orphan` is done.
        bye_answered: For `UserAgent.end_orphan`: whether the BYE or CANCEL was answered; else None.
    """

    call_id: str
    by: Literal["remote", "local"]
    at: float
    bye_answered: bool | None = None


@dataclass(frozen=True, slots=True)
class OptionsAnswered:
    """A final response to our OPTIONS, whatever its status (RFC 3261 §11.2).

    Attributes:
        retry_after: Seconds of its Retry-After header, or None (RFC 3261 §20.33).
    """

    call_id: str
    status: int
    reason: str
    at: float
    product: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class ProtocolViolated:
    """The peer sent what RFC 3261 forbids.

    With a call, what is wrong is the response to its INVITE (or OPTIONS), and the agent takes the call back as far as
    the message lets it; a closing event follows. Without, it is only noted: a request of theirs, a response that no
    longer matters.

    Attributes:
        call_id: The call by transaction or Call-ID or, failing both, the only one pending to that address; or None.
        what: What is wrong, for people.
        source: Where it came from.
    """

    call_id: str | None
    what: str
    at: float
    source: Address


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """The peer offered another session inside the call (re-INVITE, UPDATE) and our answer accepts it."""

    call_id: str
    offer: bytes
    answer: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody calls us (only with ``answering=True``); answer with `UserAgent.accept` or `UserAgent.refuse`."""

    call_id: str
    from_uri: str
    request_uri: str
    sdp: bytes
    source: Address
    at: float


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The ACK to our 2xx came: the dialog that we accepted is up."""

    call_id: str
    sdp: bytes
    at: float


Event: TypeAlias = (
    Provisional
    | Challenged
    | Answered
    | Rejected
    | TransportFailed
    | TimedOut
    | NoFinalAnswer
    | ConnectionLost
    | ByeCompleted
    | Ended
    | OptionsAnswered
    | ProtocolViolated
    | SessionChanged
    | Invited
    | Acknowledged
)

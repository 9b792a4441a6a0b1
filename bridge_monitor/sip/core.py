"""What all parts of one user agent share: its identity, its queues, its timers, its tables of transactions and calls.

Owns state that is looked up, and no behaviour of the protocol.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from bridge_monitor.sip.addresses import StreamAddress
from bridge_monitor.sip.events import Address, Event
from bridge_monitor.sip.grammar import quote
from bridge_monitor.sip.headers import MAGIC_COOKIE
from bridge_monitor.sip.masking import masked
from bridge_monitor.sip.timers import TimerHeap

if TYPE_CHECKING:
    from bridge_monitor.sip.calls import Call
    from bridge_monitor.sip.client_transactions import ClientTransaction
    from bridge_monitor.sip.incoming import IncomingCall
    from bridge_monitor.sip.server_transactions import ServerTransaction

MessageHook: TypeAlias = Callable[[str | None, bool, Address, bytes, float], None]
"""(Call-ID or None, sent by us, peer, bytes, now); in the bytes, what a password could be guessed by is masked."""

ServerKey: TypeAlias = tuple[str, ...]


class Core:
    """Shared state of one user agent.

    Args:
        local: Our address, as peers reach it.
        token: Returns a fresh random token: only letters and digits, at least 64 bits (§19.3).
        user: User part of our URIs.
        display_name: Display name of our calls.
        product: Text of User-Agent and Server.
        answering: Whether calls to us are told to the application; else they are answered 486.
        strangers: Whether anybody may send requests, under a forged address too: then a request draws one response
            that is neither kept nor repeated (§8.2.7), and ours inside a dialog go to where its INVITE came from.
    """

    def __init__(
        self,
        *,
        local: Address,
        token: Callable[[], str],
        user: str,
        display_name: str,
        product: str,
        answering: bool,
        strangers: bool = False,
    ) -> None:
        host, port = local
        bracketed = f"[{host}]" if ":" in host else host
        self.local = local
        self.host = bracketed
        self.sent_by = f"{bracketed}:{port}".lower()
        self.token = token
        self.user = user
        self.quoted_name = quote(display_name)
        self.contact = f"<sip:{user}@{bracketed}:{port}>"
        self.product = product
        self.answering = answering
        self.strangers = strangers
        self.on_message: MessageHook | None = None
        self.timers = TimerHeap()
        self.outbox: list[tuple[bytes, Address]] = []
        self.events: deque[Event] = deque()
        self.clients: dict[tuple[str, str], ClientTransaction] = {}
        self.pending: dict[Address, dict[ClientTransaction, None]] = {}
        self.servers: dict[ServerKey, ServerTransaction] = {}
        self.calls: dict[str, Call | IncomingCall] = {}
        self.superseded: list[Call] = []
        self._via = f"SIP/2.0/UDP {bracketed}:{port};rport;branch="
        self._authority = f"{user}@{bracketed}:{port}"

    def send(self, data: bytes, destination: Address, call_id: str, now: float) -> None:
        """Queue a datagram."""
        self.outbox.append((data, destination))
        if self.on_message is not None:
            shown = masked(data) if b"uthorization: " in data else data
            self.on_message(call_id, True, destination, shown, now)  # noqa: FBT003 - the hook's parameters are positional

    def new_branch(self) -> str:
        """Return a fresh branch (§8.1.1.7)."""
        return MAGIC_COOKIE + self.token()

    def via(self, branch: str, destination: Address) -> str:
        """Return our Via value for a branch; it asks for the port that our request seems to come from (RFC 3581).

        It names the transport of the destination (§18.1.1).
        """
        if isinstance(destination, StreamAddress):
            return f"SIP/2.0/{destination.transport.upper()}{self._via[11:]}{branch}"
        return self._via + branch

    def contact_towards(self, peer: Address, uri: str = "") -> str:
        """Return our Contact value for a peer: requests come back to it over the transport that the peer is reached by.

        Args:
            peer: Where the message goes to.
            uri: The Request-URI of its dialog: one of ``sips`` asks the same of Contact (§8.1.1.8, §12.1.1).
        """
        if uri[:5].lower() == "sips:":
            return f"<sips:{self._authority}>"
        if isinstance(peer, StreamAddress):
            return f"<sip:{self._authority};transport={peer.transport}>"
        return self.contact

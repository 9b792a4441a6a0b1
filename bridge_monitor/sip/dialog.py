"""Dialogs: who, where and by which route (RFC 3261 §12), and the record of one that outlives the process.

Owns the dialog's facts and the rules of loose and strict routing; must not know when anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bridge_monitor.domain.values import dataclass
from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.addresses import DEFAULT_PORTS, StreamAddress, address_from_list, address_to_list
from bridge_monitor.sip.client_transactions import RequestPlan
from bridge_monitor.sip.events import Address
from bridge_monitor.sip.grammar import is_token
from bridge_monitor.sip.headers import parse_name_addr
from bridge_monitor.sip.message import Request, Response
from bridge_monitor.sip.uri import SipUri


@dataclass(frozen=True, slots=True)
class DialogRecord:
    """All that a later process needs to end a call: JSON types only in `to_dict`.

    Attributes:
        call_id: The Call-ID.
        state: ``early``: the INVITE has no final response yet, CANCEL ends it; ``confirmed``: BYE ends it.
        local_uri: Our name-addr without tag.
        local_tag: Our tag.
        remote_uri: The peer's name-addr without tag.
        remote_tag: The peer's tag; None while early, empty for a peer that has none (RFC 2543).
        remote_target: Where requests of the dialog go: a URI.
        route_set: Route values, topmost first.
        local_cseq: Number of our last request.
        destination: Address that requests are sent to, its transport included.
        invite_branch: Branch of the INVITE.
        invite_via: Its whole Via value, which the CANCEL repeats.
        invite_uri: Its Request-URI.
        invite_cseq: Its CSeq number.
    """

    call_id: str
    state: Literal["early", "confirmed"]
    local_uri: str
    local_tag: str
    remote_uri: str
    remote_tag: str | None
    remote_target: str
    route_set: tuple[str, ...]
    local_cseq: int
    destination: Address
    invite_branch: str
    invite_via: str
    invite_uri: str
    invite_cseq: int

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form: JSON types only."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        plain["route_set"] = list(self.route_set)
        plain["destination"] = address_to_list(self.destination)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> DialogRecord:
        """Read the plain form.

        Raises:
            KeyError: A key is missing.
            TypeError: A value has another type.
            ValueError: A value can't be.
        """
        values = {name: plain[name] for name in cls.__slots__}
        if plain["state"] not in ("early", "confirmed"):
            raise ValueError(plain["state"])
        values["route_set"] = tuple(plain["route_set"])
        values["destination"] = address_from_list(plain["destination"])
        return cls(**values)

    def invite_plan(self) -> RequestPlan:
        """Return the fields of the INVITE that began it."""
        return RequestPlan(
            method="INVITE",
            uri=self.invite_uri,
            branch=self.invite_branch,
            via=self.invite_via,
            from_=f"{self.local_uri};tag={self.local_tag}",
            to=self.remote_uri,
            call_id=self.call_id,
            cseq=self.invite_cseq,
            destination=self.destination,
            routes=self.route_set if self.state == "early" else (),
        )


@dataclass(slots=True)
class Dialog:
    """One dialog of ours, as caller or called.

    Attributes:
        call_id: The Call-ID.
        local: From value of our requests, tag included.
        local_tag: Our tag.
        remote: To value of our requests, tag included.
        remote_tag: The peer's tag; empty if it has none.
        remote_target: The peer's Contact URI.
        route_set: Route values, topmost first.
        local_cseq: Number of our last request.
        destination: Where requests go.
        fallback: Where they go if the next hop is no IP address.
        pinned: Whether they go there always: a stranger's Contact and Record-Route may name anybody.
        invite_cseq: Number of the INVITE: the ACK repeats it.
        remote_cseq: Number of the peer's last request; None before its first.
        ack: The ACK to its 2xx, once sent.
        acks: How often it was sent.
        ended: True when a BYE was sent or received.
        gone: True when that BYE has its answer: requests inside the dialog now get 481.
    """

    call_id: str
    local: str
    local_tag: str
    remote: str
    remote_tag: str
    remote_target: str
    route_set: tuple[str, ...]
    local_cseq: int
    fallback: Address
    destination: Address = ("", 0)
    invite_cseq: int = 0
    remote_cseq: int | None = None
    ack: bytes | None = None
    acks: int = 0
    ended: bool = False
    gone: bool = False
    pinned: bool = False

    def __post_init__(self) -> None:
        self._aim()

    def retarget(self, target: SipUri) -> None:
        """Take a new remote target (§12.2.2: a re-INVITE or UPDATE refreshes it)."""
        self.remote_target = str(target.as_request_uri())
        self._aim()

    def _aim(self) -> None:
        hop = next_hop(self.route_set, self.remote_target, self.fallback)
        self.destination = self.fallback if self.pinned else hop

    def plan(self, method: str, cseq: int, branch: str, via: str) -> RequestPlan:
        """Return the fields of a request inside the dialog (§12.2.1.1)."""
        uri, routes = apply_route_set(self.remote_target, self.route_set)
        return RequestPlan(
            method, uri, branch, via, self.local, self.remote, self.call_id, cseq, self.destination, routes
        )

    def record(self, invite: RequestPlan) -> DialogRecord:
        """Return what a later process needs to end it."""
        return DialogRecord(
            call_id=self.call_id,
            state="confirmed",
            local_uri=_split_tag(self.local)[0],
            local_tag=self.local_tag,
            remote_uri=_split_tag(self.remote)[0],
            remote_tag=self.remote_tag,
            remote_target=self.remote_target,
            route_set=self.route_set,
            local_cseq=self.local_cseq,
            destination=self.destination,
            invite_branch=invite.branch,
            invite_via=invite.via,
            invite_uri=invite.uri,
            invite_cseq=invite.cseq,
        )


def dialog_of_response(invite: RequestPlan, response: Response) -> Dialog:
    """Return the dialog that a 2xx to our INVITE makes (§12.1.2): the Record-Route reversed is the route set.

    A 2xx without Contact, which RFC 3261 forbids, leaves the INVITE's Request-URI as target.

    Raises:
        SipSyntaxError: Its To, Contact or Record-Route is unreadable.
    """
    contact = response.contact
    local_tag = _split_tag(invite.from_)[1]
    dialog = Dialog(
        call_id=invite.call_id,
        local=invite.from_,
        local_tag=local_tag,
        remote=response.headers["to"][0],
        remote_tag=response.to.tag or "",
        remote_target=invite.uri if contact is None else str(contact.as_request_uri()),
        route_set=response.record_route[::-1],
        local_cseq=invite.cseq,
        fallback=invite.destination,
        invite_cseq=invite.cseq,
    )
    if contact is None and not dialog.route_set:
        # The Request-URI may name a host behind the proxy that the INVITE went to.
        dialog.destination = invite.destination
    return dialog


def dialog_of_request(request: Request, local_tag: str, source: Address, *, pinned: bool = False) -> Dialog:
    """Return the dialog that our 2xx to an INVITE makes (§12.1.1): the Record-Route as it stands is the route set.

    With ``pinned`` its requests go to ``source``, whatever Contact and Record-Route say.

    Raises:
        SipSyntaxError: Its Contact is missing or unreadable, or its Record-Route is.
    """
    contact = request.contact
    if contact is None:
        raise SipSyntaxError("an INVITE without Contact")
    return Dialog(
        call_id=request.call_id,
        local=f"{request.headers['to'][0]};tag={local_tag}",
        local_tag=local_tag,
        remote=request.headers["from"][0],
        remote_tag=request.from_.tag or "",
        remote_target=str(contact.as_request_uri()),
        route_set=request.record_route,
        local_cseq=0,
        fallback=source,
        remote_cseq=request.cseq[0],
        pinned=pinned,
    )


def dialog_of_record(record: DialogRecord) -> Dialog:
    """Return the confirmed dialog of a record; its requests go where the record says."""
    dialog = Dialog(
        call_id=record.call_id,
        local=f"{record.local_uri};tag={record.local_tag}",
        local_tag=record.local_tag,
        remote=f"{record.remote_uri};tag={record.remote_tag}" if record.remote_tag else record.remote_uri,
        remote_tag=record.remote_tag or "",
        remote_target=record.remote_target,
        route_set=record.route_set,
        local_cseq=record.local_cseq,
        fallback=record.destination,
        invite_cseq=record.invite_cseq,
    )
    dialog.destination = record.destination
    return dialog


def early_record(invite: RequestPlan) -> DialogRecord:
    """Return the record of an INVITE without final response."""
    local_uri, local_tag = _split_tag(invite.from_)
    return DialogRecord(
        call_id=invite.call_id,
        state="early",
        local_uri=local_uri,
        local_tag=local_tag,
        remote_uri=invite.to,
        remote_tag=None,
        remote_target=invite.uri,
        route_set=invite.routes,
        local_cseq=invite.cseq,
        destination=invite.destination,
        invite_branch=invite.branch,
        invite_via=invite.via,
        invite_uri=invite.uri,
        invite_cseq=invite.cseq,
    )


def apply_route_set(target: str, route_set: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return Request-URI and Route values of a request (§12.2.1.1).

    A topmost route without ``lr`` is a strict router: it becomes the Request-URI, and the target the last route.
    """
    if not route_set:
        return target, ()
    first = SipUri.parse(parse_name_addr(route_set[0], "Route").uri)
    if first.loose:
        return target, route_set
    return str(first.as_request_uri()), (*route_set[1:], f"<{target}>")


def next_hop(route_set: tuple[str, ...], target: str, fallback: Address) -> Address:
    """Return where a request goes: the topmost route, else the target, if that is an IPv4 address; else the fallback.

    Names aren't resolved here, and nothing can be sent to 0.0.0.0, which some rooms put into Contact.

    A dialog begun over UDP stays there: what has reached the room will reach it again. One begun over TCP goes where
    the hop says, UDP where it says nothing (RFC 3263 §4.1), but for the place that its INVITE went to. One begun over
    TLS stays on TLS.
    """
    uri = SipUri.parse(parse_name_addr(route_set[0], "Route").uri if route_set else target)
    if not _is_ipv4(uri.host):
        return fallback
    if isinstance(fallback, StreamAddress):
        return _stream_hop(uri, fallback)
    return uri.host, uri.port or 5060


def _stream_hop(uri: SipUri, fallback: StreamAddress) -> Address:
    named = uri.transport if uri.scheme == "sips" or uri.parameter("transport") else ""
    secure = fallback.transport == "tls"
    if named not in DEFAULT_PORTS or (secure and named != "tls"):
        if secure or named or (uri.host, uri.port or 5060) == (fallback[0], fallback[1]):
            return fallback  # the connection that we have
        named = "udp"
    port = uri.port or DEFAULT_PORTS[named]
    if named == "udp":
        return uri.host, port
    # The same machine at another port goes by the same name; another one has to prove its own.
    name = fallback.name if uri.host == fallback[0] and fallback.name else uri.host
    return StreamAddress(uri.host, port, named, name, fallback.tls)


def _is_ipv4(host: str) -> bool:
    fields = host.split(".")
    return (
        len(fields) == 4
        and all(field.isascii() and field.isdigit() and len(field) <= 3 and int(field) <= 255 for field in fields)
        and fields[0] != "0"
    )


def _split_tag(value: str) -> tuple[str, str]:
    """Return a From or To value without its tag, and the tag; empty if there is none."""
    head, _, tag = value.rpartition(";tag=")
    if head.endswith(">") and is_token(tag):
        return head, tag  # the usual form, with nothing to read
    parsed = parse_name_addr(value, "From or To")
    others = [f";{name}" if text is None else f";{name}={text}" for name, text in parsed.parameters if name != "tag"]
    return f"{parsed.display_name} <{parsed.uri}>".lstrip() + "".join(others), parsed.tag or ""

"""Where a SIP URI leads: from NAPTR over SRV to addresses, in the order to be tried (RFC 3263 §4, RFC 2782).

Owns which questions to ask and what their answers mean; must not ask them: answers and chance are passed in.

Use: while `Location.questions` isn't empty, ask them all (at once, if you like) and give the answers to `answer`; then
take `Location.hops`, best first, or `Location.lack`: why there are none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from ipaddress import IPv6Address
from itertools import groupby, islice
from typing import Final, Literal, NamedTuple, TypeAlias

from bridge_monitor.sip.addresses import DEFAULT_PORTS
from bridge_monitor.sip.events import Address
from bridge_monitor.sip.uri import SipUri

MAX_HOPS: Final = 16
"""So many addresses at most come of one name."""
MAX_SERVICES: Final = 4
"""So many NAPTR records at most are followed."""

_MAX_SERVERS: Final = 16
_MAX_SORTED: Final = 64  # of a message of 64 KiB full of records; RFC 2782's choice takes the square of their number
_SRV_PREFIX: Final = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}
_NAPTR_SERVICES: Final = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)

Kind: TypeAlias = Literal["NAPTR", "SRV", "A", "AAAA"]
Family: TypeAlias = Literal["A", "AAAA"]

Chance: TypeAlias = Callable[[int], int]
"""Returns a random number from 0 to the one given, both included."""


class Hop(NamedTuple):
    """Where a request can be sent: transport (``udp``, ``tcp``, ``tls``), IP address and port."""

    transport: str
    host: str
    port: int

    @property
    def address(self) -> Address:
        """Address and port."""
        return self.host, self.port


class Means(NamedTuple):
    """What this version can call, the best first: transports, and address families by the records that name them."""

    transports: tuple[str, ...] = ("udp",)
    families: tuple[Family, ...] = ("A",)


class Question(NamedTuple):
    """A question to the DNS."""

    kind: Kind
    name: str


class Naptr(NamedTuple):
    """A NAPTR record (RFC 3403 §4.1)."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


class Srv(NamedTuple):
    """A SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


class Lack(StrEnum):
    """Why a question has no records, or a URI no address."""

    NO_SUCH_NAME = "no_such_name"
    """NXDOMAIN."""
    NO_ADDRESS = "no_address"
    """The name is there, and no record of this kind."""
    SERVER_FAILURE = "server_failure"
    """SERVFAIL: the resolver is there and couldn't find out."""
    RESOLVER_REFUSED = "resolver_refused"
    """The resolver is there and won't do it: REFUSED, NOTIMP, or nonsense."""
    RESOLVER_UNREACHABLE = "resolver_unreachable"
    RESOLVER_TIMEOUT = "resolver_timeout"
    SERVICE_NOT_OFFERED = "service_not_offered"
    """Its SRV record says that there is no SIP there: target ``.`` (RFC 2782)."""
    TRANSPORT_NOT_OFFERED = "transport_not_offered"
    """Its NAPTR records name only transports that this version doesn't have."""
    TRANSPORT_NOT_SUPPORTED = "transport_not_supported"
    """The URI itself asks for one."""
    IPV6_NOT_SUPPORTED = "ipv6_not_supported"


FAULTS: Final = frozenset(
    {Lack.SERVER_FAILURE, Lack.RESOLVER_REFUSED, Lack.RESOLVER_UNREACHABLE, Lack.RESOLVER_TIMEOUT}
)
"""Lacks that say nothing of the name: the question wasn't answered."""

Answer: TypeAlias = Sequence[Naptr] | Sequence[Srv] | Sequence[str] | Lack
"""Records of the kind that was asked for (addresses as text), or why there are none."""


def direct(uri: SipUri) -> Hop | None:
    """Return where a URI with a numeric host leads, and None for a name: nothing needs to be asked (§4.1, §4.2)."""
    if not uri.parameters and uri.scheme == "sip" and _IPV4.fullmatch(uri.host):
        return Hop("udp", uri.host, uri.port or 5060)  # what nearly all rooms have
    host = _numeric(uri.parameter("maddr") or uri.host)
    if host is None:
        return None
    transport = _asked_transport(uri) or _usual_transport(uri)
    return Hop(transport, host, uri.port or DEFAULT_PORTS.get(transport, 5060))


def is_ipv4(host: str) -> bool:
    """Return whether the host is an IPv4 address in dotted decimal form."""
    return _IPV4.fullmatch(host) is not None


class Location:
    """The way from one URI to its addresses.

    Args:
        uri: Whom to call, or the proxy on the way.
        means: What can be called.
        chance: Decides between servers of one priority by their weights.

    Attributes:
        questions: What to ask now; empty once the way has ended.
        hops: Where to send to, best first.
        lack: Why there is no hop; None if there is one, or before the end.
    """

    def __init__(self, uri: SipUri, means: Means, chance: Chance) -> None:
        self._means = means
        self._chance = chance
        self._secure = uri.scheme == "sips"
        self._usual = _usual_transport(uri)
        self._target = (uri.parameter("maddr") or uri.host).rstrip(".").lower()
        self._services: tuple[tuple[str, Question], ...] = ()
        self._otherwise = self._usual
        self._servers: tuple[tuple[str, str, int], ...] = ()
        self._fault: Lack | None = None
        self.questions: tuple[Question, ...] = ()
        self.hops: tuple[Hop, ...] = ()
        self.lack: Lack | None = None
        self._begin(uri)

    def answer(self, answers: Mapping[Question, Answer]) -> None:
        """Take the answers to all `questions`; then there are others, or the way has ended."""
        faults = [answer for answer in answers.values() if isinstance(answer, Lack) and answer in FAULTS]
        self._fault = next(iter(faults), self._fault)
        match self.questions[0].kind:
            case "NAPTR":
                self._take_naptr(answers[self.questions[0]])
            case "SRV":
                self._take_servers(answers)
            case _:
                self._take_addresses(answers)

    def _begin(self, uri: SipUri) -> None:
        asked = _asked_transport(uri)
        if asked and asked not in self._means.transports:
            self._end(Lack.TRANSPORT_NOT_SUPPORTED)
        elif (hop := direct(uri)) is not None:
            self._take_direct(hop)
        elif self._target.startswith("["):
            self._end(Lack.NO_SUCH_NAME)
        elif uri.port is not None:
            self._ask_address(asked or self._usual, uri.port)
        elif asked:
            self._ask_services([self._service_of(asked)], otherwise=asked)
        elif self._secure and "tls" not in self._means.transports:
            self._end(Lack.TRANSPORT_NOT_SUPPORTED)
        else:
            self.questions = (Question("NAPTR", self._target),)

    def _take_direct(self, hop: Hop) -> None:
        if hop.transport not in self._means.transports:
            self._end(Lack.TRANSPORT_NOT_SUPPORTED)
        elif ":" in hop.host and "AAAA" not in self._means.families:
            self._end(Lack.IPV6_NOT_SUPPORTED)
        else:
            self.hops = (hop,)

    # --- NAPTR (§4.1) ------------------------------------------------------------------------------------------------

    def _take_naptr(self, answer: Answer) -> None:
        records = [] if isinstance(answer, Lack) else [record for record in answer if isinstance(record, Naptr)]
        sip = [record for record in records if record.service.upper().startswith(("SIP+", "SIPS+"))]
        usable = [record for record in sip if self._is_usable(record)]
        if usable:
            # What is of another order is no choice any more once one was found (RFC 3403 §4.1).
            first = min(record.order for record in usable)
            best = sorted((one for one in usable if one.order == first), key=lambda record: record.preference)
            services = [_service(record) for record in best[:MAX_SERVICES]]
            self._ask_services(services, otherwise=services[0][0])
        elif sip:
            self._end(Lack.TRANSPORT_NOT_OFFERED)
        elif answer is Lack.NO_SUCH_NAME:
            # Nothing can be below it either (RFC 8020); its address is asked for, since some servers say so of a kind.
            self._ask_address(self._usual, None)
        else:
            able = [transport for transport in self._means.transports if (transport == "tls") == self._secure]
            self._ask_services([self._service_of(transport) for transport in able], otherwise=self._usual)

    def _is_usable(self, record: Naptr) -> bool:
        transport = _NAPTR_SERVICES.get(record.service.upper(), "")
        return (
            transport in self._means.transports
            and (transport == "tls" or not self._secure)
            and record.flags.lower() in {"s", "a"}
            and not record.regexp
            and bool(record.replacement.rstrip("."))
        )

    # --- SRV (§4.2) --------------------------------------------------------------------------------------------------

    def _service_of(self, transport: str) -> tuple[str, Question]:
        return transport, Question("SRV", _SRV_PREFIX[transport] + self._target)

    def _ask_services(self, services: Iterable[tuple[str, Question]], *, otherwise: str) -> None:
        """Ask for the servers of these services; ``otherwise`` is the transport if there is no SRV record at all."""
        self._services = tuple(dict.fromkeys(services))
        self._otherwise = otherwise
        self.questions = tuple(question for _, question in self._services if question.kind == "SRV")
        if not self.questions:
            self._take_servers({})

    def _take_servers(self, answers: Mapping[Question, Answer]) -> None:
        found: list[tuple[str, str, int]] = []
        denied = False
        for transport, question in self._services:
            if question.kind != "SRV":
                found.append((transport, question.name, DEFAULT_PORTS[transport]))
            elif not isinstance(answer := answers[question], Lack):
                records = [record for record in answer if isinstance(record, Srv)]
                there = [record for record in records if record.target.rstrip(".") and record.port]
                denied = denied or len(there) < len(records)
                chosen = islice(in_order(there, self._chance), _MAX_SERVERS)
                found += [(transport, record.target.rstrip(".").lower(), record.port) for record in chosen]
        if found:
            self._ask_addresses(found[:_MAX_SERVERS])
        elif denied:
            self._end(Lack.SERVICE_NOT_OFFERED)
        elif self._fault is not None and self._fault in answers.values():
            # Whether there are servers isn't known: the name's own address may be no SIP server at all.
            self._end(self._fault)
        else:
            self._ask_address(self._otherwise, None)

    # --- A and AAAA --------------------------------------------------------------------------------------------------

    def _ask_address(self, transport: str, port: int | None) -> None:
        """Ask for the address of the URI's own name."""
        if transport not in self._means.transports:
            self._end(Lack.TRANSPORT_NOT_SUPPORTED)
        else:
            self._ask_addresses([(transport, self._target, port or DEFAULT_PORTS[transport])])

    def _ask_addresses(self, servers: Sequence[tuple[str, str, int]]) -> None:
        self._servers = tuple(servers)
        names = dict.fromkeys(name for _, name, _ in servers)
        self.questions = tuple(Question(family, name) for name in names for family in self._means.families)

    def _take_addresses(self, answers: Mapping[Question, Answer]) -> None:
        found: dict[Hop, None] = {}
        for transport, name, port in self._servers:
            for family in self._means.families:
                answer = answers[Question(family, name)]
                if not isinstance(answer, Lack):
                    found |= dict.fromkeys(Hop(transport, str(one), port) for one in answer[:MAX_HOPS])
        self.hops = tuple(islice(found, MAX_HOPS))
        if self.hops:
            self.questions = ()
        elif self._fault is not None:
            self._end(self._fault)
        else:
            own = set(answers) == {Question(family, self._target) for family in self._means.families}
            gone = own and Lack.NO_SUCH_NAME in answers.values()
            self._end(Lack.NO_SUCH_NAME if gone else Lack.NO_ADDRESS)

    def _end(self, lack: Lack) -> None:
        self.questions = ()
        self.lack = lack


def in_order(records: Iterable[Srv], chance: Chance) -> Iterator[Srv]:
    """Yield servers in the order to be tried: by priority, and within one by chance after their weights (RFC 2782)."""
    by_priority = sorted(records, key=lambda record: record.priority)[:_MAX_SORTED]
    for _, group in groupby(by_priority, key=lambda record: record.priority):
        # Weight 0 comes first: then it has a small chance, and not none.
        left = sorted(group, key=lambda record: record.weight != 0)
        while left:
            drawn = chance(sum(record.weight for record in left))
            place, running = 0, left[0].weight
            while running < drawn:
                place += 1
                running += left[place].weight
            yield left.pop(place)


def _numeric(host: str) -> str | None:
    """Return an IP address without brackets; None for a name."""
    if _IPV4.fullmatch(host):
        return host
    if not host.startswith("["):
        return None
    try:
        return str(IPv6Address(host[1:-1]))
    except ValueError:
        return None


def _asked_transport(uri: SipUri) -> str:
    """Return the transport that the URI names, empty if it leaves it open; TCP under ``sips`` is TLS (§4.1)."""
    asked = (uri.parameter("transport") or "").lower()
    if uri.scheme == "sips" and asked:
        return "tls" if asked in {"tcp", "tls"} else f"sips over {asked}"
    return asked


def _usual_transport(uri: SipUri) -> str:
    return "tls" if uri.scheme == "sips" else "udp"


def _service(record: Naptr) -> tuple[str, Question]:
    """Return the transport of a NAPTR record, and what to ask next: its flag says whether SRV or address."""
    name = record.replacement.rstrip(".").lower()
    return _NAPTR_SERVICES[record.service.upper()], Question("SRV" if record.flags.lower() == "s" else "A", name)

"""Asks DNS servers one question at a time, and says in plain values what they answered or why they did not.

Owns dnspython and ``resolv.conf``; must not know what the answers are for, nor keep them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from bridge_monitor.sip.location import Answer, Lack, Naptr, Question, Srv

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.message
    import dns.resolver

RESOLVE_TIMEOUT_SECONDS: Final = 5.0
"""A name costs a call so long at most."""

RESOLV_CONF: Final = Path("/etc/resolv.conf")
DNS_PORT: Final = 53

_LONGEST_WAIT: Final = 1.0  # for one answer of one server; then the next is asked, or the same again
_MAX_RECORDS: Final = 256
_MAX_ALIASES: Final = 8


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """How names are looked up.

    Attributes:
        servers: Address and port of the DNS servers, in order; empty: those of ``resolv.conf``.
        timeout_seconds: What a name may cost in all.
    """

    servers: tuple[tuple[str, int], ...] = ()
    timeout_seconds: float = RESOLVE_TIMEOUT_SECONDS


class Told(NamedTuple):
    """What a question brought, and for how many seconds it may be believed (RFC 2308 for what is not there)."""

    answer: Answer
    ttl: float


class Asks(Protocol):
    """Asks one question."""

    async def ask(self, question: Question, patience: float) -> Told:
        """Return what is told within ``patience`` seconds; nothing is raised."""


class DnsClient:
    """A stub resolver.

    Args:
        servers: Address and port of the servers; empty: those of ``resolv.conf``, read anew when it has changed.
        resolv_conf: Where that is; if it can't be read, a server on this machine is asked, as resolv.conf(5) says.
    """

    def __init__(self, servers: tuple[tuple[str, int], ...] = (), resolv_conf: Path = RESOLV_CONF) -> None:
        self._servers = servers
        self._resolv_conf = resolv_conf
        self._version: tuple[int, ...] | None = None
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def ask(self, question: Question, patience: float) -> Told:
        """Return what the servers say within ``patience`` seconds; nothing is raised."""
        if "dns.asyncresolver" not in sys.modules:
            await asyncio.to_thread(_load)  # it takes a tenth of a second, and the loop has calls to see to
        import dns.exception
        import dns.resolver

        deadline = time.monotonic() + patience
        name = question.name
        try:
            for _ in range(_MAX_ALIASES):
                answer = await self._current().resolve(
                    name,
                    question.kind,
                    raise_on_no_answer=False,
                    lifetime=max(0.0, deadline - time.monotonic()),
                    # A single label is completed by the search list of resolv.conf, as the system does.
                    search="." not in name,
                    backend=_backend(),
                )
                if answer.rrset is not None or answer.canonical_name == answer.qname:
                    return _told(answer)
                # A server that knows the alias but not where it leads has not ended the search.
                name = answer.canonical_name.to_text()
        except dns.resolver.NXDOMAIN as error:
            return Told(Lack.NO_SUCH_NAME, _negative_ttl(error.kwargs["responses"].values()))
        except (dns.resolver.NoNameservers, dns.exception.Timeout) as error:
            return Told(_why_none(error.kwargs.get("errors", ())), 0.0)
        except dns.exception.DNSException:
            return Told(Lack.NO_SUCH_NAME, 0.0)  # a label too long, an alias that grows too long: no name there
        return Told(Lack.NO_ADDRESS, 0.0)

    def _current(self) -> dns.asyncresolver.Resolver:
        """Return the resolver; a new one where ``resolv.conf`` is another than before."""
        version = None if self._servers else _version(self._resolv_conf)
        if self._resolver is None or version != self._version:
            self._resolver, self._version = self._made(), version
        return self._resolver

    def _made(self) -> dns.asyncresolver.Resolver:
        import dns.asyncresolver
        import dns.exception
        import dns.nameserver

        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        if self._servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self._servers]
        else:
            with contextlib.suppress(dns.exception.DNSException, ValueError, OSError):
                resolver.read_resolv_conf(str(self._resolv_conf))
        resolver.timeout = _LONGEST_WAIT
        return resolver


def _load() -> None:
    """Import dnspython: who calls numeric hosts only does without it."""
    import dns.asyncbackend
    import dns.asyncresolver

    dns.asyncbackend.get_backend("asyncio")


@functools.cache
def _backend() -> Any:
    """Return dnspython's asyncio, its UDP sockets connected: else nobody hears that a server's port is closed."""
    import dns.asyncbackend

    class Connected(type(dns.asyncbackend.get_backend("asyncio"))):  # type: ignore[misc]
        def datagram_connection_required(self) -> bool:
            return True

    return Connected()


def _version(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _told(answer: dns.resolver.Answer) -> Told:
    ttl = float(answer.chaining_result.minimum_ttl)
    if answer.rrset is None:
        return Told(Lack.NO_ADDRESS, _negative_ttl([answer.response]))
    records = list(answer.rrset)[:_MAX_RECORDS]
    return Told(tuple(_READ[answer.rdtype.name](record) for record in records), ttl)


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "A": lambda record: record.address,
    "AAAA": lambda record: record.address,
    "SRV": lambda record: Srv(record.priority, record.weight, record.port, record.target.to_text()),
    "NAPTR": lambda record: Naptr(
        record.order,
        record.preference,
        record.flags.decode("ascii", "replace"),
        record.service.decode("ascii", "replace"),
        record.regexp.decode("utf-8", "replace"),
        record.replacement.to_text(),
    ),
}


def _negative_ttl(responses: Iterable[dns.message.QueryMessage]) -> float:
    """Return how long an absence may be believed: by the SOA record, and without one not at all (RFC 2308 §5)."""
    return min((_soa_ttl(response) for response in responses), default=0.0)


def _soa_ttl(response: dns.message.QueryMessage) -> float:
    has_soa = any(rrset.rdtype.name == "SOA" for rrset in response.authority)
    return float(response.resolve_chaining().minimum_ttl) if has_soa else 0.0


def _why_none(errors: Iterable[tuple[Any, ...]]) -> Lack:
    """Return why no server gave an answer; the kindest word of any of them counts."""
    import dns.message
    import dns.rcode

    lacks = {Lack.RESOLVER_TIMEOUT}
    for _server, _tcp, _port, what, response in errors:
        if isinstance(what, dns.message.ChainTooLong):
            lacks.add(Lack.NO_ADDRESS)
        elif response is not None and response.rcode() == dns.rcode.SERVFAIL:
            lacks.add(Lack.SERVER_FAILURE)
        elif isinstance(what, OSError):
            lacks.add(Lack.RESOLVER_UNREACHABLE)
        elif not isinstance(what, dns.exception.Timeout):
            lacks.add(Lack.RESOLVER_REFUSED)
    return next(lack for lack in _BY_WORD if lack in lacks)


_BY_WORD: Final = (
    Lack.NO_ADDRESS,
    Lack.SERVER_FAILURE,
    Lack.RESOLVER_REFUSED,
    Lack.RESOLVER_UNREACHABLE,
    Lack.RESOLVER_TIMEOUT,
)

"""From a SIP URI to the addresses to be tried, in bounded time: RFC 3263 over DNS and ``/etc/hosts``.

Owns what all calls of the process share: one query in flight for each question, its answer as long as it may be
believed, and which hosts have failed. What the answers mean is `sip.location`'s to say.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from bridge_monitor.errors import BridgeMonitorError, ResolverError
from bridge_monitor.net.dns_client import Asks, DnsClient, DnsSettings, Told
from bridge_monitor.net.hosts_file import HostsFile
from bridge_monitor.sip import SipUri
from bridge_monitor.sip.expiring import Expiring
from bridge_monitor.sip.location import FAULTS, Answer, Hop, Lack, Location, Means, Question, is_ipv4

FAILED_SECONDS: Final = 60.0
"""A host that has failed is asked last for so long, unless it said itself when to come again."""

CALLABLE: Final = Means(("udp", "tcp", "tls"))
"""What this version can call."""

_LONGEST_FAILED: Final = 3600.0
_LONGEST_KEPT: Final = 3600.0
_LONGEST_ABSENCE: Final = 300.0  # what isn't there yet is what somebody is just mending
_FAULT_KEPT: Final = 2.0  # a burst of calls is one look-up, the next call another
_MOST_ANSWERS: Final = 4096
_MOST_FAILED: Final = 1024
_SHARE: Final = 0.4
"""One question may take so much of a name's time: there are three, one after the other."""
_TRUSTED_SECONDS: Final = 60.0


class NameNotFoundError(BridgeMonitorError):
    """A host name led to no address.

    Attributes:
        reason: As in `sip.location.Lack`: ``no_such_name``, ``no_address``, ``server_failure`` …
    """

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"{host}: {reason}")
        self.reason = reason


class Names:
    """Where names lead, and which of the places have failed.

    Args:
        settings: Servers and time limit.
        means: What this version can call.
        client: Asks the DNS; one of the settings' servers unless given.
        hosts: The machine's own names.
    """

    def __init__(
        self,
        settings: DnsSettings = DnsSettings(),  # noqa: B008 - frozen
        *,
        means: Means = CALLABLE,
        client: Asks | None = None,
        hosts: HostsFile | None = None,
    ) -> None:
        self._settings = settings
        self._means = means
        self._client = client or DnsClient(settings.servers)
        self._hosts = hosts or HostsFile()
        self._kept: Expiring[Question, Answer] = Expiring(_MOST_ANSWERS)
        self._failed: Expiring[Hop, str] = Expiring(_MOST_FAILED)
        self._asked: dict[Question, _Query] = {}
        self._answered_at = float("-inf")

    def reload(self, settings: DnsSettings) -> None:
        """Ask as these settings say from now on; what other servers have said is forgotten."""
        if settings == self._settings:
            return
        self._settings = settings
        self._client = DnsClient(settings.servers)
        self._kept = Expiring(_MOST_ANSWERS)
        self._asked = {}

    async def locate(self, uri: SipUri) -> tuple[Hop, ...]:
        """Return where to send requests for a URI, best first; hosts that have failed of late come last (§4.3).

        Raises:
            NameNotFoundError: It leads nowhere that this version could call.
            ResolverError: Our resolver is dead, or doesn't work for us.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.timeout_seconds
        way = Location(uri, self._means, _chance)
        while way.questions:
            answers = await self._answers(way.questions, deadline)
            way.answer(dict(zip(way.questions, answers, strict=True)))
        if way.lack is not None:
            raise self._error(uri.host, way.lack, loop.time())
        now = loop.time()
        return tuple(sorted(way.hops, key=lambda hop: self._failed.get(hop, now) is not None))

    async def address(self, host: str) -> str:
        """Return the IPv4 address of a host that stands in a session description (RFC 8866 §5.7).

        Raises:
            NameNotFoundError: It has none.
            ResolverError: Our resolver is dead, or doesn't work for us.
        """
        if is_ipv4(host):
            return host
        named = f"[{host}]" if ":" in host else host
        return (await self.locate(SipUri(named, port=9)))[0].host

    def note_failed(self, hop: Hop, reason: str, seconds: float | None = None) -> None:
        """Note that a host has failed: it comes last for `FAILED_SECONDS`, or for what its Retry-After says."""
        now = asyncio.get_running_loop().time()
        lasting = FAILED_SECONDS if seconds is None else min(seconds, _LONGEST_FAILED)
        self._failed.put(hop, reason, now, until=now + lasting)

    def note_alive(self, hop: Hop) -> None:
        """Note that a host has answered."""
        self._failed.forget(hop)

    async def _answers(self, questions: Sequence[Question], deadline: float) -> Sequence[Answer]:
        if len(questions) == 1:
            return [await self._answer(questions[0], deadline)]
        return await asyncio.gather(*(self._answer(question, deadline) for question in questions))

    async def _answer(self, question: Question, deadline: float) -> Answer:
        own = self._own_answer(question)
        if own is not None:
            return own
        now = asyncio.get_running_loop().time()
        known = self._kept.get(question, now)
        if known is not None:
            return known
        patience = self._settings.timeout_seconds * _SHARE
        query = self._asked.get(question)
        if query is None:
            query = self._asked[question] = _Query(self._ask(question, patience))
        try:
            answer = await query.answer(min(patience, deadline - now))
        finally:
            if query.is_over and self._asked.get(question) is query:
                del self._asked[question]
        return Lack.RESOLVER_TIMEOUT if answer is None else answer

    def _own_answer(self, question: Question) -> Answer | None:
        """Return what this machine itself says; a name in its file of hosts is taken at its word: nobody is asked."""
        kind, name = question
        host = name.split(".", 2)[-1] if kind == "SRV" else name
        if host == "invalid" or host.endswith(".invalid"):
            return Lack.NO_SUCH_NAME  # RFC 6761 §6.4
        addresses = self._hosts.find(host)
        if not addresses:
            return None
        return (
            [one for one in addresses if (":" in one) == (kind == "AAAA")] if kind in {"A", "AAAA"} else Lack.NO_ADDRESS
        )

    async def _ask(self, question: Question, patience: float) -> Answer:
        kept = self._kept  # a reload gives up what old servers say
        told = await self._client.ask(question, patience)
        now = asyncio.get_running_loop().time()
        if told.answer not in FAULTS:
            self._answered_at = now
        kept.put(question, told.answer, now, until=now + _lasting(told))
        return told.answer

    def _error(self, host: str, lack: Lack, now: float) -> NameNotFoundError | ResolverError:
        if lack not in FAULTS:
            return NameNotFoundError(host, lack)
        if lack is Lack.SERVER_FAILURE and now - self._answered_at < _TRUSTED_SECONDS:
            # It finds out about others: this name's own servers are at fault.
            return NameNotFoundError(host, lack)
        return ResolverError(host, "resolver_failed" if lack is Lack.SERVER_FAILURE else lack)


class _Query:
    """One question under way, for all who wait for its answer; with the last of them it ends."""

    def __init__(self, asking: Coroutine[Any, Any, Answer]) -> None:
        self._task = asyncio.get_running_loop().create_task(asking)
        self._waiting = 0

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return not self._waiting

    async def answer(self, patience: float) -> Answer | None:
        """Return the answer, or None after so many seconds."""
        self._waiting += 1
        try:
            done, _ = await asyncio.wait({self._task}, timeout=max(0.0, patience))
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._task.cancel()
        return self._task.result() if done else None


def _lasting(told: Told) -> float:
    if not isinstance(told.answer, Lack):
        return min(told.ttl, _LONGEST_KEPT)
    return _FAULT_KEPT if told.answer in FAULTS else min(told.ttl, _LONGEST_ABSENCE)


def _chance(most: int) -> int:
    return secrets.randbelow(most + 1)

"""What this machine itself has dropped: in an interface, a queue or the connection table.

Owns reading the kernel's counters and the record of when they rose; must not judge results. The counters are the
machine's, not a call's: whoever asks must know that a rise says "perhaps ours", never "surely".
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from bridge_monitor.net import netlink

INTERFACE_DROPS: Final = "interface_drops"
QUEUE_DROPS: Final = "queue_drops"
CONNTRACK_FULL: Final = "conntrack_full"
REASONS: Final = (INTERFACE_DROPS, QUEUE_DROPS, CONNTRACK_FULL)
"""Reasons of ``docs/outcomes.md`` that are found here."""

_LOG = structlog.get_logger(__name__)
_PERIOD_SECONDS: Final = 1.0
_FRESH_SECONDS: Final = 0.05
"""A sample so young is not taken anew, however many calls end at once."""
_RISES_KEPT: Final = 2000
_CONNTRACK_FIELDS: Final = ("drop", "early_drop", "insert_failed")


@dataclass(frozen=True, slots=True)
class DropCounts:
    """Counters at one moment, each since the boot.

    Attributes:
        interfaces: By interface index: the driver had no room, on the way in or out.
        queues: By interface index: its queueing disciplines dropped.
        backlog: The per-CPU queues between driver and protocols were full (``softnet_stat``), whatever the interface.
        send_buffer: UDP datagrams dropped behind a socket's back on the way out (``SndbufErrors``): a full queue.
        connections: Packets that the connection table had no place for, or entries thrown out to make some.
    """

    interfaces: Mapping[int, int] = field(default_factory=dict)
    queues: Mapping[int, int] = field(default_factory=dict)
    backlog: int = 0
    send_buffer: int = 0
    connections: int = 0


def parse_softnet_stat(text: str) -> int:
    """Return the second column's sum (hexadecimal, a line for each CPU): packets dropped for a full backlog."""
    return sum(_number(columns[1], 16) for line in text.splitlines() if len(columns := line.split()) > 1)


def parse_snmp(text: str) -> int:
    """Return UDP's ``SndbufErrors`` of ``/proc/net/snmp``; 0 where it isn't told."""
    names: list[str] = []
    for line in text.splitlines():
        protocol, _, rest = line.partition(":")
        if protocol != "Udp":
            continue
        values = rest.split()
        if names and "SndbufErrors" in names and len(values) > names.index("SndbufErrors"):
            return _number(values[names.index("SndbufErrors")], 10)
        names = values
    return 0


def parse_conntrack_stat(text: str) -> int:
    """Return what ``/proc/net/stat/nf_conntrack`` says was dropped, over all CPUs; its first line names the columns.

    ``drop`` and ``insert_failed`` are packets lost; ``early_drop`` is an entry thrown out of a full table, which loses
    the answers to somebody, perhaps to us.
    """
    head, *lines = text.splitlines() or [""]
    names = head.split()
    places = [names.index(name) for name in _CONNTRACK_FIELDS if name in names]
    rows = [line.split() for line in lines]
    return sum(_number(row[place], 16) for row in rows for place in places if place < len(row))


def _number(text: str, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:
        return 0


class Rise(NamedTuple):
    """A counter rose at some time from ``since`` to ``until``; ``interface`` None: wherever."""

    since: float
    until: float
    reason: str
    interface: int | None


def rises(before: DropCounts, after: DropCounts, since: float, until: float) -> list[Rise]:
    """Return what rose between two samples. One that fell, or is new, has begun anew: that is no rise."""
    found = []
    for reason, old, new in (
        (INTERFACE_DROPS, before.interfaces, after.interfaces),
        (QUEUE_DROPS, before.queues, after.queues),
    ):
        found += [
            Rise(since, until, reason, index) for index, count in new.items() if index in old and count > old[index]
        ]
    for reason, was, is_now in (
        (INTERFACE_DROPS, before.backlog, after.backlog),
        (QUEUE_DROPS, before.send_buffer, after.send_buffer),
        (CONNTRACK_FULL, before.connections, after.connections),
    ):
        if is_now > was:
            found.append(Rise(since, until, reason, None))
    return found


class KernelCounters:
    """Reads the counters of this network namespace; what this kernel doesn't have counts as 0."""

    def __init__(self) -> None:
        self._refused = False
        self._netlink: netlink.NetlinkSocket | None = None
        with contextlib.suppress(OSError):
            self._netlink = netlink.NetlinkSocket()

    def read(self) -> DropCounts:
        """Return the counters now."""
        return DropCounts(
            interfaces=netlink.link_drops(self._dump(netlink.GET_LINK)),
            queues=netlink.queue_drops(self._dump(netlink.GET_QDISC)),
            backlog=parse_softnet_stat(_text("/proc/net/softnet_stat")),
            send_buffer=parse_snmp(_text("/proc/net/snmp")),
            connections=parse_conntrack_stat(_text("/proc/net/stat/nf_conntrack")),
        )

    def interface_of(self, host: str) -> int | None:
        """Return the index of the interface that has this address; None if none has."""
        return netlink.addresses(self._dump(netlink.GET_ADDRESS, socket.AF_INET)).get(host)

    def close(self) -> None:
        """Give the socket back."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def _dump(self, kind: int, family: int = socket.AF_UNSPEC) -> bytes:
        if self._netlink is None:
            return b""
        try:
            data = self._netlink.dump(kind, family)
        except OSError as error:
            # Perhaps for once: it is asked again at the next look, and told once.
            if not self._refused:
                _LOG.warning("drops_not_told", error=str(error))
            self._refused = True
            return b""
        self._refused = False
        return data


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except OSError:
        return ""


class HostDrops:
    """When this machine dropped something, by looks once a second and at the end of a call that was bad.

    Args:
        counters: Where the counters come from.
        clock: The calls' clock, in seconds.
    """

    def __init__(self, counters: KernelCounters, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._rises: deque[Rise] = deque(maxlen=_RISES_KEPT)
        self._task: asyncio.Task[None] | None = None
        self._at = clock()
        self._counts = counters.read()

    def start(self) -> None:
        """Begin looking on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="host-drops")

    async def stop(self) -> None:
        """End looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._counters.close()

    def look(self) -> None:
        """Take a sample now."""
        now, counts = self._clock(), self._counters.read()
        found = rises(self._counts, counts, self._at, now)
        self._rises.extend(found)
        if found:
            _LOG.warning("dropped_here", reasons=sorted({rise.reason for rise in found}))
        self._at, self._counts = now, counts

    def reasons_since(self, started: float, host: str) -> tuple[str, ...]:
        """Return what this machine dropped since then, on the interface of a local address or at any place.

        Args:
            started: When the call began, on the calls' clock.
            host: The address it left from; one that no interface has stands for every interface.
        """
        if self._clock() - self._at > _FRESH_SECONDS:
            self.look()
        recent = [rise for rise in self._rises if rise.until >= started]
        if not recent:
            return ()
        mine = self._counters.interface_of(host)
        met = {rise.reason for rise in recent if mine is None or rise.interface in {None, mine}}
        return tuple(reason for reason in REASONS if reason in met)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_PERIOD_SECONDS)
            self.look()

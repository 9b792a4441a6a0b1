"""Ends the calls that dead processes left up, before anybody is called.

Owns the sockets for it: where it can, the dead process's own address, since a room that has answered and waits for the
ACK goes on repeating its 200 to that address, and knows a CANCEL by it. Must not know where records come from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog

from bridge_monitor.errors import LocalFaultError, SipSyntaxError
from bridge_monitor.net.names import NameNotFoundError, resolve
from bridge_monitor.net.sip_udp import SipUdp, source_address_towards
from bridge_monitor.sip import Address, DialogRecord

_LOG = structlog.get_logger(__name__)
_LOOK_SECONDS: Final = 0.02

Sockets = dict[Address, SipUdp]


async def end_orphans(records: Iterable[dict[str, Any]], on_closed: Callable[[str], None], patience: float) -> int:
    """Ask every room to end its call: CANCEL, or BYE, or what its repeated 200 then needs.

    Args:
        records: The calls, as `DialogRecord.to_dict` has them.
        on_closed: Is told of each call that has ended.
        patience: Seconds after which rooms that don't answer are left alone.

    Returns:
        How many calls have ended.
    """
    sockets: Sockets = {}
    asked = 0
    try:
        for plain in records:
            try:
                await _ask(plain, sockets, on_closed)
            except (LookupError, TypeError, ValueError, SipSyntaxError, NameNotFoundError, LocalFaultError) as error:
                _LOG.warning("orphan_not_ended", call_id=plain["call_id"], error=str(error))
            else:
                asked += 1
        if not asked:
            return 0
        _LOG.info("ending_orphans", calls=asked)
        return asked - await _drain(sockets.values(), patience)
    finally:
        for udp in sockets.values():
            udp.close()


async def _ask(plain: dict[str, Any], sockets: Sockets, on_closed: Callable[[str], None]) -> None:
    record = DialogRecord.from_dict(plain)
    host, port = record.destination
    destination = await resolve(host, port)
    local = _local_address(record)
    if local not in sockets:
        sockets[local] = _open(local, destination, on_closed)
    udp = sockets[local]
    udp.agent.end_orphan(record, udp.now())
    udp.flush()


def _local_address(record: DialogRecord) -> Address:
    """Return the address that the INVITE left from: what its Via says (RFC 3261 §18.1.1)."""
    host, _, port = record.invite_via.split()[1].split(";")[0].rpartition(":")
    return host, int(port)


def _open(local: Address, destination: Address, on_closed: Callable[[str], None]) -> SipUdp:
    """Return a socket on the dead process's address, else on another port of it, else on what leads to the room."""
    for host, port in (local, (local[0], 0)):
        try:
            return SipUdp(host, port, on_closed=on_closed)
        except LocalFaultError:
            continue
    return SipUdp(source_address_towards(destination), 0, on_closed=on_closed)


async def _drain(sockets: Iterable[SipUdp], patience: float) -> int:
    """Wait until no call is open any more; return how many are after so many seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    # A rare wait; an event would cost every call.
    while (  # noqa: ASYNC110 - see above
        left := sum(len(udp.agent.open_calls) for udp in sockets)
    ) and loop.time() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)
    return left

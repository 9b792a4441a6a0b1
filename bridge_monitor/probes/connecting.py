"""Having the connection that a request goes over, before it is sent (RFC 3261 §18).

Owns what of it goes into the call's story; must not choose where to send.
"""

from __future__ import annotations

import asyncio

from bridge_monitor.net.sip_streams import NotConnectedError
from bridge_monitor.net.sip_udp import SipUdp
from bridge_monitor.probes.story import Story
from bridge_monitor.sip import StreamAddress, TlsSettings
from bridge_monitor.sip.location import Hop


def stream_of(hop: Hop, name: str, tls: TlsSettings | None) -> StreamAddress:
    """Return the address of a hop over TCP or TLS.

    Args:
        hop: The hop.
        name: Host of the URI that led to it: its certificate must name that, not what the DNS made of it (RFC 5922 §7).
        tls: What it must show.
    """
    return StreamAddress(hop.host, hop.port, hop.transport, name, tls)


async def connect(udp: SipUdp, address: StreamAddress, story: Story, patience: float) -> None:
    """Have the connection first: what it takes is no part of the room's answer, and why it fails is known.

    Raises:
        NotConnectedError: There is none to be had, or not within so many seconds.
        LocalFaultError: This machine lets us have none.
    """
    story.begin("connect", udp.now())
    try:
        async with asyncio.timeout(patience):
            connected = await udp.connect(address)
    except TimeoutError:
        raise NotConnectedError("connect_timeout") from None
    story.set("connect", connected.connect_seconds)
    if connected.tls_seconds is not None:
        story.set("tls", connected.tls_seconds)
        story.tls = connected.tls

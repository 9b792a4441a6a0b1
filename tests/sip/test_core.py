"""What the parts of a user agent share: its names on the wire, and its queue of datagrams."""

from __future__ import annotations

import pytest

from bridge_monitor.sip.addresses import StreamAddress
from bridge_monitor.sip.core import Core

ROOM = ("192.0.2.9", 5070)


def make_core(host: str = "192.0.2.1") -> Core:
    return Core(local=(host, 5062), token=lambda: "abc", user="u", display_name='x "y"', product="p", answering=False)


@pytest.mark.parametrize(("host", "written"), [("192.0.2.1", "192.0.2.1"), ("2001:DB8::1", "[2001:DB8::1]")])
def test_names_on_the_wire(host: str, written: str) -> None:
    """Via asks for rport, Contact names our port, an IPv6 address has brackets, sent-by compares in lower case."""
    core = make_core(host)
    assert core.via(core.new_branch(), ROOM) == f"SIP/2.0/UDP {written}:5062;rport;branch=z9hG4bKabc"
    assert core.contact == f"<sip:u@{written}:5062>"
    assert core.sent_by == f"{written.lower()}:5062"
    assert core.quoted_name == '"x \\"y\\""'


@pytest.mark.parametrize(("transport", "written"), [("tcp", "TCP"), ("tls", "TLS")])
def test_via_and_contact_name_the_transport_that_the_peer_is_reached_by(transport: str, written: str) -> None:
    """§18.1.1: the top Via says what the request is sent over; a Contact without it would ask for UDP."""
    core, peer = make_core(), StreamAddress(*ROOM, transport)
    assert core.via("z9hG4bKa", peer) == f"SIP/2.0/{written} 192.0.2.1:5062;rport;branch=z9hG4bKa"
    assert core.contact_towards(peer, "sip:x@192.0.2.9") == f"<sip:u@192.0.2.1:5062;transport={transport}>"
    assert core.contact_towards(ROOM, "sip:x@192.0.2.9") == core.contact


def test_whoever_is_called_by_sips_gets_a_contact_of_sips() -> None:
    """§8.1.1.8."""
    core = make_core()
    assert core.contact_towards(StreamAddress(*ROOM, "tls"), "SIPS:x@192.0.2.9") == "<sips:u@192.0.2.1:5062>"


def test_datagrams_are_queued_and_traced() -> None:
    """The hook sees each datagram as it is queued."""
    core = make_core()
    seen: list[tuple[object, ...]] = []
    core.send(b"1", ROOM, "call", 0.0)
    core.on_message = lambda *values: seen.append(values)
    core.send(b"2", ROOM, "call", 1.0)
    assert core.outbox == [(b"1", ROOM), (b"2", ROOM)]
    assert seen == [("call", True, ROOM, b"2", 1.0)]

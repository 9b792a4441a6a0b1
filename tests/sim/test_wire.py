"""The media sockets: pairs of ports, and clear words where they can't be had."""

from __future__ import annotations

import itertools
import socket

import pytest

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.sim import wire
from bridge_monitor.sim.wire import MediaSockets
from tests.sim.rigs import Caller


def test_rtcp_is_the_port_above_an_even_rtp_port() -> None:
    sockets = MediaSockets.open(3, None)
    ports = [sockets.port(index) for index in range(7)]
    sockets.close()
    assert len(set(ports)) == 7
    assert all(rtp % 2 == 0 and rtcp == rtp + 1 for rtp, rtcp in zip(ports[:3], ports[3:6], strict=True))


def test_a_first_port_fixes_all_others() -> None:
    for first in itertools.count(20000, 10):
        try:
            sockets = MediaSockets.open(2, first)
        except LocalFaultError:
            continue
        break
    ports = [sockets.port(index) for index in range(5)]
    sockets.close()
    assert ports == [first, first + 2, first + 1, first + 3, first + 4]


def test_a_port_in_use_is_our_own_fault(caller: Caller) -> None:
    with pytest.raises(LocalFaultError, match=r"media port \d+ can't be bound: Address already in use"):
        MediaSockets.open(1, caller.rtp.getsockname()[1])


def test_pairs_are_not_looked_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    bind = wire._bind

    def only_rtp(port: int) -> socket.socket:
        if port:
            raise LocalFaultError("taken")
        return bind(port)

    monkeypatch.setattr(wire, "_bind", only_rtp)
    with pytest.raises(LocalFaultError, match="no free pair of ports"):
        MediaSockets.open(1, None)

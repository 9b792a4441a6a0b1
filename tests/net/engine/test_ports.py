"""`net.engine.ports`: even RTP ports with RTCP above them, and a clear error where there are none."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import mmsg
from bridge_monitor.net.engine import ports
from bridge_monitor.net.engine.plan import EngineSettings


def _settings(**changes: object) -> EngineSettings:
    return EngineSettings.from_dict({**EngineSettings(source_host="127.0.0.1", port_pairs=3).to_dict(), **changes})


def test_rtp_is_even_and_rtcp_the_next() -> None:
    pairs = ports.open_pairs(_settings(), 12345)
    try:
        assert len({pair.port for pair in pairs}) == 3
        for pair in pairs:
            assert pair.port % 2 == 0
            assert pair.rtp.getsockname() == ("127.0.0.1", pair.port)
            assert pair.rtcp.getsockname() == ("127.0.0.1", pair.port + 1)
            assert pair.rtp.getsockopt(socket.IPPROTO_IP, mmsg.IP_MTU_DISCOVER) == mmsg.IP_PMTUDISC_PROBE
    finally:
        for pair in pairs:
            pair.close()


def _four_free_neighbours() -> list[ports.PortPair]:
    for low in range(20000, 30000, 8):
        with contextlib.suppress(LocalFaultError):
            return ports.open_pairs(_settings(port_range=(low, low + 7), port_pairs=4), 0)
    raise AssertionError("no eight free ports in a row")


def test_ports_of_others_are_passed_over() -> None:
    """A pair of which either port is another's is left alone."""
    taken, *others = _four_free_neighbours()
    low = taken.port
    for pair in others:
        pair.close()
    try:
        found = ports.open_pairs(_settings(port_range=(low, low + 7), port_pairs=3), 0)
        assert [pair.port for pair in found] == [low + 2, low + 4, low + 6]
        for pair in found:
            pair.close()
        taken.rtp.close()
        with pytest.raises(LocalFaultError, match=r"only 0 of 3 RTP/RTCP port pairs are free on 127\.0\.0\.1"):
            ports.open_pairs(_settings(port_range=(low, low + 1)), 0)
    finally:
        taken.close()


def test_a_foreign_address_is_an_error() -> None:
    with pytest.raises(LocalFaultError, match=r"can't bind 192\.0\.2\.1:\d+: Cannot assign"):
        ports.open_pairs(_settings(source_host="192.0.2.1"), 0)


def test_an_empty_range_is_an_error() -> None:
    with pytest.raises(LocalFaultError, match="between - and -"):
        ports.open_pairs(_settings(port_range=(20001, 20001)), 0)


def test_without_a_range_no_ephemeral_port_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "ip_local_port_range"
    table.write_text("32768\t60999\n")
    monkeypatch.setattr(ports, "_EPHEMERAL", table)
    found = list(ports._candidates(None))
    assert all(port % 2 == 0 and (port + 1 < 32768 or port > 60999) for port in found)
    assert {16384, 32766, 61000} <= set(found)
    table.write_text("nonsense")
    assert list(ports._candidates(None)) == found

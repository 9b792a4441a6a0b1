"""The way of one request from address to address (RFC 3263 §4.3), in virtual time."""

from __future__ import annotations

import pytest

from bridge_monitor.domain import TriedHop
from bridge_monitor.net.names import Names
from bridge_monitor.probes.hops import Hops
from bridge_monitor.sip.location import Hop

FIRST, SECOND, THIRD = (Hop("udp", f"192.0.2.{number}", 5060) for number in (1, 2, 3))


class Noted(Names):
    """What is noted of hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: list[tuple[Hop, str, float | None]] = []
        self.alive: list[Hop] = []

    def note_failed(self, hop: Hop, reason: str, seconds: float | None = None) -> None:
        self.failed.append((hop, reason, seconds))

    def note_alive(self, hop: Hop) -> None:
        self.alive.append(hop)


@pytest.fixture
def names() -> Noted:
    return Noted()


def hops(names: Noted, *which: Hop, seconds: float = 10.0, named: bool = True) -> Hops:
    return Hops(names, which, seconds=seconds, named=named)


def test_each_may_be_silent_for_its_share_of_what_is_left(names: Noted) -> None:
    way = hops(names, FIRST, SECOND, THIRD, seconds=9.0)
    assert way.begin(100.0) == 9.0
    assert way.patience(100.0, 33.0) == 3.0
    assert way.note_failure("timeout", 103.0)
    assert (way.current, way.begin(103.0), way.patience(103.0, 33.0)) == (SECOND, 6.0, 3.0)
    assert way.note_failure("icmp", 103.0)
    assert (way.current, way.begin(103.0), way.patience(103.0, 33.0)) == (THIRD, 6.0, 33.0)
    assert not way.note_failure("timeout", 109.0)
    assert [(hop.host, hop.failed) for hop in way.tried] == [
        ("192.0.2.1", "timeout"),
        ("192.0.2.2", "icmp"),
        ("192.0.2.3", "timeout"),
    ]


def test_a_share_is_long_enough_to_send_twice_and_the_last_one_has_no_less(names: Noted) -> None:
    """Where time is too short for two, the first one has it all."""
    assert hops(names, FIRST, SECOND, seconds=1.9).patience(0.0, 33.0) == 33.0
    way = hops(names, FIRST, SECOND, THIRD, seconds=2.4)
    way.begin(0.0)
    assert way.patience(0.0, 33.0) == 1.0
    assert way.note_failure("timeout", 1.0)
    way.begin(1.0)
    assert way.patience(1.0, 33.0) == 33.0


def test_who_has_answered_is_waited_for_and_fails_only_by_what_it_says(names: Noted) -> None:
    way = hops(names, FIRST, SECOND)
    way.begin(0.0)
    assert way.is_silent
    way.note_answer()
    way.note_answer()
    assert (way.is_silent, way.patience(0.0, 33.0), names.alive) == (False, 33.0, [FIRST])
    assert way.tried == (TriedHop("udp", "192.0.2.1", 5060, None),)
    assert way.note_failure("status_503", 1.0, retry_after=120.0)
    assert way.tried == (TriedHop("udp", "192.0.2.1", 5060, "status_503"),)
    assert names.failed == [(FIRST, "status_503", 120.0)]
    way.begin(1.0)
    assert way.is_silent


def test_another_transport_is_told_of_the_one_that_it_was_taken_for_alone(names: Noted) -> None:
    way = hops(names, FIRST, SECOND)
    way.begin(0.0)
    way.note_transport("tcp")
    assert way.note_failure("connection_lost", 1.0)
    way.note_answer()
    assert [(hop.transport, hop.failed) for hop in way.tried] == [("tcp", "connection_lost"), ("udp", None)]
    assert [hop for hop, *_ in names.failed] == [FIRST]


def test_past_the_time_nobody_else_is_asked(names: Noted) -> None:
    way = hops(names, FIRST, SECOND, seconds=2.0)
    way.begin(0.0)
    assert not way.note_failure("icmp", 2.0)
    assert way.begin(3.0) == 0.0


def test_a_fault_of_ours_is_noted_with_the_call_and_not_against_the_host(names: Noted) -> None:
    way = hops(names, FIRST, SECOND)
    way.begin(0.0)
    assert way.note_failure("enetunreach", 0.0, ours=True)
    assert (names.failed, [hop.failed for hop in way.tried]) == ([], ["enetunreach"])


def test_of_a_numeric_host_nothing_is_noted(names: Noted) -> None:
    way = hops(names, FIRST, named=False)
    way.begin(0.0)
    way.note_answer()
    assert not way.note_failure("icmp", 0.0)
    assert (names.failed, names.alive, way.tried) == ([], [], ())

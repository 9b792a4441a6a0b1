"""Calls over a network that loses messages: RFC 3261's timers in virtual time, to the exact value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from bridge_monitor.sip import (
    Acknowledged,
    Answered,
    ByeCompleted,
    Ended,
    Event,
    Invited,
    NoFinalAnswer,
    Provisional,
    Rejected,
    SipUri,
    TimedOut,
    UserAgent,
)

if TYPE_CHECKING:
    from tests.sip.conftest import Network

LATENCY = 1 / 16
URI = SipUri.parse("sip:room@192.0.2.9:5070")
ROOM = ("192.0.2.9", 5070)
HERE = ("192.0.2.1", 5060)


def place_call(
    network: Network,
    *,
    accept_after: float = 1.0,
    hold: float = 2.0,
    answer_timeout: float = 20.0,
    refuse: int | None = None,
) -> str:
    """Place a call that rings, is accepted, acknowledged and ended; return its Call-ID."""

    def on_event(agent: UserAgent, event: Event) -> None:
        if isinstance(event, Invited):
            network.at(network.now + 0.25, lambda: agent.ring(event.call_id, network.now))
            if refuse is not None:
                network.at(network.now + accept_after, lambda: agent.refuse(event.call_id, refuse, network.now))
            else:
                network.at(network.now + accept_after, lambda: agent.accept(event.call_id, network.answer, network.now))
        elif isinstance(event, Answered):
            agent.acknowledge(event.call_id, network.now)
            network.at(network.now + hold, lambda: agent.bye(event.call_id, network.now))

    network.on_event = on_event
    return network.caller.invite(URI, ROOM, network.offer, 0.0, answer_timeout=answer_timeout)


def names(events: Sequence[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_call_without_loss(network: Network):
    """Nothing is sent twice, and both sides forget the call after timers J, K, L and M."""
    place_call(network)
    network.run(200.0)
    assert [sent.kind for sent in network.sent] == [
        "INVITE", "100 INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE",
    ]  # fmt: skip
    assert names(network.events[HERE]) == ["Provisional", "Provisional", "Answered", "ByeCompleted"]
    assert names(network.events[ROOM]) == ["Invited", "Acknowledged", "Ended"]
    network.assert_nothing_left()


@pytest.mark.parametrize(
    ("lost", "kind", "times"),
    [
        # Timer A: 0.5 s after the first.
        (0, "INVITE", [0.0, 0.5]),
        # The 180 comes before timer A: the 100 isn't missed.
        (1, "100 INVITE", [LATENCY]),
        (2, "180 INVITE", [0.25 + LATENCY]),
        # §13.3.1.4: the 2xx again after T1, until its ACK.
        (3, "200 INVITE", [1.0 + LATENCY, 1.5 + LATENCY]),
        # A repeated 2xx brings the ACK again.
        (4, "ACK", [1.0 + 2 * LATENCY, 1.5 + 2 * LATENCY]),
        # Timer E: 0.5 s.
        (5, "BYE", [3.0 + 2 * LATENCY, 3.5 + 2 * LATENCY]),
        # The BYE again brings its 200 again (§17.2.2).
        (6, "200 BYE", [3.0 + 3 * LATENCY, 3.5 + 3 * LATENCY]),
    ],
)
def test_each_message_lost_once(network: Network, lost: int, kind: str, times: list[float]):
    """Whatever single message is lost, the call succeeds by retransmission at the RFC's times."""
    network.lost = lambda number, _sent: number == lost
    place_call(network)
    network.run(200.0)
    assert network.times(kind) == times
    closing = network.events[HERE][-1]
    assert isinstance(closing, ByeCompleted)
    assert closing.status == 200
    assert isinstance(network.events[ROOM][-1], Ended)
    assert sum(isinstance(event, Answered) for event in network.events[HERE]) == 1
    assert sum(isinstance(event, Acknowledged) for event in network.events[ROOM]) == 1
    network.assert_nothing_left()


@pytest.mark.parametrize("kind", ["INVITE", "100 INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"])
def test_every_message_of_a_kind_lost(network: Network, kind: str):
    """A message that never comes through ends the call with the right event, and leaves no dialog on either side."""
    network.lost = lambda _number, sent: sent.kind == kind
    place_call(network)
    network.run(300.0)
    closing = network.events[HERE][-1]
    room = names(network.events[ROOM])
    if kind == "INVITE":
        assert network.times(kind) == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        assert names(network.events[HERE]) == ["NoFinalAnswer", "TimedOut"]
        assert closing == TimedOut(closing.call_id, 32.0)
    elif kind == "200 INVITE":
        # The room repeats its 2xx (T1 doubling to T2), is cancelled too late, and gives up after 64*T1 with a BYE.
        start = 1.0 + LATENCY
        assert network.times(kind) == [
            start + later for later in (0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
        ]
        assert names(network.events[HERE])[-2:] == ["NoFinalAnswer", "TimedOut"]
        assert room == ["Invited", "ByeCompleted"]
    elif kind == "ACK":
        assert isinstance(closing, ByeCompleted)
        assert room == ["Invited", "Ended"]
    elif kind in ("BYE", "200 BYE"):
        start = 3.0 + 2 * LATENCY
        expected = [start + later for later in (0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)]
        assert network.times("BYE") == expected
        assert closing == ByeCompleted(closing.call_id, None, start + 32.0)
    else:
        assert isinstance(closing, ByeCompleted)
        assert closing.status == 200
    if kind == "BYE":
        # The room never learns; only the application there can end it, as a room's own session timer would.
        assert network.room.bye(closing.call_id, network.now)
        network.run(400.0)
    network.assert_nothing_left()


def test_a_refusal_is_repeated_until_acknowledged(network: Network):
    """Timer G repeats a 486 whose ACK is lost; each one gets its ACK (§17.1.1.2), and one event tells it."""
    network.lost = lambda _number, sent: sent.kind == "ACK" and network.now < 4.0
    call_id = place_call(network, refuse=486)
    network.run(200.0)
    start = 1.0 + LATENCY
    assert network.times("486 INVITE") == [start, start + 0.5, start + 1.5, start + 3.5]
    assert network.times("ACK") == [later + LATENCY for later in network.times("486 INVITE")]
    at = start + LATENCY
    assert network.events[HERE][-1] == Rejected(call_id, 486, "Busy Here", None, (), at)
    network.assert_nothing_left()


def test_a_room_that_rings_only(network: Network):
    """After the answer time-out the call is cancelled: NoFinalAnswer with the 180, then 487 closes it."""
    call_id = place_call(network, accept_after=60.0, answer_timeout=10.0)
    network.run(200.0)
    assert [sent.kind for sent in network.sent][3:] == ["CANCEL", "200 CANCEL", "487 INVITE", "ACK"]
    told, closing = network.events[HERE][-2:]
    assert isinstance(told, NoFinalAnswer)
    assert (told.call_id, told.at) == (call_id, 10.0)
    assert told.provisional is not None
    assert told.provisional.status == 180
    assert isinstance(closing, Rejected)
    assert closing.status == 487
    assert network.events[ROOM][-1] == Ended(call_id, "remote", 10.0 + LATENCY)
    network.assert_nothing_left()


@pytest.mark.parametrize("lost", range(7))
def test_each_message_of_a_cancelled_call_lost_once(network: Network, lost: int):
    """Whatever single message of a cancelled call is lost, both sides agree that there is no call."""
    network.lost = lambda number, _sent: number == lost
    place_call(network, accept_after=60.0, answer_timeout=10.0)
    network.run(200.0)
    closing = network.events[HERE][-1]
    assert isinstance(closing, Rejected)
    assert closing.status == 487
    assert isinstance(network.events[ROOM][-1], Ended)
    network.assert_nothing_left()


@pytest.mark.parametrize("shift", [-LATENCY, -LATENCY / 2, 0.0, LATENCY / 2])
def test_a_cancel_that_crosses_the_answer(network: Network, shift: float):
    """§9.1: whichever comes first, the call ends on both sides; a 200 that crosses gets its ACK and BYE."""
    place_call(network, accept_after=1.0, answer_timeout=1.0 + LATENCY + shift)
    network.run(200.0)
    events = network.events[HERE]
    closing = events[-1]
    if isinstance(closing, ByeCompleted):
        assert closing.status == 200
        assert names(network.events[ROOM]) == ["Invited", "Acknowledged", "Ended"]
    else:
        assert isinstance(closing, Rejected)
        assert closing.status == 487
    assert not isinstance(events[-2], Answered)
    network.assert_nothing_left()


def test_calls_do_not_share_identifiers(network: Network):
    """Two calls one after the other differ in Call-ID, tags and branches."""
    first = place_call(network)
    network.run(10.0)
    second = network.caller.invite(URI, ROOM, network.offer, network.now, answer_timeout=20.0)
    network.run(100.0)
    assert first != second
    invites = [sent.message for sent in network.sent if sent.kind == "INVITE"]
    assert len({invite.via.branch for invite in invites}) == 2
    assert len({invite.from_.tag for invite in invites}) == 2
    assert [type(event) for event in network.events[HERE]].count(Provisional) == 4

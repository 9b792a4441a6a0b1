"""Unreadable responses: whose they are, and that even they leave no dialog behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_monitor.sip import (
    Answered,
    ByeCompleted,
    Event,
    OptionsAnswered,
    ProtocolViolated,
    Rejected,
    SipUri,
    TimedOut,
)

if TYPE_CHECKING:
    from tests.sip.conftest import Peer, Sent

ROOM = ("192.0.2.9", 5070)
URI = SipUri.parse("sip:room@192.0.2.9:5070")
CLOSING = (Rejected, ByeCompleted, TimedOut)


def broken(sent: Sent, status: int, old: str, new: str) -> bytes:
    """Return a response to a request with one thing in it broken."""
    invite = sent.message
    data = (
        f"SIP/2.0 {status} X\r\nVia: {invite.headers['via'][0]}\r\nFrom: {invite.headers['from'][0]}\r\n"
        f"To: {invite.headers['to'][0]};tag=room\r\nCall-ID: {invite.call_id}\r\nCSeq: {invite.headers['cseq'][0]}\r\n"
        "Contact: <sip:room@192.0.2.9:5070>\r\nContent-Length: 0\r\n\r\n"
    )
    assert old in data
    return data.replace(old, new, 1).encode()


def violated(events: list[Event]) -> list[str | None]:
    return [event.call_id for event in events if isinstance(event, ProtocolViolated)]


BREAKS = [
    ("Content-Length: 0", "Content-Length: 9"),
    ("Content-Length: 0", "Content-Length: -1"),
    ("CSeq: 1", "CSeq: x"),
    ("CSeq: ", "X: "),
    ("Call-ID: ", "X: "),
    ("From: ", "X: "),
    ("To: ", "X: "),
    ("Via: SIP/2.0/UDP", "Via: SIP"),
    ("Via: ", "X: "),
]


class TestInvite:
    @pytest.mark.parametrize(("old", "new"), BREAKS)
    def test_a_malformed_200_is_acknowledged_and_ended(self, peer: Peer, old: str, new: str) -> None:
        """ProtocolViolated for the call, no Answered, and ACK and BYE all the same."""
        call_id = peer.invite()
        peer.receive(broken(peer.sent[0], 200, old, new))
        assert violated(peer.take_events()) == [call_id]
        assert peer.kinds() == ["INVITE", "ACK", "BYE"]
        peer.reply(200)
        assert peer.take_events() == [ByeCompleted(call_id, 200, 0.0)]
        peer.assert_nothing_left()

    @pytest.mark.parametrize(("old", "new"), BREAKS)
    def test_a_malformed_refusal_is_acknowledged(self, peer: Peer, old: str, new: str) -> None:
        call_id = peer.invite()
        peer.receive(broken(peer.sent[0], 486, old, new))
        violation, closing = peer.take_events()
        assert violated([violation]) == [call_id]
        assert isinstance(closing, Rejected)
        assert peer.kinds() == ["INVITE", "ACK"]
        peer.assert_nothing_left()

    @pytest.mark.parametrize(("old", "new"), BREAKS)
    def test_after_a_malformed_180_the_call_is_cancelled(self, peer: Peer, old: str, new: str) -> None:
        call_id = peer.invite()
        peer.receive(broken(peer.sent[0], 180, old, new))
        assert violated(peer.take_events()) == [call_id]
        assert peer.kinds() == ["INVITE", "CANCEL"]
        peer.reply(200, to=peer.sent[1])
        peer.reply(487, to=peer.sent[0])
        assert [type(event) for event in peer.take_events()] == [Rejected]
        peer.assert_nothing_left()

    @pytest.mark.parametrize(
        "data",
        [
            b"\x80\x00\x12\x34 nonsense of many bytes",
            b"SIP/2.0 200 OK\r\nVia: x",
            b"SIP/2.0 2000 OK\r\nCall-ID: t3@192.0.2.1\r\n\r\n",
            b"SIP/2.0 2000 OK\r\nI : t3@192.0.2.1\r\n\r\n",
            b"SIP/2.0 2000 OK\r\ni:\r\n\r\n",
        ],
    )
    @pytest.mark.parametrize("ringing", [False, True])
    def test_garbage_takes_the_call_back(self, peer: Peer, data: bytes, *, ringing: bool) -> None:
        """What says not even its status: CANCEL if that may be sent; the call's own timers close it."""
        call_id = peer.invite()
        if ringing:
            peer.reply(180)
            peer.take_events()
        peer.receive(data)
        assert violated(peer.take_events()) == [call_id]
        assert peer.kinds() == (["INVITE", "CANCEL"] if ringing else ["INVITE"])
        peer.advance(50.0)
        assert peer.take_events() == [TimedOut(call_id, 32.0)]
        peer.assert_nothing_left()

    def test_a_malformed_repetition_is_only_noted(self, peer: Peer) -> None:
        """The call is up already: it goes on, and the repeated 2xx gets its ACK."""
        call_id = peer.answered()
        peer.receive(broken(peer.sent[0], 200, "Content-Length: 0", "Content-Length: 9"))
        assert violated(peer.take_events()) == [None]
        assert peer.kinds() == ["ACK"]
        assert peer.agent.open_calls == (call_id,)
        peer.receive(b"garbage")
        assert violated(peer.take_events()) == [None]


class TestWhose:
    def test_two_calls_to_one_address(self, peer: Peer) -> None:
        """Call-ID tells them apart; without one, neither is blamed."""
        first, second = peer.invite(), peer.invite()
        peer.receive(b"garbage of no call")
        assert violated(peer.take_events()) == [None]
        peer.receive(b"SIP/2.0 2x0 OK\r\nCall-ID: " + second.encode() + b"\r\n\r\n")
        assert violated(peer.take_events()) == [second]
        peer.receive(broken(peer.sent[0], 486, "To: <", "To: <>").replace(b"Content-Length: 0", b"Content-Length: 1"))
        assert violated(peer.take_events()) == [first]

    def test_another_address(self, peer: Peer) -> None:
        """Bytes from where nothing is pending belong to no call."""
        peer.invite()
        peer.receive(b"garbage of no call", ("203.0.113.9", 5060))
        assert violated(peer.take_events()) == [None]

    def test_a_response_to_nothing(self, peer: Peer) -> None:
        peer.invite()
        data = broken(peer.sent[0], 200, "branch=z9hG4bK", "branch=z9hG4bKx").replace(b"Call-ID: ", b"Call-ID: x")
        peer.receive(data.replace(b"Content-Length: 0", b"Content-Length: 1"))
        assert violated(peer.take_events()) == [None]
        assert peer.kinds() == ["INVITE"]


class TestOtherRequests:
    def test_options(self, peer: Peer) -> None:
        """The violation is told with its Call-ID, then what could be read of the answer."""
        call_id = peer.agent.options(URI, ROOM, 0.0)
        peer.settle()
        peer.receive(broken(peer.sent[0], 200, "CSeq: 1", "CSeq: x"))
        violation, closing = peer.take_events()
        assert violated([violation]) == [call_id]
        assert closing == OptionsAnswered(call_id, 200, "X", 0.0)
        peer.assert_nothing_left()

    def test_options_and_garbage(self, peer: Peer) -> None:
        call_id = peer.agent.options(URI, ROOM, 0.0)
        peer.settle()
        peer.receive(b"garbage of no call")
        assert violated(peer.take_events()) == [call_id]
        peer.advance(40.0)
        assert peer.take_events() == [TimedOut(call_id, 32.0)]

    def test_bye(self, peer: Peer) -> None:
        """A malformed answer to our BYE is noted and is an answer: the call was good."""
        call_id = peer.answered()
        peer.agent.bye(call_id, 0.0)
        peer.settle()
        peer.receive(broken(peer.sent[-1], 200, "Content-Length: 0", "Content-Length: 9"))
        noted, closing = peer.take_events()
        assert violated([noted]) == [None]
        assert closing == ByeCompleted(call_id, 200, 0.0)
        peer.assert_nothing_left()


@given(changes=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=150)
def test_no_mutated_answer_leaves_a_dialog(make_peer: Callable[[], Peer], changes: list[tuple[int, int]]) -> None:
    """Whatever bytes of a 200 change: it counts as an answer, or the call ends; then nothing is left."""
    peer = make_peer()
    peer.strict = False
    call_id = peer.invite()
    answer = bytearray(broken(peer.last_request(), 200, "X\r\n", "OK\r\n"))
    for place, value in changes:
        answer[place % len(answer)] = value
    peer.receive(bytes(answer))
    if any(isinstance(event, Answered) for event in peer.events):
        assert peer.agent.bye(call_id, peer.now)
        peer.settle()
    peer.advance(peer.now + 100.0)
    closing = [event for event in peer.take_events() if isinstance(event, CLOSING)]
    assert len(closing) == 1
    assert closing[0].call_id == call_id
    peer.assert_nothing_left()

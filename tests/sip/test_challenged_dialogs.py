"""After the INVITE: BYE, OPTIONS and the calls of dead processes, where a room challenges them (RFC 3261 §22.2)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from bridge_monitor.sip import (
    ByeCompleted,
    Credentials,
    DialogRecord,
    Ended,
    OptionsAnswered,
    Request,
    SipUri,
    TransportFailed,
    UserAgent,
    parse_message,
    respond,
)
from tests.sip.challenges import accounts, answers, challenge, is_right

if TYPE_CHECKING:
    from tests.sip.conftest import Peer

ROOM = ("192.0.2.9", 5070)
ROOM_URI = "sip:room@192.0.2.9:5070"


class TestInsideTheDialog:
    def up(self, peer: Peer, *realms: str, challenged: bool = True) -> str:
        call_id = peer.invite(credentials=accounts(*realms))
        if challenged:
            peer.reply(401, extra=(challenge(),))
        peer.reply(200)
        peer.agent.acknowledge(call_id, peer.now)
        peer.settle()
        peer.take_events()
        peer.take_sent()
        return call_id

    def test_the_bye_has_credentials_unasked_and_counts_on(self, peer: Peer) -> None:
        """§22.2: what was asked for once is given in advance; ``nc`` says that the nonce is used again."""
        call_id = self.up(peer, "room")
        peer.agent.bye(call_id, peer.now)
        peer.settle()
        bye = peer.sent[-1]
        assert is_right(bye)
        assert (answers(bye)[0]["nonce"], answers(bye)[0]["nc"], bye.message.cseq[0]) == ("n1", "00000002", 3)

    @pytest.mark.parametrize("more", [', qop="auth", stale=true', ', qop="auth"'])
    def test_a_bye_whose_nonce_is_too_old_is_sent_again(self, peer: Peer, more: str) -> None:
        """Some rooms don't say that it is stale: what was given unasked may be asked for once."""
        call_id = self.up(peer, "room")
        peer.agent.bye(call_id, peer.now)
        peer.settle()
        peer.reply(401, extra=(challenge(nonce="n2", more=more),))
        first, second = (sent for sent in peer.take_sent() if sent.kind == "BYE")
        assert is_right(second)
        assert (answers(second)[0]["nonce"], answers(second)[0]["nc"]) == ("n2", "00000001")
        assert second.message.cseq[0] == first.message.cseq[0] + 1
        assert peer.take_events() == []
        peer.reply(200)
        assert peer.take_events() == [ByeCompleted(call_id, 200, 0.0)]
        peer.assert_nothing_left()

    def test_a_bye_that_is_challenged_first_is_answered_too(self, peer: Peer) -> None:
        call_id = self.up(peer, "room", challenged=False)
        peer.agent.bye(call_id, peer.now)
        peer.settle()
        assert answers(peer.sent[-1]) == []
        peer.reply(100)
        peer.reply(401, extra=(challenge(),))
        assert is_right(peer.sent[-1])
        peer.reply(200)
        assert peer.take_events() == [ByeCompleted(call_id, 200, 0.0)]

    @pytest.mark.parametrize("realms", [(), ("other",)])
    def test_a_bye_that_can_t_be_answered_for_ends_the_call_on_our_side(
        self, peer: Peer, realms: tuple[str, ...]
    ) -> None:
        call_id = self.up(peer, *realms, challenged=False)
        peer.agent.bye(call_id, peer.now)
        peer.settle()
        peer.reply(401, extra=(challenge(),))
        assert peer.take_events() == [ByeCompleted(call_id, 401, 0.0)]
        peer.assert_nothing_left()

    def test_each_branch_of_a_fork_is_ended_with_credentials(self, peer: Peer) -> None:
        self.up(peer, "room")
        invite = next(sent for sent in reversed(peer.sent) if sent.kind == "INVITE")
        peer.reply(200, to=invite, to_tag="another")
        ack, bye = peer.sent[-2:]
        assert (ack.kind, bye.kind, is_right(ack), is_right(bye)) == ("ACK", "BYE", False, True)
        assert ack.message.headers["authorization"] == invite.message.headers["authorization"]
        assert answers(bye)[0]["nc"] == "00000002"


class TestOptions:
    def ask(self, peer: Peer, credentials: Credentials) -> str:
        call_id = peer.agent.options(SipUri.parse(ROOM_URI), ROOM, peer.now, credentials=credentials)
        peer.settle()
        return call_id

    def test_it_is_sent_again_with_credentials(self, peer: Peer) -> None:
        call_id = self.ask(peer, accounts("room"))
        peer.reply(401, extra=(challenge(),))
        first, second = peer.sent
        assert is_right(second)
        assert (second.message.cseq[0], second.message.call_id) == (2, call_id)
        assert second.message.headers["accept"] == first.message.headers["accept"]
        peer.reply(200)
        assert peer.take_events() == [OptionsAnswered(call_id, 200, "OK", 0.0)]
        peer.assert_nothing_left()

    @pytest.mark.parametrize("credentials", [{}, accounts("other")])
    def test_without_them_the_challenge_is_the_answer(self, peer: Peer, credentials: Credentials) -> None:
        call_id = self.ask(peer, credentials)
        peer.reply(401, extra=(challenge(),))
        assert peer.take_events() == [OptionsAnswered(call_id, 401, "Unauthorized", 0.0)]

    def test_silence_after_the_challenge_is_a_failure_as_any(self, peer: Peer) -> None:
        call_id = self.ask(peer, accounts("room"))
        peer.reply(401, extra=(challenge(),))
        peer.agent.transport_failed(ROOM, 1.0)
        peer.settle()
        assert peer.take_events() == [TransportFailed(call_id, "icmp", 1.0)]


class TestOrphans:
    def test_the_bye_of_an_orphan_is_answered_for(self, peer: Peer) -> None:
        """The dead process's nonce is not known; the room asks, and is answered."""
        call_id = peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=(challenge(),))
        peer.reply(200)
        record = peer.agent.dialog_record(call_id)
        assert record is not None
        heir = _Heir()
        heir.agent.end_orphan(DialogRecord.from_dict(record.to_dict()), 0.0, credentials=accounts("room"))
        bye = heir.take()
        assert bye.get("authorization") is None
        heir.agent.receive_datagram(respond(bye, 401, extra=(challenge(),), source=ROOM), ROOM, 0.1)
        again = heir.take()
        assert (again.method, again.cseq[0]) == ("BYE", bye.cseq[0] + 1)
        assert 'username="at-room"' in again.headers["authorization"][0]
        heir.agent.receive_datagram(respond(again, 200, source=ROOM), ROOM, 0.2)
        assert heir.agent.next_event() == Ended(call_id, "local", 0.2, bye_answered=True)


class _Heir:
    """The process that comes after."""

    def __init__(self) -> None:
        counter = itertools.count(1)
        self.agent = UserAgent(local=("192.0.2.1", 5060), token=lambda: f"heir{next(counter)}")

    def take(self) -> Request:
        ((data, _),) = self.agent.datagrams_to_send()
        request = parse_message(data, strict=True)
        assert isinstance(request, Request)
        return request

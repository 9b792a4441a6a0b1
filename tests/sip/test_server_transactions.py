"""Server transactions (RFC 3261 §17.2, RFC 6026 §7.1): the tables, and each timer to its exact value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge_monitor.sip import Acknowledged, Ended, Invited
from bridge_monitor.sip.server_transactions import INVITE_SERVER, NON_INVITE_SERVER, Action, State, Table

if TYPE_CHECKING:
    from tests.sip.conftest import Peer

ROOM = ("192.0.2.9", 5070)
STARTS = {
    Action.BACK_OFF_G: "G", Action.START_G: "G", Action.START_H: "H", Action.START_I: "I", Action.START_J: "J",
    Action.START_L: "L",
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "first"), [(INVITE_SERVER, State.PROCEEDING), (NON_INVITE_SERVER, State.TRYING)], ids=["INVITE", "other"]
)
class TestTables:
    def test_every_state_can_be_reached_and_left(self, table: Table, first: State) -> None:
        reached = {first}
        for rows in table.values():
            reached |= {state for state, _ in rows.values()}
        assert reached == set(table)
        assert [state for state, rows in table.items() if not rows] == [State.TERMINATED]

    def test_every_timer_started_has_a_row_where_it_can_run_out(self, table: Table, first: State) -> None:
        assert first in table
        for rows in table.values():
            for state, actions in rows.values():
                for action in actions:
                    if action in STARTS:
                        assert STARTS[action] in table[state]


class TestNonInvite1722:
    def test_a_repeated_request_gets_the_same_response_for_timer_j(self, peer: Peer) -> None:
        data = peer.request("OPTIONS", to_tag=None)
        peer.advance(31.0)
        peer.receive(data)
        first, second = peer.take_sent()
        assert first.data == second.data
        peer.advance(32.0)
        peer.receive(data)
        assert peer.take_sent()[0].data != first.data
        peer.assert_nothing_left()

    def test_requests_are_told_apart_by_branch_and_sent_by(self, peer: Peer) -> None:
        """§17.2.3: the same branch from another sender is another transaction."""
        data = peer.request("OPTIONS", to_tag=None)
        peer.receive(data.replace(b"192.0.2.9:5070;rport", b"192.0.2.8:5070;rport"))
        peer.receive(data.replace(b"branch=z9hG4bKpeer", b"branch=z9hG4bKother"))
        assert len({sent.data for sent in peer.sent}) == 3

    def test_a_peer_of_rfc_2543_is_told_apart_by_its_fields(self, peer: Peer) -> None:
        """Without magic cookie: Via, Call-ID, From tag and CSeq."""
        data = peer.request("OPTIONS", to_tag=None, branch="1")
        peer.receive(data)
        assert len({sent.data for sent in peer.sent}) == 1
        peer.receive(data.replace(b"CSeq: 1", b"CSeq: 2"))
        assert len({sent.data for sent in peer.sent}) == 2

    def test_the_response_goes_where_rport_says(self, peer: Peer) -> None:
        data = peer.request("OPTIONS", to_tag=None)
        peer.receive(data.replace(b";rport;branch=z9hG4bKpeer", b";branch=z9hG4bKp2"), ("192.0.2.9", 40001))
        peer.receive(data.replace(b"z9hG4bKpeer", b"z9hG4bKp3"), ("192.0.2.9", 40001))
        assert [sent.destination[1] for sent in peer.sent] == [5070, 5070, 40001]


class TestInvite1721:
    def test_a_refusal_is_repeated_for_timer_h(self, peer: Peer) -> None:
        """Timer G doubles from T1 up to T2; without an ACK the transaction ends after 64*T1."""
        peer.request("INVITE", to_tag=None)
        peer.advance(200.0)
        assert peer.times("486 INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        peer.assert_nothing_left()

    def test_its_ack_stops_it(self, peer: Peer) -> None:
        """Confirmed absorbs further ACKs and INVITEs for timer I, T4."""
        data = peer.request("INVITE", to_tag=None)
        peer.receive(data)
        peer.advance(1.0)
        ack = data.replace(b"INVITE", b"ACK")
        peer.receive(ack)
        peer.receive(ack)
        peer.receive(data)
        peer.advance(4.0)
        assert peer.times("486 INVITE") == [0.0, 0.0, 0.5]
        assert len(peer.agent._core.servers) == 1
        peer.advance(6.0)
        peer.assert_nothing_left()

    def test_the_ack_of_a_peer_of_rfc_2543(self, peer: Peer) -> None:
        data = peer.request("INVITE", to_tag=None, branch="1")
        peer.receive(data.replace(b"INVITE", b"ACK"))
        peer.advance(4.0)
        assert peer.times("486 INVITE") == [0.0]

    def test_a_repeated_invite_gets_the_last_provisional_response(self, called: Peer) -> None:
        data = called.request("INVITE", to_tag=None)
        called.receive(data)
        called.agent.ring("strange", 0.5)
        called.settle()
        called.receive(data)
        assert called.kinds() == ["100 INVITE", "100 INVITE", "180 INVITE", "180 INVITE"]
        assert [type(event) for event in called.take_events()] == [Invited]
        called.agent.bye("strange", 1.0)
        called.settle()
        called.assert_nothing_left()

    def test_accepted_absorbs_the_invite_for_timer_l(self, called: Peer) -> None:
        """RFC 6026 §7.1: the 2xx is repeated by the call, not for each INVITE."""
        data = called.request("INVITE", to_tag=None)
        called.agent.accept("strange", called.answer, 0.0)
        called.settle()
        called.receive(data)
        assert called.kinds() == ["100 INVITE", "200 INVITE"]
        ok = called.sent[1].message
        called.request("ACK", to_tag=ok.to.tag, branch="z9hG4bKack")
        called.advance(32.0)
        assert called.times("200 INVITE") == [0.0]
        assert not called.agent._core.servers
        called.request("BYE", to_tag=ok.to.tag, branch="z9hG4bKbye", cseq=2)
        assert [type(event) for event in called.take_events()] == [Invited, Acknowledged, Ended]
        called.assert_nothing_left()

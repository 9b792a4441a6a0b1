"""Client transactions (RFC 3261 §17.1, RFC 6026 §7.2): the tables, and each timer to its exact value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge_monitor.sip import (
    Answered,
    ByeCompleted,
    OptionsAnswered,
    Provisional,
    Rejected,
    SipUri,
    TimedOut,
    TransportFailed,
)
from bridge_monitor.sip.client_transactions import INVITE_CLIENT, NON_INVITE_CLIENT, Action, State, Table

if TYPE_CHECKING:
    from tests.sip.conftest import Peer

ROOM = ("192.0.2.9", 5070)
URI = SipUri.parse("sip:room@192.0.2.9:5070")
STARTS = {
    Action.BACK_OFF_A: "A", Action.BACK_OFF_E: "E", Action.SLOW_E: "E", Action.START_CANCEL: "cancel",
    Action.START_D: "D", Action.START_K: "K", Action.START_M: "M",
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "first"), [(INVITE_CLIENT, State.CALLING), (NON_INVITE_CLIENT, State.TRYING)], ids=["INVITE", "other"]
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


class TestInvite17111:
    def test_timer_a_doubles_and_timer_b_ends(self, peer: Peer) -> None:
        """0.5, 1, 2, 4, 8, 16 s apart; after 64*T1 the call has timed out."""
        call_id = peer.invite(answer_timeout=60.0)
        peer.advance(31.9)
        assert peer.times("INVITE") == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        assert len({sent.data for sent in peer.sent}) == 1
        assert peer.take_events() == []
        peer.advance(32.0)
        assert peer.take_events() == [TimedOut(call_id, 32.0)]
        peer.assert_nothing_left()

    def test_a_provisional_response_stops_a_and_b(self, peer: Peer) -> None:
        call_id = peer.invite(answer_timeout=600.0)
        peer.advance(1.0)
        peer.reply(100)
        peer.advance(200.0)
        assert peer.times("INVITE") == [0.0, 0.5]
        assert peer.take_events() == [Provisional(call_id, 100, "Trying", has_sdp=False, at=1.0)]
        peer.reply(486)
        peer.assert_nothing_left()

    def test_each_failure_response_is_acknowledged_and_told_once(self, peer: Peer) -> None:
        """§17.1.1.2: Completed lasts for timer D, 32 s, and repeats the ACK."""
        call_id = peer.invite()
        peer.advance(0.25)
        busy = peer.reply(486)
        peer.advance(20.0)
        peer.receive(busy)
        peer.advance(32.0)
        peer.receive(busy)
        assert peer.take_events() == [Rejected(call_id, 486, "Busy Here", None, (), 0.25)]
        assert peer.times("ACK") == [0.25, 20.0, 32.0]
        peer.advance(32.25)
        peer.receive(busy)
        assert peer.times("ACK") == [0.25, 20.0, 32.0]
        peer.assert_nothing_left()

    def test_the_ack_to_a_failure_repeats_the_invite(self, peer: Peer) -> None:
        """§17.1.1.3: same Request-URI, branch, Route, From, Call-ID and CSeq number; To from the response."""
        peer.invite(route=("<sip:192.0.2.5;lr>", "<sip:192.0.2.6;lr>"))
        peer.reply(603)
        invite, ack = (sent.message for sent in peer.sent)
        assert ack.start_line() == "ACK sip:room@192.0.2.9:5070 SIP/2.0"
        for name in ("via", "route", "from", "call-id"):
            assert ack.headers[name] == invite.headers[name]
        assert ack.cseq == (1, "ACK")
        assert ack.to.tag == "room"
        assert peer.sent[1].destination == ROOM
        assert ack.get("max-forwards") == "70"

    def test_accepted_lasts_for_timer_m(self, peer: Peer) -> None:
        """RFC 6026 §7.2: for 64*T1 every 2xx reaches the call."""
        call_id = peer.invite()
        answer = peer.reply(200)
        peer.agent.acknowledge(call_id, peer.now)
        peer.settle()
        peer.advance(31.0)
        peer.receive(answer)
        assert peer.times("ACK") == [0.0, 31.0]
        assert len(peer.agent._core.clients) == 1
        peer.advance(32.0)
        assert not peer.agent._core.clients

    @pytest.mark.parametrize("status", [180, 486])
    def test_other_responses_after_the_2xx_are_dropped(self, peer: Peer, status: int) -> None:
        peer.invite()
        invite = peer.last_request()
        peer.reply(200)
        assert [type(event) for event in peer.take_events()] == [Answered]
        peer.take_sent()
        peer.reply(status, to=invite)
        assert peer.take_events() == []
        assert peer.kinds() == []

    def test_provisional_responses_after_a_failure_are_dropped(self, peer: Peer) -> None:
        peer.invite()
        invite = peer.last_request()
        peer.reply(486)
        peer.take_events()
        peer.reply(180, to=invite)
        assert peer.take_events() == []

    @pytest.mark.parametrize("ringing", [False, True])
    def test_icmp_fails_the_call_at_once(self, peer: Peer, *, ringing: bool) -> None:
        call_id = peer.invite()
        if ringing:
            peer.reply(180)
        peer.take_events()
        peer.advance(0.25)
        peer.agent.transport_failed(("192.0.2.9", 5071), peer.now)
        peer.agent.transport_failed(ROOM, peer.now)
        peer.settle()
        assert peer.take_events() == [TransportFailed(call_id, "icmp", 0.25)]
        peer.assert_nothing_left()


class TestNonInvite17122:
    def test_timer_e_doubles_up_to_t2_and_timer_f_ends(self, peer: Peer) -> None:
        call_id = peer.agent.options(URI, ROOM, 0.0)
        peer.settle()
        peer.advance(60.0)
        assert peer.times("OPTIONS") == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        assert peer.take_events() == [TimedOut(call_id, 32.0)]
        peer.assert_nothing_left()

    def test_after_a_provisional_response_timer_e_is_t2(self, peer: Peer) -> None:
        """The running timer goes on; from then on T2 apart (figure 6, Proceeding)."""
        call_id = peer.agent.options(URI, ROOM, 0.0)
        peer.settle()
        peer.advance(0.25)
        peer.reply(100)
        peer.reply(100)
        peer.advance(10.0)
        assert peer.times("OPTIONS") == [0.0, 0.5, 4.5, 8.5]
        peer.advance(40.0)
        assert peer.take_events() == [TimedOut(call_id, 32.0)]
        peer.assert_nothing_left()

    @pytest.mark.parametrize("early", [False, True])
    @pytest.mark.parametrize("status", [200, 486])
    def test_a_final_response_is_told_once_and_timer_k_ends(self, peer: Peer, status: int, *, early: bool) -> None:
        call_id = peer.agent.options(URI, ROOM, 0.0)
        peer.settle()
        if early:
            peer.reply(100)
        data = peer.reply(status, "Fine", extra=("Server: room/1",))
        peer.receive(data)
        assert peer.take_events() == [OptionsAnswered(call_id, status, "Fine", 0.0, "room/1")]
        assert len(peer.agent._core.clients) == 1
        peer.advance(5.0)
        assert not peer.agent._core.clients
        peer.assert_nothing_left()

    @pytest.mark.parametrize("early", [False, True])
    def test_icmp(self, peer: Peer, *, early: bool) -> None:
        """ICMP fails an OPTIONS at once, before and after a provisional response."""
        call_id = peer.agent.options(URI, ROOM, 0.0)
        peer.settle()
        if early:
            peer.reply(100)
        peer.agent.transport_failed(ROOM, 0.5)
        peer.settle()
        assert peer.take_events() == [TransportFailed(call_id, "icmp", 0.5)]
        peer.assert_nothing_left()

    def test_a_bye_that_meets_icmp_is_unanswered(self, peer: Peer) -> None:
        call_id = peer.answered()
        assert peer.agent.bye(call_id, 1.0)
        peer.agent.transport_failed(ROOM, 1.0)
        peer.settle()
        assert peer.take_events() == [ByeCompleted(call_id, None, 1.0)]
        peer.assert_nothing_left()

"""An INVITE that goes on to another address over another transport (RFC 3263 §4.3), challenged or given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge_monitor.sip import Answered, Rejected, StreamAddress
from tests.sip.challenges import accounts, answers, challenge, is_right

if TYPE_CHECKING:
    from tests.sip.conftest import Peer


class TestElsewhere:
    """RFC 3263 §4.3 between transports: a request given up for another address, and the one that took its place."""

    NEXT = StreamAddress("192.0.2.8", 5080)

    def elsewhere(self, peer: Peer, call_id: str) -> None:
        record = peer.agent.dialog_record(call_id)
        assert record is not None
        peer.agent.invite_elsewhere(
            record, self.NEXT, peer.offer, peer.now, answer_timeout=10.0, credentials=accounts("room")
        )
        peer.settle()

    def test_a_challenged_invite_goes_on_over_tcp_and_is_challenged_there_anew(self, peer: Peer) -> None:
        """§22.1: what a nonce of one server was answered with is of no use to another. CSeq never goes back."""
        call_id = peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=(challenge(),))
        first = peer.sent[-1]
        self.elsewhere(peer, call_id)
        second = peer.sent[-1]
        assert (second.destination, second.message.cseq[0], answers(second)) == (self.NEXT, 2, [])
        assert second.message.via.branch != first.message.via.branch
        assert second.message.get_all("contact") == ["<sip:kiemtra@192.0.2.1:5060;transport=tcp>"]
        peer.take_sent()
        peer.reply(401, to=second, extra=(challenge(nonce="n2"),))
        third = peer.sent[-1]
        assert is_right(third)
        assert (third.message.cseq[0], answers(third)[0]["nonce"], answers(third)[0]["nc"]) == (3, "n2", "00000001")
        peer.take_events()
        peer.reply(200, to=third, contact="<sip:room@192.0.2.8:5080;transport=tcp>")
        assert [type(event) for event in peer.take_events()] == [Answered]
        peer.agent.acknowledge(call_id, peer.now)
        peer.agent.bye(call_id, peer.now)
        peer.settle()
        sent = peer.take_sent()
        assert [(one.kind, one.message.cseq[0]) for one in sent] == [
            ("ACK", 2), ("INVITE", 3), ("ACK", 3), ("BYE", 4),
        ]  # fmt: skip
        assert {one.destination for one in sent} == {self.NEXT}
        assert all(one.message.get_all("via")[0].startswith("SIP/2.0/TCP ") for one in sent)
        assert answers(sent[2]) == answers(third)
        assert is_right(sent[3])
        peer.reply(200, to=sent[3])
        peer.take_events()
        peer.reply(200, to=first, to_tag="late")
        late = peer.take_sent()
        assert [(one.kind, one.message.cseq[0]) for one in late] == [("ACK", 2), ("BYE", 3)]
        assert late[0].message.get_all("via")[0].startswith("SIP/2.0/UDP ")
        peer.reply(200, to=late[1])
        assert peer.take_events() == []
        peer.assert_nothing_left()

    @pytest.mark.parametrize("rings", [True, False])
    def test_a_broken_connection_ends_what_was_given_up_and_not_the_call_elsewhere(
        self, streamed: Peer, *, rings: bool
    ) -> None:
        """Both have one Call-ID; only the one that went over it is concerned."""
        call_id = streamed.invite()
        if rings:
            streamed.reply(180)
        first = streamed.sent[0]
        self.elsewhere(streamed, call_id)
        assert streamed.agent.needs(streamed.room)
        streamed.take_sent()
        streamed.take_events()
        streamed.agent.connection_lost(streamed.room, 1.0)
        streamed.settle()
        assert streamed.kinds() == (["CANCEL"] if rings else [])
        assert streamed.take_events() == []
        if rings:
            streamed.reply(200, to=streamed.sent[-1])
            streamed.reply(487, to=first)
        assert not streamed.agent.needs(streamed.room)
        second = next(one for one in streamed.sent if one.destination == self.NEXT)
        streamed.reply(486, to=second)
        assert [(type(event), event.call_id) for event in streamed.take_events()] == [(Rejected, call_id)]
        streamed.assert_nothing_left()

"""Calls to us (RFC 3261 §13.3), for whoever answers: ringing, accepting, refusing, and the end in every stage."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from bridge_monitor.sip import Acknowledged, ByeCompleted, Ended, Invited
from bridge_monitor.sip.incoming import IncomingCall, Repeater
from bridge_monitor.sip.server_transactions import ServerTransaction

if TYPE_CHECKING:
    from tests.sip.conftest import Peer

ROOM = ("192.0.2.9", 5070)


def accepted(called: Peer) -> str:
    """Take a call, and return our tag of it."""
    called.request("INVITE", to_tag=None, body=called.answer)
    called.agent.accept("strange", called.offer, called.now)
    called.settle()
    tag = called.sent[-1].message.to.tag
    assert tag
    return tag


def up(called: Peer) -> str:
    tag = accepted(called)
    called.request("ACK", to_tag=tag, branch="z9hG4bKack")
    called.take_events()
    called.take_sent()
    return tag


class TestInvited:
    def test_the_application_is_told_and_the_caller_hears_100(self, called: Peer) -> None:
        called.request("INVITE", to_tag=None, body=called.answer)
        assert called.take_events() == [
            Invited("strange", "sip:room@192.0.2.9", "sip:kiemtra@192.0.2.1:5060", called.answer, ROOM, 0.0)
        ]
        assert called.kinds() == ["100 INVITE"]
        assert called.sent[0].message.to.tag is None

    def test_responses_share_one_tag_and_name_our_contact(self, called: Peer) -> None:
        called.request("INVITE", to_tag=None)
        called.agent.ring("strange", 0.0)
        called.agent.ring("strange", 0.0, 183)
        called.agent.accept("strange", called.offer, 0.0)
        called.settle()
        messages = [sent.message for sent in called.sent[1:]]
        assert len({message.to.tag for message in messages}) == 1
        assert {str(message.contact) for message in messages} == {"sip:kiemtra@192.0.2.1:5060"}
        assert messages[-1].body == called.offer
        assert messages[-1].get("allow") is not None

    def test_a_caller_of_another_scheme_or_body_is_refused(self, called: Peer) -> None:
        called.request("INVITE", to_tag=None, uri="tel:+84")
        called.request("INVITE", to_tag=None, branch="z9hG4bK2", extra="Content-Type: text/plain\r\n", body=b"x")
        assert called.kinds() == ["416 INVITE", "415 INVITE"]
        assert called.take_events() == []

    def test_the_same_call_by_another_way_is_a_loop(self, called: Peer) -> None:
        """§8.2.2.2: another branch of a fork that merges again."""
        called.request("INVITE", to_tag=None)
        called.request("INVITE", to_tag=None, branch="z9hG4bK2")
        assert called.kinds() == ["100 INVITE", "482 INVITE"]

    @pytest.mark.parametrize("contact", [b"Contact: <\r\n", b""])
    def test_an_invite_without_usable_contact_is_malformed(self, called: Peer, contact: bytes) -> None:
        data = called.request("OPTIONS", to_tag=None).replace(b"OPTIONS", b"INVITE")
        called.take_sent()
        called.receive(data.replace(b"Contact: <sip:room@192.0.2.9:5070>\r\n", contact))
        assert called.kinds() == ["400 INVITE"]
        assert called.agent.open_calls == ()


class TestAccepted13314:
    def test_the_2xx_is_repeated_until_the_ack(self, called: Peer) -> None:
        tag = accepted(called)
        called.advance(3.0)
        assert called.times("200 INVITE") == [0.0, 0.5, 1.5]
        called.take_events()
        called.request("ACK", to_tag=tag, branch="z9hG4bKack")
        called.request("ACK", to_tag=tag, branch="z9hG4bKack")
        assert called.take_events() == [Acknowledged("strange", b"", 3.0)]
        called.advance(40.0)
        assert called.times("200 INVITE") == [0.0, 0.5, 1.5]
        assert called.agent.open_calls == ("strange",)

    def test_an_ack_of_another_dialog_does_not_count(self, called: Peer) -> None:
        accepted(called)
        called.take_events()
        called.request("ACK", to_tag="other", branch="z9hG4bKack")
        assert called.take_events() == []

    def test_without_ack_the_call_is_ended(self, called: Peer) -> None:
        """After 64*T1 a BYE goes out (§13.3.1.4)."""
        accepted(called)
        called.take_events()
        called.advance(32.0)
        assert called.times("200 INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        assert called.kinds()[-1] == "BYE"
        called.reply(200)
        assert called.take_events() == [ByeCompleted("strange", 200, 32.0)]
        called.assert_nothing_left()

    def test_an_ack_that_comes_after_our_bye(self, called: Peer) -> None:
        tag = accepted(called)
        called.take_events()
        called.agent.bye("strange", 0.0)
        called.request("ACK", to_tag=tag, branch="z9hG4bKack")
        assert called.take_events() == []

    def test_what_comes_too_late_does_nothing(self, called: Peer) -> None:
        up(called)
        called.agent.ring("strange", 0.0)
        called.agent.accept("strange", called.offer, 0.0)
        called.agent.refuse("strange", 603, 0.0)
        called.agent.accept("unknown", called.offer, 0.0)
        called.agent.ring("unknown", 0.0)
        called.agent.refuse("unknown", 603, 0.0)
        called.settle()
        assert called.kinds() == []


class TestEnds:
    def test_refused(self, called: Peer) -> None:
        """A refusal goes out with its status, and no event follows."""
        data = called.request("INVITE", to_tag=None)
        called.agent.refuse("strange", 603, 0.0)
        called.settle()
        assert called.kinds() == ["100 INVITE", "603 INVITE"]
        called.receive(data.replace(b"INVITE", b"ACK"))
        called.take_events()
        called.assert_nothing_left()

    def test_cancelled(self, called: Peer) -> None:
        """§9.2: 200 to the CANCEL, 487 to the INVITE."""
        data = called.request("INVITE", to_tag=None)
        called.take_events()
        called.receive(data.replace(b"INVITE", b"CANCEL"))
        assert called.kinds() == ["100 INVITE", "200 CANCEL", "487 INVITE"]
        assert called.take_events() == [Ended("strange", "remote", 0.0)]
        called.assert_nothing_left()

    def test_cancelled_too_late(self, called: Peer) -> None:
        """A CANCEL after our 2xx is answered and changes nothing."""
        up(called)
        data = called.request("OPTIONS", to_tag=None, call_id="other").replace(b"OPTIONS", b"CANCEL")
        called.take_sent()
        called.receive(data.replace(b"Call-ID: other", b"Call-ID: strange"))
        assert called.kinds() == ["200 CANCEL"]
        assert called.take_events() == []

    def test_by_us_while_ringing(self, called: Peer) -> None:
        called.request("INVITE", to_tag=None)
        assert not called.agent.bye("strange", 0.0)
        called.settle()
        assert called.kinds() == ["100 INVITE", "480 INVITE"]

    def test_by_our_bye(self, called: Peer) -> None:
        """The dialog of the called side: our To becomes From, their Contact the target."""
        up(called)
        assert called.agent.bye("strange", 0.0)
        assert called.agent.bye("strange", 0.0)
        called.settle()
        (bye,) = called.take_sent()
        assert bye.message.start_line() == "BYE sip:room@192.0.2.9:5070 SIP/2.0"
        assert (bye.destination, bye.message.cseq) == (ROOM, (1, "BYE"))
        assert bye.message.to.tag == "room"
        called.reply(200)
        assert called.take_events() == [ByeCompleted("strange", 200, 0.0)]
        called.assert_nothing_left()

    def test_an_ended_call_is_not_left_to_the_garbage_collector(self, called: Peer) -> None:
        """Whoever answers thousands of calls has the collector look at nothing while they are up."""
        gc.collect()
        gc.disable()
        try:
            tag = up(called)
            called.request("BYE", to_tag=tag, cseq=2)
            called.take_events()
            called.advance(40.0)
            called.assert_nothing_left()
            assert not [found for found in gc.get_objects() if isinstance(found, IncomingCall)]
        finally:
            gc.enable()

    def test_a_2xx_whose_ack_is_here_is_given_up_by_nobody(self, called: Peer) -> None:
        """Not even if its last timer should fire afterwards."""
        tag = up(called)
        called.request("BYE", to_tag=tag, cseq=2)
        core = called.agent._core
        transaction = next(found for found in core.servers.values() if isinstance(found, ServerTransaction))
        given_up: list[float] = []
        repeater = Repeater(core, transaction, given_up.append, 0.0)
        repeater.stop()
        repeater.fire("give up", 32.0)
        assert given_up == []

    def test_by_their_bye(self, called: Peer) -> None:
        tag = up(called)
        called.request("BYE", to_tag=tag, cseq=2)
        assert called.kinds() == ["200 BYE"]
        assert called.take_events() == [Ended("strange", "remote", 0.0)]
        called.assert_nothing_left()

    def test_by_both_at_once(self, called: Peer) -> None:
        tag = up(called)
        called.agent.bye("strange", 0.0)
        called.settle()
        bye = called.last_request()
        called.request("BYE", to_tag=tag, cseq=2)
        assert called.kinds() == ["BYE", "200 BYE"]
        assert called.take_events() == [Ended("strange", "remote", 0.0)]
        called.reply(481, to=bye)
        assert called.take_events() == []
        called.assert_nothing_left()

    def test_a_request_while_ringing_is_of_no_dialog_yet(self, called: Peer) -> None:
        called.request("INVITE", to_tag=None)
        called.agent.ring("strange", 0.0)
        called.settle()
        called.request("INFO", to_tag=called.sent[-1].message.to.tag, cseq=2)
        assert called.kinds()[-1] == "481 INFO"
        called.request("INFO", to_tag="other", cseq=3, branch="z9hG4bK3")
        assert called.kinds() == ["481 INFO"]

    def test_a_call_of_theirs_has_no_record_and_takes_no_stray_answer(self, called: Peer) -> None:
        """Their Call-ID in a 2xx to nothing of ours changes nothing."""
        up(called)
        assert called.agent.dialog_record("strange") is None
        called.agent.acknowledge("strange", 0.0)
        called.receive(
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
            b"To: <sip:c@d>;tag=2\r\nCall-ID: strange\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        )
        assert called.kinds() == []

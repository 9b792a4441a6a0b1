"""Calls that we place: whatever comes late, twice or malformed, every dialog gets its ACK and its BYE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge_monitor.domain import SipStatus
from bridge_monitor.sip import (
    Answered,
    ByeCompleted,
    Ended,
    NoFinalAnswer,
    ProtocolViolated,
    Provisional,
    Rejected,
    TimedOut,
    TransportFailed,
)

if TYPE_CHECKING:
    from tests.sip.conftest import Peer

ROOM = ("192.0.2.9", 5070)


class TestInvite:
    def test_the_invite_as_bytes(self, peer: Peer) -> None:
        """What a room sees: our display name in UTF-8, rport, Max-Forwards, Contact, Allow, the offer."""
        peer.invite(from_host="kiemtra.example")
        assert peer.sent[0].destination == ROOM
        assert (
            peer.sent[0].data.decode()
            == (
                "INVITE sip:room@192.0.2.9:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKt1\r\n"
                'Max-Forwards: 70\r\nFrom: "Kiểm tra đường truyền" <sip:kiemtra@kiemtra.example>;tag=t2\r\n'
                "To: <sip:room@192.0.2.9:5070>\r\nCall-ID: t3@192.0.2.1\r\nCSeq: 1 INVITE\r\n"
                "Contact: <sip:kiemtra@192.0.2.1:5060>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE\r\n"
                "User-Agent: bridge_monitor\r\nContent-Type: application/sdp\r\n"
                f"Content-Length: {len(peer.offer)}\r\n\r\n"
            )
            + peer.offer.decode()
        )

    def test_provisional_responses_are_told(self, peer: Peer) -> None:
        call_id = peer.invite()
        peer.reply(100)
        peer.reply(180, "Đổ chuông")
        peer.reply(183, body=peer.answer)
        assert peer.take_events() == [
            Provisional(call_id, 100, "Trying", has_sdp=False, at=0.0),
            Provisional(call_id, 180, "Đổ chuông", has_sdp=False, at=0.0),
            Provisional(call_id, 183, "Session Progress", has_sdp=True, at=0.0),
        ]

    def test_no_ack_before_the_application_says_so(self, peer: Peer) -> None:
        """The application journals the dialog first; a repeated 2xx meanwhile gets no ACK and no second event."""
        call_id = peer.invite()
        answer = peer.reply(200, extra=("Server: room/1",))
        peer.receive(answer)
        assert peer.take_events() == [
            Answered(call_id, 200, "OK", peer.answer, "sip:room@192.0.2.9:5070", 0.0, ROOM, "room/1")
        ]
        assert peer.kinds() == ["INVITE"]
        peer.agent.acknowledge(call_id, 1.0)
        peer.agent.acknowledge(call_id, 1.0)
        peer.settle()
        first = peer.sent[-1].data
        assert peer.kinds() == ["ACK"]
        peer.receive(answer)
        assert peer.kinds() == ["ACK"]
        assert peer.sent[-1].data == first

    def test_a_peer_that_answers_every_ack_does_not_keep_us_for_ever(self, peer: Peer) -> None:
        call_id = peer.invite()
        answer = peer.reply(200)
        peer.agent.acknowledge(call_id, 1.0)
        for _ in range(100):
            peer.receive(answer)
        assert peer.kinds().count("ACK") == 32

    def test_a_2xx_without_body_is_told_as_such(self, peer: Peer) -> None:
        peer.invite()
        peer.reply(200, body=b"")
        (event,) = peer.take_events()
        assert isinstance(event, Answered)
        assert event.sdp == b""


class TestRejected:
    @pytest.mark.parametrize("status", [302, 404, 480, 486, 488, 503, 600, 603])
    def test_final_responses_other_than_2xx_close_the_call(self, peer: Peer, status: int) -> None:
        call_id = peer.invite()
        peer.reply(status, "Why")
        assert peer.take_events() == [Rejected(call_id, status, "Why", None, (), 0.0)]
        assert peer.kinds() == ["INVITE", "ACK"]
        assert peer.agent.open_calls == ()
        assert not peer.agent.bye(call_id, 1.0)
        peer.assert_nothing_left()

    def test_redirection_names_its_contacts_best_first(self, peer: Peer) -> None:
        """§8.1.3.4: by q; an unreadable one is left out."""
        peer.invite()
        peer.reply(
            302,
            extra=(
                "Contact: <sip:c@d>;q=0.25, sip:e@f",
                "Contact: <sip:broken",
                "Contact: <sip:g@h>;q=0.7",
                "Contact: <sip:i@j>;q=x",
                "Contact: <sip:k@l>;q=0",
                "Contact: <sip:m@n>;q=0.",
            ),
        )
        (event,) = peer.take_events()
        assert isinstance(event, Rejected)
        assert event.contacts == ("sip:e@f", "sip:i@j", "sip:g@h", "sip:c@d", "sip:k@l", "sip:m@n")

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("120", 120.0), ("18000;duration=3600", 18000.0), ("5 (soon)", 5.0), ("soon", None), ("9" * 11, None)],
    )
    def test_retry_after(self, peer: Peer, value: str, seconds: float | None) -> None:
        """Whole seconds count, with or without comment; anything else is None (§20.33)."""
        peer.invite()
        peer.reply(503, extra=(f"Retry-After: {value}",))
        (event,) = peer.take_events()
        assert isinstance(event, Rejected)
        assert event.retry_after == seconds

    def test_warning_says_why(self, peer: Peer) -> None:
        peer.invite()
        peer.reply(488, extra=('Warning: 304 room "Media type not available"',))
        (event,) = peer.take_events()
        assert isinstance(event, Rejected)
        assert event.warning == '304 room "Media type not available"'


class TestCancel91:
    def test_before_a_provisional_response_the_cancel_waits(self, peer: Peer) -> None:
        """§9.1: no CANCEL before the first provisional response; it goes out with it."""
        call_id = peer.invite()
        assert peer.agent.cancel(call_id, 0.0)
        peer.advance(1.0)
        assert peer.kinds() == ["INVITE", "INVITE"]
        peer.reply(100)
        assert peer.kinds() == ["CANCEL"]
        peer.reply(180, to=peer.sent[0])
        assert peer.agent.cancel(call_id, 1.0)
        peer.settle()
        assert peer.kinds() == []
        peer.reply(200, to=peer.last_request())
        peer.reply(487, to=peer.sent[0])
        assert peer.take_events() == [Rejected(call_id, 487, "Request Terminated", None, (), 1.0)]
        peer.assert_nothing_left()

    def test_the_cancel_repeats_the_invite(self, peer: Peer) -> None:
        """Same Request-URI, Via, Route, From, To, Call-ID and CSeq number."""
        call_id = peer.invite(route=("<sip:192.0.2.5;lr>",))
        peer.reply(180)
        peer.agent.cancel(call_id, 0.0)
        peer.settle()
        invite, cancel = (sent.message for sent in peer.sent)
        for name in ("via", "route", "from", "to", "call-id"):
            assert cancel.headers[name] == invite.headers[name]
        assert cancel.start_line() == "CANCEL sip:room@192.0.2.9:5070 SIP/2.0"
        assert cancel.cseq == (1, "CANCEL")

    def test_a_cancelled_call_that_no_one_ends_times_out(self, peer: Peer) -> None:
        """64*T1 after the CANCEL the INVITE counts as cancelled; the CANCEL itself is repeated like any request."""
        call_id = peer.invite(answer_timeout=2.0)
        peer.reply(180)
        peer.take_events()
        peer.advance(100.0)
        assert peer.times("CANCEL") == [
            2.0 + later for later in (0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
        ]
        assert peer.take_events() == [NoFinalAnswer(call_id, SipStatus(180, "Ringing"), 2.0), TimedOut(call_id, 34.0)]
        peer.assert_nothing_left()

    def test_a_2xx_that_crosses_the_cancel_gets_ack_and_bye(self, peer: Peer) -> None:
        call_id = peer.invite()
        peer.reply(180)
        peer.agent.cancel(call_id, 0.0)
        peer.settle()
        cancel = peer.last_request()
        peer.take_events()
        peer.take_sent()
        answer = peer.reply(200, to=peer.sent[0])
        assert peer.kinds() == ["ACK", "BYE"]
        assert peer.take_events() == []
        peer.reply(100, to=cancel)
        peer.reply(200, to=cancel)
        peer.receive(answer)
        assert peer.kinds() == ["ACK"]
        record = peer.agent.dialog_record(call_id)
        assert record is not None
        assert record.state == "confirmed"
        peer.reply(200, to=next(sent for sent in peer.sent if sent.kind == "BYE"))
        assert peer.take_events() == [ByeCompleted(call_id, 200, 0.0)]
        peer.assert_nothing_left()

    def test_no_cancel_after_a_final_response(self, peer: Peer) -> None:
        """Ending an answered call is ACK and BYE, whatever it is called."""
        call_id = peer.invite()
        peer.reply(180)
        peer.reply(200)
        assert peer.agent.cancel(call_id, 0.0)
        assert peer.agent.bye(call_id, 0.0)
        peer.settle()
        assert peer.kinds() == ["INVITE", "ACK", "BYE"]

    def test_a_481_to_our_cancel_leaves_the_final_response_to_come(self, peer: Peer) -> None:
        call_id = peer.invite()
        peer.reply(180)
        peer.agent.cancel(call_id, 0.0)
        peer.settle()
        peer.take_events()
        peer.reply(481, to=peer.last_request())
        assert peer.take_events() == []
        peer.reply(486, to=peer.sent[0])
        assert peer.take_events() == [Rejected(call_id, 486, "Busy Here", None, (), 0.0)]

    def test_icmp_while_cancelling(self, peer: Peer) -> None:
        call_id = peer.invite()
        peer.reply(180)
        peer.agent.cancel(call_id, 0.0)
        peer.take_events()
        peer.agent.transport_failed(ROOM, 0.5)
        peer.settle()
        assert peer.take_events() == [TransportFailed(call_id, "icmp", 0.5)]
        peer.assert_nothing_left()


class TestNoFinalAnswer:
    def test_nothing_at_all(self, peer: Peer) -> None:
        call_id = peer.invite(answer_timeout=10.0)
        peer.advance(40.0)
        assert peer.take_events() == [NoFinalAnswer(call_id, None, 10.0), TimedOut(call_id, 32.0)]
        peer.assert_nothing_left()

    @pytest.mark.parametrize(("statuses", "last"), [([100], 100), ([100, 183, 180], 180), ([180, 100], 180)])
    def test_the_last_provisional_response_is_told(self, peer: Peer, statuses: list[int], last: int) -> None:
        """A 100 counts only if nothing else came."""
        peer.invite(answer_timeout=10.0)
        for status in statuses:
            peer.reply(status, to=peer.sent[0])
        peer.take_events()
        peer.advance(10.0)
        (event,) = peer.take_events()
        assert isinstance(event, NoFinalAnswer)
        assert event.provisional is not None
        assert event.provisional.status == last

    def test_a_late_answer_gets_ack_and_bye(self, peer: Peer) -> None:
        """No Answered is told any more; ByeCompleted closes the call."""
        call_id = peer.invite(answer_timeout=10.0)
        peer.advance(20.0)
        peer.take_sent()
        peer.reply(200)
        assert peer.kinds() == ["ACK", "BYE"]
        peer.reply(200)
        assert peer.take_events() == [NoFinalAnswer(call_id, None, 10.0), ByeCompleted(call_id, 200, 20.0)]
        peer.assert_nothing_left()

    def test_an_answer_in_time_stops_the_timer(self, peer: Peer) -> None:
        peer.invite(answer_timeout=10.0)
        peer.reply(200)
        peer.take_events()
        peer.advance(20.0)
        assert peer.take_events() == []


class TestForking13224:
    def test_a_second_branch_gets_ack_and_bye_and_no_event(self, peer: Peer) -> None:
        call_id = peer.invite()
        invite = peer.sent[0]
        peer.reply(200)
        fork = peer.reply(200, to=invite, to_tag="fork", contact="<sip:fork@192.0.2.10>")
        assert [type(event) for event in peer.take_events()] == [Answered]
        assert [(sent.kind, sent.destination) for sent in peer.take_sent()[1:]] == [
            ("ACK", ("192.0.2.10", 5060)), ("BYE", ("192.0.2.10", 5060)),
        ]  # fmt: skip
        peer.receive(fork)
        assert peer.kinds() == ["ACK"]
        peer.reply(200, to=next(sent for sent in peer.sent if sent.kind == "BYE"))
        assert peer.take_events() == []
        peer.agent.acknowledge(call_id, 1.0)
        peer.settle()
        assert [(sent.kind, sent.destination) for sent in peer.take_sent()] == [("ACK", ROOM)]

    def test_a_branch_that_answers_after_timer_m(self, peer: Peer) -> None:
        """No transaction is left; the call still knows what to do."""
        call_id = peer.answered()
        invite = peer.sent[0]
        peer.advance(40.0)
        peer.reply(200, to=invite)
        assert peer.kinds() == ["ACK"]
        peer.reply(200, to=invite, to_tag="fork")
        assert peer.kinds() == ["ACK", "BYE"]
        assert peer.agent.open_calls == (call_id,)

    def test_a_2xx_with_another_branch_answers_the_invite(self, peer: Peer) -> None:
        """A proxy that spoils our Via: the call is answered once, and the INVITE isn't repeated."""
        call_id = peer.invite()
        peer.receive(
            peer.reply(100, to=peer.sent[0]).replace(b"100 Trying", b"200 OK").replace(b"z9hG4bK", b"z9hG4bKx")
        )
        assert [type(event) for event in peer.take_events()] == [Provisional, Answered]
        peer.agent.bye(call_id, 0.0)
        peer.settle()
        peer.reply(200)
        peer.advance(50.0)
        assert peer.times("INVITE") == [0.0]
        assert peer.take_events() == [ByeCompleted(call_id, 200, 0.0)]
        peer.assert_nothing_left()

    def test_a_2xx_after_a_refusal(self, peer: Peer) -> None:
        """What no proxy should let through: a dialog all the same, so it is ended."""
        peer.invite()
        peer.reply(486)
        peer.take_sent()
        peer.take_events()
        peer.reply(200, to=peer.sent[0])
        assert peer.kinds() == ["ACK", "BYE"]
        peer.reply(200)
        assert peer.take_events() == []
        peer.assert_nothing_left()


class TestBye:
    @pytest.mark.parametrize("status", [200, 401, 481])
    def test_any_final_response_completes_it(self, peer: Peer, status: int) -> None:
        call_id = peer.answered()
        assert peer.agent.bye(call_id, 5.0)
        peer.now = 5.0
        peer.settle()
        assert peer.agent.bye(call_id, 5.0)
        peer.reply(100)
        peer.reply(status)
        assert peer.take_events() == [ByeCompleted(call_id, status, 5.0)]
        assert not peer.agent.bye(call_id, 6.0)
        assert peer.kinds() == ["BYE"]
        peer.assert_nothing_left()

    def test_an_unanswered_bye(self, peer: Peer) -> None:
        call_id = peer.answered()
        peer.agent.bye(call_id, 0.0)
        peer.settle()
        peer.advance(40.0)
        assert peer.take_events() == [ByeCompleted(call_id, None, 32.0)]
        peer.assert_nothing_left()

    def test_an_answer_that_is_not_wanted_gets_ack_then_bye(self, peer: Peer) -> None:
        call_id = peer.invite()
        peer.reply(200)
        peer.agent.bye(call_id, 0.0)
        peer.settle()
        assert peer.kinds() == ["INVITE", "ACK", "BYE"]

    def test_an_unknown_call(self, peer: Peer) -> None:
        assert not peer.agent.bye("unknown", 0.0)
        peer.agent.acknowledge("unknown", 0.0)
        assert peer.agent.datagrams_to_send() == []


class TestRemoteBye:
    def test_it_closes_the_call(self, peer: Peer) -> None:
        call_id = peer.answered()
        peer.request("BYE", call=peer.sent[0])
        assert peer.kinds() == ["200 BYE"]
        assert peer.take_events() == [Ended(call_id, "remote", 0.0)]
        assert not peer.agent.bye(call_id, 0.0)
        peer.assert_nothing_left()

    def test_before_our_ack(self, peer: Peer) -> None:
        """A room that hangs up at once: the ACK is no longer sent, unless it repeats its 2xx."""
        call_id = peer.invite()
        answer = peer.reply(200)
        peer.take_events()
        peer.request("BYE", call=peer.sent[0])
        assert peer.take_events() == [Ended(call_id, "remote", 0.0)]
        peer.agent.acknowledge(call_id, 0.0)
        peer.settle()
        assert peer.kinds() == ["INVITE", "200 BYE"]
        peer.receive(answer)
        assert peer.kinds() == ["ACK"]
        peer.assert_nothing_left()

    def test_crossing_ours(self, peer: Peer) -> None:
        """Theirs closes the call at once; the answer to ours, if it comes, tells nothing more."""
        call_id = peer.answered()
        peer.agent.bye(call_id, 0.0)
        peer.settle()
        bye = peer.last_request()
        peer.request("BYE", call=peer.sent[0])
        assert peer.kinds() == ["BYE", "200 BYE"]
        assert peer.take_events() == [Ended(call_id, "remote", 0.0)]
        peer.request("BYE", call=peer.sent[0], cseq=2, branch="z9hG4bKagain")
        assert peer.kinds() == ["200 BYE"]
        peer.reply(481, to=bye)
        peer.request("BYE", call=peer.sent[0], cseq=3, branch="z9hG4bKlate")
        assert peer.kinds() == ["481 BYE"]
        assert peer.take_events() == []
        peer.assert_nothing_left()


class TestMalformedAnswers:
    @pytest.mark.parametrize("contact", ["<sip:room", "<tel:123>", "nonsense"])
    def test_a_2xx_with_an_unusable_contact(self, peer: Peer, contact: str) -> None:
        """ProtocolViolated at once; ACK and BYE go where the INVITE went."""
        call_id = peer.invite()
        peer.reply(180)
        peer.take_events()
        peer.reply(200, to=peer.sent[0], contact=contact)
        violated = peer.take_events()[0]
        assert isinstance(violated, ProtocolViolated)
        assert (violated.call_id, violated.source) == (call_id, ROOM)
        assert [(sent.kind, sent.destination) for sent in peer.take_sent()[1:]] == [("ACK", ROOM), ("BYE", ROOM)]
        peer.reply(200)
        assert peer.take_events() == [ByeCompleted(call_id, 200, 0.0)]
        peer.assert_nothing_left()

    def test_a_fork_with_an_unusable_contact_is_only_noted(self, peer: Peer) -> None:
        peer.invite()
        peer.reply(200)
        peer.reply(200, to=peer.sent[0], to_tag="fork", contact="<")
        _, noted = peer.take_events()
        assert isinstance(noted, ProtocolViolated)
        assert noted.call_id is None
        assert peer.kinds() == ["INVITE", "ACK", "BYE"]

"""A user agent over TCP and TLS in virtual time: what a reliable transport changes, what a broken connection does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge_monitor.sip import (
    Answered,
    ByeCompleted,
    ConnectionLost,
    DialogRecord,
    Ended,
    Invited,
    OptionsAnswered,
    ProtocolViolated,
    Rejected,
    Request,
    SipUri,
    StreamAddress,
    TimedOut,
    TlsSettings,
    TransportFailed,
)
from bridge_monitor.sip.dialog import next_hop

if TYPE_CHECKING:
    from tests.sip.conftest import Peer

PLACE = ("192.0.2.9", 5070)
URI = SipUri.parse("sip:room@192.0.2.9:5070")
TCP = StreamAddress(*PLACE)
TLS = StreamAddress(*PLACE, "tls", "room.example", TlsSettings(pins=("ab",)))


def from_connection(called: Peer, method: str, *, transport: str = "TCP", source: StreamAddress) -> None:
    """Have a request come on a connection that the peer made: its port isn't that of its Via."""
    called.receive(
        f"{method} sip:kiemtra@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/{transport} 192.0.2.9:5070;branch=z9hG4bKpeer\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:room@192.0.2.9>;tag=room\r\nTo: <sip:kiemtra@192.0.2.1>\r\n"
        f"Call-ID: strange\r\nCSeq: 1 {method}\r\nContact: <sip:room@192.0.2.9:5070;transport=tcp>\r\n"
        "Content-Length: 0\r\n\r\n".encode(),
        source,
    )


class TestInviteClient17112:
    """§17.1.1.2, figure 5, over a reliable transport: no timer A, D is 0; B stays."""

    def test_nothing_is_repeated_and_timer_b_ends_it(self, streamed: Peer) -> None:
        call_id = streamed.invite(answer_timeout=60.0)
        streamed.advance(31.9)
        assert streamed.times("INVITE") == [0.0]
        streamed.advance(32.0)
        assert streamed.take_events() == [TimedOut(call_id, 32.0)]
        streamed.assert_nothing_left()

    def test_timer_d_is_zero(self, streamed: Peer) -> None:
        """The ACK can't be lost, so the transaction is over with it: a 486 once more finds nobody."""
        call_id = streamed.invite()
        busy = streamed.reply(486)
        streamed.advance(0.0)
        assert streamed.agent._core.clients == {}
        streamed.receive(busy)
        assert streamed.kinds() == ["INVITE", "ACK"]
        assert streamed.take_events() == [Rejected(call_id, 486, "Busy Here", None, (), 0.0)]
        streamed.assert_nothing_left()

    def test_timer_m_is_the_same(self, streamed: Peer) -> None:
        """RFC 6026 §7.2: 64*T1 on every transport, since a fork may answer as late."""
        streamed.answered()
        assert [owner.timers for owner in streamed.agent._core.clients.values()] != []
        streamed.advance(31.9)
        assert len(streamed.agent._core.clients) == 1
        streamed.advance(32.0)
        assert streamed.agent._core.clients == {}


class TestNonInviteClient17122:
    """§17.1.2.2, figure 6, over a reliable transport: no timer E, K is 0; F stays."""

    def test_nothing_is_repeated_and_timer_f_ends_it(self, streamed: Peer) -> None:
        call_id = streamed.agent.options(URI, streamed.room, 0.0)
        streamed.settle()
        streamed.reply(100)
        streamed.advance(32.0)
        assert streamed.times("OPTIONS") == [0.0]
        assert streamed.take_events() == [TimedOut(call_id, 32.0)]
        streamed.assert_nothing_left()

    def test_timer_k_is_zero(self, streamed: Peer) -> None:
        call_id = streamed.agent.options(URI, streamed.room, 0.0)
        streamed.settle()
        streamed.reply(200)
        streamed.advance(0.0)
        assert streamed.agent._core.clients == {}
        assert streamed.take_events() == [OptionsAnswered(call_id, 200, "OK", 0.0)]
        streamed.assert_nothing_left()


class TestServer172:
    """§17.2, figures 7 and 8, over a reliable transport: no timer G, I and J are 0; H stays."""

    def test_a_failure_is_sent_once_and_timer_h_ends_it(self, called: Peer) -> None:
        from_connection(called, "INVITE", source=TCP)
        called.agent.refuse("strange", 486, 0.0)
        called.settle()
        called.advance(31.9)
        assert called.times("486 INVITE") == [0.0]
        assert len(called.agent._core.servers) == 1
        called.advance(32.0)
        assert called.agent._core.servers == {}

    def test_timer_i_is_zero(self, called: Peer) -> None:
        from_connection(called, "INVITE", source=TCP)
        called.agent.refuse("strange", 486, 0.0)
        called.settle()
        from_connection(called, "ACK", source=TCP)
        called.advance(0.0)
        assert called.agent._core.servers == {}

    def test_timer_j_is_zero(self, called: Peer) -> None:
        from_connection(called, "OPTIONS", source=TCP)
        called.advance(0.0)
        assert called.kinds() == ["200 OPTIONS"]
        assert called.agent._core.servers == {}

    def test_a_2xx_is_repeated_all_the_same(self, called: Peer) -> None:
        """§13.3.1.4: end to end, whatever carries it here, since beyond a proxy it may be UDP."""
        from_connection(called, "INVITE", source=TCP)
        called.agent.accept("strange", b"", 0.0)
        called.settle()
        called.advance(1.6)
        assert called.times("200 INVITE") == [0.0, 0.5, 1.5]


class TestSending1811:
    """§18.1.1: what a request says of its transport, and when it has to be a stream."""

    def test_via_and_contact_name_it_in_every_request(self, streamed: Peer) -> None:
        call_id = streamed.answered()
        streamed.agent.bye(call_id, 1.0)
        streamed.settle()
        transport = streamed.room.transport  # type: ignore[attr-defined]
        invite, ack, bye = streamed.sent
        for sent in (invite, ack, bye):
            assert isinstance(sent.message, Request)
            assert sent.message.via.transport == transport.upper()
            assert sent.destination == streamed.room
        assert invite.message.headers["contact"] == [f"<sip:kiemtra@192.0.2.1:5060;transport={transport}>"]

    def test_the_size_of_an_invite_is_known_before_it_is_sent(self, peer: Peer) -> None:
        measured = peer.agent.measure_invite(URI, peer.room, peer.offer)
        peer.invite()
        (sent,) = peer.sent
        # Tokens are counted up, so that the second INVITE's may be longer by a digit.
        assert abs(len(sent.data) - measured) <= 3


class TestReceiving1822:
    """§18.2.2: a response goes back on the connection that its request came on, whatever Via says."""

    def test_a_response_goes_to_the_connection(self, called: Peer) -> None:
        source = StreamAddress("192.0.2.9", 40001)
        from_connection(called, "OPTIONS", source=source)
        (sent,) = called.take_sent()
        assert sent.destination == source
        assert ";received=192.0.2.9" not in sent.message.headers["via"][0]
        assert sent.message.headers["contact"] == ["<sip:kiemtra@192.0.2.1:5060;transport=tcp>"]

    def test_a_call_to_us_is_answered_on_its_connection_and_ended_at_its_contact(self, called: Peer) -> None:
        source = StreamAddress("192.0.2.9", 40001)
        from_connection(called, "INVITE", source=source)
        assert isinstance(called.take_events()[0], Invited)
        called.agent.accept("strange", b"", 0.0)
        called.settle()
        assert called.agent.needs(source)
        called.agent.bye("strange", 0.0)
        called.settle()
        ok, bye = (sent for sent in called.take_sent() if sent.kind in ("200 INVITE", "BYE"))
        assert ok.destination == source
        assert bye.destination == StreamAddress("192.0.2.9", 5070)


class TestBrokenConnection:
    """A connection that breaks is made anew by what is sent next; no call is forgotten by it."""

    def test_a_request_without_any_response_is_sent_once_more(self, streamed: Peer) -> None:
        """The peer may have closed an idle connection just as we used it."""
        call_id = streamed.invite()
        streamed.agent.connection_lost(streamed.room, 1.0)
        streamed.settle()
        first, second = streamed.sent
        assert first.data == second.data
        streamed.agent.connection_lost(streamed.room, 2.0)
        streamed.settle()
        assert streamed.take_events() == [TransportFailed(call_id, "connection_lost", 2.0)]
        assert len(streamed.sent) == 2
        streamed.assert_nothing_left()

    def test_a_call_that_rings_is_taken_back_over_the_next_connection(self, streamed: Peer) -> None:
        call_id = streamed.invite()
        streamed.reply(180)
        streamed.take_events()
        streamed.agent.connection_lost(streamed.room, 1.0)
        streamed.settle()
        assert streamed.take_events() == [ConnectionLost(call_id, 1.0)]
        assert streamed.kinds() == ["INVITE", "CANCEL"]
        streamed.reply(487, to=streamed.sent[0])
        assert [type(event) for event in streamed.take_events()] == [Rejected]
        streamed.assert_nothing_left()

    def test_a_second_break_sends_the_cancel_once_more_and_the_call_ends_by_time(self, streamed: Peer) -> None:
        call_id = streamed.invite()
        streamed.reply(180)
        for now in (1.0, 2.0, 3.0):
            streamed.agent.connection_lost(streamed.room, now)
            streamed.settle()
        assert streamed.kinds() == ["INVITE", "CANCEL", "CANCEL"]
        streamed.take_events()
        streamed.advance(33.0)
        assert streamed.take_events() == [TimedOut(call_id, 33.0)]
        streamed.assert_nothing_left()

    def test_a_bye_is_sent_once_more_and_then_counts_as_unanswered(self, streamed: Peer) -> None:
        call_id = streamed.answered()
        streamed.agent.bye(call_id, 1.0)
        streamed.settle()
        for now in (2.0, 3.0):
            streamed.agent.connection_lost(streamed.room, now)
            streamed.settle()
        assert streamed.kinds() == ["BYE", "BYE"]
        assert streamed.take_events() == [ByeCompleted(call_id, None, 3.0)]
        streamed.assert_nothing_left()

    def test_a_call_that_is_up_is_not_touched(self, streamed: Peer) -> None:
        call_id = streamed.answered()
        streamed.agent.connection_lost(streamed.room, 1.0)
        streamed.settle()
        assert streamed.kinds() == []
        assert streamed.take_events() == []
        assert streamed.agent.open_calls == (call_id,)

    def test_one_that_can_t_be_had_fails_all_that_waits_with_its_reason(self, streamed: Peer) -> None:
        first, second = streamed.invite(), streamed.invite()
        streamed.reply(180)
        streamed.take_events()
        streamed.agent.transport_failed(streamed.room, 1.0, "connection_refused")
        streamed.settle()
        assert {(event.call_id, event.reason) for event in streamed.take_events()} == {  # type: ignore[union-attr]
            (first, "connection_refused"), (second, "connection_refused"),
        }  # fmt: skip
        streamed.assert_nothing_left()

    def test_the_same_place_over_udp_is_another_matter(self, streamed: Peer) -> None:
        streamed.invite()
        streamed.agent.transport_failed(PLACE, 1.0)
        streamed.agent.connection_lost(PLACE, 1.0)
        streamed.settle()
        assert streamed.take_events() == []
        assert len(streamed.sent) == 1

    def test_a_connection_is_needed_as_long_as_a_call_or_a_request_goes_there(self, streamed: Peer) -> None:
        agent = streamed.agent
        assert not agent.needs(streamed.room)
        call_id = streamed.answered()
        assert agent.needs(streamed.room)
        assert not agent.needs(PLACE)
        agent.bye(call_id, 1.0)
        streamed.settle()
        assert agent.needs(streamed.room)
        streamed.reply(200)
        assert not agent.needs(streamed.room)

    def test_what_can_t_be_framed_is_a_violation_and_its_call_is_ended(self, streamed: Peer) -> None:
        """The head says whose it is: its dialog, if it makes one, gets ACK and BYE."""
        call_id = streamed.invite()
        invite = streamed.sent[0].message
        head = "\r\n".join(
            ["SIP/2.0 200 OK",
             *(f"{name}: {invite.headers[name.lower()][0]}" for name in ("Via", "From", "Call-ID", "CSeq")),
             f"To: {invite.headers['to'][0]};tag=room", "Contact: <sip:room@192.0.2.9:5070>", "", ""]
        ).encode()  # fmt: skip
        streamed.agent.receive_broken(head, streamed.room, 1.0, "no Content-Length")
        streamed.settle()
        assert streamed.kinds() == ["INVITE", "ACK", "BYE"]
        (event,) = streamed.take_events()
        assert event == ProtocolViolated(call_id, "no Content-Length", 1.0, streamed.room)

    def test_what_not_even_has_a_head_ends_the_only_call_that_waits_there(self, streamed: Peer) -> None:
        """Nothing more is sent of it: an INVITE that nobody wants any more isn't repeated on a new connection."""
        call_id = streamed.invite()
        streamed.agent.receive_broken(b"HTTP/1.1 400 Bad Request", streamed.room, 1.0, "a head of too many bytes")
        streamed.settle()
        assert streamed.kinds() == ["INVITE"]
        assert streamed.take_events() == [
            ProtocolViolated(call_id, "a head of too many bytes", 1.0, streamed.room),
            TransportFailed(call_id, "connection_lost", 1.0),
        ]
        streamed.assert_nothing_left()

    def test_others_on_a_connection_that_can_t_be_framed_go_on_over_the_next(self, streamed: Peer) -> None:
        first, second = streamed.invite(), streamed.invite()
        streamed.take_sent()
        streamed.agent.receive_broken(b"rubbish", streamed.room, 1.0, "a head of too many bytes")
        streamed.settle()
        assert [sent.message.call_id for sent in streamed.take_sent()] == [first, second]


class TestNextHop:
    """Where the requests of a dialog go: over what the hop names, and never from TLS to anything else."""

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ("sip:r@192.0.2.9:5070;transport=tcp", TCP),
            ("sip:r@192.0.2.9:5070", TCP),
            ("sip:r@192.0.2.7", ("192.0.2.7", 5060)),
            ("sip:r@192.0.2.7:5080;transport=TCP", StreamAddress("192.0.2.7", 5080)),
            ("sip:r@192.0.2.7;transport=udp", ("192.0.2.7", 5060)),
            ("sip:r@192.0.2.7;transport=tls", StreamAddress("192.0.2.7", 5061, "tls", "192.0.2.7")),
            ("sips:r@192.0.2.9", StreamAddress("192.0.2.9", 5061, "tls", "192.0.2.9")),
            ("sip:r@192.0.2.9:5070;transport=ws", TCP),
            ("sip:r@room.example", TCP),
        ],
    )
    def test_from_tcp_it_goes_where_the_hop_says(self, target: str, expected: tuple[str, int]) -> None:
        assert next_hop((), target, TCP) == expected

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ("sip:r@192.0.2.9:5070;transport=tls", TLS),
            ("sip:r@192.0.2.9", TLS),
            ("sip:r@192.0.2.7;transport=udp", TLS),
            ("sip:r@192.0.2.7;transport=tcp", TLS),
            ("sips:r@192.0.2.9:5061", StreamAddress("192.0.2.9", 5061, "tls", "room.example", TLS.tls)),
            ("sips:r@192.0.2.7", StreamAddress("192.0.2.7", 5061, "tls", "192.0.2.7", TLS.tls)),
            ("sips:r@192.0.2.7;transport=udp", TLS),
        ],
    )
    def test_from_tls_it_never_goes_in_the_clear(self, target: str, expected: tuple[str, int]) -> None:
        """Another port of the same machine is asked for the same name; another machine for its own."""
        assert next_hop((), target, TLS) == expected

    def test_the_topmost_route_comes_before_the_target(self) -> None:
        assert next_hop(("<sip:192.0.2.4;transport=tcp;lr>",), "sip:r@192.0.2.7", TCP) == StreamAddress(
            "192.0.2.4", 5060
        )

    def test_a_dialog_over_udp_stays_there(self) -> None:
        """What has reached the room once will reach it again."""
        assert next_hop((), "sip:r@192.0.2.7;transport=tcp", PLACE) == ("192.0.2.7", 5060)
        assert type(next_hop((), "sip:r@192.0.2.7;transport=tcp", PLACE)) is tuple


class TestOrphans:
    """The record of a dialog carries its transport, so that a later process ends the call where it is."""

    def test_a_confirmed_call_gets_its_bye_over_the_same_transport(self, streamed: Peer) -> None:
        call_id = streamed.answered()
        record = streamed.agent.dialog_record(call_id)
        assert record is not None
        heir = type(streamed)(room=streamed.room)
        heir.agent.end_orphan(DialogRecord.from_dict(record.to_dict()), 0.0)
        heir.settle()
        (bye,) = heir.take_sent()
        assert (bye.kind, bye.destination) == ("BYE", streamed.room)
        assert bye.message.via.transport == streamed.room.transport.upper()  # type: ignore[attr-defined]
        heir.reply(200)
        assert heir.take_events() == [Ended(call_id, "local", 0.0, bye_answered=True)]

    def test_an_early_call_gets_its_cancel_over_the_same_transport(self, streamed: Peer) -> None:
        call_id = streamed.invite()
        record = streamed.agent.dialog_record(call_id)
        assert record is not None
        heir = type(streamed)(room=streamed.room)
        heir.agent.end_orphan(DialogRecord.from_dict(record.to_dict()), 0.0)
        heir.settle()
        (cancel,) = heir.take_sent()
        assert (cancel.kind, cancel.destination) == ("CANCEL", streamed.room)
        assert cancel.message.via.branch == streamed.sent[0].message.via.branch

    def test_an_answer_says_where_it_came_from(self, streamed: Peer) -> None:
        streamed.invite()
        streamed.reply(200)
        (event,) = streamed.take_events()
        assert isinstance(event, Answered)
        assert event.peer == streamed.room

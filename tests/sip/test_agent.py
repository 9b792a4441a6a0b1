"""The way of a datagram to its transaction, call or dialog; orphans and strays; and that nothing is ever raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip import (
    Address,
    DialogRecord,
    Ended,
    ProtocolViolated,
    Rejected,
    Request,
    Response,
    SipUri,
    UserAgent,
    parse_message,
    respond,
)

if TYPE_CHECKING:
    from tests.sip.conftest import Peer

HERE, ROOM = ("192.0.2.1", 5060), ("192.0.2.9", 5070)
STRAY = (
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKold;rport=5060\r\n"
    b'From: "x" <sip:kiemtra@192.0.2.1>;tag=old\r\nTo: <sip:room@192.0.2.9>;tag=room\r\nCall-ID: old@192.0.2.1\r\n'
    b"CSeq: 7 INVITE\r\nContact: <sip:room@192.0.2.9:5070>\r\nRecord-Route: <sip:192.0.2.5;lr>\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def record_of(peer: Peer, *, answered: bool) -> DialogRecord:
    """Place a call with another agent, and return its record as after a SIGKILL."""
    call_id = peer.invite(route=("<sip:192.0.2.5;lr>",))
    if answered:
        peer.reply(200)
    record = peer.agent.dialog_record(call_id)
    assert record is not None
    return record


class TestDatagrams:
    @pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\0", b"\0\0\0\0"])
    def test_keep_alives_are_ignored(self, peer: Peer, data: bytes) -> None:
        """RFC 5626 §3.5.1, and the zero bytes that some rooms send."""
        peer.invite()
        peer.receive(data)
        assert peer.take_events() == []

    def test_a_response_with_two_vias_is_not_for_us(self, peer: Peer) -> None:
        """§8.1.3.3."""
        peer.invite()
        data = respond(_request(peer), 200, to_tag="room")
        peer.receive(data.replace(b"From:", b"Via: SIP/2.0/UDP other\r\nFrom:", 1))
        peer.receive(data.replace(b"\r\nFrom:", b", SIP/2.0/UDP other\r\nFrom:", 1))
        events = peer.take_events()
        assert [type(event) for event in events] == [ProtocolViolated, ProtocolViolated]
        assert peer.kinds() == ["INVITE"]

    @pytest.mark.parametrize("status", [180, 486])
    def test_a_response_to_nothing_is_dropped(self, peer: Peer, status: int) -> None:
        peer.receive(STRAY.replace(b"200 OK", b"%d X" % status))
        peer.receive(STRAY.replace(b"INVITE", b"BYE"))
        assert (peer.kinds(), peer.take_events()) == ([], [])

    def test_an_unreadable_request_gets_400(self, peer: Peer) -> None:
        """If it says where it came from; an ACK never does get an answer."""
        data = peer.request("OPTIONS", to_tag=None)
        peer.take_sent()
        peer.strict = False
        for change in ((b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"), (b"CSeq: 1 ", b"CSeq: x "), (b"From: <", b"From: <<")):
            peer.receive(data.replace(*change))
        assert _statuses(peer) == [400, 400, 400]
        for change in ((b"From: ", b"X: "), (b"Via: SIP/2.0", b"Via: SIP"), (b"OPTIONS", b"ACK")):
            broken = data.replace(*change).replace(b"Content-Length: 0", b"Content-Length: 5")
            peer.agent.receive_datagram(broken, ROOM, 0.0)
        assert peer.agent.datagrams_to_send() == []

    def test_every_message_is_traced(self, peer: Peer) -> None:
        """For ladders and captures: both directions, with the Call-ID if one can be read."""
        seen: list[tuple[str | None, bool, Address, bytes, float]] = []

        def note(call_id: str | None, sent: bool, address: Address, data: bytes, now: float) -> None:  # noqa: FBT001 - the hook's own shape
            seen.append((call_id, sent, address, data, now))

        peer.agent.on_message = note
        assert peer.agent.on_message is note
        call_id = peer.invite()
        busy = peer.reply(486)
        peer.receive(b"garbage of no call")
        assert [entry[:3] for entry in seen] == [
            (call_id, True, ROOM), (call_id, False, ROOM), (call_id, True, ROOM), (None, False, ROOM),
        ]  # fmt: skip
        assert seen[1][3] == busy
        peer.agent.on_message = None
        peer.invite()
        assert len(seen) == 4


class TestIdentity:
    def test_an_ipv6_address_stands_in_brackets(self) -> None:
        agent = UserAgent(local=("2001:db8::1", 5060), token=lambda: "t", display_name='a"b', user="u", product="p")
        agent.invite(SipUri.parse("sip:room@192.0.2.9"), ROOM, b"", 0.0, answer_timeout=1.0)
        ((data, _),) = agent.datagrams_to_send()
        message = parse_message(data, strict=True)
        assert message.via.sent_by == "[2001:db8::1]:5060"
        assert message.headers["from"] == ['"a\\"b" <sip:u@[2001:db8::1]>;tag=t']
        assert message.headers["contact"] == ["<sip:u@[2001:db8::1]:5060>"]
        assert message.headers["user-agent"] == ["p"]


class TestStray2xx:
    def test_it_gets_ack_and_bye_once(self, peer: Peer) -> None:
        """The answer to a call of a process that died: each repetition gets the ACK, one BYE, and no event."""
        peer.receive(STRAY)
        peer.receive(STRAY)
        ack, bye, again = peer.take_sent()
        assert [ack.kind, bye.kind, again.kind] == ["ACK", "BYE", "ACK"]
        assert ack.data == again.data
        assert ack.message.cseq == (7, "ACK")
        assert bye.message.cseq == (8, "BYE")
        assert bye.destination == ("192.0.2.5", 5060)
        assert bye.message.headers["from"] == ['"x" <sip:kiemtra@192.0.2.1>;tag=old']
        peer.reply(200, to=bye)
        assert peer.take_events() == []
        peer.advance(31.0)
        peer.receive(STRAY)
        assert peer.kinds() == ["ACK"]
        peer.assert_nothing_left()

    def test_nobody_answers_its_bye(self, peer: Peer) -> None:
        peer.receive(STRAY)
        peer.advance(50.0)
        assert peer.take_events() == []
        peer.assert_nothing_left()

    def test_an_unusable_contact(self, peer: Peer) -> None:
        peer.receive(STRAY.replace(b"<sip:room@192.0.2.9:5070>", b"<"))
        assert [(sent.kind, sent.destination) for sent in peer.take_sent()] == [("ACK", ROOM), ("BYE", ROOM)]

    def test_an_unreadable_from_is_noted(self, peer: Peer) -> None:
        peer.receive(STRAY.replace(b"<sip:kiemtra@", b"<sip:kiem tra@"))
        assert peer.kinds() == []
        assert [type(event) for event in peer.take_events()] == [ProtocolViolated]
        peer.assert_nothing_left()

    def test_one_that_is_not_addressed_to_us(self, peer: Peer) -> None:
        """Another sent-by: we would be ending somebody else's call."""
        peer.receive(STRAY.replace(b"192.0.2.1:5060;branch", b"192.0.2.2:5060;branch"))
        assert peer.kinds() == []


class TestOrphans:
    @pytest.mark.parametrize("answered", [True, False])
    def test_a_confirmed_dialog_gets_bye(self, peer: Peer, called: Peer, *, answered: bool) -> None:
        """From a new process, by the record alone; Ended says whether anybody answered."""
        record = record_of(called, answered=True)
        peer.agent.end_orphan(record, 0.0)
        assert peer.agent.open_calls == (record.call_id,)
        peer.settle()
        (bye,) = peer.take_sent()
        assert bye.message.start_line() == "BYE sip:room@192.0.2.9:5070 SIP/2.0"
        assert (bye.destination, bye.message.cseq) == (ROOM, (2, "BYE"))
        assert bye.message.from_.tag == record.local_tag
        assert bye.message.to.tag == "room"
        if answered:
            peer.reply(481)
        peer.advance(40.0)
        assert peer.take_events() == [Ended(record.call_id, "local", 0.0 if answered else 32.0, bye_answered=answered)]
        peer.assert_nothing_left()

    def test_a_dialog_whose_ack_was_never_sent(self, peer: Peer, called: Peer) -> None:
        """Killed between journal and ACK: the room still repeats its 2xx, and gets its ACK."""
        record = record_of(called, answered=True)
        peer.agent.end_orphan(record, 0.0)
        peer.settle()
        bye = peer.last_request()
        answer = respond(_request(called), 200, to_tag="room", contact="<sip:room@192.0.2.9:5070>")
        peer.receive(answer)
        assert peer.kinds() == ["BYE", "ACK"]
        assert peer.sent[-1].message.cseq == (1, "ACK")
        peer.reply(200, to=bye)
        peer.advance(10.0)
        peer.receive(answer)
        assert peer.kinds() == ["ACK"]
        assert peer.take_events() == [Ended(record.call_id, "local", 0.0, bye_answered=True)]
        peer.assert_nothing_left()

    def test_an_early_dialog_gets_cancel(self, peer: Peer, called: Peer) -> None:
        """The CANCEL repeats the branch of the INVITE; the 487 gets its ACK."""
        record = record_of(called, answered=False)
        peer.agent.end_orphan(record, 0.0)
        peer.settle()
        (cancel,) = peer.take_sent()
        invite = called.sent[0].message
        assert cancel.kind == "CANCEL"
        for name in ("via", "route", "from", "to", "call-id"):
            assert cancel.message.headers[name] == invite.headers[name]
        peer.reply(200, to=cancel)
        assert peer.take_events() == []
        peer.receive(respond(_request(called), 487, to_tag="room"))
        assert peer.kinds() == ["ACK"]
        assert peer.take_events() == [Ended(record.call_id, "local", 0.0, bye_answered=True)]
        peer.assert_nothing_left()

    def test_an_early_dialog_that_was_answered_meanwhile(self, peer: Peer, called: Peer) -> None:
        record = record_of(called, answered=False)
        peer.agent.end_orphan(record, 0.0)
        peer.receive(respond(_request(called), 200, to_tag="room", contact="<sip:room@192.0.2.9:5070>"))
        assert peer.kinds() == ["CANCEL", "ACK", "BYE"]
        peer.reply(200)
        assert peer.take_events() == [Ended(record.call_id, "local", 0.0, bye_answered=True)]
        peer.assert_nothing_left()

    def test_an_early_dialog_that_nobody_knows(self, peer: Peer, called: Peer) -> None:
        """481 to the CANCEL: there is no such call, and that is the end."""
        record = record_of(called, answered=False)
        peer.agent.end_orphan(record, 0.0)
        peer.settle()
        peer.reply(481)
        assert peer.take_events() == [Ended(record.call_id, "local", 0.0, bye_answered=True)]
        peer.assert_nothing_left()

    def test_a_481_that_comes_after_the_487(self, peer: Peer, called: Peer) -> None:
        """Nothing is told twice, and a repeated 487 still gets its ACK."""
        record = record_of(called, answered=False)
        peer.agent.end_orphan(record, 0.0)
        peer.settle()
        refusal = respond(_request(called), 487, to_tag="room")
        peer.receive(refusal)
        peer.reply(481, to=peer.sent[0])
        peer.receive(refusal)
        assert peer.kinds() == ["CANCEL", "ACK", "ACK"]
        assert peer.take_events() == [Ended(record.call_id, "local", 0.0, bye_answered=True)]
        peer.assert_nothing_left()

    @pytest.mark.parametrize("cancel_answered", [True, False])
    def test_an_early_dialog_that_no_one_ends(self, peer: Peer, called: Peer, *, cancel_answered: bool) -> None:
        record = record_of(called, answered=False)
        peer.agent.end_orphan(record, 0.0)
        peer.settle()
        if cancel_answered:
            peer.reply(200)
        peer.advance(40.0)
        assert peer.take_events() == [Ended(record.call_id, "local", 32.0, bye_answered=cancel_answered)]
        peer.assert_nothing_left()

    @pytest.mark.parametrize("answered", [True, False])
    def test_icmp(self, peer: Peer, called: Peer, *, answered: bool) -> None:
        """ICMP for the BYE or CANCEL ends the orphan unanswered."""
        record = record_of(called, answered=answered)
        peer.agent.end_orphan(record, 0.0)
        peer.agent.transport_failed(ROOM, 1.0)
        peer.settle()
        assert peer.take_events() == [Ended(record.call_id, "local", 1.0, bye_answered=False)]
        peer.assert_nothing_left()

    def test_a_damaged_record(self, peer: Peer, called: Peer) -> None:
        """SipSyntaxError, and nothing is begun."""
        plain = record_of(called, answered=True).to_dict() | {"remote_target": "nonsense"}
        with pytest.raises(SipSyntaxError):
            peer.agent.end_orphan(DialogRecord.from_dict(plain), 0.0)
        assert peer.agent.open_calls == ()


class TestRfc3263Section43:
    """A request that has failed goes to the next address: the same, but for its branch."""

    NEXT = ("192.0.2.8", 5080)

    def elsewhere(self, peer: Peer, record: DialogRecord) -> None:
        peer.agent.invite_elsewhere(record, self.NEXT, peer.offer, peer.now, answer_timeout=10.0)
        peer.settle()

    def placed(self, peer: Peer) -> DialogRecord:
        record = peer.agent.dialog_record(peer.invite(route=("<sip:192.0.2.5;lr>",)))
        assert record is not None
        return record

    def test_only_branch_and_destination_are_others(self, peer: Peer) -> None:
        record = self.placed(peer)
        self.elsewhere(peer, record)
        first, second = peer.sent[0], peer.sent[-1]
        assert (first.destination, second.destination) == (ROOM, self.NEXT)
        branch = second.message.via.branch
        assert branch != first.message.via.branch == record.invite_branch
        assert second.data == first.data.replace(record.invite_branch.encode(), branch.encode())
        now = peer.agent.dialog_record(record.call_id)
        assert now is not None
        assert (now.destination, now.invite_branch) == (self.NEXT, branch)

    @pytest.mark.parametrize("status", [None, 503])
    def test_of_the_first_request_nothing_is_told_any_more(self, peer: Peer, status: int | None) -> None:
        """Neither its 503 again, nor that it was never answered; what ends the call is the second one."""
        record = self.placed(peer)
        if status is not None:
            peer.reply(status)
            assert [event.status for event in peer.take_events()] == [503]
        first = peer.sent[0]
        self.elsewhere(peer, record)
        if status is not None:
            peer.reply(status, to=first)
            assert peer.sent[-1].kind == "ACK"
            assert peer.sent[-1].destination == ROOM
        second = next(sent for sent in reversed(peer.sent) if sent.kind == "INVITE")
        peer.reply(486, to=second)
        assert [(type(event), event.call_id, event.status) for event in peer.take_events()] == [
            (Rejected, record.call_id, 486)
        ]
        assert peer.agent.open_calls == (() if status else (record.call_id,))
        peer.assert_nothing_left()
        assert peer.take_events() == []
        assert peer.agent.open_calls == ()

    def test_a_late_answer_to_the_first_is_acknowledged_and_ended(self, peer: Peer) -> None:
        """The call with the second goes on."""
        record = self.placed(peer)
        first = peer.sent[0]
        self.elsewhere(peer, record)
        second = peer.sent[-1]
        peer.reply(200, to=second, to_tag="second")
        peer.agent.acknowledge(record.call_id, peer.now)
        peer.settle()
        peer.take_sent()
        peer.take_events()
        peer.reply(200, to=first, to_tag="first")
        assert [(sent.kind, sent.message.to.tag) for sent in peer.take_sent()] == [("ACK", "first"), ("BYE", "first")]
        assert peer.take_events() == []
        confirmed = peer.agent.dialog_record(record.call_id)
        assert confirmed is not None
        assert confirmed.remote_tag == "second"

    def test_a_late_ringing_of_the_first_is_taken_back(self, peer: Peer) -> None:
        """Only now may a CANCEL be sent (RFC 3261 §9.1), with the branch of the first."""
        record = self.placed(peer)
        first = peer.sent[0]
        self.elsewhere(peer, record)
        peer.take_sent()
        peer.reply(180, to=first)
        (cancel,) = peer.take_sent()
        assert (cancel.kind, cancel.destination) == ("CANCEL", ROOM)
        assert cancel.message.via.branch == record.invite_branch
        assert peer.take_events() == []

    def test_nonsense_from_the_first_does_not_end_the_call_with_the_second(self, peer: Peer) -> None:
        record = self.placed(peer)
        first = peer.sent[0]
        self.elsewhere(peer, record)
        message = first.message
        assert isinstance(message, Request)
        data = respond(message, 180, to_tag="first", source=HERE)
        peer.receive(data.replace(b"CSeq: ", b"CSeq: x"))
        assert [event.call_id for event in peer.take_events()] == [None]
        assert record.call_id in peer.agent.open_calls
        peer.reply(486, to=next(sent for sent in reversed(peer.sent) if sent.destination == self.NEXT))
        assert [type(event) for event in peer.take_events()] == [Rejected]

    def test_a_call_that_is_quite_forgotten_is_placed_anew(self, peer: Peer) -> None:
        """ICMP: nothing of it is left; its record suffices."""
        record = self.placed(peer)
        peer.agent.transport_failed(ROOM, peer.now)
        assert peer.agent.open_calls == ()
        self.elsewhere(peer, record)
        assert peer.agent.open_calls == (record.call_id,)


def _request(peer: Peer) -> Request:
    message = peer.sent[0].message
    assert isinstance(message, Request)
    return message


def _statuses(peer: Peer) -> list[int]:
    return [sent.message.status for sent in peer.take_sent() if isinstance(sent.message, Response)]


SEEDS = [
    STRAY,
    STRAY.replace(b"SIP/2.0 200 OK", b"INVITE sip:a@192.0.2.1 SIP/2.0"),
    STRAY.replace(b"SIP/2.0 200 OK", b"BYE sip:a@192.0.2.1 SIP/2.0").replace(b"7 INVITE", b"8 BYE"),
    STRAY.replace(b"SIP/2.0 200 OK", b"ACK sip:a@192.0.2.1 SIP/2.0").replace(b"7 INVITE", b"7 ACK"),
    STRAY.replace(b"SIP/2.0 200 OK", b"CANCEL sip:a@192.0.2.1 SIP/2.0").replace(b"7 INVITE", b"7 CANCEL"),
]


@given(st.lists(st.tuples(st.sampled_from(SEEDS), st.integers(0, 1000), st.binary(max_size=4)), max_size=8))
@settings(max_examples=150)
def test_no_bytes_raise_or_stay(make_peer: Callable[[], Peer], steps: list[tuple[bytes, int, bytes]]) -> None:
    """Mutated messages of every kind, in any order: nothing is raised, and in the end nothing is left."""
    called = make_peer()
    for seed, place, patch in steps:
        at = place % len(seed)
        called.agent.receive_datagram(seed[:at] + patch + seed[at + len(patch) :], ROOM, called.now)
    called.agent.datagrams_to_send()
    for call_id in called.agent.open_calls:
        called.agent.bye(call_id, called.now)
    while (timer := called.agent.get_timer()) is not None:
        called.now = timer
        called.agent.handle_timer(timer)
    called.agent.datagrams_to_send()
    while called.agent.next_event() is not None:
        pass
    called.assert_nothing_left()

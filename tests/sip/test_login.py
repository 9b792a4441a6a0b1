"""Calls that are challenged: by rooms and proxies, in several realms, again and again (RFC 3261 §22)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge_monitor.domain import SipStatus
from bridge_monitor.sip import (
    Answered,
    ByeCompleted,
    Challenged,
    NoFinalAnswer,
    Provisional,
    Rejected,
    Request,
    TransportFailed,
    Trouble,
    parse_message,
    respond,
)
from bridge_monitor.sip.login import MAX_ANSWERS, Login
from tests.sip.challenges import WORD, accounts, answers, challenge, is_right

if TYPE_CHECKING:
    from tests.sip.conftest import Peer

ROOM = ("192.0.2.9", 5070)


class TestSection222:
    """§22.2: a room challenges with 401."""

    def test_the_invite_is_sent_again_as_a_new_request_of_the_same_call(self, peer: Peer) -> None:
        """The 401 is acknowledged; then a new branch, the next CSeq, the same Call-ID, From and To without a tag."""
        call_id = peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=(challenge(),))
        first, ack, second = peer.sent
        assert (first.kind, ack.kind, second.kind) == ("INVITE", "ACK", "INVITE")
        assert ack.message.via.branch == first.message.via.branch
        assert answers(ack) == []
        assert second.message.via.branch != first.message.via.branch
        assert (first.message.cseq[0], second.message.cseq[0]) == (1, 2)
        assert second.message.headers["from"] == first.message.headers["from"]
        assert second.message.headers["to"] == first.message.headers["to"]
        assert (second.message.call_id, second.message.body, second.destination) == (call_id, peer.offer, ROOM)
        for name in ("contact", "allow", "user-agent", "content-type"):
            assert second.message.headers[name] == first.message.headers[name]
        assert is_right(second)
        assert peer.take_events() == [Challenged(call_id, 401, 0.0)]

    @pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256", "MD5-sess", "sha-256-SESS"])
    def test_each_algorithm_is_answered_by_its_name(self, peer: Peer, algorithm: str) -> None:
        peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=(challenge(more=f', qop="auth", algorithm={algorithm}'),))
        assert answers(peer.sent[-1])[0]["algorithm"] == algorithm
        assert is_right(peer.sent[-1])

    def test_without_qop_the_answer_has_neither_count_nor_nonce_of_ours(self, peer: Peer) -> None:
        peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=(challenge(more=""),))
        assert is_right(peer.sent[-1])
        assert answers(peer.sent[-1])[0].keys() == {"username", "realm", "nonce", "uri", "response"}

    def test_the_call_goes_on_as_any_other(self, peer: Peer) -> None:
        call_id = peer.invite(credentials=accounts("room"))
        peer.reply(100)
        refused = peer.reply(401, extra=(challenge(),))
        peer.reply(180)
        peer.reply(200)
        peer.agent.acknowledge(call_id, peer.now)
        peer.settle()
        events = peer.take_events()
        assert [type(event) for event in events] == [Provisional, Challenged, Provisional, Answered]
        peer.receive(refused)
        assert peer.kinds() == ["INVITE", "ACK", "INVITE", "ACK", "ACK"], "a repeated 401 gets its ACK and no more"
        assert peer.agent.bye(call_id, peer.now)
        peer.settle()
        peer.reply(200)
        assert peer.take_events() == [ByeCompleted(call_id, 200, 0.0)]
        peer.assert_nothing_left()

    def test_the_refused_invite_s_end_leaves_the_new_one_alone(self, peer: Peer) -> None:
        """Timer D of the first (32 s) runs out while the second still rings."""
        call_id = peer.invite(credentials=accounts("room"), answer_timeout=100.0)
        peer.reply(401, extra=(challenge(),))
        peer.reply(180)
        peer.advance(40.0)
        peer.take_events()
        peer.reply(200)
        (event,) = peer.take_events()
        assert (type(event), event.call_id) == (Answered, call_id)

    def test_the_record_is_that_of_the_new_invite(self, peer: Peer) -> None:
        """Whoever comes after us must cancel the INVITE that is pending."""
        call_id = peer.invite(credentials=accounts("room"))
        before = peer.agent.dialog_record(call_id)
        peer.reply(401, extra=(challenge(),))
        after = peer.agent.dialog_record(call_id)
        assert before is not None
        assert after is not None
        assert (before.invite_cseq, after.invite_cseq) == (1, 2)
        assert after.invite_branch == peer.sent[-1].message.via.branch
        assert WORD not in str(after.to_dict())

    def test_the_answer_is_waited_for_from_the_first_invite_on(self, peer: Peer) -> None:
        call_id = peer.invite(credentials=accounts("room"), answer_timeout=5.0)
        peer.advance(3.0)
        peer.reply(401, extra=(challenge(),))
        peer.take_events()
        peer.reply(100)
        peer.advance(6.0)
        assert peer.take_events()[-1] == NoFinalAnswer(call_id, SipStatus(100, "Trying"), 5.0)
        assert peer.kinds()[-1] == "CANCEL"

    def test_a_call_that_is_being_taken_back_answers_no_challenge(self, peer: Peer) -> None:
        call_id = peer.invite(credentials=accounts("room"))
        peer.agent.cancel(call_id, peer.now)
        peer.settle()
        peer.reply(401, extra=(challenge(),))
        assert peer.kinds() == ["INVITE", "ACK"]
        assert peer.take_events() == [Rejected(call_id, 401, "Unauthorized", None, (), 0.0)]
        peer.assert_nothing_left()

    def test_a_new_invite_that_can_t_be_delivered_fails_as_any_other(self, peer: Peer) -> None:
        call_id = peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=(challenge(),))
        peer.take_events()
        peer.agent.transport_failed(ROOM, 1.0)
        peer.settle()
        assert peer.take_events() == [TransportFailed(call_id, "icmp", 1.0)]
        peer.assert_nothing_left()


class TestSection223:
    """§22.3: proxies challenge with 407, each for its realm."""

    def test_a_proxy_is_answered_in_a_header_field_of_its_own(self, peer: Peer) -> None:
        peer.invite(credentials=accounts("proxy"))
        peer.reply(407, extra=(challenge("proxy", proxy=True),))
        assert is_right(peer.sent[-1], "proxy-authorization")
        assert answers(peer.sent[-1]) == []

    def test_proxy_and_room_are_both_answered_from_then_on(self, peer: Peer) -> None:
        """The proxy's nonce is used a second time in the INVITE that the room's challenge asks for."""
        peer.invite(credentials=accounts("proxy", "room"))
        peer.reply(407, extra=(challenge("proxy", "p1", proxy=True),))
        peer.reply(401, extra=(challenge("room", "r1"),))
        last = peer.sent[-1]
        assert (is_right(last), is_right(last, "proxy-authorization")) == (True, True)
        assert (answers(last)[0]["nc"], answers(last, "proxy-authorization")[0]["nc"]) == ("00000001", "00000002")
        assert last.message.cseq[0] == 3

    def test_several_realms_in_one_response_are_all_answered(self, peer: Peer) -> None:
        """A forking proxy gathers the challenges of its branches (§22.3)."""
        peer.invite(credentials=accounts("a", "b"))
        peer.reply(407, extra=tuple(challenge(realm, realm, proxy=True) for realm in ("a", "b", "unknown")))
        given = answers(peer.sent[-1], "proxy-authorization")
        assert [(one["realm"], one["nonce"], one["username"]) for one in given] == [
            ("a", "a", "at-a"),
            ("b", "b", "at-b"),
        ]

    def test_one_realm_at_a_proxy_and_at_a_room_are_two(self, peer: Peer) -> None:
        call_id = peer.invite(credentials=accounts("same"))
        peer.reply(407, extra=(challenge("same", "p", proxy=True),))
        peer.reply(401, extra=(challenge("same", "r"),))
        assert peer.take_events() == [Challenged(call_id, 407, 0.0), Challenged(call_id, 401, 0.0)]


class TestSection221:
    """§22.1: what a challenge has refused isn't sent again; CANCEL and ACK aren't challenged."""

    def test_credentials_asked_for_again_are_refused(self, peer: Peer) -> None:
        call_id = peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=(challenge(),))
        peer.take_events()
        peer.reply(401, extra=(challenge(nonce="n2"),))
        (event,) = peer.take_events()
        assert isinstance(event, Rejected)
        assert (event.call_id, event.status, event.trouble) == (call_id, 401, Trouble.REFUSED)
        assert peer.kinds() == ["INVITE", "ACK", "INVITE", "ACK"]
        assert peer.agent.open_calls == ()
        peer.assert_nothing_left()

    def test_a_stale_nonce_is_tried_again_with_the_new_one(self, peer: Peer) -> None:
        """RFC 7616 §3.3: the credentials were right."""
        peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=(challenge(),))
        peer.reply(401, extra=(challenge(nonce="n2", more=', qop="auth", stale=TRUE'),))
        assert is_right(peer.sent[-1])
        assert (answers(peer.sent[-1])[0]["nonce"], answers(peer.sent[-1])[0]["nc"]) == ("n2", "00000001")

    def test_a_server_that_finds_every_nonce_stale_is_left_alone_in_the_end(self, peer: Peer) -> None:
        peer.invite(credentials=accounts("room"))
        for number in range(20):
            if not peer.agent.open_calls:
                break
            peer.reply(401, extra=(challenge(nonce=f"n{number}", more=', qop="auth", stale=true'),))
        assert sum(sent.kind == "INVITE" for sent in peer.sent) == 1 + MAX_ANSWERS
        assert peer.events[-1].trouble is Trouble.REFUSED  # type: ignore[union-attr]
        peer.assert_nothing_left()

    def test_realms_without_end_are_left_alone_in_the_end(self, peer: Peer) -> None:
        peer.invite(credentials=accounts(*(f"realm{number}" for number in range(20))))
        for number in range(20):
            if not peer.agent.open_calls:
                break
            peer.reply(407, extra=(challenge(f"realm{number}", proxy=True),))
        assert sum(sent.kind == "INVITE" for sent in peer.sent) == 1 + MAX_ANSWERS

    @pytest.mark.parametrize(
        ("extra", "trouble"),
        [
            ((challenge("elsewhere"),), Trouble.NO_CREDENTIALS),
            ((challenge("Room"),), Trouble.NO_CREDENTIALS),
            (('WWW-Authenticate: Basic realm="room"',), Trouble.UNSUPPORTED),
            ((challenge(more=", algorithm=SHA3-512"),), Trouble.UNSUPPORTED),
            ((challenge(more=', qop="auth-int"'),), Trouble.UNSUPPORTED),
            ((challenge(proxy=True),), Trouble.UNSUPPORTED),
            ((), Trouble.UNSUPPORTED),
        ],
    )
    def test_why_no_challenge_is_answered_is_told(self, peer: Peer, extra: tuple[str, ...], trouble: Trouble) -> None:
        peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=extra)
        (event,) = peer.take_events()
        assert isinstance(event, Rejected)
        assert event.trouble is trouble
        assert peer.kinds() == ["INVITE", "ACK"]

    @pytest.mark.parametrize("status", [401, 407])
    def test_a_call_that_is_refused_so_is_closed_and_acknowledged(self, peer: Peer, status: int) -> None:
        call_id = peer.invite()
        peer.reply(status, "Why", extra=("Retry-After: 5",))
        assert peer.take_events() == [Rejected(call_id, status, "Why", 5.0, (), 0.0, None, Trouble.UNSUPPORTED)]
        assert not peer.agent.bye(call_id, 1.0)
        peer.assert_nothing_left()

    def test_without_any_account_that_is_what_is_told(self, peer: Peer) -> None:
        peer.invite()
        peer.reply(407, extra=(challenge(proxy=True),))
        (event,) = peer.take_events()
        assert isinstance(event, Rejected)
        assert event.trouble is Trouble.NO_CREDENTIALS

    def test_a_realm_that_lacks_credentials_is_named_before_one_that_refuses(self, peer: Peer) -> None:
        """Both are asked for again because one was missing: that isn't the fault of the other's password."""
        peer.invite(credentials=accounts("a"))
        both = tuple(challenge(realm, proxy=True) for realm in ("a", "b"))
        peer.reply(407, extra=both)
        peer.reply(407, extra=both)
        assert peer.events[-1].trouble is Trouble.NO_CREDENTIALS  # type: ignore[union-attr]

    def test_the_ack_to_the_2xx_repeats_the_invite_s_credentials(self, peer: Peer) -> None:
        call_id = peer.invite(credentials=accounts("proxy", "room"))
        peer.reply(407, extra=(challenge("proxy", proxy=True),))
        peer.reply(401, extra=(challenge(),))
        invite = peer.sent[-1]
        peer.reply(200)
        peer.agent.acknowledge(call_id, 0.0)
        peer.settle()
        ack = peer.sent[-1]
        assert (ack.kind, ack.message.cseq[0]) == ("ACK", 3)
        for field in ("authorization", "proxy-authorization"):
            assert ack.message.headers[field] == invite.message.headers[field]

    def test_the_cancel_has_no_credentials_and_is_of_the_new_invite(self, peer: Peer) -> None:
        call_id = peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=(challenge(),))
        invite = peer.sent[-1]
        peer.reply(180)
        peer.agent.cancel(call_id, peer.now)
        peer.settle()
        cancel = peer.sent[-1]
        assert (cancel.kind, cancel.message.cseq[0]) == ("CANCEL", 2)
        assert cancel.message.via.branch == invite.message.via.branch
        assert answers(cancel) == []
        peer.reply(401, extra=(challenge(),))
        assert peer.kinds()[-1] == "CANCEL", "a challenge to it is no matter"


class TestTrace:
    def test_what_is_shown_of_a_call_has_its_length_and_no_answer(self, peer: Peer) -> None:
        """The hook for ladders, captures and traces gets what was sent, with ``*`` in the place of secrets."""
        shown: list[bytes] = []
        peer.agent.on_message = lambda _call_id, sent, _peer, data, _now: shown.append(data) if sent else None
        call_id = peer.invite(credentials=accounts("room"))
        peer.reply(401, extra=(challenge(),))
        peer.reply(200)
        peer.agent.bye(call_id, peer.now)
        peer.settle()
        assert [len(data) for data in shown] == [len(sent.data) for sent in peer.sent]
        secrets = {one[name] for sent in peer.sent for one in answers(sent) for name in ("response", "cnonce")}
        assert len(secrets) >= 2
        text = b"".join(shown).decode()
        assert 'username="at-room"' in text
        assert [secret for secret in secrets if secret in text] == []

    def test_a_peer_s_own_credentials_are_shown_no_more_than_ours(self, called: Peer) -> None:
        shown: list[bytes] = []
        called.agent.on_message = lambda _call_id, sent, _peer, data, _now: None if sent else shown.append(data)
        called.request("OPTIONS", to_tag=None, extra='Authorization: Digest username="x", response="0123abcd"\r\n')
        called.receive(b'\x00 nonsense\r\nAuthorization: Digest response="0123abcd"\r\n')
        assert len(shown) == 2
        assert b"0123abcd" not in b"".join(shown)


def test_a_login_without_credentials_only_says_why() -> None:
    request = parse_message(
        b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n"
        b"Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
    )
    assert isinstance(request, Request)
    response = parse_message(respond(request, 401, extra=(challenge(),)))
    login = Login({}, lambda: "t")
    assert login.take(response) is Trouble.NO_CREDENTIALS  # type: ignore[arg-type]
    assert login.lines("OPTIONS", "sip:a@b") == ()

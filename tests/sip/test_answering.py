"""What a room sends us inside a call, and what others send out of the blue (RFC 3261 §8.2, §12.2.2, §14.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge_monitor.sdp import audio_offer, parse
from bridge_monitor.sip import ProtocolViolated, SessionChanged

if TYPE_CHECKING:
    from tests.sip.conftest import Peer

HOLD = audio_offer(host="192.0.2.9", rtp_port=50000, session_id=2, version=2, direction="sendonly").to_bytes()
G729 = HOLD.replace(b"RTP/AVP 0 8", b"RTP/AVP 18")


class TestOutOfTheBlue:
    @pytest.mark.parametrize(
        ("method", "status"),
        [("INVITE", 486), ("OPTIONS", 200), ("BYE", 481), ("INFO", 481), ("UPDATE", 481), ("CANCEL", 481),
         ("REGISTER", 405), ("MESSAGE", 405), ("NOTIFY", 405), ("PRACK", 405), ("FLY", 501)],
    )  # fmt: skip
    @pytest.mark.parametrize("tag", [None, "unknown"])
    def test_status(self, peer: Peer, method: str, status: int, tag: str | None) -> None:
        """486 to callers, 481 to unknown dialogs, 405 and 501 with Allow to methods that we don't take."""
        peer.request(method, to_tag=tag)
        expected = 481 if tag and status in (486, 200) else status
        assert peer.kinds() == [f"{expected} {method}"]
        answer = peer.sent[0].message
        assert answer.to.tag == (tag or "t1")
        assert (answer.get("allow") is not None) == (expected in (200, 405, 501))
        assert answer.get("server") == "bridge_monitor"
        assert peer.take_events() == []

    def test_options_tells_what_we_take(self, peer: Peer) -> None:
        """§11.2."""
        peer.request("OPTIONS", to_tag=None)
        answer = peer.sent[0].message
        assert answer.get("allow") == "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE"
        assert answer.get("accept") == "application/sdp"

    def test_an_ack_is_never_answered(self, peer: Peer) -> None:
        peer.request("ACK", to_tag=None)
        peer.request("ACK", extra="Require: x\r\n")
        assert peer.kinds() == []

    def test_a_required_extension_is_refused_by_name(self, peer: Peer) -> None:
        """§8.2.2.3."""
        peer.request("INVITE", to_tag=None, extra="Require: 100rel, a\r\nRequire: b\r\n")
        assert peer.kinds() == ["420 INVITE"]
        assert peer.sent[0].message.get_all("unsupported") == ["100rel, a", "b"]

    def test_our_own_invite_come_back_is_a_loop(self, peer: Peer) -> None:
        peer.invite()
        peer.receive(peer.sent[0].data.replace(b"z9hG4bK", b"z9hG4bKx"))
        assert peer.kinds() == ["INVITE", "482 INVITE"]


class TestInsideACall:
    @pytest.mark.parametrize("method", ["OPTIONS", "INFO", "UPDATE"])
    def test_answered_200(self, peer: Peer, method: str) -> None:
        """OPTIONS, INFO and a plain UPDATE get 200 and disturb nobody."""
        peer.answered()
        peer.request(method, call=peer.sent[0])
        assert peer.kinds() == [f"200 {method}"]
        assert peer.take_events() == []

    def test_tags_must_fit(self, peer: Peer) -> None:
        peer.answered()
        data = peer.request("INFO", call=peer.sent[0])
        peer.receive(data.replace(b"tag=t", b"tag=x").replace(b"z9hG4bKpeer", b"z9hG4bK2"))
        peer.receive(data.replace(b"tag=room", b"tag=other").replace(b"z9hG4bKpeer", b"z9hG4bK3"))
        assert peer.kinds() == ["200 INFO", "481 INFO", "481 INFO"]

    def test_a_lower_cseq_is_out_of_order(self, peer: Peer) -> None:
        """§12.2.2."""
        peer.answered()
        peer.request("INFO", call=peer.sent[0], cseq=5)
        peer.request("INFO", call=peer.sent[0], cseq=4, branch="z9hG4bK2")
        peer.request("INFO", call=peer.sent[0], cseq=6, branch="z9hG4bK3")
        assert peer.kinds() == ["200 INFO", "500 INFO", "200 INFO"]

    @pytest.mark.parametrize("method", ["INFO", "INVITE", "UPDATE"])
    def test_while_our_bye_is_under_way_only_bye_is_taken(self, peer: Peer, method: str) -> None:
        peer.agent.bye(peer.answered(), 0.0)
        peer.settle()
        peer.request(method, call=peer.sent[0])
        assert peer.kinds() == ["BYE", f"481 {method}"]

    @pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
    def test_the_remote_target_is_refreshed(self, peer: Peer, method: str) -> None:
        """§12.2.2: our next request goes to the new Contact; one without Contact changes nothing."""
        call_id = peer.answered()
        data = peer.request("INFO", call=peer.sent[0]).replace(b"INFO", method.encode())
        plain = data.replace(b"Contact: <sip:room@192.0.2.9:5070>\r\n", b"")
        peer.receive(plain.replace(b"z9hG4bKpeer", b"z9hG4bK2").replace(b"CSeq: 1", b"CSeq: 2"))
        peer.receive(
            plain.replace(b"z9hG4bKpeer", b"z9hG4bKack")
            .replace(method.encode(), b"ACK")
            .replace(b"CSeq: 1", b"CSeq: 2")
        )
        moved = data.replace(b"room@192.0.2.9:5070>", b"moved@192.0.2.20:5099>").replace(b"CSeq: 1", b"CSeq: 3")
        peer.receive(moved.replace(b"z9hG4bKpeer", b"z9hG4bK3"))
        peer.agent.bye(call_id, 0.0)
        peer.settle()
        bye = peer.last_request()
        assert bye.message.start_line() == "BYE sip:moved@192.0.2.20:5099 SIP/2.0"
        assert bye.destination == ("192.0.2.20", 5099)

    def test_a_malformed_contact_is_400_and_changes_nothing(self, peer: Peer) -> None:
        call_id = peer.answered()
        data = (
            peer.request("INFO", call=peer.sent[0], cseq=1).replace(b"INFO", b"UPDATE").replace(b"CSeq: 1", b"CSeq: 9")
        )
        peer.receive(data.replace(b"Contact: <sip:room@192.0.2.9:5070>", b"Contact: <sip:"))
        assert peer.kinds() == ["200 INFO", "400 UPDATE"]
        (noted,) = peer.take_events()
        assert isinstance(noted, ProtocolViolated)
        assert noted.call_id is None
        peer.request("INFO", call=peer.sent[0], cseq=2, branch="z9hG4bK3")
        assert peer.kinds() == ["200 INFO"]
        assert peer.agent.open_calls == (call_id,)


class TestOffers142:
    def test_a_hold_is_taken(self, peer: Peer) -> None:
        """Our answer mirrors the direction and counts the version up; the application is told."""
        call_id = peer.answered()
        peer.request("INVITE", call=peer.sent[0], body=HOLD)
        (sent,) = peer.take_sent()
        assert sent.kind == "200 INVITE"
        assert str(sent.message.contact) == "sip:kiemtra@192.0.2.1:5060"
        answer = parse(sent.message.body)
        assert answer.direction_of(answer.media[0]) == "recvonly"
        assert answer.media[0].port == 40000
        assert answer.origin is not None
        assert answer.origin.version == 2
        assert peer.take_events() == [SessionChanged(call_id, HOLD, sent.message.body, 0.0)]

    def test_the_200_is_repeated_until_its_ack(self, peer: Peer) -> None:
        peer.answered()
        peer.request("INVITE", call=peer.sent[0], body=HOLD)
        peer.advance(1.0)
        peer.request("ACK", call=peer.sent[0], branch="z9hG4bKother", cseq=9)
        peer.advance(2.0)
        peer.request("ACK", call=peer.sent[0], branch="z9hG4bKack")
        peer.advance(30.0)
        assert peer.times("200 INVITE") == [0.0, 0.5, 1.5]

    def test_without_ack_the_call_is_ended(self, peer: Peer) -> None:
        peer.answered()
        peer.request("INVITE", call=peer.sent[0], body=HOLD)
        peer.advance(32.0)
        assert peer.kinds()[-1] == "BYE"
        peer.reply(200)
        peer.take_events()
        peer.assert_nothing_left()

    def test_a_bye_stops_the_200(self, peer: Peer) -> None:
        peer.answered()
        peer.request("INVITE", call=peer.sent[0], body=HOLD)
        peer.request("BYE", call=peer.sent[0], cseq=2, branch="z9hG4bK2")
        peer.advance(30.0)
        assert peer.times("200 INVITE") == [0.0]
        peer.take_events()
        peer.assert_nothing_left()

    def test_without_offer_our_session_is_offered_as_it_is(self, peer: Peer) -> None:
        peer.answered()
        peer.request("INVITE", call=peer.sent[0])
        (sent,) = peer.take_sent()
        assert (sent.kind, sent.message.body) == ("200 INVITE", peer.offer)
        assert peer.take_events() == []

    def test_an_offer_that_cannot_be_taken_keeps_the_session(self, peer: Peer) -> None:
        """488, and the call goes on (§14.2)."""
        call_id = peer.answered()
        peer.request("INVITE", call=peer.sent[0], body=G729)
        assert peer.kinds() == ["488 INVITE"]
        assert peer.take_events() == []
        assert peer.agent.open_calls == (call_id,)
        peer.request("UPDATE", call=peer.sent[0], body=G729, cseq=2, branch="z9hG4bK2")
        assert peer.kinds() == ["488 UPDATE"]

    def test_another_offer_before_the_ack_is_too_early(self, peer: Peer) -> None:
        peer.answered()
        peer.request("INVITE", call=peer.sent[0], body=HOLD)
        peer.request("INVITE", call=peer.sent[0], body=HOLD, cseq=2, branch="z9hG4bK2")
        assert peer.kinds() == ["200 INVITE", "500 INVITE"]
        assert peer.sent[-1].message.get("retry-after") is not None

    def test_an_offer_in_an_update(self, peer: Peer) -> None:
        """RFC 3311: answered like a re-INVITE, without ACK."""
        call_id = peer.answered()
        peer.request("UPDATE", call=peer.sent[0], body=HOLD)
        peer.advance(10.0)
        (sent,) = peer.take_sent()
        assert sent.kind == "200 UPDATE"
        assert peer.take_events() == [SessionChanged(call_id, HOLD, sent.message.body, 0.0)]

    def test_a_body_that_is_no_description(self, peer: Peer) -> None:
        peer.answered()
        peer.request("INVITE", call=peer.sent[0], extra="Content-Type: text/plain\r\n", body=b"x")
        assert peer.kinds() == ["415 INVITE"]
        assert peer.sent[-1].message.get("accept") == "application/sdp"

    def test_in_a_call_to_us(self, called: Peer) -> None:
        """The called side takes offers as well, from the session that it accepted."""
        called.request("INVITE", to_tag=None, body=called.answer)
        called.agent.accept("strange", called.offer, 0.0)
        called.settle()
        tag = called.sent[-1].message.to.tag
        called.request("ACK", to_tag=tag, branch="z9hG4bKack")
        called.request("INVITE", to_tag=tag, branch="z9hG4bK2", cseq=2, body=HOLD)
        assert called.kinds()[-1] == "200 INVITE"
        called.request("ACK", to_tag=tag, branch="z9hG4bKack2", cseq=2)
        called.advance(10.0)
        assert called.kinds() == []

"""Dialogs (RFC 3261 §12): route sets, targets, and the record that outlives the process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip import Answered, DialogRecord, Rejected
from bridge_monitor.sip.dialog import apply_route_set, dialog_of_record, next_hop

if TYPE_CHECKING:
    from tests.sip.conftest import Peer

ROOM = ("192.0.2.9", 5070)
LOOSE, STRICT = "<sip:192.0.2.5:5062;lr>", "<sip:192.0.2.6;transport=udp>"


class TestRouteSet12211:
    def test_without_routes_the_target_is_the_request_uri(self) -> None:
        assert apply_route_set("sip:room@a", ()) == ("sip:room@a", ())

    def test_loose_routing_keeps_the_target(self) -> None:
        assert apply_route_set("sip:room@a", (LOOSE, STRICT)) == ("sip:room@a", (LOOSE, STRICT))

    def test_strict_routing_puts_the_target_last(self) -> None:
        assert apply_route_set("sip:room@a;x", (STRICT, LOOSE)) == (
            "sip:192.0.2.6;transport=udp", (LOOSE, "<sip:room@a;x>"),
        )  # fmt: skip

    def test_record_route_is_reversed(self, peer: Peer) -> None:
        """§12.1.2: the last Record-Route is the first hop of our requests; the ACK goes there."""
        call_id = peer.invite()
        peer.reply(200, extra=(f"Record-Route: {STRICT}, <sip:192.0.2.7;lr>", f"Record-Route: {LOOSE}"))
        peer.agent.acknowledge(call_id, 0.0)
        peer.agent.bye(call_id, 0.0)
        peer.settle()
        for sent in peer.sent[1:]:
            assert sent.message.get_all("route") == [LOOSE, "<sip:192.0.2.7;lr>", STRICT]
            assert sent.message.start_line().split()[1] == "sip:room@192.0.2.9:5070"
            assert sent.destination == ("192.0.2.5", 5062)
        assert [sent.message.cseq for sent in peer.sent] == [(1, "INVITE"), (1, "ACK"), (2, "BYE")]

    def test_strict_router_in_record_route(self, peer: Peer) -> None:
        call_id = peer.invite()
        peer.reply(200, extra=(f"Record-Route: {LOOSE}, {STRICT}",))
        peer.agent.acknowledge(call_id, 0.0)
        peer.settle()
        ack = peer.sent[-1]
        assert ack.message.start_line() == "ACK sip:192.0.2.6;transport=udp SIP/2.0"
        assert ack.message.get_all("route") == [LOOSE, "<sip:room@192.0.2.9:5070>"]
        assert ack.destination == ("192.0.2.6", 5060)

    def test_preloaded_strict_route(self, peer: Peer) -> None:
        peer.invite(route=(STRICT,))
        invite = peer.sent[0].message
        assert invite.start_line() == "INVITE sip:192.0.2.6;transport=udp SIP/2.0"
        assert invite.get_all("route") == ["<sip:room@192.0.2.9:5070>"]
        assert invite.headers["to"] == ["<sip:room@192.0.2.9:5070>"]

    def test_a_route_that_is_none_is_refused(self, peer: Peer) -> None:
        with pytest.raises(SipSyntaxError):
            peer.invite(route=("nonsense",))


class TestNextHop:
    @pytest.mark.parametrize(
        ("routes", "target", "hop"),
        [
            ((), "sip:room@192.0.2.8", ("192.0.2.8", 5060)),
            ((), "sip:192.0.2.8:5090;transport=udp", ("192.0.2.8", 5090)),
            ((LOOSE,), "sip:192.0.2.8", ("192.0.2.5", 5062)),
            ((), "sip:room.example", ROOM),
            (("<sip:proxy.example;lr>",), "sip:192.0.2.8", ROOM),
            ((), "sip:0.0.0.0", ROOM),
            ((), "sip:1.2.3.256", ROOM),
            ((), "sip:1.2.3", ROOM),
            ((), "sip:[2001:db8::1]", ROOM),
        ],
    )
    def test_addresses_count_and_names_fall_back(
        self, routes: tuple[str, ...], target: str, hop: tuple[str, int]
    ) -> None:
        assert next_hop(routes, target, ROOM) == hop


class TestRecord:
    def test_a_record_survives_json(self, peer: Peer) -> None:
        call_id = peer.invite(route=(LOOSE,))
        early = peer.agent.dialog_record(call_id)
        peer.reply(200, extra=(f"Record-Route: {LOOSE}",))
        confirmed = peer.agent.dialog_record(call_id)
        assert early is not None
        assert confirmed is not None
        assert (early.state, early.remote_tag, early.route_set) == ("early", None, (LOOSE,))
        assert (confirmed.state, confirmed.remote_tag, confirmed.local_cseq) == ("confirmed", "room", 1)
        assert confirmed.destination == ("192.0.2.5", 5062)
        for record in (early, confirmed):
            assert DialogRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"state": "gone"}, ValueError),
            ({"destination": ["192.0.2.9"]}, ValueError),
            ({"destination": None}, TypeError),
            ({"route_set": None}, TypeError),
        ],
    )
    def test_a_damaged_record_is_refused(self, peer: Peer, change: dict[str, object], error: type[Exception]) -> None:
        record = peer.agent.dialog_record(peer.invite())
        assert record is not None
        plain = record.to_dict()
        with pytest.raises(error):
            DialogRecord.from_dict(plain | change)
        del plain["call_id"]
        with pytest.raises(KeyError):
            DialogRecord.from_dict(plain)

    def test_an_ended_call_has_no_record(self, peer: Peer) -> None:
        call_id = peer.invite()
        peer.reply(486)
        assert peer.agent.dialog_record(call_id) is None
        assert peer.agent.dialog_record("unknown") is None

    @given(
        st.sampled_from(["<sip:room@a>", '"Phòng, 1" <sip:room@a;x>', "<sip:room@a>;x=y"]),
        st.one_of(st.just(""), st.text("abc019", min_size=1, max_size=5)),
    )
    def test_a_dialog_and_its_record_say_the_same(self, remote: str, tag: str) -> None:
        record = DialogRecord(
            call_id="x", state="confirmed", local_uri="<sip:a@b>", local_tag="1", remote_uri=remote, remote_tag=tag,
            remote_target="sip:room@192.0.2.9:5070", route_set=(LOOSE,), local_cseq=4, destination=ROOM,
            invite_branch="z9hG4bKa", invite_via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa", invite_uri="sip:room@a",
            invite_cseq=1,
        )  # fmt: skip
        assert dialog_of_record(record).record(record.invite_plan()) == record


class TestResponseWithoutUsualFields:
    def test_a_2xx_without_tag_or_contact_still_makes_a_dialog(self, peer: Peer) -> None:
        """§12.1.2: a peer of RFC 2543 has no tag; without Contact the Request-URI is the target."""
        call_id = peer.invite()
        peer.reply(200, to_tag=None, contact=None)
        (answered,) = peer.take_events()
        assert isinstance(answered, Answered)
        assert answered.remote_target == "sip:room@192.0.2.9:5070"
        peer.agent.acknowledge(call_id, 0.0)
        peer.agent.bye(call_id, 0.0)
        peer.settle()
        bye = peer.last_request()
        assert bye.message.to.tag is None
        peer.reply(200, to=bye, to_tag=None)
        peer.assert_nothing_left()

    def test_a_failure_needs_neither(self, peer: Peer) -> None:
        peer.invite()
        peer.reply(404, to_tag=None)
        assert isinstance(peer.take_events()[0], Rejected)

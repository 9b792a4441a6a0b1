"""How the responder conducts itself, in virtual time: a caller and the room exchange datagrams without sockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.responder.room import EchoRoom
from bridge_monitor.responder.settings import ResponderSettings
from bridge_monitor.sdp import audio_offer, negotiate_audio
from bridge_monitor.sim.media import MediaCall
from bridge_monitor.sip import Address, Answered, Ended, Event, OptionsAnswered, Rejected, SipUri, UserAgent

E = TypeVar("E")

ROOM = ("198.51.100.7", 5060)
CALLER = ("203.0.113.9", 5090)
OFFER = audio_offer(host=CALLER[0], rtp_port=4000, session_id=1)


@dataclass
class PlainMedia:
    """Rows as many as calls, and the packets that each has received."""

    rows: int
    busy: dict[int, MediaCall] = field(default_factory=dict)
    packets: dict[int, int] = field(default_factory=dict)
    muted: set[int] = field(default_factory=set)

    def reserve(self, site: int) -> int | None:
        assert site == 0
        return next((row for row in range(self.rows) if row not in self.busy), None)

    def ports(self, row: int) -> tuple[int, int]:
        return 30000 + 2 * row, 30001 + 2 * row

    def begin(self, row: int, site: int, call: MediaCall) -> None:
        assert site == row
        self.busy[row] = call

    def end(self, row: int) -> None:
        del self.busy[row]

    def mute(self, site: int, *, muted: bool) -> None:
        (self.muted.add if muted else self.muted.discard)(site)


class World:
    """The room, one caller, and the time."""

    def __init__(self, **settings: Any) -> None:
        self.settings = ResponderSettings(host=ROOM[0], **{"calls": 2, **settings})
        self.media = PlainMedia(self.settings.calls)
        self.ended: list[tuple[str, float, int]] = []
        numbers = iter(range(1_000_000))
        self.token = lambda: f"token{next(numbers):011}"
        self.room = EchoRoom(
            self.settings,
            self.media,
            self.token,
            lambda row: self.media.packets.get(row, 0),
            own_ports=frozenset(range(30000, 30000 + 2 * self.settings.calls)),
            on_ended=lambda *told: self.ended.append(told),
        )
        self.caller = UserAgent(local=CALLER, token=self.token)
        self.now = 0.0
        self.events: list[Event] = []
        self.from_room: list[tuple[bytes, Address]] = []
        self.source: Address = CALLER
        self.acknowledging = True
        self.deaf = False

    def call(self, offer: bytes | None = None) -> str:
        call_id = self.caller.invite(
            SipUri.parse(f"sip:echo@{ROOM[0]}"),
            ROOM,
            OFFER.to_bytes() if offer is None else offer,
            self.now,
            answer_timeout=10.0,
        )
        self.exchange()
        return call_id

    def exchange(self) -> None:
        """Let datagrams pass until nobody has any."""
        moved = True
        while moved:
            moved = False
            for data, _ in self.caller.datagrams_to_send():
                self.room.receive(data, self.source, self.now)
                moved = True
            for data, destination in self.room.datagrams_to_send():
                self.from_room.append((data, destination))
                if not self.deaf:
                    self.caller.receive_datagram(data, ROOM, self.now)
                moved = True
            while (event := self.caller.next_event()) is not None:
                self.events.append(event)
                if isinstance(event, Answered) and self.acknowledging:
                    self.caller.acknowledge(event.call_id, self.now)
                    moved = True

    def sleep(self, seconds: float, *, packets_on: int | None = None) -> None:
        """Let so much time pass; one row may receive packets meanwhile."""
        until = self.now + seconds
        while True:
            due = [at for at in (self.caller.get_timer(), self.room.get_timer()) if at is not None and at <= until]
            if not due:
                break
            self.now = max(self.now, min(due))
            if packets_on is not None:
                self.media.packets[packets_on] = self.media.packets.get(packets_on, 0) + 50
            self.caller.handle_timer(self.now)
            self.room.handle_timer(self.now)
            self.exchange()
        self.now = until

    def all_of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def statuses(self) -> list[int]:
        return [int(data.split(b" ", 2)[1]) for data, _ in self.from_room if data.startswith(b"SIP/2.0")]


class TestCalls:
    def test_a_call_is_answered_at_once_and_its_end_is_told(self) -> None:
        world = World()
        call_id = world.call()
        assert world.statuses() == [200]
        assert world.media.busy == {0: MediaCall(CALLER[0], 4000, 4001, 0, "PCMU", CALLER[0])}
        assert (world.room.calls_up, world.room.calls_open) == (1, 1)
        world.sleep(3.0, packets_on=0)
        world.caller.bye(call_id, world.now)
        world.exchange()
        assert world.media.busy == {}
        assert world.ended == [("caller", 3.0, 150)]
        assert world.room.tally.ended == {"caller": 1}
        assert (world.room.calls_open, world.room.get_timer() is None or world.room.get_timer() > 3.0) == (0, True)

    def test_its_answer_names_what_it_advertises(self) -> None:
        world = World(advertise="192.0.2.1")
        world.call()
        (answered,) = world.all_of(Answered)
        answer = negotiate_audio(OFFER, answered.sdp)
        assert (answer.host, answer.rtp_port, answer.rtcp_port) == ("192.0.2.1", 30000, 30001)  # type: ignore[union-attr]
        assert b"Contact: <sip:echo@192.0.2.1:5060>" in world.from_room[-1][0]

    def test_one_call_too_many_finds_it_busy_without_any_state(self) -> None:
        world = World(calls=1)
        world.call()
        world.call()
        assert [event.status for event in world.all_of(Rejected)] == [486]
        assert (world.room.tally.answered, world.room.tally.busy, world.room.calls_open) == (1, 1, 1)

    def test_a_busy_answer_is_never_repeated(self) -> None:
        """Else a forged INVITE would draw eleven answers to its victim (RFC 3261 §17.2.1, timer G)."""
        world = World(calls=1)
        world.call()
        world.from_room.clear()
        world.deaf = True
        world.room.receive(invite(world, "forged"), ("192.0.2.66", 5060), world.now)
        world.sleep(40.0, packets_on=0)
        assert [int(data.split(b" ", 2)[1]) for data, to in world.from_room if to[0] == "192.0.2.66"] == [486]

    def test_a_repeated_invite_gets_the_same_busy_answer(self) -> None:
        world = World(calls=1)
        world.call()
        world.from_room.clear()
        request = invite(world, "again")
        for _ in range(2):
            world.room.receive(request, CALLER, world.now)
        first, second = world.room.datagrams_to_send()
        assert first == second

    def test_options_is_answered(self) -> None:
        world = World()
        world.caller.options(SipUri.parse(f"sip:echo@{ROOM[0]}"), ROOM, world.now)
        world.exchange()
        assert [event.status for event in world.all_of(OptionsAnswered)] == [200]
        assert world.room.tally.options == 1

    def test_what_is_no_g_711_is_not_acceptable(self) -> None:
        world = World()
        world.call(OFFER.to_bytes().replace(b"RTP/AVP 0 8", b"RTP/AVP 96").replace(b"rtpmap:0 PCMU", b"rtpmap:96 X"))
        assert [event.status for event in world.all_of(Rejected)] == [488]
        assert (world.media.busy, world.room.tally.refused) == ({}, 1)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"c=IN IP4 203.0.113.9", b"c=IN IP4 0.0.0.0"),
            (b"c=IN IP4 203.0.113.9", b"c=IN IP4 224.1.2.3"),
            (b"c=IN IP4 203.0.113.9", b"c=IN IP4 victim.example"),
            (b"a=sendrecv", b"a=sendonly"),
        ],
    )
    def test_where_no_echo_may_go_there_is_no_call(self, old: bytes, new: bytes) -> None:
        world = World()
        assert old in OFFER.to_bytes()
        world.call(OFFER.to_bytes().replace(old, new))
        assert world.statuses() == [488]
        assert world.media.busy == {}

    def test_a_call_that_wants_its_echo_at_the_room_itself_is_refused(self) -> None:
        """Two such calls would echo each other for ever."""
        world = World()
        world.call(audio_offer(host=ROOM[0], rtp_port=30002, session_id=1).to_bytes())
        assert world.statuses() == [488]


class TestReinvite:
    def offer_again(self, world: World, call_id: str, offer: bytes) -> int:
        """Send a re-INVITE by hand; return the status of its answer."""
        contact = f"sip:echo@{ROOM[0]}:{ROOM[1]}"
        first = next(data for data, _ in world.from_room if data.startswith(b"SIP/2.0 200"))
        headers = dict(line.split(b": ", 1) for line in first.split(b"\r\n\r\n")[0].split(b"\r\n")[1:])
        lines = [
            f"INVITE {contact} SIP/2.0",
            f"Via: SIP/2.0/UDP {CALLER[0]}:{CALLER[1]};branch=z9hG4bKagain",
            "Max-Forwards: 70",
            f"From: {headers[b'From'].decode()}",
            f"To: {headers[b'To'].decode()}",
            f"Call-ID: {call_id}",
            "CSeq: 2 INVITE",
            f"Contact: <sip:kiemtra@{CALLER[0]}:{CALLER[1]}>",
            "Content-Type: application/sdp",
            f"Content-Length: {len(offer)}",
        ]
        world.room.receive("\r\n".join(lines).encode() + b"\r\n\r\n" + offer, CALLER, world.now)
        (reply,) = [data for data, _ in world.room.datagrams_to_send() if b"CSeq: 2 INVITE" in data][-1:]
        return int(reply.split(b" ", 2)[1])

    def test_the_echo_follows_the_caller_to_another_port(self) -> None:
        world = World()
        call_id = world.call()
        assert (
            self.offer_again(world, call_id, audio_offer(host=CALLER[0], rtp_port=4444, session_id=1).to_bytes()) == 200
        )
        assert world.media.busy[0].rtp_port == 4444

    def test_on_hold_nothing_is_sent_and_the_row_stays_the_calls_own(self) -> None:
        world = World()
        call_id = world.call()
        assert self.offer_again(world, call_id, OFFER.to_bytes().replace(b"a=sendrecv", b"a=inactive")) == 200
        assert (world.media.muted, list(world.media.busy)) == ({0}, [0])
        world.caller.bye(call_id, world.now)
        world.exchange()
        world.call()
        assert (world.media.muted, list(world.media.busy)) == (set(), [0])


class TestHarmlessness:
    def test_who_is_not_allowed_gets_no_answer_at_all(self) -> None:
        world = World(allow=(IPv4Network("192.0.2.0/24"),))
        world.call()
        assert world.from_room == []
        assert world.room.tally.ignored > 0

    def test_an_address_that_acknowledges_nothing_is_soon_left_alone(self) -> None:
        """A forged source draws the repeated 200 of a few calls (RFC 3261 §13.3.1.4), and no more."""
        world = World(calls=10, unproven_per_host=3)
        world.acknowledging = False
        for _ in range(10):
            world.call()
        assert (world.room.tally.answered, world.room.calls_up) == (3, 3)
        assert world.room.tally.ignored >= 7
        world.source = ("192.0.2.77", 5060)
        world.call()
        assert world.room.tally.answered == 4

    def test_a_call_that_nobody_acknowledges_is_ended(self) -> None:
        world = World()
        world.acknowledging = False
        world.call()
        world.deaf = True
        world.sleep(120.0)
        assert world.ended[0][0] == "no_ack"
        assert world.media.busy == {}

    def test_a_call_without_packets_is_ended(self) -> None:
        world = World(idle_seconds=15.0)
        world.call()
        world.sleep(10.0, packets_on=0)
        assert world.ended == []
        world.sleep(20.0)
        assert [event.by for event in world.all_of(Ended)] == ["remote"]
        ((by, seconds, packets),) = world.ended
        assert (by, packets) == ("no_packets", 500)
        assert 24.0 <= seconds <= 27.0

    def test_no_call_lasts_for_ever(self) -> None:
        world = World(longest_seconds=60.0)
        world.call()
        world.sleep(62.0, packets_on=0)
        assert [by for by, _, _ in world.ended] == ["too_long"]

    def test_media_end_with_the_bye_whether_or_not_it_is_answered(self) -> None:
        world = World()
        world.call()
        world.deaf = True
        world.room.hang_up(world.now)
        assert (world.media.busy, world.room.calls_up, world.room.calls_open) == ({}, 0, 1)
        world.sleep(40.0)
        assert world.ended[0][0] == "stopped"
        assert world.room.calls_open == 0

    @given(st.binary(max_size=400))
    def test_whatever_comes_draws_one_datagram_at_most(self, data: bytes) -> None:
        world = World()
        world.room.receive(data, CALLER, 0.0)
        assert len(world.room.datagrams_to_send()) <= 1

    @pytest.mark.parametrize(
        ("old", "new", "status"),
        [
            (b"a=sendrecv", b"a=sendonly", 488),
            (b"To: <sip:echo@198.51.100.7>", b"To: <sip:echo@198.51.100.7>;tag=none", 481),
            (b"Max-Forwards", b"Require: x\r\nMax-Forwards", 420),
            (b"Content-Type: application/sdp", b"Content-Type: text/plain", 415),
            (b"INVITE sip:", b"INVITE tel:", 416),
        ],
    )
    def test_what_is_refused_is_refused_once_whether_or_not_anybody_acknowledges(
        self, old: bytes, new: bytes, status: int
    ) -> None:
        """A forged source draws one datagram: refusals are not repeated, and nothing of them is kept."""
        world = World()
        whole = invite(world, "once")
        assert old in whole
        head, _, body = whole.replace(old, new).partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]  # over UDP not needed
        world.room.receive(b"\r\n".join(lines) + b"\r\n\r\n" + body, CALLER, world.now)
        world.exchange()
        world.deaf = True
        world.sleep(40.0)
        assert world.statuses() == [status]
        assert world.room.get_timer() is None

    def test_many_requests_are_kept_by_nobody(self) -> None:
        world = World()
        for number in range(50):
            world.caller.options(SipUri.parse(f"sip:echo@{ROOM[0]}"), ROOM, float(number))
            world.exchange()
        assert world.statuses() == [200] * 50
        assert world.room.get_timer() is None

    @pytest.mark.parametrize("header", [b"Contact: <sip:v@192.0.2.66:53>", b"Record-Route: <sip:192.0.2.66:99;lr>"])
    def test_nobody_can_aim_our_requests_at_somebody_else(self, header: bytes) -> None:
        """Whatever a caller names, BYE goes to where the INVITE came from."""
        world = World()
        name = header.split(b":")[0]
        lines = [line for line in invite(world, "aim").split(b"\r\n") if not line.startswith(name)]
        world.room.receive(b"\r\n".join([lines[0], header, *lines[1:]]), CALLER, world.now)
        world.deaf = True
        world.exchange()
        world.sleep(80.0)
        sent = [(data.split(b" ")[0], destination) for data, destination in world.from_room]
        assert b"BYE" in {kind for kind, _ in sent}
        assert {destination for _, destination in sent} == {CALLER}

    def test_empty_lines_before_a_request_go_round_no_bound(self) -> None:
        world = World(calls=10, unproven_per_host=3)
        for number in range(10):
            world.room.receive(b"\r\n" + invite(world, f"empty{number}"), CALLER, world.now)
        assert (world.room.tally.answered, world.room.tally.ignored) == (3, 7)

    def test_echoes_that_answer_each_other_are_ended(self) -> None:
        world = World()
        world.call()
        for second in range(1, 4):
            world.media.packets[0] = 60 * second
            world.sleep(1.0)
        assert world.ended == []
        world.media.packets[0] += 5000
        world.sleep(2.0)
        assert [by for by, _, _ in world.ended] == ["too_many"]

    def test_an_invite_cut_off_anywhere_does_no_harm(self) -> None:
        world = World(calls=1)
        world.call()
        world.from_room.clear()
        whole = invite(world, "cut")
        for length in range(len(whole)):
            world.room.receive(whole[:length], CALLER, world.now)
            assert len(world.room.datagrams_to_send()) <= 1
        assert world.room.calls_up == 1


def invite(world: World, name: str) -> bytes:
    """Return an INVITE of another caller's."""
    other = UserAgent(local=CALLER, token=lambda: f"{name}{world.token()}")
    other.invite(SipUri.parse(f"sip:echo@{ROOM[0]}"), ROOM, OFFER.to_bytes(), 0.0, answer_timeout=10.0)
    ((data, _),) = other.datagrams_to_send()
    return data

"""How rooms conduct themselves, in virtual time: caller and rooms exchange datagrams without sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from bridge_monitor.sdp import VideoAnswer, audio_offer, negotiate_audio, negotiate_video, offer_video
from bridge_monitor.sim.assignment import SimulatedSite
from bridge_monitor.sim.faults import CodecStage, Fault, FaultKind
from bridge_monitor.sim.media import MediaCall
from bridge_monitor.sim.rooms import RING_SECONDS, Rooms
from bridge_monitor.sip import (
    Answered,
    ByeCompleted,
    Ended,
    Event,
    NoFinalAnswer,
    OptionsAnswered,
    ProtocolViolated,
    Provisional,
    Rejected,
    SipUri,
    TimedOut,
    UserAgent,
)

E = TypeVar("E")

ROOM = ("127.0.0.9", 5060)
CALLER = ("127.0.0.1", 5090)
OFFER = audio_offer(host="127.0.0.1", rtp_port=4000, session_id=1)
HIGH_NOON = 1_719_464_400.0


VIDEO_OFFER = offer_video(OFFER, rtp_port=4002, bitrate_bps=1_000_000)


@dataclass
class PlainMedia:
    """Two rows for the only room."""

    busy: dict[int, MediaCall] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)

    def reserve(self, site: int) -> int | None:
        assert site == 0
        return next((row for row in (0, 1) if row not in self.busy), None)

    def ports(self, row: int) -> tuple[int, int]:
        return 30000 + 2 * row, 30001 + 2 * row

    def begin(self, row: int, site: int, call: MediaCall) -> None:
        assert site == 0
        self.busy[row] = call

    def end(self, row: int) -> None:
        del self.busy[row]
        self.ended.append(row)


class World:
    """One room, one caller, and the time."""

    def __init__(self, tokens: Callable[[], str], **settings: float | list[tuple[float, float]]) -> None:
        self.media = PlainMedia()
        site = SimulatedSite("01", ROOM[0], ROOM[1], "")
        self.rooms = Rooms([site], self.media, tokens, posix_offset=HIGH_NOON, **settings)  # type: ignore[arg-type]
        self.caller = UserAgent(local=CALLER, token=tokens)
        self.now = 0.0
        self.events: list[Event] = []
        self.from_room: list[bytes] = []
        self.deaf = False

    def fault(self, *faults: Fault) -> None:
        self.rooms.set_faults(0, faults, self.now)

    def call(self, offer: bytes | None = None, patience: float = 10.0) -> str:
        uri = SipUri.parse(f"sip:{ROOM[0]}")
        offer = OFFER.to_bytes() if offer is None else offer
        call_id = self.caller.invite(uri, ROOM, offer, self.now, answer_timeout=patience)
        self.exchange()
        return call_id

    def exchange(self) -> None:
        """Let datagrams pass until nobody has any."""
        moved = True
        while moved:
            moved = False
            for data, _ in self.caller.datagrams_to_send():
                self.rooms.receive(0, data, CALLER, self.now)
                moved = True
            for room, data, destination in self.rooms.datagrams_to_send():
                assert (room, destination) == (0, CALLER)
                self.from_room.append(data)
                if not self.deaf:
                    self.caller.receive_datagram(data, ROOM, self.now)
                moved = True
            while (event := self.caller.next_event()) is not None:
                self.events.append(event)
                if isinstance(event, Answered):
                    self.caller.acknowledge(event.call_id, self.now)
                    moved = True

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self.now + seconds
        while True:
            due = [at for at in (self.caller.get_timer(), self.rooms.get_timer()) if at is not None and at <= until]
            if not due:
                break
            self.now = max(self.now, min(due))
            self.caller.handle_timer(self.now)
            self.rooms.handle_timer(self.now)
            self.exchange()
        self.now = until

    def all_of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def statuses(self) -> list[int]:
        return [int(data.split(b" ", 2)[1]) for data in self.from_room if data.startswith(b"SIP/2.0")]


@pytest.fixture
def world(tokens: Callable[[], str]) -> World:
    return World(tokens)


class TestHealthyRoom:
    def test_a_call_is_taken_acknowledged_and_ended(self, world: World) -> None:
        call_id = world.call()
        assert world.statuses() == [100, 180, 200]
        assert world.media.busy == {0: MediaCall("127.0.0.1", 4000, 4001, 0, "PCMU")}
        assert (world.rooms.calls_up(0), world.rooms.dialogs_open(0)) == (1, 1)
        world.caller.bye(call_id, world.now)
        world.exchange()
        assert world.all_of(ByeCompleted) == [ByeCompleted(call_id, 200, 0.0)]
        record = world.rooms.record(0)
        assert (record.invited, record.answered, record.acknowledged, record.ended_by_caller) == (1, 1, 1, 1)
        assert (world.media.busy, world.media.ended, world.rooms.calls_up(0)) == ({}, [0], 0)

    def test_its_answer_names_its_own_address_and_the_ports_of_its_row(self, world: World) -> None:
        world.call()
        (answered,) = world.all_of(Answered)
        answer = negotiate_audio(OFFER, answered.sdp)
        assert (answer.host, answer.rtp_port, answer.rtcp_port) == (ROOM[0], 30000, 30001)  # type: ignore[union-attr]

    def test_calls_at_once_are_counted_and_those_above_its_slots_are_busy(self, world: World) -> None:
        for _ in range(3):
            world.call()
        assert len(world.all_of(Answered)) == 2
        (rejected,) = world.all_of(Rejected)
        assert rejected.status == 486
        record = world.rooms.record(0)
        assert (record.most_calls_up, record.refused, world.rooms.dialogs_open(0)) == (3, 1, 2)

    def test_a_200_is_repeated_until_its_ack_and_the_call_given_up_without_one(self, world: World) -> None:
        world.deaf = True
        world.call(patience=200.0)
        world.sleep(31.6)
        assert world.statuses().count(200) == 11  # RFC 3261 §13.3.1.4: at T1, doubling up to T2, until 64·T1
        world.sleep(33.0)
        assert world.rooms.record(0).given_up == 1
        assert world.rooms.record(0).acknowledged == 0
        assert world.rooms.calls_up(0) == 0
        assert any(data.startswith(b"BYE ") for data in world.from_room)

    def test_it_answers_after_its_delay(self, tokens: Callable[[], str]) -> None:
        world = World(tokens, answer_delay=0.5)
        world.call()
        assert world.statuses() == [100, 180]
        world.sleep(0.5)
        assert world.statuses() == [100, 180, 200]

    @pytest.mark.parametrize(
        "offer",
        [
            b"",
            b"v=0\r\n",
            audio_offer(host="room.example.vn", rtp_port=4000, session_id=1).to_bytes(),
            OFFER.to_bytes().replace(b"AVP 0 8", b"AVP 3").replace(b"PCMU", b"GSM"),
            OFFER.to_bytes().replace(b"a=rtcp:4001", b"a=rtcp:none"),
        ],
        ids=["none", "empty", "name", "codec", "rtcp"],
    )
    def test_an_offer_that_it_can_not_use_is_refused(self, world: World, offer: bytes) -> None:
        world.call(offer)
        (rejected,) = world.all_of(Rejected)
        assert rejected.status == 488
        assert (world.media.busy, world.rooms.calls_up(0), world.rooms.record(0).refused) == ({}, 0, 1)

    def test_options_are_answered_and_counted(self, world: World) -> None:
        world.caller.options(SipUri.parse(f"sip:{ROOM[0]}"), ROOM, world.now)
        world.exchange()
        (answered,) = world.all_of(OptionsAnswered)
        assert answered.status == 200
        assert world.rooms.record(0).options == 1

    def test_what_it_can_not_read_is_no_call(self, world: World) -> None:
        for junk in (b"INVITE nobody\r\n\r\n", b"OPTIONS sip:x SIP/2.0\r\n\r\n", b"\0\1\2"):
            world.rooms.receive(0, junk, CALLER, world.now)
        assert world.rooms.record(0).invited == 0

    def test_an_idle_room_keeps_no_agent(self, world: World) -> None:
        call_id = world.call()
        world.caller.bye(call_id, world.now)
        world.exchange()
        world.sleep(70.0)
        assert world.rooms._rooms[0].agent is None
        assert world.rooms.get_timer() is None


class TestFaults:
    def test_a_silent_or_dead_room_says_nothing(self, world: World) -> None:
        for kind in (FaultKind.SILENT, FaultKind.DEAD):
            world.fault(Fault(kind))
            world.call(patience=1.0)
        world.sleep(40.0)
        assert world.from_room == []
        assert [event.provisional for event in world.all_of(NoFinalAnswer)] == [None, None]
        assert len(world.all_of(TimedOut)) == 2

    def test_one_that_only_rings_can_be_cancelled(self, world: World) -> None:
        world.fault(Fault(FaultKind.RINGS_ONLY))
        world.call(patience=3.0)
        world.sleep(3.0)
        assert world.statuses() == [100, 180, 200, 487]
        record = world.rooms.record(0)
        assert (record.cancelled, record.answered, world.rooms.calls_up(0)) == (1, 0, 0)

    def test_one_that_only_rings_gives_up_in_the_end(self, world: World) -> None:
        world.fault(Fault(FaultKind.RINGS_ONLY))
        world.deaf = True
        world.call(patience=1000.0)
        world.sleep(RING_SECONDS + 1.0)
        assert 480 in world.statuses()
        assert world.rooms.calls_up(0) == 0

    def test_one_that_stops_ringing_in_time_is_answered(self, world: World) -> None:
        world.fault(Fault(FaultKind.SLOW_ANSWER, seconds=7.0))
        world.call(patience=20.0)
        world.fault()
        world.sleep(6.9)
        assert world.all_of(Answered) == []
        world.sleep(0.1)
        assert len(world.all_of(Answered)) == 1

    def test_a_slow_room_s_call_may_be_cancelled_before(self, world: World) -> None:
        world.fault(Fault(FaultKind.SLOW_ANSWER, seconds=7.0))
        world.call(patience=2.0)
        world.sleep(10.0)
        assert world.all_of(Answered) == []
        assert world.rooms.record(0).cancelled == 1

    @pytest.mark.parametrize(
        ("kind", "status"), [(FaultKind.BUSY, 486), (FaultKind.DECLINED, 603), (FaultKind.CHALLENGES, 401)]
    )
    def test_a_room_that_refuses_says_why(self, world: World, kind: FaultKind, status: int) -> None:
        world.fault(Fault(kind))
        world.call()
        (rejected,) = world.all_of(Rejected)
        assert rejected.status == status
        assert rejected.trouble == ("no_credentials" if kind is FaultKind.CHALLENGES else None)
        assert world.rooms.record(0).refused == 1

    @pytest.mark.parametrize(("kind", "status"), [(FaultKind.BUSY, 486), (FaultKind.DECLINED, 200)])
    def test_options_tell_busy_as_an_invite_would(self, world: World, kind: FaultKind, status: int) -> None:
        world.fault(Fault(kind))
        world.caller.options(SipUri.parse(f"sip:{ROOM[0]}"), ROOM, world.now)
        world.exchange()
        (answered,) = world.all_of(OptionsAnswered)
        assert answered.status == status

    def test_malformed_answers_break_the_protocol(self, world: World) -> None:
        world.fault(Fault(FaultKind.MALFORMED_SIP))
        call_id = world.call()
        world.caller.options(SipUri.parse(f"sip:{ROOM[0]}"), ROOM, world.now)
        world.exchange()
        violated = world.all_of(ProtocolViolated)
        assert len(violated) == 2
        assert violated[0].call_id == call_id
        assert world.media.busy == {}
        record = world.rooms.record(0)
        assert (record.invited, record.answered, record.options) == (1, 0, 1)

    @pytest.mark.parametrize("stage", CodecStage)
    def test_a_wrong_codec_shows_in_the_answer_or_in_the_stream_only(self, world: World, stage: CodecStage) -> None:
        world.fault(Fault(FaultKind.WRONG_CODEC, stage=stage))
        world.call()
        (answered,) = world.all_of(Answered)
        assert (b"RTP/AVP 9\r\n" in answered.sdp) == (stage is CodecStage.ANSWER)
        if stage is CodecStage.ANSWER:
            assert negotiate_audio(OFFER, answered.sdp).reason == "wrong_codec"  # type: ignore[union-attr]

    def test_the_wrong_codec_is_one_that_was_not_offered(self, world: World) -> None:
        world.fault(Fault(FaultKind.WRONG_CODEC))
        offer = OFFER.to_bytes().replace(b"AVP 0 8", b"AVP 0 8 9") + b"m=video 0 RTP/AVP 31\r\n"
        world.call(offer)
        (answered,) = world.all_of(Answered)
        assert b"RTP/AVP 18\r\n" in answered.sdp
        assert b"m=video 0 " in answered.sdp

    def test_a_bye_may_stay_unanswered_though_it_ends_the_call(self, world: World) -> None:
        world.fault(Fault(FaultKind.BYE_UNANSWERED))
        call_id = world.call()
        world.caller.bye(call_id, world.now)
        world.sleep(40.0)
        assert world.all_of(ByeCompleted) == [ByeCompleted(call_id, None, 32.0)]
        assert world.rooms.record(0).ended_by_caller == 1
        assert world.media.busy == {}

    def test_a_room_that_dies_forgets_its_calls(self, world: World) -> None:
        call_id = world.call()
        world.fault(Fault(FaultKind.DEAD))
        assert world.rooms.record(0).cut_off == 1
        assert (world.media.busy, world.rooms.calls_up(0)) == ({}, 0)
        world.fault()
        world.caller.bye(call_id, world.now)
        world.exchange()
        assert world.all_of(ByeCompleted) == [ByeCompleted(call_id, 481, 0.0)]


class TestHangUp:
    def test_every_call_is_ended_from_the_rooms_side(self, world: World) -> None:
        call_id = world.call()
        world.fault(Fault(FaultKind.RINGS_ONLY))
        world.call()
        assert world.rooms.hang_up(world.now) == 2
        world.exchange()
        assert [event.call_id for event in world.all_of(Ended)] == [call_id]
        assert [event.status for event in world.all_of(Rejected)] == [480]
        assert world.rooms.calls_up(0) == 0
        assert world.rooms.record(0).given_up == 1

    def test_a_caller_that_is_gone_does_not_hold_a_room_for_ever(self, world: World) -> None:
        world.call()
        world.deaf = True
        world.rooms.hang_up(world.now)
        world.sleep(33.0)
        assert world.rooms.calls_up(0) == 0


class TestWindows:
    def test_calls_outside_the_windows_are_counted(self, tokens: Callable[[], str]) -> None:
        windows = [(HIGH_NOON, HIGH_NOON + 100.0), (HIGH_NOON + 100.0, HIGH_NOON + 200.0)]
        world = World(tokens, windows=windows)
        for wait, outside in ((10.0, 0), (85.0, 0), (10.0, 1)):
            call_id = world.call()
            world.sleep(wait)
            world.caller.bye(call_id, world.now)
            world.exchange()
            assert world.rooms.record(0).calls_outside_window == outside
        world.call()
        assert world.rooms.open_calls_outside_windows(world.now) == 0
        world.sleep(100.0)
        assert world.rooms.open_calls_outside_windows(world.now) == 1
        assert all(isinstance(event, Provisional | Answered | ByeCompleted) for event in world.events)

    def test_without_windows_no_call_is_outside(self, world: World) -> None:
        assert not world.rooms.outside_windows(0.0, 1e9)


class TestVideo:
    def test_offered_video_is_taken_on_a_row_of_its_own(self, world: World) -> None:
        call_id = world.call(VIDEO_OFFER.to_bytes())
        (answered,) = world.all_of(Answered)
        video = negotiate_video(VIDEO_OFFER, answered.sdp)
        assert isinstance(video, VideoAnswer)
        assert (video.rtp_port, video.rtcp_port) == (30002, 30003)
        assert world.media.busy[1] == MediaCall("127.0.0.1", 4002, 4003, 96, "H264", video=True)
        world.caller.bye(call_id, world.now)
        world.exchange()
        assert sorted(world.media.ended) == [0, 1]

    def test_a_room_without_video_takes_the_audio_alone(self, world: World) -> None:
        world.fault(Fault(FaultKind.NO_VIDEO))
        world.call(VIDEO_OFFER.to_bytes())
        (answered,) = world.all_of(Answered)
        assert negotiate_video(VIDEO_OFFER, answered.sdp).reason == "media_rejected"  # type: ignore[union-attr]
        assert list(world.media.busy) == [0]

    @pytest.mark.parametrize(
        "change",
        [
            (b"packetization-mode=1", b"packetization-mode=0"),
            (b"m=video 4002", b"m=video 0"),
            (b"a=rtcp:4003", b"a=rtcp:x"),
        ],
        ids=["another mode", "turned off", "nowhere for reports"],
    )
    def test_video_it_can_not_speak_is_left_away(self, world: World, change: tuple[bytes, bytes]) -> None:
        world.call(VIDEO_OFFER.to_bytes().replace(*change))
        assert list(world.media.busy) == [0]
        assert len(world.all_of(Answered)) == 1

    def test_without_a_free_row_there_is_no_video(self, world: World) -> None:
        world.media.busy[1] = MediaCall("127.0.0.1", 1, 2, 0, "PCMU")
        world.call(VIDEO_OFFER.to_bytes())
        (answered,) = world.all_of(Answered)
        assert negotiate_video(VIDEO_OFFER, answered.sdp).reason == "media_rejected"  # type: ignore[union-attr]

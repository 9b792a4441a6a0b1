"""`net.engine.wire`: what is said between the two processes comes through whole."""

from __future__ import annotations

import marshal
import os
import socket
from itertools import product
from typing import Any

import pytest

from bridge_monitor.errors import LocalProtocolError
from bridge_monitor.net.engine import VideoPlan, wire
from bridge_monitor.net.engine.plan import CapturedPacket, StreamPlan
from bridge_monitor.rtp.report import FrameSummary, PeerReportSummary, RttSummary, VideoSummary


@pytest.mark.parametrize(("sent", "rtcp"), [(True, False), (False, True)])
def test_a_captured_packet_comes_through(sent: bool, rtcp: bool) -> None:  # noqa: FBT001 - a table's column
    packet = CapturedPacket(sent, rtcp, 1_700_000_000_000_000_001, 20000, "192.0.2.7", 4000, b"\x80\x00abc", 172)
    assert wire.decode_capture(wire.encode_capture(7, 9, packet)) == (7, 9, packet)


def test_what_is_said_is_no_captured_packet() -> None:
    message = {"event": "refused", "row": 1, "generation": 2, "reason": "ü"}
    assert wire.decode_capture(wire.encode(message)) is None
    assert wire.decode(wire.encode(message)) == message


PEERS = [
    None,
    PeerReportSummary(0, None, None, None, None),
    PeerReportSummary(1, 500, 4, 1 / 3, None),
    PeerReportSummary(3, 500, 0, 0.002, RttSummary(0.01, 0.1 + 0.2, 0.03, 0.04, 3)),
]
VIDEOS = [
    None,
    VideoSummary(250, None, None),
    VideoSummary(
        250, FrameSummary(10, 9, 1, 25.0, 1000, 0.001, 0.002), FrameSummary(1, 1, 0, None, 9, None, None), 9, 8
    ),
]


class TestEnds:
    @pytest.mark.parametrize("peer", PEERS)
    @pytest.mark.parametrize("video", VIDEOS)
    def test_an_end_comes_through_to_the_last_digit(
        self, peer: PeerReportSummary | None, video: VideoSummary | None
    ) -> None:
        assert wire.decode_finished(wire.encode_finished(7, 9, peer, video)) == [(7, 9, peer, video)]

    def test_several_come_in_one_message(self) -> None:
        ends = [(row, 2**32 - 1 - row, peer, video) for row, (peer, video) in enumerate(product(PEERS, VIDEOS))]
        assert wire.decode_finished(b"".join(wire.encode_finished(*end) for end in ends)) == ends

    def test_as_many_as_are_sent_at_once_fit_a_message(self) -> None:
        """Those of video with figures of the greatest length."""
        wild = FrameSummary(2**40, 2**40, 2**40, -1e-300 / 3, 2**40, -1e-300 / 3, -1e-300 / 3)
        frame = wire.encode_finished(1, 1, PEERS[-1], VideoSummary(2**40, wild, wild, 2**40, 2**40))
        assert len(frame) * wire.ENDS_AT_ONCE <= wire.MAX_MESSAGE

    @pytest.mark.parametrize("message", [b"{}", wire.encode({"event": "ready"}), b"\x01\x02"])
    def test_what_tells_something_else_has_none(self, message: bytes) -> None:
        assert wire.decode_finished(message) == []


AUDIO = StreamPlan("192.0.2.1", 4000, 4001, 8, "PCMA", (8, 13), 2**32 - 1, 2**16 - 1, 0, tail_seconds=1 / 3, tone=True)
AUDIO_VALUES = tuple(getattr(AUDIO, name) for name in AUDIO.__slots__)
VIDEO = VideoPlan("192.0.2.1", 4000, 4001, 96, (96, 97), 1, 2, 3, source_host="192.0.2.9", cname="ü@x", capture=True)


class TestBegin:
    @pytest.mark.parametrize("plan", [AUDIO, VIDEO])
    def test_a_plan_comes_through(self, plan: StreamPlan | VideoPlan) -> None:
        since = 1_700_000_000_000_000_001
        assert wire.decode_begin(wire.encode_begin(7, 9, since, plan)) == (7, 9, since, plan)

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            (AUDIO_VALUES[:5], "missing"),
            ((*AUDIO_VALUES, 1), "positional"),
            (("room.example", *AUDIO_VALUES[1:]), "no IPv4 address"),
            ((*AUDIO_VALUES[:1], "4000", *AUDIO_VALUES[2:]), "not supported"),
            ((*AUDIO_VALUES[:5], None, *AUDIO_VALUES[6:]), "NoneType"),
            (7, "int"),
        ],
        ids=["too few", "too many", "no address", "text for a number", "no payload types", "no plan"],
    )
    def test_a_plan_that_can_t_be_carried_out_is_told_by_what_is_wrong(self, values: Any, said: str) -> None:
        head = wire.encode_begin(7, 9, 5, AUDIO)[:18]
        found = wire.decode_begin(head + marshal.dumps(values))
        assert found is not None
        assert found[:3] == (7, 9, 5)
        assert isinstance(found[3], LocalProtocolError)
        assert said in str(found[3])

    def test_a_command_cut_at_every_byte_of_its_plan_is_told_as_such(self) -> None:
        whole = wire.encode_begin(7, 9, 5, AUDIO)
        for end in range(18, len(whole)):
            found = wire.decode_begin(whole[:end])
            assert found is not None
            assert isinstance(found[3], LocalProtocolError)

    def test_another_command_is_none(self) -> None:
        assert wire.decode_begin(wire.encode({"op": "stop", "row": 1, "generation": 1})) is None


def test_an_open_file_comes_with_its_message_and_only_with_it() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        memory = os.memfd_create("test")
        os.write(memory, b"within")
        ours.send(b"first")
        socket.send_fds(ours, [b"second"], [memory])
        os.close(memory)
        assert wire.receive(theirs) == (b"first", ())
        said, (number,) = wire.receive(theirs)
        assert (said, os.pread(number, 99, 0)) == (b"second", b"within")
        os.close(number)
        with pytest.raises(BlockingIOError):
            wire.receive(theirs)
        ours.close()
        assert wire.receive(theirs) == (b"", ())

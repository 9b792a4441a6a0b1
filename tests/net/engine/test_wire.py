"""`net.engine.wire`: what is said between the two processes comes through whole."""

from __future__ import annotations

import json
import os
import socket

import pytest

from bridge_monitor.net.engine import wire
from bridge_monitor.net.engine.plan import CapturedPacket
from bridge_monitor.rtp.report import FrameSummary, PeerReportSummary, RttSummary, VideoSummary


@pytest.mark.parametrize(("sent", "rtcp"), [(True, False), (False, True)])
def test_a_captured_packet_comes_through(sent: bool, rtcp: bool) -> None:  # noqa: FBT001 - a table's column
    packet = CapturedPacket(sent, rtcp, 1_700_000_000_000_000_001, 20000, "192.0.2.7", 4000, b"\x80\x00abc", 172)
    assert wire.decode_capture(wire.encode_capture(7, 9, packet)) == (7, 9, packet)


def test_what_is_said_is_no_captured_packet() -> None:
    message = {"event": "finished", "row": 1, "generation": 2, "peer": None}
    assert wire.decode_capture(wire.encode(message)) is None
    assert wire.decode(wire.encode(message)) == message


@pytest.mark.parametrize(
    "summary",
    [
        None,
        PeerReportSummary(0, None, None, None, None),
        PeerReportSummary(3, 500, 4, 0.002, RttSummary(0.01, 0.02, 0.03, 0.04, 3)),
    ],
)
def test_a_peer_s_summary_survives_json(summary: PeerReportSummary | None) -> None:
    assert wire.peer_from_dict(json.loads(json.dumps(wire.peer_to_dict(summary)))) == summary


@pytest.mark.parametrize(
    "summary",
    [
        VideoSummary(250, None, None),
        VideoSummary(
            250, FrameSummary(10, 9, 1, 25.0, 1000, 0.001, 0.002), FrameSummary(1, 1, 0, None, 9, None, None), 9, 8
        ),
    ],
)
def test_a_video_s_summary_survives_json(summary: VideoSummary) -> None:
    assert wire.video_from_dict(json.loads(json.dumps(wire.video_to_dict(summary)))) == summary


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

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge_monitor.domain import Advisory
from bridge_monitor.probes.advice import HEARD_FOR_SECONDS, advise
from bridge_monitor.rtp.report import AudioLevel, EchoSummary, ReceptionSummary, StreamReport

LONG = round(HEARD_FOR_SECONDS * 1e9)
HEARD = ReceptionSummary(500, 500, 0, 0, 0, 0.001, 0.002, 10**18, 10**18 + LONG, 7, 0)
SILENT = StreamReport(
    packets_sent=500,
    large_sent=0,
    inbound=HEARD,
    echo=None,
    peer=None,
    unexpected_payload_types=(),
    unexpected_source=False,
    first_rtp_ns=10**18,
    started_ns=10**18,
    ended_ns=10**18 + LONG,
    lateness=None,
    invalid=(),
    level=AudioLevel(mean_dbov=-127.0, loudest_dbov=-127.0, active_ratio=0.0, packets=62),
)


@pytest.mark.parametrize(
    ("mean", "loudest", "silent"),
    [(-127.0, -127.0, True), (-75.0, -70.5, True), (-72.0, -70.0, False), (-80.0, -50.0, False), (-30.0, -20.0, False)],
    ids=["muted", "hum of the line", "a quiet room", "a single sound", "speech"],
)
def test_a_room_is_silent_if_nothing_in_the_whole_call_was_louder(mean: float, loudest: float, silent: bool) -> None:  # noqa: FBT001 - a table's column
    level = AudioLevel(mean, loudest, active_ratio=0.0, packets=62)
    assert advise(replace(SILENT, level=level)) == ((Advisory.SILENT_ROOM,) if silent else ())


def test_an_echo_says_nothing_of_the_room() -> None:
    assert advise(replace(SILENT, inbound=None, level=None)) == ()
    assert advise(replace(SILENT, level=None)) == ()


@pytest.mark.parametrize("moments", [(10**18, 10**18 + LONG - 1), (None, None), (10**18, None)])
def test_a_stream_that_was_too_short_says_nothing(moments: tuple[int | None, int | None]) -> None:
    first, last = moments
    assert advise(replace(SILENT, inbound=replace(HEARD, first_arrival_ns=first, last_arrival_ns=last))) == ()


PICTURE = replace(SILENT, level=None)


@pytest.mark.parametrize(
    ("video", "missing"),
    [
        (None, True),
        (replace(PICTURE, inbound=None), True),
        (PICTURE, False),
        (replace(PICTURE, inbound=None, echo=EchoSummary(9, 9, 0, 0, 0, 0, 0, 0.0, 0.0, None)), False),
    ],
    ids=["turned down", "none came", "the room's own", "ours came back"],
)
def test_a_room_without_picture_is_told_so_where_one_was_due(video: StreamReport | None, missing: bool) -> None:  # noqa: FBT001 - a table's column
    heard = replace(SILENT, level=None)
    assert advise(heard, video, video_expected=True) == ((Advisory.NO_VIDEO,) if missing else ())
    assert advise(heard, video) == ()


def test_both_advisories_stand_in_their_order() -> None:
    assert advise(SILENT, None, video_expected=True) == (Advisory.SILENT_ROOM, Advisory.NO_VIDEO)


def test_a_call_shorter_than_a_codec_s_beginning_says_nothing_of_the_picture() -> None:
    brief = replace(SILENT, level=None, ended_ns=SILENT.started_ns + LONG - 1)
    assert advise(brief, None, video_expected=True) == ()

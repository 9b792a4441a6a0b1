from __future__ import annotations

from dataclasses import replace

import pytest

from bridge_monitor.domain import Advisory
from bridge_monitor.probes.advice import HEARD_FOR_SECONDS, advise
from bridge_monitor.rtp.report import AudioLevel, ReceptionSummary, StreamReport

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

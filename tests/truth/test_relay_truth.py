"""The media engine's figures against a relay's own book: delay, jitter, reordering, duplication, loss, and all at once.

The relay holds, loses and doubles packets and notes when each came and left, by the kernel's clock; what the engine
must have counted is reckoned from that in straight arithmetic (`tests.truth.relay`). Counts must be equal. Times may
differ by what lies between our socket and the relay's: a fraction of a millisecond on this host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import pytest

from bridge_monitor.domain import MediaMode, MediaResult
from bridge_monitor.net.engine import EngineSettings, MediaEngine, StreamPlan
from bridge_monitor.probes.media import media_result
from bridge_monitor.rtp.report import RttSummary, StreamReport
from tests.truth.relay import Heard, Line, Truth, plan_of, quantile

pytestmark = pytest.mark.peer("gcc")

Lines = Callable[..., Line]

SPOILT = {"send_late", "engine_stalled"}
"""The figures hold all the same: what was sent late is compared with when it was sent."""

# What is done to the packets on their way to the room and back.
RULES = {
    "delay": ("delay=30000", "delay=55000"),
    "jitter": ("jitter=18000", "jitter=35000"),
    "reordering": ("hold=40,by=50000", "hold=60,by=90000"),
    "duplication": ("twice=50", "twice=80"),
    "loss": ("loss=40", "loss=25,run=3"),
    "all": (
        "delay=20000,jitter=12000,hold=30,by=45000,twice=40,loss=30",
        "delay=35000,jitter=25000,hold=50,by=70000,twice=30,loss=20,run=2",
    ),
}


class Seen(NamedTuple):
    """A call's figures by the engine, and the truth of it."""

    report: StreamReport
    result: MediaResult
    truth: Truth


async def call(engine: MediaEngine, lines: dict[str, Line], seconds: float) -> dict[str, Seen]:
    """Call all lines at once."""
    legs = {}
    for number, (name, line) in enumerate(lines.items()):
        leg = engine.reserve(line.host)
        engine.begin(leg, StreamPlan(**plan_of(line, 0x1000 + number, duration_seconds=seconds)))
        legs[name] = leg
    reports = await asyncio.gather(*(engine.finished(leg) for leg in legs.values()))
    seen = {}
    for number, (name, report) in enumerate(zip(legs, reports, strict=True)):
        assert set(report.invalid) <= SPOILT, name
        truth = Truth(lines[name].book(), legs[name].rtp_port, 0x1000 + number)
        seen[name] = Seen(report, media_result(report, codec="PCMU"), truth)
    return seen


def check_rtt(found: RttSummary, truth: list[float], name: str) -> None:
    """Hold the distribution of round-trip times to the book's; never less: the relay has a packet after we sent it."""
    assert found.samples == len(truth), name
    for ours, theirs, margin in (
        (found.min, truth[0], 0.0005),
        (found.median, quantile(truth, 0.5), 0.0005),
        (found.p95, quantile(truth, 0.95), 0.002),
        (found.max, truth[-1], 0.020),
    ):
        assert -0.00005 <= ours - theirs <= margin, f"{name}: {found}, truth {ours - theirs:+.6f}"


def check_jitter(mean: float | None, greatest: float | None, truth: Heard, name: str) -> None:
    """Hold A.8's estimate to the book's: 1 % and 0.1 ms in the mean, 0.5 ms at the greatest."""
    assert mean == pytest.approx(truth.jitter_mean, rel=0.01, abs=0.0001), name
    assert greatest == pytest.approx(truth.jitter_max, rel=0.01, abs=0.0005), name


def check_echo(name: str, seen: Seen) -> None:
    echo, truth = seen.report.echo, seen.truth.echo()
    assert echo is not None, name
    assert echo.sent == seen.report.packets_sent == seen.truth.sent, name
    found = (echo.received, echo.lost, echo.duplicates, echo.reordered, echo.stray)
    assert found == (truth.received, truth.lost, truth.duplicates, truth.reordered, 0), name
    assert echo.burst_ratio == pytest.approx(truth.burst_ratio), name
    assert truth.late[0] <= echo.late <= truth.late[1], name
    check_jitter(echo.jitter_seconds, echo.jitter_max_seconds, truth, name)
    assert echo.rtt is not None, name
    check_rtt(echo.rtt, seen.truth.round_trips(), name)

    result = seen.result
    assert result.mode is MediaMode.ECHO, name
    assert result.round_trip is not None, name
    assert (result.round_trip.packets_sent, result.round_trip.packets_lost) == (truth.expected, truth.lost), name
    assert result.inbound is not None, name
    assert result.inbound.packets_lost is None, "an echo can't tell the direction"
    assert (result.inbound.duplicates, result.inbound.reordered) == (truth.duplicates, truth.reordered), name


def check_room(name: str, seen: Seen) -> None:
    inbound, peer = seen.report.inbound, seen.report.peer
    truth = seen.truth.segment(0x0600D000)
    assert inbound is not None, name
    found = (inbound.expected, inbound.received, inbound.lost, inbound.duplicates, inbound.reordered)
    assert found == (truth.expected, truth.received, truth.lost, truth.duplicates, truth.reordered), name
    assert (inbound.restarts, inbound.rejected) == (0, 0), name
    assert inbound.burst_ratio == pytest.approx(truth.burst_ratio), name
    assert truth.late[0] <= inbound.late <= truth.late[1], name
    check_jitter(inbound.jitter_seconds, inbound.jitter_max_seconds, truth, name)

    assert peer is not None, name
    assert seen.report.packets_sent == seen.truth.sent, name
    covered, lost = seen.truth.last_report(seen.report.ended_ns)
    assert peer.packets_reported == covered, name
    assert peer.packets_lost is not None, name
    assert lost[0] <= peer.packets_lost <= lost[1], name
    assert peer.rtt is not None, name
    round_trips = seen.truth.report_round_trips(seen.report.ended_ns)
    assert peer.rtt.samples == len(round_trips), name
    assert peer.rtt.median == pytest.approx(quantile(round_trips, 0.5), abs=0.0005), name
    assert peer.rtt.max == pytest.approx(round_trips[-1], abs=0.005), name

    ours = seen.truth.our_last_block()
    first = 3000  # the room's first sequence number
    assert (ours.lost, ours.highest) == (truth.lost, first + truth.highest), name

    result = seen.result
    assert result.mode is MediaMode.RTCP, name
    assert result.inbound is not None, name
    assert (result.inbound.packets_lost, result.inbound.packets_expected) == (truth.lost, truth.expected), name
    assert result.outbound is not None, name
    assert (result.outbound.packets_lost, result.outbound.packets_reported) == (peer.packets_lost, covered), name
    assert result.round_trip is None, name


def worked(name: str, truth: Heard) -> bool:
    """Whether the relay really did to the stream what the case is named after."""
    done = {
        "delay": True,
        "jitter": truth.jitter_mean > 0.002,
        "reordering": truth.reordered > 0,
        "duplication": truth.duplicates > 0,
        "loss": truth.lost > 0,
    }
    return done[name] if name in done else all(done.values())


async def check(line: Lines, seconds: float, settings: EngineSettings, *, echo: bool, seed: str = "") -> None:
    lines = {}
    packets = round(seconds * 50) - 40  # so that the room's last one is here before the call ends
    for number, (name, rules) in enumerate(RULES.items()):
        lines[name] = line(number + 1)
        towards, back = (rule + seed for rule in rules)
        lines[name].start(None if echo else [(0x0600D000, 3000, 77, packets)], towards=towards, back=back)
    async with await MediaEngine.start(settings) as engine:
        for name, seen in (await call(engine, lines, seconds)).items():
            (check_echo if echo else check_room)(name, seen)
            assert worked(name, seen.truth.echo() if echo else seen.truth.segment(0x0600D000)), name


SETTINGS = EngineSettings(rows=16, port_pairs=8)


async def test_an_echo_s_figures_are_those_of_the_relay_s_book(line: Lines) -> None:
    """Six lines at once, each with one kind of harm in both directions, the last with all of them."""
    await check(line, 4.0, SETTINGS, echo=True)


async def test_a_talking_room_s_figures_are_those_of_the_relay_s_book(line: Lines) -> None:
    """The same with streams of the rooms' own: inbound by their numbers, outbound by their reports."""
    await check(line, 4.5, SETTINGS, echo=False)


@pytest.mark.full
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("echo", [True, False], ids=["echo", "room"])
async def test_long_calls_figures_are_those_of_the_relay_s_book(line: Lines, seed: int, *, echo: bool) -> None:
    await check(line, 20.0, SETTINGS, echo=echo, seed=f",seed={seed}")

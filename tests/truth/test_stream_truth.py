"""What may befall a stream's numbers and ports within a call, against a relay's own book.

Sequence numbers and timestamps wrap in both directions, with losses and reordering across the wrap; a room begins its
stream anew; two rooms lie behind one address; a room sends from another port. The counts must be those of the book.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bridge_monitor.net.engine import EngineSettings, Leg, MediaEngine, StreamPlan
from bridge_monitor.rtp.report import EchoSummary, ReceptionSummary, StreamReport
from tests.truth.relay import Heard, Line, Truth, plan_of

pytestmark = pytest.mark.peer("gcc")

Lines = Callable[..., Line]

SPOILT = {"send_late", "engine_stalled"}
"""No reason to count wrongly."""
OURS, ROOM, ROOM_ANEW = 0xFFFFFFFE, 0x0600D000, 0xFACADE00
SECONDS, SENT = 2.5, 125
ROOM_SENDS = 100  # in two seconds: its last packet is here before the call ends
PAIRS = EngineSettings(rows=16, port_pairs=8)
HARM = "delay=15000,jitter=6000,loss=30,twice=30,hold=30,by=50000"


async def converse(settings: EngineSettings, *plans: StreamPlan) -> list[tuple[Leg, StreamReport]]:
    """Run streams of ours at once; return their legs and reports in order."""
    async with await MediaEngine.start(settings) as engine:
        legs = []
        for plan in plans:
            legs.append(engine.reserve(plan.remote_host))
            engine.begin(legs[-1], plan)
        reports = await asyncio.gather(*(engine.finished(leg) for leg in legs))
    assert not {reason for report in reports for reason in report.invalid} - SPOILT
    assert [report.packets_sent for report in reports] == [SENT] * len(plans)
    return list(zip(legs, reports, strict=True))


def plan(line: Line, ssrc: int = OURS, **changes: int) -> StreamPlan:
    return StreamPlan(**plan_of(line, ssrc, duration_seconds=SECONDS, **changes))


def check_counts(name: str, side: EchoSummary | ReceptionSummary | None, *truth: Heard) -> None:
    """Hold packets received, lost, doubled and reordered to the book's, of segments together."""
    assert side is not None, name
    found = (side.received, side.lost, side.duplicates, side.reordered)
    totals = [(one.received, one.lost, one.duplicates, one.reordered) for one in truth]
    assert found == tuple(map(sum, zip(*totals, strict=True))), name


def check_jitter(name: str, side: EchoSummary | ReceptionSummary | None, truth: Heard) -> None:
    """Hold A.8's estimate to the book's: a wrap that is not reckoned with is a jump of hours."""
    assert side is not None, name
    assert side.jitter_seconds == pytest.approx(truth.jitter_mean, rel=0.01, abs=0.0001), name
    assert side.jitter_max_seconds == pytest.approx(truth.jitter_max, rel=0.01, abs=0.0005), name


def check_outbound(name: str, report: StreamReport, truth: Truth) -> None:
    """Hold what the room reported to what reached it."""
    peer = report.peer
    assert peer is not None, name
    assert peer.packets_lost is not None, name
    covered, lost = truth.last_report(report.ended_ns)
    assert peer.packets_reported == covered, name
    assert lost[0] <= peer.packets_lost <= lost[1], name


def check_room(name: str, report: StreamReport, truth: Truth) -> None:
    """Hold both directions of a room with an unbroken stream of its own to the book."""
    stream = truth.segment(ROOM)
    assert report.echo is None, name
    check_counts(name, report.inbound, stream)
    check_jitter(name, report.inbound, stream)
    assert report.inbound is not None, name
    assert (report.inbound.restarts, report.inbound.rejected) == (0, 0), name
    check_outbound(name, report, truth)


class TestWrap:
    """RFC 3550 A.1: sequence numbers wrap at 2^16, timestamps at 2^32; here in one call and both directions."""

    SENT_FROM, ROOM_FROM = 65535 - 60, 65535 - 50
    WRAP = 2**32 - 160 * 55
    # On the way to the room and back: the last before the wrap is overtaken by the first after it, some are lost.
    RULES = (
        (HARM, HARM),
        ("drop=65534+0,late=65535,by=70000", "drop=1,late=65533,by=90000,double=65532"),
        ("late=65533+65534+65535,by=90000,double=0+1", "drop=65535+0,late=2,by=50000"),
    )

    async def test_figures_are_the_book_s_over_both_wraps(self, line: Lines) -> None:
        """Losses, duplicates and reordering across the wrap are counted as they were, by echoes and by reports."""
        cases = [(echo, towards, back) for echo in (True, False) for towards, back in self.RULES]
        lines = [line(number + 1) for number in range(len(cases))]
        room = [(ROOM, self.ROOM_FROM, self.WRAP, ROOM_SENDS)]
        for one, (echo, towards, back) in zip(lines, cases, strict=True):
            one.start(None if echo else room, towards=towards, back=back)
        plans = [plan(one, first_seq=self.SENT_FROM, first_timestamp=self.WRAP) for one in lines]
        for one, case, (leg, report) in zip(lines, cases, await converse(PAIRS, *plans), strict=True):
            name = str(case)
            truth = Truth(one.book(), leg.rtp_port, OURS)
            if case[0]:
                stream = truth.echo()
                check_counts(name, report.echo, stream)
                check_jitter(name, report.echo, stream)
            else:
                stream = truth.segment(ROOM)
                check_room(name, report, truth)
                ours = truth.our_last_block()
                # With its cycles, which A.3 has in the upper half.
                assert (ours.lost, ours.highest) == (stream.lost, self.ROOM_FROM + stream.highest), name
                assert ours.highest > 0xFFFF
            assert stream.lost > 0, name
            assert stream.reordered > 0, name


class TestRestart:
    """A source that begins anew (RFC 3550 §8.2 and A.1): its segments count each by itself, together as one call."""

    # The second segment, and what is done to both on their way back.
    SECOND = (
        ((ROOM_ANEW, 60000, 2**31, 50), "drop=3010+3011+3030+60020,late=3025+60030,double=3040+60040"),
        ((ROOM_ANEW, 3050, 77 + 160 * 50, 50), "drop=3049+3050+3051+3070,late=3040+3080"),  # numbers go on: SSRC alone
        ((ROOM_ANEW, 65520, 2**32 - 1600, 50), "drop=3005+65533+0,late=65535,double=65530"),  # and wraps
        ((ROOM, 20000, 5, 50), "drop=3001+3048+20007,late=3020+20030,double=20010"),  # numbers alone
    )

    async def test_losses_are_counted_in_each_segment_and_none_between_them(self, line: Lines) -> None:
        lines = [line(number + 1) for number in range(len(self.SECOND))]
        for one, (second, back) in zip(lines, self.SECOND, strict=True):
            one.start([(ROOM, 3000, 77, 50), second], towards=HARM, back=back)
        calls = await converse(PAIRS, *map(plan, lines))
        for one, (second, back), (leg, report) in zip(lines, self.SECOND, calls, strict=True):
            truth = Truth(one.book(), leg.rtp_port, OURS)
            segments = [truth.segment(ROOM, 0, 50), truth.segment(second[0], 0 if second[0] != ROOM else 50, 50)]
            check_counts(back, report.inbound, *segments)
            assert report.inbound is not None
            assert report.inbound.expected == segments[0].expected + segments[1].expected, back
            assert (report.inbound.restarts, report.inbound.rejected, report.inbound.ssrc) == (1, 0, second[0]), back
            assert sum(segment.lost for segment in segments) > 0, back
            # The timestamps' jump at the restart is no jitter: the line delays nothing but what it lets be overtaken.
            assert report.inbound.jitter_max_seconds == pytest.approx(
                max(segment.jitter_max for segment in segments), abs=0.003
            ), back
            # Our report speaks of the present source alone.
            ours = truth.our_last_block()
            assert (ours.ssrc, ours.lost) == (second[0], segments[1].lost), back
            check_outbound(back, report, truth)


class TestOneAddress:
    """Rooms behind one address, as an address translator or a bridge shows them."""

    async def test_calls_on_one_local_port_have_each_their_own_figures(self, line: Lines) -> None:
        """Rooms are told apart by their ports, echoes by our SSRC, though they share even the port."""
        echo, first, second = line(1), line(2, 10000), line(2, 10002)
        echo.start(None, towards=HARM, back=HARM)
        first.start([(ROOM, 3000, 77, ROOM_SENDS)], towards="loss=80", back=HARM)
        second.start([(ROOM, 3000, 77, ROOM_SENDS)], towards=HARM, back="loss=120")
        plans = (plan(echo, 1), plan(echo, 2), plan(first, 3), plan(second, 4))
        calls = await converse(EngineSettings(rows=8, port_pairs=1), *plans)
        assert len({leg.rtp_port for leg, _ in calls}) == 1
        for ssrc in (1, 2):
            leg, report = calls[ssrc - 1]
            truth = Truth(echo.book(), leg.rtp_port, ssrc).echo()
            check_counts(f"echo {ssrc}", report.echo, truth)
            check_jitter(f"echo {ssrc}", report.echo, truth)
            assert report.inbound is None
        for ssrc, room in ((3, first), (4, second)):
            leg, report = calls[ssrc - 1]
            check_room(f"room {ssrc}", report, Truth(room.book(), leg.rtp_port, ssrc))
        assert not any(report.unexpected_source for _, report in calls)

    async def test_rooms_at_one_address_and_port_have_each_their_own_figures(self, line: Lines) -> None:
        """Calls to one host are put on different local ports, and that tells them apart; even from a port not named."""
        plain, odd = line(1), line(2)
        rooms = [[(ROOM, 3000, 77, ROOM_SENDS)]] * 2
        plain.start(*rooms, towards=HARM, back=HARM)
        odd.start(*rooms, towards=HARM, back=HARM, other_from=0)
        plans = (plan(plain, 1), plan(plain, 2), plan(odd, 3), plan(odd, 4))
        calls = await converse(EngineSettings(rows=8, port_pairs=2), *plans)
        for (leg, report), one, ssrc in zip(calls, (plain, plain, odd, odd), (1, 2, 3, 4), strict=True):
            check_room(f"call {ssrc}", report, Truth(one.book(), leg.rtp_port, ssrc))
            assert report.unexpected_source is (one is odd)


async def test_a_room_that_sends_from_another_port_is_counted_whole_and_said_so(line: Lines) -> None:
    """From its first packet, or from the 40th on, as behind a translator that forgot the way."""
    cases = [(echo, since) for echo in (True, False) for since in (None, 0, 40)]
    lines = [line(number + 1) for number in range(len(cases))]
    for one, (echo, since) in zip(lines, cases, strict=True):
        room = None if echo else [(ROOM, 3000, 77, ROOM_SENDS)]
        one.start(room, towards=HARM, back=HARM, other_from=since)
    for one, (echo, since), (leg, report) in zip(lines, cases, await converse(PAIRS, *map(plan, lines)), strict=True):
        name = f"echo {echo}, from the other port since packet {since}"
        truth = Truth(one.book(), leg.rtp_port, OURS)
        assert report.unexpected_source is (since is not None), name
        if echo:
            check_counts(name, report.echo, truth.echo())
        else:
            check_room(name, report, truth)

"""`net.engine.client` with the real process, in real time: short streams against an echo on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bridge_monitor.errors import EngineDiedError, LocalFaultError, LocalProtocolError, PortsExhaustedError
from bridge_monitor.net.engine import EngineSettings, Leg, MediaEngine, StreamPlan, VideoPlan, wire
from bridge_monitor.net.engine import client as client_module
from bridge_monitor.net.engine.plan import ENGINE_STALLED
from bridge_monitor.net.engine.process import EngineProcess
from bridge_monitor.net.testcard import Card

# A shared test machine may stop us for longer than a production host would.
SETTINGS = EngineSettings(
    rows=8, port_pairs=2, source_host="127.0.0.1", lateness_limit_seconds=0.5, stall_limit_seconds=0.4
)


class Echo(asyncio.DatagramProtocol):
    """Sends each datagram back."""

    def __init__(self) -> None:
        self.received = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received += 1
        self.transport.sendto(data, addr)


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    yield protocol
    transport.close()


@pytest.fixture
async def engine() -> AsyncIterator[MediaEngine]:
    async with await MediaEngine.start(SETTINGS) as running:
        yield running


def _plan(echo: Echo, **changes: Any) -> StreamPlan:
    facts = {"ssrc": 77, "first_seq": 65530, "first_timestamp": 2**32 - 200, "duration_seconds": 0.4}
    return StreamPlan("127.0.0.1", echo.port, echo.port + 1, 0, "PCMU", (0,), **{**facts, **changes})


async def _until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.01)


async def test_a_stream_is_sent_echoed_and_counted(engine: MediaEngine, echo: Echo) -> None:
    leg = engine.reserve("127.0.0.1")
    assert (leg.rtp_port % 2, leg.rtcp_port) == (0, leg.rtp_port + 1)
    engine.begin(leg, _plan(echo))
    report = await engine.finished(leg)
    assert (report.packets_sent, report.echo.sent, report.echo.received) == (20, 20, 20)
    assert echo.received == 20
    assert report.invalid == ()
    assert 0 < report.echo.rtt.min < report.echo.rtt.max < 0.5
    assert report.lateness.samples == 20
    assert await engine.finished(leg) == report
    engine.release(leg)
    engine.release(leg)
    assert engine.stats().rtp_sent == engine.stats().rtp_received == 20


async def test_two_calls_to_one_host_use_different_ports(engine: MediaEngine, echo: Echo) -> None:
    legs = [engine.reserve("127.0.0.1") for _ in range(2)]
    assert legs[0].rtp_port != legs[1].rtp_port
    for leg in legs:
        engine.begin(leg, _plan(echo, ssrc=leg.row + 1))
    reports = await asyncio.gather(*(engine.finished(leg) for leg in legs))
    assert [report.echo.received for report in reports] == [20, 20]


async def test_a_live_read_is_whole(engine: MediaEngine, echo: Echo) -> None:
    leg = engine.reserve("127.0.0.1")
    assert engine.live(leg) is None
    engine.begin(leg, _plan(echo, duration_seconds=1.0))
    seen = []
    finished = asyncio.ensure_future(engine.finished(leg))
    while not finished.done():
        report = engine.live(leg)
        if report is not None and report.packets_sent:
            seen.append(report)
            assert report.lateness.samples == report.packets_sent
            assert report.echo is None or report.echo.received + report.echo.lost == report.echo.sent
        await asyncio.sleep(0.003)
    assert len({report.packets_sent for report in seen}) > 20
    assert seen[-1].packets_sent == (await finished).packets_sent == 50


async def test_a_row_that_is_never_still_has_no_live_read(engine: MediaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = engine.reserve("127.0.0.1")
    layout = engine._process.layout
    monkeypatch.setattr(layout, "version", [1] * 8)
    assert engine.live(leg) is None
    changing = iter(range(0, 1000, 2))
    monkeypatch.setattr(layout, "version", type("Changing", (), {"__getitem__": lambda *_: next(changing)})())
    monkeypatch.setattr(layout, "phase", [1] * 8)
    assert engine.live(leg) is None


async def test_a_stopped_stream_finishes_at_once(engine: MediaEngine, echo: Echo) -> None:
    leg = engine.reserve("127.0.0.1")
    engine.stop(leg)  # nothing has begun
    engine.begin(leg, _plan(echo, duration_seconds=30.0))
    await _until(lambda: echo.received > 3)
    engine.stop(leg)
    report = await asyncio.wait_for(engine.finished(leg), 2)
    assert 3 < report.packets_sent < 100
    engine.stop(leg)


async def test_rows_are_used_again_only_when_their_stream_is_over(engine: MediaEngine, echo: Echo) -> None:
    legs = [engine.reserve(f"127.0.0.{number}") for number in range(1, 9)]
    with pytest.raises(PortsExhaustedError):
        engine.reserve("127.0.0.9")
    engine.begin(legs[0], _plan(echo, duration_seconds=30.0))
    await _until(lambda: echo.received > 3)
    engine.release(legs[0])  # stops it first
    await _until(lambda: engine.stats().rows_up == 0)
    again = engine.reserve("127.0.0.9")
    assert (again.row, again.generation) == (legs[0].row, 9)
    for call in (engine.live, lambda leg: engine.begin(leg, _plan(echo))):
        with pytest.raises(LocalProtocolError, match="released"):
            call(legs[0])
    engine.stop(legs[0])
    assert engine.captured(legs[0]) == []


async def test_a_stream_begins_once(engine: MediaEngine, echo: Echo) -> None:
    leg = engine.reserve("127.0.0.1")
    engine.begin(leg, _plan(echo))
    with pytest.raises(LocalProtocolError, match="begun before"):
        engine.begin(leg, _plan(echo))
    assert (await engine.finished(leg)).packets_sent == 20


async def test_a_stream_that_the_engine_refuses_is_our_fault(
    engine: MediaEngine, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours must not take the other calls with it; the row can be used again."""
    begin = wire.encode_begin
    with monkeypatch.context() as patch:
        patch.setattr(wire, "encode_begin", lambda *facts: begin(*facts)[:-3])
        kept, left = engine.reserve("127.0.0.1"), engine.reserve("127.0.0.1")
        for leg in (kept, left):
            engine.begin(leg, _plan(echo))
    engine.release(left)
    with pytest.raises(LocalFaultError, match="did not begin the stream: no plan"):
        await engine.finished(kept)
    await _until(lambda: len(engine._rows) == 1)
    engine.release(kept)
    leg = engine.reserve("127.0.0.1")
    engine.begin(leg, _plan(echo))
    assert (await engine.finished(leg)).packets_sent == 20
    assert engine.stats().restarts == 0


async def test_captured_packets_are_handed_over_once(engine: MediaEngine, echo: Echo) -> None:
    leg = engine.reserve("127.0.0.1")
    engine.begin(leg, _plan(echo, capture=True))
    await engine.finished(leg)
    packets = engine.captured(leg)
    assert [packet.rtcp for packet in packets if packet.sent].count(False) == 20
    assert sum(not packet.sent for packet in packets) == 20
    assert engine.captured(leg) == []


async def test_a_waiter_that_is_cancelled_does_not_end_the_stream(engine: MediaEngine, echo: Echo) -> None:
    leg = engine.reserve("127.0.0.1")
    engine.begin(leg, _plan(echo))
    waiter = asyncio.ensure_future(engine.finished(leg))
    await asyncio.sleep(0.05)
    waiter.cancel()
    assert (await engine.finished(leg)).packets_sent == 20


async def test_a_stopped_process_invalidates_the_call(engine: MediaEngine, echo: Echo) -> None:
    leg = engine.reserve("127.0.0.1")
    engine.begin(leg, _plan(echo, duration_seconds=1.0))
    await _until(lambda: echo.received > 3)
    os.kill(engine.pid, signal.SIGSTOP)
    await asyncio.sleep(0.6)
    os.kill(engine.pid, signal.SIGCONT)
    report = await engine.finished(leg)
    assert ENGINE_STALLED in report.invalid
    assert report.packets_sent == 50
    assert engine.stats().stalls == 1


async def test_a_killed_process_fails_its_calls_and_a_new_one_serves(engine: MediaEngine, echo: Echo) -> None:
    up, waiting = engine.reserve("127.0.0.1"), engine.reserve("127.0.0.1")
    engine.begin(up, _plan(echo, duration_seconds=30.0))
    finished = asyncio.ensure_future(engine.finished(up))
    await _until(lambda: echo.received > 3)
    old = engine.pid
    os.kill(old, signal.SIGKILL)
    with pytest.raises(EngineDiedError):
        await finished
    assert engine.pid is None
    assert engine.stats().restarts == 1
    for call in (
        lambda: engine.reserve("127.0.0.1"),
        lambda: engine.begin(waiting, _plan(echo)),
        lambda: engine.live(up),
    ):
        with pytest.raises(EngineDiedError):
            call()
    engine.release(up)
    await _until(lambda: engine.pid)
    assert engine.pid != old
    leg = engine.reserve("127.0.0.1")
    engine.stop(up)  # of the old process, though its row is used again
    engine.release(waiting)
    engine.begin(leg, _plan(echo))
    assert (await engine.finished(leg)).echo.received == 20


async def test_starting_anew_is_tried_until_it_works(
    engine: MediaEngine, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = EngineProcess.start, [LocalFaultError("no ports"), OSError("no memory")]

    async def start(settings: EngineSettings) -> EngineProcess:
        if failures:
            raise failures.pop()
        return await real(settings)

    monkeypatch.setattr(EngineProcess, "start", start)
    os.kill(engine.pid, signal.SIGKILL)
    await _until(lambda: engine.pid is None)
    await _until(lambda: engine.pid)
    leg = engine.reserve("127.0.0.1")
    engine.begin(leg, _plan(echo))
    assert (await engine.finished(leg)).echo.received == 20


async def test_closing_fails_what_is_up_and_leaves_no_process(echo: Echo) -> None:
    engine = await MediaEngine.start(SETTINGS)
    pid = engine.pid
    leg: Leg = engine.reserve("127.0.0.1")
    engine.begin(leg, _plan(echo, duration_seconds=30.0))
    finished = asyncio.ensure_future(engine.finished(leg))
    await _until(lambda: echo.received > 3)
    await engine.close()
    with pytest.raises(EngineDiedError):
        await finished
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert engine.stats().rtp_sent == 0


async def test_closing_while_a_new_process_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_RESTART_AFTER", 60.0)
    engine = await MediaEngine.start(SETTINGS)
    os.kill(engine.pid, signal.SIGKILL)
    await _until(lambda: engine.pid is None)
    await engine.close()
    assert engine.pid is None


@pytest.mark.peer("sipp")
async def test_sipp_s_echo_is_heard(engine: MediaEngine, free_udp_port: Callable[[str], int]) -> None:
    """Its echo runs from the start, without a call: ordinary and large packets come back, over the wrap of numbers."""
    sip, media = free_udp_port("127.0.0.1"), free_udp_port("127.0.0.1") & ~1
    sipp = await asyncio.create_subprocess_exec(
        *("sipp", "-sn", "uas", "-i", "127.0.0.1", "-p", str(sip), "-nostdin", "-rtp_echo"),
        *("-mi", "127.0.0.1", "-mp", str(media)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.sleep(0.5)
        leg = engine.reserve("127.0.0.1")
        facts = {"ssrc": 5, "first_seq": 65530, "first_timestamp": 1, "duration_seconds": 0.6, "large_packets": 3}
        engine.begin(leg, StreamPlan("127.0.0.1", media, media + 1, 0, "PCMU", (0,), **facts))
        report = await engine.finished(leg)
        assert (report.echo.sent, report.echo.received) == (30, 30)
        assert (report.echo.large_sent, report.echo.large_received) == (3, 3)
        assert report.invalid == ()
        assert not report.unexpected_source
    finally:
        sipp.kill()
        await sipp.wait()


def _video_plan(echo: Echo, **changes: Any) -> VideoPlan:
    facts = {"ssrc": 78, "first_seq": 65530, "first_timestamp": 2**32 - 200, "duration_seconds": 0.32}
    return VideoPlan("127.0.0.1", echo.port, echo.port + 1, 96, (96,), **{**facts, **changes})


class TestVideo:
    async def test_a_card_is_sent_echoed_and_counted(self, engine: MediaEngine, echo: Echo, card: Card) -> None:
        engine.load_card(card)
        leg = engine.reserve("127.0.0.1")
        engine.begin(leg, _video_plan(echo))
        report = await engine.finished(leg)
        assert (report.packets_sent, report.echo.sent, report.echo.received, report.echo.lost) == (83, 83, 83, 0)
        assert echo.received == 83
        assert (report.video.frames_sent, report.video.inbound_frames) == (8, None)
        echoed = report.video.echoed_frames
        assert (echoed.expected, echoed.complete, echoed.lost) == (8, 8, 0)
        assert echoed.frame_rate == pytest.approx(25)
        assert echoed.bytes == sum(len(payload) for picture in card.packets() for payload in picture)
        assert report.invalid == ()

    async def test_audio_and_video_of_one_call_go_side_by_side(
        self, engine: MediaEngine, echo: Echo, card: Card
    ) -> None:
        engine.load_card(card)
        legs = [engine.reserve("127.0.0.1") for _ in range(2)]
        engine.begin(legs[0], _plan(echo))
        engine.begin(legs[1], _video_plan(echo))
        audio, video = await asyncio.gather(*(engine.finished(leg) for leg in legs))
        assert (audio.echo.received, audio.video) == (20, None)
        assert (video.echo.received, video.video.frames_sent) == (83, 8)

    async def test_without_its_card_it_can_t_begin(self, engine: MediaEngine, echo: Echo, card: Card) -> None:
        engine.load_card(card)
        leg = engine.reserve("127.0.0.1")
        with pytest.raises(LocalProtocolError, match="no test card was loaded for 2000000 bit/s at 25 frames a second"):
            engine.begin(leg, _video_plan(echo, bitrate_bps=2_000_000))
        engine.begin(leg, _video_plan(echo))
        assert (await engine.finished(leg)).packets_sent == 83

    async def test_a_card_loaded_again_is_kept_and_another_takes_its_place(
        self, engine: MediaEngine, echo: Echo, card: Card
    ) -> None:
        engine.load_card(card)
        kept = dict(engine._cards)
        engine.load_card(Card(card.title, card.bitrate_bps, card.frames_per_second, card.frames))
        assert engine._cards == kept
        engine.load_card(Card("b", card.bitrate_bps, card.frames_per_second, card.frames[2:3]))
        leg = engine.reserve("127.0.0.1")
        engine.begin(leg, _video_plan(echo))
        assert (await engine.finished(leg)).packets_sent == 8

    async def test_a_card_outlives_the_engine_s_process(self, engine: MediaEngine, echo: Echo, card: Card) -> None:
        engine.load_card(card)
        os.kill(engine.pid, signal.SIGKILL)
        await _until(lambda: engine.pid is None)
        other = Card("b", 2_000_000, 25, card.frames[2:3])
        engine.load_card(other)  # while none is there
        await _until(lambda: engine.pid is not None)
        for rate, packets in ((1_000_000, 83), (2_000_000, 8)):
            leg = engine.reserve("127.0.0.1")
            engine.begin(leg, _video_plan(echo, bitrate_bps=rate))
            assert (await engine.finished(leg)).packets_sent == packets

"""The media engine as the rest of the program uses it, on the event loop.

Owns which call has which row, what became of it, and the engine's process: one that dies takes its calls with it and is
started anew. Must not block, nor know SIP.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Self

from bridge_monitor.errors import EngineDiedError, LocalFaultError, LocalProtocolError
from bridge_monitor.net.engine import wire
from bridge_monitor.net.engine.cards import SharedCard
from bridge_monitor.net.engine.layout import Count, Phase
from bridge_monitor.net.engine.plan import CapturedPacket, EngineSettings, EngineStats, Leg, StreamPlan
from bridge_monitor.net.engine.process import EngineProcess
from bridge_monitor.net.engine.rows import RowBook
from bridge_monitor.net.engine.video_plan import VideoPlan
from bridge_monitor.net.testcard import Card
from bridge_monitor.rtp.report import StreamReport, VideoSummary

_CAPTURE_LIMIT: Final = 50_000
_LIVE_TRIES: Final = 50
_RESTART_AFTER: Final = 0.05
_RESTART_AFTER_MOST: Final = 5.0


@dataclass(slots=True)
class _Stream:
    """One call's row in this process."""

    leg: Leg
    finished: asyncio.Future[StreamReport]
    begun: bool = False
    released: bool = False
    captured: deque[CapturedPacket] = field(default_factory=lambda: deque(maxlen=_CAPTURE_LIMIT))


class MediaEngine:
    """The engine. Made by `start`; close it, or use it in ``async with``."""

    def __init__(self, settings: EngineSettings, process: EngineProcess) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._process: EngineProcess | None = None
        self._rows = RowBook(settings)
        self._streams: dict[int, _Stream] = {}
        self._epoch = 0
        self._generation = 0
        self._cards: dict[tuple[int, int], SharedCard] = {}
        self._closing = False
        self._restart: asyncio.Task[None] | None = None
        self._attach(process)

    @classmethod
    async def start(cls, settings: EngineSettings | None = None) -> MediaEngine:
        """Start the engine's process and wait until it is ready.

        Raises:
            LocalFaultError: It can't have its ports, or did not come up.
        """
        settings = settings or EngineSettings()
        return cls(settings, await EngineProcess.start(settings))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the engine; None while a new one is being started."""
        return self._process.pid if self._process else None

    def reserve(self, remote_host: str) -> Leg:
        """Hold a row and its ports for a call, so that its offer can name them.

        Args:
            remote_host: The host the call goes to: calls to one host are put on different ports, as far as there are.

        Raises:
            PortsExhaustedError: Every row is used.
            EngineDiedError: The process died and the new one is not ready.
        """
        process = self._living()
        row = self._rows.take(remote_host)
        self._generation += 1
        port = process.ports[self._rows.pair_of(row)]
        leg = Leg(row, self._generation, port, port + 1, self._epoch, remote_host, time.time_ns())
        self._streams[row] = _Stream(leg, self._loop.create_future())
        return leg

    def load_card(self, card: Card) -> None:
        """Have a test card ready for video of its rate and pace, in place of an earlier one of these.

        Streams that have begun go on with theirs. The card outlives the engine's process.
        """
        key = (card.bitrate_bps, card.frames_per_second)
        loaded = self._cards.get(key)
        if loaded is not None:
            if loaded.card == card:
                return
            loaded.close()
        self._cards[key] = shared = SharedCard(card)
        if self._process is not None:
            self._process.send(wire.encode(shared.command), shared.fd)

    def begin(self, leg: Leg, plan: StreamPlan | VideoPlan) -> None:
        """Begin to send and to count.

        Raises:
            EngineDiedError: The process that had this leg died.
            LocalProtocolError: The leg was released, or has begun before; or no card was loaded for this video.
        """
        stream = self._stream(leg)
        if stream.begun:
            raise LocalProtocolError(f"stream {leg.generation} has begun before")
        if isinstance(plan, VideoPlan) and (plan.bitrate_bps, plan.frames_per_second) not in self._cards:
            raise LocalProtocolError(
                f"no test card was loaded for {plan.bitrate_bps} bit/s at {plan.frames_per_second} frames a second"
            )
        stream.begun = True
        self._living().send(wire.encode_begin(leg.row, leg.generation, leg.reserved_ns, plan))

    async def finished(self, leg: Leg) -> StreamReport:
        """Wait for the stream's end and return what was counted.

        Raises:
            EngineDiedError: The process died before that.
            LocalProtocolError: The leg was released.
        """
        return await asyncio.shield(self.report(leg))

    def report(self, leg: Leg) -> asyncio.Future[StreamReport]:
        """Return what `finished` waits for; it belongs to the engine and must not be cancelled.

        Raises:
            EngineDiedError: The process died before that.
            LocalProtocolError: The leg was released.
        """
        return self._stream(leg).finished

    def stop(self, leg: Leg) -> None:
        """End the stream now; `finished` then returns. Nothing happens if it is over or never began."""
        stream = self._find(leg)
        if stream is not None and stream.begun and not stream.finished.done() and self._process is not None:
            self._process.send(wire.encode({"op": "stop", "row": leg.row, "generation": leg.generation}))

    def release(self, leg: Leg) -> None:
        """Give the row back, once its stream is over; it is stopped if it is not. May be called more than once."""
        stream = self._find(leg)
        if stream is None or stream.released:
            return
        stream.released = True
        if stream.begun and not stream.finished.done():
            self.stop(leg)
        else:
            self._forget(leg)

    def live(self, leg: Leg) -> StreamReport | None:
        """Return the figures so far, all of one moment (the peer's reports apart: those come at the end).

        Returns:
            None if the stream has not begun, or was being changed each time we looked.

        Raises:
            EngineDiedError: The process that had this leg died.
        """
        self._stream(leg)
        layout = self._living().layout
        for _ in range(_LIVE_TRIES):
            before = int(layout.version[leg.row])
            if before % 2:
                continue
            if layout.phase[leg.row] == Phase.IDLE:
                return None
            report = layout.report(leg.row, None, now_ns=time.time_ns())
            if int(layout.version[leg.row]) == before:
                return report
        return None

    def captured(self, leg: Leg) -> list[CapturedPacket]:
        """Return, and forget, the packets captured since the last call; at most the last 50,000 are kept."""
        stream = self._find(leg)
        if stream is None:
            return []
        packets = list(stream.captured)
        stream.captured.clear()
        return packets

    def stats(self) -> EngineStats:
        """Return the engine's own counts since its process started; zeros while a new one is being started."""
        counts = self._process.layout.counts.tolist() if self._process else [0] * len(Count)
        return EngineStats(
            rows_up=sum(stream.begun and not stream.finished.done() for stream in self._streams.values()),
            rtp_sent=counts[Count.RTP_SENT],
            rtp_received=counts[Count.RTP_RECEIVED],
            rtcp_sent=counts[Count.RTCP_SENT],
            rtcp_received=counts[Count.RTCP_RECEIVED],
            unmatched=counts[Count.UNMATCHED],
            socket_overflows=counts[Count.SOCKET_OVERFLOWS],
            short_sends=counts[Count.SHORT_SENDS],
            stalls=counts[Count.STALLS],
            clock_steps=counts[Count.CLOCK_STEPS],
            captures_dropped=counts[Count.CAPTURES_DROPPED],
            cpu_seconds=counts[Count.CPU_NS] / 1e9,
            restarts=self._epoch,
        )

    async def close(self) -> None:
        """End the engine's process; streams still up fail with `EngineDiedError`."""
        self._closing = True
        if self._restart is not None:
            self._restart.cancel()
            await asyncio.gather(self._restart, return_exceptions=True)
        process, self._process = self._process, None
        self._fail_streams()
        for card in self._cards.values():
            card.close()
        self._cards.clear()
        if process is not None:
            await process.close()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _attach(self, process: EngineProcess) -> None:
        self._process = process
        self._rows = RowBook(self._settings)
        self._streams = {}
        process.listen(self._message, self._died)
        for card in self._cards.values():
            process.send(wire.encode(card.command), card.fd)

    def _living(self) -> EngineProcess:
        if self._process is None:
            raise EngineDiedError("the media engine's process has ended; a new one is being started")
        return self._process

    def _find(self, leg: Leg) -> _Stream | None:
        stream = self._streams.get(leg.row)
        return stream if stream is not None and stream.leg == leg else None

    def _stream(self, leg: Leg) -> _Stream:
        if leg.epoch != self._epoch or self._process is None:
            raise EngineDiedError("the media engine's process ended while the call was up")
        stream = self._find(leg)
        if stream is None:
            raise LocalProtocolError(f"leg {leg.generation} was released")
        return stream

    def _forget(self, leg: Leg) -> None:
        del self._streams[leg.row]
        self._rows.give_back(leg.row)

    def _message(self, data: bytes) -> None:
        ends = wire.decode_finished(data)
        for finished in ends:
            self._stream_finished(finished)
        if ends:
            return
        captured = wire.decode_capture(data)
        if captured is not None:
            row, generation, packet = captured
            stream = self._stream_of(row, generation)
            if stream is not None:
                stream.captured.append(packet)
            return
        refused = wire.decode(data)
        stream = self._stream_of(refused["row"], refused["generation"])
        if stream is not None:
            _fail(stream, LocalFaultError(f"the media engine did not begin the stream: {refused['reason']}"))
            self._forget_released(stream)

    def _stream_finished(self, told: wire.Finished) -> None:
        stream = self._stream_of(told.row, told.generation)
        if stream is None:
            return
        if self._process is not None:
            # The row's figures stand still from now on until it is given back.
            report = self._process.layout.report(told.row, told.peer, now_ns=time.time_ns())
            stream.finished.set_result(with_video(report, told.video) if told.video else report)
        self._forget_released(stream)

    def _stream_of(self, row: int, generation: int) -> _Stream | None:
        stream = self._streams.get(row)
        return stream if stream is not None and stream.leg.generation == generation else None

    def _forget_released(self, stream: _Stream) -> None:
        if stream.released:
            self._forget(stream.leg)

    def _fail_streams(self) -> None:
        for stream in self._streams.values():
            if not stream.finished.done():
                _fail(stream, EngineDiedError("the media engine's process ended while the call was up"))

    def _died(self) -> None:
        self._process = None
        self._fail_streams()
        self._epoch += 1
        if not self._closing:
            self._restart = self._loop.create_task(self._start_anew(), name="media-engine-restart")

    async def _start_anew(self) -> None:
        pause = _RESTART_AFTER
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RESTART_AFTER_MOST)
            try:
                process = await EngineProcess.start(self._settings)
            except (LocalFaultError, OSError):
                continue
            self._attach(process)
            return


def _fail(stream: _Stream, error: LocalFaultError) -> None:
    stream.finished.set_exception(error)
    stream.finished.exception()  # a call that doesn't wait any more leaves no warning behind


def with_video(report: StreamReport, video: VideoSummary) -> StreamReport:
    """Return a stream's report with what its pictures came to.

    The jitter of what was received is then that of the pictures' first packets: those behind them wait for them.
    """
    inbound, frames = report.inbound, video.inbound_frames
    if inbound is not None:
        inbound = replace(
            inbound,
            jitter_seconds=frames.jitter_seconds if frames else None,
            jitter_max_seconds=frames.jitter_max_seconds if frames else None,
        )
    return replace(report, inbound=inbound, video=video)

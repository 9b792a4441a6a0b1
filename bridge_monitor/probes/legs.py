"""The media engine's rows of one call: its audio's, and its video's if it has one. They begin and end together.

Owns what is held and given back; must not know SIP, nor judge.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net.engine import CapturedPacket, Leg, MediaEngine, StreamPlan, VideoPlan
from bridge_monitor.rtp.report import StreamReport

VIDEO_PATIENCE_SECONDS: Final = 6.0
"""So long the audio's end waits for the video's: a room's next RTCP report comes within 5 s (RFC 3550 §6.2)."""
_REPORT_PATIENCE: Final = 1.0

Heard = tuple[StreamReport, StreamReport | None]
"""What was counted of the audio and of the video."""


class Legs:
    """The rows of one call.

    Attributes:
        audio: The audio's row; None if none is held.
        video: The video's.
        video_dropped: Whether the video was ended for good, so that nothing is told of it.
    """

    def __init__(self, engine: MediaEngine, *, capture: bool) -> None:
        self._engine = engine
        self._capture = capture
        self._begun: list[Leg] = []
        self.audio: Leg | None = None
        self.video: Leg | None = None
        self.video_dropped = False

    def reserve(self, remote_host: str, *, with_video: bool) -> Leg:
        """Hold rows for a call to a host, so that its offer can name their ports; return the audio's.

        Raises:
            LocalFaultError: There is none, or the engine died.
        """
        self.put_down()  # a redirect may lead to another host
        self.audio = self._engine.reserve(remote_host)
        if with_video:
            self.video = self._engine.reserve(remote_host)
        return self.audio

    def begin(self, audio: StreamPlan, video: VideoPlan | None) -> None:
        """Begin to send and to count. Video that was not agreed on gives its row back.

        Raises:
            LocalFaultError: The engine died.
        """
        assert self.audio is not None  # noqa: S101 - reserved for the offer
        self._engine.begin(self.audio, audio)
        self._begun.append(self.audio)
        if self.video is not None and video is not None:
            self._engine.begin(self.video, video)
            self._begun.append(self.video)
        elif self.video is not None:
            self._engine.release(self.video)
            self.video = None

    @contextlib.contextmanager
    def over(self) -> Iterator[asyncio.Future[Any]]:
        """Give what is done when nothing more is to be expected; it must not be cancelled."""
        assert self.audio is not None  # noqa: S101 - begun
        report = self._engine.report(self.audio)
        if self.video is None:
            yield report  # as mostly: no task is needed to wait for one thing
            return
        both = asyncio.ensure_future(self._until_both_over(report, self.video))
        try:
            yield both
        finally:
            both.cancel()

    async def _until_both_over(self, audio: asyncio.Future[StreamReport], video: Leg) -> None:
        await asyncio.wait([audio])
        if not self.video_dropped:
            await asyncio.wait([self._engine.report(video)], timeout=VIDEO_PATIENCE_SECONDS)

    async def heard(self) -> Heard:
        """End what is not over, and return what was counted.

        Raises:
            LocalFaultError: The engine died before that.
        """
        assert self.audio is not None  # noqa: S101 - begun
        self.stop()
        audio = await self._engine.finished(self.audio)
        if self.video is None or self.video_dropped:
            return audio, None
        return audio, await self._engine.finished(self.video)

    def drop_video(self) -> None:
        """Send no more video, and tell nothing of what there was: the room wants none any more, or elsewhere."""
        if self.video is not None:
            self.video_dropped = True
            with contextlib.suppress(LocalFaultError):
                self._engine.stop(self.video)

    async def heard_at_last(self) -> Heard | None:
        """Return what was counted until a call was broken off; None if that is not to be had at once."""
        if not self._begun:
            return None
        with contextlib.suppress(LocalFaultError, TimeoutError):
            async with asyncio.timeout(_REPORT_PATIENCE):
                return await self.heard()
        return None

    def stop(self) -> None:
        """Send nothing more."""
        for leg in self._begun:
            with contextlib.suppress(LocalFaultError):
                self._engine.stop(leg)

    def put_down(self) -> tuple[CapturedPacket, ...]:
        """Give the rows back; return what the engine captured of the call, in the order of time."""
        packets: list[CapturedPacket] = []
        for leg in (self.audio, self.video):
            if leg is not None:
                if self._capture:
                    packets += self._engine.captured(leg)
                self._engine.release(leg)
        self.audio = self.video = None
        self._begun.clear()
        return tuple(sorted(packets, key=lambda packet: packet.time_ns))

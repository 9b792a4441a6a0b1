"""The media engine: thousands of calls' RTP in a process of its own (see `docs/architecture.md`).

Other rooms need `MediaEngine`, `EngineSettings`, `Leg`, `StreamPlan`, `VideoPlan` only. `MediaEngine` is loaded when it
is first asked for: the engine's own process imports this package too and has no use for asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge_monitor.net.engine.plan import CapturedPacket, EngineSettings, EngineStats, Leg, StreamPlan
from bridge_monitor.net.engine.video_plan import VideoPlan

if TYPE_CHECKING:
    from bridge_monitor.net.engine.client import MediaEngine

__all__ = ["CapturedPacket", "EngineSettings", "EngineStats", "Leg", "MediaEngine", "StreamPlan", "VideoPlan"]


def __getattr__(name: str) -> Any:
    if name == "MediaEngine":
        from bridge_monitor.net.engine.client import MediaEngine

        return MediaEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

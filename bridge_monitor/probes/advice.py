"""What of a call the room's technician should know, though nothing is wrong with the line (``docs/outcomes.md``).

Owns the limits; must not touch outcome or grade.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.domain import Advisory
from bridge_monitor.rtp.report import StreamReport

SILENT_BELOW_DBOV: Final = -70.0
"""A room is silent if nothing in it was louder: a live microphone brings more than that from an empty room."""

HEARD_FOR_SECONDS: Final = 2.0
"""A shorter stream says nothing of a room: a codec may begin with silence."""


def advise(
    audio: StreamReport, video: StreamReport | None = None, *, video_expected: bool = False
) -> tuple[Advisory, ...]:
    """Return the advisories of a valid call, in the order of `Advisory`.

    Args:
        audio: What the media engine counted of the audio.
        video: The same of the video; None if the room turned it down.
        video_expected: Whether the call offered video and was reached, so that a picture should have come.
    """
    found = []
    if _is_silent(audio):
        found.append(Advisory.SILENT_ROOM)
    if video_expected and not _has_picture(video) and _lasted(audio):
        found.append(Advisory.NO_VIDEO)
    return tuple(found)


def _has_picture(video: StreamReport | None) -> bool:
    return video is not None and (video.inbound is not None or video.echo is not None)


def _lasted(audio: StreamReport) -> bool:
    """Whether the call was long enough for a codec to have begun with its picture."""
    return (audio.ended_ns - audio.started_ns) / 1e9 >= HEARD_FOR_SECONDS


def _is_silent(audio: StreamReport) -> bool:
    """Whether the room's own stream was silence from end to end, as far as it was looked at."""
    level, inbound = audio.level, audio.inbound
    if level is None or inbound is None or inbound.first_arrival_ns is None or inbound.last_arrival_ns is None:
        return False
    heard = (inbound.last_arrival_ns - inbound.first_arrival_ns) / 1e9
    return heard >= HEARD_FOR_SECONDS and level.loudest_dbov < SILENT_BELOW_DBOV

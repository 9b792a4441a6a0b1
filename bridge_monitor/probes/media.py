"""From what the media engine counted of a stream to the figures of a result.

Owns which figure is shown for which direction (DESIGN rules 6–8); must not judge. What was not measured stays None.
"""

from __future__ import annotations

from bridge_monitor.domain import Inbound, MediaMode, MediaResult, Outbound, RoundTrip, Rtt, RttSource
from bridge_monitor.quality import score_audio
from bridge_monitor.rtp.report import (
    PLAYOUT_BUFFER_SECONDS,
    EchoSummary,
    FrameSummary,
    PeerReportSummary,
    ReceptionSummary,
    RttSummary,
    StreamReport,
)


def media_result(report: StreamReport, *, codec: str, kind: str = "audio") -> MediaResult:
    """Return a stream's figures, scored.

    With an echo, loss is the round trip's: inbound and outbound loss are null, except where the peer's reports tell
    them apart, and inbound jitter is that of round-trip times. R and MOS rest on the worst loss measured in any
    direction, packets too late for the playout buffer included; they are null unless loss and delay were measured.

    Args:
        report: What the engine counted.
        codec: RTP encoding name.
        kind: ``audio`` or ``video``, which has frames, and no R and MOS.
    """
    mode = _mode(report)
    frames = _frames(report)
    echo = report.echo if mode is MediaMode.ECHO else None
    inbound = _inbound_of_echo(report, echo) if echo and not report.inbound else _inbound(report.inbound)
    rtt = _rtt(echo, report.peer)
    score = score_audio(
        codec,
        loss_ratio=_audible_loss(report, echo),
        rtt_seconds=rtt.median if rtt else None,
        playout_seconds=PLAYOUT_BUFFER_SECONDS,
        burst_ratio=burst_ratio(report),
    )
    return MediaResult(
        kind=kind,
        codec=codec,
        mode=mode,
        inbound=inbound,
        outbound=_outbound(report),
        round_trip=RoundTrip(echo.sent, echo.received, echo.lost, _ratio(echo.lost, echo.sent)) if echo else None,
        rtt_seconds=rtt,
        r_factor=score.r_factor if score else None,
        mos=score.mos if score else None,
        unexpected_source=report.unexpected_source,
        audio_level_dbov=report.level.mean_dbov if report.level else None,
        audio_active_ratio=report.level.active_ratio if report.level else None,
        frames_expected=frames.expected if frames else None,
        frames_lost=frames.lost if frames else None,
        frame_rate=frames.frame_rate if frames else None,
    )


def burst_ratio(report: StreamReport) -> float:
    """Return the greatest burst ratio seen in the stream's losses (`quality.grade_call`), 1 if none was seen."""
    seen = [side.burst_ratio for side in (report.inbound, report.echo) if side and side.burst_ratio is not None]
    return max([1.0, *seen])


def _mode(report: StreamReport) -> MediaMode | None:
    if report.echo and report.echo.received + report.echo.large_received:
        return MediaMode.ECHO
    if report.peer and report.peer.reports:
        return MediaMode.RTCP
    return MediaMode.INBOUND if report.inbound else None


def _frames(report: StreamReport) -> FrameSummary | None:
    """Return the room's own frames; where it echoes, ours that came back."""
    video = report.video
    return (video.inbound_frames or video.echoed_frames) if video else None


def _inbound(received: ReceptionSummary | None) -> Inbound | None:
    if received is None:
        return None
    return Inbound(
        packets_expected=received.expected,
        packets_received=received.received,
        packets_lost=received.lost,
        loss_ratio=_ratio(received.lost, received.expected),
        duplicates=received.duplicates,
        reordered=received.reordered,
        jitter_seconds=received.jitter_seconds,
        jitter_max_seconds=received.jitter_max_seconds,
    )


def _inbound_of_echo(report: StreamReport, echo: EchoSummary) -> Inbound:
    """Return the way back of an echo; its loss only if a report on all that we sent says what reached the room."""
    expected, lost = echo.sent, None
    peer = report.peer
    if peer and peer.packets_lost is not None and peer.packets_reported == report.packets_sent and not echo.large_sent:
        # A peer's count nets duplicates, so that less may seem to have reached it than came back.
        expected = max(echo.sent - peer.packets_lost, echo.received)
        lost = expected - echo.received
    return Inbound(
        packets_expected=expected,
        packets_received=echo.received,
        packets_lost=lost,
        loss_ratio=None if lost is None else _ratio(lost, expected),
        duplicates=echo.duplicates,
        reordered=echo.reordered,
        jitter_seconds=echo.jitter_seconds,
        jitter_max_seconds=echo.jitter_max_seconds,
    )


def _outbound(report: StreamReport) -> Outbound | None:
    if not report.packets_sent:
        return None
    peer = report.peer
    reported = peer.packets_reported if peer else None
    lost = peer.packets_lost if peer else None
    return Outbound(
        packets_sent=report.packets_sent,
        packets_reported=reported,
        packets_lost=lost,
        loss_ratio=_ratio(lost, reported) if lost is not None and reported else None,
        jitter_seconds=peer.jitter_seconds if peer else None,
    )


def _rtt(echo: EchoSummary | None, peer: PeerReportSummary | None) -> Rtt | None:
    if echo and echo.rtt:
        return _sourced(echo.rtt, RttSource.ECHO)
    return _sourced(peer.rtt, RttSource.RTCP) if peer and peer.rtt else None


def _sourced(rtt: RttSummary, source: RttSource) -> Rtt:
    return Rtt(rtt.min, rtt.median, rtt.p95, rtt.max, rtt.samples, source)


def _audible_loss(report: StreamReport, echo: EchoSummary | None) -> float | None:
    """Return the worst share of packets lost or too late to be played, of those measured."""
    ratios: list[float | None] = []
    if echo:
        ratios.append(_ratio(echo.lost + echo.late, echo.sent))
    if report.inbound:
        ratios.append(_ratio(report.inbound.lost + report.inbound.late, report.inbound.expected))
    if report.peer and report.peer.packets_lost is not None:
        ratios.append(_ratio(report.peer.packets_lost, report.peer.packets_reported or 0))
    return max((ratio for ratio in ratios if ratio is not None), default=None)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None

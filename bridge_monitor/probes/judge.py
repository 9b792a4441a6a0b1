"""From what a call met to its outcome and grade (``docs/outcomes.md``), as pure decisions.

Owns the order in which the facts are asked; must not touch sockets or clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge_monitor.domain import Grade, MediaResult, Outcome
from bridge_monitor.domain.values import dataclass
from bridge_monitor.net.tls import REASONS
from bridge_monitor.probes.media import burst_ratio
from bridge_monitor.quality import LossCount, Thresholds, grade_call
from bridge_monitor.rtp.report import StreamReport
from bridge_monitor.sip import Trouble

_BY_STATUS: Final[dict[int, tuple[Outcome, str | None]]] = {
    401: (Outcome.AUTH_FAILED, Trouble.NO_CREDENTIALS),
    403: (Outcome.DECLINED, "forbidden"),
    404: (Outcome.NOT_FOUND, None),
    406: (Outcome.NOT_ACCEPTABLE, None),
    407: (Outcome.AUTH_FAILED, Trouble.NO_CREDENTIALS),
    408: (Outcome.TIMEOUT, "reported_by_peer"),
    410: (Outcome.NOT_FOUND, "gone"),
    415: (Outcome.NOT_ACCEPTABLE, "media_type"),
    420: (Outcome.NOT_ACCEPTABLE, "extension"),
    480: (Outcome.UNAVAILABLE, "no_room_registered"),
    482: (Outcome.UNAVAILABLE, "loop"),
    483: (Outcome.UNAVAILABLE, "loop"),
    484: (Outcome.NOT_FOUND, "address_incomplete"),
    485: (Outcome.NOT_FOUND, "ambiguous"),
    486: (Outcome.BUSY, None),
    488: (Outcome.NOT_ACCEPTABLE, None),
    600: (Outcome.BUSY, "everywhere"),
    603: (Outcome.DECLINED, None),
    604: (Outcome.NOT_FOUND, None),
    606: (Outcome.NOT_ACCEPTABLE, None),
}

_GRADE_OF: Final[dict[Outcome, Grade]] = {
    Outcome.BUSY: Grade.BUSY,
    Outcome.NO_ANSWER: Grade.UNTESTED,
    Outcome.LOCAL_FAULT: Grade.INVALID,
    Outcome.CANCELLED: Grade.UNTESTED,
    Outcome.REFUSED: Grade.UNTESTED,
}

MINIMUM_LARGE_PACKETS: Final = 3
"""So many large packets must have been sent before their absence is a finding: one alone may be chance."""

MINIMUM_LARGE_RETURNS: Final = 5
"""Where so many large packets of video should have come back, that none did is chance in less than 1 of 100 calls."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome, its detail and the grade of one call."""

    outcome: Outcome
    reason: str | None
    grade: Grade


def judge_status(status: int, trouble: str | None = None) -> tuple[Outcome, str | None]:
    """Return the outcome of a call that ended with a final non-2xx response (RFC 3261 §21).

    A redirect that was not or could no longer be followed is ``unavailable``: the room was not reached, yet nothing
    was said against it.

    Args:
        status: Its status code.
        trouble: Of a 401 or 407: why its challenge was not answered (`sip.Trouble`); without, that nobody had
            credentials.
    """
    known = _BY_STATUS.get(status)
    if known is not None:
        return known[0], trouble or known[1]
    if status < 400:
        return Outcome.UNAVAILABLE, "redirected"
    if status < 500:
        return Outcome.DECLINED, f"status_{status}"
    return (Outcome.UNAVAILABLE, f"status_{status}") if status < 600 else (Outcome.DECLINED, f"status_{status}")


def judge_connection(reason: str) -> tuple[Outcome, str]:
    """Return the outcome of a call that met an ICMP error, or whose connection could not be had or kept."""
    if reason in REASONS:
        return Outcome.TLS_FAILED, reason
    return Outcome.TIMEOUT if reason == "connect_timeout" else Outcome.UNREACHABLE, reason


def grade_of(outcome: Outcome, reason: str | None = None) -> Grade:
    """Return the grade of a call whose outcome is not ``reached``."""
    if outcome is Outcome.AUTH_FAILED and reason == Trouble.NO_CREDENTIALS:
        return Grade.UNTESTED  # the account that is missing is ours to configure: no word against room or line
    return _GRADE_OF.get(outcome, Grade.FAILED)


def judge_media(report: StreamReport) -> tuple[Outcome, str | None]:
    """Return the outcome of an answered call by what its stream carried (DESIGN rules 4.1 and 4.6)."""
    echoed = report.echo is not None and report.echo.received > 0
    heard = report.inbound is not None and report.inbound.received > 0
    if not echoed and not heard:
        if report.unexpected_payload_types:
            return Outcome.WRONG_CODEC, "payload_type_" + str(report.unexpected_payload_types[0])
        if _peer_received(report):
            return Outcome.ONE_WAY_MEDIA_OUT, None
        return Outcome.NO_MEDIA, None
    if report.echo is not None and echoed:
        if report.echo.large_sent >= MINIMUM_LARGE_PACKETS and report.echo.large_received == 0:
            return Outcome.LARGE_PACKETS_LOST, None
        return Outcome.REACHED, None
    if _peer_heard_nothing(report):
        return Outcome.ONE_WAY_MEDIA_IN, None
    return Outcome.REACHED, None


def judge_answered(
    report: StreamReport,
    media: Sequence[MediaResult],
    thresholds: Thresholds,
    *,
    setup_seconds: float | None,
    bye_answered: bool,
    hung_up: bool,
    earlier: Sequence[LossCount] = (),
    video: StreamReport | None = None,
) -> Verdict:
    """Return the verdict of a call that was answered and whose media ran.

    Args:
        report: What the media engine counted of the audio.
        media: The same as result figures.
        thresholds: The limits of the site's tier.
        setup_seconds: From the INVITE to the 200.
        bye_answered: Whether our BYE got a response.
        hung_up: Whether the room ended the call before we did.
        earlier: Loss of the site's last calls, to pool with this one's.
        video: What it counted of the video, where both sides agreed on one. That none came is no fault of the line.
    """
    outcome, reason = judge_media(report)
    if outcome is Outcome.REACHED and video is not None and _large_packets_are_swallowed(report, video):
        outcome = Outcome.LARGE_PACKETS_LOST
    if outcome is not Outcome.REACHED:
        if hung_up and outcome is Outcome.NO_MEDIA:
            reason = "hung_up"  # it may have left before its first packet: no word against the line
        return Verdict(outcome, reason, grade_of(outcome))
    grade, why = grade_call(
        media,
        thresholds,
        setup_seconds=setup_seconds,
        earlier=earlier,
        burst_ratio={"audio": burst_ratio(report), "video": burst_ratio(video) if video else 1.0},
    )
    if hung_up and why in (None, "loss"):
        # It was seen and heard until it left: worth a look, no evidence against the line. What was on its way just
        # then counts as lost, as many packets as fit into a round trip.
        return Verdict(outcome, "hung_up", Grade.DEGRADED)
    if why is None and not bye_answered:
        why = "bye_unanswered"
    return Verdict(outcome, why, grade)


def _peer_received(report: StreamReport) -> bool:
    peer = report.peer
    if peer is None or not peer.packets_reported:
        return False
    return peer.packets_reported > (peer.packets_lost or 0)


def _large_packets_are_swallowed(audio: StreamReport, video: StreamReport) -> bool:
    """Whether video's large packets, and they alone, don't pass.

    Either the small ones come back and none of the large, of which `MINIMUM_LARGE_RETURNS` should have by the small
    ones' share; or the room reports that our audio reaches it and our video not at all. That no picture comes back
    proves nothing: the room may have none to send.
    """
    echo, sizes = video.echo, video.video
    if echo is None:
        return _peer_received(audio) and _peer_heard_nothing(video)
    if sizes is None or sizes.large_received:
        return False
    return sizes.large_sent * echo.received >= MINIMUM_LARGE_RETURNS * max(1, echo.sent - sizes.large_sent)


def _peer_heard_nothing(report: StreamReport) -> bool:
    """Whether the room reports on its reception (RFC 3550 §6.4), but not one packet of ours is in its reports."""
    if report.peer is not None and report.peer.packets_reported:
        return not _peer_received(report)
    return report.peer_silent_reports > 0

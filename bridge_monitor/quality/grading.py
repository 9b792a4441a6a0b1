"""How good a call's line was, and which figure says so.

Owns the grade rules (DESIGN rule 9); must not know outcomes: it is asked about calls that were reached. Nothing is
graded on a figure that was not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bridge_monitor.domain import Grade, MediaResult
from bridge_monitor.domain.values import dataclass
from bridge_monitor.quality.bounds import design_effect, is_loss_proven, loss_lower_bound, loss_upper_bound
from bridge_monitor.quality.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class LossCount:
    """Packets lost of those counted, one direction of one stream of one call.

    Attributes:
        kind: ``audio``, ``video``, …
        direction: ``inbound``, ``outbound`` or ``round_trip``.
        lost: Packets lost.
        total: Packets counted, more than 0.
        burst_ratio: BurstR of G.107; 1 for independent losses or if not known.
    """

    kind: str
    direction: str
    lost: int
    total: int
    burst_ratio: float = 1.0

    @property
    def ratio(self) -> float:
        """Lost ÷ total."""
        return self.lost / self.total


def loss_counts(
    media: Iterable[MediaResult], *, burst_ratio: float | Mapping[str, float] = 1.0
) -> tuple[LossCount, ...]:
    """Return the loss that was measured; the same call's counts are `grade_call`'s ``earlier`` of the next."""
    counts = []
    for stream in media:
        measured: list[tuple[str, int | None, int | None]] = []
        if stream.inbound:
            measured.append(("inbound", stream.inbound.packets_lost, stream.inbound.packets_expected))
        if stream.outbound:
            measured.append(("outbound", stream.outbound.packets_lost, stream.outbound.packets_reported))
        if stream.round_trip:
            measured.append(("round_trip", stream.round_trip.packets_lost, stream.round_trip.packets_sent))
        counts += [
            LossCount(stream.kind, direction, lost, total, _of_kind(burst_ratio, stream.kind))
            for direction, lost, total in measured
            if lost is not None and total
        ]
    return tuple(counts)


def grade_call(
    media: Sequence[MediaResult],
    thresholds: Thresholds,
    *,
    setup_seconds: float | None,
    earlier: Sequence[LossCount] = (),
    burst_ratio: float | Mapping[str, float] = 1.0,
) -> tuple[Grade, str | None]:
    """Grade a call that was reached.

    Loss is graded by the one-sided 95 % lower bound, each direction for itself: of this call, or of this call pooled
    with the earlier ones, provided that this call's own loss ratio reaches the threshold too (a mended line is not held
    to its past).

    Args:
        media: The call's streams.
        thresholds: Those of the site's tier.
        setup_seconds: From INVITE to the answer; None if not measured.
        earlier: Loss of the last calls to the same site, valid ones only (`loss_counts`).
        burst_ratio: BurstR of this call's losses, or of each kind of stream's; 1 if not known.

    Returns:
        The grade, and ``loss``, ``rtt``, ``jitter`` or ``slow_answer`` where it is not good. Untested if no stream's
        loss was measured and nothing else says that it is bad.
    """
    counts = loss_counts(media, burst_ratio=burst_ratio)
    rtts = [stream.rtt_seconds.median for stream in media if stream.rtt_seconds]
    if any(_is_proven(count, earlier, thresholds.loss_failed) for count in counts):
        return Grade.FAILED, "loss"
    if any(rtt > thresholds.rtt_failed_seconds for rtt in rtts):
        return Grade.FAILED, "rtt"
    if any(_is_proven(count, earlier, thresholds.loss_degraded) for count in counts):
        return Grade.DEGRADED, "loss"
    if any(rtt > thresholds.rtt_degraded_seconds for rtt in rtts):
        return Grade.DEGRADED, "rtt"
    if any(jitter > thresholds.jitter_degraded_seconds for jitter in _audio_jitters(media)):
        return Grade.DEGRADED, "jitter"
    if setup_seconds is not None and setup_seconds > thresholds.setup_degraded_seconds:
        return Grade.DEGRADED, "slow_answer"
    return (Grade.GOOD if counts else Grade.UNTESTED), None


def loss_in_doubt(counts: Iterable[LossCount], thresholds: Thresholds) -> bool:
    """Whether a threshold lies between the bounds of some count: the next call should be longer."""
    for count in counts:
        low = loss_lower_bound(count.lost, count.total, burst_ratio=count.burst_ratio)
        high = loss_upper_bound(count.lost, count.total, burst_ratio=count.burst_ratio)
        if any(low < limit <= high for limit in (thresholds.loss_degraded, thresholds.loss_failed)):
            return True
    return False


def _of_kind(burst_ratio: float | Mapping[str, float], kind: str) -> float:
    return burst_ratio.get(kind, 1.0) if isinstance(burst_ratio, Mapping) else burst_ratio


def _is_proven(count: LossCount, earlier: Sequence[LossCount], limit: float) -> bool:
    if count.ratio < limit:
        return False
    effect = design_effect(count.burst_ratio)
    lost, total = count.lost / effect, count.total / effect
    if is_loss_proven(lost, total, limit):
        return True
    before = [other for other in earlier if (other.kind, other.direction) == (count.kind, count.direction)]
    lost += sum(other.lost / design_effect(other.burst_ratio) for other in before)
    total += sum(other.total / design_effect(other.burst_ratio) for other in before)
    return is_loss_proven(lost, total, limit)


def _audio_jitters(media: Sequence[MediaResult]) -> list[float]:
    return [
        side.jitter_seconds
        for stream in media
        if stream.kind == "audio"
        for side in (stream.inbound, stream.outbound)
        if side is not None and side.jitter_seconds is not None
    ]

"""Frames of a received video stream, from a log of its packets: what is complete, what is lost, how steady it is.

Owns the arithmetic twice, `FrameReception` readable and `summarise` with numpy, held equal by a property test. Must not
read clocks nor pictures. A frame is the packets of one timestamp; the marker bit ends it (RFC 6184 §5.1).

What a receiver can't know is not guessed in the line's disfavour: a frame cut by the beginning or the end of reception
is neither expected nor lost, and packets missing between two frames make wholly lost frames only as far as there are
that many packets and the timestamps leave room for them.

Which packets belong to the stream is decided as in `reception.Reception`: a change of SSRC, or a jump of the sequence
numbers, needs two packets in sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge_monitor.rtp.reception import MAX_DROPOUT, MAX_MISORDER, MAX_TRANSIT_STEP_NS
from bridge_monitor.rtp.report import FrameSummary

CLOCK_RATE: Final = 90_000
"""Of every video payload format, Hz."""

Array = NDArray[Any]

PACKET: Final = np.dtype(
    [
        ("ssrc", "i8"),
        ("seq", "i8"),
        ("timestamp", "i8"),
        ("arrival_ns", "i8"),
        ("bytes", "i8"),
        ("marker", "?"),
        ("starts", "?"),
    ]
)
"""A packet of the log: the header's fields, the kernel's receive time, bytes of payload, and whether the payload begins
with the beginning of a unit of the codec's (`h264.starts_unit`): one that doesn't is not a frame's first."""


class Packet(NamedTuple):
    """One packet of the log, as `PACKET`."""

    ssrc: int
    seq: int
    timestamp: int
    arrival_ns: int
    bytes: int
    marker: bool
    starts: bool


@dataclass(slots=True)
class _Frame:
    """The packets of one timestamp that were received, by extended sequence number."""

    timestamp: int
    first: int
    last: int
    received: int
    arrival_ns: int
    marker: bool
    starts: bool


@dataclass(slots=True)
class _Segment:
    """The packets from one start of the source to the next, by extended sequence number."""

    ssrc: int
    highest: int
    packets: dict[int, Packet] = field(default_factory=dict)


class FrameReception:
    """One video stream's frames, a packet at a time: the readable half."""

    def __init__(self) -> None:
        self._segments: list[_Segment] = []
        self._candidate: Packet | None = None

    def receive(self, packet: Packet) -> None:
        """Take a packet, in order of arrival."""
        if not self._segments:
            self._segments.append(_Segment(packet.ssrc, packet.seq, {packet.seq: packet}))
            return
        segment = self._segments[-1]
        step = _signed(packet.seq - segment.highest, 16)
        if packet.ssrc == segment.ssrc and -MAX_MISORDER < step < MAX_DROPOUT:
            segment.packets.setdefault(segment.highest + step, packet)
            segment.highest = max(segment.highest, segment.highest + step)
            self._candidate = None
        elif self._candidate is not None and (packet.ssrc, packet.seq) == _successor(self._candidate):
            first = self._candidate
            restarted = _Segment(packet.ssrc, first.seq + 1, {first.seq: first, first.seq + 1: packet})
            self._segments.append(restarted)
            self._candidate = None
        else:
            self._candidate = packet

    def summary(self) -> FrameSummary | None:
        """Return what was counted; None if nothing was received."""
        expected = complete = steps = span = octets = 0
        jitters: list[int] = []
        jitter = 0
        for segment in self._segments:
            octets += sum(packet.bytes for packet in segment.packets.values())
            frames = _frames_of(segment)
            missing = _missing_between(frames)
            judged = _judged(frames)
            expected += sum(missing) + sum(verdict is not None for verdict in judged)
            complete += sum(verdict is True for verdict in judged)
            steps += sum(missing) + len(frames) - 1
            span += sum(_signed(after.timestamp - before.timestamp, 32) for before, after in pairwise(frames))
            for before, after in pairwise(frames):
                ticks = _signed(after.timestamp - before.timestamp, 32)
                step = after.arrival_ns - before.arrival_ns - ticks * 1_000_000_000 // CLOCK_RATE
                if abs(step) <= MAX_TRANSIT_STEP_NS:
                    jitter += abs(step) - (jitter + 8 >> 4)
                    jitters.append(jitter)
        return _summary((expected, complete, steps, span, octets), jitters) if self._segments else None


def _signed(number: int, bits: int) -> int:
    """Return the difference modulo 2^bits that is nearest to 0."""
    half = 1 << bits - 1
    return (number + half) % (1 << bits) - half


def _successor(packet: Packet) -> tuple[int, int]:
    return packet.ssrc, packet.seq + 1 & 0xFFFF


def _frames_of(segment: _Segment) -> list[_Frame]:
    """Return a segment's frames in the order of their sequence numbers."""
    frames: list[_Frame] = []
    for number, packet in sorted(segment.packets.items()):
        if not frames or frames[-1].timestamp != packet.timestamp:
            frame = _Frame(packet.timestamp, number, number, 0, packet.arrival_ns, marker=False, starts=packet.starts)
            frames.append(frame)
        frame = frames[-1]
        frame.last = number
        frame.received += 1
        frame.arrival_ns = min(frame.arrival_ns, packet.arrival_ns)
        frame.marker = packet.marker
    return frames


def _missing_between(frames: list[_Frame]) -> list[int]:
    """Return how many frames are wholly missing between each frame and the next."""
    pairs = list(pairwise(frames))
    steps = [_signed(after.timestamp - before.timestamp, 32) for before, after in pairs]
    gaps = [after.first - before.last - 1 for before, after in pairs]
    known = sorted(step for step, gap in zip(steps, gaps, strict=True) if step > 0 and not gap)
    known = known or sorted(step for step in steps if step > 0)
    if not known:
        return [0 for _ in pairs]
    usual = known[(len(known) - 1) // 2]
    missing = []
    for (before, after), step, gap in zip(pairs, steps, gaps, strict=True):
        fitting = (2 * step + usual) // (2 * usual) - 1  # rounded to whole frames
        free = gap - (not before.marker) - (not after.starts)  # packets that must be those two frames' own
        missing.append(max(0, min(fitting, free)))
    return missing


def _judged(frames: list[_Frame]) -> list[bool | None]:
    """Tell of each frame whether it is complete; None of one that the beginning or the end of reception has cut."""
    missing = _missing_between(frames)
    judged: list[bool | None] = []
    for place, frame in enumerate(frames):
        whole = frame.received == frame.last - frame.first + 1
        first, last = place == 0, place == len(frames) - 1
        if (first and not frame.starts) or (last and not frame.marker):
            judged.append(None)
            continue
        if not first and frame.first - frames[place - 1].last > 1:
            # Packets are missing before it: its own, if it doesn't begin with a beginning, or if nobody else's.
            others = not frames[place - 1].marker or missing[place - 1]
            whole = whole and frame.starts and bool(others)
        if not last and frames[place + 1].first - frame.last > 1:
            whole = whole and frame.marker
        judged.append(whole)
    return judged


def _summary(counts: Sequence[int], jitters: Sequence[int]) -> FrameSummary:
    """Return the summary of frames expected, complete, between the first and the last, ticks between these, bytes."""
    expected, complete, steps, span, octets = counts
    return FrameSummary(
        expected=expected,
        complete=complete,
        lost=expected - complete,
        frame_rate=steps * CLOCK_RATE / span if span > 0 else None,
        bytes=octets,
        jitter_seconds=sum(jitters) / len(jitters) / 16e9 if jitters else None,
        jitter_max_seconds=max(jitters) / 16e9 if jitters else None,
    )


def summarise(log: Array) -> FrameSummary | None:
    """Return what a whole log of `PACKET` records holds, as `FrameReception` counts it; None if it is empty."""
    if not len(log):
        return None
    totals = np.zeros(5, np.int64)
    steps_ns = []
    for places, numbers in _segments(log["ssrc"], log["seq"]):
        # Each number once, ascending, by its first arrival.
        number, first = np.unique(numbers, return_index=True)
        counts, transit_steps = _count(log[places[first]], number)
        totals += counts
        steps_ns.append(transit_steps)
    return _summary(totals.tolist(), _estimates(np.concatenate(steps_ns)))


def summarise_own(log: Array, first_seq: int, frame_starts: Array) -> FrameSummary | None:
    """Return what came back of a stream of ours: which packets make a frame is known, so nothing is left to guess.

    Args:
        log: The packets that came back with our SSRC.
        first_seq: Sequence number of the first packet sent.
        frame_starts: Place of each frame's first packet in what was sent, and at its end the number of packets.
    """
    starts, packets = frame_starts[:-1], int(frame_starts[-1])
    number = _extended(log["seq"] - first_seq)
    ours = (number >= 0) & (number < packets)
    number, first = np.unique(number[ours], return_index=True)
    if not len(number):
        return None
    known = log[ours][first]
    frame = np.searchsorted(starts, number, "right") - 1
    seen, place, received = np.unique(frame, return_index=True, return_counts=True)
    complete = int(np.count_nonzero(received == np.diff(frame_starts)[seen]))
    arrival = np.minimum.reduceat(known["arrival_ns"], place)
    ticks = _signed_column(np.diff(known["timestamp"][place]), 32)
    counts = (len(starts), complete, int(seen[-1] - seen[0]), int(ticks.sum()), int(known["bytes"].sum()))
    return _summary(
        counts,
        _estimates(np.diff(arrival) - ticks * 1_000_000_000 // CLOCK_RATE),
    )


def count_own_of_size(log: Array, first_seq: int, size: int) -> int:
    """Return how many different packets with so many bytes of payload came back of a stream of ours.

    Args:
        log: The packets that came back with our SSRC.
        first_seq: Sequence number of the first packet sent.
        size: Bytes of payload.
    """
    return len(np.unique(_extended(log["seq"] - first_seq)[log["bytes"] == size]))


def _extended(seq: Array) -> Array:
    """Return sequence numbers with their cycles, the first nearest to 0, each other nearest to the one before."""
    number: Array = _signed_column(np.diff(seq, prepend=0), 16).cumsum()
    return number


def _signed_column(number: Array, bits: int) -> Array:
    half = 1 << bits - 1
    signed: Array = (number + half & (1 << bits) - 1) - half
    return signed


def _segments(ssrc: Array, seq: Array) -> list[tuple[Array, Array]]:
    """Return, for each segment, the places of its packets in order of arrival and their extended sequence numbers."""
    number = _extended(seq)
    step = number[1:] - np.maximum.accumulate(number)[:-1]
    if ((step > -MAX_MISORDER) & (step < MAX_DROPOUT) & (ssrc[1:] == ssrc[0])).all():
        return [(np.arange(len(seq)), number)]
    found: list[tuple[list[int], list[int]]] = [([], [])]
    candidate: tuple[int, int, int] | None = None
    source, highest = int(ssrc[0]), int(seq[0])
    for place, (origin, low) in enumerate(zip(ssrc.tolist(), seq.tolist(), strict=True)):
        behind = (low - highest + 0x8000 & 0xFFFF) - 0x8000
        if origin == source and -MAX_MISORDER < behind < MAX_DROPOUT:
            candidate = None
            extended = highest + behind
        elif candidate is not None and (origin, low) == candidate[:2]:
            before = candidate[2]
            source, candidate, extended = origin, None, int(seq[before]) + 1
            found.append(([before], [extended - 1]))
            highest = extended
        else:
            candidate = (origin, low + 1 & 0xFFFF, place)
            continue
        found[-1][0].append(place)
        found[-1][1].append(extended)
        highest = max(highest, extended)
    return [(np.array(places), np.array(numbers)) for places, numbers in found]


def _count(packets: Array, number: Array) -> tuple[Array, Array]:
    """Count one segment's frames.

    Args:
        packets: Its packets in order of their extended sequence numbers.
        number: Those numbers.

    Returns:
        Frames expected, frames complete, frames between the first and the last, the ticks between these, and bytes; and
        the steps of the transit time from frame to frame, ns.
    """
    timestamp = packets["timestamp"]
    place = np.flatnonzero(np.concatenate(([True], timestamp[1:] != timestamp[:-1])))
    received = np.diff(place, append=len(packets))
    end = place + received - 1
    marker, starts = packets["marker"][end], packets["starts"][place]
    complete = number[end] - number[place] + 1 == received
    gap = number[place[1:]] - number[end[:-1]] - 1
    ticks = _signed_column(np.diff(timestamp[place]), 32)
    missing = _missing(ticks, gap, marker, starts)

    broken = gap > 0
    complete[1:] &= ~broken | (starts[1:] & (~marker[:-1] | (missing > 0)))
    complete[:-1] &= ~broken | marker[:-1]
    counted = np.ones(len(place), np.bool_)
    counted[0] &= starts[0]
    counted[-1] &= marker[-1]
    wholly = int(missing.sum())
    counts = (
        np.count_nonzero(counted) + wholly,
        np.count_nonzero(counted & complete),
        len(place) - 1 + wholly,
        ticks.sum(),
        packets["bytes"].sum(),
    )
    arrival = np.minimum.reduceat(packets["arrival_ns"], place)
    return np.array(counts, np.int64), np.diff(arrival) - ticks * 1_000_000_000 // CLOCK_RATE


def _missing(ticks: Array, gap: Array, marker: Array, starts: Array) -> Array:
    """Return how many frames are wholly missing between each frame and the next."""
    forward = ticks > 0
    known = ticks[forward & (gap == 0)]
    known = known if len(known) else ticks[forward]
    if not len(known):
        return np.zeros(len(ticks), np.int64)
    usual = int(np.sort(known)[(len(known) - 1) // 2])
    fitting = (2 * ticks + usual) // (2 * usual) - 1
    free = gap - ~marker[:-1] - ~starts[1:]
    missing: Array = np.maximum(np.minimum(fitting, free), 0)
    return missing


def _estimates(steps_ns: Array) -> list[int]:
    """Return A.8's running estimate of the jitter, in 1/16 ns, after each step of the transit time."""
    jitter = 0
    jitters = []
    for step in np.abs(steps_ns).tolist():
        if step <= MAX_TRANSIT_STEP_NS:
            jitter += step - (jitter + 8 >> 4)
            jitters.append(jitter)
    return jitters

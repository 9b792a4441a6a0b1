"""Reception of one stream, a packet at a time: the readable half of the media arithmetic (RFC 3550 A.1, A.3, A.8).

Owns the definitions; `columns` computes the same for thousands of streams and a property test holds them equal. Must
not read clocks.

Where this differs from the RFC's sample code, on purpose:

- Duplicates are told apart and counted, not netted against losses.
- A packet from before the first received one lowers the base: counting is from the lowest number received.
- No probation: the first packet is latched on to (A.1 wants two in sequence). A later change of SSRC, or a jump of the
  sequence numbers, does need two packets in sequence.
- ``MAX_MISORDER`` is 500, not 100: a packet up to 10 s late at 50 packets/s is reordered, beyond that it is lost.
- The jitter estimate is A.8's integer recursion in nanoseconds rather than in ticks of the codec's clock, so that a
  tick's rounding (125 µs) is no jitter. Timestamps are subtracted modulo 2^32 before anything else.
- A step of the transit time beyond 10 s is a source that set its timestamps anew (music on hold), not jitter.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.rtp.report import PLAYOUT_BUFFER_SECONDS, ReceptionSummary

MAX_DROPOUT: Final = 3000
"""A jump forward by this many packets or more is a new source, not a loss (RFC 3550 A.1)."""
MAX_MISORDER: Final = 500
"""A packet this many or more behind the highest is rejected: a packet later than that is lost."""
WINDOW: Final = 512
"""Sequence numbers, up to the highest, that are still told apart from duplicates; a power of two ≥ MAX_MISORDER."""
MAX_TRANSIT_STEP_NS: Final = 10_000_000_000
"""A larger step of the transit time is the source's new timestamp base."""
PLAYOUT_NS: Final = int(PLAYOUT_BUFFER_SECONDS * 1e9)


class Reception:
    """What was received of one stream.

    Args:
        clock_rate: The codec's clock, Hz.
    """

    def __init__(self, clock_rate: int = 8000) -> None:
        self._clock_rate = clock_rate
        self._ssrc: int | None = None
        self._highest = 0
        self._base = 0
        self._seen: set[int] = set()
        self._candidate: tuple[int, int] | None = None
        self._expected_before = 0
        self._received = 0
        self._duplicates = 0
        self._reordered = 0
        self._restarts = 0
        self._rejected = 0
        self._first_arrival_ns = 0
        self._last_arrival_ns = 0
        self._last_timestamp = 0
        self._jitter = 0  # in 1/16 ns, as A.8 keeps it
        self._jitters: list[int] = []
        self._transit = 0  # relative to the first packet's
        self._least_transit = 0
        self._late = 0

    def receive(self, seq: int, timestamp: int, arrival_ns: int, ssrc: int = 0) -> None:
        """Take one packet.

        Args:
            seq: Sequence number, 16 bits.
            timestamp: RTP timestamp, 32 bits.
            arrival_ns: Kernel receive time, CLOCK_REALTIME nanoseconds.
            ssrc: Synchronisation source.
        """
        continues = False
        extended = self._extend(seq)
        if self._ssrc is None:
            self._ssrc, extended = ssrc, 1 << 16 | seq
            self._base = self._highest = extended
            self._first_arrival_ns = arrival_ns
        elif ssrc == self._ssrc and -MAX_MISORDER < extended - self._highest < MAX_DROPOUT:
            continues = True
            # A candidate must be followed at once: a stray packet now and then is no new source.
            self._candidate = None
        elif (ssrc, seq) == self._candidate:
            extended = self._restart(ssrc, seq)
        else:
            self._candidate = (ssrc, seq + 1 & 0xFFFF)
            self._rejected += 1
            return

        if extended in self._seen:
            self._duplicates += 1
            return
        self._seen.add(extended)
        self._received += 1
        self._reordered += extended < self._highest
        self._base = min(self._base, extended)
        self._highest = max(self._highest, extended)
        if continues:
            self._estimate_jitter(timestamp, arrival_ns)
        self._last_timestamp = timestamp
        self._last_arrival_ns = arrival_ns

    def summary(self) -> ReceptionSummary | None:
        """Return what was counted; None if nothing was received."""
        if self._ssrc is None:
            return None
        expected = self._expected_before + self._highest - self._base + 1
        count = len(self._jitters)
        return ReceptionSummary(
            expected=expected,
            received=self._received,
            lost=expected - self._received,
            duplicates=self._duplicates,
            reordered=self._reordered,
            jitter_seconds=sum(self._jitters) / count / 16e9 if count else None,
            jitter_max_seconds=max(self._jitters) / 16e9 if count else None,
            first_arrival_ns=self._first_arrival_ns,
            last_arrival_ns=self._last_arrival_ns,
            ssrc=self._ssrc,
            restarts=self._restarts,
            rejected=self._rejected,
            late=self._late,
            burst_ratio=self._burst_ratio(),
        )

    def _extend(self, seq: int) -> int:
        """Return the sequence number with its cycles, nearest to the highest (RFC 3550 A.1)."""
        return self._highest + ((seq - self._highest + 0x8000 & 0xFFFF) - 0x8000)

    def _restart(self, ssrc: int, seq: int) -> int:
        """Begin a new segment with this packet and the candidate before it; the segments' losses add up."""
        self._expected_before += self._highest - self._base + 1
        self._restarts += 1
        extended = ((self._highest >> 16) + 2) << 16 | seq
        self._ssrc = ssrc
        self._candidate = None
        self._base = self._highest = extended - 1
        self._seen = {extended - 1}
        self._received += 1
        self._rejected -= 1
        return extended

    def _estimate_jitter(self, timestamp: int, arrival_ns: int) -> None:
        ticks = (timestamp - self._last_timestamp + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
        step = arrival_ns - self._last_arrival_ns - ticks * 1_000_000_000 // self._clock_rate
        if abs(step) > MAX_TRANSIT_STEP_NS:
            return
        self._jitter += abs(step) - (self._jitter + 8 >> 4)
        self._jitters.append(self._jitter)
        self._transit += step
        self._least_transit = min(self._least_transit, self._transit)
        self._late += self._transit - self._least_transit > PLAYOUT_NS

    def _burst_ratio(self) -> float | None:
        start = max(self._base, self._highest - WINDOW + 1)
        missing = [extended not in self._seen for extended in range(start, self._highest + 1)]
        lost = sum(missing)
        runs = sum(here and not before for before, here in zip([False, *missing], missing, strict=False))
        return burst_ratio(lost, runs, len(missing))


def burst_ratio(lost: int, runs: int, packets: int) -> float | None:
    """Return BurstR (G.107 §7): the mean length of loss runs ÷ that of independent losses at the same rate.

    Args:
        lost: Packets lost.
        runs: Runs of consecutive losses among them.
        packets: Packets looked at.
    """
    if not lost:
        return None
    return lost / runs * (1 - lost / packets)

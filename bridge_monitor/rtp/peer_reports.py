"""What a peer's report blocks say of our stream, gathered over a call (RFC 3550 §6.4).

Owns the arithmetic from report blocks to `PeerReportSummary`; must not parse RTCP or decide how long a call goes on.
"""

from __future__ import annotations

from bridge_monitor.rtp.report import PeerReportSummary, RttSummary
from bridge_monitor.rtp.rtcp import ReportBlock, rtt_from_report


class PeerReports:
    """The reports of one stream of ours.

    Args:
        first_seq: Sequence number of the first packet we sent.
        clock_rate: The codec's clock, Hz.
    """

    def __init__(self, first_seq: int, clock_rate: int = 8000) -> None:
        self._first_seq = first_seq
        self._clock_rate = clock_rate
        self._reports = 0
        self._packets_reported: int | None = None
        self._packets_lost: int | None = None
        self._jitter_ticks = 0
        self._rtts_ns: list[int] = []

    @property
    def packets_reported(self) -> int:
        """How many of our packets, from the first, the last report covers; 0 if there is none."""
        return self._packets_reported or 0

    def receive(self, block: ReportBlock, *, packets_sent: int, arrival_ntp_short: int) -> bool:
        """Take a block that speaks of our SSRC.

        Args:
            block: The report block.
            packets_sent: Packets we had sent when it arrived.
            arrival_ntp_short: When it arrived (`rtcp.ntp_short_from_unix_ns`).

        Returns:
            False if it can't be: it names a sequence number that we have not sent in the last 65,536 packets.
        """
        # The low 16 bits are ours; what a peer counts as cycles above them differs between implementations.
        age = self._first_seq + packets_sent - 1 - block.highest_sequence & 0xFFFF
        if age >= packets_sent:
            return False
        self._reports += 1
        self._packets_reported = packets_sent - age
        self._packets_lost = min(max(block.cumulative_lost, 0), self._packets_reported)
        self._jitter_ticks += block.jitter
        rtt = rtt_from_report(arrival_ntp_short, block.lsr, block.dlsr)
        if rtt is not None:
            self._rtts_ns.append(round(rtt * 1e9))
        return True

    def summary(self) -> PeerReportSummary | None:
        """Return what was reported; None if nothing was."""
        if not self._reports:
            return None
        rtts = sorted(self._rtts_ns)
        return PeerReportSummary(
            reports=self._reports,
            packets_reported=self._packets_reported,
            packets_lost=self._packets_lost,
            jitter_seconds=self._jitter_ticks / self._reports / self._clock_rate,
            rtt=RttSummary.from_sorted_ns(rtts, samples=len(rtts), low=rtts[0], high=rtts[-1]) if rtts else None,
        )

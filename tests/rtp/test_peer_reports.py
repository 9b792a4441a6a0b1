from __future__ import annotations

import pytest

from bridge_monitor.rtp.peer_reports import PeerReports
from bridge_monitor.rtp.report import PeerReportSummary, RttSummary
from bridge_monitor.rtp.rtcp import ReportBlock

OURS = 0x1234


def block(
    highest: int, lost: int = 0, *, jitter: int = 0, lsr: int = 0, dlsr: int = 0, ssrc: int = OURS
) -> ReportBlock:
    return ReportBlock(ssrc, 0, lost, highest, jitter, lsr, dlsr)


def test_the_last_report_counts_from_our_first_packet():
    """65,530 is our first: a report up to 5 after the wrap covers 12 packets, whatever cycles the peer counts."""
    reports = PeerReports(65530)
    assert reports.receive(block(65535, 1), packets_sent=10, arrival_ntp_short=0)
    assert reports.packets_reported == 6
    assert reports.receive(block(7 << 16 | 5, 2), packets_sent=20, arrival_ntp_short=0)
    assert reports.packets_reported == 12
    assert reports.summary() == PeerReportSummary(2, 12, 2, 0.0, None)


@pytest.mark.parametrize(("highest", "sent"), [(111, 10), (99, 10), (100, 0)])
def test_a_report_on_packets_that_we_never_sent_is_refused(highest: int, sent: int):
    reports = PeerReports(100)
    assert not reports.receive(block(highest), packets_sent=sent, arrival_ntp_short=0)
    assert reports.packets_reported == 0
    assert reports.summary() is None


def test_a_negative_count_of_losses_reads_zero_and_a_wild_one_all():
    """A peer that nets duplicates may report below zero (RFC 3550 A.3)."""
    reports = PeerReports(0)
    reports.receive(block(9, -4), packets_sent=10, arrival_ntp_short=0)
    assert reports.summary() == PeerReportSummary(1, 10, 0, 0.0, None)
    reports.receive(block(9, 4000), packets_sent=10, arrival_ntp_short=0)
    assert reports.summary() == PeerReportSummary(2, 10, 10, 0.0, None)


def test_jitter_is_the_mean_over_reports_and_rtt_comes_from_lsr_and_dlsr():
    reports = PeerReports(0, clock_rate=8000)
    reports.receive(block(9, jitter=8), packets_sent=10, arrival_ntp_short=65536 * 3)
    reports.receive(block(9, jitter=24, lsr=65536, dlsr=65536), packets_sent=10, arrival_ntp_short=65536 * 3)
    reports.receive(block(9, jitter=16, lsr=65536, dlsr=98304), packets_sent=10, arrival_ntp_short=65536 * 3)
    summary = reports.summary()
    assert summary is not None
    assert summary.jitter_seconds == 0.002
    assert summary.rtt == RttSummary(0.5, 0.75, 0.975, 1.0, 2)

"""`net.engine.layout`: one memory, two readers, and how rows become reports."""

from __future__ import annotations

import numpy as np
import pytest

from bridge_monitor.net.engine.layout import BINS, Layout, bin_edge_ns, lateness_bin, lateness_bins
from bridge_monitor.net.engine.plan import INVALID_REASONS


def test_what_one_side_writes_the_other_reads() -> None:
    memory = bytearray(Layout.size(5))
    ours, theirs = Layout(5, memoryview(memory)), Layout(5, memoryview(memory).toreadonly())
    ours.sent[3] = 42
    ours.unexpected_types[3, 18] = True
    ours.reception.receive(*(np.array([value]) for value in (3, 7, 160, 10**18, 99)))
    ours.echo.reset(3, 10)
    ours.echo.sent(np.array([3]), np.array([10]), np.array([10**18]))
    ours.echo.receive(np.array([3]), np.array([10]), np.array([10**18 + 5_000_000]))
    report = theirs.report(3, None, now_ns=5)
    assert report.packets_sent == 42
    assert report.unexpected_payload_types == (18,)
    assert report.inbound is not None
    assert report.inbound.ssrc == 99
    assert report.echo is not None
    assert report.echo.rtt is not None
    assert report.echo.rtt.median == pytest.approx(0.005)
    assert theirs.report(2, None, now_ns=5).inbound is None
    with pytest.raises(ValueError, match="read-only"):
        theirs.sent[3] = 0


def test_columns_don_t_overlap() -> None:
    """Filling one row's every column to the brim leaves its neighbours untouched."""
    memory = bytearray(Layout.size(3))
    layout = Layout(3, memoryview(memory))
    empty = bytes(memory)
    for name in ("phase", "invalid", "unexpected_source", "sent", "large_sent", "first_rtp_ns", "ended_ns", "lateness"):
        getattr(layout, name)[1] = np.iinfo(getattr(layout, name).dtype).max
    assert bytes(memory) != empty
    assert layout.report(0, None, now_ns=0) == layout.report(2, None, now_ns=0)
    assert layout.report(0, None, now_ns=0).packets_sent == 0
    layout.version[1] = 6
    layout.reset(1, 0)
    layout.version[1] = 0
    assert bytes(memory).count(0) >= empty.count(0) - 8  # all but what the echo's reset writes


def test_flags_become_reasons() -> None:
    layout = Layout(1, memoryview(bytearray(Layout.size(1))))
    layout.invalid[0] = 0b10011
    assert layout.report(0, None, now_ns=0).invalid == (INVALID_REASONS[0], INVALID_REASONS[1], INVALID_REASONS[4])


def test_a_row_that_runs_ends_now() -> None:
    layout = Layout(1, memoryview(bytearray(Layout.size(1))))
    assert layout.report(0, None, now_ns=77).ended_ns == 77
    layout.ended_ns[0] = 55
    assert layout.report(0, None, now_ns=77).ended_ns == 55


def test_lateness_is_told_within_a_tenth() -> None:
    layout = Layout(1, memoryview(bytearray(Layout.size(1))))
    lateness = np.array([100_000] * 50 + [200_000] * 48 + [40_000_000] * 2)
    np.add.at(layout.lateness[0], lateness_bins(lateness), 1)
    layout.lateness_max_ns[0] = lateness.max()
    told = layout.report(0, None, now_ns=0).lateness
    assert told is not None
    assert told.samples == 100
    assert told.p50_seconds == pytest.approx(100e-6, rel=0.1)
    assert told.p99_seconds == pytest.approx(40e-3, rel=0.1)
    assert told.max_seconds == pytest.approx(40e-3)


def test_bins_reach_from_a_microsecond_to_beyond_any_call() -> None:
    places = lateness_bins(np.array([-5, 0, 999, 1001, 10**12]))
    assert places.tolist() == [0, 0, 0, 0, BINS - 1]
    assert bin_edge_ns(0) < bin_edge_ns(1)
    assert bin_edge_ns(BINS - 1) > 10**10


def test_one_lateness_has_the_bin_it_has_among_many() -> None:
    """On both sides of every edge, and beyond the first and the last."""
    edges = [bin_edge_ns(place) for place in range(BINS)]
    lateness = [-5, 0, 10**12, *(edge + near for edge in edges for near in range(-3, 4))]
    assert [lateness_bin(one) for one in lateness] == lateness_bins(np.array(lateness)).tolist()

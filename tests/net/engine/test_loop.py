"""`net.engine.loop`: a call's life, and what makes figures untrue, in virtual time."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bridge_monitor.net.engine import wire
from bridge_monitor.net.engine.layout import Count, Phase
from bridge_monitor.net.engine.loop import clock_offset
from bridge_monitor.net.engine.plan import CLOCK_STEP, ENGINE_STALLED, StreamPlan
from bridge_monitor.rtp.echo import EchoColumns

Plan = Callable[..., StreamPlan]


class TestLife:
    def test_an_echoed_stream_ends_after_its_tail(self, station: Any, new_peer: Any, plan_for: Plan) -> None:
        peer = new_peer()
        peer.echo()
        station.begin(0, plan_for(peer))
        station.run(1.2, peer)
        assert not station.finished(0)
        station.run(0.2, peer)
        report = station.report(0)
        assert (report.ended_ns - report.started_ns) / 1e9 == pytest.approx(0.98 + 0.3, abs=0.02)
        assert station.layout.phase[0] == Phase.DONE
        assert station.ends[0] == (0, 1, None, None)

    def test_on_a_long_way_the_tail_is_longer_by_the_round_trip(
        self, station: Any, new_peer: Any, plan_for: Plan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Packets of a satellite's line that are still on their way must not be counted as lost."""
        monkeypatch.setattr(EchoColumns, "greatest_rtt_ns", lambda _echo, _row: 1_100_000_000)
        peer = new_peer()
        peer.echo()
        station.begin(0, plan_for(peer))
        station.run(2.3, peer)
        assert not station.finished(0)
        station.run(0.2, peer)
        report = station.report(0)
        assert (report.ended_ns - report.started_ns) / 1e9 == pytest.approx(0.98 + 0.3 + 1.1, abs=0.02)

    def test_a_report_that_is_read_as_the_wait_ends_ends_the_call_once(
        self, station: Any, new_peer: Any, plan_for: Plan, packets: Any
    ) -> None:
        peer = new_peer()
        station.begin(0, plan_for(peer, report_wait_seconds=0.5))
        station.run(1.4, peer)
        assert station.layout.phase[0] == Phase.AWAITING_REPORT
        peer.rtcp.sendto(packets.receiver_report(7, 0x0BADCAFE, 149), ("127.0.0.1", station.pairs[0].port + 1))
        station.run(0.099, peer, step_ms=99)
        assert [ended.row for ended in station.ends] == [0]
        assert station.report(0).peer.packets_reported == 50

    def test_without_echo_a_report_is_awaited_but_not_for_ever(
        self, station: Any, new_peer: Any, plan_for: Plan
    ) -> None:
        peer = new_peer()
        station.begin(0, plan_for(peer, report_wait_seconds=15.0))
        station.run(15.8, peer, step_ms=10)
        assert not station.finished(0)
        assert station.layout.phase[0] == Phase.AWAITING_REPORT
        station.run(0.4, peer, step_ms=10)
        report = station.report(0)
        assert (report.inbound, report.echo, report.peer) == (None, None, None)
        assert len(peer.received) == 50

    def test_a_report_that_came_in_time_needs_no_wait(
        self, station: Any, new_peer: Any, plan_for: Plan, packets: Any
    ) -> None:
        peer = new_peer()
        station.begin(0, plan_for(peer))
        station.run(0.99, peer)
        peer.rtcp.sendto(packets.receiver_report(7, 0x0BADCAFE, 147), ("127.0.0.1", station.pairs[0].port + 1))
        station.run(0.4, peer)
        assert station.report(0).peer.packets_reported == 48

    def test_a_report_may_be_asked_for_besides_an_echo(self, station: Any, new_peer: Any, plan_for: Plan) -> None:
        peer = new_peer()
        peer.echo()
        station.begin(0, plan_for(peer, expect_report=True, report_wait_seconds=2.0))
        station.run(2.5, peer)
        assert not station.finished(0)
        station.run(0.6, peer)
        assert station.report(0).echo.received == 50

    def test_a_stream_can_be_stopped(self, station: Any, new_peer: Any, plan_for: Plan) -> None:
        peer = new_peer()
        peer.echo()
        generation = station.begin(0, plan_for(peer))
        station.run(0.4, peer)
        station.parent.send(json.dumps({"op": "stop", "row": 0, "generation": generation}).encode())
        station.run(0.5, peer)
        report = station.report(0)
        assert report.packets_sent == len(peer.received) == report.echo.sent < 25
        assert peer.reports[-1][-8:-4] == b"\x81\xcb\x00\x01"  # BYE

    def test_a_stop_that_comes_too_late_does_not_hit_the_row_s_next_call(
        self, station: Any, new_peer: Any, plan_for: Plan
    ) -> None:
        peer = new_peer()
        peer.echo()
        first = station.begin(0, plan_for(peer, duration_seconds=0.1))
        station.run(1, peer)
        station.ends.clear()
        station.begin(0, plan_for(peer))
        for row in (0, 3):
            station.parent.send(json.dumps({"op": "stop", "row": row, "generation": first}).encode())
        station.run(2, peer)
        assert station.report(0).packets_sent == 50
        assert [ended.row for ended in station.ends] == [0]

    def test_a_row_used_again_knows_nothing_of_its_last_call(
        self, station: Any, new_peer: Any, plan_for: Plan, packets: Any
    ) -> None:
        peer, other = new_peer(), new_peer()
        other.echo()
        station.begin(0, plan_for(peer, report_wait_seconds=0.3))
        peer.rtp.sendto(packets.rtp(1, 1, 1, payload_type=18), ("127.0.0.1", station.pairs[0].port))
        peer.rtp.sendto(packets.rtp(2, 2, 1), ("127.0.0.1", station.pairs[0].port))
        station.run(2, peer, step_ms=10)
        assert station.report(0).inbound is not None
        station.ends.clear()
        station.begin(0, plan_for(other, ssrc=5, first_seq=40000))
        station.run(2, other)
        report = station.report(0)
        assert report.inbound is None
        assert report.unexpected_payload_types == ()
        assert (report.packets_sent, report.echo.sent, report.echo.lost) == (50, 50, 0)
        assert report.lateness.samples == 50

    def test_all_rows_at_once_are_each_counted_for_themselves(
        self, station: Any, new_peer: Any, plan_for: Plan
    ) -> None:
        peers = [new_peer() for _ in range(8)]
        for row, peer in enumerate(peers):
            peer.echo()
            station.begin(row, plan_for(peer, ssrc=row + 1, first_seq=row * 9000, duration_seconds=0.2 + 0.1 * row))
        station.run(2, *peers)
        for row in range(8):
            report = station.report(row)
            assert (report.packets_sent, report.echo.received, report.echo.lost) == (10 + 5 * row, 10 + 5 * row, 0)
            assert station.layout.version[row] % 2 == 0
        assert station.layout.counts[Count.RTP_SENT] == sum(10 + 5 * row for row in range(8))

    def test_calls_that_begin_and_end_all_at_once_do_not_hold_up_the_pace(
        self, new_station: Any, new_peer: Any, plan_for: Plan
    ) -> None:
        """A tick begins, and ends, and reports for, sixteen calls at most; none is forgotten."""
        station = new_station(rows=40)
        peer = new_peer()
        peer.echo()
        for row in range(40):
            plan = plan_for(peer, ssrc=row + 1, duration_seconds=1.5)
            station.parent.send(wire.encode_begin(row, 1, 0, plan))
        begun, reported, ended = [], [], []
        for _ in range(1000):
            station.run(0.002, peer)
            begun.append(int((station.layout.phase != Phase.IDLE).sum()))
            reported.append(int(station.layout.counts[Count.RTCP_SENT]))
            ended.append(int((station.layout.phase == Phase.DONE).sum()))
        assert begun[:4] == [16, 32, 40, 40]
        for counts in (begun, reported, ended):
            assert max(after - before for before, after in itertools.pairwise(counts)) <= 32
        assert ended[-1] == 40
        assert [station.report(row).echo.received for row in range(40)] == [75] * 40


class TestOurFault:
    def test_a_process_that_did_not_run_invalidates_the_calls_that_were_up(
        self, station: Any, new_peer: Any, plan_for: Plan
    ) -> None:
        up, over, later = (new_peer() for _ in range(3))
        for peer in (up, over, later):
            peer.echo()
        station.begin(0, plan_for(up, ssrc=1))
        station.begin(1, plan_for(over, ssrc=2, duration_seconds=0.1))
        station.run(0.6, up, over)
        before = len(up.received)
        station.clock.monotonic += 1_000_000_000
        station.run(0.002, up)
        assert len(up.received) == before  # nothing leaves in a burst
        station.begin(2, plan_for(later, ssrc=3))
        station.run(3, up, later)
        assert ENGINE_STALLED in station.report(0).invalid
        assert station.report(1).invalid == ()
        assert station.report(2).invalid == ()
        assert station.report(0).packets_sent == 50
        assert station.layout.counts[Count.STALLS] == 1

    def test_an_idle_engine_does_not_stall(self, station: Any, new_peer: Any, plan_for: Plan) -> None:
        peer = new_peer()
        peer.echo()
        station.run(0.01)
        station.clock.monotonic += 10_000_000_000
        station.begin(0, plan_for(peer))
        station.run(2, peer)
        assert station.report(0).invalid == ()
        assert station.layout.counts[Count.STALLS] == 0

    @pytest.mark.parametrize(("step_ms", "expected"), [(4, ()), (-6, (CLOCK_STEP,)), (3_600_000, (CLOCK_STEP,))])
    def test_a_step_of_the_wall_clock(
        self, station: Any, new_peer: Any, plan_for: Plan, step_ms: int, expected: tuple[str, ...]
    ) -> None:
        peer = new_peer()
        peer.echo()
        station.begin(0, plan_for(peer))
        station.run(0.5, peer)
        station.clock.offset += step_ms * 1_000_000
        station.run(2, peer)
        assert station.report(0).invalid == expected

    def test_the_clocks_difference_is_that_of_the_least_disturbed_reading(self) -> None:
        monotonic = iter([0, 5_000_000, 5_000_000, 5_002_000, 6_000_000, 9_000_000])
        real = iter([1_000_001_000, 1_005_001_000, 1_008_000_000])
        assert clock_offset((lambda: next(monotonic), lambda: next(real))) == 1_000_000_000


class TestParent:
    def test_the_engine_ends_when_its_parent_is_gone(self, station: Any, new_peer: Any, plan_for: Plan) -> None:
        """And sends nothing more, in the midst of a call."""
        peer = new_peer()
        worker = threading.Thread(target=station.engine.run)
        station.begin(0, plan_for(peer, duration_seconds=60.0))
        worker.start()
        station.run(0.0, peer)
        station.parent.close()
        worker.join(5)
        assert not worker.is_alive()

    def test_a_stream_that_can_t_be_carried_out_is_refused_and_hurts_no_other(
        self, station: Any, new_peer: Any, plan_for: Plan
    ) -> None:
        peer = new_peer()
        peer.echo()
        station.begin(0, plan_for(peer))
        whole = wire.encode_begin(1, 77, 0, plan_for(peer))
        station.parent.send(whole[:-4])
        station.run(2, peer)
        assert [(told["event"], told["row"], told["generation"]) for told in station.told] == [("refused", 1, 77)]
        assert "no plan" in station.told[0]["reason"]
        assert station.report(0).echo.received == 50
        assert station.layout.phase[1] == Phase.IDLE

    def test_an_idle_engine_ends_too(self, station: Any) -> None:
        worker = threading.Thread(target=station.engine.run)
        worker.start()
        station.parent.close()
        worker.join(5)
        assert not worker.is_alive()

    def test_a_parent_that_does_not_read_does_not_stop_the_pace(
        self, station: Any, new_peer: Any, plan_for: Plan
    ) -> None:
        """What is told waits; captured packets beyond the limit are dropped and counted."""
        peer = new_peer()
        station.begin(0, plan_for(peer, capture=True, duration_seconds=20.0, report_wait_seconds=0.3))
        engine = station.engine
        station._listen = lambda: None
        station.run(24, peer, step_ms=10)
        assert len(peer.received) == 1000
        assert 0 < len(engine._outbox) <= 20_000
        del station._listen
        station.run(0.1)
        station.run(0.1)
        assert station.finished(0)
        assert len(station.captured) >= 1000

    def test_captured_packets_wait_in_a_bounded_queue(
        self, station: Any, new_peer: Any, plan_for: Plan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from bridge_monitor.net.engine import loop

        monkeypatch.setattr(loop, "_CAPTURES_WAITING", 10)
        monkeypatch.setattr(station.engine, "_flush", lambda: None)
        peer = new_peer()
        station.begin(0, plan_for(peer, capture=True, report_wait_seconds=0.3))
        station.run(2, peer)
        assert station.layout.counts[Count.CAPTURES_DROPPED] == 42  # 50 packets, SR, and SR with BYE
        assert (len(station.engine._outbox), len(station.engine._ended)) == (10, 1)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge_monitor.config import Configuration
from bridge_monitor.config.plan import SweepEstimate, caps_beside, estimate_first_sweep, plannables
from bridge_monitor.domain import Event
from bridge_monitor.probes.reference import Reference
from bridge_monitor.schedule import Caps, CapSet, Intervals, Plannable

Good = Callable[[], Configuration]


def estimate(
    count: int,
    caps: CapSet,
    *,
    event: Event | None = None,
    start: float = 0.0,
    call_seconds: float = 40.0,
    bandwidth_bps: float = 80e3,
) -> SweepEstimate:
    sites = [
        Plannable(f"{number:03}", "commune", f"{number % 4}", "VNPT", call_seconds, bandwidth_bps)
        for number in range(count)
    ]
    usual = {site.site: 10.0 for site in sites}
    return estimate_first_sweep(sites, usual, event=event, caps=caps, intervals=Intervals(), start=start)


def test_sites_become_what_the_schedule_sees(good: Good) -> None:
    configuration = good()
    plans = plannables(configuration.inventory, configuration.profiles)
    assert [plan.site for plan in plans] == ["01", "001", "002", "00001"]
    room, short = (configuration.profiles[name] for name in ("room", "short"))
    assert plans[1] == Plannable("001", "district", "01", "VNPT", room.longest_call_seconds, room.bandwidth_bps)
    assert plans[2].call_seconds == short.longest_call_seconds


def test_the_number_of_calls_at_once_binds_the_sweep() -> None:
    sweep = estimate(100, CapSet(Caps(1000.0, 10), Caps()))
    assert (sweep.calls, sweep.done, sweep.starts_at) == (100, 100, 0.0)
    assert sweep.done_at == pytest.approx(100, abs=2)


def test_the_rate_of_calls_binds_the_sweep() -> None:
    sweep = estimate(100, CapSet(Caps(2.0, 1000), Caps()))
    assert sweep.done_at == pytest.approx(100 / 2 + 10, abs=2)


def test_a_provinces_bandwidth_binds_the_sweep() -> None:
    sweep = estimate(100, CapSet(Caps(1000.0, 1000), Caps(bandwidth_bps=400e3)))
    assert sweep.done_at == pytest.approx(25 / 5 * 10, abs=2)


def test_a_sweep_that_does_not_fit_into_one_window_goes_on_in_the_next(good: Good) -> None:
    event = good().event
    late = event.rehearsals[0].end.timestamp() - 60
    sweep = estimate(100, CapSet(Caps(1.0, 1000), Caps()), event=event, start=late)
    assert sweep.starts_at == late
    assert sweep.done_at is not None
    assert event.rehearsals[1].start.timestamp() < sweep.done_at < event.rehearsals[1].end.timestamp()


def test_a_sweep_that_no_window_is_left_for_is_never_done(good: Good) -> None:
    event = good().event
    late = event.guard_start.timestamp() - 60
    sweep = estimate(100, CapSet(Caps(1.0, 1000), Caps()), event=event, start=late)
    assert sweep.done_at is None
    assert 0 < sweep.done < 100


def test_rooms_that_can_never_be_called_are_named_and_not_waited_for(good: Good) -> None:
    sweep = estimate(3, CapSet(), bandwidth_bps=30e6)
    assert (sweep.done_at, sweep.done, set(sweep.never)) == (0.0, 0, {"000", "001", "002"})
    short = replace(good().event, quiet_hours=None)
    sweep = estimate(1, CapSet(), event=short, start=short.rehearsals[0].start.timestamp(), call_seconds=1e6)
    assert sweep.never == {"000": "call_longer_than_window"}


def test_no_sites_are_done_at_once() -> None:
    assert estimate(0, CapSet()) == SweepEstimate(0, 0.0, 0.0, 0, {})


class TestReference:
    REFERENCE = Reference({"a": "sip:echo@192.0.2.7"})

    def test_its_calls_come_out_of_the_total_bandwidth_and_of_nothing_else(self) -> None:
        caps = CapSet(total=Caps(20.0, 200, 1e6))
        beside = caps_beside(self.REFERENCE, caps)
        assert beside.total == Caps(20.0, 200, 1e6 - 160e3)
        assert replace(beside, total=caps.total) == caps

    def test_without_a_reference_or_a_cap_nothing_is_taken(self) -> None:
        assert caps_beside(Reference(), CapSet(total=Caps(None, None, 1e6))).total.bandwidth_bps == 1e6
        assert caps_beside(self.REFERENCE, CapSet()) == CapSet()

    def test_where_it_takes_all_no_room_can_be_called(self) -> None:
        caps = caps_beside(self.REFERENCE, CapSet(total=Caps(None, None, 100e3)))
        assert estimate(3, caps).never == dict.fromkeys(("000", "001", "002"), "bandwidth_above_cap")

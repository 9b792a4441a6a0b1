"""A whole rehearsal in virtual time: 11,363 rooms from 14:00 to the guard next morning, by default caps."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from time import perf_counter
from typing import Any

import pytest

from bridge_monitor.schedule import Caps, CapSet, Intervals, Plannable, Planner, may_start, phase_at
from bridge_monitor.schedule.order import sweep_positions

CALL_SECONDS = 30.0
BANDWIDTH_BPS = 87_200.0
"""G.711, 20 ms, with Ethernet framing."""

TIERS = {"central": 600.0, "province": 900.0, "district": 1800.0, "commune": 5400.0}
CARRIERS = ("VNPT", "Viettel", "MobiFone")


@cache
def nation() -> list[Plannable]:
    """Make a nation of Vietnam's size of June 2024: 63 provinces of 5 to 30 districts, 11,363 rooms and the centre."""
    chance = random.Random("nation")
    weights = [chance.uniform(1, 6) for _ in range(63)]
    rooms = [Plannable("00", "central", "", "VNPT", CALL_SECONDS, BANDWIDTH_BPS)]
    for tier, total in (("province", 63), ("district", 705), ("commune", 10_595)):
        sizes = [max(1, math.floor(total * weight / sum(weights))) for weight in weights]
        sizes = [1] * 63 if tier == "province" else sizes
        sizes[0] += total - sum(sizes)
        rooms += [
            Plannable(f"{number:02}-{tier}-{index}", tier, f"{number:02}", chance.choice(CARRIERS), *CALL)
            for number, size in enumerate(sizes, 1)
            for index in range(size)
        ]
    return rooms


CALL = (CALL_SECONDS, BANDWIDTH_BPS)


@dataclass
class Rooms:
    """How the rooms behave: one in twelve is dead, one in fifty busy, calls take 8 to 16 s, silence takes longer."""

    chance: random.Random

    def __call__(self, site: str, now: float) -> tuple[float, bool, bool]:
        del now
        draw = self.chance.random()
        if hash_of(site) % 12 == 0:
            return self.chance.choice((0.1, 10.0, 29.9)), True, False
        return self.chance.uniform(8, 16), draw < 0.05, draw > 0.98


def hash_of(site: str) -> int:
    return sum(site.encode()) * 7919


def rehearse(kit: Any, caps: CapSet, intervals: Intervals) -> Any:
    event = kit.event()
    planner = Planner(nation(), event, caps, intervals, seed="rehearsal")
    chance = random.Random("rooms")
    return kit.Rehearsal(
        planner, kit.local("2024-06-27T13:00"), Rooms(chance), lateness=lambda: chance.expovariate(1 / 0.002)
    )


@pytest.fixture(scope="module")
def rehearsal(kit: Any) -> Any:
    """Run the rehearsal from an hour before it to the end of the conference."""
    run = rehearse(kit, CapSet(), Intervals(by_tier=TIERS))
    run.run_until(kit.local("2024-06-28T12:00"))
    return run


def test_the_nation_has_vietnams_size() -> None:
    assert Counter(room.tier for room in nation()) == {"central": 1, "province": 63, "district": 705, "commune": 10_595}


def test_no_cap_is_ever_broken(kit: Any, rehearsal: Any) -> None:
    assert len(rehearsal.calls) > 50_000
    kit.CapChecker(nation(), CapSet()).check(rehearsal.calls)


def test_no_call_is_up_outside_a_window_or_in_quiet_hours(kit: Any, rehearsal: Any) -> None:
    assert not rehearsal.up
    event = kit.event()
    for call in rehearsal.calls:
        assert may_start(event, call.started, CALL_SECONDS)
        assert phase_at(event, call.started) == phase_at(event, call.ended) == "rehearsal"
    hours = Counter(int((call.started - kit.local("2024-06-27T14:00")) // 3600) for call in rehearsal.calls)
    assert sorted(hours) == [0, 1, 2, 3, 4, 5, 16, 17]


def test_no_site_starves(rehearsal: Any, kit: Any) -> None:
    """Every site is called again within one and a half intervals of open time, whatever the others do."""
    starts = defaultdict(list)
    for call in rehearsal.calls:
        starts[call.site].append(call.started)
    assert len(starts) == len(nation())
    evening, morning = kit.local("2024-06-27T20:00"), kit.local("2024-06-28T06:00")

    def open_time(moment: float) -> float:
        return moment if moment <= evening else moment - (morning - evening)

    for room in nation():
        moments = [open_time(moment) for moment in starts[room.site]]
        moments.append(open_time(kit.local("2024-06-28T07:30")))
        # In the first sweep and after the night everyone is due at once: that takes its twelve minutes.
        allowed = 1.5 * TIERS[room.tier] + 900
        assert max(later - earlier for earlier, later in pairwise(moments)) <= allowed


def test_the_first_sweep_is_as_fast_as_the_caps_allow(kit: Any) -> None:
    """With rooms that answer, 11,364 calls of 12 s, 200 at once, take 682 s at best; it takes 2 % more at most."""
    planner = Planner(nation(), kit.event(), CapSet(), Intervals(by_tier=TIERS))
    start = kit.local("2024-06-27T14:00")
    run = kit.Rehearsal(planner, start, lambda _site, _now: (12.0, False, False))
    run.run_until(start + 900)
    first = run.calls[: len(nation())]
    optimum = max(len(nation()) / 20, len(nation()) * 12 / 200)
    assert len({call.site for call in first}) == len(nation())
    assert max(call.ended for call in first) - start <= optimum * 1.02 + 12


def test_one_slow_province_holds_no_other_up(kit: Any) -> None:
    """A province with a small cap takes its own time, which is the shortest it can; all others are done as without."""
    caps = CapSet(overrides_province={"01": Caps(calls_at_once=2)})
    planner = Planner(nation(), kit.event(), caps, Intervals(default=7200.0))
    start = kit.local("2024-06-27T14:00")
    run = kit.Rehearsal(planner, start, lambda _site, _now: (12.0, False, False))
    run.run_until(start + 1800)
    slow = [call.ended for call in run.calls if call.site.startswith("01-")]
    others = [call.ended for call in run.calls if not call.site.startswith("01-")]
    assert max(slow) - start == pytest.approx(len(slow) * 12 / 2, rel=0.02)
    assert max(others) - start <= len(others) * 12 / 200 * 1.05 + 12
    kit.CapChecker(nation(), caps).check(run.calls)


def test_all_provinces_get_on_alike_in_the_first_sweep(rehearsal: Any) -> None:
    """Whenever the sweep is half done, each province of some size is half done, within a tenth."""
    sizes = Counter(room.province for room in nation())
    firsts: dict[str, None] = dict.fromkeys(call.site for call in rehearsal.calls)
    half = Counter(site[:2] for site in list(firsts)[: len(firsts) // 2])
    for province, size in sizes.items():
        if size >= 50:
            assert half[province] / size == pytest.approx(0.5, abs=0.1)


def test_failed_rooms_are_tried_again_soon_while_the_first_sweep_runs(rehearsal: Any, kit: Any) -> None:
    """Half of the rooms dead since 14:00 have had a second try within three minutes of their first end."""
    waits = []
    calls = defaultdict(list)
    for call in rehearsal.calls:
        if call.started < kit.local("2024-06-27T14:20"):
            calls[call.site].append(call)
    for site, made in calls.items():
        if hash_of(site) % 12 == 0:
            waits.append(made[1].started - made[0].ended if len(made) > 1 else math.inf)
    assert len(waits) > 800
    assert min(waits) >= 60.0 - 1e-5
    assert sorted(waits)[len(waits) // 2] <= 180.0


def test_narrow_caps_everywhere_hold_too(kit: Any) -> None:
    """Rates, counts and bandwidths of provinces and carriers together, rooms of three kinds of calls, two hours."""
    chance = random.Random("narrow")
    rooms = [
        Plannable(room.site, room.tier, room.province, room.carrier, CALL_SECONDS, chance.choice((9e4, 3e5, 2e6)))
        for room in nation()[::5]
    ]
    caps = CapSet(
        total=Caps(calls_per_second=8.5, calls_at_once=90, bandwidth_bps=6e7),
        per_province=Caps(calls_per_second=0.4, calls_at_once=5, bandwidth_bps=4e6),
        per_carrier=Caps(calls_per_second=3.0, calls_at_once=40, bandwidth_bps=3e7),
        overrides_province={"01": Caps(calls_per_second=1.5, calls_at_once=12), "02": Caps(calls_at_once=1)},
        overrides_carrier={"MobiFone": Caps(calls_per_second=1.2)},
    )
    assert not any(room.bandwidth_bps > 4e6 for room in rooms)
    planner = Planner(rooms, kit.event(), caps, Intervals(default=1800.0), seed="narrow")
    start = kit.local("2024-06-27T14:00")
    run = kit.Rehearsal(planner, start, Rooms(chance), lateness=lambda: chance.uniform(0, 0.01))
    run.run_until(start + 7200)
    kit.CapChecker(rooms, caps).check(run.calls)
    assert {call.site for call in run.calls} == {room.site for room in rooms}


def test_reloads_in_the_middle_break_nothing(kit: Any) -> None:
    """Every two minutes a tenth of the rooms goes and another comes; caps hold and all who stayed are called."""
    chance = random.Random("reload")
    rooms = nation()[::3]
    caps = CapSet(total=Caps(calls_per_second=6.0, calls_at_once=60))
    planner = Planner(rooms, kit.event(), caps, Intervals(by_tier=TIERS))
    start = kit.local("2024-06-27T14:00")
    run = kit.Rehearsal(planner, start, Rooms(chance))
    stayed = {room.site for room in rooms}
    for minute in range(2, 21, 2):
        run.run_until(start + minute * 60)
        now = chance.sample(rooms, len(rooms) * 9 // 10)
        stayed &= {room.site for room in now}
        planner.replace_sites(now, kit.event(), caps, Intervals(by_tier=TIERS), run.now)
        assert planner.calls_in_flight == len(run.up)
    kit.CapChecker(rooms, caps).check(run.calls)
    assert len(stayed) > 1000
    assert stayed <= {call.site for call in run.calls}


def test_a_start_costs_microseconds_and_no_more_in_a_larger_nation(record_property: Any) -> None:
    """Planning a call (due, finished, next wake-up) costs the same within a factor for 30,000 sites as for 3,000."""
    costs = {}
    for size in (3_000, 11_363, 30_000):
        rooms = [
            Plannable(f"{index}", "commune", f"{index % 63:02}", CARRIERS[index % 3], *CALL) for index in range(size)
        ]
        planner = Planner(rooms, None, CapSet(total=Caps(calls_at_once=200)), Intervals())
        calls, now, began = 0, 0.0, perf_counter()
        while calls < 6_000:
            due = planner.due(now)
            calls += len(due)
            now += 10.0
            for site in due:
                planner.finished(site, now, bad=False)
            planner.next_wakeup(now)
        costs[size] = (perf_counter() - began) / calls
        record_property(f"planner_microseconds_per_start_{size}", round(costs[size] * 1e6, 1))
        print(f"\nplanner: {costs[size] * 1e6:.1f} µs a start with {size} sites")  # noqa: T201 (a figure to quote)
    assert costs[30_000] < 5 * costs[3_000] + 100e-6


def test_positions_of_the_nation_are_quick_to_find() -> None:
    began = perf_counter()
    assert len(sweep_positions(nation(), "a")) == len(nation())
    assert perf_counter() - began < 2.0


@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_whole_rehearsal_at_the_shipped_interval(kit: Any) -> None:
    """All 11,363 rooms every 15 minutes, the caps nearly used up: they hold, and no room is left out."""
    run = rehearse(kit, CapSet(), Intervals())
    run.run_until(kit.local("2024-06-28T12:00"))
    kit.CapChecker(nation(), CapSet()).check(run.calls)
    starts = Counter(call.site for call in run.calls)
    assert min(starts.values()) >= 15

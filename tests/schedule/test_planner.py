from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from bridge_monitor.errors import LocalProtocolError
from bridge_monitor.schedule import HAND_HOLD_SECONDS, UNLIMITED, Caps, CapSet, Intervals, Plannable, Planner

NOW = 1_719_471_600.0  # 2024-06-27 14:00 in Vietnam
NO_CAPS = CapSet(UNLIMITED, UNLIMITED, UNLIMITED)


def site(code: str, **facts: Any) -> Plannable:
    """Make a site whose province is the first two letters of its code."""
    return replace(Plannable(code, "commune", code[:2], "VNPT", 20.0, 9e4), **facts)


def sites(*codes: str) -> list[Plannable]:
    return [site(code) for code in codes]


class TestFirstSweep:
    def test_without_caps_all_sites_start_at_once(self) -> None:
        planner = Planner(sites("01a", "01b", "02a"), None, NO_CAPS, Intervals())
        assert planner.next_wakeup(NOW) == NOW
        assert sorted(planner.due(NOW)) == ["01a", "01b", "02a"]
        assert planner.calls_in_flight == 3
        assert planner.due(NOW) == []
        assert planner.next_wakeup(NOW) is None

    def test_the_same_seed_gives_the_same_order(self) -> None:
        codes = [f"{province:02}{index}" for province in range(9) for index in range(9)]
        orders = [Planner(sites(*codes), None, NO_CAPS, Intervals(), seed=seed).due(NOW) for seed in "aab"]
        assert orders[0] == orders[1] != orders[2]

    def test_starts_follow_the_rate(self) -> None:
        planner = Planner(sites("01a", "01b", "01c"), None, replace(NO_CAPS, total=Caps(2.0)), Intervals())
        assert len(planner.due(NOW)) == 1
        assert planner.next_wakeup(NOW) == pytest.approx(NOW + 0.5)
        assert planner.due(NOW + 0.4) == []
        assert len(planner.due(NOW + 0.5)) == 1

    def test_a_full_house_waits_for_an_end(self) -> None:
        planner = Planner(sites("01a", "01b"), None, replace(NO_CAPS, total=Caps(calls_at_once=1)), Intervals())
        (first,) = planner.due(NOW)
        assert planner.next_wakeup(NOW) is None
        planner.finished(first, NOW + 10, bad=False)
        assert planner.next_wakeup(NOW + 10) == NOW + 10
        assert len(planner.due(NOW + 10)) == 1

    def test_before_the_rehearsal_it_sleeps_until_it_opens(self, kit: Any) -> None:
        planner = Planner(sites("01a"), kit.event(), NO_CAPS, Intervals())
        assert planner.due(NOW - 60) == []
        assert planner.next_wakeup(NOW - 60) == NOW
        assert planner.due(NOW) == ["01a"]

    def test_progress_tells_of_the_sweep(self) -> None:
        planner = Planner(sites("01a", "01b"), None, NO_CAPS, Intervals())
        assert planner.progress().number == 0
        assert planner.progress().total == 2
        for code in planner.due(NOW):
            planner.finished(code, NOW + 9, bad=True)
        progress = planner.progress()
        assert (progress.number, progress.done) == (1, 2)
        assert progress.started_at is not None
        assert progress.finished_at is not None
        assert (progress.finished_at - progress.started_at).total_seconds() == 9
        # A retry is no sweep.
        assert len(planner.due(NOW + 69)) == 2
        assert planner.progress() == progress


class TestRepeats:
    def test_a_good_site_comes_again_after_its_tiers_interval(self) -> None:
        """The second call comes after half to one and a half intervals, each later one exactly one after it."""
        plan = [site("01a", tier="central"), site("01b", tier="central"), site("01c"), site("01d")]
        intervals = Intervals(by_tier={"central": 400.0}, default=900.0, min_between_calls=60.0)
        planner = Planner(plan, None, NO_CAPS, intervals)
        starts: dict[str, list[float]] = {entry.site: [] for entry in plan}
        now: float | None = NOW
        while now is not None and now < NOW + 5000:
            for code in planner.due(now):
                starts[code].append(now)
                planner.finished(code, now, bad=False)
            now = planner.next_wakeup(now)
        for entry in plan:
            interval = intervals.of_tier(entry.tier)
            gaps = [later - earlier for earlier, later in pairwise(starts[entry.site])]
            assert interval / 2 - 1e-3 <= gaps[0] <= interval * 1.5 + 1e-3
            assert gaps[1:] == pytest.approx([interval] * (len(gaps) - 1), abs=1e-3)
            assert len(gaps) >= 3

    def test_the_first_sweeps_hurry_does_not_come_again(self) -> None:
        """After a first sweep at once, the calls of the following intervals are spread over them."""
        codes = [f"{province:02}{index}" for province in range(10) for index in range(10)]
        planner = Planner(sites(*codes), None, NO_CAPS, Intervals(default=1000.0, min_between_calls=0))
        for code in planner.due(NOW):
            planner.finished(code, NOW + 1, bad=False)
        starts: Counter[int] = Counter()
        now: float | None = NOW + 1
        while now is not None and now < NOW + 3000:
            for code in planner.due(now):
                starts[int((now - NOW) // 100)] += 1
                planner.finished(code, now + 1, bad=False)
            now = planner.next_wakeup(now)
        assert all(8 <= starts[tenth] <= 12 for tenth in range(6, 30))
        assert not any(starts[tenth] for tenth in range(5))

    def test_no_call_by_plan_comes_sooner_than_min_between_calls_after_a_good_one(self) -> None:
        planner = Planner(sites("01a"), None, NO_CAPS, Intervals(default=10.0, min_between_calls=300.0))
        planner.due(NOW)
        planner.finished("01a", NOW + 5, bad=False)
        wakeup = planner.next_wakeup(NOW + 5)
        assert wakeup is not None
        assert NOW + 305 <= wakeup <= NOW + 315


class TestRetries:
    def test_a_bad_site_comes_again_soon_even_within_min_between_calls(self) -> None:
        planner = Planner(sites("01a"), None, NO_CAPS, Intervals(retry=60.0, min_between_calls=300.0))
        planner.due(NOW)
        planner.finished("01a", NOW + 5, bad=True)
        assert planner.due(NOW + 64) == []
        assert planner.next_wakeup(NOW + 64) == NOW + 65
        assert planner.due(NOW + 65) == ["01a"]

    def test_after_its_retries_a_bad_site_waits_for_its_interval(self) -> None:
        planner = Planner(sites("01a"), None, NO_CAPS, Intervals(default=10_000.0, retry=60.0, retries=2))
        now = NOW
        for _ in range(3):
            assert planner.due(now) == ["01a"]
            planner.finished("01a", now, bad=True)
            now += 60
        wakeup = planner.next_wakeup(now)
        assert wakeup is not None
        assert wakeup >= now + 1000
        # Settled by a good call, it has its retries again.
        planner.due(wakeup)
        planner.finished("01a", wakeup, bad=False)
        later = planner.next_wakeup(wakeup)
        assert later is not None
        planner.due(later)
        planner.finished("01a", later, bad=True)
        assert planner.next_wakeup(later) == later + 60

    def test_a_retry_longer_than_the_interval_does_not_put_the_call_off(self) -> None:
        planner = Planner(sites("01a"), None, NO_CAPS, Intervals(default=100.0, retry=5000.0, min_between_calls=0))
        planner.due(NOW)
        planner.finished("01a", NOW, bad=True)
        wakeup = planner.next_wakeup(NOW)
        assert wakeup is not None
        assert wakeup <= NOW + 150

    def test_a_busy_room_is_left_alone_for_min_between_calls(self) -> None:
        planner = Planner(sites("01a"), None, NO_CAPS, Intervals(default=10_000.0, min_between_calls=300.0))
        planner.due(NOW)
        planner.finished("01a", NOW + 5, bad=True, busy=True)
        assert planner.next_wakeup(NOW + 5) == NOW + 305
        assert planner.due(NOW + 305) == ["01a"]

    def test_while_others_wait_one_start_in_four_is_a_retry(self) -> None:
        """40 rooms of 100 fail: their retries come while the sweep runs, and take a quarter of it."""
        codes = [f"01{index}" for index in range(100)]
        planner = Planner(sites(*codes), None, replace(NO_CAPS, total=Caps(1.0)), Intervals(retry=1.0, retries=1))
        order: list[str] = []
        now = NOW
        while len(order) < 140:
            for code in planner.due(now):
                order.append(code)
                planner.finished(code, now, bad=int(code[2:]) < 40)
            now += 1.0
        again = [index for index, code in enumerate(order) if code in order[:index]]
        assert len(set(order)) == 100
        assert again[0] < 20
        assert max(Counter(index // 4 for index in again if index < 120).values()) == 1

    def test_a_start_that_was_not_used_is_tried_again_soon_and_counts_for_nothing(self) -> None:
        planner = Planner(sites("01a"), None, NO_CAPS, Intervals(retry=60.0))
        planner.due(NOW)
        planner.not_called("01a", NOW + 1)
        assert planner.progress().done == 0
        assert planner.calls_in_flight == 0
        assert planner.reserve("01a", NOW + 2) is None
        planner.not_called("01a", NOW + 2)
        assert planner.next_wakeup(NOW + 2) == NOW + 62
        assert planner.due(NOW + 62) == ["01a"]


class TestWindows:
    def test_no_call_starts_that_could_be_up_after_the_window(self, kit: Any) -> None:
        """45 s before quiet hours a call of 60 s is put off until they are over, one of 40 s is not."""
        plan = [site("01long", call_seconds=60.0), site("01short", call_seconds=40.0)]
        planner = Planner(plan, kit.event(), NO_CAPS, Intervals())
        evening, morning = kit.local("2024-06-27T20:00"), kit.local("2024-06-28T06:00")
        assert planner.due(evening - 45) == ["01short"]
        assert planner.next_wakeup(evening - 45) == evening
        assert planner.due(evening) == []
        planner.finished("01short", evening, bad=False)
        assert planner.next_wakeup(evening + 1) == morning
        assert planner.due(morning)[0] == "01long"

    def test_a_call_longer_than_any_window_is_told_and_not_waited_for(self, kit: Any) -> None:
        plan = [site("01long", call_seconds=7 * 3600.0), site("01short")]
        planner = Planner(plan, kit.event(), NO_CAPS, Intervals())
        assert planner.obstacles == {"01long": "call_longer_than_window"}
        assert planner.due(NOW) == ["01short"]
        planner.finished("01short", NOW + 5, bad=False)
        assert planner.progress().total == planner.progress().done == 1
        assert planner.reserve("01long", NOW + 5, call_seconds=30.0) is None
        planner.finished("01long", NOW + 30, bad=False)
        assert planner.progress().done == 1

    def test_a_call_wider_than_a_cap_is_told_and_not_waited_for(self) -> None:
        caps = replace(NO_CAPS, overrides_province={"02": Caps(bandwidth_bps=8e4)})
        planner = Planner(sites("01a", "02a"), None, caps, Intervals())
        assert planner.obstacles == {"02a": "bandwidth_above_cap"}
        assert planner.due(NOW) == ["01a"]
        assert planner.reserve("02a", NOW) == "cap"
        assert planner.next_wakeup(NOW) is None

    def test_lag_is_how_late_the_most_overdue_site_is(self, kit: Any) -> None:
        """A night is nobody's delay, and first calls are not late."""
        caps = replace(NO_CAPS, total=Caps(calls_at_once=1))
        planner = Planner(sites("01a", "01b"), kit.event(), caps, Intervals(retry=60.0))
        (first,) = planner.due(NOW)
        assert planner.lag(NOW + 500) == 0.0
        planner.finished(first, NOW + 500, bad=True)
        (second,) = planner.due(NOW + 500)
        assert planner.lag(NOW + 530) == 0.0
        assert planner.lag(NOW + 590) == 30.0
        assert planner.due(NOW + 590) == []
        assert planner.lag(NOW + 600) == 40.0
        planner.finished(second, NOW + 600, bad=True)
        assert planner.due(NOW + 600) == [first]
        assert planner.lag(kit.local("2024-06-27T23:00")) == 0.0
        assert planner.lag(kit.local("2024-06-28T06:00") + 7) == 7.0

    def test_lag_counts_retries_that_wait_for_their_share(self) -> None:
        codes = [f"01{index}" for index in range(9)]
        planner = Planner(sites(*codes), None, replace(NO_CAPS, total=Caps(0.1)), Intervals(retry=1.0))
        (first,) = planner.due(NOW)
        planner.finished(first, NOW, bad=True)
        assert planner.due(NOW + 10) != [first]
        assert planner.lag(NOW + 11) == 10.0


class TestHandCalls:
    def test_a_hand_call_counts_in_the_caps(self) -> None:
        planner = Planner(sites("01a", "01b"), None, replace(NO_CAPS, total=Caps(calls_at_once=1)), Intervals())
        assert planner.reserve("01b", NOW) is None
        assert planner.calls_in_flight == 1
        assert planner.due(NOW) == []
        planner.finished("01b", NOW + 9, bad=False)
        assert planner.due(NOW + 9) == ["01a"]
        assert planner.progress().number == 1

    @pytest.mark.parametrize(
        ("local_time", "outside", "reason"),
        [
            ("2024-06-27T13:00", False, "outside_window"),
            ("2024-06-27T13:00", True, None),
            ("2024-06-27T22:00", False, "quiet_hours"),
            ("2024-06-27T22:00", True, None),
            ("2024-06-28T07:29:50", True, "guard"),
            ("2024-06-28T09:00", True, "conference"),
            ("2024-06-27T15:00", False, None),
        ],
    )
    def test_windows_hold_for_hand_calls(self, kit: Any, local_time: str, outside: bool, reason: str | None) -> None:  # noqa: FBT001 (a table's column)
        planner = Planner(sites("01a"), kit.event(), NO_CAPS, Intervals())
        assert planner.reserve("01a", kit.local(local_time), outside_window=outside) == reason

    def test_a_longer_hand_call_must_fit_too(self, kit: Any) -> None:
        planner = Planner(sites("01a"), kit.event(), NO_CAPS, Intervals())
        evening = kit.local("2024-06-27T20:00")
        assert planner.reserve("01a", evening - 30, call_seconds=31.0) == "quiet_hours"
        assert planner.reserve("01a", evening - 30) is None

    def test_one_call_at_a_time_and_time_between(self) -> None:
        planner = Planner(sites("01a"), None, NO_CAPS, Intervals(min_between_calls=300.0))
        assert planner.reserve("99", NOW) == "unknown_site"
        planner.due(NOW)
        assert planner.reserve("01a", NOW) == "site_in_call"
        planner.finished("01a", NOW + 10, bad=True)
        assert planner.reserve("01a", NOW + 309) == "too_soon"
        assert planner.reserve("01a", NOW + 310) is None

    def test_a_cap_that_refuses_is_kept_for_the_hand_call(self) -> None:
        """In a full sweep the freed slot goes to who asks by hand, if they ask again within a second."""
        codes = [f"01{index}" for index in range(9)]
        planner = Planner(sites(*codes), None, replace(NO_CAPS, total=Caps(calls_at_once=2)), Intervals())
        up = planner.due(NOW)
        wanted = next(code for code in codes if code not in up)
        assert planner.reserve(wanted, NOW + 5) == "cap"
        planner.finished(up[0], NOW + 5.5, bad=False)
        assert planner.due(NOW + 5.5) == []
        assert planner.next_wakeup(NOW + 5.5) == NOW + 5 + HAND_HOLD_SECONDS
        assert planner.reserve(wanted, NOW + 5.9) is None
        # It has what it wanted: the cap is everybody's again, before the second is over.
        planner.finished(up[1], NOW + 5.95, bad=False)
        assert len(planner.due(NOW + 5.95)) == 1

    def test_a_cap_is_not_kept_for_ever(self) -> None:
        caps = replace(NO_CAPS, per_province=Caps(calls_at_once=1))
        planner = Planner(sites("01a", "01b", "01c"), None, caps, Intervals())
        (first,) = planner.due(NOW)
        wanted = next(code for code in ("01a", "01b", "01c") if code != first)
        assert planner.reserve(wanted, NOW) == "cap"
        planner.finished(first, NOW + 0.5, bad=False)
        assert planner.due(NOW + 0.5) == []
        assert planner.next_wakeup(NOW + 0.5) == NOW + HAND_HOLD_SECONDS
        assert len(planner.due(NOW + HAND_HOLD_SECONDS)) == 1

    def test_a_wider_hand_call_must_fit_the_bandwidth(self) -> None:
        planner = Planner(sites("01a"), None, replace(NO_CAPS, per_carrier=Caps(bandwidth_bps=1e5)), Intervals())
        assert planner.reserve("01a", NOW, bandwidth_bps=2e5) == "cap"
        assert planner.due(NOW) == ["01a"]


class TestReload:
    def test_what_is_in_flight_stays_and_counts(self) -> None:
        caps = replace(NO_CAPS, per_province=Caps(calls_at_once=1))
        planner = Planner(sites("01a", "02a"), None, caps, Intervals())
        assert sorted(planner.due(NOW)) == ["01a", "02a"]
        planner.replace_sites(sites("01b", "02a", "03a"), None, caps, Intervals(), NOW + 1)
        assert planner.calls_in_flight == 2
        assert planner.due(NOW + 1) == ["03a"]
        planner.finished("01a", NOW + 2, bad=True)
        assert planner.due(NOW + 2) == ["01b"]
        planner.finished("02a", NOW + 2, bad=False)
        assert planner.due(NOW + 2) == []

    def test_a_province_that_goes_and_comes_back_still_counts_its_calls(self) -> None:
        caps = replace(NO_CAPS, per_province=Caps(calls_at_once=1))
        planner = Planner(sites("01a"), None, caps, Intervals())
        planner.due(NOW)
        planner.replace_sites(sites("02a"), None, caps, Intervals(), NOW)
        planner.replace_sites(sites("01a", "01b"), None, caps, Intervals(), NOW)
        assert planner.due(NOW) == []
        planner.finished("01a", NOW + 1, bad=False)
        assert planner.due(NOW + 1) == ["01b"]

    def test_sites_that_stay_are_not_called_again_at_once(self) -> None:
        planner = Planner(sites("01a", "01b"), None, NO_CAPS, Intervals(default=600.0))
        planner.due(NOW)
        planner.finished("01a", NOW + 5, bad=False)
        planner.finished("01b", NOW + 5, bad=True)
        planner.replace_sites(sites("01a", "01b", "01c"), None, NO_CAPS, Intervals(default=5000.0), NOW + 6)
        assert planner.due(NOW + 6) == ["01c"]
        assert planner.progress().total == 3
        assert planner.due(NOW + 65) == ["01b"]
        wakeup = planner.next_wakeup(NOW + 65)
        assert wakeup is not None
        assert wakeup >= NOW + 2500

    def test_a_sweep_whose_missing_sites_go_is_over(self) -> None:
        caps = replace(NO_CAPS, total=Caps(calls_at_once=1))
        planner = Planner(sites("01a", "01b"), None, caps, Intervals())
        (first,) = planner.due(NOW)
        planner.finished(first, NOW + 5, bad=False)
        planner.replace_sites(sites(first), None, caps, Intervals(), NOW + 6)
        assert planner.progress().finished_at is not None

    def test_a_vanished_site_ends_quietly(self) -> None:
        planner = Planner(sites("01a", "01b"), None, NO_CAPS, Intervals())
        planner.due(NOW)
        planner.replace_sites([], None, NO_CAPS, Intervals(), NOW)
        planner.finished("01a", NOW + 1, bad=True)
        planner.not_called("01b", NOW + 1)
        assert planner.calls_in_flight == 0
        assert planner.next_wakeup(NOW + 1) is None

    def test_a_site_that_comes_back_soon_is_not_called_at_once_again(self) -> None:
        planner = Planner(sites("01a", "01b", "01c"), None, NO_CAPS, Intervals(default=600.0, min_between_calls=300.0))
        planner.due(NOW)
        for code in ("01a", "01c"):
            planner.finished(code, NOW + 5, bad=False)
        planner.replace_sites(sites("02a"), None, NO_CAPS, Intervals(default=600.0), NOW + 6)
        planner.finished("01b", NOW + 7, bad=False)
        planner.replace_sites(sites("01a", "01b"), None, NO_CAPS, Intervals(default=600.0), NOW + 8)
        assert planner.due(NOW + 8) == []
        assert planner.reserve("01b", NOW + 306) == "too_soon"
        # What is long past is forgotten.
        planner.replace_sites(sites("01c"), None, NO_CAPS, Intervals(default=600.0), NOW + 700)
        assert planner.due(NOW + 700) == ["01c"]

    def test_new_windows_and_caps_hold_from_now_on(self, kit: Any) -> None:
        planner = Planner(sites("01a", "01b"), None, replace(NO_CAPS, total=Caps(calls_at_once=1)), Intervals())
        (first,) = planner.due(NOW - 60)
        planner.finished(first, NOW - 50, bad=False)
        planner.replace_sites(sites("01a", "01b"), kit.event(), NO_CAPS, Intervals(), NOW - 50)
        assert planner.due(NOW - 50) == []
        assert planner.next_wakeup(NOW - 50) == NOW
        assert len(planner.due(NOW)) == 1


class TestClock:
    def test_a_clock_set_back_lengthens_no_wait(self) -> None:
        planner = Planner(sites("01a", "01b"), None, replace(NO_CAPS, total=Caps(1.0)), Intervals(retry=60.0))
        (first,) = planner.due(NOW)
        planner.finished(first, NOW, bad=True)
        back = NOW - 7200
        wakeup = planner.next_wakeup(back)
        assert wakeup == pytest.approx(back + 1.0)
        assert len(planner.due(back + 1.0)) == 1
        assert planner.next_wakeup(back + 1.0) == pytest.approx(back + 60.0)
        assert planner.due(back + 60.0) == [first]

    def test_windows_follow_the_clock_as_it_is(self, kit: Any) -> None:
        planner = Planner(sites("01a"), kit.event(), NO_CAPS, Intervals())
        evening = kit.local("2024-06-27T20:00")
        assert planner.due(evening - 5) == []
        # Set back by a minute, there is time again.
        assert planner.due(evening - 65) == ["01a"]
        planner.finished("01a", evening - 50, bad=False)
        assert planner.due(kit.local("2024-06-29T00:00")) == []
        assert planner.next_wakeup(kit.local("2024-06-29T00:00")) is None
        assert planner.due(kit.local("2024-06-28T06:00")) == ["01a"]

    def test_a_clock_set_forward_makes_no_burst(self) -> None:
        codes = [f"01{index}" for index in range(50)]
        planner = Planner(sites(*codes), None, replace(NO_CAPS, total=Caps(5.0)), Intervals())
        planner.due(NOW)
        assert len(planner.due(NOW + 1e6)) == 1


class TestMisuse:
    def test_a_call_that_is_not_in_flight_can_not_end(self) -> None:
        planner = Planner(sites("01a"), None, NO_CAPS, Intervals())
        with pytest.raises(LocalProtocolError, match="no call to site 01a is in flight"):
            planner.finished("01a", NOW, bad=False)
        with pytest.raises(LocalProtocolError, match="in flight"):
            planner.not_called("01a", NOW)

    def test_a_site_can_not_stand_in_the_plan_twice(self) -> None:
        with pytest.raises(LocalProtocolError, match="twice"):
            Planner(sites("01a", "01a"), None, NO_CAPS, Intervals())

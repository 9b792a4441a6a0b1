"""Small nations under any sequence of starts, ends, hand calls, reloads and clock steps, against plain counting."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge_monitor.domain import Event, EventPhase, Window
from bridge_monitor.schedule import HAND_HOLD_SECONDS, Caps, CapSet, Intervals, Plannable, Planner, may_start, phase_at

NOW = 1_719_471_600.0
PROVINCES = ("01", "02", "")
CARRIERS = ("VNPT", "Viettel")
CODES = [f"{province}-{index}" for province in PROVINCES for index in range(4)]

counts = st.none() | st.integers(1, 3)
bandwidths = st.none() | st.sampled_from([1.0, 2.0, 3.0])
few = st.builds(Caps, st.none(), counts, bandwidths)
paced = st.builds(Caps, st.none() | st.sampled_from([0.2, 1.0, 3.0]), counts, bandwidths)


def sites(widths: st.SearchStrategy[float]) -> st.SearchStrategy[list[Plannable]]:
    """Draw up to twelve sites, each code once; some calls are long."""
    return st.lists(
        st.tuples(
            st.sampled_from(CODES),
            st.sampled_from(["central", "commune"]),
            st.sampled_from(CARRIERS),
            st.sampled_from([10.0, 25.0]),
            widths,
        ),
        unique_by=lambda facts: facts[0],
        max_size=len(CODES),
    ).map(
        lambda drawn: [
            Plannable(code, tier, code.split("-")[0], carrier, seconds, width)
            for code, tier, carrier, seconds, width in drawn
        ]
    )


def make_event(first: float, gap: float, second: float) -> Event:
    """Make an event of two rehearsals from `NOW` on, lengths in seconds, and a conference right after a guard."""
    at = [datetime.fromtimestamp(NOW, UTC)]
    for seconds in (first, gap, second, 100.0, 100.0):
        at.append(at[-1] + timedelta(seconds=seconds))
    rehearsals = (Window(at[0], at[1]), Window(at[2], at[3]))
    zone = ZoneInfo("Asia/Ho_Chi_Minh")
    return Event("", zone, None, rehearsals, None, timedelta(seconds=100), Window(at[4], at[5]))


events = st.none() | st.builds(make_event, *[st.sampled_from([30.0, 200.0, 1000.0])] * 3)


class PlannerMachine(RuleBasedStateMachine):
    """What holds for every nation and caps, whatever happens."""

    cap_choice = paced
    widths = st.sampled_from([0.5, 1.0, 2.0])

    @initialize(data=st.data(), event=events)
    def begin(self, data: st.DataObject, event: Event | None) -> None:
        self.true_time = self.now = NOW - 5
        self.event = event
        self.up: dict[str, Plannable] = {}
        self.starts: list[tuple[float, Plannable]] = []
        self.told: float | None = None
        self.held_until = -math.inf
        self.draw(data)
        self.fresh, self.known = set(self.sites), set(self.sites)
        self.planner = Planner(list(self.sites.values()), event, self.caps, self.intervals, seed="machine")

    def draw(self, data: st.DataObject) -> None:
        self.sites = {site.site: site for site in data.draw(sites(self.widths))}
        total, province, carrier, second = (data.draw(self.cap_choice) for _ in range(4))
        self.caps = CapSet(total, province, carrier, overrides_province={"02": second})
        self.intervals = Intervals({"central": 40.0}, 90.0, 15.0, data.draw(st.integers(0, 2)), 20.0)

    def groups(self, site: Plannable) -> list[tuple[tuple[str, str], Caps]]:
        return [
            (("total", ""), self.caps.total),
            (("province", site.province), self.caps.of_province(site.province)),
            (("carrier", site.carrier), self.caps.of_carrier(site.carrier)),
        ]

    def usage(self) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
        calls: Counter[tuple[str, str]] = Counter()
        width: Counter[tuple[str, str]] = Counter()
        for site in self.up.values():
            for name, _ in self.groups(site):
                calls[name] += 1
                width[name] += site.bandwidth_bps  # type: ignore[assignment]  # halves of bit/s
        return calls, width

    def fits(self, site: Plannable) -> bool:
        calls, width = self.usage()
        return all(
            (caps.calls_at_once is None or calls[name] < caps.calls_at_once)
            and (caps.bandwidth_bps is None or width[name] + site.bandwidth_bps <= caps.bandwidth_bps)
            for name, caps in self.groups(site)
        )

    def start(self, site: Plannable, *, outside: bool = False) -> None:
        assert site.site not in self.up, "two calls to one site"
        assert outside or may_start(self.event, self.now, site.call_seconds)
        # Starts are checked one by one, against what was up before them.
        assert self.fits(site)
        self.up[site.site] = site
        self.fresh.discard(site.site)
        self.starts.append((self.true_time, site))
        for name, caps in self.groups(site):
            self.check_rate(name, caps)

    def check_rate(self, name: tuple[str, str], caps: Caps) -> None:
        rate = caps.calls_per_second
        if rate is None:
            return
        span = max(1.0, 1 / rate)
        recent = [
            site
            for moment, site in self.starts
            if moment > self.true_time - span + 1e-5 and name in [group for group, _ in self.groups(site)]
        ]
        assert len(recent) <= math.ceil(rate * span)

    @rule()
    def ask(self) -> None:
        due = self.planner.due(self.now)
        assert len(due) == len(set(due))
        for code in due:
            self.start(self.sites[code])
        assert self.planner.due(self.now) == []
        self.after_asking()
        self.told = self.planner.next_wakeup(self.now)

    def after_asking(self) -> None:
        """Check what holds when all that may start has started."""

    @precondition(lambda self: self.told is not None)
    @rule()
    def sleep_until_told(self) -> None:
        assert self.told is not None
        assert self.told > self.now, "a wake-up with nothing new to do would spin"
        self.pass_time(self.told - self.now)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 1.0, 7.0, 25.0, 100.0, 500.0]))
    def sleep(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self.true_time += seconds
        self.now += seconds
        self.told = None

    @rule(seconds=st.sampled_from([0.001, 2.0, 300.0]))
    def clock_is_set_back(self, seconds: float) -> None:
        self.now -= seconds
        # A planner's time stands still meanwhile.
        self.held_until += seconds
        self.told = None

    @precondition(lambda self: self.up)
    @rule(data=st.data(), ending=st.sampled_from(["good", "bad", "busy", "unused"]))
    def call_ends(self, data: st.DataObject, ending: str) -> None:
        code = data.draw(st.sampled_from(sorted(self.up)))
        del self.up[code]
        if ending == "unused":
            self.planner.not_called(code, self.now)
        else:
            self.planner.finished(code, self.now, bad=ending == "bad", busy=ending == "busy")
        self.told = None

    @rule(code=st.sampled_from(CODES), outside=st.booleans())
    def call_by_hand(self, code: str, outside: bool) -> None:  # noqa: FBT001 (drawn)
        reason = self.planner.reserve(code, self.now, outside_window=outside)
        self.told = None
        if reason is None:
            self.start(self.sites[code], outside=outside)
            assert phase_at(self.event, self.now) not in {EventPhase.GUARD, EventPhase.CONFERENCE}
        elif reason == "cap":
            rates = [caps.calls_per_second for _, caps in self.groups(self.sites[code])]
            assert any(rates) or not self.fits(self.sites[code])
            self.held_until = self.true_time + HAND_HOLD_SECONDS
        else:
            assert (reason == "site_in_call") is (code in self.up and code in self.sites)
            assert (reason == "unknown_site") is (code not in self.sites)

    @rule(data=st.data(), event=events)
    def reload(self, data: st.DataObject, event: Event | None) -> None:
        self.draw(data)
        self.fresh = (set(self.sites) - self.known) | (self.fresh & set(self.sites))
        self.known |= set(self.sites)
        self.event = event
        self.planner.replace_sites(list(self.sites.values()), event, self.caps, self.intervals, self.now)
        # Another carrier's or province's rate began to count when its site moved there: start the log anew.
        self.starts.clear()
        self.told = None

    @invariant()
    def counts_agree(self) -> None:
        assert self.planner.calls_in_flight == len(self.up)
        progress = self.planner.progress()
        assert 0 <= progress.done <= progress.total == len(self.sites) - len(self.planner.obstacles)
        assert self.planner.lag(self.now) >= 0.0


class ThriftlessMachine(PlannerMachine):
    """With calls of one bandwidth and no rates, no site is left waiting for its first call that could have it."""

    cap_choice = few
    widths = st.just(1.0)

    def after_asking(self) -> None:
        if self.true_time < self.held_until:
            return
        for code in self.fresh - self.planner.obstacles.keys():
            site = self.sites[code]
            assert not (may_start(self.event, self.now, site.call_seconds) and self.fits(site))


TestPlanner = PlannerMachine.TestCase
TestPlanner.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestNoneIsLeftWaiting = ThriftlessMachine.TestCase
TestNoneIsLeftWaiting.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)

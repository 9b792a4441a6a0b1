"""Calls placed as they fall due: slots, locks, hand calls, and what is left when it stops. No site is really called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge_monitor.domain import Evidence, Grade, Inventory, Outcome, ProbeResult, Site
from bridge_monitor.errors import RefusedError
from bridge_monitor.net.locks import SiteLocks
from bridge_monitor.probes.book import CallBook
from bridge_monitor.probes.profile import Profile
from bridge_monitor.probes.runner import OVERLOADED_SECONDS, SHORTEST_NAP_SECONDS, Runner
from bridge_monitor.probes.shapes import CallSite, Finished
from bridge_monitor.schedule import Caps, CapSet, Intervals, Plannable, Planner

UNLIMITED = CapSet(total=Caps(), per_province=Caps())
AUDIO = Profile("audio")
QUICK = Profile("quick", duration_seconds=1.0)


def inventory_of(codes: list[str]) -> Inventory:
    sites = [Site("00", "Trung ương", "central")]
    sites += [Site(code, f"Xã {code}", "commune", "00", "VNPT", f"sip:{code}@127.0.0.1", "audio") for code in codes]
    return Inventory(sites, ("central", "commune"))


def plannables(codes: list[str]) -> list[Plannable]:
    return [Plannable(code, "commune", "", "VNPT", 30.0, 80e3) for code in codes]


def finished(site: CallSite, outcome: Outcome = Outcome.REACHED, grade: Grade = Grade.GOOD) -> Finished:
    """Return a result as a call would."""
    result = ProbeResult(
        id=f"id-{site.target.site}",
        target=site.target,
        kind="sip",
        profile=site.profile.name,
        vantage="centre",
        call_id=None,
        started_at=datetime(2024, 6, 27, 7, tzinfo=UTC),
        duration_seconds=0.0,
        outcome=outcome,
        reason=None,
        grade=grade,
    )
    return Finished(result, Evidence(result.id, site.target.site, ()))


class NotedPlanner(Planner):
    """A planner that keeps what it was told."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.ended: list[tuple[str, bool, bool]] = []
        self.missed: list[str] = []
        super().__init__(*arguments, **settings)

    def finished(self, site: str, now: float, *, bad: bool, busy: bool = False) -> None:
        self.ended.append((site, bad, busy))
        super().finished(site, now, bad=bad, busy=busy)

    def not_called(self, site: str, now: float) -> None:
        self.missed.append(site)
        super().not_called(site, now)


class Rig:
    """A runner over a few sites, and everything it did."""

    def __init__(self, codes: list[str], locks: Path, *, at_once: int | None = None) -> None:
        self.locks = SiteLocks(locks)
        self.elsewhere = SiteLocks(locks)
        self.plan = NotedPlanner(
            plannables(codes), None, CapSet(total=Caps(calls_at_once=at_once), per_province=Caps()), Intervals()
        )
        self.placed: list[CallSite] = []
        self.up: set[str | None] = set()
        self.most_up = 0
        self.sunk: list[Finished] = []
        self.behave: Callable[[CallSite], Awaitable[Finished]] = self.answer
        self.again = False
        self.lag = 0.0
        book = CallBook(inventory_of(codes), {"audio": AUDIO}, {}, {})
        self.runner = Runner(self.plan, book, self.place, self.locks, self.sink, lag=lambda: self.lag)

    async def place(self, site: CallSite) -> Finished:
        assert site.target.site not in self.up, "two calls to one site"
        self.placed.append(site)
        self.up.add(site.target.site)
        self.most_up = max(self.most_up, len(self.up))
        try:
            return await self.behave(site)
        finally:
            self.up.discard(site.target.site)

    async def answer(self, site: CallSite) -> Finished:
        await asyncio.sleep(0)
        return finished(site)

    async def last(self, site: CallSite) -> Finished:
        """Go on until cancelled, then give a result as `SipCall` does."""
        try:
            await asyncio.sleep(3600.0)
        except asyncio.CancelledError:
            return finished(site, Outcome.CANCELLED, Grade.UNTESTED)
        raise AssertionError

    def sink(self, done: Finished) -> bool:
        self.sunk.append(done)
        return self.again

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20.0):
            while not reached():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.005)

    async def sweep(self) -> None:
        async with asyncio.timeout(20.0):
            await self.runner.run(until_swept=True)


@pytest.fixture
def rig_of(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Return what makes a rig of these sites."""
    rigs: list[Rig] = []

    def make(*codes: str, **settings: Any) -> Rig:
        rigs.append(Rig(list(codes), tmp_path / "sites.lock", **settings))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.locks.close()
        rig.elsewhere.close()


RigOf = Callable[..., Rig]


class TestSweep:
    async def test_each_site_is_called_once_and_each_result_sunk_once(self, rig_of: RigOf) -> None:
        codes = [f"{number:03}" for number in range(50)]
        rig = rig_of(*codes)
        await rig.sweep()
        assert sorted(site.target.site for site in rig.placed) == codes
        assert sorted(done.result.target.site for done in rig.sunk) == codes
        assert sorted(rig.plan.ended) == [(code, False, False) for code in codes]
        assert rig.runner.in_flight == 0

    async def test_the_plan_s_caps_are_kept(self, rig_of: RigOf) -> None:
        rig = rig_of("001", "002", "003", "004", "005", at_once=2)
        await rig.sweep()
        assert (len(rig.placed), rig.most_up) == (5, 2)

    async def test_no_call_is_started_while_the_loop_lags_and_all_once_it_does_no_more(self, rig_of: RigOf) -> None:
        """Calls that are up are not spoilt by more; calls by hand are a person's choice."""
        rig = rig_of("001", "002", "003")
        rig.lag = OVERLOADED_SECONDS
        running = asyncio.get_running_loop().create_task(rig.runner.run())
        await asyncio.sleep(5 * SHORTEST_NAP_SECONDS)
        assert rig.placed == []
        await rig.runner.call_now("002")
        rig.lag = OVERLOADED_SECONDS / 2
        await rig.until(lambda: len(rig.sunk) == 3)
        assert sorted(str(site.target.site) for site in rig.placed) == ["001", "002", "003"]
        await rig.runner.stop()
        await running

    async def test_what_the_sink_says_goes_to_the_plan(self, rig_of: RigOf) -> None:
        rig = rig_of("001")
        rig.again = True
        await rig.sweep()
        assert rig.plan.ended == [("001", True, False)]

    @pytest.mark.parametrize("outcome", [Outcome.BUSY, Outcome.CANCELLED])
    async def test_a_room_that_was_busy_is_planned_as_such(self, rig_of: RigOf, outcome: Outcome) -> None:
        rig = rig_of("001")

        async def busy(site: CallSite) -> Finished:
            await asyncio.sleep(0)
            return finished(site, outcome, Grade.BUSY)

        rig.behave = busy
        await rig.sweep()
        assert rig.plan.ended == [("001", False, True)]

    async def test_a_site_that_another_process_calls_misses_its_turn_and_gets_it_later(self, rig_of: RigOf) -> None:
        rig = rig_of("001", "002")
        assert rig.elsewhere.acquire("001")
        running = asyncio.get_running_loop().create_task(rig.runner.run())
        await rig.until(lambda: len(rig.sunk) == 1 and rig.plan.missed == ["001"])
        assert [site.target.site for site in rig.placed] == ["002"]
        await rig.runner.stop()
        await running

    async def test_a_bug_in_one_call_is_logged_and_the_others_go_on(self, rig_of: RigOf) -> None:
        rig = rig_of("001", "002", "003")

        async def stumble(site: CallSite) -> Finished:
            await asyncio.sleep(0)
            if site.target.site == "002":
                raise ZeroDivisionError
            return finished(site)

        rig.behave = stumble
        with capture_logs() as logs:
            await rig.sweep()
        assert [(entry["event"], entry["site"]) for entry in logs] == [("call_failed_inside", "002")]
        assert ("002", True, False) in rig.plan.ended
        assert len(rig.sunk) == 2
        assert rig.elsewhere.acquire("002"), "its lock was kept"

    async def test_a_site_that_has_left_the_book_is_not_called(self, rig_of: RigOf) -> None:
        """The plan may be a reload behind the book, or the other way round."""
        rig = rig_of("001", "002")
        kept = inventory_of(["001"])
        rig.runner.reload(CallBook(kept, {"audio": AUDIO}, {}, {}))
        await rig.sweep()
        assert [site.target.site for site in rig.placed] == ["001"]
        assert ("002", False, False) in rig.plan.ended

    async def test_after_a_reload_the_new_profile_is_used(self, rig_of: RigOf) -> None:
        rig = rig_of("001")
        rig.runner.reload(CallBook(inventory_of(["001"]), {"audio": QUICK}, {}, {}))
        await rig.sweep()
        assert rig.placed[0].profile is QUICK


class TestStop:
    async def test_calls_in_flight_are_cancelled_and_their_results_sunk(self, rig_of: RigOf) -> None:
        rig = rig_of("001", "002")
        rig.behave = rig.last
        running = asyncio.get_running_loop().create_task(rig.runner.run())
        await rig.until(lambda: rig.runner.in_flight == 2 and len(rig.up) == 2)
        await rig.runner.stop()
        await running
        assert {done.result.outcome for done in rig.sunk} == {Outcome.CANCELLED}
        assert len(rig.sunk) == 2
        assert rig.runner.in_flight == 0
        assert rig.elsewhere.acquire("001")

    async def test_a_call_that_does_not_end_is_not_waited_for_for_ever(self, rig_of: RigOf) -> None:
        rig = rig_of("001")
        released = asyncio.Event()

        async def stubborn(site: CallSite) -> Finished:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue
            return finished(site)

        rig.behave = stubborn
        running = asyncio.get_running_loop().create_task(rig.runner.run())
        await rig.until(lambda: len(rig.up) == 1)
        await rig.runner.stop(patience=0.05)
        assert rig.runner.in_flight == 1
        released.set()
        await running
        await rig.until(lambda: rig.runner.in_flight == 0)

    async def test_without_a_call_it_stops_at_once_though_it_naps(self, rig_of: RigOf) -> None:
        rig = rig_of()
        running = asyncio.get_running_loop().create_task(rig.runner.run())
        await asyncio.sleep(0.02)
        await rig.runner.stop()
        async with asyncio.timeout(20.0):
            await running
        assert rig.placed == []

    async def test_no_call_by_hand_is_taken_then(self, rig_of: RigOf) -> None:
        rig = rig_of("001")
        await rig.runner.stop()
        with pytest.raises(RefusedError) as refusal:
            await rig.runner.call_now("001")
        assert refusal.value.reason == "stopping"


class TestHandCalls:
    async def test_its_result_is_returned_and_sunk(self, rig_of: RigOf) -> None:
        rig = rig_of("001")
        done = await rig.runner.call_now("001", QUICK)
        assert done.result.target.site == "001"
        assert rig.sunk == [done]
        assert rig.placed[0].profile is QUICK
        assert rig.plan.ended == [("001", False, False)]

    async def test_the_plan_may_refuse(self, rig_of: RigOf) -> None:
        """One call was just made: the site is left alone for a while."""
        rig = rig_of("001")
        await rig.runner.call_now("001")
        with pytest.raises(RefusedError) as refusal:
            await rig.runner.call_now("001")
        assert refusal.value.reason == "too_soon"
        assert len(rig.placed) == 1

    async def test_a_site_in_a_planned_call_is_not_called_twice(self, rig_of: RigOf) -> None:
        rig = rig_of("001")
        rig.behave = rig.last
        running = asyncio.get_running_loop().create_task(rig.runner.run())
        await rig.until(lambda: len(rig.up) == 1)
        with pytest.raises(RefusedError) as refusal:
            await rig.runner.call_now("001")
        assert refusal.value.reason == "site_in_call"
        await rig.runner.stop()
        await running

    async def test_a_site_that_another_process_calls_is_refused_and_its_slot_given_back(self, rig_of: RigOf) -> None:
        rig = rig_of("001")
        assert rig.elsewhere.acquire("001")
        with pytest.raises(RefusedError) as refusal:
            await rig.runner.call_now("001")
        assert refusal.value.reason == "site_in_call"
        assert (rig.plan.missed, rig.plan.calls_in_flight) == (["001"], 0)
        rig.elsewhere.release("001")
        assert (await rig.runner.call_now("001")).result.outcome is Outcome.REACHED

    async def test_a_site_that_can_t_be_tested_from_here_is_refused(self, rig_of: RigOf) -> None:
        rig = rig_of("001")
        with pytest.raises(RefusedError) as refusal:
            await rig.runner.call_now("00")
        assert refusal.value.reason == "not_testable"

    async def test_an_unknown_site_is_the_caller_s_mistake(self, rig_of: RigOf) -> None:
        with pytest.raises(KeyError):
            await rig_of("001").runner.call_now("999")

    async def test_a_bug_reaches_who_called_and_frees_the_site(self, rig_of: RigOf) -> None:
        rig = rig_of("001")

        async def stumble(_site: CallSite) -> Finished:
            await asyncio.sleep(0)
            raise ZeroDivisionError

        rig.behave = stumble
        with pytest.raises(ZeroDivisionError):
            await rig.runner.call_now("001")
        assert rig.plan.ended == [("001", True, False)]
        assert rig.elsewhere.acquire("001")

    async def test_it_counts_as_in_flight_and_stopping_ends_it(self, rig_of: RigOf) -> None:
        rig = rig_of("001")
        rig.behave = rig.last
        asked = asyncio.get_running_loop().create_task(rig.runner.call_now("001"))
        await rig.until(lambda: len(rig.up) == 1)
        assert rig.runner.in_flight == 1
        await rig.runner.stop()
        assert (await asked).result.outcome is Outcome.CANCELLED
        assert rig.runner.in_flight == 0

    async def test_the_plan_is_asked_again_as_soon_as_something_has_changed(self, rig_of: RigOf) -> None:
        """A site comes in while the runner naps."""
        rig = rig_of()
        running = asyncio.get_running_loop().create_task(rig.runner.run())
        await asyncio.sleep(0.02)
        rig.plan.replace_sites(plannables(["001"]), None, UNLIMITED, Intervals(), 0.0)
        rig.runner.book = CallBook(inventory_of(["001"]), {"audio": AUDIO}, {}, {})
        rig.runner.wake()
        await rig.until(lambda: len(rig.sunk) == 1)
        assert rig.placed[0].target.site == "001"
        await rig.runner.stop()
        await running

"""The reference's chains of calls, and what waits for them; the calls themselves are pretended, and short."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from bridge_monitor.daemon.reference import ReferenceWatch
from bridge_monitor.domain import Grade, Outcome, Target
from bridge_monitor.net import clock
from bridge_monitor.probes.profile import Profile, Route
from bridge_monitor.probes.reference import Reference
from bridge_monitor.probes.shapes import CallSite, Finished, refused
from bridge_monitor.quality import Thresholds

SECONDS = 0.2
PROFILE = Profile("reference", duration_seconds=SECONDS, answer_timeout_seconds=SECONDS)
NAMES = {"a": "sip:echo@192.0.2.7", "b": "sip:echo@192.0.2.8"}


def ended(site: CallSite, started: float, outcome: Outcome, grade: Grade, reason: str | None = None) -> Finished:
    """Return a call that began then and has ended now."""
    finished = refused(site, "pretended", vantage="centre")
    result = dataclasses.replace(
        finished.result,
        started_at=clock.utc(started),
        duration_seconds=clock.posix_now() - started,
        outcome=outcome,
        grade=grade,
        reason=reason,
    )
    return dataclasses.replace(finished, result=result)


class Way:
    """What calls to the responders meet; each takes as long as its profile says, unless nothing lets it out."""

    def __init__(self) -> None:
        self.bad: set[str] = set()
        self.dead = False
        self.broken = False
        self.spans: list[tuple[str, float, float]] = []

    async def place(self, site: CallSite) -> Finished:
        started = clock.posix_now()
        if self.broken:
            raise RuntimeError("our bug")
        try:
            if not self.dead:
                await asyncio.sleep(SECONDS)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            return ended(site, started, Outcome.CANCELLED, Grade.UNTESTED)
        self.spans.append((site.target.uri, started, clock.posix_now()))
        if self.dead:
            return ended(site, started, Outcome.UNREACHABLE, Grade.FAILED, "icmp")
        if site.target.uri in self.bad:
            return ended(site, started, Outcome.REACHED, Grade.FAILED, "loss")
        return ended(site, started, Outcome.REACHED, Grade.GOOD)


@pytest.fixture
def way() -> Way:
    return Way()


StartWatch = Callable[..., Awaitable[ReferenceWatch]]


@pytest.fixture
async def watch_with(way: Way) -> AsyncIterator[StartWatch]:
    """Return ``watch_with(*names)``: a watch that runs."""
    running: list[asyncio.Task[None]] = []

    async def begin(*names: str, may_start: Callable[[float], bool] = lambda _seconds: True) -> ReferenceWatch:
        watch = ReferenceWatch(Reference({name: NAMES[name] for name in names}, PROFILE), way.place, may_start)
        running.append(asyncio.ensure_future(watch.run()))
        return watch

    yield begin
    for task in running:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


ROOM = CallSite(Target("01001", "sip:01001@192.0.2.30"), PROFILE, Route(), Thresholds())


def bad_call(seconds: float = 0.1) -> Finished:
    """Return a room's call that began so long ago, and has failed now."""
    return ended(ROOM, clock.posix_now() - seconds, Outcome.TIMEOUT, Grade.FAILED)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


class TestChains:
    async def test_no_moment_lies_between_two_calls(self, watch_with: StartWatch, way: Way) -> None:
        await watch_with("a")
        await until(lambda: len(way.spans) >= 8)
        spans = sorted((start, end) for _, start, end in way.spans)
        covered = spans[0][1]
        for start, end in spans[1:]:
            assert start < covered
            covered = max(covered, end)

    async def test_each_responder_has_two_calls_at_a_time(self, watch_with: StartWatch, way: Way) -> None:
        await watch_with("a", "b")
        await until(lambda: len(way.spans) >= 12)
        for uri in NAMES.values():
            starts = sorted(start for called, start, _ in way.spans if called == uri)
            gaps = [later - sooner for sooner, later in itertools.pairwise(starts)]
            assert min(gaps) >= 0.9 * SECONDS / 2

    async def test_outside_the_windows_nobody_is_called(self, watch_with: StartWatch, way: Way) -> None:
        await watch_with("a", may_start=lambda _seconds: False)
        await asyncio.sleep(2 * SECONDS)
        assert way.spans == []

    async def test_a_bug_in_one_call_does_not_end_the_others(
        self, watch_with: StartWatch, way: Way, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bridge_monitor.daemon.reference._CLOSED_LOOK_SECONDS", 0.01)
        way.broken = True
        with capture_logs() as logs:
            watch = await watch_with("a")
            await until(lambda: any(line["event"] == "reference_call_failed_inside" for line in logs))
        way.broken = False
        await until(lambda: bool(watch.up))
        assert watch.up == {"a": True}

    async def test_how_each_fares_is_known_and_its_turns_are_told(self, watch_with: StartWatch, way: Way) -> None:
        with capture_logs() as logs:
            watch = await watch_with("a", "b")
            assert watch.up == {}
            await until(lambda: watch.up == {"a": True, "b": True})
            way.bad.add(NAMES["b"])
            await until(lambda: watch.up == {"a": True, "b": False})
            way.bad.clear()
            await until(lambda: watch.up == {"a": True, "b": True})
        told = [(line["event"], line["responder"]) for line in logs if line["event"].startswith("reference_")]
        assert [event for event, name in told if name == "b"] == ["reference_good", "reference_bad", "reference_good"]
        assert [event for event, name in told if name == "a"] == ["reference_good"]


class TestWaiting:
    async def test_a_good_result_and_one_without_reference_wait_for_nothing(
        self, watch_with: StartWatch, way: Way
    ) -> None:
        watch = await watch_with("a")
        good = ended(ROOM, clock.posix_now() - 0.1, Outcome.REACHED, Grade.GOOD)
        assert await watch.settle(good) is good
        assert way.spans == []
        alone = await watch_with()
        bad = bad_call()
        assert await alone.settle(bad) is bad

    async def test_a_bad_result_stands_if_the_calls_beside_it_were_good(self, watch_with: StartWatch, way: Way) -> None:
        watch = await watch_with("a")
        await asyncio.sleep(SECONDS / 4)
        bad = bad_call(0.01)
        assert await watch.settle(bad) is bad
        assert len(way.spans) >= 1  # it has waited for the call that was up

    async def test_a_bad_result_is_invalid_if_a_call_still_up_when_it_came_was_bad(
        self, watch_with: StartWatch, way: Way
    ) -> None:
        watch = await watch_with("a")
        way.bad.add(NAMES["a"])
        await asyncio.sleep(SECONDS / 4)
        bad = bad_call(0.01)
        bad = dataclasses.replace(bad, result=dataclasses.replace(bad.result, advisories=("silent_room",)))
        settled = (await watch.settle(bad)).result
        assert (settled.grade, settled.invalid, settled.outcome) == (
            Grade.INVALID,
            ("our_uplink",),
            Outcome.TIMEOUT,
        )
        assert settled.advisories == ()  # an invalid measurement advises of nothing

    async def test_with_two_responders_one_that_is_bad_excuses_nothing(self, watch_with: StartWatch, way: Way) -> None:
        watch = await watch_with("a", "b")
        way.bad.add(NAMES["a"])
        await until(lambda: watch.up == {"a": False, "b": True})
        assert (await watch.settle(bad_call())).result.invalid == ()
        way.bad.add(NAMES["b"])
        await until(lambda: watch.up == {"a": False, "b": False})
        assert (await watch.settle(bad_call(0.0))).result.invalid == ("our_uplink",)

    async def test_a_way_that_refuses_at_once_is_bad_all_the_time_between_calls(
        self, watch_with: StartWatch, way: Way
    ) -> None:
        watch = await watch_with("a")
        way.dead = True
        await until(lambda: watch.up == {"a": False})
        settled = await asyncio.gather(*(self.later(watch, 0.013 * number) for number in range(20)))
        assert [one.result.invalid for one in settled] == [("our_uplink",)] * 20
        assert len(way.spans) <= 12  # and it is not asked without a pause

    async def later(self, watch: ReferenceWatch, seconds: float) -> Finished:
        await asyncio.sleep(seconds)
        return await watch.settle(bad_call(0.0))

    async def test_cancelling_ends_the_waiting_and_keeps_the_result(self, watch_with: StartWatch, way: Way) -> None:
        watch = await watch_with("a")
        await asyncio.sleep(SECONDS / 4)
        bad = bad_call()
        waiting = asyncio.ensure_future(watch.settle(bad))
        await asyncio.sleep(0)
        waiting.cancel()
        assert await waiting is bad
        assert way.spans == []

    async def test_waiting_is_bounded(self, watch_with: StartWatch, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
        watch = await watch_with("a")
        monkeypatch.setattr(Profile, "longest_call_seconds", 0.0)
        monkeypatch.setattr(ReferenceWatch, "_pause", 0.02)
        await asyncio.sleep(SECONDS / 4)
        bad = bad_call()
        with capture_logs() as logs:
            assert await watch.settle(bad) is bad
        assert [line["event"] for line in logs] == ["reference_not_told"]
        assert way.spans == []


class TestReload:
    async def test_other_responders_are_called_from_then_on(self, watch_with: StartWatch, way: Way) -> None:
        watch = await watch_with("a")
        await until(lambda: watch.up == {"a": True})
        watch.reload(Reference({"b": NAMES["b"]}, PROFILE))
        assert watch.up == {}
        await until(lambda: watch.up == {"b": True})
        way.spans.clear()
        await until(lambda: len(way.spans) >= 3)
        assert {uri for uri, _, _ in way.spans} == {NAMES["b"]}

    async def test_the_same_setting_interrupts_nothing(self, watch_with: StartWatch, way: Way) -> None:
        watch = await watch_with("a")
        await until(lambda: watch.up == {"a": True})
        watch.reload(Reference({"a": NAMES["a"]}, PROFILE))
        assert watch.up == {"a": True}
        assert way.spans

    async def test_what_waits_is_judged_by_the_old_calls(self, watch_with: StartWatch, way: Way) -> None:
        watch = await watch_with("a")
        way.bad.add(NAMES["a"])
        await until(lambda: watch.up == {"a": False})
        waiting = asyncio.ensure_future(watch.settle(bad_call(0.15)))
        await asyncio.sleep(0)
        watch.reload(Reference())
        assert (await waiting).result.invalid == ("our_uplink",)

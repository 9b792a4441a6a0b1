"""The calls to the reference responders, and the bad results that wait for what those find.

Owns the chains of calls and the waiting; what follows from them is `diagnosis.uplink`'s. A room's bad result waits
until the reference calls beside it are over: a few seconds, in which its call still counts in the caps, so that an
outage of our own slows the daemon down by itself.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from bridge_monitor.diagnosis.uplink import OUR_UPLINK, Uplink, can_be_excused, is_bad, span_of
from bridge_monitor.domain import Grade, Outcome, ProbeResult
from bridge_monitor.net import clock
from bridge_monitor.probes.reference import LANES, Reference
from bridge_monitor.probes.runner import PlaceCall
from bridge_monitor.probes.shapes import Finished

_LOG = structlog.get_logger(__name__)
_CLOSED_LOOK_SECONDS: Final = 1.0


class ReferenceWatch:
    """Calls every responder all the time, and judges bad results by it.

    Args:
        reference: Whom to call, and how.
        place: Places one call.
        may_start: Whether a call that lasts so many seconds may start now.
    """

    def __init__(self, reference: Reference, place: PlaceCall, may_start: Callable[[float], bool]) -> None:
        self._place = place
        self._may_start = may_start
        self._numbers = itertools.count()
        self._changed = asyncio.Event()
        self._replaced = asyncio.Event()
        self._set(reference)

    def _set(self, reference: Reference) -> None:
        self.reference = reference
        self.uplink = Uplink(reference.responders, bad_after=reference.bad_after, good_after=reference.good_after)
        self._next_start = dict.fromkeys(reference.responders, 0.0)

    @property
    def up(self) -> Mapping[str, bool]:
        """Whether each responder is good, by name; those of which nothing is known yet are left out."""
        return {name: not one.bad for name, one in self.uplink.responders.items() if one.bad is not None}

    async def run(self) -> None:
        """Call until cancelled; then end the calls that are up."""
        while True:
            self._replaced.clear()
            loop = asyncio.get_running_loop()
            lanes = [
                loop.create_task(self._keep_calling(name), name=f"reference-{name}-{lane}")
                for name in self.reference.responders
                for lane in range(LANES)
            ]
            try:
                await self._replaced.wait()
            finally:
                for lane in lanes:
                    lane.cancel()
                await asyncio.gather(*lanes, return_exceptions=True)

    def reload(self, reference: Reference) -> None:
        """Call by another setting from now on; what waits is judged by what the old calls have found."""
        if reference != self.reference:
            self._set(reference)
            self._replaced.set()

    def keeps_waiting(self, result: ProbeResult) -> bool:
        """Return whether a result has to wait for the reference."""
        return bool(self.reference.responders) and can_be_excused(result)

    async def settle(self, finished: Finished) -> Finished:
        """Return a finished call as it is to be kept: one that was bad while our uplink was, is invalid.

        Waits for the reference calls beside it, no longer than the longest of them; cancelling ends the waiting, never
        loses the result.
        """
        result, uplink = finished.result, self.uplink
        if not self.keeps_waiting(result):
            return finished
        within = span_of(result)
        try:
            async with asyncio.timeout(self._pause + self.reference.profile.longest_call_seconds):
                while uplink.was_bad(within) is None:
                    await self._changed.wait()
        except TimeoutError:
            _LOG.warning("reference_not_told", site=result.target.site)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        return _excused(finished) if uplink.was_bad(within) else finished

    # --- the calls ---------------------------------------------------------------------------------------------------

    @property
    def _pause(self) -> float:
        """Seconds from one call's start to the next one's: half a stream, so that two are up at any moment."""
        return self.reference.profile.stream_seconds / LANES

    async def _keep_calling(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wait = self._next_start[name] - loop.time()
            if not self._may_start(self.reference.profile.longest_call_seconds):
                wait = _CLOSED_LOOK_SECONDS
            if wait > 0.0:
                await asyncio.sleep(wait)
                continue
            self._next_start[name] = loop.time() + self._pause
            if not await self._call(name):
                return

    async def _call(self, name: str) -> bool:
        """Place one call and take note of what it found; return whether to go on."""
        loop, uplink = asyncio.get_running_loop(), self.uplink
        number, begun, start = next(self._numbers), loop.time(), clock.posix_now()
        uplink.responders[name].began(number, start)
        result = None
        try:
            result = (await self._place(self.reference.site_of(name))).result
            if is_bad(result):
                # Refused at once, say for want of a route: it stays true until the next call may tell otherwise.
                await asyncio.sleep(begun + self._pause - loop.time())
        except Exception:  # noqa: BLE001 - our bug in one call must not end the others; it is logged whole
            _LOG.exception("reference_call_failed_inside", responder=name)
            await asyncio.sleep(_CLOSED_LOOK_SECONDS)
        finally:
            self._note(name, number, start + loop.time() - begun, result, uplink)
        return result is None or result.outcome is not Outcome.CANCELLED

    def _note(self, name: str, number: int, end: float, result: ProbeResult | None, uplink: Uplink) -> None:
        responder = uplink.responders[name]
        before = responder.bad
        responder.ended(number, end, bad=None if result is None else is_bad(result))
        if responder.bad is not before and result is not None:
            _tell(name, result, bad=responder.bad is True)
        self._changed.set()
        self._changed = asyncio.Event()


def _excused(finished: Finished) -> Finished:
    """Return the call with its result invalid: our fault is never theirs."""
    invalid = (*finished.result.invalid, OUR_UPLINK)
    result = dataclasses.replace(finished.result, grade=Grade.INVALID, invalid=invalid, advisories=())
    return dataclasses.replace(finished, result=result)


def _tell(name: str, result: ProbeResult, *, bad: bool) -> None:
    if bad:
        _LOG.warning("reference_bad", responder=name, outcome=str(result.outcome), reason=result.reason)
    else:
        _LOG.info("reference_good", responder=name)

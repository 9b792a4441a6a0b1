"""``probe``: one site called by hand, each step shown.

Owns the order of a hand call (whom, may we, slot, call, result, exit code); the call itself is `probes.call`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from bridge_monitor import config as configuration_files
from bridge_monitor.cli.console import (
    EXIT_DEGRADED,
    EXIT_FAILED,
    EXIT_GOOD,
    EXIT_UNKNOWN,
    messages,
    output,
    refuse,
    run_interruptibly,
    show_problems,
)
from bridge_monitor.cli.result_view import label, ladder, milliseconds, result_panel
from bridge_monitor.cli.texts import refusal, text
from bridge_monitor.config.endpoints import parse_endpoint
from bridge_monitor.daemon.capture import CallCapture
from bridge_monitor.daemon.centre import CallCentre, CentreSettings, default_state_dir, open_centre
from bridge_monitor.daemon.control import Slot, daemon_slot
from bridge_monitor.domain import Grade, ProbeResult, Site, Target
from bridge_monitor.domain.wording import Lang
from bridge_monitor.errors import ConfigError, LocalFaultError, RefusedError, SipSyntaxError
from bridge_monitor.net import clock
from bridge_monitor.probes.book import CallBook
from bridge_monitor.probes.profile import CALLABLE_SCHEMES, Profile, Route
from bridge_monitor.probes.shapes import CallSite, Finished, refused
from bridge_monitor.probes.story import quiet
from bridge_monitor.schedule import timetable
from bridge_monitor.sip import SipUri

_EXIT: Final = {
    Grade.GOOD: EXIT_GOOD,
    Grade.DEGRADED: EXIT_DEGRADED,
    Grade.BUSY: EXIT_DEGRADED,
    Grade.FAILED: EXIT_FAILED,
}
_BY_SEVERITY: Final = (EXIT_GOOD, EXIT_UNKNOWN, EXIT_DEGRADED, EXIT_FAILED)
_BETWEEN_CALLS_SECONDS: Final = 0.5
_CALLS_AT_ONCE: Final = 4
_LIFTED: Final = frozenset({"outside_window", "quiet_hours"})
"""Refusals that ``--outside-window`` lifts."""


@dataclass(frozen=True, slots=True)
class ProbeWish:
    """What was asked for on the command line."""

    target: str
    config: Path | None = None
    any_target: bool = False
    duration: float | None = None
    count: int = 1
    profile: str | None = None
    kind: str | None = None
    pcap: Path | None = None
    pcap_payload: bool = False
    trace: bool = False
    tone: bool = False
    outside_window: bool = False
    state_dir: Path | None = None
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to call, resolved: the call, the site's name, where from, and why it may never be."""

    site: CallSite
    name: str
    centre: CentreSettings
    configuration: configuration_files.Configuration | None = None
    obstacle: str | None = None

    @property
    def bandwidth_cap_bps(self) -> float:
        """What its site's caps let one call take; the daemon, if one runs, adds up the others beside it."""
        loaded, code = self.configuration, self.site.target.site
        if loaded is None or code is None:
            return math.inf
        site = loaded.inventory[code]
        province = loaded.inventory.province_of(code)
        caps = (loaded.caps.total, loaded.caps.of_province(province), loaded.caps.of_carrier(site.carrier))
        return min(cap.bandwidth_bps or math.inf for cap in caps)


def run_probe(wish: ProbeWish, lang: Lang) -> int:
    """Place the calls asked for; return the exit code of the worst."""
    try:
        plan = plan_of(wish, lang)
    except ConfigError as error:
        show_problems(error, lang)
        return EXIT_UNKNOWN
    reason = refusal_of(plan, wish)
    if reason is not None:
        return show_refusal(reason, plan, wish, lang)
    try:
        return run_interruptibly(_call(plan, wish, lang))
    except RefusedError as error:
        return show_refusal(error.reason, plan, wish, lang)
    except LocalFaultError as error:
        refuse(text("local_fault", lang, why=error))


def exit_code(result: ProbeResult) -> int:
    """Return the monitoring-plugin exit code of a result."""
    return _EXIT.get(result.grade, EXIT_UNKNOWN)


def worst_exit_code(codes: Iterable[int]) -> int:
    """Return the exit code of several calls: what was found to be bad outweighs what could not be told."""
    return max(codes, key=_BY_SEVERITY.index, default=EXIT_UNKNOWN)


def plan_of(wish: ProbeWish, lang: Lang) -> Plan:
    """Return whom to call and how.

    Raises:
        ConfigError: The configuration has errors.
    """
    return _plan_any(wish, lang) if wish.any_target else _plan_site(wish, lang)


# --- whom and how ----------------------------------------------------------------------------------------------------


def _plan_any(wish: ProbeWish, lang: Lang) -> Plan:
    try:
        SipUri.parse(wish.target)
    except SipSyntaxError as error:
        refuse(text("not_a_uri", lang, target=wish.target, why=error))
    if wish.profile is not None:
        refuse(text("profile_needs_config", lang))
    profile = _adjust(Profile("any-target"), wish, lang)
    if not _can_be_called(wish.target, profile):
        refuse(text("not_callable", lang, target=wish.target))
    site = CallSite(Target(None, wish.target), profile, Route(), profile.thresholds_for("default"))
    return Plan(site, "", CentreSettings(state_dir=wish.state_dir or default_state_dir()))


def _can_be_called(target: str, profile: Profile) -> bool:
    """Tell whether this version has the transport: ``sips`` must not be called in the clear (RFC 3261 §26.2.2)."""
    try:
        return parse_endpoint(target).callable_by(profile.kind)
    except ValueError:
        return False


def _plan_site(wish: ProbeWish, lang: Lang) -> Plan:
    if wish.config is None:
        refuse(text("probe_needs_config", lang))
    loaded = configuration_files.load(wish.config, now=clock.utc(clock.posix_now()), lang=lang)
    site = _find(loaded, wish.target)
    if site is None:
        refuse(text("no_such_site", lang, target=wish.target))
    if wish.profile is not None and wish.profile not in loaded.profiles:
        refuse(text("no_such_profile", lang, profile=wish.profile, known=", ".join(loaded.profiles)))
    centre = replace(
        CentreSettings.of(loaded, wish.state_dir, by_hand=True), calls_at_once=_CALLS_AT_ONCE, video=frozenset()
    )
    book = CallBook(loaded.inventory, loaded.profiles, loaded.provinces, loaded.carriers, tls=loaded.tls)
    if not site.testable:
        profile = Profile(wish.profile or "", kind=wish.kind or "sip")
        never = CallSite(Target(site.code, site.endpoint or ""), profile, Route(), profile.thresholds_for(site.tier))
        return Plan(never, site.name, centre, loaded, "not_testable")
    profile = loaded.profiles[wish.profile or site.probe or ""]
    profile = _adjust(profile, wish, lang)
    if profile.has_video:
        centre = replace(centre, video=frozenset({profile.video_rate}))
    return Plan(book.look_up(site, profile), site.name, centre, loaded)


def _find(loaded: configuration_files.Configuration, target: str) -> Site | None:
    site = loaded.inventory.get(target)
    if site is not None:
        return site
    return next((known for known in loaded.inventory if known.endpoint == target), None)


def _adjust(profile: Profile, wish: ProbeWish, lang: Lang) -> Profile:
    kind = wish.kind or profile.kind
    if kind not in CALLABLE_SCHEMES:
        refuse(text("no_such_kind", lang, kind=kind, known=", ".join(CALLABLE_SCHEMES)))
    return replace(
        profile,
        kind=kind,
        duration_seconds=wish.duration or profile.duration_seconds,
        tone=wish.tone or profile.tone,
    )


def refusal_of(plan: Plan, wish: ProbeWish) -> str | None:
    """Return why no call may be placed now, or None.

    The event's windows are kept; --outside-window lifts them, but never those of guard and conference.
    """
    if plan.configuration is None:
        return None
    if plan.obstacle:
        return plan.obstacle
    if plan.site.profile.bandwidth_bps > plan.bandwidth_cap_bps:
        return "bandwidth_above_cap"
    return timetable(plan.configuration.event).refusal(
        clock.posix_now(), plan.site.profile.longest_call_seconds, outside_window=wish.outside_window
    )


# --- the calls -------------------------------------------------------------------------------------------------------


async def _call(plan: Plan, wish: ProbeWish, lang: Lang) -> int:
    codes: list[int] = []
    capture = CallCapture(wish.pcap, keep_payload=wish.pcap_payload) if wish.pcap else None
    with capture or contextlib.nullcontext():
        async with open_centre(plan.centre) as centre, held_slot(plan, centre, wish) as slot:
            while len(codes) < wish.count:
                if codes:
                    await asyncio.sleep(_BETWEEN_CALLS_SECONDS)
                    if reason := refusal_of(plan, wish):
                        codes.append(show_refusal(reason, plan, wish, lang))
                        break
                finished, interrupted = await call_once(plan, centre, wish, lang, capture)
                if slot is not None and not await slot.tell(finished.result, finished.evidence):
                    messages().print(text("result_not_kept", lang), style="yellow")
                _show(finished, plan, wish, lang)
                codes.append(exit_code(finished.result))
                if interrupted:
                    # Also where the call had just ended by itself: whoever pressed Ctrl-C wants no next one.
                    codes.append(EXIT_UNKNOWN)
                    break
    return worst_exit_code(codes)


@contextlib.asynccontextmanager
async def held_slot(plan: Plan, centre: CallCentre, wish: ProbeWish) -> AsyncIterator[Slot | None]:
    """Hold the site for ourselves: the daemon's slot if one runs, and the host's lock in any case."""
    key = plan.site.target.site or plan.site.target.uri
    async with contextlib.AsyncExitStack() as stack:
        slot = None
        if plan.configuration is not None:
            held = daemon_slot(
                centre.settings.state_dir,
                key,
                outside_window=wish.outside_window,
                bandwidth_bps=plan.site.profile.bandwidth_bps,
            )
            slot = await stack.enter_async_context(held)
        if not centre.locks.acquire(key):
            raise RefusedError("site_in_call", f"site {key} is in another test call")
        stack.callback(centre.locks.release, key)
        yield slot


async def call_once(
    plan: Plan, centre: CallCentre, wish: ProbeWish, lang: Lang, capture: CallCapture | None = None, *, row: str = ""
) -> tuple[Finished, bool]:
    """Place one call; return what it found, and whether it was interrupted.

    Of a call that becomes a row of a table, called ``row``, only the phase that runs is shown, and none stays.
    """
    interrupted = False
    console = messages()
    watch = _Watch(console, plan, lang, row)
    call = asyncio.ensure_future(
        centre.place_watched(
            plan.site,
            tap=capture.sip if capture else None,
            capture=capture is not None,
            progress=quiet if wish.as_json else watch.note,
        )
    )
    try:
        with watch:
            finished = await asyncio.shield(call)
    except asyncio.CancelledError:
        # Ctrl-C: the call is ended properly, and what it found is still shown.
        interrupted = True
        call.cancel()
        finished = await call
    if capture is not None:
        capture.media(finished.packets)
    return finished, interrupted


class _Watch:
    """Shows each phase as it passes, on a terminal."""

    def __init__(self, console: Console, plan: Plan, lang: Lang, row: str) -> None:
        self._console = console
        self._row = row
        self._lang = lang
        self._seconds = plan.site.profile.stream_seconds
        self._status = console.status("") if console.is_terminal else None

    def __enter__(self) -> None:
        if self._status is not None:
            self._status.start()

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def note(self, phase: str, seconds: float | None) -> None:
        """Show that a phase began (None) or how long it took."""
        if self._status is None:
            return
        name = label(phase, self._lang)
        if seconds is not None:
            if not self._row:
                self._console.print(Text.assemble(("✓ ", "green"), name, (f" {milliseconds(seconds)}", "dim")))
            return
        if phase == "first_rtp":
            name = text("measuring", self._lang, seconds=f"{self._seconds:g}")
        self._status.update(f"{self._row}: {name}" if self._row else name)


def _show(finished: Finished, plan: Plan, wish: ProbeWish, lang: Lang) -> None:
    console = output()
    if wish.as_json:
        console.out(json.dumps(finished.result.to_dict(), ensure_ascii=False), highlight=False)
        if wish.trace:
            messages().print(ladder(finished.evidence, lang))
        return
    if wish.trace:
        console.print(ladder(finished.evidence, lang))
    console.print(result_panel(finished.result, lang, plan.name))


def show_refusal(reason: str, plan: Plan, wish: ProbeWish, lang: Lang) -> int:
    """Say why no call was placed; return the exit code."""
    if wish.as_json:
        result = refused(plan.site, reason, vantage=plan.centre.vantage).result
        output().out(json.dumps(result.to_dict(), ensure_ascii=False), highlight=False)
    why = refusal(reason, lang)
    if reason in _LIFTED and not wish.outside_window:
        why += "; " + text("or_outside_window", lang)
    messages().print(text("refused", lang, reason=reason, why=why), style="bold yellow")
    return EXIT_UNKNOWN

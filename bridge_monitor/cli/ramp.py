"""``probe --ramp``: calls with video at rising rates, a line a rate, and where loss begins.

Owns the course and the drawing of a ramp; which rate is next and what was found is `probes.ramp`'s.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, replace
from typing import Final

from rich.text import Text

from bridge_monitor.cli.console import (
    EXIT_DEGRADED,
    EXIT_GOOD,
    EXIT_UNKNOWN,
    messages,
    output,
    refuse,
    run_interruptibly,
    show_problems,
)
from bridge_monitor.cli.probe import (
    Plan,
    ProbeWish,
    call_once,
    exit_code,
    held_slot,
    plan_of,
    refusal_of,
    show_refusal,
)
from bridge_monitor.cli.result_view import percent, result_panel
from bridge_monitor.cli.texts import text
from bridge_monitor.daemon.centre import open_centre
from bridge_monitor.domain import Outcome
from bridge_monitor.domain.wording import Lang, invalid_text
from bridge_monitor.errors import ConfigError, LocalFaultError, RefusedError
from bridge_monitor.net.engine.video_plan import HIGHEST_BITRATE, LOWEST_BITRATE
from bridge_monitor.probes.profile import Profile
from bridge_monitor.probes.ramp import DIRECTIONS, MOST_STEPS, Ramp, Step, rising
from bridge_monitor.probes.shapes import Finished

_RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kM]|m)?(?: ?bit/s)?", re.ASCII)
_TIMES: Final = {None: 1, "k": 1_000, "m": 1_000_000, "M": 1_000_000}
_NAMES: Final = {"outbound": "ramp_outbound", "inbound": "ramp_inbound", "round_trip": "ramp_round_trip"}
_DEFAULTS: Final = {"--from": "500k", "--to": "4M", "--step": "500k"}
_CELLS: Final = 24
_BETWEEN_CALLS_SECONDS: Final = 0.5
_COLUMN: Final = 16


@dataclass(frozen=True, slots=True)
class RampWish:
    """Rates of a ramp, bit/s: from the first to the last, and from one to the next."""

    low: int
    high: int
    step: int

    @classmethod
    def parse(
        cls, low: str | None, high: str | None, step: str | None, lang: Lang, *, is_wanted: bool
    ) -> RampWish | None:
        """Read the rates of the command line; refuse what is none, and rates of no ramp. None if no ramp is wanted."""
        written = {"--from": low, "--to": high, "--step": step}
        given = {name: value for name, value in written.items() if value is not None}
        if not is_wanted:
            if given:
                refuse(text("rates_of_no_ramp", lang, options=", ".join(given)))
            return None
        wish = cls(*(_rate(value, lang) for value in (_DEFAULTS | given).values()))
        if not LOWEST_BITRATE <= wish.low <= wish.high <= HIGHEST_BITRATE or wish.step < 1:
            bounds = {"low": bits(LOWEST_BITRATE), "high": bits(HIGHEST_BITRATE)}
            words = " ".join(f"{name} {value}" for name, value in (_DEFAULTS | given).items())
            refuse(text("rate_bounds", lang, value=words, **bounds))
        if (wish.high - wish.low) / wish.step > MOST_STEPS:
            refuse(text("too_many_steps", lang, low=bits(wish.low), high=bits(wish.high), most=MOST_STEPS))
        return wish


def bits(rate_bps: float) -> str:
    """Return a rate as people write it."""
    if rate_bps < 1_000_000:
        return f"{rate_bps / 1000:g} kbit/s"
    return f"{rate_bps / 1_000_000:g} Mbit/s"


def run_ramp(wish: ProbeWish, rates: RampWish, lang: Lang) -> int:
    """Place the calls; return 0 if the line carried every rate, 1 where loss began, else what the last call says."""
    given = [name for name, is_given in (("--count", wish.count != 1), ("--pcap", wish.pcap)) if is_given]
    if given:
        refuse(text("ramp_of_one", lang, options=", ".join(given)))
    try:
        plan = plan_of(wish, lang)
    except ConfigError as error:
        show_problems(error, lang)
        return EXIT_UNKNOWN
    if not plan.obstacle and plan.site.profile.kind != "sip":
        refuse(text("ramp_needs_media", lang))
    allowed = rising(rates.low, rates.high, rates.step)
    fitting = tuple(
        rate for rate in allowed if at_rate(plan, rate).site.profile.bandwidth_bps <= plan.bandwidth_cap_bps
    )
    top = at_rate(plan, max(fitting, default=allowed[0]))
    reason = refusal_of(top, wish)
    if reason is not None:
        return show_refusal(reason, top, wish, lang)
    if len(fitting) < len(allowed):
        messages().print(text("ramp_capped", lang, rate=bits(fitting[-1])), style="yellow")
    try:
        return run_interruptibly(_climb(plan, top, wish, Ramp(fitting, plan.site.thresholds.loss_degraded), lang))
    except RefusedError as error:
        return show_refusal(error.reason, top, wish, lang)
    except LocalFaultError as error:
        refuse(text("local_fault", lang, why=error))


def at_rate(plan: Plan, rate_bps: int) -> Plan:
    """Return the same call with video at this rate."""
    profile: Profile = replace(plan.site.profile, video_bps=rate_bps, large_packets=0)
    return replace(plan, site=replace(plan.site, profile=profile, earlier=()))


async def _climb(plan: Plan, top: Plan, wish: ProbeWish, ramp: Ramp, lang: Lang) -> int:
    view = _View(ramp, plan, wish, lang)
    interrupted = refused = False
    last: Finished | None = None
    # The slot is held at the highest rate, so that a running daemon's caps hold throughout.
    # The cards of its rates are made one by one, since encoding beside a call would spoil it.
    async with open_centre(replace(plan.centre, video=frozenset())) as centre, held_slot(top, centre, wish):
        view.begin()
        while (rate := ramp.next_rate()) is not None and not interrupted:
            if last is not None:
                await asyncio.sleep(_BETWEEN_CALLS_SECONDS)
                if reason := refusal_of(top, wish):
                    refused = bool(show_refusal(reason, top, wish, lang))
                    break
            last, interrupted = await call_once(at_rate(plan, rate), centre, wish, lang, row=bits(rate))
            view.step(ramp.note(rate, last), last)
    view.conclude(last)
    if any(ramp.lossy(step) for step in ramp.steps):
        return EXIT_DEGRADED
    if interrupted or refused or last is None or not ramp.steps[-1].measured():
        return EXIT_UNKNOWN if last is None or last.result.outcome is Outcome.REACHED else exit_code(last.result)
    return EXIT_GOOD if ramp.next_rate() is None and ramp.steps[-1].is_valid else EXIT_UNKNOWN


class _View:
    """Shows a ramp as it climbs: a line a call, and what was found at the end."""

    def __init__(self, ramp: Ramp, plan: Plan, wish: ProbeWish, lang: Lang) -> None:
        self._ramp = ramp
        self._plan = plan
        self._as_json = wish.as_json
        self._lang = lang

    def begin(self) -> None:
        """Show what each column is."""
        if self._as_json:
            return
        keys = (*(_NAMES[way] for way in DIRECTIONS), "ramp_frames")
        names = "".join(f"{text(key, self._lang):>{_COLUMN}}" for key in keys)
        output().print(Text(f"{text('ramp_rate', self._lang):>12}  {'':{_CELLS}}{names}", style="bold"))

    def step(self, step: Step, finished: Finished) -> None:
        """Show what one more call found."""
        if not self._as_json:
            output().print(self._line(step, finished))

    def conclude(self, last: Finished | None) -> None:
        """Show what was found in all."""
        if self._as_json:
            whole = {"target": {"site": self._plan.site.target.site, "uri": self._plan.site.target.uri}}
            output().out(json.dumps(self._ramp.to_dict() | whole, ensure_ascii=False), highlight=False)
            return
        if last is None:
            return
        if last.result.outcome is not Outcome.REACHED:
            output().print(result_panel(last.result, self._lang, self._plan.name))
        elif not self._ramp.steps[-1].measured() and not last.result.invalid:
            gone_at = self._ramp.picture_gone_at()
            key = "ramp_no_video" if gone_at is None else "ramp_video_gone"
            output().print(text(key, self._lang, rate=bits(gone_at or 0)), style="yellow")
        clean = self._ramp.clean()
        for way, begins in self._ramp.begins().items():
            output().print(self._finding(way, clean[way], begins))

    def _finding(self, way: str, clean: int | None, begins: int | None) -> Text:
        if begins is None:
            return (
                Text(self._say(way, "ramp_clean", clean=bits(clean)), "green")
                if clean
                else Text(self._say(way, "ramp_in_doubt"), "yellow")
            )
        seen = next(step.measured()[way] for step in self._ramp.steps if step.rate_bps == begins)
        facts = {"begins": bits(begins), "bound": percent(seen.lower_bound)}
        if clean is None:
            return Text(self._say(way, "ramp_never_clean", **facts), "red")
        return Text(self._say(way, "ramp_begins", clean=bits(clean), **facts), "yellow")

    def _say(self, way: str, key: str, **facts: object) -> str:
        return text(key, self._lang, way=text(_NAMES[way], self._lang), **facts)

    def _line(self, step: Step, finished: Finished) -> Text:
        line = Text(f"{bits(step.rate_bps):>12}  ")
        if finished.result.invalid:
            why = ", ".join(invalid_text(reason, self._lang) for reason in finished.result.invalid)
            return line.append(text("ramp_invalid", self._lang, why=why), style="magenta")
        measured = step.measured()
        lossy = self._ramp.lossy(step)
        filled = max(1, round(step.rate_bps / self._ramp.rates[-1] * _CELLS))
        worst = max((seen.ratio for seen in measured.values()), default=0.0)
        lost = min(filled, -round(-worst * filled)) if measured else 0
        line.append("█" * (filled - lost), style="green" if measured else "dim")
        line.append("█" * lost, style="red").append("░" * (_CELLS - filled), style="dim")
        for way in DIRECTIONS:
            seen = measured.get(way)
            line.append(f"{percent(seen.ratio if seen else None):>{_COLUMN}}", style="bold red" if way in lossy else "")
        frames = [stream for stream in finished.result.media if stream.frames_expected]
        share = f"{frames[0].frames_lost}/{frames[0].frames_expected}" if frames else "–"
        return line.append(f"{share:>{_COLUMN}}")


def _rate(value: str, lang: Lang) -> int:
    match = _RATE.fullmatch(value.strip())
    if match is None:
        refuse(text("not_a_rate", lang, value=value))
    return round(float(match[1]) * _TIMES[match[2]])

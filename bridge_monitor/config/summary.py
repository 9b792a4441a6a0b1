"""What will happen with a configuration: the facts that ``check-config`` shows.

Owns the figures; must not render them (`cli`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bridge_monitor.config.credentials import WrittenAccount
from bridge_monitor.config.loading import Configuration
from bridge_monitor.config.plan import caps_beside, estimate_first_sweep, plannables
from bridge_monitor.config.spans import callable_spans
from bridge_monitor.domain import ContactScope, Event, EventPhase, Site, Window
from bridge_monitor.schedule import Caps, phase_at


@dataclass(frozen=True, slots=True)
class SpanLine:
    """A span of the event's time, in its zone.

    Attributes:
        kind: ``rehearsal`` (a window as written), ``guard`` or ``conference``.
        start: Its start.
        end: Its end.
        start_weekday: Day of the week it starts on, 0 for Monday.
        end_weekday: Day of the week it ends on.
        over: Whether it has ended.
        callable: The spans in it in which calls may be up: without quiet hours.
    """

    kind: str
    start: datetime
    end: datetime
    start_weekday: int
    end_weekday: int
    over: bool
    callable: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteCounts:
    """How many sites of a tier, carrier or the whole list are called and how many are not.

    Attributes:
        name: The tier or carrier.
        called: Sites that test calls are placed to.
        attending: Sites whose people sit at another.
        not_testable: Sites with ``probe = none``.
    """

    name: str
    called: int
    attending: int
    not_testable: int

    @property
    def sites(self) -> int:
        """All of them."""
        return self.called + self.attending + self.not_testable


@dataclass(frozen=True, slots=True)
class Load:
    """The most that test calls may take.

    Attributes:
        caps: The total caps.
        per_province: The caps of a province without override.
        per_carrier: The caps of a carrier without override.
        calls_at_once: Most calls at once that the caps, or the number of sites, let come about.
        bandwidth_bps: What these calls take, in bit/s each way, within the bandwidth cap.
        province_calls_at_once: The same for the province where most could come about.
        province_bandwidth_bps: What those take.
    """

    caps: Caps
    per_province: Caps
    per_carrier: Caps
    calls_at_once: int
    bandwidth_bps: float
    province_calls_at_once: int
    province_bandwidth_bps: float


@dataclass(frozen=True, slots=True)
class FirstSweep:
    """When every room will have been called once, if all answer.

    Attributes:
        calls: How many rooms are called.
        starts_at: When the first call starts, in the event's zone; None if no window is left.
        done_at: When the last has ended; None if the windows left don't suffice.
        takes: How long it would take without windows; None where it would never be done.
        done: Calls that fit into the windows left.
        never: Rooms that no call can be placed to as things are set, with the reason (``bandwidth_above_cap``,
            ``call_longer_than_window``).
    """

    calls: int
    starts_at: datetime | None
    done_at: datetime | None
    takes: timedelta | None
    done: int
    never: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Roster:
    """Who of the provinces or carriers has registered a contact.

    Attributes:
        in_time: Codes with a contact registered before the deadline (or at all, if there is none).
        late: Codes whose first registration came at or after the deadline.
        missing: Codes without a registration.
    """

    in_time: tuple[str, ...]
    late: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An account of ours, without its secret.

    Attributes:
        realm: Its realm.
        user: Its name.
        sites: Codes of the sites that it is for.
        provinces: Codes of the provinces that it is for.
        carriers: Names of the carriers that it is for.
        everywhere: Whether it is for all sites.
        source: Where its secret comes from: ``file``, ``env`` or ``credential``.
        at_hand: Whether this process has the secret.
    """

    realm: str
    user: str
    sites: tuple[str, ...]
    provinces: tuple[str, ...]
    carriers: tuple[str, ...]
    everywhere: bool
    source: str
    at_hand: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """What will happen.

    Attributes:
        title: The event's title.
        zone: Name of its zone.
        now: The present, in that zone.
        phase: Where the event stands.
        spans: Rehearsals, guard and conference, in order.
        quiet_hours: ``20:00–06:00``, or None.
        sites: Counts over all sites.
        tiers: Counts by tier, from the top down.
        carriers: Counts by carrier, most sites first; sites without one under an empty name.
        load: The most that test calls may take.
        first_sweep: When it will be done.
        responders: The reference responders: name and URI.
        reference_bandwidth_bps: What the calls to them take all the time, in bit/s each way.
        accounts: Our accounts at rooms and proxies.
        registration_deadline: Contacts are in time strictly before this.
        provinces: Their registrations.
        carrier_contacts: The carriers' registrations.
    """

    title: str
    zone: str
    now: datetime
    phase: EventPhase
    spans: tuple[SpanLine, ...]
    quiet_hours: str | None
    sites: SiteCounts
    tiers: tuple[SiteCounts, ...]
    carriers: tuple[SiteCounts, ...]
    load: Load
    first_sweep: FirstSweep
    responders: tuple[tuple[str, str], ...]
    reference_bandwidth_bps: float
    accounts: tuple[AccountLine, ...]
    registration_deadline: datetime | None
    provinces: Roster
    carrier_contacts: Roster


def summarise(configuration: Configuration, now: datetime) -> Summary:
    """Return what will happen from now on.

    Args:
        configuration: The checked files.
        now: The present, aware.
    """
    event, inventory = configuration.event, configuration.inventory
    quiet = event.quiet_hours
    by_tier = _group(inventory, lambda site: site.tier)
    by_carrier = _group(inventory, lambda site: site.carrier)
    carriers = sorted(by_carrier, key=lambda name: (-len(by_carrier[name]), name))
    provinces = [site.code for site in by_tier.get(inventory.tiers[1], ())]
    return Summary(
        title=event.title,
        zone=event.zone.key,
        now=now.astimezone(event.zone),
        phase=phase_at(event, now.timestamp()),
        spans=_spans(event, now),
        quiet_hours=f"{quiet.start:%H:%M}–{quiet.end:%H:%M}" if quiet else None,
        sites=_count("", tuple(inventory)),
        tiers=tuple(_count(tier, by_tier.get(tier, ())) for tier in inventory.tiers),
        carriers=tuple(_count(carrier, by_carrier[carrier]) for carrier in carriers),
        load=_load(configuration),
        first_sweep=_first_sweep(configuration, now),
        responders=tuple(configuration.reference.responders.items()),
        reference_bandwidth_bps=configuration.reference.bandwidth_bps,
        accounts=tuple(_account(entry) for entry in configuration.credentials),
        registration_deadline=event.registration_deadline,
        provinces=_roster(configuration, ContactScope.PROVINCE, provinces),
        carrier_contacts=_roster(configuration, ContactScope.CARRIER, [name for name in carriers if name]),
    )


def _account(entry: WrittenAccount) -> AccountLine:
    account = entry.account
    return AccountLine(
        realm=account.realm,
        user=account.user,
        sites=tuple(sorted(account.sites)),
        provinces=tuple(sorted(account.provinces)),
        carriers=tuple(sorted(account.carriers)),
        everywhere=account.everywhere,
        source=entry.source,
        at_hand=account.password is not None,
    )


def _group(sites: Iterable[Site], key: Callable[[Site], str]) -> dict[str, list[Site]]:
    groups: dict[str, list[Site]] = {}
    for site in sites:
        groups.setdefault(key(site), []).append(site)
    return groups


def _count(name: str, sites: Sequence[Site]) -> SiteCounts:
    called = sum(site.testable for site in sites)
    attending = sum(site.attends_at is not None for site in sites)
    return SiteCounts(name, called, attending, len(sites) - called - attending)


def _spans(event: Event, now: datetime) -> tuple[SpanLine, ...]:
    free = tuple(callable_spans(event))
    guard = [("guard", Window(event.guard_start, event.conference.start))] if event.guard else []
    windows = [("rehearsal", window) for window in event.rehearsals] + guard + [("conference", event.conference)]
    return tuple(
        SpanLine(
            kind,
            window.start,
            window.end,
            window.start.weekday(),
            window.end.weekday(),
            window.end <= now,
            tuple(span for span in free if window.start < span.end and span.start < window.end),
        )
        for kind, window in windows
    )


def _load(configuration: Configuration) -> Load:
    inventory, caps = configuration.inventory, configuration.caps
    profiles = [configuration.profiles[site.probe or ""] for site in inventory.testable()]
    width = max((profile.bandwidth_bps for profile in profiles), default=0.0)
    usual = max((profile.usual_call_seconds for profile in profiles), default=0.0)
    at_once = _calls_at_once(caps.total, len(profiles), width, usual)
    provinces = _group(inventory.testable(), lambda site: inventory.province_of(site.code))
    in_one = (_calls_at_once(caps.of_province(code), len(sites), width, usual) for code, sites in provinces.items())
    in_province = min(at_once, max(in_one, default=0))
    return Load(
        caps=caps.total,
        per_province=caps.per_province,
        per_carrier=caps.per_carrier,
        calls_at_once=at_once,
        bandwidth_bps=at_once * width,
        province_calls_at_once=in_province,
        province_bandwidth_bps=in_province * width,
    )


def _calls_at_once(caps: Caps, sites: int, width: float, usual_seconds: float) -> int:
    """Return how many calls can be up at once: bound by each cap, and by how long a call lasts."""
    bounds = [float(sites)]
    if caps.calls_at_once is not None:
        bounds.append(caps.calls_at_once)
    if caps.calls_per_second is not None:
        bounds.append(math.ceil(caps.calls_per_second * usual_seconds))
    if caps.bandwidth_bps is not None and width:
        bounds.append(caps.bandwidth_bps // width)
    return int(min(bounds))


def _first_sweep(configuration: Configuration, now: datetime) -> FirstSweep:
    event, profiles = configuration.event, configuration.profiles
    sites = plannables(configuration.inventory, profiles)
    usual = {site.code: profiles[site.probe or ""].usual_call_seconds for site in configuration.inventory.testable()}
    caps, intervals = caps_beside(configuration.reference, configuration.caps), configuration.intervals
    free = estimate_first_sweep(sites, usual, event=None, caps=caps, intervals=intervals, start=0.0)
    takes = None if free.done_at is None else timedelta(seconds=free.done_at)
    left = [span for span in callable_spans(event) if span.end > now]
    if not left:
        return FirstSweep(len(sites), None, None, takes, 0, tuple(sorted(free.never.items())))
    begin = max(now, left[0].start)
    longest = timedelta(seconds=max((plan.call_seconds for plan in sites), default=0.0))
    if takes is not None and not free.never and begin + takes + longest <= left[0].end:
        starts_at = begin.astimezone(event.zone)
        return FirstSweep(len(sites), starts_at, starts_at + takes, takes, free.done, ())
    start = begin.timestamp()
    played = estimate_first_sweep(sites, usual, event=event, caps=caps, intervals=intervals, start=start)
    done_at = None if played.done_at is None else datetime.fromtimestamp(played.done_at, UTC).astimezone(event.zone)
    starts_at = datetime.fromtimestamp(played.starts_at, UTC).astimezone(event.zone)
    return FirstSweep(len(sites), starts_at, done_at, takes, played.done, tuple(sorted(played.never.items())))


def _roster(configuration: Configuration, scope: ContactScope, codes: Sequence[str]) -> Roster:
    deadline = configuration.event.registration_deadline
    first: dict[str, datetime] = {}
    for contact in configuration.contacts:
        if contact.scope is scope and contact.registered_at is not None:
            first[contact.code] = min(first.get(contact.code, contact.registered_at), contact.registered_at)
    late = tuple(code for code in codes if code in first and deadline is not None and first[code] >= deadline)
    return Roster(
        in_time=tuple(code for code in codes if code in first and code not in late),
        late=late,
        missing=tuple(code for code in codes if code not in first),
    )

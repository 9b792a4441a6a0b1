"""Reads a folder of configuration whole, or not at all.

Owns the order of reading and what makes up a `Configuration`; the files' contents belong to the modules beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bridge_monitor.config import contacts, event, settings, sites
from bridge_monitor.config.credentials import WrittenAccount
from bridge_monitor.config.problems import Problems
from bridge_monitor.config.settings import Listen
from bridge_monitor.config.tree import check_tree
from bridge_monitor.diagnosis import Confirmation
from bridge_monitor.domain import Contact, Event, Inventory
from bridge_monitor.domain.wording import Lang
from bridge_monitor.errors import ConfigError, Problem
from bridge_monitor.net.dns_client import DnsSettings
from bridge_monitor.probes import Profile, Route, TlsBook
from bridge_monitor.probes.book import CallBook
from bridge_monitor.probes.reference import Reference
from bridge_monitor.schedule import CapSet, Intervals


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything the operator's files say, checked.

    Attributes:
        inventory: All sites.
        event: The conference and its rehearsal.
        contacts: The roster, in the file's order.
        profiles: Profiles by name.
        caps: Caps of test calls.
        intervals: How often sites are called.
        provinces: Overrides by province code.
        carriers: Overrides by carrier name.
        listen: Local addresses and places.
        dns: How names are looked up.
        confirmation: How many results turn a verdict.
        vantage: The place that calls are made from.
        reference: The responders beyond our uplink, if there are any.
        credentials: Our accounts at rooms and proxies.
        tls: What TLS peers must show, and what we show them, where no province or carrier says otherwise.
        warnings: What may be a slip, but doesn't keep the files from being used.
        folder: Where all this was read from.
    """

    inventory: Inventory
    event: Event
    contacts: tuple[Contact, ...]
    profiles: Mapping[str, Profile]
    caps: CapSet
    intervals: Intervals
    provinces: Mapping[str, Route]
    carriers: Mapping[str, Route]
    listen: Listen
    dns: DnsSettings
    confirmation: Confirmation
    vantage: str
    reference: Reference
    warnings: tuple[Problem, ...]
    folder: Path
    credentials: tuple[WrittenAccount, ...] = ()
    tls: TlsBook = field(default_factory=TlsBook)

    def call_book(self) -> CallBook:
        """Return how each site is called."""
        accounts = [entry.account for entry in self.credentials]
        return CallBook(self.inventory, self.profiles, self.provinces, self.carriers, accounts, tls=self.tls)


def load(folder: Path, *, now: datetime, lang: Lang = "en") -> Configuration:
    """Read ``sites.csv``, ``contacts.csv``, ``event.yaml`` and ``bridge_monitor.yaml`` of a folder.

    Args:
        folder: The folder.
        now: The present, aware; windows in the past give warnings.
        lang: Language of the problems' texts.

    Raises:
        ConfigError: The files can't be used; it carries every problem of all of them, warnings included.
    """
    problems = Problems(lang)
    if not folder.is_dir():
        problems.add(str(folder), 0, "missing_folder")
        raise ConfigError(problems.all())
    the_settings = settings.read_settings(folder / settings.FILE, problems)
    the_event = event.read_event(folder / event.FILE, now, problems)
    site_list = sites.read_sites(folder / sites.FILE, the_settings, problems)
    roster = contacts.read_contacts(folder / contacts.FILE, the_event.zone, now, problems)
    check_tree(site_list, the_settings.tiers, problems)
    known = site_list.known(the_settings.tiers)
    if known is not None:
        settings.check_settings(the_settings, known, problems)
        contacts.check_contacts(str(folder / contacts.FILE), roster, known, problems)
    if problems.fatal or the_settings.tiers is None or the_event.event is None:
        raise ConfigError(problems.all())
    return Configuration(
        inventory=Inventory(site_list.sites.values(), the_settings.tiers),
        event=the_event.event,
        contacts=tuple(entry.contact for entry in roster),
        profiles=the_settings.profiles,
        caps=the_settings.caps,
        intervals=the_settings.intervals,
        provinces=the_settings.provinces,
        carriers=the_settings.carriers,
        listen=the_settings.listen,
        dns=the_settings.dns,
        confirmation=the_settings.confirmation,
        vantage=the_settings.vantage,
        reference=the_settings.reference,
        warnings=problems.warnings(),
        folder=folder,
        credentials=the_settings.credentials,
        tls=the_settings.tls,
    )

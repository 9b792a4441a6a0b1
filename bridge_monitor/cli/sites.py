"""``sites list`` and ``sites show``: the site list as the program understands it.

Owns the drawing of sites; must not place calls. Contacts are shown by role and channel, never by address.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from bridge_monitor import config as configuration_files
from bridge_monitor.cli.console import EXIT_GOOD, EXIT_UNKNOWN, output, refuse, show_problems
from bridge_monitor.cli.texts import text
from bridge_monitor.config import Configuration
from bridge_monitor.domain import ContactScope, Site
from bridge_monitor.domain.wording import Lang
from bridge_monitor.errors import ConfigError
from bridge_monitor.net import clock
from bridge_monitor.probes.book import CallBook


def list_sites(
    folder: Path, lang: Lang, *, province: str | None, tier: str | None, carrier: str | None, as_json: bool
) -> int:
    """Print the sites that match."""
    configuration = _load(folder, lang)
    if configuration is None:
        return EXIT_UNKNOWN
    inventory = configuration.inventory
    chosen = [
        site
        for site in inventory
        if (province is None or inventory.province_of(site.code) == province)
        and (tier is None or site.tier == tier)
        and (carrier is None or site.carrier == carrier)
    ]
    console = output()
    if as_json:
        for site in chosen:
            console.out(json.dumps(_plain(site, configuration), ensure_ascii=False), highlight=False)
        return EXIT_GOOD
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for column in ("code", "name", "tier", "province", "carrier", "takes_part"):
        table.add_column(text(column, lang))
    for site in chosen:
        place = inventory.get(inventory.province_of(site.code))
        table.add_row(
            site.code, site.name, site.tier, place.name if place else "", site.carrier, _takes_part(site, lang)
        )
    console.print(table)
    return EXIT_GOOD


def show_site(folder: Path, code: str, lang: Lang, *, as_json: bool) -> int:
    """Print one site whole."""
    configuration = _load(folder, lang)
    if configuration is None:
        return EXIT_UNKNOWN
    site = configuration.inventory.get(code)
    if site is None:
        refuse(text("no_such_site", lang, target=code))
    console = output()
    plain = _plain(site, configuration)
    if as_json:
        console.out(json.dumps(plain, ensure_ascii=False), highlight=False)
        return EXIT_GOOD
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    for key, value in plain.items():
        if value not in (None, "", [], {}):
            shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
            grid.add_row(key, Text(shown))
    console.print(grid)
    return EXIT_GOOD


def _load(folder: Path, lang: Lang) -> Configuration | None:
    try:
        return configuration_files.load(folder, now=clock.utc(clock.posix_now()), lang=lang)
    except ConfigError as error:
        show_problems(error, lang)
        return None


def _takes_part(site: Site, lang: Lang) -> Text:
    if site.attends_at is not None:
        return Text(text("attends_at", lang, site=site.attends_at), style="dim")
    if not site.testable:
        return Text(text("untestable", lang), style="yellow")
    return Text(f"{text('called', lang)}: {site.endpoint}")


def _plain(site: Site, configuration: Configuration) -> dict[str, Any]:
    inventory = configuration.inventory
    book = CallBook(
        inventory, configuration.profiles, configuration.provinces, configuration.carriers, tls=configuration.tls
    )
    route = book.route_of(site)
    province = inventory.province_of(site.code)
    return {
        "code": site.code,
        "name": site.name,
        "tier": site.tier,
        "path": [above.name for above in inventory.ancestors(site.code)][::-1],
        "parent": site.parent,
        "province": province,
        "district": inventory.district_of(site.code),
        "carrier": site.carrier,
        "endpoint": site.endpoint,
        "probe": site.probe,
        "attends_at": site.attends_at,
        "via": site.via,
        "speaking": site.speaking,
        "labels": dict(site.labels),
        "sites_below": len(inventory.children(site.code)),
        "proxy": route.proxy,
        "dscp": route.dscp,
        "source": route.source,
        "contacts": [
            {
                "role": contact.role,
                "channel": contact.channel,
                "registered_at": contact.registered_at.isoformat() if contact.registered_at else None,
            }
            for contact in configuration.contacts
            if (contact.scope, contact.code)
            in {(ContactScope.PROVINCE, province), (ContactScope.CARRIER, site.carrier)}
        ],
    }

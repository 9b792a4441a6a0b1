"""Whom to call and how: the inventory, the profiles and the overrides brought together, once per reload.

Owns the precedence of overrides (province before carrier before profile); must not place calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from bridge_monitor.domain import Inventory, Site, Target
from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.probes.keyring import Account, Keyring
from bridge_monitor.probes.profile import Profile, Route, TlsBook
from bridge_monitor.probes.shapes import CallSite
from bridge_monitor.sip import NO_CREDENTIALS, Credentials, SipUri


class CallBook:
    """How each site of the inventory is called.

    Args:
        inventory: The sites.
        profiles: Profiles by name.
        provinces: Overrides by province code.
        carriers: Overrides by carrier name.
        accounts: Our accounts at rooms and proxies.
        tls: What TLS peers must show where these say nothing, and for single sites.
    """

    def __init__(
        self,
        inventory: Inventory,
        profiles: Mapping[str, Profile],
        provinces: Mapping[str, Route],
        carriers: Mapping[str, Route],
        accounts: Iterable[Account] = (),
        *,
        tls: TlsBook | None = None,
    ) -> None:
        self._tls = tls or TlsBook()
        self.inventory = inventory
        self.profiles = profiles
        self._provinces = provinces
        self._carriers = carriers
        self._keyring = Keyring(accounts)

    def look_up(self, site: Site, profile: Profile | None = None) -> CallSite:
        """Return how to call a testable site, with its own profile or the one given.

        Raises:
            KeyError: The site has no profile and none is given.
            ValueError: The site has no endpoint.
        """
        if site.endpoint is None:
            raise ValueError(f"site {site.code} has no endpoint")
        chosen = profile or self.profiles[site.probe or ""]
        return CallSite(
            target=Target(site.code, site.endpoint),
            profile=chosen,
            route=self.route_of(site),
            thresholds=chosen.thresholds_for(site.tier),
            credentials=self.credentials_of(site),
        )

    def route_of(self, site: Site) -> Route:
        """Return the site's overrides: what its province says, else its carrier; of TLS, first what is said of it."""
        merged = self._carriers.get(site.carrier, Route())
        province = self._provinces.get(self.inventory.province_of(site.code))
        if province is not None:
            merged = self._province_first(merged, province)
        return self._tls.of(site.code, merged)

    @staticmethod
    def _province_first(merged: Route, province: Route) -> Route:
        return replace(
            merged,
            proxy=province.proxy or merged.proxy,
            dscp=merged.dscp if province.dscp is None else province.dscp,
            source=province.source or merged.source,
            tls=province.tls or merged.tls,
        )

    def credentials_of(self, site: Site) -> Credentials:
        """Return the accounts that calls to the site may use, by realm."""
        if self._keyring.is_empty:
            return NO_CREDENTIALS
        return self._keyring.of(site.code, self.inventory.province_of(site.code), site.carrier)

    def credentials_towards(self, uri: str) -> Credentials:
        """Return the accounts for whoever has this URI: its site's, or those for everywhere if it is no site's."""
        if self._keyring.is_empty:
            return NO_CREDENTIALS
        site = self._by_uri.get(uri)
        return self._keyring.of(None, "", "") if site is None else self.credentials_of(site)

    @cached_property
    def _by_uri(self) -> dict[str, Site]:
        """Sites by the Request-URI that they are called with."""
        found: dict[str, Site] = {}
        for site in self.inventory:
            try:
                found.setdefault(str(SipUri.parse(site.endpoint or "").as_request_uri()), site)
            except SipSyntaxError:
                continue
        return found

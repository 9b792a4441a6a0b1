"""Our accounts at rooms and proxies, and which of them a call to a site may use.

Owns the precedence: the site's own, its province's, its carrier's, those for everywhere. Must not read secrets
(`config` does) nor answer challenges (`sip` does).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge_monitor.domain import Secret
from bridge_monitor.sip import NO_CREDENTIALS, Credential, Credentials


@dataclass(frozen=True, slots=True)
class Account:
    """One account and where it may be used.

    Attributes:
        realm: The realm that asks for it.
        user: Its name.
        password: Its secret; None where that isn't to be had in this process.
        sites: Codes of the sites that it is for.
        provinces: Codes of the provinces whose sites it is for.
        carriers: Names of the carriers on whose lines it is for.
        everywhere: Whether it is for all sites.
    """

    realm: str
    user: str
    password: Secret | None
    sites: frozenset[str] = frozenset()
    provinces: frozenset[str] = frozenset()
    carriers: frozenset[str] = frozenset()
    everywhere: bool = False


class Keyring:
    """Accounts by where they are used.

    Args:
        accounts: All of them; of two for one realm and one place the first counts.
    """

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self._sites: dict[str, dict[str, Credential]] = {}
        self._provinces: dict[str, dict[str, Credential]] = {}
        self._carriers: dict[str, dict[str, Credential]] = {}
        self._everywhere: dict[str, Credential] = {}
        self._empty = True
        for account in accounts:
            if account.password is None:
                continue
            self._empty = False
            credential = Credential(account.realm, account.user, account.password)
            for codes, kept in (
                (account.sites, self._sites),
                (account.provinces, self._provinces),
                (account.carriers, self._carriers),
            ):
                for code in codes:
                    kept.setdefault(code, {}).setdefault(account.realm, credential)
            if account.everywhere:
                self._everywhere.setdefault(account.realm, credential)

    @property
    def is_empty(self) -> bool:
        """Whether there is no account with a secret."""
        return self._empty

    def of(self, site: str | None, province: str, carrier: str) -> Credentials:
        """Return the accounts that a call may use, by realm.

        Args:
            site: Code of the site; None if it isn't one of the list.
            province: Code of its province, or empty.
            carrier: Name of its carrier, or empty.
        """
        if self._empty:
            return NO_CREDENTIALS
        merged = dict(self._everywhere)
        for kept, key in ((self._carriers, carrier), (self._provinces, province), (self._sites, site or "")):
            merged.update(kept.get(key, {}))
        return merged

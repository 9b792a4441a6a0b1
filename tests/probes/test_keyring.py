"""Which accounts a call may use: the site's own before its province's, its carrier's, and those for everywhere."""

from __future__ import annotations

from bridge_monitor.domain import Secret
from bridge_monitor.probes.keyring import Account, Keyring
from bridge_monitor.sip import NO_CREDENTIALS, Credential

WORD = Secret("hunter2")


def account(user: str, realm: str = "r", **places: object) -> Account:
    return Account(realm, user, WORD, **places)  # type: ignore[arg-type] - a test's shorthand


EVERYWHERE = account("everywhere", everywhere=True)
CARRIER = account("carrier", carriers=frozenset({"VNPT"}))
PROVINCE = account("province", provinces=frozenset({"46", "48"}))
SITE = account("site", sites=frozenset({"46001"}))
RING = Keyring([EVERYWHERE, CARRIER, PROVINCE, SITE])


def user(ring: Keyring, site: str | None, province: str, carrier: str) -> str:
    return ring.of(site, province, carrier)["r"].user


def test_the_nearest_account_of_a_realm_counts() -> None:
    assert user(RING, "46001", "46", "VNPT") == "site"
    assert user(RING, "46002", "46", "VNPT") == "province"
    assert user(RING, "49001", "49", "VNPT") == "carrier"
    assert user(RING, "49001", "49", "Viettel") == "everywhere"
    assert user(RING, None, "", "") == "everywhere"


def test_other_realms_stay_beside_it() -> None:
    ring = Keyring([EVERYWHERE, account("proxy", "p", everywhere=True), SITE])
    assert ring.of("46001", "46", "") == {"r": Credential("r", "site", WORD), "p": Credential("p", "proxy", WORD)}


def test_where_nothing_is_said_of_a_place_it_has_none() -> None:
    assert Keyring([SITE, PROVINCE]).of("49001", "49", "VNPT") == {}


def test_of_two_for_one_place_the_first_counts() -> None:
    assert user(Keyring([EVERYWHERE, account("second", everywhere=True)]), None, "", "") == "everywhere"
    assert user(Keyring([SITE, account("second", sites=SITE.sites)]), "46001", "", "") == "site"


def test_an_account_without_its_secret_is_none() -> None:
    ring = Keyring([Account("r", "u", None, everywhere=True)])
    assert ring.is_empty
    assert ring.of("46001", "46", "VNPT") is NO_CREDENTIALS


def test_no_accounts_cost_a_call_nothing() -> None:
    assert Keyring().is_empty
    assert Keyring().of("46001", "46", "VNPT") is NO_CREDENTIALS
    assert not RING.is_empty


def test_what_is_shown_of_an_account_is_not_its_secret() -> None:
    assert "hunter2" not in f"{SITE} {RING.of('46001', '46', '')}"

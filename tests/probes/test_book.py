"""How each site is called: profile, limits, and whose override counts."""

from __future__ import annotations

import pytest

from bridge_monitor.domain import Inventory, Secret, Site, Target
from bridge_monitor.probes.book import CallBook
from bridge_monitor.probes.keyring import Account
from bridge_monitor.probes.profile import Profile, Route
from bridge_monitor.probes.shapes import CallSite
from bridge_monitor.quality import Thresholds
from bridge_monitor.sip import NO_CREDENTIALS

STRICT = Thresholds(loss_degraded=0.001)
AUDIO = Profile("audio", thresholds={"default": Thresholds(), "commune": STRICT})
OPTIONS = Profile("alive", kind="sip-options")
SITES = [
    Site("00", "Trung ương", "central", endpoint="sip:echo@10.0.0.1", probe="audio"),
    Site("46", "Huế", "province", "00", "VNPT", "sip:46@10.46.0.1", "audio"),
    Site("46001", "Phú Hội", "commune", "46", "Viettel", "sip:46001@10.46.0.2", "audio"),
    Site("46002", "Vỹ Dạ", "commune", "46", "VNPT", attends_at="46"),
    Site("46003", "Thuận Lộc", "commune", "46", "VNPT", "sip:46003@10.46.0.4"),
]
INVENTORY = Inventory(SITES, ("central", "province", "commune"))


def book(provinces: dict[str, Route] | None = None, carriers: dict[str, Route] | None = None) -> CallBook:
    return CallBook(INVENTORY, {"audio": AUDIO, "alive": OPTIONS}, provinces or {}, carriers or {})


def test_a_site_is_called_at_its_endpoint_by_its_own_profile() -> None:
    assert book().look_up(INVENTORY["46"]) == CallSite(Target("46", "sip:46@10.46.0.1"), AUDIO, Route(), Thresholds())


def test_the_limits_are_those_of_its_tier() -> None:
    assert book().look_up(INVENTORY["46001"]).thresholds is STRICT


def test_another_profile_may_be_asked_for() -> None:
    assert book().look_up(INVENTORY["46001"], OPTIONS).profile is OPTIONS


def test_a_site_without_an_endpoint_can_t_be_called() -> None:
    with pytest.raises(ValueError, match="46002 has no endpoint"):
        book().look_up(INVENTORY["46002"], AUDIO)


def test_a_site_without_a_profile_needs_one_given() -> None:
    with pytest.raises(KeyError):
        book().look_up(INVENTORY["46003"])
    assert book().look_up(INVENTORY["46003"], AUDIO).profile is AUDIO


class TestOverrides:
    CARRIER = Route(proxy="sip:proxy.viettel.example", dscp=34, source="10.9.0.1")

    def test_the_carrier_s_count_where_the_province_says_nothing(self) -> None:
        assert book(carriers={"Viettel": self.CARRIER}).route_of(INVENTORY["46001"]) == self.CARRIER

    def test_another_carrier_s_do_not_count(self) -> None:
        assert book(carriers={"Viettel": self.CARRIER}).route_of(INVENTORY["46"]) == Route()

    def test_the_province_s_come_first_one_by_one(self) -> None:
        province = Route(proxy="sip:proxy.hue.example")
        merged = book({"46": province}, {"Viettel": self.CARRIER}).route_of(INVENTORY["46001"])
        assert merged == Route("sip:proxy.hue.example", 34, "10.9.0.1")

    def test_a_province_s_mark_of_zero_is_a_mark(self) -> None:
        """DSCP 0 is best effort, not "nothing said"."""
        merged = book({"46": Route(dscp=0)}, {"Viettel": self.CARRIER}).route_of(INVENTORY["46001"])
        assert merged.dscp == 0

    def test_a_province_s_own_room_is_called_by_its_overrides_as_well(self) -> None:
        province = Route("sip:p.example", 10, "10.46.9.9")
        assert book({"46": province}).look_up(INVENTORY["46"]).route == province

    def test_the_centre_belongs_to_no_province(self) -> None:
        assert book({"46": Route(dscp=10)}).route_of(INVENTORY["00"]) == Route()


class TestAccounts:
    ACCOUNTS = (
        Account("hue", "kiemtra", Secret("hunter2"), provinces=frozenset({"46"})),
        Account("centre", "kiemtra", Secret("hunter3"), everywhere=True),
    )

    def test_a_call_has_those_of_its_site(self) -> None:
        book = CallBook(INVENTORY, {"audio": AUDIO}, {}, {}, self.ACCOUNTS)
        assert sorted(book.look_up(INVENTORY["46001"]).credentials) == ["centre", "hue"]
        assert sorted(book.look_up(INVENTORY["00"]).credentials) == ["centre"]

    def test_without_accounts_it_has_none(self) -> None:
        assert book().look_up(INVENTORY["46001"]).credentials is NO_CREDENTIALS
        assert book().credentials_towards("sip:46001@10.46.0.2") is NO_CREDENTIALS

    def test_they_are_found_by_the_uri_that_was_called_too(self) -> None:
        """Of a dead process's call no more is known; a target that is no site's gets what is for everywhere."""
        book = CallBook(INVENTORY, {"audio": AUDIO}, {}, {}, self.ACCOUNTS)
        assert sorted(book.credentials_towards("sip:46001@10.46.0.2")) == ["centre", "hue"]
        assert sorted(book.credentials_towards("sip:elsewhere@10.0.0.9")) == ["centre"]

from __future__ import annotations

import pytest

from bridge_monitor.domain import Inventory, Site

TIERS = ("central", "province", "district", "commune")
SITES = (
    Site("00", "Trung ương", "central"),
    Site("01", "Hà Nội", "province", parent="00", carrier="VNPT", endpoint="sip:a@192.0.2.1", probe="room"),
    Site("001", "Ba Đình", "district", parent="01", endpoint="sip:b@192.0.2.2", probe="room"),
    Site("00001", "Phúc Xá", "commune", parent="001", attends_at="001"),
    Site("00004", "Trúc Bạch", "commune", parent="001", endpoint="sip:c@192.0.2.3"),
    Site("00006", "Vĩnh Phúc", "commune", parent="001", probe="room"),
    Site("09999", "Xã trực thuộc", "commune", parent="01", endpoint="sip:d@192.0.2.4", probe="room"),
)


@pytest.fixture
def inventory() -> Inventory:
    """A nation of seven sites."""
    return Inventory(SITES, TIERS)


def test_sites_are_found_by_code_and_come_in_the_order_of_the_list(inventory: Inventory) -> None:
    assert list(inventory) == list(SITES)
    assert len(inventory) == 7
    assert "00001" in inventory
    assert "1" not in inventory
    assert inventory["001"].name == "Ba Đình"
    assert inventory.get("001") is inventory["001"]
    assert inventory.get("nowhere") is None
    with pytest.raises(KeyError):
        inventory["nowhere"]


def test_the_tree_goes_down_and_up(inventory: Inventory) -> None:
    assert inventory.children("01") == ("001", "09999")
    assert inventory.children("00001") == ()
    assert [site.code for site in inventory.ancestors("00004")] == ["00004", "001", "01", "00"]


@pytest.mark.parametrize(
    ("code", "province", "district"),
    [("00", "", ""), ("01", "01", ""), ("001", "01", "001"), ("00004", "01", "001"), ("09999", "01", "")],
)
def test_a_site_knows_its_province_and_district(inventory: Inventory, code: str, province: str, district: str) -> None:
    assert inventory.province_of(code) == province
    assert inventory.district_of(code) == district


def test_only_sites_with_endpoint_and_probe_and_people_are_testable(inventory: Inventory) -> None:
    assert [site.code for site in inventory.testable()] == ["01", "001", "09999"]


def test_two_tiers_work_without_districts() -> None:
    """Since July 2025 communes stand right below provinces."""
    inventory = Inventory(
        (Site("00", "", "central"), Site("91", "", "province", "00"), Site("1", "", "commune", "91")),
        ("central", "province", "commune"),
    )
    assert inventory.province_of("1") == "91"
    assert inventory.district_of("1") == ""


def test_a_site_of_an_unknown_tier_is_no_province() -> None:
    inventory = Inventory((Site("x", "", "elsewhere"),), TIERS)
    assert inventory.province_of("x") == ""


def test_labels_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        SITES[0].labels["floor"] = "3"  # type: ignore[index]

from __future__ import annotations

from collections.abc import Callable

from bridge_monitor.config import Configuration
from bridge_monitor.domain import Site

Spoil = Callable[[str, str, str], None]
Find = Callable[[], list[str]]
Good = Callable[[], Configuration]


def test_a_line_becomes_a_site(good: Good) -> None:
    inventory = good().inventory
    assert inventory["01"] == Site(
        code="01",
        name="Thành phố Hà Nội",
        tier="province",
        parent="00",
        carrier="VNPT",
        endpoint="sip:01@192.0.2.1:5060",
        probe="room",
        speaking=True,
        labels={"room": "A1"},
    )
    assert inventory["00001"].via == "01"
    assert inventory["002"].probe == "short"
    assert [site.code for site in inventory] == ["00", "01", "001", "002", "00001", "00004"]


def test_none_and_attending_elsewhere_are_not_called(good: Good) -> None:
    inventory = good().inventory
    assert (inventory["00"].probe, inventory["00"].testable) == (None, False)
    assert (inventory["00004"].attends_at, inventory["00004"].testable) == ("001", False)
    assert [site.code for site in inventory.testable()] == ["01", "001", "002", "00001"]


def test_columns_may_be_left_out_and_stand_in_any_order(good: Good) -> None:
    folder = good().folder
    (folder / "sites.csv").write_text(
        "parent,tier,endpoint,name,code,carrier\n,central,sip:192.0.2.1,Centre,00,VNPT\n"
        "00,province,sip:192.0.2.2,Hà Nội,01,Viettel\n",
        "utf-8",
    )
    assert good().inventory["01"] == Site("01", "Hà Nội", "province", "00", "Viettel", "sip:192.0.2.2", "room")


def test_every_problem_of_a_line_is_found_even_if_its_code_is_wrong(spoil: Spoil, problems: Find) -> None:
    spoil(
        "sites.csv", "002,Quận Hoàn Kiếm,district,01,Viettel,sip:002@192.0.2.4,short,,,no,", "001,,,1,,sip:@,shrt,,,?,"
    )
    assert [problem.partition(";")[0] for problem in problems()] == [
        "sites.csv:5: '?' in column 'speaking' is neither yes nor no",
        "sites.csv:5: code '001' stands already in line 4",
        "sites.csv:5: column 'name' is empty",
        "sites.csv:5: endpoint 'sip:@' doesn't parse",
        "sites.csv:5: profile 'shrt' is not configured",
        "sites.csv:5: tier '' is not configured",
    ]


def test_a_line_without_code_is_named(spoil: Spoil, problems: Find) -> None:
    spoil("sites.csv", "002,Quận", ",Quận")
    assert [problem.partition(";")[0] for problem in problems()] == ["sites.csv:5: column 'code' is empty"]


def test_the_site_that_attends_elsewhere_may_name_an_endpoint_that_cant_be_called(spoil: Spoil, problems: Find) -> None:
    spoil("sites.csv", "VNPT,,,001,,,", "VNPT,whip+https://bridge.example.org,room,001,,,")
    assert problems() == []


def test_the_site_that_cant_be_tested_may_name_an_endpoint_of_any_scheme(spoil: Spoil, problems: Find) -> None:
    spoil(
        "sites.csv",
        "00,Điểm cầu Trung ương,central,,VNPT,,",
        "00,Điểm cầu Trung ương,central,,VNPT,sips:mcu.example.org,",
    )
    assert problems() == []


def test_transports_of_later_versions_are_refused_for_called_sites(spoil: Spoil, problems: Find) -> None:
    spoil("sites.csv", "transport=udp", "transport=ws")
    assert [problem.partition(";transport")[0] for problem in problems()] == [
        "sites.csv:6: profile 'room' (kind sip) can't call 'sip:00001@192.0.2.3"
    ]


def test_with_unreadable_settings_tiers_and_profiles_are_not_complained_of(spoil: Spoil, problems: Find) -> None:
    spoil("bridge_monitor.yaml", "tiers: [central, province, district, commune]", "tiers: [central: :")
    spoil("sites.csv", "short,,,no", "shrt,,,never")
    assert [problem.partition(" ")[0] for problem in problems()] == ["bridge_monitor.yaml:1:", "sites.csv:5:"]


def test_an_endpoint_shared_with_an_attending_site_is_no_slip(spoil: Spoil, problems: Find) -> None:
    spoil("sites.csv", "VNPT,,,001,,,", "VNPT,sip:001@192.0.2.2,,001,,,")
    assert problems() == []

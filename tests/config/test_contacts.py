from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bridge_monitor.config import Configuration
from bridge_monitor.domain import Contact, ContactScope

Spoil = Callable[[str, str, str], None]
Find = Callable[[], list[str]]
Good = Callable[[], Configuration]


def brief(problems: Find) -> list[str]:
    return [problem.partition(";")[0] for problem in problems()]


def test_lines_become_contacts_in_order(good: Good) -> None:
    first, second, third = good().contacts
    assert first == Contact(
        ContactScope.PROVINCE,
        "01",
        "Cán bộ kỹ thuật trực",
        "email",
        "truc-01@example.org",
        datetime(2024, 6, 12, 2, 0, tzinfo=UTC),
    )
    assert (second.scope, second.code, second.channel) == (ContactScope.CARRIER, "VNPT", "webhook")
    assert (third.channel, third.address, third.registered_at) == ("", "", None)


def test_every_problem_of_a_line_is_found(spoil: Spoil, problems: Find) -> None:
    spoil("contacts.csv", "carrier,Viettel,Trực điều hành mạng,,,", "carriers,,,mail,x,2024-06-31 10:00")
    assert brief(problems) == [
        "contacts.csv:4: 'carriers' is no scope",
        "contacts.csv:4: 'mail' is no channel",
        "contacts.csv:4: 'registered_at' is '2024-06-31 10:00', no date with time",
        "contacts.csv:4: column 'code' is empty",
        "contacts.csv:4: column 'role' is empty",
    ]


def test_an_empty_code_is_not_called_unknown(spoil: Spoil, problems: Find) -> None:
    spoil("contacts.csv", "province,01,", "province,,")
    assert brief(problems) == ["contacts.csv:2: column 'code' is empty"]


def test_who_has_registered_can_be_reached(spoil: Spoil, problems: Find) -> None:
    spoil("contacts.csv", "email,truc-01@example.org,", ",,")
    assert brief(problems) == ["contacts.csv:2: '' is no channel"]


def test_addresses_fit_their_channel(folder: Path, problems: Find) -> None:
    header = (folder / "contacts.csv").read_text("utf-8").splitlines()[0]
    good = [("email", "a@b.example"), ("webhook", "http://192.0.2.1:80/x"), ("phone", "+84 24 0000 0000")]
    bad = [("email", "a@b"), ("webhook", "ftp://x.example"), ("webhook", "https://x y"), ("phone", "none")]
    lines = [f"province,01,role,{channel},{address}," for channel, address in good + bad]
    (folder / "contacts.csv").write_text("\n".join([header, *lines]) + "\n", "utf-8")
    assert [problem.split(":")[1] for problem in problems()] == ["5", "6", "7", "8"]


def test_a_registration_at_a_time_that_comes_twice_is_refused(spoil: Spoil, problems: Find) -> None:
    spoil("event.yaml", "Asia/Ho_Chi_Minh", "Europe/Berlin")
    spoil("contacts.csv", "2024-06-12 09:00", "2023-10-29 02:30")
    assert problems() == [
        (
            "contacts.csv:2: 'registered_at' is '2023-10-29 02:30', which comes twice in zone Europe/Berlin: "
            "the clocks are put back; add the offset meant, like 2023-10-29 02:30+02:00"
        )
    ]


def test_carriers_are_checked_by_name(spoil: Spoil, problems: Find) -> None:
    spoil("contacts.csv", "carrier,Viettel,", "carrier,Viettle,")
    assert problems() == [
        "contacts.csv:4: 'Viettle' is no carrier of sites.csv; did you mean 'Viettel'? Else write one of: VNPT, Viettel"
    ]


def test_a_district_is_no_province(spoil: Spoil, problems: Find) -> None:
    spoil("contacts.csv", "province,01,", "province,001,")
    assert brief(problems) == ["contacts.csv:2: '001' is no province of sites.csv"]


def test_without_a_readable_site_list_codes_are_not_judged(folder: Path, problems: Find) -> None:
    (folder / "sites.csv").write_text("nothing\n", "utf-8")
    assert all(problem.startswith("sites.csv:1:") for problem in problems())


def test_an_empty_roster_is_a_roster(folder: Path, good: Good) -> None:
    header = (folder / "contacts.csv").read_text("utf-8").splitlines()[0]
    (folder / "contacts.csv").write_text(header + "\n", "utf-8")
    assert good().contacts == ()

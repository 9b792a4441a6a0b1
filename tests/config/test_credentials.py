"""``credentials:``: accounts with their places and sources, every problem at once, no secret in any text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bridge_monitor.config import Configuration
from bridge_monitor.domain import Secret
from bridge_monitor.probes.keyring import Account

Good = Callable[[], Configuration]
Find = Callable[..., list[str]]

LEAST = "tiers: [central, province, district, commune]\ndefault_profile: room\nprobes: {room: {}, short: {}}\n"


@pytest.fixture
def write(folder: Path) -> Callable[[str], None]:
    """Return ``write(entries)``: the settings, with this list of credentials; ``secret`` is a closed file beside it."""
    (folder / "secret").write_text("hunter2\n", "utf-8")
    (folder / "secret").chmod(0o600)

    def settings(entries: str) -> None:
        (folder / "bridge_monitor.yaml").write_text(f"{LEAST}credentials:\n{entries}", "utf-8")

    return settings


def test_an_account_has_its_places_and_its_secret(
    write: Callable[[str], None], good: Good, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIP_HUNTER", "hunter3")
    write(
        "  - {realm: hop.example, user: kiemtra, all: true, file: secret}\n"
        "  - {realm: proxy, user: 'kiểm tra', provinces: [01], carriers: [VNPT], env: SIP_HUNTER}\n"
    )
    entries = good().credentials
    assert [entry.account for entry in entries] == [
        Account("hop.example", "kiemtra", Secret("hunter2"), everywhere=True),
        Account("proxy", "kiểm tra", Secret("hunter3"), provinces=frozenset({"01"}), carriers=frozenset({"VNPT"})),
    ]
    assert [entry.source for entry in entries] == ["file", "env"]


def test_calls_have_the_accounts_of_their_sites(write: Callable[[str], None], good: Good) -> None:
    write("  - {realm: hop.example, user: kiemtra, all: true, file: secret}\n")
    configuration = good()
    book = configuration.call_book()
    site = next(iter(configuration.inventory.testable()))
    assert book.look_up(site).credentials["hop.example"].password.reveal() == "hunter2"


def test_without_the_section_there_are_none(good: Good) -> None:
    assert good().credentials == ()


def test_all_problems_come_at_once_and_none_names_a_secret(
    write: Callable[[str], None], problems: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIP_HUNTER2", raising=False)
    write(
        "  - {realm: a, user: u, all: true, Password: hunter2}\n"
        "  - {realm: b, user: u, file: hunter2}\n"
        "  - {realm: c, user: u, all: true, provinces: [01], env: hunter2}\n"
        "  - {realm: d, user: u, all: true, file: secret, env: hunter2}\n"
        "  - {realm: e, users: u, all: true, file: secret}\n"
        "  - hunter2\n"
        "  - {realm: f, user: u, sites: [hunter2x], provinces: [99], carriers: [Mobi], file: secret}\n"
    )
    for lang in ("en", "vi"):
        told = problems(lang)
        assert [line.split(":")[1] for line in told] == ["5", "6", "6", "7", "7", "8", "9", "9", "10", "11", "11", "11"]
        assert [line for line in told if "hunter2" in line.replace("hunter2x", "")] == []


def test_a_secret_written_into_the_file_is_told_alone(write: Callable[[str], None], problems: Find) -> None:
    """Not as an unknown key beside it, nor as a source that is missing."""
    write("  - {realm: a, user: u, all: true, secret: hunter2, ha1: 0123abcd}\n")
    told = problems()
    assert len(told) == 2
    assert all("no place for one" in line for line in told)
    assert "hunter2" not in "".join(told)


@pytest.mark.parametrize("section", ["hunter2", "{realm: a, password: hunter2}"])
def test_the_section_must_be_a_list(folder: Path, problems: Find, section: str) -> None:
    (folder / "bridge_monitor.yaml").write_text(f"{LEAST}credentials: {section}\n", "utf-8")
    (told,) = problems()
    assert "'credentials' must be a list" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("first", "second", "twice"),
    [
        ("all: true", "all: true", True),
        ("all: true", "provinces: [01]", False),
        ("provinces: [01]", "provinces: [01]", True),
        ("provinces: [01]", "sites: [01]", False),
        ("carriers: [VNPT, Viettel]", "carriers: [Viettel]", True),
        ("sites: [00, 01]", "sites: [01]", True),
    ],
)
def test_one_realm_has_one_account_at_a_place(
    write: Callable[[str], None],
    problems: Find,
    first: str,
    second: str,
    twice: bool,  # noqa: FBT001 - a table's column
) -> None:
    write(f"  - {{realm: a, user: u, {first}, file: secret}}\n  - {{realm: a, user: v, {second}, file: secret}}\n")
    assert [("second account" in line, line.split(":")[1]) for line in problems()] == [(True, "6")] * twice


def test_a_secret_that_is_not_had_here_is_a_warning(
    write: Callable[[str], None], good: Good, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service may well have it: `check-config` by hand must not fail for that."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    write("  - {realm: a, user: u, all: true, credential: sip-hue}\n")
    configuration = good()
    assert [warning.line for warning in configuration.warnings] == [5]
    assert configuration.credentials[0].account.password is None
    site = next(iter(configuration.inventory.testable()))
    assert configuration.call_book().look_up(site).credentials == {}


def test_nothing_that_holds_the_configuration_shows_a_secret(write: Callable[[str], None], good: Good) -> None:
    write("  - {realm: hop.example, user: kiemtra, all: true, file: secret}\n")
    configuration = good()
    assert "hunter2" not in repr(configuration)
    assert "***" in repr(configuration)

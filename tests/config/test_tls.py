"""Section ``tls`` and the overrides of that name."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge_monitor.config import Configuration
from bridge_monitor.domain import Site
from bridge_monitor.probes import TlsBook
from bridge_monitor.probes.book import CallBook
from bridge_monitor.sip import TlsSettings
from tests.authority import Authority, Certificate

Good = Callable[[], Configuration]
Find = Callable[[], list[str]]

PIN = "ab" * 32


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Certificate:
    return authority.issue("own", "URI:sip:centre.example")


def add(folder: Path, tls: str, province: str = "") -> None:
    path = folder / "bridge_monitor.yaml"
    text = path.read_text("utf-8")
    if province:
        text = text.replace("provinces:\n  01:\n", f"provinces:\n  01:\n    tls: {province}\n")
    path.write_text(text + f"tls: {tls}\n", "utf-8")


def of_site(configuration: Configuration, code: str) -> TlsSettings:
    book = CallBook(
        configuration.inventory, configuration.profiles, configuration.provinces, configuration.carriers,
        tls=configuration.tls,
    )  # fmt: skip
    site: Site = configuration.inventory[code]
    return book.route_of(site).tls or TlsSettings()


def test_without_it_the_system_s_authorities_are_trusted(good: Good) -> None:
    configuration = good()
    assert configuration.tls == TlsBook()
    assert of_site(configuration, "001") == TlsSettings()
    assert configuration.provinces["01"].tls is None


@pytest.mark.peer("openssl")
def test_everything_that_can_be_said_is_read(folder: Path, good: Good, authority: Authority, own: Certificate) -> None:
    add(folder, f"{{ca_file: {authority.ca_file}, certificate: {own.certificate}, key: {own.key}}}")
    expected = TlsSettings(str(authority.ca_file), str(own.certificate), str(own.key))
    assert good().tls == TlsBook(expected)
    assert good().reference.tls == expected


@pytest.mark.peer("openssl")
def test_files_are_named_from_the_folder_on(folder: Path, good: Good, authority: Authority) -> None:
    (folder / "ca.pem").write_bytes(authority.ca_file.read_bytes())
    add(folder, "{ca_file: ca.pem}")
    assert good().tls.default.ca_file == str(folder / "ca.pem")


def test_a_fingerprint_is_written_as_openssl_shows_it(folder: Path, good: Good) -> None:
    shown = ":".join(base64.b16encode(bytes([byte])).decode() for byte in bytes.fromhex(PIN))
    add(folder, f"{{pins: ['{shown}', {PIN}]}}")
    assert good().tls.default.pins == (PIN, PIN)


@pytest.mark.peer("openssl")
def test_a_site_s_word_goes_before_its_province_s_and_that_before_the_section_s(
    folder: Path, good: Good, authority: Authority, own: Certificate
) -> None:
    """How a peer is judged is taken over whole, and so is what we show it; the two are apart."""
    section = f"{{ca_file: {authority.ca_file}, certificate: {own.certificate}, key: {own.key}"
    add(folder, f"{section}, sites: {{001: {{verify: true}}}}}}", province=f"{{pins: [{PIN}]}}")
    configuration = good()
    shown = {"certificate": str(own.certificate), "key": str(own.key)}
    assert of_site(configuration, "00") == TlsSettings(ca_file=str(authority.ca_file), **shown)
    assert of_site(configuration, "01") == TlsSettings(pins=(PIN,), **shown)
    assert of_site(configuration, "001") == TlsSettings(**shown)


@pytest.mark.peer("openssl")
def test_a_certificate_that_holds_its_key_is_kept_secret_too(folder: Path, problems: Find, own: Certificate) -> None:
    both = folder / "both.pem"
    both.write_bytes(own.certificate.read_bytes() + own.key.read_bytes())
    both.chmod(0o640)
    add(folder, "{certificate: both.pem}")
    assert ["others may read the key in both.pem" in problem for problem in problems()] == [True]
    both.chmod(0o600)
    assert problems() == []


@pytest.mark.peer("openssl")
def test_a_key_that_is_not_the_certificate_s_is_told(
    folder: Path, problems: Find, own: Certificate, authority: Authority
) -> None:
    other = authority.issue("other")
    add(folder, f"{{certificate: {own.certificate}, key: {other.key}}}")
    (problem,) = problems()
    assert "'tls.certificate' can't be used" in problem
    assert "KEY_VALUES_MISMATCH" in problem


def test_an_override_of_a_carrier_is_checked_at_its_own_line(folder: Path, problems: Find) -> None:
    path = folder / "bridge_monitor.yaml"
    path.write_text(path.read_text("utf-8").replace("    dscp: AF41\n", "    dscp: AF41\n    tls: {ca_file: no.pem}\n"))
    (problem,) = problems()
    assert "'carriers.Viettel.tls.ca_file' can't be used: no.pem" in problem

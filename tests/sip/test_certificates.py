"""Whose a certificate is, and until when."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.sip.certificates import expiry_of, is_named


def certificate(*alternatives: tuple[str, str], common_name: str | None = None) -> dict[str, Any]:
    """Return a certificate as the ssl module tells it."""
    found: dict[str, Any] = {"subject": ((("countryName", "VN"),),)}
    if common_name is not None:
        found["subject"] += ((("commonName", common_name),),)
    if alternatives:
        found["subjectAltName"] = alternatives
    return found


DNS, URI, IP = (lambda text, what=what: (what, text) for what in ("DNS", "URI", "IP Address"))


class TestIdentities71:
    """RFC 5922 §7.1: which values of a certificate are SIP domains."""

    def test_a_sip_uri_without_user_is_one(self) -> None:
        assert is_named(certificate(URI("sip:room.example")), "room.example")
        assert is_named(certificate(URI("SIP:room.example:5061;transport=tls")), "room.example")

    @pytest.mark.parametrize("uri", ["sip:alice@room.example", "https://room.example", "sips:room.example", "sip:"])
    def test_a_person_or_another_scheme_is_none(self, uri: str) -> None:
        assert not is_named(certificate(URI(uri)), "room.example")

    def test_a_dns_name_is_one(self) -> None:
        assert is_named(certificate(DNS("other.example"), DNS("room.example")), "room.example")

    def test_a_dns_name_beside_a_sip_uri_is_none(self) -> None:
        assert not is_named(certificate(URI("sip:bridge.example"), DNS("room.example")), "room.example")
        assert is_named(certificate(URI("sip:alice@bridge.example"), DNS("room.example")), "room.example")

    def test_the_common_name_counts_without_alternatives_only(self) -> None:
        assert is_named(certificate(common_name="room.example"), "room.example")
        assert not is_named(certificate(DNS("other.example"), common_name="room.example"), "room.example")
        assert not is_named(certificate(), "room.example")

    def test_an_address_that_was_called_is_looked_up_among_addresses(self) -> None:
        """RFC 5922 doesn't know them; rooms are called by them all the same."""
        assert is_named(certificate(IP("192.0.2.9")), "192.0.2.9")
        assert is_named(certificate(IP("2001:DB8:0:0:0:0:0:9")), "[2001:db8::9]")
        assert is_named(certificate(URI("sip:192.0.2.9")), "192.0.2.9")
        assert not is_named(certificate(DNS("192.0.2.9")), "192.0.2.9")
        assert not is_named(certificate(IP("192.0.2.9")), "192.0.2.8")


class TestComparing72:
    """RFC 5922 §7.2: whole names, in any case, and nothing that stands for others."""

    @pytest.mark.parametrize("name", ["ROOM.Example", "room.example."])
    def test_case_and_the_root_s_dot_make_no_difference(self, name: str) -> None:
        assert is_named(certificate(DNS("room.EXAMPLE")), name)
        assert is_named(certificate(URI("sip:room.EXAMPLE")), name)

    @pytest.mark.parametrize("pattern", ["*.example", "*", ".example", "room.*", "example", "m.example", "room.exampl"])
    def test_neither_wildcards_nor_parts_match(self, pattern: str) -> None:
        assert not is_named(certificate(DNS(pattern)), "room.example")

    def test_nothing_matches_no_name(self) -> None:
        assert not is_named(certificate(DNS("")), "")


def der(
    *, not_after: bytes = b"\x17\x0d260203040506Z", version: bytes = b"\xa0\x03\x02\x01\x02", pad: int = 0
) -> bytes:
    """Return a certificate cut to what is read of it, with a TBSCertificate of any length."""
    validity = b"\x17\x0d260102030405Z" + not_after
    tbs = version + b"\x02\x01\x07" + b"\x30\x00" + b"\x30\x00" + bytes([0x30, len(validity)]) + validity
    tbs += b"\x04\x82" + pad.to_bytes(2, "big") + bytes(pad) if pad else b""
    length = bytes([len(tbs)]) if len(tbs) < 0x80 else b"\x82" + len(tbs).to_bytes(2, "big")
    tbs = b"\x30" + length + tbs
    length = bytes([len(tbs)]) if len(tbs) < 0x80 else b"\x82" + len(tbs).to_bytes(2, "big")
    return b"\x30" + length + tbs


class TestExpiry:
    """RFC 5280 §4.1.2.5: UTCTime until 2049, GeneralizedTime from then on."""

    @pytest.mark.parametrize(
        ("not_after", "expected"),
        [
            (b"\x17\x0d260203040506Z", datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)),
            (b"\x17\x0d490203040506Z", datetime(2049, 2, 3, 4, 5, 6, tzinfo=UTC)),
            (b"\x17\x0d500203040506Z", datetime(1950, 2, 3, 4, 5, 6, tzinfo=UTC)),
            (b"\x18\x0f20500203040506Z", datetime(2050, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ],
    )
    def test_both_forms_of_a_time_are_read(self, not_after: bytes, expected: datetime) -> None:
        assert expiry_of(der(not_after=not_after)) == expected

    @pytest.mark.parametrize("pad", [0, 200, 60_000])
    def test_long_certificates_and_those_of_version_1_are_read(self, pad: int) -> None:
        assert expiry_of(der(pad=pad, version=b"")) == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)

    @pytest.mark.parametrize(
        "broken",
        [
            b"", b"\x30", b"\x31" + der()[1:], b"\x30\x80" + der()[2:], b"\x30\x85\0\0\0\0\0",
            b"\x30\x84\xff\xff\xff\xff",
            der(not_after=b"\x04\x0d260203040506Z"), der(not_after=b"\x17\x0d261303040506Z"),
            der(not_after=b"\x17\x0d2602030405\xff6Z"),
        ],
    )  # fmt: skip
    def test_what_is_no_certificate_has_none(self, broken: bytes) -> None:
        assert expiry_of(broken) is None

    @pytest.mark.parametrize("end", range(len(der())))
    def test_one_cut_short_has_none(self, end: int) -> None:
        assert expiry_of(der()[:end]) is None

    @given(st.binary(max_size=200))
    def test_no_bytes_raise_anything(self, data: bytes) -> None:
        assert isinstance(expiry_of(data), datetime | None)

    def test_one_made_by_openssl_is_read(self) -> None:
        """``openssl req -x509 -newkey ed25519 -nodes -subj /CN=x -days 30``."""
        made = base64.b64decode(
            "MIIBLDCB36ADAgECAhQxwb0wnOOmyQFrvF+Cfgf1HX+oaDAFBgMrZXAwDDEKMAgGA1UEAwwBeDAeFw0yNjExMjUxNjA3MTRaFw0y"
            "NjEyMjUxNjA3MTRaMAwxCjAIBgNVBAMMAXgwKjAFBgMrZXADIQCaw/FQbYskLhgb4EmQHe2dg72dukv2jYsyzE+yJBVDSqNTMFEw"
            "HQYDVR0OBBYEFLF5lUcQYMyYeias4HLK1biOVcHMMB8GA1UdIwQYMBaAFLF5lUcQYMyYeias4HLK1biOVcHMMA8GA1UdEwEB/wQF"
            "MAMBAf8wBQYDK2VwA0EAKMJwd6VoGwwpG6SWqXBzaosCaqgNfDCqEeXq+gqlYNGgzbZdX45ZR63KGQzdLp9FHlv0v5CKnpO8NY6U"
            "HIFaCw=="
        )
        assert expiry_of(made) == datetime(2026, 12, 25, 16, 7, 14, tzinfo=UTC)

"""What a certificate says: whose it is (RFC 5922 §7), and until when.

Owns these two readings; must not decide whom to trust: chains and signatures are the TLS library's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.uri import SipUri

_SEQUENCE: Final = 0x30
_EXPLICIT_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18


def is_named(certificate: Mapping[str, Any], name: str) -> bool:
    """Return whether a certificate is that of a SIP domain (RFC 5922 §7.1, §7.2).

    Its ``sip`` URIs without user part say so; only without any of them its DNS names; only without any alternative name
    its common names. A wildcard matches nothing, and neither does a part of a name. RFC 5922 knows no IP addresses;
    where an address was called, those of the certificate count, as in RFC 9110 §4.3.5.

    Args:
        certificate: As `ssl.SSLSocket.getpeercert` gives it.
        name: The host of the URI that was called.
    """
    alternatives = certificate.get("subjectAltName", ())
    wanted = _comparable(name)
    found = {_comparable(host) for host in _sip_hosts(alternatives)}
    if not found:
        kind = "IP Address" if _is_address(name) else "DNS"
        found = {_comparable(value) for what, value in alternatives if what == kind}
    if not alternatives:
        subject = [entry for part in certificate.get("subject", ()) for entry in part]
        found = {_comparable(value) for what, value in subject if what == "commonName"}
    return bool(wanted) and wanted in found


def _sip_hosts(alternatives: Iterable[tuple[str, str]]) -> Iterable[str]:
    for what, value in alternatives:
        if what == "URI" and value[:4].lower() == "sip:":
            try:
                uri = SipUri.parse(value)
            except SipSyntaxError:
                continue
            if uri.user is None:  # with one it names a person, not a domain
                yield uri.host


def _comparable(name: str) -> str:
    """Return a name as DNS compares it (RFC 4343), an address in its one shortest form."""
    bare = name.strip("[]")
    return str(ip_address(bare)) if _is_address(name) else bare.lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def expiry_of(der: bytes) -> datetime | None:
    """Return when a certificate's validity ends (RFC 5280 §4.1.2.5), in UTC; None if it can't be read.

    The TLS library tells it only of certificates that it has verified itself; this one reads the others.

    Args:
        der: The certificate in DER.
    """
    try:
        tag, at, end = _element(der, 0, len(der))
        _, at, end = _element(der, at, end)  # TBSCertificate
        if der[at] == _EXPLICIT_VERSION:
            _, _, at = _element(der, at, end)
        for _ in ("serialNumber", "signature", "issuer"):
            _, _, at = _element(der, at, end)
        _, at, end = _element(der, at, end)  # Validity
        _, _, at = _element(der, at, end)  # notBefore
        kind, at, end = _element(der, at, end)
        text = der[at:end].decode("ascii")
        if tag != _SEQUENCE or kind not in (_UTC_TIME, _GENERALIZED_TIME):
            return None
        if kind == _UTC_TIME:  # two digits of the year: 50 and more are of the last century
            text = ("19" if text[:2] >= "50" else "20") + text
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return None


def _element(der: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return tag, start and end of the content of the element at `at` (X.690 §8.1).

    Raises:
        ValueError: It doesn't end before `end`, or its length is of no form that DER allows.
        IndexError: It is cut short.
    """
    tag, length, at = der[at], der[at + 1], at + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("no length of DER")
        length = int.from_bytes(der[at : at + count], "big")
        at += count
    if at + length > end:
        raise ValueError("an element ends beyond the one that holds it")
    return tag, at, at + length

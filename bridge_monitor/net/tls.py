"""TLS for SIP: contexts from settings, the check of a peer's certificate, and why a handshake failed, in one word.

Owns what of TLS the standard library leaves to its user; must not open connections.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from typing import Final

from bridge_monitor.domain import TlsResult
from bridge_monitor.errors import BridgeMonitorError, LocalFaultError
from bridge_monitor.sip import StreamAddress, TlsSettings
from bridge_monitor.sip.certificates import expiry_of, is_named

REASONS: Final = (
    "expired",
    "not_yet_valid",
    "unknown_ca",
    "wrong_name",
    "pin_mismatch",
    "invalid_certificate",
    "own_certificate_refused",
    "no_common_version",
    "handshake_refused",
    "handshake_timeout",
    "not_tls",
)
"""Why TLS was not to be had, as in ``docs/outcomes.md``."""

_BY_VERIFICATION: Final = {
    # X509_V_ERR_…, <openssl/x509_vfy.h>
    2: "unknown_ca",
    9: "not_yet_valid",
    10: "expired",
    18: "unknown_ca",
    19: "unknown_ca",
    20: "unknown_ca",
    21: "unknown_ca",
}
_BY_ERROR: Final = {
    # OpenSSL's names of what went wrong here, or of the alert that came.
    "WRONG_VERSION_NUMBER": "not_tls",
    "HTTP_REQUEST": "not_tls",
    "RECORD_LAYER_FAILURE": "not_tls",
    "UNSUPPORTED_PROTOCOL": "no_common_version",
    "NO_PROTOCOLS_AVAILABLE": "no_common_version",
    "TLSV1_ALERT_PROTOCOL_VERSION": "no_common_version",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "own_certificate_refused",
    "TLSV1_ALERT_UNKNOWN_CA": "own_certificate_refused",
    "TLSV1_ALERT_ACCESS_DENIED": "own_certificate_refused",
    "SSLV3_ALERT_BAD_CERTIFICATE": "own_certificate_refused",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "own_certificate_refused",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "own_certificate_refused",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "own_certificate_refused",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "own_certificate_refused",
}
_contexts: dict[TlsSettings, tuple[tuple[float, ...], ssl.SSLContext]] = {}


class TlsFailedError(BridgeMonitorError):
    """A certificate isn't what it must be.

    Attributes:
        reason: One of `REASONS`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def context_of(settings: TlsSettings) -> ssl.SSLContext:
    """Return the context for these settings; made once, and again when one of their files has changed.

    Raises:
        LocalFaultError: A file can't be read or isn't what it should be; the text says which.
    """
    stamp = tuple(_changed_at(path) for path in (settings.ca_file, settings.certificate, settings.key))
    known = _contexts.get(settings)
    if known is None or known[0] != stamp:
        known = _contexts[settings] = (stamp, _make_context(settings))
    return known[1]


def _changed_at(path: str | None) -> float:
    try:
        return os.stat(path).st_mtime if path else 0.0  # noqa: PTH116 - a text is enough
    except OSError:
        return -1.0


def _make_context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # OpenSSL's own check would take wildcards, which RFC 5922 §7.2 forbids: `check` compares names.
    context.check_hostname = False
    try:
        if settings.pins or not settings.verify:
            context.verify_mode = ssl.CERT_NONE
        elif settings.ca_file:
            context.load_verify_locations(settings.ca_file)
        else:
            context.load_default_certs()
    except OSError as error:
        raise LocalFaultError(f"{settings.ca_file}: no certificates of authorities: {_what(error)}") from error
    if settings.certificate:
        try:
            # A key that wants a passphrase must not make OpenSSL ask for one at the terminal.
            context.load_cert_chain(settings.certificate, settings.key, password="")
        except OSError as error:
            files = " and ".join(filter(None, (settings.certificate, settings.key)))
            raise LocalFaultError(f"{files}: no certificate with its key: {_what(error)}") from error
    return context


def _what(error: OSError) -> str:
    # Of a file that is no PEM at all, OpenSSL has nothing more to say.
    return (
        (getattr(error, "reason", None) or "not in PEM form")
        if isinstance(error, ssl.SSLError)
        else str(error.strerror)
    )


def indicated_name(name: str) -> str:
    """Return the name to show the peer (RFC 6066 §3); empty for an address, which may not stand there."""
    bare = name.strip("[]")
    return "" if ":" in bare or bare.replace(".", "").isdigit() else bare


def check(connection: ssl.SSLObject, address: StreamAddress) -> TlsResult:
    """Return what was agreed on with a peer whose certificate is what the settings ask for.

    Raises:
        TlsFailedError: It isn't: ``pin_mismatch`` or ``wrong_name``.
    """
    settings = address.tls
    der = connection.getpeercert(binary_form=True) or b""
    if settings.pins:
        if hashlib.sha256(der).hexdigest() not in settings.pins:
            raise TlsFailedError("pin_mismatch")
        verified = "pin"
    elif settings.verify:
        if not is_named(connection.getpeercert() or {}, address.name):
            raise TlsFailedError("wrong_name")
        verified = "authority"
    else:
        verified = "no"
    return TlsResult(connection.version() or "", verified, expiry_of(der))


def reason_of(error: OSError) -> str:
    """Return the reason (of `REASONS`) why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _BY_VERIFICATION.get(error.verify_code, "invalid_certificate")
    if isinstance(error, ssl.SSLError):
        return _BY_ERROR.get(getattr(error, "reason", None) or "", "handshake_refused")
    if isinstance(error, ConnectionAbortedError) and error.errno is None:
        return "handshake_timeout"  # how asyncio tells it
    return "handshake_refused"

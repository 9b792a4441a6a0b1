"""Certificates made by the real openssl, for tests: an authority, what it issues, and what nobody vouches for.

Owns files below a folder of the test's; must not import the package.
"""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, as PEM files."""

    certificate: Path
    key: Path

    @property
    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text("ascii"))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.der).hexdigest()

    def server_context(self) -> ssl.SSLContext:
        """Return what a server needs that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """One authority, with a key of its own.

    Attributes:
        ca_file: Its certificate, for those who trust it.
    """

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca_file = folder / "ca.pem"
        self._ca_key = folder / "ca.key"
        self._openssl(
            "req", "-x509", *_KEY, "-keyout", str(self._ca_key), "-out", str(self.ca_file), "-subj", f"/CN={name}",
            "-days", "30",
        )  # fmt: skip

    def issue(self, name: str, *alternatives: str, common_name: str = "x", days: int = 10) -> Certificate:
        """Return a certificate.

        Args:
            name: Name of its files.
            alternatives: Subject alternative names, as openssl writes them (``DNS:…``, ``IP:…``, ``URI:…``).
            common_name: Its subject's common name.
            days: How long it is valid from now on; negative: it has expired.
        """
        key, request, certificate = (self._folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        extensions = self._folder / f"{name}.ext"
        san = f"subjectAltName={','.join(alternatives)}\n" if alternatives else ""
        extensions.write_text(f"basicConstraints=CA:FALSE\n{san}", "ascii")
        self._openssl("req", "-new", *_KEY, "-keyout", str(key), "-out", str(request), "-subj", f"/CN={common_name}")
        self._openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.ca_file), "-CAkey", str(self._ca_key),
            "-CAcreateserial", "-days", str(days), "-extfile", str(extensions), "-out", str(certificate),
        )  # fmt: skip
        return Certificate(certificate, key)

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

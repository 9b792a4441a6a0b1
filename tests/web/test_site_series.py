"""The series of one site that rest on facts of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge_monitor.domain import TlsResult
from bridge_monitor.web.site_series import PROBE_FAMILIES, probe_facts, render_families
from tests.web.nation import CERTIFICATE, result_of

NAME = "bridge_tls_certificate_expiry_timestamp_seconds"


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        (CERTIFICATE, [f'{NAME}{{site="01"}} 1893456000.0\n']),
        (replace(CERTIFICATE, verified="no"), [f'{NAME}{{site="01"}} 1893456000.0\n']),
        (replace(CERTIFICATE, expires_at=None), []),
        (None, []),
    ],
)
def test_a_certificate_s_expiry_is_told_where_one_was_shown(tls: TlsResult | None, expected: list[str]) -> None:
    lines = render_families(PROBE_FAMILIES, probe_facts(result_of(tls=tls), valid=True), 'site="01"')
    assert [line for line in lines if line.startswith(NAME)] == expected

"""What a refusal tells beside its status: when to try again, where else, and why."""

from __future__ import annotations

from bridge_monitor.sip import Rejected, Response
from bridge_monitor.sip.refusal import rejection


def refusal(**fields: str) -> Response:
    return Response(503, "Why", {name.replace("_", "-"): [value] for name, value in fields.items()})


def test_what_it_says_is_told() -> None:
    response = refusal(
        retry_after="120 (busy);duration=60", warning='399 room "đầy"', contact="<sip:a@b>;q=0.2, <sip:c@d>"
    )
    assert rejection("id", response, None, 1.5) == Rejected(
        "id", 503, "Why", 120.0, ("sip:c@d", "sip:a@b"), 1.5, '399 room "đầy"'
    )


def test_what_can_t_be_read_is_left_out() -> None:
    response = refusal(retry_after="soon", contact="<sip:broken")
    assert rejection("id", response, "credentials_refused", 0.0) == Rejected(
        "id", 503, "Why", None, (), 0.0, None, "credentials_refused"
    )
    assert rejection("id", refusal(retry_after="1" * 11), None, 0.0).retry_after is None

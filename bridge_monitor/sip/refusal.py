"""What a response tells the application beyond its status, above all a refusal (RFC 3261 §8.1.3, §20.33, §20.43).

Owns reading it, leniently: a field that is none is left out; must not judge what a status means.
"""

from __future__ import annotations

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.events import Rejected
from bridge_monitor.sip.grammar import is_digits, parameter, readable, split_list
from bridge_monitor.sip.headers import parse_name_addr
from bridge_monitor.sip.message import Response


def rejection(call_id: str, response: Response, trouble: str | None, now: float) -> Rejected:
    """Return the event.

    Args:
        call_id: The call.
        response: The response.
        trouble: Why its challenge was not answered, if it is one.
        now: When it came.
    """
    warning = response.get("warning")
    return Rejected(
        call_id,
        response.status,
        response.reason,
        retry_after_of(response),
        _contacts(response),
        now,
        None if warning is None else readable(warning),
        trouble,
    )


def product_of(response: Response) -> str | None:
    """Return what the peer says it is."""
    product = response.get("server") or response.get("user-agent")
    return None if product is None else readable(product)


def retry_after_of(response: Response) -> float | None:
    """Return the seconds of its Retry-After header, or None (§20.33)."""
    seconds = (response.get("retry-after") or "").partition("(")[0].partition(";")[0].strip()
    return float(seconds) if is_digits(seconds) and len(seconds) <= 10 else None


def _contacts(response: Response) -> tuple[str, ...]:
    """Return the URIs of the Contacts, highest q first (§8.1.3.4); an unreadable one is left out."""
    found: list[tuple[float, str]] = []
    for value in response.get_all("contact"):
        try:
            parsed = [parse_name_addr(element, "Contact") for element in split_list(value, "Contact")]
        except SipSyntaxError:
            continue
        found += [(_quality(parameter(one.parameters, "q")), readable(one.uri)) for one in parsed]
    return tuple(uri for _, uri in sorted(found, key=lambda entry: -entry[0]))


def _quality(text: str | None) -> float:
    # qvalue: 0 to 1 with at most three decimals (§25.1); without one the Contact counts as 1.
    whole, _, decimals = (text or "1").partition(".")
    return float(f"{whole}.{decimals or 0}") if is_digits(whole) and is_digits(decimals or "0") else 1.0

"""The strict verdict on a message: every header field of RFC 3261 whose grammar can decide something.

Owns checks only; must not be used on the way of a call: a bad Date in a response is noted, never fatal to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.grammar import (
    WHITESPACE,
    is_digits,
    is_host,
    is_token,
    number,
    parse_parameters,
    shorten,
    split_host_port,
    split_list,
)
from bridge_monitor.sip.headers import check_name_addr, parse_via
from bridge_monitor.sip.message import Message, Request
from bridge_monitor.sip.uri import SipUri, check_absolute_uri

_SECONDS: Final = 2**32 - 1
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def check_message(message: Message) -> None:
    """Check the Request-URI and every header field that has a grammar here.

    Raises:
        SipSyntaxError: One is malformed.
    """
    if isinstance(message, Request):
        check_absolute_uri(message.uri)
        if message.uri.lower().startswith(("sip:", "sips:")) and SipUri.parse(message.uri).headers:
            raise SipSyntaxError("the Request-URI has headers (§19.1.1, table 1)")
    for name, values in message.headers.items():
        check = _CHECKS.get(name)
        if check is not None:
            for value in values:
                check(value, name)


def _each(check: Callable[[str, str], object]) -> Callable[[str, str], object]:
    def check_list(value: str, name: str) -> None:
        for element in split_list(value, name):
            check(element, name)

    return check_list


def _contact(value: str, name: str) -> None:
    if value != "*":
        for element in split_list(value, name):
            check_name_addr(element, name)


def _route(value: str, name: str) -> None:
    if not value.endswith(">") and "<" not in value:
        raise SipSyntaxError(f"{name} needs its URI in <>: {shorten(value)}")
    check_name_addr(value, name)


def _token(value: str, name: str) -> None:
    if not is_token(value):
        raise SipSyntaxError(f"{name} is no token: {shorten(value)}")


def _tokens_or_nothing(value: str, name: str) -> None:
    # Allow and Supported may be empty (§20.5, §20.37).
    if value:
        for element in split_list(value, name):
            _token(element, name)


def _call_id(value: str, name: str) -> None:
    if not value or any(character <= " " for character in value):
        raise SipSyntaxError(f"{name} holds whitespace: {shorten(value)}")


def _max_forwards(value: str, name: str) -> None:
    number(value, 255, name)


def _expires(value: str, name: str) -> None:
    number(value, _SECONDS, name)


def _retry_after(value: str, name: str) -> None:
    seconds = value.partition("(")[0].partition(";")[0]
    number(seconds, _SECONDS, name)


def _media_type(value: str, name: str) -> None:
    media, semicolon, tail = value.partition(";")
    kind, slash, subtype = media.partition("/")
    if not slash or not is_token(kind.strip(WHITESPACE)) or not is_token(subtype.strip(WHITESPACE)):
        raise SipSyntaxError(f"{name} is no media type: {shorten(value)}")
    parse_parameters(semicolon + tail, name)


def _accept(value: str, name: str) -> None:
    if value:
        for element in split_list(value, name):
            _media_type(element, name)


def _date(value: str, name: str) -> None:
    fields = value.replace(":", " ").replace(",", " ,", 1).split()
    right = (
        len(fields) == 9
        and fields[0] in _WEEKDAYS
        and fields[1] == ","
        and fields[3] in _MONTHS
        and fields[8] == "GMT"
        and all(is_digits(fields[place]) for place in (2, 4, 5, 6, 7))
    )
    if not right:
        raise SipSyntaxError(f"{name} is no RFC 1123 date in GMT: {shorten(value)}")


def _warning(value: str, name: str) -> None:
    for element in split_list(value, name):
        code, _, rest = element.partition(" ")
        agent, _, text = rest.partition(" ")
        if len(code) != 3 or not is_digits(code) or not (is_token(agent) or is_host(split_host_port(agent, name)[0])):
            raise SipSyntaxError(f"{name} needs a code of three digits and an agent: {shorten(value)}")
        if not (len(text) >= 2 and text[0] == text[-1] == '"'):
            raise SipSyntaxError(f"{name} needs a quoted text: {shorten(value)}")


_CHECKS: Final[dict[str, Callable[[str, str], object]]] = {
    "via": _each(lambda value, _name: parse_via(value)),
    "from": check_name_addr,
    "to": check_name_addr,
    "reply-to": check_name_addr,
    "contact": _contact,
    "route": _each(_route),
    "record-route": _each(_route),
    "call-id": _call_id,
    "max-forwards": _max_forwards,
    "expires": _expires,
    "min-expires": _expires,
    "retry-after": _retry_after,
    "content-type": _media_type,
    "accept": _accept,
    "allow": _tokens_or_nothing,
    "supported": _tokens_or_nothing,
    "require": _each(_token),
    "proxy-require": _each(_token),
    "unsupported": _each(_token),
    "date": _date,
    "warning": _warning,
}

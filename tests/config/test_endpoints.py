from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.config import endpoints
from bridge_monitor.config.endpoints import Endpoint, parse_endpoint
from bridge_monitor.sip import SipUri


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sip:room@192.0.2.1", Endpoint("sip", "192.0.2.1", None)),
        ("sip:192.0.2.1:5070", Endpoint("sip", "192.0.2.1", 5070)),
        ("SIP:room%20a@mcu.example.org:5060;lr", Endpoint("sip", "mcu.example.org", 5060)),
        ("sip:a@mcu.example.org;user=phone;Transport=TCP", Endpoint("sip", "mcu.example.org", None, "tcp")),
        ("sips:a@[2001:db8::1]:5061", Endpoint("sips", "[2001:db8::1]", 5061, "tls")),
        ("whip+https://bridge.example.org/room/1?key=2", Endpoint("whip+https", "bridge.example.org", None)),
        ("janus+https://192.0.2.1:8089", Endpoint("janus+https", "192.0.2.1", 8089)),
        ("json+https://bridge.example.org/", Endpoint("json+https", "bridge.example.org", None)),
    ],
)
def test_uris_of_the_known_schemes_parse(text: str, parts: Endpoint) -> None:
    assert parse_endpoint(text) == parts


@pytest.mark.parametrize(
    "text", ["192.0.2.1", "tel:+84", "https://bridge.example.org", "h323:room", "room@192.0.2.1", ""]
)
def test_other_schemes_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="endpoint_scheme"):
        parse_endpoint(text)


@pytest.mark.parametrize(
    "text",
    [
        "sip:",
        "sip:room@",
        "sip:@192.0.2.1",
        "sip:room 1@192.0.2.1",
        "sip:room@192.0.2",
        "sip:room@192.0.2.256",
        "sip:room@192.0.2.1.5",
        "sip:room@192.0.2.01",
        "sip:room@192..2.1",
        "sip:room@192.0.2.1:0",
        "sip:room@192.0.2.1:65536",
        "sip:room@192.0.2.1:",
        "sip:room@192.0.2.1;",
        "sip:phòng@192.0.2.1",
        "sip:room@192.0.2.1?Subject=x",
        "whip+https:bridge.example.org",
        "whip+https://",
        "whip+https://bridge.example.org/a b",
    ],
)
def test_uris_that_could_not_be_called_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="endpoint_syntax"):
        parse_endpoint(text)


@pytest.mark.parametrize("kind", ["sip", "sip-options"])
@pytest.mark.parametrize(
    ("text", "can"),
    [
        ("sip:a@192.0.2.1", True),
        ("sip:a@mcu.example.org;transport=udp", True),
        ("sip:a@192.0.2.1;transport=tcp", True),
        ("sip:a@192.0.2.1;transport=TLS", True),
        ("sip:a@192.0.2.1;transport=ws", False),
        ("sip:a@[2001:db8::1]", False),
        ("sips:a@192.0.2.1", True),
        ("sips:a@192.0.2.1;transport=tcp", True),
        ("sips:a@192.0.2.1;transport=udp", False),
        ("whip+https://bridge.example.org", False),
    ],
)
def test_only_sip_over_udp_tcp_and_tls_and_ipv4_can_be_called_in_this_version(kind: str, text: str, can: bool) -> None:  # noqa: FBT001 - a table's column
    assert parse_endpoint(text).callable_by(kind) is can


@given(st.ip_addresses(v=4), st.integers(1, 65535), st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True))
def test_every_room_at_an_ipv4_address_can_be_called(address: object, port: int, user: str) -> None:
    endpoint = parse_endpoint(f"sip:{user}@{address}:{port}")
    assert endpoint == Endpoint("sip", str(address), port)
    assert endpoint.callable_by("sip")


@given(st.from_regex(endpoints._PLAIN, fullmatch=True))
def test_the_quick_way_agrees_with_the_whole_grammar(text: str) -> None:
    try:
        parts = parse_endpoint(text)
    except ValueError:
        return
    uri = SipUri.parse(text)
    assert parts == Endpoint(uri.scheme, uri.host, uri.port)


@given(st.text(max_size=60))
def test_any_text_is_an_endpoint_or_a_problem(text: str) -> None:
    try:
        parse_endpoint(text)
    except ValueError as error:
        assert str(error) in {"endpoint_scheme", "endpoint_syntax"}  # noqa: PT017 - both ways are right

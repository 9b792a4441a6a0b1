from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from bridge_monitor.responder.settings import ResponderSettings, is_address, parse_listen, parse_ports


class TestListen:
    @pytest.mark.parametrize(
        ("text", "address"), [("192.0.2.7:5070", ("192.0.2.7", 5070)), ("192.0.2.7", ("192.0.2.7", 5060))]
    )
    def test_an_address_and_a_port_are_read_the_port_being_5060_where_none_is_written(
        self, text: str, address: tuple[str, int]
    ) -> None:
        assert parse_listen(text) == address

    @pytest.mark.parametrize(
        "text", ["", "0.0.0.0:5060", "224.0.0.1", "room:5060", "192.0.2.7:0", "192.0.2.7:65536", "192.0.2.700", "[::1]"]
    )
    def test_what_callers_could_not_send_to_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".*"):
            parse_listen(text)

    def test_only_single_addresses_are_addresses(self) -> None:
        assert is_address("192.0.2.7")
        assert not any(is_address(text) for text in ("0.0.0.0", "239.1.1.1", "example.org", "2001:db8::1"))


class TestPorts:
    def test_a_range_is_read(self) -> None:
        assert parse_ports("40000-40099") == (40000, 40099)

    @pytest.mark.parametrize("text", ["", "40000", "40099-40000", "80-2000", "40000-70000", "40000–40099"])
    def test_what_is_no_range_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".*"):
            parse_ports(text)


class TestBounds:
    @pytest.mark.parametrize("ports", [(40000, 40039), (40001, 40099)])
    def test_each_call_needs_two_ports_from_an_even_one_on(self, ports: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="20 calls need 41 media ports"):
            ResponderSettings(host="192.0.2.7", media_ports=ports)
        assert ResponderSettings(host="192.0.2.7", media_ports=(40000, 40040)).calls == 20

    @pytest.mark.parametrize("bound", ["calls", "unproven_per_host"])
    def test_bounds_are_kept(self, bound: str) -> None:
        with pytest.raises(ValueError, match=bound):
            ResponderSettings(host="192.0.2.7", **{bound: 0})  # type: ignore[arg-type]

    def test_without_a_list_everybody_may_call_with_one_only_those_on_it(self) -> None:
        assert ResponderSettings(host="192.0.2.7").allows("203.0.113.9")
        kept = ResponderSettings(host="192.0.2.7", allow=(IPv4Network("198.51.100.0/24"),))
        assert (kept.allows("198.51.100.9"), kept.allows("203.0.113.9")) == (True, False)

    def test_it_is_reached_by_what_it_advertises(self) -> None:
        assert ResponderSettings(host="10.0.0.7").reached_by == "10.0.0.7"
        assert ResponderSettings(host="10.0.0.7", advertise="203.0.113.7").reached_by == "203.0.113.7"

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.config import values

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90 s", 90), ("90s", 90), ("5 min", 300), ("1 h 30 min", 5400), ("500 ms", 0.5), ("2.5 s", 2.5), ("0 s", 0)],
)
def test_durations_are_numbers_with_units(text: str, seconds: float) -> None:
    assert values.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "90", "90 sec", "s", "-1 s", "1,5 s", "1 h and 2 min", "٣ s", "5 minutes", "1 sh"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="bad_duration"):
        values.duration(text)


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert values.duration(f"{hours} h {minutes} min {seconds} s") == hours * 3600 + minutes * 60 + seconds


def test_a_duration_out_of_bounds_says_which_bound_it_broke() -> None:
    parse = values.duration_between("1 s", "3 min")
    assert parse("180 s") == 180
    with pytest.raises(ValueError, match="out_of_range") as low:
        parse("900 ms")
    with pytest.raises(ValueError, match="out_of_range") as high:
        parse("4 min")
    assert low.value.args[1] == {"relation": "≥", "bound": "1 s"}
    assert high.value.args[1] == {"relation": "≤", "bound": "3 min"}


def test_a_bandwidth_out_of_bounds_is_told_which_bound() -> None:
    parse = values.bandwidth_between("64 kbit/s", "14 Mbit/s")
    assert (parse("64 kbit/s"), parse("14 Mbit/s")) == (64e3, 14e6)
    with pytest.raises(ValueError, match="out_of_range") as low:
        parse("63 kbit/s")
    with pytest.raises(ValueError, match="out_of_range") as high:
        parse("15 Mbit/s")
    assert low.value.args[1] == {"relation": "≥", "bound": "64 kbit/s"}
    assert high.value.args[1] == {"relation": "≤", "bound": "14 Mbit/s"}


@pytest.mark.parametrize(
    ("text", "bps"), [("80 kbit/s", 80e3), ("20 Mbit/s", 20e6), ("1.5Gbit/s", 1.5e9), ("9 bit/s", 9)]
)
def test_bandwidths_are_bits_a_second(text: str, bps: float) -> None:
    assert values.bandwidth(text) == pytest.approx(bps)


@pytest.mark.parametrize("text", ["20", "20 MB/s", "20 mbit/s", "20 Mbps", "-1 kbit/s"])
def test_bytes_and_bare_numbers_are_no_bandwidth(text: str) -> None:
    with pytest.raises(ValueError, match="bad_bandwidth"):
        values.bandwidth(text)


@pytest.mark.parametrize(("text", "ratio"), [("1 %", 0.01), ("0.01", 0.01), ("100%", 1), ("0", 0), ("1", 1)])
def test_ratios_are_per_cent_or_parts_of_one(text: str, ratio: float) -> None:
    assert values.ratio(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["5", "101 %", "-1 %", "", "one", "1 ‰"])
def test_a_per_cent_without_its_sign_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bad_ratio"):
        values.ratio(text)


class TestRfc4594:
    """Names of code points."""

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("EF", 46),
            ("ef", 46),
            ("AF41", 34),
            ("AF11", 10),
            ("AF43", 38),
            ("CS3", 24),
            ("CS0", 0),
            ("DF", 0),
            ("63", 63),
        ],
    )
    def test_names_and_numbers(self, text: str, code: int) -> None:
        assert values.dscp(text) == code

    @pytest.mark.parametrize("text", ["AF44", "AF51", "CS8", "64", "-1", "0x2e", ""])
    def test_others_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="bad_dscp"):
            values.dscp(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9817", ("127.0.0.1", 9817)), ("[::1]:80", ("::1", 80)), ("localhost:0", ("localhost", 0))],
)
def test_listen_addresses_have_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert values.listen(text) == address


@pytest.mark.parametrize("text", ["9817", ":9817", "127.0.0.1", "::1:80", "127.0.0.1:65536", "a b:1"])
def test_listen_addresses_without_one_of_them_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bad_listen"):
        values.listen(text)


def test_a_range_of_ports_rises_and_leaves_the_system_ports_alone() -> None:
    assert values.ports("20000-29999") == (20000, 29999)
    for text in ("20000", "30000-20000", "20000-20000", "1023-2000", "20000-65536"):
        with pytest.raises(ValueError, match="bad_ports"):
            values.ports(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
        (" 2001:db8:0::53 ", ("2001:db8::53", 53)),
    ],
)
def test_dns_servers_are_addresses_with_or_without_port(text: str, address: tuple[str, int]) -> None:
    assert values.dns_server(text) == address


@pytest.mark.parametrize("text", ["dns.example", "192.0.2", "192.0.2.53:0", "192.0.2.53:65536", "[::1", "::1:53:", ""])
def test_other_dns_servers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bad_dns_server"):
        values.dns_server(text)


def test_source_addresses_are_numeric() -> None:
    assert values.source("192.0.2.1") == "192.0.2.1"
    for text in ("eth0", "192.0.2", "::1"):
        with pytest.raises(ValueError, match="bad_source"):
            values.source(text)


def test_proxies_are_sip_over_what_can_be_called() -> None:
    for text in ("sip:192.0.2.9:5070", "sips:192.0.2.9", "sip:192.0.2.9;transport=tcp"):
        assert values.proxy(text) == text
    for text in ("192.0.2.9", "sip:192.0.2.9;transport=ws", "sip:[2001:db8::1]", "sip:"):
        with pytest.raises(ValueError, match="bad_proxy"):
            values.proxy(text)


def test_zones_are_iana_names() -> None:
    assert values.zone("Asia/Ho_Chi_Minh").key == "Asia/Ho_Chi_Minh"
    for text in ("Asia/Hanoi", "UTC+7", "Asia", "", "../etc/passwd", "a\0b"):
        with pytest.raises(ValueError, match="bad_zone"):
            values.zone(text)


def test_times_of_day() -> None:
    assert values.clock("06:00") == time(6)
    assert values.clock("6:05") == time(6, 5)
    for text in ("24:00", "20:60", "8pm", "20", "20:0", "1200"):
        with pytest.raises(ValueError, match="bad_clock"):
            values.clock(text)


def test_moments_are_dates_with_times() -> None:
    assert values.moment("2024-06-27 14:00") == datetime(2024, 6, 27, 14, 0)  # noqa: DTZ001 - no zone was written
    assert values.moment("2024-06-27T14:00:30Z") == datetime(2024, 6, 27, 14, 0, 30, tzinfo=UTC)
    for text in ("27/06/2024 14:00", "2024-06-27", "2024-06-31 14:00", "2024-06-27 25:00", "2024-6-27 14:00", "now"):
        with pytest.raises(ValueError, match="bad_moment"):
            values.moment(text)


class TestPep495:
    """Wall clocks that are put back or forward."""

    def test_an_ordinary_wall_clock_is_taken_in_the_zone(self) -> None:
        assert values.in_zone(values.moment("2024-06-27 14:00"), BERLIN).isoformat() == "2024-06-27T14:00:00+02:00"

    def test_a_time_that_comes_twice_is_refused_unless_its_offset_is_written(self) -> None:
        with pytest.raises(ValueError, match="ambiguous_moment"):
            values.in_zone(values.moment("2024-10-27 02:30"), BERLIN)
        late = values.in_zone(values.moment("2024-10-27 02:30+01:00"), BERLIN)
        assert late.astimezone(UTC).hour == 1

    def test_a_time_that_never_comes_is_refused(self) -> None:
        with pytest.raises(ValueError, match="skipped_moment"):
            values.in_zone(values.moment("2024-03-31 02:30"), BERLIN)


@pytest.mark.parametrize(
    "parse",
    [
        values.duration,
        values.bandwidth,
        values.ratio,
        values.dscp,
        values.listen,
        values.ports,
        values.source,
        values.proxy,
        values.zone,
        values.clock,
        values.moment,
    ],
)
def test_lists_and_mappings_are_no_single_values(parse: Callable[[object], object]) -> None:
    for value in (["1 s"], {"a": "b"}, None):
        with pytest.raises(ValueError, match="must_be_text"):
            parse(value)


@given(st.text(max_size=40))
def test_any_text_gives_a_value_or_the_key_of_a_message(text: str) -> None:
    parsers = (values.duration, values.bandwidth, values.ratio, values.dscp, values.listen, values.ports, values.zone)
    for parse in (*parsers, values.source, values.proxy, values.clock, values.moment):
        try:
            parse(text)
        except ValueError as error:
            assert error.args[0].startswith("bad_")  # noqa: PT017 - both ways are right

"""Where a URI leads (RFC 3263 §4), and the choice among servers (RFC 2782): from records to addresses, no DNS asked."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.sip import SipUri
from bridge_monitor.sip.location import (
    MAX_HOPS,
    MAX_SERVICES,
    Answer,
    Hop,
    Lack,
    Location,
    Means,
    Naptr,
    Question,
    Srv,
    direct,
    in_order,
    is_ipv4,
)

PLAIN: Final = Means()
ALL: Final = Means(("udp", "tcp", "tls"), ("A", "AAAA"))
ONE_UDP: Final = Naptr(10, 10, "s", "SIP+D2U", "", "_sip._udp.hue.example.")
ONE_TCP: Final = Naptr(10, 20, "s", "SIP+D2T", "", "_sip._tcp.hue.example.")
ONE_TLS: Final = Naptr(10, 5, "s", "SIPS+D2T", "", "_sips._tcp.hue.example.")

Zone = Mapping[tuple[str, str], Answer]


def first(_most: int) -> int:
    """Draw the smallest number: the first of those with a weight of 0, else the first."""
    return 0


def follow(
    uri: str, zone: Zone, means: Means = PLAIN, *, otherwise: Lack = Lack.NO_ADDRESS
) -> tuple[Location, list[str]]:
    """Go the way of a URI through records; return where it ended, and the questions as ``kind name``."""
    way = Location(SipUri.parse(uri), means, first)
    asked: list[str] = []
    while way.questions:
        assert len(asked) < 100
        asked += [f"{kind} {name}" for kind, name in way.questions]
        way.answer({question: zone.get((question.kind, question.name), otherwise) for question in way.questions})
    assert (way.lack is None) == bool(way.hops)
    return way, asked


class TestNumericHosts:
    """§4.1, §4.2: an address is taken as it is, and nothing is asked."""

    @pytest.mark.parametrize(
        ("uri", "hop"),
        [
            ("sip:room@192.0.2.9", Hop("udp", "192.0.2.9", 5060)),
            ("sip:room@192.0.2.9:5070", Hop("udp", "192.0.2.9", 5070)),
            ("sip:room@192.0.2.9;transport=UDP", Hop("udp", "192.0.2.9", 5060)),
            ("sip:room@192.0.2.9;transport=tcp", Hop("tcp", "192.0.2.9", 5060)),
            ("sip:room@192.0.2.9;transport=tls", Hop("tls", "192.0.2.9", 5061)),
            ("sips:room@192.0.2.9", Hop("tls", "192.0.2.9", 5061)),
            ("sips:room@192.0.2.9:5071;transport=tcp", Hop("tls", "192.0.2.9", 5071)),
            ("sip:room@[2001:db8::0:9]:5070", Hop("udp", "2001:db8::9", 5070)),
            ("sip:room@hue.example;maddr=192.0.2.9", Hop("udp", "192.0.2.9", 5060)),
            ("sip:room@192.0.2.9;maddr", Hop("udp", "192.0.2.9", 5060)),
        ],
    )
    def test_it_is_its_own_address(self, uri: str, hop: Hop) -> None:
        assert direct(SipUri.parse(uri)) == hop
        way, asked = follow(uri, {}, ALL)
        assert (way.hops, asked) == ((hop,), [])
        assert hop.address == (hop.host, hop.port)

    @pytest.mark.parametrize("uri", ["sip:room@hue.example", "sip:room@192.0.2", "sip:room@1.2.3.256", "sip:r@[:::]"])
    def test_a_name_is_no_address(self, uri: str) -> None:
        assert direct(SipUri.parse(uri)) is None

    @pytest.mark.parametrize(
        ("uri", "lack"),
        [
            ("sip:room@[2001:db8::9]", Lack.IPV6_NOT_SUPPORTED),
            ("sip:room@[:::]", Lack.NO_SUCH_NAME),
            ("sip:room@192.0.2.9;transport=tcp", Lack.TRANSPORT_NOT_SUPPORTED),
            ("sips:room@192.0.2.9", Lack.TRANSPORT_NOT_SUPPORTED),
            ("sip:room@192.0.2.9;transport=carrier-pigeon", Lack.TRANSPORT_NOT_SUPPORTED),
            ("sips:room@192.0.2.9;transport=udp", Lack.TRANSPORT_NOT_SUPPORTED),
            ("sips:hue.example", Lack.TRANSPORT_NOT_SUPPORTED),
            ("sip:hue.example;transport=tls", Lack.TRANSPORT_NOT_SUPPORTED),
        ],
    )
    def test_what_can_t_be_called_is_said_so_and_nobody_is_asked(self, uri: str, lack: Lack) -> None:
        way, asked = follow(uri, {})
        assert (way.lack, asked) == (lack, [])

    @given(st.ip_addresses(v=4).map(str))
    def test_every_ipv4_address_is_known_as_one(self, host: str) -> None:
        assert is_ipv4(host)
        assert not is_ipv4(f"{host}.")
        assert not is_ipv4(f"0{host}")


class TestSection41SelectingATransport:
    def test_the_order_of_naptr_records_decides_then_their_preference(self) -> None:
        zone = {
            ("NAPTR", "hue.example"): [ONE_TCP, ONE_UDP, ONE_TLS, ONE_UDP._replace(order=20, preference=0)],
            ("SRV", "_sip._udp.hue.example"): [Srv(1, 0, 5070, "udp.hue.example.")],
            ("SRV", "_sip._tcp.hue.example"): [Srv(1, 0, 5071, "tcp.hue.example.")],
            ("SRV", "_sips._tcp.hue.example"): [Srv(1, 0, 5072, "tls.hue.example.")],
            ("A", "udp.hue.example"): ["192.0.2.1"],
            ("A", "tcp.hue.example"): ["192.0.2.2"],
            ("A", "tls.hue.example"): ["192.0.2.3"],
        }
        way, asked = follow("sip:room@Hue.Example.", zone, ALL._replace(families=("A",)))
        assert way.hops == (
            Hop("tls", "192.0.2.3", 5072),
            Hop("udp", "192.0.2.1", 5070),
            Hop("tcp", "192.0.2.2", 5071),
        )
        assert asked[0] == "NAPTR hue.example"

    def test_only_transports_that_we_have_are_followed(self) -> None:
        """And where the best order has none, the next one counts (RFC 3403 §4.1)."""
        zone = {
            ("NAPTR", "hue.example"): [ONE_TCP, ONE_TLS, ONE_UDP._replace(order=20)],
            ("SRV", "_sip._udp.hue.example"): [Srv(1, 0, 5070, "a.hue.example")],
            ("A", "a.hue.example"): ["192.0.2.1"],
        }
        way, asked = follow("sip:hue.example", zone)
        assert way.hops == (Hop("udp", "192.0.2.1", 5070),)
        assert asked == ["NAPTR hue.example", "SRV _sip._udp.hue.example", "A a.hue.example"]

    def test_sips_follows_sips_alone(self) -> None:
        """Records without SIPS are discarded, however good their order."""
        zone = {
            ("NAPTR", "hue.example"): [ONE_UDP, ONE_TCP, ONE_TLS._replace(order=99)],
            ("SRV", "_sips._tcp.hue.example"): [Srv(1, 0, 5071, "a.hue.example")],
            ("A", "a.hue.example"): ["192.0.2.1"],
        }
        way, asked = follow("sips:hue.example", zone, Means(("udp", "tcp", "tls")))
        assert way.hops == (Hop("tls", "192.0.2.1", 5071),)
        assert asked[1] == "SRV _sips._tcp.hue.example"

    def test_a_name_that_offers_sip_only_as_we_can_t_is_said_so(self) -> None:
        way, asked = follow("sip:hue.example", {("NAPTR", "hue.example"): [ONE_TCP, ONE_TLS]})
        assert (way.lack, asked) == (Lack.TRANSPORT_NOT_OFFERED, ["NAPTR hue.example"])

    @pytest.mark.parametrize(
        "record",
        [
            ONE_UDP._replace(regexp="!^.*$!sip:other@evil.example!"),
            ONE_UDP._replace(flags=""),
            ONE_UDP._replace(flags="U"),
            ONE_UDP._replace(replacement="."),
            ONE_UDP._replace(service="SIP+D2W"),
        ],
    )
    def test_a_record_that_rfc_3263_does_not_know_is_not_followed(self, record: Naptr) -> None:
        assert follow("sip:hue.example", {("NAPTR", "hue.example"): [record]})[0].lack is Lack.TRANSPORT_NOT_OFFERED

    @pytest.mark.parametrize("records", [[], [ONE_UDP._replace(service="E2U+sip", flags="u")], Lack.NO_ADDRESS])
    def test_without_naptr_records_of_sip_each_transport_that_we_have_is_asked_for(self, records: Answer) -> None:
        """For SIP ``_sip``, for SIPS ``_sips`` (§4.1)."""
        zone = {("NAPTR", "hue.example"): records}
        assert follow("sip:hue.example", zone, Means(("udp", "tcp", "tls")))[1][1:3] == [
            "SRV _sip._udp.hue.example",
            "SRV _sip._tcp.hue.example",
        ]
        assert follow("sips:hue.example", zone, Means(("udp", "tcp", "tls")))[1][1:] == [
            "SRV _sips._tcp.hue.example",
            "A hue.example",
        ]

    def test_a_port_says_that_the_name_is_a_host(self) -> None:
        """Neither NAPTR nor SRV is asked for, and the transport is the usual one."""
        way, asked = follow("sip:hue.example:5070", {("A", "hue.example"): ["192.0.2.1"]})
        assert (way.hops, asked) == ((Hop("udp", "192.0.2.1", 5070),), ["A hue.example"])
        assert follow("sips:hue.example:5070", {("A", "hue.example"): ["192.0.2.1"]}, ALL)[0].hops == (
            Hop("tls", "192.0.2.1", 5070),
        )

    def test_a_transport_of_the_uri_s_is_taken_without_naptr(self) -> None:
        way, asked = follow("sip:hue.example;transport=tcp", {("A", "hue.example"): ["192.0.2.1"]}, ALL)
        assert way.hops == (Hop("tcp", "192.0.2.1", 5060),)
        assert asked == ["SRV _sip._tcp.hue.example", "A hue.example", "AAAA hue.example"]

    def test_no_more_than_a_few_services_are_followed(self) -> None:
        records = [ONE_UDP._replace(preference=one, replacement=f"_sip._udp.n{one}.example.") for one in range(1000)]
        _, asked = follow("sip:hue.example", {("NAPTR", "hue.example"): records})
        assert asked[1:-1] == [f"SRV _sip._udp.n{one}.example" for one in range(MAX_SERVICES)]

    def test_means_without_a_fitting_transport_lead_nowhere(self) -> None:
        """Only TLS, and a SIP URI that doesn't ask for it."""
        way, asked = follow("sip:hue.example", {}, Means(("tls",)))
        assert (way.lack, asked) == (Lack.TRANSPORT_NOT_SUPPORTED, ["NAPTR hue.example"])


class TestSection42DeterminingPortAndAddress:
    def test_a_naptr_record_may_lead_to_an_address_at_once(self) -> None:
        """Flag ``a`` (RFC 3403 §4.1), alone and beside one that leads to SRV."""
        to_address = ONE_UDP._replace(flags="A", replacement="b.hue.example.", preference=1)
        zone = {
            ("NAPTR", "hue.example"): [to_address, ONE_UDP],
            ("SRV", "_sip._udp.hue.example"): [Srv(1, 0, 5070, "a.hue.example")],
            ("A", "a.hue.example"): ["192.0.2.1"],
            ("A", "b.hue.example"): ["192.0.2.2"],
        }
        assert follow("sip:hue.example", zone)[0].hops == (
            Hop("udp", "192.0.2.2", 5060),
            Hop("udp", "192.0.2.1", 5070),
        )
        way, asked = follow("sip:hue.example", {**zone, ("NAPTR", "hue.example"): [to_address]})
        assert (way.hops, asked[1:]) == ((Hop("udp", "192.0.2.2", 5060),), ["A b.hue.example"])

    def test_without_srv_records_the_name_itself_has_the_address(self) -> None:
        """At the default port of the transport chosen before: by NAPTR, else UDP for SIP, TLS for SIPS."""
        zone: Zone = {("A", "hue.example"): ["192.0.2.1", "192.0.2.2"]}
        way, asked = follow("sip:hue.example", zone)
        assert way.hops == (Hop("udp", "192.0.2.1", 5060), Hop("udp", "192.0.2.2", 5060))
        assert asked == ["NAPTR hue.example", "SRV _sip._udp.hue.example", "A hue.example"]
        assert follow("sips:hue.example", zone, ALL)[0].hops[0] == Hop("tls", "192.0.2.1", 5061)
        by_naptr = {**zone, ("NAPTR", "hue.example"): [ONE_TCP, ONE_UDP._replace(preference=30)]}
        assert follow("sip:hue.example", by_naptr, ALL)[0].hops[0] == Hop("tcp", "192.0.2.1", 5060)

    def test_addresses_of_both_families_are_taken_a_before_aaaa(self) -> None:
        zone = {("A", "hue.example"): ["192.0.2.1"], ("AAAA", "hue.example"): ["2001:db8::1"]}
        assert [hop.host for hop in follow("sip:hue.example:5060", zone, ALL)[0].hops] == ["192.0.2.1", "2001:db8::1"]
        assert [hop.host for hop in follow("sip:hue.example:5060", zone)[0].hops] == ["192.0.2.1"]

    def test_a_server_without_address_is_passed_over(self) -> None:
        zone = {
            ("SRV", "_sip._udp.hue.example"): [Srv(1, 0, 5070, "gone.example"), Srv(2, 0, 5071, "here.example")],
            ("A", "here.example"): ["192.0.2.1"],
        }
        assert follow("sip:hue.example", zone)[0].hops == (Hop("udp", "192.0.2.1", 5071),)

    def test_an_address_is_tried_once(self) -> None:
        zone = {
            ("SRV", "_sip._udp.hue.example"): [Srv(1, 0, 5060, "a.example"), Srv(2, 0, 5060, "b.example")],
            ("A", "a.example"): ["192.0.2.1"],
            ("A", "b.example"): ["192.0.2.1"],
        }
        assert follow("sip:hue.example", zone)[0].hops == (Hop("udp", "192.0.2.1", 5060),)

    @given(st.integers(0, 3000), st.integers(0, 3000))
    def test_absurd_numbers_of_records_end_in_a_few_addresses(self, servers: int, addresses: int) -> None:
        zone: dict[tuple[str, str], Answer] = {
            ("SRV", "_sip._udp.hue.example"): [Srv(1, 1, 5060, f"n{one}.example") for one in range(servers)]
        }
        hosts = [f"192.0.{one // 250}.{one % 250}" for one in range(addresses)]
        zone |= {("A", f"n{one}.example"): hosts for one in range(servers)}
        way, asked = follow("sip:hue.example", zone)
        assert len(way.hops) == min(MAX_HOPS, addresses if servers else 0)
        assert len(asked) <= 2 + MAX_HOPS


class TestNothingFound:
    def test_a_name_that_does_not_exist_is_no_host_without_address(self) -> None:
        way, asked = follow("sip:hue.example", {}, otherwise=Lack.NO_SUCH_NAME)
        # Nothing can be below it (RFC 8020): SRV is not asked for.
        assert (way.lack, asked) == (Lack.NO_SUCH_NAME, ["NAPTR hue.example", "A hue.example"])
        assert follow("sip:hue.example", {})[0].lack is Lack.NO_ADDRESS
        assert follow("sip:hue.example:5060", {}, otherwise=Lack.NO_SUCH_NAME)[0].lack is Lack.NO_SUCH_NAME

    def test_a_server_that_does_not_exist_is_not_taken_for_the_name(self) -> None:
        zone = {("SRV", "_sip._udp.hue.example"): [Srv(1, 0, 5060, "gone.example")]}
        assert follow("sip:hue.example", zone, otherwise=Lack.NO_SUCH_NAME)[0].lack is Lack.NO_SUCH_NAME
        zone |= {("NAPTR", "hue.example"): []}
        assert follow("sip:hue.example", zone, otherwise=Lack.NO_SUCH_NAME)[0].lack is Lack.NO_ADDRESS

    @pytest.mark.parametrize("record", [Srv(0, 0, 0, "."), Srv(0, 0, 0, "a.example"), Srv(0, 0, 5060, ".")])
    def test_a_service_that_is_decidedly_not_there_is_not_looked_for_elsewhere(self, record: Srv) -> None:
        """Target ``.`` (RFC 2782): the name's own address is not asked for."""
        way, asked = follow("sip:hue.example", {("SRV", "_sip._udp.hue.example"): [record]})
        assert (way.lack, asked[-1]) == (Lack.SERVICE_NOT_OFFERED, "SRV _sip._udp.hue.example")

    @pytest.mark.parametrize(
        "fault", ["server_failure", "resolver_refused", "resolver_unreachable", "resolver_timeout"]
    )
    def test_a_question_without_answer_is_not_taken_for_an_absence(self, fault: str) -> None:
        """Where the servers are isn't known: the name's own address may be no SIP server at all, and isn't tried."""
        lack = Lack(fault)
        address: Zone = {("A", "hue.example"): ["192.0.2.1"]}
        way, asked = follow("sip:hue.example", {**address, ("SRV", "_sip._udp.hue.example"): lack})
        assert (way.lack, asked[-1]) == (lack, "SRV _sip._udp.hue.example")
        assert follow("sip:hue.example", {("A", "hue.example"): lack})[0].lack is lack
        assert follow("sip:hue.example", {}, otherwise=lack)[0].lack is lack

    def test_naptr_unanswered_leaves_srv_and_address(self) -> None:
        """Some resolvers don't know NAPTR; whoever has such records has SRV records as well."""
        zone = {("NAPTR", "hue.example"): Lack.RESOLVER_REFUSED, ("A", "hue.example"): ["192.0.2.1"]}
        assert follow("sip:hue.example", zone)[0].hops == (Hop("udp", "192.0.2.1", 5060),)
        no_address: Zone = {("NAPTR", "hue.example"): Lack.SERVER_FAILURE}
        assert follow("sip:hue.example", no_address)[0].lack is Lack.SERVER_FAILURE


SERVERS: Final = st.lists(
    st.builds(Srv, st.integers(0, 3), st.integers(0, 65535) | st.just(0), st.integers(1, 9), st.text("ab", min_size=1)),
    max_size=12,
)


class TestRfc2782UsageRules:
    @given(SERVERS, st.randoms(use_true_random=False))
    def test_each_server_comes_once_and_priority_goes_before_weight(
        self, records: list[Srv], chance: random.Random
    ) -> None:
        ordered = list(in_order(records, lambda most: chance.randint(0, most)))
        assert Counter(ordered) == Counter(records)
        assert [one.priority for one in ordered] == sorted(one.priority for one in records)

    @given(SERVERS)
    def test_the_smallest_number_draws_a_weight_of_nothing_and_the_greatest_never_does(
        self, records: list[Srv]
    ) -> None:
        """Weight 0 comes first in the sum, so that it has a small chance, and not none."""
        best = min((one.priority for one in records), default=0)
        weights = [one.weight for one in records if one.priority == best]
        if not weights:
            assert list(in_order(records, first)) == []
            return
        assert (next(in_order(records, first)).weight == 0) == (0 in weights)
        assert (next(in_order(records, lambda most: most)).weight == 0) == (not any(weights))

    @pytest.mark.parametrize("weights", [(1, 1), (10, 20, 70), (1, 2, 3, 4), (0, 5, 95)])
    def test_a_server_comes_first_as_often_as_its_weight_says(self, weights: tuple[int, ...]) -> None:
        """Over 20,000 draws of a fixed seed: within 4 standard deviations of (weight + share of 0) ÷ (sum + 1)."""
        chance, draws, total = random.Random(2782), 20_000, sum(weights)
        records = [Srv(1, weight, 5060, str(place)) for place, weight in enumerate(weights)]
        counts = Counter(next(in_order(records, lambda most: chance.randint(0, most))).target for _ in range(draws))
        for place, weight in enumerate(weights):
            # Of the sum + 1 numbers, the smallest, 0, goes to the first in the list: one of weight 0, if there is one.
            expected = (weight + (place == 0)) / (total + 1)
            spread = (expected * (1 - expected) / draws) ** 0.5
            assert abs(counts[str(place)] / draws - expected) <= 4 * spread

    def test_all_places_follow_the_weights_and_not_the_first_alone(self) -> None:
        """Second place among 10, 20, 70: by the law of drawing without laying back."""
        chance, draws = random.Random(3263), 20_000
        records = [Srv(1, weight, 5060, str(weight)) for weight in (1000, 2000, 7000)]
        seconds = Counter(list(in_order(records, lambda most: chance.randint(0, most)))[1].target for _ in range(draws))
        expected = 0.7 * (2 / 3) + 0.1 * (2 / 9)
        assert abs(seconds["2000"] / draws - expected) < 4 * (expected * (1 - expected) / draws) ** 0.5


@given(st.data())
def test_whatever_records_say_the_way_ends_within_four_rounds_and_names_only_what_we_can_call(
    data: st.DataObject,
) -> None:
    names = st.sampled_from(["hue.example", "a.example", "b.example", ".", ""])
    texts = st.sampled_from(["s", "a", "S", "u", "", "SIP+D2U", "SIP+D2T", "SIPS+D2T", "SIP+D2X", "x"])
    ports = st.sampled_from([0, 5060, 65535])
    naptr = st.builds(Naptr, st.integers(0, 2), st.integers(0, 2), texts, texts, st.sampled_from(["", "!a!b!"]), names)
    srv = st.builds(Srv, st.integers(0, 2), st.integers(0, 2), ports, names)
    kinds: dict[str, st.SearchStrategy[Answer]] = {
        "NAPTR": st.lists(naptr, max_size=5),
        "SRV": st.lists(srv, max_size=5),
        "A": st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2"]), max_size=3),
        "AAAA": st.lists(st.sampled_from(["2001:db8::1"]), max_size=3),
    }
    means = data.draw(st.sampled_from([Means(), ALL, Means(("tls", "udp")), Means(("tcp",), ("AAAA",))]))
    text = data.draw(st.sampled_from(["sip:hue.example", "sips:hue.example", "sip:hue.example;transport=tcp"]))
    way = Location(SipUri.parse(text), means, lambda most: data.draw(st.integers(0, most)))
    for _ in range(4):
        if not way.questions:
            break
        lacks = st.sampled_from([Lack.NO_SUCH_NAME, Lack.NO_ADDRESS, Lack.SERVER_FAILURE, Lack.RESOLVER_TIMEOUT])
        way.answer({question: data.draw(kinds[question.kind] | lacks) for question in way.questions})
    assert way.questions == ()
    assert (way.lack is None) == bool(way.hops)
    assert {hop.transport for hop in way.hops} <= (
        set(means.transports) & ({"tls"} if text[3] == "s" else {*means.transports})
    )
    assert len(set(way.hops)) == len(way.hops) <= MAX_HOPS
    assert all(0 < hop.port <= 65535 for hop in way.hops)


def test_a_question_is_what_a_server_is_asked() -> None:
    way = Location(SipUri.parse("sip:room@Hue.example;transport=udp"), Means(), first)
    assert way.questions == (Question("SRV", "_sip._udp.hue.example"),)

"""Counters over the daemon's life."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.domain import Grade, Inbound, Inventory, Outcome, ProbeResult, RoundTrip, Rtt, RttSource, Site
from bridge_monitor.web.aggregates import LOSS_BOUNDS, Aggregates, AggregatesView, Histogram
from bridge_monitor.web.streams import Counted, Direction
from tests.web.nation import TIERS, echo_stream, result_of, rtcp_stream, small_inventory

DISTRICT = ("01", "district")


def view_of(*results: ProbeResult, aggregates: Aggregates | None = None) -> AggregatesView:
    """The counters after these results of district 01001."""
    aggregates = aggregates or Aggregates()
    inventory = small_inventory()
    for result in results:
        aggregates.observe(result, inventory["01001"], inventory)
    return aggregates.view()


class TestHistogram:
    @given(st.lists(st.floats(0, 2)))
    def test_each_value_is_in_the_first_bucket_whose_bound_it_does_not_pass(self, values: list[float]) -> None:
        histogram = Histogram.of(LOSS_BOUNDS)
        for value in values:
            histogram.observe(value)
        for index, bound in enumerate(LOSS_BOUNDS):
            assert sum(histogram.counts[: index + 1]) == sum(value <= bound for value in values)
        assert sum(histogram.counts) == len(values)
        assert histogram.sum == sum(values)


class TestByPlace:
    def test_a_call_counts_by_outcome_at_its_province_and_tier(self) -> None:
        view = view_of(result_of(), result_of(), result_of(outcome=Outcome.BUSY, grade=Grade.BUSY, media=(), phases={}))
        assert set(view.tallies) == {DISTRICT}
        assert view.tallies[DISTRICT].outcomes == {Outcome.REACHED: 2, Outcome.BUSY: 1}

    def test_the_centre_has_no_province(self) -> None:
        aggregates, inventory = Aggregates(), small_inventory()
        aggregates.observe(result_of("00"), inventory["00"], inventory)
        assert set(aggregates.view().tallies) == {("", "central")}

    def test_a_call_s_delays_and_losses_are_distributed(self) -> None:
        tally = view_of(result_of(), result_of(media=(echo_stream(),))).tallies[DISTRICT]
        assert (sum(tally.rtt.counts), tally.rtt.sum) == (2, 0.0125 + 0.0205)
        assert sum(tally.setup.counts) == 2
        seen = {direction: (sum(histogram.counts), histogram.sum) for direction, histogram in tally.loss.items()}
        assert seen == {Direction.INBOUND: (1, 0.004), Direction.OUTBOUND: (1, 0.0104), Direction.ROUND_TRIP: (1, 0.02)}

    def test_what_a_call_did_not_measure_is_not_counted_as_0(self) -> None:
        nothing = rtcp_stream(inbound=None, outbound=None, rtt_seconds=None, round_trip=RoundTrip(0, 0, 0, None))
        tally = view_of(result_of(media=(nothing,), phases={}), result_of(media=(), phases={})).tallies[DISTRICT]
        assert tally.outcomes == {Outcome.REACHED: 2}
        assert not any(tally.rtt.counts + tally.setup.counts)
        assert not any(sum(histogram.counts) for histogram in tally.loss.values())

    def test_an_invalid_call_counts_with_its_reasons_and_without_its_figures(self) -> None:
        view = view_of(result_of(invalid=("late_pacing", "loop_lag")), result_of(invalid=("loop_lag",)))
        assert view.invalid == {"late_pacing": 1, "loop_lag": 2}
        tally = view.tallies[DISTRICT]
        assert tally.outcomes == {Outcome.REACHED: 2}
        assert not any(tally.rtt.counts + tally.setup.counts)
        assert view.packets == {}

    def test_a_reason_known_from_the_start_is_0_before_it_occurs(self) -> None:
        aggregates = Aggregates(invalid_reasons=("loop_lag",))
        assert aggregates.view().invalid == {"loop_lag": 0}
        assert view_of(result_of(invalid=("loop_lag",)), aggregates=aggregates).invalid == {"loop_lag": 1}

    def test_a_refused_call_is_no_call(self) -> None:
        view = view_of(result_of(outcome=Outcome.REFUSED, grade=Grade.UNTESTED))
        assert (view.tallies, view.packets, view.invalid) == ({}, {}, {})

    def test_a_site_that_left_while_it_was_called_counts_nowhere_but_its_invalidity(self) -> None:
        aggregates = Aggregates()
        gone = Site("99", "Gone", "district")
        aggregates.observe(result_of("99", invalid=("loop_lag",)), gone, small_inventory())
        view = aggregates.view()
        assert (view.tallies, view.packets, view.invalid) == ({}, {}, {"loop_lag": 1})


class TestPackets:
    def test_they_add_up_over_calls_in_each_direction(self) -> None:
        view = view_of(result_of(), result_of(), result_of(media=(echo_stream(),)))
        assert view.packets["01001"] == {
            Direction.INBOUND: Counted(1000, 4),
            Direction.OUTBOUND: Counted(960, 10),
            Direction.ROUND_TRIP: Counted(500, 10),
        }

    def test_they_survive_a_reload(self) -> None:
        aggregates = Aggregates()
        for _ in range(2):
            inventory = Inventory([Site("01", "Hà Nội", "province")], TIERS)
            aggregates.observe(result_of("01"), inventory["01"], inventory)
        assert aggregates.view().packets["01"][Direction.INBOUND] == Counted(1000, 4)

    @given(st.lists(st.tuples(st.integers(0, 500), st.integers(-20, 500)), max_size=20))
    def test_counters_only_grow_whatever_a_peer_reports(self, calls: list[tuple[int, int]]) -> None:
        """A peer's cumulative loss may be negative where it counts duplicates (RFC 3550 A.3)."""
        aggregates = Aggregates()
        before = Counted(0, 0)
        for packets, lost in calls:
            inbound = Inbound(packets, packets, lost, None, 0, 0, None, None)
            result = result_of(media=(rtcp_stream(inbound=inbound, outbound=None),))
            after = view_of(result, aggregates=aggregates).packets["01001"][Direction.INBOUND]
            assert after.packets == before.packets + packets
            assert after.lost >= before.lost
            before = after


class TestView:
    def test_it_does_not_change_while_a_scrape_is_written_out(self) -> None:
        aggregates = Aggregates()
        rtt = rtcp_stream(rtt_seconds=Rtt(1, 1, 1, 1, 1, RttSource.ECHO))
        first = view_of(result_of(invalid=()), result_of(invalid=("loop_lag",)), aggregates=aggregates)
        counts = first.tallies[DISTRICT].rtt.counts.copy()
        second = view_of(result_of(media=(rtt,)), result_of(invalid=("loop_lag",)), aggregates=aggregates)
        assert first.tallies[DISTRICT].rtt.counts == counts
        assert first.tallies[DISTRICT].outcomes == {Outcome.REACHED: 2}
        assert first.packets["01001"][Direction.INBOUND] == Counted(500, 2)
        assert first.invalid == {"loop_lag": 1}
        assert second.tallies[DISTRICT].outcomes == {Outcome.REACHED: 4}
        assert second.invalid == {"loop_lag": 2}

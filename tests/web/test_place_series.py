"""What is counted by province and tier, as ``/metrics`` shows it."""

from __future__ import annotations

import pytest

from bridge_monitor.domain import Inventory, Outcome, Site
from bridge_monitor.web import Aggregates
from bridge_monitor.web.place_series import SLICE_PLACES, render_places
from tests.web.nation import TIERS, echo_stream, result_of, rtcp_stream, small_inventory, snapshot_of
from tests.web.test_exporter import parse, scrape, text_of


class TestByPlace:
    def test_every_place_with_a_site_to_call_begins_at_0(self) -> None:
        """A counter that appears with its first count shows no increase over the first sweep."""
        samples = scrape()
        places = {
            (labels["province"], labels["tier"]) for labels, value in samples["bridge_probes_total"] if value == 0
        }
        assert places == {("01", "province"), ("01", "district"), ("01", "commune")}
        outcomes = {labels["outcome"] for labels, _ in samples["bridge_probes_total"]}
        assert outcomes == set(Outcome) - {Outcome.REFUSED}

    def test_calls_are_counted_by_outcome_and_distributed(self) -> None:
        aggregates, inventory = Aggregates(), small_inventory()
        for stream in (rtcp_stream(), rtcp_stream(), echo_stream()):
            aggregates.observe(result_of(media=(stream,)), inventory["01001"], inventory)
        samples = parse(text_of(snapshot_of(inventory), aggregates))
        place = {"province": "01", "tier": "district"}
        assert ({**place, "outcome": "reached"}, 3) in samples["bridge_probes_total"]
        assert (place, 3) in samples["bridge_probes_rtt_seconds_count"]
        assert ({**place, "le": "0.01"}, 0) in samples["bridge_probes_rtt_seconds_bucket"]
        assert ({**place, "le": "0.02"}, 2) in samples["bridge_probes_rtt_seconds_bucket"]
        assert ({**place, "le": "+Inf"}, 3) in samples["bridge_probes_rtt_seconds_bucket"]
        ((total),) = [value for labels, value in samples["bridge_probes_rtt_seconds_sum"] if labels == place]
        assert total == pytest.approx(0.0455)
        assert ({**place, "le": "0.5"}, 3) in samples["bridge_probes_setup_delay_seconds_bucket"]
        assert ({**place, "direction": "round_trip", "le": "0.01"}, 0) in samples["bridge_probes_loss_ratio_bucket"]
        assert ({**place, "direction": "round_trip", "le": "0.02"}, 1) in samples["bridge_probes_loss_ratio_bucket"]
        assert ({**place, "direction": "inbound"}, 2) in samples["bridge_probes_loss_ratio_count"]

    def test_a_percent_sign_in_a_code_is_itself(self) -> None:
        """Lines are made by ``%``."""
        inventory = Inventory([Site("1%s", "Một", "province", None, "VNPT", "sip:r@127.1.0.1", "standard")], TIERS)
        aggregates = Aggregates()
        aggregates.observe(result_of("1%s"), inventory["1%s"], inventory)
        samples = parse(text_of(snapshot_of(inventory), aggregates))
        place = {"province": "1%s", "tier": "province"}
        assert ({**place, "outcome": "reached"}, 1) in samples["bridge_probes_total"]
        assert (place, 1) in samples["bridge_probes_rtt_seconds_count"]

    def test_a_nation_s_places_come_a_few_at_a_time(self) -> None:
        """Each family has its header before the first, and no place is left out."""
        places = [(f"{number:02}", "district") for number in range(2 * SLICE_PLACES + 1)]
        slices = list(render_places({}, places))
        assert len(slices) == 4 * (1 + 3)
        text = "".join(slices)
        assert text.count("# HELP ") == 4
        assert text.count('outcome="reached"') == len(places)

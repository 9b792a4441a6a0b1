"""Check values: the defaults and Table B.1 are G.107's own; the others are ours, kept as a cross-check."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge_monitor.quality.emodel import (
    G711,
    G711_PLC,
    G729A_VAD,
    NARROW_BAND,
    CodecImpairment,
    EModelInput,
    absolute_delay_impairment,
    effective_equipment_impairment,
    mos_from_r,
    r_factor,
)


def with_codec(codec: CodecImpairment, given: EModelInput) -> EModelInput:
    return replace(given, ie=codec.ie, bpl=codec.bpl)


class TestG107:
    def test_the_published_default_rating(self):
        """G.107 §7.7: all parameters at their defaults give R = 93.2."""
        assert round(r_factor(EModelInput()), 1) == 93.2

    @pytest.mark.parametrize(
        ("given", "r", "mos"),
        [
            (EModelInput(), 93.21, 4.41),
            (with_codec(G711, EModelInput(ppl=1)), 75.28, 3.83),
            (with_codec(G711_PLC, EModelInput(ppl=2)), 86.20, 4.23),
            (with_codec(G711_PLC, EModelInput(ppl=5, burst_r=2)), 76.00, 3.86),
            (with_codec(G729A_VAD, EModelInput(ppl=2, ta=150, t=150, tr=300)), 70.54, 3.62),
            (EModelInput(ta=400), 69.14, 3.56),
        ],
    )
    def test_the_project_s_check_values(self, given: EModelInput, r: float, mos: float):
        assert r_factor(given) == pytest.approx(r, abs=0.006)
        assert mos_from_r(r_factor(given)) == pytest.approx(mos, abs=0.006)

    @pytest.mark.parametrize(("r", "mos"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
    def test_mos_follows_table_b_1(self, r: float, mos: float):
        assert mos_from_r(r) == pytest.approx(mos, abs=0.01)

    @pytest.mark.parametrize(("r", "mos"), [(-5, 1), (0, 1), (3, 1), (100, 4.5), (110, 4.5)])
    def test_mos_is_clamped(self, r: float, mos: float):
        """The cubic dips below 1 for small R: it stays at 1."""
        assert mos_from_r(r) == mos

    def test_loss_is_in_per_cent(self):
        """5 % loss must not be scored like 0.05 %."""
        impairment = effective_equipment_impairment(with_codec(G711_PLC, EModelInput(ppl=5)))
        assert impairment == pytest.approx(95 * 5 / 30.1)
        assert effective_equipment_impairment(with_codec(G729A_VAD, EModelInput())) == 11

    def test_delay_up_to_100_ms_costs_nothing(self):
        assert absolute_delay_impairment(100) == 0
        assert absolute_delay_impairment(101) == pytest.approx(0, abs=0.001)
        assert 0 < absolute_delay_impairment(200) < absolute_delay_impairment(400)

    def test_expectation_is_added(self):
        assert r_factor(EModelInput(advantage=10)) - r_factor(EModelInput()) == pytest.approx(10)

    def test_talker_echo_worsens_with_delay_and_weaker_cancelling(self):
        rating = r_factor(EModelInput(t=100))
        assert rating < r_factor(EModelInput(t=0.5))
        assert r_factor(EModelInput(t=100, telr=40)) < rating

    def test_sidetone_outside_its_usual_range_changes_talker_echo(self):
        """G.107 §7.4: strong sidetone (below 9 dB) masks echo; weak sidetone (above 20 dB) adds to it."""
        strong, usual, weak = (
            r_factor(EModelInput(t=0, stmr=stmr)) - r_factor(EModelInput(t=100, stmr=stmr)) for stmr in (8, 15, 21)
        )
        assert strong < usual < weak

    def test_listener_echo_grows_with_the_loop_s_delay(self):
        assert r_factor(EModelInput(tr=100, wepl=20)) < r_factor(EModelInput(tr=10, wepl=20)) - 10


@pytest.mark.parametrize("codec", ["G722", "opus", "telephone-event"])
def test_codecs_without_a_narrow_band_value_have_none(codec: str):
    assert codec not in NARROW_BAND

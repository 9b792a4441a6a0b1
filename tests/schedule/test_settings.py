from __future__ import annotations

import math
from typing import Any

import pytest

from bridge_monitor.schedule import UNLIMITED, Caps, CapSet, Intervals, Plannable


def test_shipped_caps_are_shy() -> None:
    """The defaults are the design's: 20 calls/s, 200 at once, 20 Mbit/s a province, 5 min between calls to one site."""
    caps = CapSet()
    assert caps.total == Caps(calls_per_second=20.0, calls_at_once=200)
    assert caps.of_province("01") == Caps(bandwidth_bps=20e6)
    assert caps.of_carrier("VNPT") == UNLIMITED
    assert Intervals().min_between_calls == 300.0


def test_an_override_replaces_all_caps_of_its_province_or_carrier() -> None:
    caps = CapSet(
        per_province=Caps(calls_at_once=9, bandwidth_bps=1e6),
        overrides_province={"01": Caps(calls_at_once=5)},
        overrides_carrier={"VNPT": Caps(calls_per_second=2)},
    )
    assert caps.of_province("01") == Caps(calls_at_once=5)
    assert caps.of_province("02") == Caps(calls_at_once=9, bandwidth_bps=1e6)
    assert caps.of_carrier("VNPT") == Caps(calls_per_second=2)
    assert caps.of_carrier("Viettel") == UNLIMITED


@pytest.mark.parametrize("name", ["calls_per_second", "calls_at_once", "bandwidth_bps"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_cap_is_a_number_above_zero(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        Caps(**{name: value})


def test_an_interval_is_found_by_tier_and_has_a_default() -> None:
    intervals = Intervals(by_tier={"central": 300.0}, default=600.0)
    assert intervals.of_tier("central") == 300.0
    assert intervals.of_tier("commune") == 600.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"default": 0.0}, "default must be above 0"),
        ({"default": math.inf}, "default must be above 0"),
        ({"retry": -1.0}, "retry must be above 0"),
        ({"by_tier": {"commune": math.nan}}, r"by_tier\[commune\] must be above 0"),
        ({"retries": -1}, "retries must not be negative"),
        ({"min_between_calls": -0.1}, "min_between_calls must not be negative"),
        ({"min_between_calls": math.inf}, "min_between_calls must not be negative"),
    ],
)
def test_impossible_intervals_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Intervals(**wrong)


@pytest.mark.parametrize("name", ["call_seconds", "bandwidth_bps"])
@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_what_a_call_takes_is_a_number_not_negative(name: str, value: float) -> None:
    facts = {"call_seconds": 20.0, "bandwidth_bps": 9e4} | {name: value}
    with pytest.raises(ValueError, match=f"{name} of site 00001 must not be negative"):
        Plannable("00001", "commune", "01", "VNPT", **facts)

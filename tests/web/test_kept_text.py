"""The kept text is what rendering everything anew would give, whatever has changed since it was kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_monitor.domain import (
    Advisory,
    EventPhase,
    Grade,
    Inventory,
    Outcome,
    ProbeResult,
    Site,
    SiteGrade,
    SiteState,
    Snapshot,
)
from bridge_monitor.web import Aggregates, Exporter, OwnHealth
from bridge_monitor.web.kept_text import HEADERS, RUN_SITES, KeptText, SiteRun
from tests.web.nation import PHASES, STARTED, TIERS, echo_stream, result_of, rtcp_stream, small_inventory, snapshot_of

CODES = [f"01{n:03}" for n in range(RUN_SITES + 3)]
"""Two runs, the second a short one."""


def an_inventory(**changes: Any) -> Inventory:
    rooms = [Site(code, f"Phòng {code}", "district", "01", "VNPT", "sip:r@127.1.0.1", "standard") for code in CODES]
    return Inventory(
        [Site("01", "Hà Nội", "province"), *[dataclasses.replace(site, **changes) for site in rooms]], TIERS
    )


INVENTORIES = (
    an_inventory(),
    an_inventory(carrier="Viettel"),
    Inventory([site for site in an_inventory() if site.code != CODES[1]], TIERS),
    Inventory([], TIERS),
)

STREAMS = st.sampled_from(
    [(), (rtcp_stream(),), (echo_stream(),), (rtcp_stream(mos=None, inbound=None, audio_level_dbov=-50.5),)]
)
RESULTS = st.builds(
    result_of,
    duration_seconds=st.floats(0, 60),
    grade=st.sampled_from(Grade),
    outcome=st.sampled_from([Outcome.REACHED, Outcome.BUSY, Outcome.TIMEOUT, Outcome.REFUSED]),
    media=STREAMS,
    phases=st.sampled_from([PHASES, {}, {"trying": 0.5, "bye": None}]),
    advisories=st.lists(st.sampled_from(Advisory), unique=True, max_size=2).map(tuple),
)


def standing(code: str, last: ProbeResult | None, valid: ProbeResult | None, grade: SiteGrade) -> SiteState:
    return SiteState(code, grade, STARTED, last=last, last_valid=valid)


NEW_STATES = st.lists(
    st.builds(
        standing,
        st.sampled_from([*CODES[:3], *CODES[-5:], "01"]),
        st.none() | RESULTS,
        st.none() | RESULTS,
        st.sampled_from(SiteGrade),
    ),
    max_size=4,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["results", "results", "back", "reload", "counted", "ahead", "gone"]),
        NEW_STATES,
        st.sampled_from(INVENTORIES),
        st.sampled_from(EventPhase),
    ),
    min_size=1,
    max_size=6,
)


def lines(exporter: Exporter, snapshot: Snapshot, aggregates: Aggregates) -> list[bytes]:
    """All lines but those of this process, which change from one moment to the next."""
    text = b"".join(exporter.slices(snapshot, aggregates.view(), OwnHealth(), None))
    return [line for line in text.splitlines(keepends=True) if b"process_" not in line]


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_kept_text_equals_what_is_rendered_anew(
    steps: list[tuple[str, list[SiteState], Inventory, EventPhase]],
) -> None:
    """After any sequence of results, states that go back, reloads, phases, counts, and rendering ahead of scrapes."""
    exporter, aggregates = Exporter(), Aggregates()
    inventory = INVENTORIES[0]
    states: dict[str, SiteState] = {}
    past: list[dict[str, SiteState]] = [{}]
    for what, new, reloaded, phase in steps:
        if what == "back":
            states = dict(past.pop() if len(past) > 1 else past[0])
        elif what == "gone":
            states = dict(list(states.items())[1:])
        elif what == "reload":
            inventory = reloaded
        past.append(dict(states))
        states |= {state.site: state for state in new}
        if what == "counted":
            for state in new:
                if state.last and state.site in inventory:
                    result = dataclasses.replace(
                        state.last, target=dataclasses.replace(state.last.target, site=state.site)
                    )
                    aggregates.observe(result, inventory[state.site], inventory)
        snapshot = snapshot_of(inventory, *states.values(), phase=phase)
        if what == "ahead":
            exporter.freshen(snapshot, aggregates.packets)
            for code in sorted(aggregates.news)[:2]:
                exporter.freshen_site(code, snapshot, aggregates.packets)
            continue
        kept = lines(exporter, snapshot, aggregates)
        assert kept == lines(Exporter(), snapshot, aggregates)
        assert kept == lines(exporter, snapshot, aggregates)


def block_of(blocks: tuple[bytes, ...], name: str) -> bytes:
    (column,) = [number for number, header in enumerate(HEADERS) if f"# TYPE {name} " in header]
    return blocks[column]


class TestSiteRun:
    def test_blocks_handed_out_never_change(self) -> None:
        inventory = small_inventory()
        run = SiteRun(tuple(inventory), inventory)
        before = run.at({}, {})
        copy = tuple(bytes(memoryview(block)) for block in before)
        result = result_of()
        after = run.at({"01001": standing("01001", result, result, SiteGrade.GOOD)}, {})
        assert before == copy
        assert block_of(before, "bridge_mos") == b""
        assert block_of(after, "bridge_mos").endswith(b" 4.4\n")

    def test_what_has_not_changed_is_not_even_copied(self) -> None:
        inventory, result = small_inventory(), result_of()
        run = SiteRun(tuple(inventory), inventory)
        states: Mapping[str, SiteState] = {"01001": standing("01001", result, result, SiteGrade.GOOD)}
        first = run.at(states, {})
        assert all(one is other for one, other in zip(first, run.at(dict(states), {}), strict=True))
        later = dataclasses.replace(result, duration_seconds=3.0)
        third = run.at({"01001": standing("01001", later, later, SiteGrade.GOOD)}, {})
        new = [name for name, one, other in zip(HEADERS, first, third, strict=True) if one is not other]
        assert len(new) == 1
        assert "bridge_probe_duration_seconds" in new[0]

    def test_a_state_that_cannot_be_rendered_leaves_the_text_as_it_was(self) -> None:
        inventory, result = small_inventory(), result_of()
        run = SiteRun(tuple(inventory), inventory)
        good = {"01001": standing("01001", result, result, SiteGrade.GOOD)}
        kept = run.at(good, {})
        broken: dict[str, Any] = good | {"0100101": object()}
        for _ in range(2):
            try:
                run.at(broken, {})
            except AttributeError:
                continue
            raise AssertionError("it was rendered")
        assert run.at(good, {}) == kept


class TestKeptText:
    def test_runs_follow_the_inventory_s_order_and_are_kept(self) -> None:
        kept = KeptText(INVENTORIES[0])
        assert len(kept) == 2
        info = b"".join([run.at({}, {})[0] for run in kept.runs()]).decode()
        assert [line.split('"')[1] for line in info.splitlines()] == [site.code for site in INVENTORIES[0]]
        assert kept.run(1) is kept.run(1)

    def test_places_are_those_of_sites_that_are_called(self) -> None:
        assert KeptText(small_inventory()).places() == (("01", "commune"), ("01", "district"), ("01", "province"))

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from bridge_monitor.config import Configuration, summarise
from bridge_monitor.config.summary import Roster, SiteCounts
from bridge_monitor.domain import EventPhase
from bridge_monitor.schedule import Caps, CapSet

Spoil = Callable[[str, str, str], None]
Good = Callable[[], Configuration]


def test_sites_are_counted_by_tier_and_by_carrier(good: Good, now: datetime) -> None:
    summary = summarise(good(), now)
    assert summary.sites == SiteCounts("", called=4, attending=1, not_testable=1)
    assert summary.sites.sites == 6
    assert summary.tiers == (
        SiteCounts("central", 0, 0, 1),
        SiteCounts("province", 1, 0, 0),
        SiteCounts("district", 2, 0, 0),
        SiteCounts("commune", 1, 1, 0),
    )
    assert summary.carriers == (SiteCounts("VNPT", 2, 1, 1), SiteCounts("Viettel", 2, 0, 0))


def test_a_tier_without_sites_is_counted_as_none(folder: Path, good: Good, now: datetime) -> None:
    (folder / "sites.csv").write_text(
        "code,name,tier,parent,carrier,endpoint,probe\n00,Centre,central,,VNPT,,none\n01,A,province,00,Viettel,sip:192.0.2.1,\n",
        "utf-8",
    )
    assert summarise(good(), now).tiers[3] == SiteCounts("commune", 0, 0, 0)


def test_spans_have_their_weekdays_in_the_events_zone(good: Good, now: datetime) -> None:
    summary = summarise(good(), now)
    assert (summary.title, summary.zone, summary.quiet_hours) == (
        "Hội nghị trực tuyến toàn quốc",
        "Asia/Ho_Chi_Minh",
        "20:00–06:00",
    )
    assert summary.phase is EventPhase.BEFORE
    assert [(span.kind, span.start_weekday, span.end_weekday, len(span.callable)) for span in summary.spans] == [
        ("rehearsal", 2, 2, 1),
        ("rehearsal", 3, 4, 2),
        ("guard", 4, 4, 0),
        ("conference", 4, 4, 0),
    ]
    assert not any(span.over for span in summary.spans)


def test_spans_that_have_ended_are_over(good: Good) -> None:
    configuration = good()
    summary = summarise(configuration, configuration.event.rehearsals[0].end)
    assert [span.over for span in summary.spans] == [True, False, False, False]


def test_an_event_without_guard_and_quiet_hours_shows_none(good: Good, now: datetime) -> None:
    configuration = good()
    event = replace(configuration.event, guard=timedelta(0), quiet_hours=None)
    summary = summarise(replace(configuration, event=event), now)
    assert summary.quiet_hours is None
    assert [span.kind for span in summary.spans] == ["rehearsal", "rehearsal", "conference"]


def test_the_load_is_bound_by_each_cap_in_turn(good: Good, now: datetime) -> None:
    configuration = good()

    def load(total: Caps, per_province: Caps) -> tuple[int, float, int]:
        found = summarise(replace(configuration, caps=CapSet(total, per_province)), now).load
        return found.calls_at_once, found.bandwidth_bps, found.province_calls_at_once

    assert load(Caps(20.0, 200), Caps()) == (4, 320e3, 4)
    assert load(Caps(20.0, 3), Caps()) == (3, 240e3, 3)
    assert load(Caps(0.1, 200), Caps()) == (2, 160e3, 2)
    assert load(Caps(bandwidth_bps=100e3), Caps()) == (1, 80e3, 1)
    assert load(Caps(), Caps(calls_at_once=2)) == (4, 320e3, 2)


def test_the_first_sweep_starts_with_the_next_window(good: Good, now: datetime) -> None:
    configuration = good()
    sweep = summarise(configuration, now).first_sweep
    assert sweep.starts_at == configuration.event.rehearsals[0].start
    assert sweep.takes is not None
    assert timedelta(seconds=13) < sweep.takes < timedelta(seconds=14)
    assert sweep.done_at == sweep.starts_at + sweep.takes
    assert (sweep.calls, sweep.done, sweep.never) == (4, 4, ())


def test_the_first_sweep_starts_now_within_a_window(good: Good) -> None:
    configuration = good()
    now = configuration.event.rehearsals[0].start + timedelta(minutes=5)
    sweep = summarise(configuration, now).first_sweep
    assert sweep.starts_at == now


def test_a_first_sweep_that_meets_the_windows_end_is_played_through(good: Good) -> None:
    configuration = good()
    event = configuration.event
    caps = CapSet(Caps(calls_per_second=0.02, calls_at_once=1))
    now = event.rehearsals[0].end - timedelta(seconds=90)
    sweep = summarise(replace(configuration, caps=caps), now).first_sweep
    assert sweep.starts_at == now
    assert sweep.done_at is not None
    assert sweep.done_at.tzinfo is event.zone
    assert event.rehearsals[1].start < sweep.done_at < event.rehearsals[1].end
    late = summarise(replace(configuration, caps=caps), event.guard_start - timedelta(seconds=90)).first_sweep
    assert late.done_at is None
    assert late.done < late.calls == 4


def test_a_first_sweep_without_window_left_says_how_long_it_would_take(good: Good) -> None:
    configuration = good()
    sweep = summarise(configuration, configuration.event.conference.end).first_sweep
    assert (sweep.starts_at, sweep.done_at, sweep.done) == (None, None, 0)
    assert sweep.takes is not None


def test_rooms_that_can_never_be_called_are_named(good: Good, now: datetime) -> None:
    configuration = good()
    caps = CapSet(per_province=Caps(bandwidth_bps=10e3))
    sweep = summarise(replace(configuration, caps=caps), now).first_sweep
    assert sweep.never[0] == ("00001", "bandwidth_above_cap")
    assert len(sweep.never) == 4


def test_nothing_to_call_is_no_load(folder: Path, good: Good, now: datetime) -> None:
    header = "code,name,tier,parent,carrier,endpoint,probe\n"
    lines = "00,Centre,central,,VNPT,,none\n01,Hà Nội,province,00,Viettel,sip:192.0.2.1,none\n"
    (folder / "sites.csv").write_text(header + lines, "utf-8")
    summary = summarise(good(), now)
    assert summary.sites.called == 0
    assert (summary.load.calls_at_once, summary.load.bandwidth_bps, summary.load.province_calls_at_once) == (0, 0, 0)
    assert summary.first_sweep.calls == 0


def test_contacts_are_in_time_strictly_before_the_deadline(good: Good, now: datetime) -> None:
    summary = summarise(good(), now)
    assert summary.provinces == Roster(in_time=("01",), late=(), missing=())
    assert summary.carrier_contacts == Roster(in_time=(), late=("VNPT",), missing=("Viettel",))


def test_the_earliest_registration_counts(folder: Path, good: Good, now: datetime) -> None:
    with (folder / "contacts.csv").open("a", encoding="utf-8") as file:
        file.write("carrier,VNPT,Trực,email,a@b.example,2024-06-19 23:59\ncarrier,VNPT,Trực,email,b@b.example,\n")
    assert summarise(good(), now).carrier_contacts.in_time == ("VNPT",)


def test_without_a_deadline_every_registration_is_in_time(spoil: Spoil, good: Good, now: datetime) -> None:
    spoil("event.yaml", "registration_deadline: 2024-06-20 00:00\n", "")
    summary = summarise(good(), now)
    assert summary.registration_deadline is None
    assert summary.carrier_contacts == Roster(in_time=("VNPT",), late=(), missing=("Viettel",))

"""What ``/metrics`` says, read back by the reference parser and judged by promtool."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge_monitor import __version__
from bridge_monitor.domain import (
    Advisory,
    EventPhase,
    Grade,
    Inventory,
    Outcome,
    RoundTrip,
    Site,
    SiteGrade,
    SiteState,
    Snapshot,
    SweepProgress,
)
from bridge_monitor.web import Aggregates, Exporter, OwnHealth
from bridge_monitor.web.kept_text import RUN_SITES
from tests.web.nation import (
    CERTIFICATE,
    STARTED,
    TIERS,
    an_event,
    echo_stream,
    national_inventory,
    result_of,
    rtcp_stream,
    small_inventory,
    snapshot_of,
    state_of,
)

Samples = dict[str, list[tuple[dict[str, str], float]]]

# The series of the issue.
DOCUMENTED = {
    "bridge_probe_success": "gauge",
    "bridge_site_grade": "gauge",
    "bridge_probe_duration_seconds": "gauge",
    "bridge_probe_phase_seconds": "gauge",
    "bridge_probe_last_run_timestamp_seconds": "gauge",
    "bridge_rtp_packets_total": "counter",
    "bridge_rtp_packets_lost_total": "counter",
    "bridge_rtp_loss_ratio": "gauge",
    "bridge_rtp_jitter_seconds": "gauge",
    "bridge_rtt_seconds": "gauge",
    "bridge_mos": "gauge",
    "bridge_audio_level_dbov": "gauge",
    "bridge_video_loss_ratio": "gauge",
    "bridge_video_frame_loss_ratio": "gauge",
    "bridge_video_frame_rate": "gauge",
    "bridge_tls_certificate_expiry_timestamp_seconds": "gauge",
    "bridge_site_advisory": "gauge",
    "bridge_site_info": "gauge",
    "bridge_probes_total": "counter",
    "bridge_probes_rtt_seconds": "histogram",
    "bridge_probes_setup_delay_seconds": "histogram",
    "bridge_probes_loss_ratio": "histogram",
    "bridge_event_phase": "gauge",
    "bridge_event_conference_start_timestamp_seconds": "gauge",
    "bridge_monitor_build_info": "gauge",
    "bridge_monitor_event_loop_lag_seconds": "gauge",
    "bridge_monitor_calls_in_flight": "gauge",
    "bridge_monitor_schedule_lag_seconds": "gauge",
    "bridge_monitor_sweep_progress_ratio": "gauge",
    "bridge_monitor_measurements_invalid_total": "counter",
    "bridge_monitor_config_last_reload_successful": "gauge",
    "bridge_reference_up": "gauge",
}


def joined(slices: Iterable[bytes]) -> str:
    return b"".join(slices).decode()


def text_of(snapshot: Snapshot, aggregates: Aggregates | None = None, **health: float) -> str:
    own = OwnHealth(**health)  # type: ignore[arg-type]  # the flag is given as the number it is exported as
    return joined(Exporter().slices(snapshot, (aggregates or Aggregates()).view(), own, an_event()))


def parse(text: str) -> Samples:
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


def scrape(*states: SiteState, inventory: Inventory | None = None) -> Samples:
    return parse(text_of(snapshot_of(inventory or small_inventory(), *states)))


def of_site(samples: Samples, name: str, site: str = "01001", label: str = "direction") -> dict[str, float]:
    """The values of one family of one site, by a label's value (empty where it has none)."""
    return {labels.get(label, ""): value for labels, value in samples.get(name, []) if labels["site"] == site}


def full_scrape() -> str:
    """A scrape in which every family has a sample."""
    aggregates, inventory = Aggregates(), small_inventory()
    echo = result_of("0100101", media=(echo_stream(),), tls=CERTIFICATE)
    for result in (result_of(), echo, result_of(invalid=("loop_lag",))):
        aggregates.observe(result, inventory[result.target.site], inventory)
    video = rtcp_stream(kind="video", codec="H264", frames_expected=250, frames_lost=5, frame_rate=25.0)
    silent = result_of(media=(rtcp_stream(audio_level_dbov=-127.0), video), advisories=(Advisory.SILENT_ROOM,))
    snapshot = snapshot_of(inventory, state_of(silent), state_of(echo))
    health = OwnHealth(event_loop_lag_seconds=0.002, schedule_lag_seconds=1.5, reference_up={"beyond": True})
    return joined(Exporter().slices(snapshot, aggregates.view(), health, an_event()))


class TestFormat:
    def test_every_documented_family_is_there_with_its_type_help_and_samples(self) -> None:
        families = {family.name: family for family in text_string_to_metric_families(full_scrape())}
        for name, kind in DOCUMENTED.items():
            family = families[name.removesuffix("_total")]  # the parser names a counter without it
            assert (family.type, len(family.samples) > 0) == (kind, True), name
            assert len(family.documentation) > 10, name

    def test_every_family_stands_once_and_its_samples_below_it(self) -> None:
        """The format allows a family one group of lines only."""
        current = ""
        seen = []
        for line in full_scrape().splitlines():
            if line.startswith("# HELP "):
                current = line.split()[2]
                seen.append(current)
            elif not line.startswith("#"):
                assert line.startswith(current)
        assert len(seen) == len(set(seen))
        assert {name for name in seen if name.startswith("bridge_")} == set(DOCUMENTED)

    def test_no_series_is_written_twice(self) -> None:
        series = [line.rpartition(" ")[0] for line in full_scrape().splitlines() if not line.startswith("#")]
        assert len(series) == len(set(series))

    @pytest.mark.peer("promtool")
    def test_promtool_finds_nothing_to_mend(self) -> None:
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=full_scrape(), capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

    @pytest.mark.peer("promtool")
    def test_promtool_would_have_found_something(self) -> None:
        text = full_scrape().replace("# HELP bridge_mos", "# HELP bridge_other")
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert checked.returncode != 0
        assert "bridge_mos" in checked.stdout + checked.stderr


class TestSite:
    def test_a_good_call_shows_every_figure_with_all_labels(self) -> None:
        samples = scrape(state_of(result_of()))
        ((labels, value),) = samples["bridge_probe_success"]
        assert labels == {
            "site": "01001",
            "tier": "district",
            "province": "01",
            "district": "01001",
            "carrier": "VNPT",
        }
        assert value == 1
        assert of_site(samples, "bridge_site_grade") == {"": SiteGrade.GOOD}
        assert of_site(samples, "bridge_probe_duration_seconds") == {"": 10.75}
        assert of_site(samples, "bridge_probe_last_run_timestamp_seconds") == {"": STARTED.timestamp()}
        assert of_site(samples, "bridge_rtp_loss_ratio") == {"inbound": 0.004, "outbound": 0.0104}
        assert of_site(samples, "bridge_rtp_jitter_seconds") == {"inbound": 0.0015, "outbound": 0.0025}
        assert of_site(samples, "bridge_rtt_seconds") == {"": 0.0125}
        assert of_site(samples, "bridge_mos") == {"": 4.4}
        phases = of_site(samples, "bridge_probe_phase_seconds", label="phase")
        assert (phases["trying"], phases["answer"], "bye" in phases) == (0.01, 0.4, False)

    def test_each_advisory_of_the_last_valid_call_has_a_series_of_its_own(self) -> None:
        advisories = (Advisory.SILENT_ROOM, Advisory.NO_VIDEO)
        warned = state_of(result_of(media=(rtcp_stream(audio_level_dbov=-64.5),), advisories=advisories))
        busy = result_of(outcome=Outcome.BUSY, grade=Grade.BUSY, media=())
        for state in (warned, dataclasses.replace(warned, last=busy)):
            samples = scrape(state)
            found = of_site(samples, "bridge_site_advisory", label="advisory")
            assert found == {"silent_room": 1, "no_video": 1}
            assert of_site(samples, "bridge_audio_level_dbov") == {"": -64.5}
            assert of_site(samples, "bridge_probe_success") == {"": 1}
        assert "bridge_site_advisory" not in scrape(state_of(result_of()))

    def test_video_has_series_of_its_own_and_leaves_those_of_audio_alone(self) -> None:
        loss = RoundTrip(1000, 900, 100, 0.1)
        frames = {"frames_expected": 250, "frames_lost": 50, "frame_rate": 25.0}
        video = echo_stream(kind="video", codec="H264", round_trip=loss, **frames)
        samples = scrape(state_of(result_of(media=(rtcp_stream(), video))))
        assert of_site(samples, "bridge_video_loss_ratio") == {"round_trip": 0.1}
        assert of_site(samples, "bridge_video_frame_loss_ratio") == {"": 0.2}
        assert of_site(samples, "bridge_video_frame_rate") == {"": 25.0}
        assert of_site(samples, "bridge_rtp_loss_ratio") == {"inbound": 0.004, "outbound": 0.0104}

    def test_without_video_there_are_no_series_of_video(self) -> None:
        nothing_came = rtcp_stream(kind="video", inbound=None, outbound=None)
        for media in ((rtcp_stream(),), (rtcp_stream(), nothing_came)):
            samples = scrape(state_of(result_of(media=media)))
            assert not [name for name in samples if name.startswith("bridge_video")]

    def test_names_are_in_the_info_series_escaped(self) -> None:
        info = {labels["site"]: labels for labels, value in scrape()["bridge_site_info"] if value == 1}
        assert info["0100102"] == {
            "site": "0100102",
            "tier": "commune",
            "province": "01",
            "district": "01001",
            "carrier": "VNPT",
            "name": "Trúc Bạch",
            "province_name": 'Hà Nội "A"\\',
            "district_name": "Ba Đình",
            "parent": "01001",
            "attends_at": "01001",
        }
        assert (info["00"]["province"], info["00"]["province_name"], info["00"]["parent"]) == ("", "", "")

    @pytest.mark.parametrize(
        ("grade", "success"),
        [(Grade.GOOD, {"": 1}), (Grade.DEGRADED, {"": 1}), (Grade.FAILED, {"": 0}), (Grade.UNTESTED, {})],
    )
    def test_success_is_1_for_good_and_degraded_0_for_failed_and_absent_if_untested(
        self, grade: Grade, success: dict[str, float]
    ) -> None:
        assert of_site(scrape(state_of(result_of(grade=grade))), "bridge_probe_success") == success

    @pytest.mark.parametrize(
        "later",
        [
            result_of(outcome=Outcome.BUSY, grade=Grade.BUSY, media=(), duration_seconds=0.3),
            result_of(grade=Grade.INVALID, invalid=("loop_lag",), media=(echo_stream(),), duration_seconds=0.3),
        ],
        ids=["busy", "invalid"],
    )
    def test_busy_and_invalid_calls_leave_everything_as_it_was_but_the_time_of_the_last_run(
        self, later: object
    ) -> None:
        assert isinstance(later, type(result_of()))
        good = state_of(result_of())
        newer = dataclasses.replace(later, started_at=STARTED.replace(hour=9))
        before, after = scrape(good), scrape(dataclasses.replace(good, last=newer))
        last_run = "bridge_probe_last_run_timestamp_seconds"
        changed = {name for name in before if name.startswith("bridge_") and after.get(name) != before[name]}
        assert changed == {last_run}
        assert of_site(after, last_run) == {"": STARTED.replace(hour=9).timestamp()}

    def test_a_refused_call_was_no_run(self) -> None:
        refused = result_of(outcome=Outcome.REFUSED, grade=Grade.UNTESTED, started_at=STARTED.replace(hour=9))
        last_run = "bridge_probe_last_run_timestamp_seconds"
        assert of_site(scrape(state_of(result_of(), last=refused)), last_run) == {"": STARTED.timestamp()}
        assert of_site(scrape(state_of(refused, last_valid=None)), last_run) == {}

    def test_a_site_without_a_result_shows_its_standing_alone(self) -> None:
        samples = scrape(SiteState("01001", SiteGrade.UNTESTED))
        shown = {name for name, found in samples.items() for labels, _ in found if labels.get("site") == "01001"}
        assert shown == {"bridge_site_info", "bridge_site_grade"}
        assert of_site(samples, "bridge_site_grade") == {"": SiteGrade.UNTESTED}

    def test_a_site_without_a_state_is_untested(self) -> None:
        assert of_site(scrape(), "bridge_site_grade") == {"": SiteGrade.UNTESTED}

    def test_a_site_that_attends_elsewhere_has_no_figures_even_of_earlier_calls(self) -> None:
        samples = scrape(state_of(result_of("0100102")))
        assert of_site(samples, "bridge_site_grade", "0100102") == {"": SiteGrade.ATTENDS_ELSEWHERE}
        assert of_site(samples, "bridge_probe_success", "0100102") == {}

    def test_what_was_not_measured_is_absent(self) -> None:
        media = (echo_stream(rtt_seconds=None, mos=None, inbound=None),)
        samples = scrape(state_of(result_of(media=media, phases={"trying": 0.0, "answer": None})))
        assert of_site(samples, "bridge_rtp_loss_ratio") == {"round_trip": 0.02}
        assert of_site(samples, "bridge_probe_phase_seconds", label="phase") == {"trying": 0.0}
        for name in ("bridge_rtt_seconds", "bridge_mos", "bridge_rtp_jitter_seconds", "bridge_rtp_packets_total"):
            assert of_site(samples, name) == {}, name

    def test_an_unreachable_room_has_no_media_figures(self) -> None:
        failed = result_of(outcome=Outcome.UNREACHABLE, grade=Grade.FAILED, media=(), phases={}, sip=None)
        samples = scrape(state_of(failed, SiteGrade.FAILED))
        assert of_site(samples, "bridge_probe_success") == {"": 0}
        assert of_site(samples, "bridge_rtp_loss_ratio") == {}
        assert of_site(samples, "bridge_rtt_seconds") == {}

    def test_packets_are_the_ones_counted_since_the_start(self) -> None:
        aggregates, inventory = Aggregates(), small_inventory()
        exporter = Exporter()
        seen = []
        for _ in range(2):
            aggregates.observe(result_of(), inventory["01001"], inventory)
            snapshot = snapshot_of(inventory, state_of(result_of()))
            samples = parse(joined(exporter.slices(snapshot, aggregates.view(), OwnHealth(), None)))
            seen.append(
                (of_site(samples, "bridge_rtp_packets_total"), of_site(samples, "bridge_rtp_packets_lost_total"))
            )
        assert seen == [
            ({"inbound": 500, "outbound": 480}, {"inbound": 2, "outbound": 5}),
            ({"inbound": 1000, "outbound": 960}, {"inbound": 4, "outbound": 10}),
        ]


class TestReload:
    def test_a_site_that_left_the_inventory_leaves_the_exposition(self) -> None:
        exporter, aggregates, inventory = Exporter(), Aggregates(), small_inventory()
        aggregates.observe(result_of("0100101"), inventory["0100101"], inventory)
        states = [state_of(result_of("0100101")), state_of(result_of())]
        first = joined(exporter.slices(snapshot_of(inventory, *states), aggregates.view(), OwnHealth(), None))
        assert 'site="0100101"' in first
        smaller = Inventory([site for site in inventory if site.code != "0100101"], TIERS)
        second = joined(exporter.slices(snapshot_of(smaller, *states), aggregates.view(), OwnHealth(), None))
        assert "0100101" not in second
        assert 'tier="commune"' in second, "the one that attends elsewhere"
        assert 'bridge_probes_total{province="01",tier="commune"' not in second, "no commune is called any more"
        third = joined(exporter.slices(snapshot_of(inventory, *states), aggregates.view(), OwnHealth(), None))
        packets = of_site(parse(third), "bridge_rtp_packets_total", "0100101")
        assert packets["inbound"] == 500, "and comes back with its count"

    def test_a_site_that_moved_has_its_new_labels_at_once(self) -> None:
        """Its Site object is the same: what changed is above it."""
        exporter, inventory = Exporter(), small_inventory()
        other = Inventory([*inventory, Site("02", "Hà Giang", "province", "00")], TIERS)
        moved = Inventory(
            [dataclasses.replace(site, parent="02") if site.code == "01001" else site for site in other], TIERS
        )
        for each, province in ((other, "01"), (moved, "02")):
            samples = parse(joined(exporter.slices(snapshot_of(each), Aggregates().view(), OwnHealth(), None)))
            assert {
                labels["province"] for labels, _ in samples["bridge_site_grade"] if labels["tier"] == "commune"
            } == {province}


class TestConsistency:
    def test_a_scrape_shows_the_moment_at_which_it_began(self) -> None:
        """Results, a reload and a second scrape in the middle of it change nothing of it."""
        rooms = [Site(f"01{n:03}", f"Room {n}", "district", "01") for n in range(4 * RUN_SITES)]
        inventory = Inventory([Site("01", "Hà Nội", "province"), *rooms], TIERS)
        exporter, aggregates, health = Exporter(), Aggregates(), OwnHealth(schedule_lag_seconds=1.0)
        code = rooms[-1].code
        old = snapshot_of(inventory, state_of(result_of(code, duration_seconds=1.0)))
        expected = bridge_lines(exporter.slices(old, aggregates.view(), health, None))
        running = exporter.slices(old, aggregates.view(), health, None)
        pieces = [next(running)]
        for number in range(3):
            aggregates.observe(result_of(code), inventory[code], inventory)
            new = snapshot_of(inventory, state_of(result_of(code, duration_seconds=2.0 + number)))
            pieces.append(next(running))
            seen = parse(joined(exporter.slices(new, aggregates.view(), OwnHealth(), None)))
            assert of_site(seen, "bridge_probe_duration_seconds", code) == {"": 2.0 + number}
            renamed = Inventory([dataclasses.replace(site, carrier="FPT") for site in inventory], TIERS)
            assert "FPT" in joined(exporter.slices(snapshot_of(renamed), aggregates.view(), OwnHealth(), None))
        assert bridge_lines([*pieces, *running]) == expected

    def test_no_text_comes_before_all_of_it_is_up_to_date(self) -> None:
        """What can't be rendered fails before anything is sent."""
        inventory = national_inventory(communes=1000)
        states = [state_of(result_of(site.code)) for site in inventory]
        slices = list(Exporter().slices(snapshot_of(inventory, *states), Aggregates().view(), OwnHealth(), None))
        rendering = next(number for number, text in enumerate(slices) if text)
        assert rendering > len(inventory) / RUN_SITES
        assert all(slices[rendering:])


def bridge_lines(slices: Iterable[bytes]) -> list[str]:
    """The lines of the nation; ``process_*`` change from one moment to the next."""
    return [line for line in joined(slices).splitlines() if line.startswith("bridge_")]


class TestOwn:
    def test_the_event_s_phase_and_start(self) -> None:
        samples = scrape()
        assert {labels["phase"]: value for labels, value in samples["bridge_event_phase"]} == {
            phase: int(phase is EventPhase.REHEARSAL) for phase in EventPhase
        }
        ((_, start),) = samples["bridge_event_conference_start_timestamp_seconds"]
        assert start == an_event().conference.start.timestamp()

    def test_without_an_event_there_is_no_start(self) -> None:
        slices = Exporter().slices(snapshot_of(small_inventory()), Aggregates().view(), OwnHealth(), None)
        assert "bridge_event_conference_start_timestamp_seconds" not in parse(joined(slices))

    def test_the_daemon_shows_how_it_fares(self) -> None:
        text = text_of(
            snapshot_of(small_inventory()),
            Aggregates(invalid_reasons=["loop_lag"]),
            event_loop_lag_seconds=0.002,
            schedule_lag_seconds=1.5,
            config_last_reload_successful=False,
        )
        samples = parse(text)
        own = {name.removeprefix("bridge_monitor_"): found for name, found in samples.items() if "_monitor_" in name}
        assert own["build_info"][0][0]["version"] == __version__
        assert {name: found for name, found in own.items() if name != "build_info"} == {
            "event_loop_lag_seconds": [({}, 0.002)],
            "calls_in_flight": [({}, 2)],
            "schedule_lag_seconds": [({}, 1.5)],
            "sweep_progress_ratio": [({}, 0.75)],
            "measurements_invalid_total": [({"reason": "loop_lag"}, 0)],
            "config_last_reload_successful": [({}, 0)],
        }
        assert samples["process_resident_memory_bytes"][0][1] > 1e6

    def test_each_reference_responder_is_up_or_down_once_it_was_called(self) -> None:
        health = OwnHealth(reference_up={"hanoi": True, "danang": False})
        text = joined(Exporter().slices(snapshot_of(small_inventory()), Aggregates().view(), health, an_event()))
        assert parse(text)["bridge_reference_up"] == [({"responder": "danang"}, 0), ({"responder": "hanoi"}, 1)]
        assert "bridge_reference_up" not in parse(text_of(snapshot_of(small_inventory())))

    def test_what_is_not_known_yet_is_absent(self) -> None:
        samples = parse(text_of(snapshot_of(small_inventory(), sweep=SweepProgress())))
        for name in ("event_loop_lag_seconds", "schedule_lag_seconds", "sweep_progress_ratio"):
            assert f"bridge_monitor_{name}" not in samples
        assert samples["bridge_monitor_config_last_reload_successful"] == [({}, 1)]

"""``probe``: whom, may we, slot, call, result. Signals are in test_signals.py, a running daemon in test_run.py."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from bridge_monitor.cli.probe import worst_exit_code
from bridge_monitor.domain import ProbeResult
from bridge_monitor.net.locks import SiteLocks
from bridge_monitor.probes.story import PHASES
from tests.cli.conftest import BUSY, DEAD, GOOD, MUTED, RINGING, SILENT, SLOW, Said, a_country
from tests.system.rigs import Country

Run = Callable[..., Said]

KEYS = {
    *("schema", "id", "target", "kind", "profile", "vantage", "call_id", "started_at", "duration_seconds", "outcome"),
    *("reason", "grade", "phases", "sip", "media", "invalid", "advisories", "hops", "tls"),
}
MEDIA_KEYS = {
    *("kind", "codec", "mode", "inbound", "outbound", "round_trip", "rtt_seconds", "r_factor", "mos"),
    *("unexpected_source", "audio_level_dbov", "audio_active_ratio"),
    *("frames_expected", "frames_lost", "frame_rate"),
}


@pytest.fixture
def state(tmp_path: Path) -> list[str]:
    """Return options that give a command a state directory of its own."""
    return ["--state-dir", str(tmp_path / "state")]


class TestCall:
    def test_a_good_room_is_shown_with_all_its_figures(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("probe", GOOD, "--config", rooms.folder)
        assert said.code == 0
        for told in (f"{GOOD} · Phòng {GOOD} · {rooms.endpoint(GOOD)}", "GOOD", "200 OK", "audio PCMU", "MOS"):
            assert told in said.out
        assert "\x1b" not in said.out + said.err
        assert said.err == ""

    def test_a_muted_room_is_good_and_its_technician_is_advised(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("probe", MUTED, "--config", rooms.folder)
        assert said.code == 0
        for told in ("GOOD", "nobody", "Advisory for the room", "microphone", "−127.0 dBov  digital silence"):
            assert told in said.out

    @pytest.mark.parametrize(
        ("code", "outcome", "grade", "exit_code"),
        [
            (DEAD, "unreachable", "failed", 2),
            (BUSY, "busy", "busy", 1),
            (RINGING, "no_answer", "untested", 3),
            (SILENT, "timeout", "failed", 2),
        ],
    )
    def test_the_exit_code_follows_the_grade(
        self, bridge_monitor: Run, rooms: Country, *, code: str, outcome: str, grade: str, exit_code: int
    ) -> None:
        said = bridge_monitor("probe", code, "--config", rooms.folder, "--json")
        (result,) = said.objects
        assert (result["outcome"], result["grade"], said.code) == (outcome, grade, exit_code)

    def test_each_call_is_an_object_with_every_key(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("probe", GOOD, "--config", rooms.folder, "--json", "--count", "2", "--duration", "0.5")
        assert said.code == 0
        assert len(said.objects) == 2
        assert len({result["id"] for result in said.objects}) == 2
        for result in said.objects:
            assert set(result) == KEYS == {field.name for field in fields(ProbeResult)} | {"schema"}
            assert result["schema"] == "bridge_monitor.probe/1"
            assert result["target"] == {"site": GOOD, "uri": rooms.endpoint(GOOD)}
            assert set(result["phases"]) == set(PHASES)
            assert result["phases"]["connect"] is None
            (audio,) = result["media"]
            assert set(audio) == MEDIA_KEYS
            assert audio["round_trip"] == {
                "packets_sent": 25,
                "packets_received": 25,
                "packets_lost": 0,
                "loss_ratio": 0.0,
            }
            assert audio["rtt_seconds"]["source"] == "echo"
            assert audio["inbound"]["packets_lost"] is None  # an echo can't tell the direction

    def test_a_site_can_be_named_by_its_uri(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("probe", rooms.endpoint(BUSY), "--config", rooms.folder, "--json")
        assert said.objects[0]["target"]["site"] == BUSY

    def test_kind_profile_and_duration_can_be_chosen(self, bridge_monitor: Run, rooms: Country) -> None:
        options = bridge_monitor("probe", GOOD, "--config", rooms.folder, "--json", "--kind", "sip-options")
        (result,) = options.objects
        assert (result["kind"], result["reason"], result["grade"], options.code) == (
            *("sip-options", "options_only", "untested"),
            3,
        )
        assert result["media"] == []
        (alive,) = bridge_monitor("probe", GOOD, "--config", rooms.folder, "--json", "--profile", "alive").objects
        assert (alive["profile"], alive["kind"]) == ("alive", "sip-options")
        (long,) = bridge_monitor(
            *("probe", GOOD, "--config", rooms.folder, "--json", "--profile", "long", "--duration", "0.4")
        ).objects
        assert long["media"][0]["outbound"]["packets_sent"] == 20

    def test_it_speaks_vietnamese(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("probe", BUSY, "--config", rooms.folder, "--lang", "vi")
        assert "ĐANG BẬN" in said.out
        assert "Trách nhiệm" in said.out

    def test_the_ladder_is_printed_beside_the_result(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("probe", BUSY, "--config", rooms.folder, "--trace")
        assert f"INVITE {rooms.endpoint(BUSY)} SIP/2.0" in said.out
        assert "SIP/2.0 486" in said.out
        apart = bridge_monitor("probe", BUSY, "--config", rooms.folder, "--trace", "--json")
        assert len(apart.objects) == 1
        assert "SIP/2.0 486" in apart.err

    @pytest.mark.peer("tshark")
    def test_the_capture_opens_in_wireshark_without_what_was_heard(
        self, bridge_monitor: Run, rooms: Country, tmp_path: Path
    ) -> None:
        path = tmp_path / "call.pcap"
        call = ("probe", GOOD, "--config", rooms.folder, "--pcap", path, "--tone", "--duration", "0.5")
        assert bridge_monitor(*call).code == 0
        shown = subprocess.run(["tshark", "-r", path], capture_output=True, text=True, check=True).stdout
        for told in ("INVITE sip:", "Status: 200 OK (INVITE)", "Request: ACK", "RTP", "Request: BYE"):
            assert told in shown
        assert "Malformed" not in shown
        small = path.stat().st_size
        assert bridge_monitor(*call, "--pcap-payload").code == 0
        assert path.stat().st_size > small + 50 * 150

    def test_calls_are_left_neither_to_the_room_nor_to_the_journal(self, bridge_monitor: Run, rooms: Country) -> None:
        bridge_monitor("probe", GOOD, "--config", rooms.folder)
        journals = list(rooms.state_dir.glob("*.journal"))
        assert journals
        started = time.monotonic()
        bridge_monitor("probe", DEAD, "--config", rooms.folder)
        assert time.monotonic() - started < 4.0


class TestAnyTarget:
    def test_it_needs_no_configuration_and_knows_no_windows(
        self, bridge_monitor: Run, rooms: Country, state: list[str]
    ) -> None:
        said = bridge_monitor(*("probe", rooms.endpoint(GOOD), "--any-target", "--json", "--duration", "0.4"), *state)
        (result,) = said.objects
        assert (said.code, result["target"]) == (0, {"site": None, "uri": rooms.endpoint(GOOD)})

    @pytest.mark.parametrize(
        ("target", "told"),
        [
            ("no uri", "is no URI that can be called"),
            ("sips:room@192.0.2.7;transport=udp", "can't call"),
            ("sip:room@192.0.2.7;transport=ws", "can't call"),
            ("sip:room@[2001:db8::7]", "can't call"),
            ("sip:room@192.0.2.777", "can't call"),
        ],
    )
    def test_what_this_version_cannot_call_is_refused_not_called_otherwise(
        self, bridge_monitor: Run, target: str, told: str
    ) -> None:
        said = bridge_monitor("probe", target, "--any-target")
        assert (said.code, said.out) == (3, "")
        assert told in said.err

    def test_a_profile_needs_a_configuration(self, bridge_monitor: Run) -> None:
        said = bridge_monitor("probe", "sip:a@127.0.0.1", "--any-target", "--profile", "room")
        assert said.code == 3
        assert "--profile needs a configuration" in said.err

    @pytest.mark.peer("sipp")
    def test_a_peer_that_is_not_ours_is_called(
        self, bridge_monitor: Run, network: str, tmp_path: Path, state: list[str], sipp_echo: Callable[[str], str]
    ) -> None:
        uri = sipp_echo(f"{network}.0.7")
        said = bridge_monitor(
            *("probe", uri, "--any-target", "--json", "--duration", "0.4", "--count", "2"),
            *("--tone", "--pcap", tmp_path / "sipp.pcap"),
            *state,
        )
        assert said.code == 0
        assert [result["media"][0]["round_trip"]["packets_received"] for result in said.objects] == [20, 20]
        assert (tmp_path / "sipp.pcap").stat().st_size > 5_000

    @pytest.mark.peer("sipp")
    def test_nobody_there_is_a_failure(self, bridge_monitor: Run, network: str, state: list[str]) -> None:
        said = bridge_monitor("probe", f"sip:nobody@{network}.0.8", "--any-target", "--json", *state)
        assert (said.code, said.objects[0]["outcome"]) == (2, "unreachable")


@pytest.fixture
def sipp_echo(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return ``sipp_echo(host)``: start a sipp that answers there and sends RTP back; return its URI."""
    started: list[subprocess.Popen[bytes]] = []

    def start(host: str) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            port = probe.getsockname()[1]
        command = ["sipp", "-sn", "uas", "-rtp_echo", "-i", host, "-p", str(port), "-mi", host, "-nostdin"]
        path = shutil.which("sipp")
        started.append(
            subprocess.Popen(
                command, executable=path, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind((host, port))
                except OSError:
                    return f"sip:echo@{host}:{port}"
            time.sleep(0.05)
        raise AssertionError("sipp did not come up")

    yield start
    for process in started:
        process.kill()
        process.wait()


class TestRefusals:
    def _refused(self, said: Said, reason: str, target: dict[str, str | None]) -> None:
        (result,) = said.objects
        assert said.code == 3
        assert set(result) == KEYS
        assert (result["outcome"], result["reason"], result["grade"]) == ("refused", reason, "untested")
        assert result["target"] == target
        assert set(result["phases"]) == set(PHASES)
        assert (result["call_id"], result["sip"], result["media"]) == (None, None, [])
        assert f"not called ({reason})" in said.err

    @pytest.mark.parametrize(
        ("window", "conference", "options", "reason"),
        [
            ((3600.0, 7200.0), 9 * 3600.0, [], "outside_window"),
            ((-7200.0, -3600.0), 300.0, [], "guard"),
            ((-7200.0, -3600.0), 300.0, ["--outside-window"], "guard"),
            ((-7200.0, -3600.0), -600.0, ["--outside-window"], "conference"),
        ],
    )
    def test_the_events_windows_are_kept(
        self,
        bridge_monitor: Run,
        tmp_path: Path,
        network: str,
        *,
        window: tuple[float, float],
        conference: float,
        options: list[str],
        reason: str,
    ) -> None:
        country = Country(tmp_path, network, provinces=1, communes=1, window=window, conference=conference)
        country.write()
        said = bridge_monitor("probe", "01001", "--config", country.folder, "--json", *options)
        self._refused(said, reason, {"site": "01001", "uri": country.endpoint("01001")})
        assert ("--outside-window" in said.err) == (reason == "outside_window")
        assert not country.state_dir.exists()

    def test_a_series_ends_where_the_window_does(
        self, bridge_monitor: Run, rooms: Country, tmp_path: Path, state: list[str]
    ) -> None:
        """The longest a call can be up is 38 s here; a call that could outlast the window is not begun."""
        closing = a_country(tmp_path / "closing", rooms.network, window=(-60.0, 41.5))
        closing.write()
        said = bridge_monitor("probe", GOOD, "--config", closing.folder, "--json", "--count", "9", *state)
        assert said.code == 3
        outcomes = [result["outcome"] for result in said.objects]
        assert 2 <= len(outcomes) < 9
        assert outcomes == ["reached"] * (len(outcomes) - 1) + ["refused"]

    def test_outside_the_window_a_call_can_be_forced(
        self, bridge_monitor: Run, rooms: Country, tmp_path: Path, state: list[str]
    ) -> None:
        later = Country(tmp_path / "later", rooms.network, 1, 7, window=(3600.0, 7200.0))
        later.write()
        said = bridge_monitor("probe", BUSY, "--config", later.folder, "--outside-window", "--json", *state)
        assert (said.code, said.objects[0]["outcome"]) == (1, "busy")

    @pytest.mark.parametrize(("code", "uri"), [("01901", ""), ("01902", "sip:01902@192.0.2.9"), ("00", "")])
    def test_who_is_not_testable_is_not_called(
        self, bridge_monitor: Run, country: Country, code: str, uri: str
    ) -> None:
        said = bridge_monitor("probe", code, "--config", country.folder, "--json")
        self._refused(said, "not_testable", {"site": code, "uri": uri})

    def test_one_call_at_a_time_over_all_processes(self, bridge_monitor: Run, country: Country) -> None:
        country.state_dir.mkdir()
        locks = SiteLocks(country.state_dir / "sites.lock")
        assert locks.acquire(GOOD)
        said = bridge_monitor("probe", GOOD, "--config", country.folder, "--json")
        locks.close()
        self._refused(said, "site_in_call", {"site": GOOD, "uri": country.endpoint(GOOD)})

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["sip:a@127.0.0.1"], "add --config FOLDER"),
            (["nowhere", "--config", "@"], "nowhere is not in the site list"),
            ([GOOD, "--config", "@", "--profile", "none"], "there is no profile none; there are: alive, long"),
            ([GOOD, "--config", "@", "--kind", "whip"], "can't place calls of kind whip"),
            ([GOOD, "--config", "@/missing"], "there is no such folder"),
            ([GOOD, "--config", "@", "--pcap", "@/missing/call.pcap"], "the capture can't be written"),
            ([GOOD, "--config", "@", "--state-dir", "@/sites.csv/state"], "This machine's own fault"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_cannot_be_done_is_said_and_ends_with_3(
        self, bridge_monitor: Run, country: Country, words: list[str], told: str
    ) -> None:
        said = bridge_monitor(
            "probe", *(word.replace("@", str(country.folder), 1) if word.startswith("@") else word for word in words)
        )
        assert (said.code, said.out) == (3, "")
        assert told in said.err

    def test_a_slow_room_rings_longer_than_it_is_waited_for(self, bridge_monitor: Run, rooms: Country) -> None:
        said = bridge_monitor("probe", SLOW, "--config", rooms.folder, "--json")
        assert (said.code, said.objects[0]["outcome"]) == (3, "no_answer")


@pytest.mark.parametrize(
    ("codes", "worst"),
    [([0, 0], 0), ([0, 3], 3), ([3, 1], 1), ([3, 2, 1], 2), ([2, 0], 2), ([], 3)],
)
def test_what_was_found_bad_outweighs_what_could_not_be_told(codes: list[int], worst: int) -> None:
    assert worst_exit_code(codes) == worst

"""``run`` as a process: its start, its endpoints, reloads, hand commands beside it, its end."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge_monitor.cli.run import Loader
from bridge_monitor.errors import ConfigError
from tests.cli.conftest import BUSY, DEAD, GOOD, Said, a_country
from tests.system.rigs import Command, Country, get, gone_within

Run = Callable[..., Said]
Start = Callable[..., Command]


@pytest.fixture
def watched(rooms: Country, tmp_path: Path) -> Country:
    """Return a country in the answering rooms' network with files of its own, so that a test may change them."""
    made = a_country(tmp_path / "watched", rooms.network)
    made.write()
    return made


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Return a TCP port of 127.0.0.1 that is in use."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def until(condition: Callable[[], bool], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


class TestLife:
    def test_a_daemons_day(self, bridge_monitor: Run, start: Start, watched: Country) -> None:
        """Start, endpoints, a command by hand beside it, reloads, and its end: one life, since each start costs."""
        daemon = start("run", "--config", watched.folder)
        url = daemon.url
        engine = daemon.children
        self._endpoints(url)
        self._by_hand(bridge_monitor, url, watched)
        self._reloads(daemon, url, watched)
        daemon.send(signal.SIGTERM)
        assert daemon.end() == 0
        assert "Stopped; every call has ended." in daemon.told
        assert daemon.printed == ""
        assert all(gone_within(pid, 1.0) for pid in engine)
        assert "bi-mat" not in daemon.told
        with pytest.raises(ConnectionRefusedError):
            get(url, "/-/healthy")

    def _endpoints(self, url: str) -> None:
        assert get(url, "/-/healthy")[0] == 200
        assert get(url, "/-/ready")[0] == 200
        assert get(url, "/")[0] == 200
        assert get(url, "/probe?target=sip:anybody@192.0.2.1")[0] == 400
        until(lambda: f'bridge_probe_success{{site="{DEAD}"' in get(url, "/metrics")[1])
        metrics = get(url, "/metrics")[1]
        for name in ("bridge_monitor_build_info", "bridge_event_phase", "bridge_site_grade", "bridge_probes_total"):
            assert f"\n{name}{{" in metrics
        assert "bi-mat" not in metrics
        time.sleep(1.1)  # min_between_calls
        status, text = get(url, f"/probe?target={BUSY}&module=alive")
        assert (status, 'reason="options_only"' in text) == (200, True)

    def _by_hand(self, bridge_monitor: Run, url: str, watched: Country) -> None:
        """The daemon lends its slot and keeps the result."""
        until(lambda: "bridge_monitor_calls_in_flight 0" in get(url, "/metrics")[1])
        time.sleep(1.1)  # min_between_calls
        (result,) = bridge_monitor("probe", DEAD, "--config", watched.folder, "--json").objects
        assert result["outcome"] == "unreachable"
        evidence = json.loads(get(url, f"/api/v1/sites/{DEAD}/evidence")[1])["evidence"]
        assert evidence["result_id"] == result["id"]
        assert evidence["ladder"]
        again = bridge_monitor("probe", DEAD, "--config", watched.folder, "--json")
        assert (again.code, again.objects[0]["reason"]) == (3, "too_soon")
        assert "called a moment ago" in again.err

    def _reloads(self, daemon: Command, url: str, watched: Country) -> None:
        watched.write_sites(left_out=[GOOD, "01007"])
        # The site that attends at GOOD goes with it.
        sites = watched.folder / "sites.csv"
        kept = [line for line in sites.read_text("utf-8").splitlines() if not line.startswith("01901")]
        sites.write_text("\n".join(kept) + "\n", "utf-8")
        daemon.send(signal.SIGHUP)
        until(lambda: len(daemon.log("reloaded")) == 1)
        assert f'site="{GOOD}"' not in get(url, "/metrics")[1]
        contacts = watched.folder / "contacts.csv"
        contacts.write_text(contacts.read_text("utf-8") + "province,01,Bà Bí Mật,email,bi-mat,\n", "utf-8")
        daemon.send(signal.SIGHUP)
        until(lambda: len(daemon.log("reload_failed")) == 1)
        (problem,) = [line["problem"] for line in daemon.log("configuration") if line["level"] == "error"]
        assert problem.startswith(f"{contacts}:3: there is a problem in the roster")
        assert "bridge_monitor_config_last_reload_successful 0" in get(url, "/metrics")[1]
        watched.write()
        watched.write_settings(vantage="elsewhere", caps={"total": {"calls_at_once": 9000}})
        status, text = get(url, "/-/reload", "POST")
        assert status == 200
        assert "changes in vantage take effect at the next start only" in text
        assert "400 at once are used" in text
        assert "bridge_monitor_config_last_reload_successful 1" in get(url, "/metrics")[1]

    def test_ctrl_c_ends_it_and_an_early_sighup_does_not(self, start: Start, country: Country) -> None:
        daemon = start("run", "--config", country.folder)
        until((country.state_dir / "daemon.lock").exists)
        daemon.send(signal.SIGHUP)
        until(lambda: bool(daemon.log("reloaded")))
        daemon.send(signal.SIGINT)
        assert daemon.end() == 0

    def test_told_to_stop_while_it_comes_up_it_calls_nobody(self, start: Start, country: Country) -> None:
        daemon = start("run", "--config", country.folder)
        until((country.state_dir / "daemon.lock").exists)
        daemon.send(signal.SIGTERM)
        assert daemon.end() == 0
        assert (country.state_dir / "calls-0.journal").read_text().count("\n") == 1  # the header alone

    def test_a_second_daemon_is_refused_and_the_first_goes_on(
        self, bridge_monitor: Run, start: Start, country: Country
    ) -> None:
        daemon = start("run", "--config", country.folder)
        url = daemon.url
        said = bridge_monitor("run", "--config", country.folder)
        assert said.code == 3
        assert "another daemon runs with this state directory" in said.err
        assert get(url, "/-/ready")[0] == 200


class TestRefusals:
    def test_a_port_that_is_taken_is_named(self, bridge_monitor: Run, country: Country, taken_port: int) -> None:
        country.write_settings(listen={"http": f"127.0.0.1:{taken_port}"})
        said = bridge_monitor("run", "--config", country.folder)
        assert said.code == 3
        assert f"can't listen for HTTP on 127.0.0.1:{taken_port}: Address already in use" in said.err

    def test_a_fault_of_this_machine_is_said(self, bridge_monitor: Run, country: Country) -> None:
        country.write_settings(listen={"state_dir": "sites.csv/state"})
        said = bridge_monitor("run", "--config", country.folder, "--lang", "vi")
        assert said.code == 3
        assert "Lỗi của chính máy này" in said.err

    def test_configuration_errors_are_told_without_the_rosters_contents(
        self, bridge_monitor: Run, country: Country
    ) -> None:
        contacts = country.folder / "contacts.csv"
        contacts.write_text(contacts.read_text("utf-8") + "province,01,Bà Bí Mật,email,bi-mat,\n", "utf-8")
        said = bridge_monitor("run", "--config", country.folder)
        assert said.code == 3
        assert "there is a problem in the roster" in said.err
        assert "bi-mat" not in said.err
        shown = bridge_monitor("check-config", country.folder)  # where the operator looks, and no log is kept
        assert "'bi-mat'" in shown.err

    def test_warnings_are_logged_at_the_start(self, start: Start, tmp_path: Path, network: str) -> None:
        past = Country(tmp_path / "past", network, 1, 1, window=(-9 * 3600, -7 * 3600), conference=-6 * 3600)
        daemon = start("run", "--config", past.write())
        assert get(daemon.url, "/-/ready")[0] == 200
        assert any("lies in the past" in line["problem"] for line in daemon.log("configuration"))


class TestLoader:
    def test_what_is_as_it_was_brings_no_warning(self, country: Country) -> None:
        loader = Loader(country.folder, "en")
        first = loader()
        assert loader().warnings == first.warnings == ()

    def test_sockets_stay_as_they_were_and_the_rest_is_new(self, country: Country) -> None:
        loader = Loader(country.folder, "en")
        first = loader()
        country.write_settings(listen={"http": "127.0.0.1:1"}, vantage="x", intervals={"default": "2 h"})
        fresh = loader()
        assert (fresh.listen, fresh.vantage) == (first.listen, first.vantage)
        assert fresh.intervals.default == 7200.0
        (warning,) = fresh.warnings
        assert warning.warning
        assert "changes in listen, vantage" in warning.what

    def test_no_more_calls_at_once_than_the_engine_was_built_for(self, country: Country) -> None:
        loader = Loader(country.folder, "vi")
        loader()
        country.write_settings(caps={"total": {"calls_at_once": 401}})
        fresh = loader()
        assert fresh.caps.total.calls_at_once == 400
        assert "400 cuộc cùng lúc" in fresh.warnings[0].what
        country.write_settings(caps={"total": {"calls_at_once": 300}})
        assert loader().caps.total.calls_at_once == 300

    def test_no_more_responders_than_the_engine_was_built_for(self, country: Country) -> None:
        one, two = {"a": "sip:echo@192.0.2.7"}, {"a": "sip:echo@192.0.2.7", "b": "sip:echo@192.0.2.8"}
        country.write_settings(reference={"responders": one})
        loader = Loader(country.folder, "en")
        loader()
        country.write_settings(reference={"responders": two})
        fresh = loader()
        assert dict(fresh.reference.responders) == one
        assert "changes in reference" in fresh.warnings[0].what
        country.write_settings()
        assert dict(loader().reference.responders) == {}

    def test_problems_of_other_files_are_told_in_full(self, country: Country) -> None:
        country.write_settings(no_such_key=1)
        with pytest.raises(ConfigError, match="no_such_key"):
            Loader(country.folder, "en")()

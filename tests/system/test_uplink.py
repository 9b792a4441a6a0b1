"""Our own uplink goes bad for some seconds: with a responder beyond it no room is blamed, without one they are.

Two namespaces with a cable between them: here the monitor, there a responder that is the reference and all rooms.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.rigs import Command, Country
from tests.system.uplink import BEYOND, HERE, Uplink

pytestmark = [pytest.mark.root, pytest.mark.peer("nft", "ip")]

ROOMS = 6
Start = Callable[..., Command]


@pytest.fixture
def country(tmp_path: Path) -> Country:
    """Return rooms that all are beyond the uplink, called one after the other."""
    rooms = [
        [f"010{number:02}", f"Phòng {number}", "commune", "01", "VNPT", f"sip:{number:02}@{BEYOND}", "room", "", "", ""]
        for number in range(1, ROOMS + 1)
    ]
    return Country(
        tmp_path / "country",
        "127.0",
        provinces=1,
        communes=0,
        profiles={
            "room": {"duration": "1500 ms", "answer_timeout": "1500 ms"},
            "beside": {"duration": "1 s", "answer_timeout": "1 s"},
        },
        profile_of={"01": "none"},
        more_sites=rooms,
        settings={"caps": {"total": {"calls_per_second": 1.5}}},
    )


REFERENCE = {"responders": {"beyond": f"sip:echo@{BEYOND}"}, "profile": "beside"}


def await_responder(start: Start, uplink: Uplink) -> Command:
    responder = start("responder", "--listen", f"{BEYOND}:5060", "--allow", f"{HERE}/32", inside=uplink.beyond)
    responder.until('"responding"', told=True)
    return responder


def sweep_with_a_cut(start: Start, uplink: Uplink, country: Country) -> list[dict[str, Any]]:
    """Sweep; cut the uplink for 2 s once the first result is there; return what was found."""
    await_responder(start, uplink)
    sweep = start("sweep", "--config", country.folder, "--json", inside=uplink.here)
    sweep.until('"outcome"')
    uplink.cut()
    time.sleep(2.0)
    uplink.mend()
    sweep.end()
    return sweep.objects


def test_while_our_uplink_is_bad_no_room_is_blamed_and_no_result_is_lost(
    start: Start, uplink: Uplink, country: Country
) -> None:
    country.settings = {**country.settings, "reference": REFERENCE}
    country.write()
    results = sweep_with_a_cut(start, uplink, country)
    assert sorted(result["target"]["site"] for result in results) == [f"010{number:02}" for number in range(1, 7)]
    bad = [result for result in results if result["grade"] in {"degraded", "failed"}]
    assert bad == []
    excused = [result for result in results if "our_uplink" in result["invalid"]]
    assert len(excused) >= 2
    assert {result["grade"] for result in excused} == {"invalid"}
    assert results[0]["grade"] == "good"


def test_without_a_reference_the_rooms_are_blamed(start: Start, uplink: Uplink, country: Country) -> None:
    """What the test above proves would be nothing if the cut did no harm."""
    country.write()
    results = sweep_with_a_cut(start, uplink, country)
    assert sum(result["grade"] in {"degraded", "failed"} for result in results) >= 2


def test_the_daemon_tells_how_the_reference_fares_and_blames_nobody(
    start: Start, uplink: Uplink, country: Country
) -> None:
    country.settings = {
        **country.settings,
        "reference": REFERENCE,
        "intervals": {"default": "3 s", "retry": "3 s"},
        "listen": {"http": "127.0.0.1:9817"},
    }
    country.write()
    await_responder(start, uplink)
    daemon = start("run", "--config", country.folder, inside=uplink.here)
    daemon.until('"reference_good"', told=True)
    uplink.cut()
    daemon.until('"reference_bad"', told=True)
    daemon.until('"our_uplink"', told=True)  # in the line that tells of invalid measurements
    page = fetch(uplink, "/metrics")
    uplink.mend()
    daemon.stop()
    assert 'bridge_reference_up{responder="beyond"} 0' in page
    invalid = [line for line in page.splitlines() if line.startswith("bridge_monitor_measurements_invalid_total")]
    assert any('reason="our_uplink"' in line for line in invalid)
    assert not [line for line in page.splitlines() if line.startswith("bridge_site_grade{") and line.endswith(" 3")]
    assert daemon.process.returncode == 0


def fetch(uplink: Uplink, path: str) -> str:
    """Return a page of the daemon, read inside its namespace."""
    script = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:9817{path}').read().decode())"
    done = subprocess.run(
        ["ip", "netns", "exec", uplink.here, "python3", "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout

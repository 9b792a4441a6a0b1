"""This machine really drops packets, in each of three places: the call is bad, and nobody is blamed for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.rigs import Command
from tests.system.uplink import BEYOND, HERE, Uplink, run

pytestmark = [pytest.mark.root, pytest.mark.peer("ip")]

Start = Callable[..., Command]
Probe = Callable[..., dict[str, Any]]
MEDIA = 40000
NARROW = ("root", "tbf", "rate", "40kbit", "burst", "2000", "limit", "2000")
"""Half of what G.711 needs."""


def received(uplink: Uplink) -> int:
    """Return how many packets have come out of the cable."""
    shown = subprocess.run(
        ["ip", "-n", uplink.beyond, "-j", "-s", "link", "show", "down0"], capture_output=True, check=True
    )
    return int(json.loads(shown.stdout)[0]["stats64"]["rx"]["packets"])


@pytest.fixture
def probe(start: Start, uplink: Uplink, tmp_path: Path) -> Probe:
    """Return ``probe(meanwhile)``: one call to a room beyond the cable, and what happens once its media run."""
    words = ("responder", "--listen", f"{BEYOND}:5060", "--media-ports", f"{MEDIA}-{MEDIA + 99}")
    responder = start(*words, "--allow", f"{HERE}/32", inside=uplink.beyond)
    responder.until('"responding"', told=True)

    def once(meanwhile: Callable[[], None] = lambda: None) -> dict[str, Any]:
        words = ("probe", f"sip:echo@{BEYOND}", "--any-target", "--duration", "2", "--json", "--state-dir")
        command = start(*words, tmp_path / "state", inside=uplink.here)
        until = time.monotonic() + 20.0
        while received(uplink) < 20 and command.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        meanwhile()
        command.end()
        (result,) = command.objects
        return result  # type: ignore[no-any-return]

    return once


def test_a_queue_of_ours_that_drops_excuses_a_bad_call(uplink: Uplink, probe: Probe) -> None:
    run("tc", "-n", uplink.here, "qdisc", "add", "dev", "up0", *NARROW)
    result = probe()
    assert (result["grade"], "queue_drops" in result["invalid"]) == ("invalid", True)
    assert result["outcome"] == "reached"
    assert result["media"][0]["round_trip"]["loss_ratio"] > 0.2


def test_a_queue_of_the_rooms_that_drops_excuses_nothing(uplink: Uplink, probe: Probe) -> None:
    run("tc", "-n", uplink.beyond, "qdisc", "add", "dev", "down0", *NARROW)
    result = probe()
    assert (result["grade"], result["invalid"]) == ("failed", [])


def test_an_interface_of_ours_that_drops_excuses_a_bad_call(uplink: Uplink, probe: Probe) -> None:
    """The cable's far end takes no longer frames: what its driver can't hand over, ours counts as dropped."""
    result = probe(lambda: run("ip", "-n", uplink.beyond, "link", "set", "down0", "mtu", "100"))
    assert (result["grade"], result["outcome"]) == ("invalid", "reached")
    assert "interface_drops" in result["invalid"]


@pytest.mark.full  # without media a call waits 15 s for reports
@pytest.mark.peer("nft")
def test_a_connection_table_of_ours_that_drops_excuses_a_bad_call(uplink: Uplink, probe: Probe) -> None:
    """Two flows that an address translation makes one: the second finds no place in the table."""
    rules = f"""table ip nat {{
        chain leaving {{
            type nat hook postrouting priority 100
            udp dport {MEDIA} snat to {HERE}:7777
        }}
    }}"""
    run("ip", "netns", "exec", uplink.here, "nft", "-f", "-", text=rules)
    first = f"import socket as s; s.socket(2, 2).sendto(b'first', ({BEYOND!r}, {MEDIA}))"
    subprocess.run(["ip", "netns", "exec", uplink.here, sys.executable, "-c", first], check=True)
    result = probe()
    assert (result["grade"], result["outcome"]) == ("invalid", "no_media")
    assert "conntrack_full" in result["invalid"]

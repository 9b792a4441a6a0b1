"""Round-trip times against irtt, at the same time over the same way: the median and the 95th percentile."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.peer("ip", "irtt")]

PACKETS = 151  # a prime number of them meets so many different phases of `far_way.py`'s delay
SECONDS = PACKETS / 50
# Before other processes, as the engine and the room run: the path is compared, no queue for the processor.
FIRST = ("chrt", "-r", "1")


def _at_once(cable: Any, report_of: Any, *, rtp_port: int, irtt_port: int) -> tuple[Any, list[float]]:
    """Call the room and let irtt measure meanwhile, for half as long; return our RTT and irtt's, ascending."""
    server = cable.start(cable.room, *FIRST, "irtt", "server", "-b", "10.77.0.2:2112")
    time.sleep(0.3)
    call = cable.call(duration_seconds=2 * SECONDS, rtp_port=rtp_port)
    time.sleep(1.0)
    wish = ("-i", "20ms", "-d", f"{SECONDS}s", "-l", "172", "-o", "-", f"10.77.0.2:{irtt_port}")
    asked = cable.start(cable.ours, *FIRST, "irtt", "client", "-Q", *wish)
    told, problem = asked.communicate(timeout=30)
    assert asked.returncode == 0, problem
    report = report_of(call)
    server.terminate()
    trips = json.loads(told[told.index("{") :])["round_trips"]
    times = sorted(trip["delay"]["rtt"] / 1e9 for trip in trips if trip["lost"] == "false")
    # Its own timer ends it; each packet that it didn't come to send is one phase less, 0.1 ms of a swing of 15.
    assert PACKETS - 3 <= len(times) == len(trips) <= PACKETS + 1
    assert report["echo"]["rtt"]["samples"] == report["echo"]["sent"] == 2 * PACKETS
    return report["echo"]["rtt"], times


def _quantile(ordered: list[float], share: float) -> float:
    """Return the nearest rank."""
    return ordered[math.ceil(share * len(ordered)) - 1]


def test_round_trip_time_is_irtt_s(cable: Any, report_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """On a bare cable, same packet size and interval: medians within 0.2 ms, 95th percentiles within 0.5 ms.

    A cable has no tail of its own: there the percentile is what the machine's other work did to either room's process.
    """
    cable.start_room("echo_room.py")
    ours, theirs = _at_once(cable, report_of, rtp_port=40000, irtt_port=2112)
    _show(capsys, "cable", ours, theirs)
    assert ours["median"] == pytest.approx(_quantile(theirs, 0.5), abs=0.0002)
    assert ours["p95"] == pytest.approx(_quantile(theirs, 0.95), abs=0.0005)


def test_round_trip_time_over_a_long_unsteady_way_is_irtt_s(
    cable: Any, report_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The delay swings between 20 and 35 ms: medians and 95th percentiles within 0.5 ms.

    Both see whole periods, 11 and 22, and 151 phases evenly spread over 15 ms: a quantile is known to 0.1 ms. The rest
    is for the processor's queue, which no relay in a process is free of.
    """
    cable.start_room("echo_room.py")
    cable.start_room("far_way.py", 40000, 42112, 2112, port=41000)
    ours, theirs = _at_once(cable, report_of, rtp_port=41000, irtt_port=42112)
    _show(capsys, "long way", ours, theirs)
    assert ours["p95"] - ours["median"] > 0.005  # unsteady indeed
    assert ours["median"] == pytest.approx(_quantile(theirs, 0.5), abs=0.0005)
    assert ours["p95"] == pytest.approx(_quantile(theirs, 0.95), abs=0.0005)


def _show(capsys: pytest.CaptureFixture[str], way: str, ours: dict[str, float], theirs: list[float]) -> None:
    with capsys.disabled():
        print(  # noqa: T201 - the closing note quotes it
            f"\n{way}: median {ours['median'] * 1e3:.3f} ms (irtt {_quantile(theirs, 0.5) * 1e3:.3f}),"
            f" p95 {ours['p95'] * 1e3:.3f} ms (irtt {_quantile(theirs, 0.95) * 1e3:.3f})"
        )

"""Loss of many calls at once, each in its mode's exact sense, against the kernel's own list of what it dropped.

nftables drops at random or in bursts, counts, and notes each dropped packet's SSRC and sequence number. From that list
follows what each call must say: to the packet, with no tolerance. Wireshark reads the same calls from a capture.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = [pytest.mark.root, pytest.mark.peer("ip", "nft", "tshark")]

TALKER_PORT = 40002
SHAPES, WAYS = ("random", "bursts"), ("towards", "back", "both")
Case = tuple[float, str, str]
MATRIX = [(share, way, shape) for share in (0.1, 1, 5, 20) for way in WAYS for shape in SHAPES]


class Size(NamedTuple):
    """How many calls of each mode, how long, and how many packets a talking room sends in that time."""

    calls: int
    seconds: float
    talked: int


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Collect a line of each case; in the end they are shown, whatever pytest captures."""
    lines: list[str] = []
    yield lines
    manager = request.config.pluginmanager.getplugin("capturemanager")
    titles = "wanted way     shape  | sent→ dropped→ | sent← dropped← | echo lost  in lost out lost | jitter off by"
    with manager.global_and_fixture_disabled():
        print("", titles, *lines, sep="\n")  # noqa: T201 - the closing note quotes it


@pytest.mark.parametrize("case", [(1, "both", "random"), (5, "both", "bursts")], ids=str)
def test_loss_in_each_mode_is_exactly_what_the_kernel_dropped(
    cable: Any, tmp_path: Path, table: list[str], case: Case
) -> None:
    """A dozen calls of three seconds in either mode, both directions lossy."""
    _measure(cable, tmp_path, table, case, Size(12, 3.0, 110))


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_loss_over_the_whole_matrix(cable: Any, tmp_path: Path, table: list[str], case: Case) -> None:
    """Forty calls of six seconds in either mode: 0.1 % of 12,000 packets is a dozen."""
    _measure(cable, tmp_path, table, case, Size(40, 6.0, 240))


def _measure(cable: Any, scratch: Path, table: list[str], case: Case, size: Size) -> None:
    """Call echo and talking rooms at once through the loss, and hold each call to what was dropped of it."""
    share, way, shape = case
    chance = random.Random(f"{case}")
    losses = {
        side: 0 if way not in ("both", side) else round(share * 10) if shape == "random" else _bursts(share, chance)
        for side in ("towards", "back")
    }
    cable.start_room("echo_room.py")
    room = cable.start_room("talking_room.py", size.talked, 5, port=TALKER_PORT)
    cable.drop(**losses)
    common = {"duration_seconds": size.seconds}
    plans: list[dict[str, Any]] = [
        {"ssrc": ssrc, "first_seq": chance.randrange(1 << 16), "rtp_port": TALKER_PORT if talks else 40000, **common}
        for talks in (False, True)
        for ssrc in chance.sample(range(1 << 32), size.calls)
    ]
    capture = scratch / "arrived.pcap"
    dumpcap = cable.capture(cable.ours, cable.our_interface, f"udp src port {TALKER_PORT}", capture)
    # All talkers share an address and a port: only a local port of its own tells one's stream from another's.
    caller = cable.calls(scratch / "job.json", plans, rows=len(plans), port_pairs=len(plans))
    out, problem = caller.communicate(timeout=60)
    assert out, problem
    told = json.loads(out.splitlines()[-1])
    room.terminate()
    dumpcap.terminate()
    dumpcap.wait(10)
    heard = {tuple(map(int, line.split())) for line in room.communicate()[0].splitlines()}

    towards, back = cable.dropped_packets()
    counted = cable.dropped()
    assert counted == tuple(sum(map(len, side.values())) for side in (towards, back))  # the list is whole
    assert [count > 0 for count in counted] == [bool(loss) for loss in losses.values()]
    assert (told["stats"]["short_sends"], told["stats"]["socket_overflows"]) == (0, 0)
    streams = _wireshark(capture)
    lost = {"echo": 0, "inbound": 0, "outbound": 0}
    worst = 0.0
    for plan, report in zip(plans, told["reports"], strict=True):
        ssrc = plan["ssrc"]
        if plan["rtp_port"] == TALKER_PORT:
            _check_outbound(plan, report["peer"], towards.get(ssrc, set()), heard)
            _check_inbound(ssrc, report["inbound"], back.get(ssrc ^ 0xFFFFFFFF, set()), size.talked)
            worst = max(worst, _check_wireshark(report["inbound"], streams[ssrc ^ 0xFFFFFFFF]))
            assert report["echo"] is None
            lost["inbound"] += report["inbound"]["lost"]
            lost["outbound"] += report["peer"]["packets_lost"]
        else:
            dropped = len(towards.get(ssrc, set())) + len(back.get(ssrc, set()))
            sent = round(size.seconds * 50)
            echo = report["echo"]
            assert (echo["sent"], echo["lost"], echo["received"]) == (sent, dropped, sent - dropped)
            assert (report["inbound"], report["peer"]) == (None, None)
            lost["echo"] += dropped
    sent = round(size.seconds * 50) * size.calls
    returned = sent - sum(len(towards.get(plan["ssrc"], ())) for plan in plans if plan["rtp_port"] != TALKER_PORT)
    table.append(
        f"{share:4} % {way:7} {shape:6} | {2 * sent:5} {counted[0]:8} | {returned + size.talked * size.calls:5}"
        f" {counted[1]:8} | {lost['echo']:9} {lost['inbound']:8} {lost['outbound']:8} | {worst * 1e6:4.1f} µs"
    )


def _bursts(share: float, chance: random.Random) -> list[tuple[int, int]]:
    """Return ranges of sequence numbers that hold so many per cent of all."""
    shortest, longest = (2, 4) if share < 1 else (2, 20)
    pause = (shortest + longest) / 2 * (100 / share - 1)
    bursts, place = [], round(chance.expovariate(1 / pause))
    while place < (1 << 16) - longest:
        bursts.append((place, place + chance.randint(shortest, longest) - 1))
        place = bursts[-1][1] + 2 + round(chance.expovariate(1 / pause))
    return bursts


def _check_outbound(plan: dict[str, Any], peer: dict[str, Any], dropped: set[int], heard: set[tuple[int, ...]]) -> None:
    """Packets up to the last report's highest number; a receiver can't know of losses before its first packet."""
    sent = round(plan["duration_seconds"] * 50)
    lost = [(plan["first_seq"] + place) % 65536 in dropped for place in range(sent)]
    reported, first = peer["packets_reported"], lost.index(False)
    assert 0.9 * sent <= reported <= sent
    assert not lost[reported - 1]
    assert peer["packets_lost"] == sum(lost[first:reported])
    assert (plan["ssrc"], plan["first_seq"] + reported - 1, peer["packets_lost"]) in heard


def _check_inbound(ssrc: int, inbound: dict[str, Any], dropped: set[int], sent: int) -> None:
    """First to last received, by the room's own numbers."""
    lost = [((ssrc & 0xFFFF) + place) % 65536 in dropped for place in range(sent)]
    first, end = lost.index(False), sent - lost[::-1].index(False)
    assert inbound["ssrc"] == ssrc ^ 0xFFFFFFFF
    assert (inbound["expected"], inbound["lost"]) == (end - first, sum(lost[first:end]))
    assert inbound["received"] == end - first - inbound["lost"]


def _check_wireshark(inbound: dict[str, Any], stream: dict[str, str]) -> float:
    """Same packets, same loss; return by how much the mean jitter differs, in seconds."""
    assert (int(stream["Pkts"]), int(stream["Lost"])) == (inbound["received"], inbound["lost"])
    theirs = float(stream["Mean Jitter(ms)"]) / 1000
    assert inbound["jitter_seconds"] == pytest.approx(theirs, rel=0, abs=1e-5)
    return float(abs(inbound["jitter_seconds"] - theirs))


def _wireshark(capture: Path) -> dict[int, dict[str, str]]:
    """Return ``rtp,streams`` by SSRC, each as title → value."""
    command = ["tshark", "-r", str(capture), "-d", f"udp.port=={TALKER_PORT},rtp", "-q", "-z", "rtp,streams"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    titles = (
        *("Start time", "End time", "Src IP", "Port", "Dest IP", "Dest port", "SSRC", "Payload", "Pkts", "Lost", "%"),
        *("Min Delta(ms)", "Mean Delta(ms)", "Max Delta(ms)", "Min Jitter(ms)", "Mean Jitter(ms)", "Max Jitter(ms)"),
    )
    streams = {}
    for line in told.splitlines():
        if " 0x" in line:
            values = dict(zip(titles, line.replace("%)", "").replace("(", " ").split(), strict=False))
            streams[int(values["SSRC"], 16)] = values
    return streams

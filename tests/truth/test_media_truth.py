"""The media engine's figures against truth that it has no part in: the kernel's drop counters and Wireshark.

Own stream and room stand in two network namespaces; the rooms are scripts that share no code with the package.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.peer("ip", "nft")]

OUR_FAULTS_OF_COUNTING = {"short_send", "socket_overflow"}


def test_echo_loss_is_exactly_what_the_kernel_dropped(cable: Any, report_of: Any) -> None:
    """In echo mode both directions count, over the wrap of sequence numbers and timestamps."""
    cable.start_room("echo_room.py")
    cable.drop(towards=40, back=60)
    report = report_of(cable.call(duration_seconds=8.0))
    towards, back = cable.dropped()
    assert towards > 0
    assert back > 0
    assert not OUR_FAULTS_OF_COUNTING & set(report["invalid"])
    assert report["echo"]["sent"] == report["packets_sent"] == 400
    assert report["echo"]["lost"] == towards + back
    assert report["echo"]["received"] == 400 - towards - back
    assert report["echo"]["duplicates"] == report["echo"]["reordered"] == 0
    assert report["inbound"] is None


def test_both_directions_apart_are_exactly_what_the_kernel_dropped(cable: Any, report_of: Any) -> None:
    """Inbound from the room's own numbers, first to last received; outbound from its reports, up to the highest."""
    packets, first, theirs = 300, 500, 0x5678
    cable.start_room("talking_room.py", packets, 0)
    cable.drop(towards=50, back=80, spare=(first, first + 299, theirs, theirs + packets - 1))
    report = report_of(cable.call(duration_seconds=6.0, first_seq=first, report_coverage=1.0))
    towards, back = cable.dropped()
    assert towards > 0
    assert back > 0
    assert not OUR_FAULTS_OF_COUNTING & set(report["invalid"])
    assert report["echo"] is None
    inbound, peer = report["inbound"], report["peer"]
    assert (inbound["expected"], inbound["lost"], inbound["received"]) == (packets, back, packets - back)
    assert (peer["packets_reported"], peer["packets_lost"]) == (report["packets_sent"], towards)
    assert report["packets_sent"] == 300


@pytest.mark.peer("tshark")
def test_jitter_and_loss_are_wireshark_s(cable: Any, report_of: Any, tmp_path: Path) -> None:
    """A capture of the same packets, read by tshark: same loss, same mean and maximum of RFC 3550's jitter."""
    packets = 300
    capture = tmp_path / "room.pcap"
    cable.start_room("talking_room.py", packets, 15)
    cable.drop(towards=0, back=50, spare=(0x5678, 0x5678 + packets - 1))
    dumpcap = cable.capture(cable.ours, cable.our_interface, "udp src port 40000", capture)
    report = report_of(cable.call(duration_seconds=6.0))
    time.sleep(0.3)
    dumpcap.terminate()
    dumpcap.wait(10)
    line = _rtp_stream(capture)
    inbound = report["inbound"]
    assert int(line["Pkts"]) == inbound["received"]
    assert int(line["Lost"].split()[0]) == inbound["lost"] == cable.dropped()[1] > 0
    assert inbound["jitter_seconds"] > 0.002  # the room is unsteady indeed
    assert inbound["jitter_seconds"] == pytest.approx(float(line["Mean Jitter(ms)"]) / 1000, rel=0.02, abs=2e-5)
    assert inbound["jitter_max_seconds"] == pytest.approx(float(line["Max Jitter(ms)"]) / 1000, rel=0.02, abs=2e-5)


def test_large_packets_are_lost_where_the_path_is_narrow(cable: Any, report_of: Any) -> None:
    """They leave whole, with DF set, so a path that carries speech but no video shows itself."""
    cable.start_room("echo_room.py")
    cable.narrow(1000)
    echo = report_of(cable.call(duration_seconds=1.0, large_packets=5))["echo"]
    assert (echo["sent"], echo["lost"]) == (50, 0)
    assert (echo["large_sent"], echo["large_received"]) == (5, 0)


@pytest.mark.peer("tshark")
def test_what_we_send_is_marked_and_never_fragmented(cable: Any, report_of: Any, tmp_path: Path) -> None:
    """Every RTP and RTCP packet has the plan's DSCP and DF, as Wireshark sees them at the room's end."""
    capture = tmp_path / "ours.pcap"
    cable.start_room("echo_room.py")
    dumpcap = cable.capture(cable.room, cable.room_interface, "udp dst portrange 40000-40001", capture)
    report = report_of(cable.call(duration_seconds=1.2, large_packets=2, dscp=34))
    time.sleep(0.3)
    dumpcap.terminate()
    dumpcap.wait(10)
    fields = ["-e", "udp.dstport", "-e", "ip.dsfield.dscp", "-e", "ip.flags.df", "-e", "ip.flags.mf", "-e", "ip.len"]
    command = ["tshark", "-r", str(capture), "-T", "fields", *fields]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seen = [tuple(line.split("\t")) for line in told.splitlines()]
    assert {row[1:4] for row in seen} == {("34", "1", "0")}
    assert [row[4] for row in seen if row[0] == "40000"] == ["200"] * 60 + ["1320"] * 2
    assert report["echo"]["large_received"] == 2
    assert len([row for row in seen if row[0] == "40001"]) == 2  # after a second, and the last with BYE


def _rtp_stream(capture: Path) -> dict[str, str]:
    """Return the one line of ``rtp,streams`` as title → value."""
    command = ["tshark", "-r", str(capture), "-d", "udp.port==40000,rtp", "-q", "-z", "rtp,streams"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in told.splitlines() if "0xEDCBA987" in line]
    values = line.replace("%)", "").replace("(", " ").split()
    titles = (
        *("Start time", "End time", "Src IP", "Port", "Dest IP", "Dest port", "SSRC", "Payload", "Pkts", "Lost", "%"),
        *("Min Delta(ms)", "Mean Delta(ms)", "Max Delta(ms)", "Min Jitter(ms)", "Mean Jitter(ms)", "Max Jitter(ms)"),
    )
    return dict(zip(titles, values, strict=False))

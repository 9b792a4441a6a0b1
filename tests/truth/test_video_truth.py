"""Video on the wire against truth that the package has no part in: the kernel's counters, Wireshark and FFmpeg."""

from __future__ import annotations

import functools
import hashlib
import pickle
import subprocess
import time
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import pytest

from bridge_monitor.net import testcard
from bridge_monitor.net.testcard import Card

pytestmark = [pytest.mark.root, pytest.mark.peer("ip", "nft")]

FIRST = 65400
BOTH_RATES = [pytest.param(1_000_000, marks=pytest.mark.full), 2_000_000]


@functools.cache
def _encoded(bitrate_bps: int) -> Card:
    return testcard.encode("Hội nghị trực tuyến toàn quốc", bitrate_bps, 25)


@pytest.fixture(params=[1_000_000])
def card(request: pytest.FixtureRequest) -> Card:
    return _encoded(request.param)


@pytest.fixture
def card_file(card: Card, tmp_path: Path) -> Path:
    path = tmp_path / "card"
    path.write_bytes(pickle.dumps(card))
    return path


def counts_of(card: Card) -> list[int]:
    return [len(payloads) for payloads in card.packets()]


def numbers(places: set[int], first: int = FIRST) -> list[tuple[int, int]]:
    """Return the sequence numbers of packets as ranges of one."""
    return [((first + place) % 65536,) * 2 for place in sorted(places)]


def pictures_hit(counts: list[int], lost: set[int]) -> int:
    """Return how many of the pictures, of so many packets each, have a lost packet."""
    ends = list(accumulate(counts))
    return sum(not lost.isdisjoint(range(end - count, end)) for end, count in zip(ends, counts, strict=True))


@pytest.mark.parametrize("card", BOTH_RATES, indirect=True)
@pytest.mark.peer("tshark")
def test_each_second_carries_its_rate_by_the_kernel_s_and_wireshark_s_count(
    cable: Any, report_of: Any, card: Card, card_file: Path, tmp_path: Path
) -> None:
    """Headers of IP, UDP and RTP among it; every packet whole, with DF and its mark, of 1,350 bytes at most."""
    capture = tmp_path / "room.pcap"
    cable.start_room("echo_room.py")
    cable.cut_early()
    dumpcap = cable.capture(cable.room, cable.room_interface, "udp dst port 40000", capture)
    packets_before, bytes_before = cable.sent_bytes()
    report = report_of(cable.call_video(card_file, bitrate_bps=card.bitrate_bps))
    packets_after, bytes_after = cable.sent_bytes()
    time.sleep(0.3)
    dumpcap.terminate()
    dumpcap.wait(10)

    sent = packets_after - packets_before
    rate = (bytes_after - bytes_before - 14 * sent) * 8 / 4  # with a handful of RTCP and ARP
    assert rate == pytest.approx(card.bitrate_bps, rel=0.03)

    names = ("ip.len", "ip.flags.df", "ip.flags.mf", "ip.dsfield.dscp", "rtp.timestamp", "rtp.marker", "rtp.p_type")
    seen = _fields(capture, *names)
    assert len(seen) == report["packets_sent"] == sum(counts_of(card))
    assert max(int(row["ip.len"]) for row in seen) == 1350 + 28
    # Wireshark 4.2 and later says True for 1.
    facts = {(row["ip.flags.df"], row["ip.flags.mf"], row["ip.dsfield.dscp"], row["rtp.p_type"]) for row in seen}
    assert facts <= {("1", "0", "34", "96"), ("True", "False", "34", "96")}
    assert len(facts) == 1
    seconds: Counter[int] = Counter()
    for row in seen:
        seconds[(int(row["rtp.timestamp"]) - 2**32 + 90_000) % 2**32 // 90_000] += int(row["ip.len"]) * 8
    assert sorted(seconds) == [0, 1, 2, 3]
    assert all(bits == pytest.approx(card.bitrate_bps, rel=0.03) for bits in seconds.values())
    assert sum(row["rtp.marker"] in {"1", "True"} for row in seen) == report["video"]["frames_sent"] == 100


def test_a_picture_s_packets_leave_in_one_system_call_s_entry(
    cable: Any, report_of: Any, card: Card, card_file: Path
) -> None:
    """The kernel counts what it was given: hardly more than a datagram a picture, where four times as many arrive."""
    cable.start_room("echo_room.py")
    report = report_of(cable.call_video(card_file, bitrate_bps=card.bitrate_bps))
    reports = 3  # after 1 s and 3.5 s, and with BYE
    assert cable.udp_sent() - reports <= 1.1 * report["video"]["frames_sent"]
    assert report["packets_sent"] == sum(counts_of(card)) > 4 * report["video"]["frames_sent"]
    assert (report["echo"]["sent"], report["echo"]["lost"]) == (report["packets_sent"], 0)
    assert report["video"]["echoed_frames"]["complete"] == 100


def test_loss_of_packets_and_pictures_is_exactly_what_the_kernel_dropped(
    cable: Any, report_of: Any, card: Card, card_file: Path
) -> None:
    cable.start_room("echo_room.py")
    cable.cut_early()
    cable.drop(towards=20, back=30)
    report = report_of(cable.call_video(card_file, bitrate_bps=card.bitrate_bps))
    towards, back = cable.dropped()
    assert towards > 0
    assert back > 0
    assert report["echo"]["sent"] == report["packets_sent"]
    assert report["echo"]["lost"] == towards + back
    lost = {(number - FIRST) % 65536 for side in cable.dropped_packets() for lot in side.values() for number in lot}
    assert len(lost) == towards + back
    assert report["video"]["echoed_frames"]["lost"] == pictures_hit(counts_of(card), lost)


def test_loss_of_pictures_and_bursts_are_exactly_those_that_were_made(
    cable: Any, report_of: Any, card: Card, card_file: Path
) -> None:
    """Runs of three packets towards the room, single ones back; over the wrap of the sequence numbers."""
    counts = counts_of(card)
    towards = {start + place for start in range(20, 420, 40) for place in range(3)}
    back = set(range(33, 433, 50))
    cable.start_room("echo_room.py")
    cable.cut_early()
    cable.drop(towards=numbers(towards), back=numbers(back))
    report = report_of(cable.call_video(card_file, bitrate_bps=card.bitrate_bps))
    assert cable.dropped() == (len(towards), len(back))
    lost = towards | back
    assert report["echo"]["lost"] == len(lost)
    frames = report["video"]["echoed_frames"]
    assert (frames["expected"], frames["lost"]) == (100, pictures_hit(counts, lost))
    runs = sum(number - 1 not in lost for number in lost)
    burst_ratio = len(lost) / runs * (1 - len(lost) / report["packets_sent"])
    assert report["echo"]["burst_ratio"] == pytest.approx(burst_ratio)


def test_the_room_s_own_pictures_are_those_that_arrived(
    cable: Any, report_of: Any, card: Card, card_file: Path
) -> None:
    """First, middle and last packets of pictures are dropped, and whole pictures; each is told."""
    counts = [3 + number % 4 for number in range(90)]
    ends = list(accumulate(counts))
    lost = {
        ends[9],  # a first packet
        ends[20] + 1,  # a middle one
        ends[30] - 1,  # a last one
        *range(ends[40], ends[42]),  # two whole pictures
        *range(ends[50] - 1, ends[51]),  # a last packet and the whole picture after it
        *range(ends[60] - 1, ends[60] + 1),  # from one picture's end into the next one
    }
    cable.start_room("showing_room.py", 90)
    cable.drop(towards=0, back=numbers(lost, 2000))
    report = report_of(
        cable.call_video(card_file, bitrate_bps=card.bitrate_bps, report_wait_seconds=0.0, duration_seconds=4.0)
    )
    assert cable.dropped()[1] == len(lost)
    inbound, frames = report["inbound"], report["video"]["inbound_frames"]
    assert (inbound["expected"], inbound["lost"]) == (sum(counts), len(lost))
    assert (frames["expected"], frames["lost"]) == (90, pictures_hit(counts, lost))
    assert frames["lost"] == 9
    assert frames["frame_rate"] == pytest.approx(30, rel=1e-6)
    assert frames["bytes"] == inbound["received"] * 1002
    assert report["video"]["echoed_frames"] is None


def test_a_narrow_path_loses_the_large_packets_alone(cable: Any, report_of: Any, card: Card, card_file: Path) -> None:
    cable.start_room("echo_room.py")
    cable.cut_early()
    cable.narrow(1000)
    report = report_of(cable.call_video(card_file, bitrate_bps=card.bitrate_bps))
    small = sum(len(payload) + 40 <= 1000 for payloads in card.packets() for payload in payloads)
    assert 0 < report["echo"]["received"] == small < report["packets_sent"] / 2
    assert report["video"]["echoed_frames"]["lost"] > 90


@pytest.mark.parametrize("card", BOTH_RATES, indirect=True)
def test_the_far_side_s_decoder_shows_our_card(cable: Any, report_of: Any, card: Card, card_file: Path) -> None:
    """FFmpeg receives, puts the packets together and decodes: each picture is the card's, over its seam."""
    wanted = 140
    room = cable.start_room("watching_room.py", wanted)
    time.sleep(1.0)  # it opens its port after it says so
    report = report_of(
        cable.call_video(card_file, bitrate_bps=card.bitrate_bps, report_wait_seconds=0.0, duration_seconds=6.2)
    )
    shown, problem = room.communicate(timeout=30)
    assert report["invalid"] == []
    assert room.returncode == 0, problem
    context = av.CodecContext.create("h264", "r")
    pictures = [picture for frame in card.frames for picture in context.decode(av.Packet(frame))]
    pictures += context.decode(None)
    ours = [hashlib.sha256(picture.to_ndarray().tobytes()).hexdigest() for picture in pictures]
    assert len(ours) == 100
    assert shown.split() == (ours * 2)[:wanted]


@pytest.mark.peer("tshark")
def test_wireshark_takes_every_packet_for_h264(
    cable: Any, report_of: Any, card: Card, card_file: Path, tmp_path: Path
) -> None:
    capture = tmp_path / "room.pcap"
    cable.start_room("echo_room.py")
    cable.cut_early()
    dumpcap = cable.capture(cable.room, cable.room_interface, "udp dst port 40000", capture)
    report = report_of(cable.call_video(card_file, bitrate_bps=card.bitrate_bps))
    time.sleep(0.3)
    dumpcap.terminate()
    dumpcap.wait(10)
    names = ("h264.nal_unit_hdr", "h264.profile_idc", "h264.level_id", "_ws.malformed")
    seen = _fields(capture, *names)
    assert len(seen) == report["packets_sent"]
    assert not any(row["_ws.malformed"] for row in seen)
    kinds = {row["h264.nal_unit_hdr"].split(",")[0] for row in seen}
    assert kinds <= {"1", "5", "6", "24", "28"}
    assert {"24", "28"} <= kinds
    profiles = [(row["h264.profile_idc"], row["h264.level_id"]) for row in seen if row["h264.profile_idc"]]
    assert profiles == [("66", "31")] * 2  # before each IDR picture


def _fields(capture: Path, *names: str) -> list[dict[str, str]]:
    """Return, for each packet, what Wireshark reads in it."""
    command = ["tshark", "-r", str(capture), "-d", "udp.port==40000,rtp", "-d", "rtp.pt==96,h264", "-T", "fields"]
    command += [word for name in names for word in ("-e", name)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [dict(zip(names, line.split("\t"), strict=True)) for line in told.splitlines()]

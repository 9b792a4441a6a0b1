"""`net.engine.levels`: how loud a room is, from its own packets on real sockets in virtual time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bridge_monitor.net.engine.plan import StreamPlan

Plan = Callable[..., StreamPlan]

SILENCE = b"\xff" * 160
MILLIWATT = bytes.fromhex("1e0b0b1e9e8b8b9e") * 20  # ITU-T G.711 table 6: −6.05 dBov
MILLIWATT_A = bytes.fromhex("34212134b4a1a1b4") * 20  # table 5: −6.01 dBov


def packet(number: int, payload: bytes, *, payload_type: int = 0, first: int = 0x80, ssrc: int = 0xFEED) -> bytes:
    """Build a packet by hand, after the picture in RFC 3550 §5.1."""
    return struct.pack("!BBHII", first, payload_type, number & 0xFFFF, 160 * number, ssrc) + payload


@pytest.fixture
def hear(station: Any, new_peer: Any, plan_for: Plan) -> Callable[..., Any]:
    """Return ``hear(datagrams, **plan)``: the level of a call to a room that sends them."""

    def run(datagrams: Iterable[bytes], **changes: Any) -> Any:
        peer, sent = new_peer(), list(datagrams)
        station.begin(0, plan_for(peer, duration_seconds=len(sent) * 0.02 + 0.1, report_wait_seconds=0.3, **changes))
        for data in sent:
            peer.rtp.sendto(data, ("127.0.0.1", station.pairs[0].port))
            station.run(0.02, peer)
        station.run(2, peer)
        return station.report(0)

    return run


@pytest.mark.parametrize(("payload", "kind", "level"), [(MILLIWATT, 0, -6.045), (MILLIWATT_A, 8, -6.015)])
def test_a_tone_has_its_level_in_either_codec(hear: Any, payload: bytes, kind: int, level: float) -> None:
    told = hear(packet(number, payload, payload_type=kind) for number in range(65500, 65564)).level
    assert told.mean_dbov == told.loudest_dbov == pytest.approx(level, abs=0.001)
    assert told.active_ratio == 1
    assert told.packets == pytest.approx(8, abs=1.5), "one in eight, also over the wrap"


def test_sound_in_half_of_the_call_is_half_as_much_and_active_for_half_of_it(hear: Any) -> None:
    told = hear(packet(number, MILLIWATT if number < 200 else SILENCE) for number in range(400)).level
    assert told.packets == pytest.approx(50, abs=2.5)
    assert told.active_ratio == pytest.approx(0.5, abs=0.03)
    assert told.mean_dbov == pytest.approx(-6.045 - 3.01, abs=0.3)
    assert told.loudest_dbov == pytest.approx(-6.045, abs=0.001)


def test_digital_silence_is_minus_127(hear: Any) -> None:
    told = hear(packet(number, SILENCE) for number in range(60)).level
    assert (told.mean_dbov, told.loudest_dbov, told.active_ratio) == (-127, -127, 0)


def test_our_own_echo_has_no_level(station: Any, new_peer: Any, plan_for: Plan) -> None:
    """It says nothing of the room, whatever we sent."""
    peer = new_peer()
    peer.echo()
    station.begin(0, plan_for(peer, tone=True))
    station.run(2, peer)
    report = station.report(0)
    assert report.echo.received == 50
    assert report.level is None


def test_the_payload_is_found_behind_extension_and_sources_and_before_padding(hear: Any) -> None:
    """RFC 3550 §5.1 and §5.3.1: what surrounds the audio isn't heard; here it would be loud."""
    loud = b"\x00\x00\x00\x00"
    around = {
        0x81: (loud, b""),
        0x90: (struct.pack("!HH", 0xBEDE, 1) + loud, b""),
        0xA0: (b"", b"\x00\x00\x00\x04"),
    }
    kinds = list(around)

    def build() -> Iterable[bytes]:
        for number in range(120):
            first = kinds[number % 3]
            before, after = around[first]
            yield packet(number, before + SILENCE + after, first=first)

    report = hear(build())
    assert report.inbound.received == 120
    assert report.level.packets == pytest.approx(15, abs=1.5)
    assert report.level.loudest_dbov == -127


def test_packets_of_any_length_weigh_by_their_samples(hear: Any) -> None:
    """Tone of 10 ms between silence of 30 ms is a quarter of the time."""
    told = hear(packet(n, MILLIWATT[:80] if n % 2 else b"\xff" * 240) for n in range(400)).level
    assert told.mean_dbov == pytest.approx(-6.045 - 6.02, abs=0.4)


def test_comfort_noise_is_as_loud_as_it_says(hear: Any) -> None:
    """RFC 3389: its first byte is the level; all of it is looked at, since it is sparse."""
    types = {"accepted_payload_types": (0, 13)}
    told = hear((packet(number, bytes([50, 3, 4]), payload_type=13) for number in range(10)), **types).level
    assert told.packets == 10
    assert told.mean_dbov == pytest.approx(-50)


def test_an_empty_packet_says_nothing(hear: Any) -> None:
    report = hear(packet(number, b"") for number in range(30))
    assert report.inbound.received == 30
    assert report.level is None


def test_what_was_not_agreed_on_is_not_measured(hear: Any) -> None:
    """A-law where μ-law was agreed would be misread as noise; another codec is no G.711 at all."""
    kinds = {0: 8, 1: 9, 2: 0}
    datagrams = (packet(n, SILENCE if n % 3 == 2 else MILLIWATT_A, payload_type=kinds[n % 3]) for n in range(240))
    told = hear(datagrams, accepted_payload_types=(0, 9)).level
    assert told.packets == pytest.approx(10, abs=2)
    assert told.loudest_dbov == -127


def test_a_row_used_again_begins_anew(hear: Any, station: Any, new_peer: Any, plan_for: Plan) -> None:
    assert hear(packet(number, MILLIWATT) for number in range(60)).level is not None
    station.ends.clear()
    peer = new_peer()
    station.begin(0, plan_for(peer, report_wait_seconds=0.1))
    station.run(1.5, peer)
    assert station.report(0).level is None


def test_rooms_in_one_batch_keep_their_levels_apart(new_station: Any, new_peer: Any, plan_for: Plan) -> None:
    station = new_station(rows=4, port_pairs=1, read_seconds=0.1)
    loud, quiet = new_peer(), new_peer()
    station.begin(0, plan_for(loud, ssrc=1, duration_seconds=1.8, report_wait_seconds=0.3))
    station.begin(1, plan_for(quiet, ssrc=2, duration_seconds=1.8, report_wait_seconds=0.3))
    for number in range(80):
        for peer, payload, ssrc in ((loud, MILLIWATT, 11), (quiet, SILENCE, 22)):
            peer.rtp.sendto(packet(number, payload, ssrc=ssrc), ("127.0.0.1", station.pairs[0].port))
        station.run(0.02, loud, quiet)
    station.run(2, loud, quiet)
    one, two = station.report(0).level, station.report(1).level
    assert one.packets == two.packets == pytest.approx(10, abs=1.5)
    assert one.mean_dbov == pytest.approx(-6.045, abs=0.001)
    assert two.mean_dbov == -127

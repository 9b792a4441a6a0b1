"""`rtp.level` against ITU-T G.711's own tones, RFC 6464's reference and independent decoders."""

from __future__ import annotations

import math
import struct
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bridge_monitor.rtp.level import (
    DIGITAL_SILENCE_DBOV,
    SAMPLED,
    SAMPLED_SHARE,
    active,
    comfort_noise_powers,
    dbov,
    linear,
    powers,
    summarise,
)

# ITU-T G.711 tables 5 and 6: one period of 1 kHz at 0 dBm0.
MILLIWATT = {"PCMA": bytes.fromhex("34212134b4a1a1b4"), "PCMU": bytes.fromhex("1e0b0b1e9e8b8b9e")}
# Its table 1a and 2a, a value of each segment: byte as sent → value of the decoder's output.
A_LAW = {0xD5: 1, 0xD4: 3, 0x55: -1, 0xDA: 31, 0xC5: 33, 0xCA: 63, 0xF5: 66, 0xE5: 132, 0x95: 264, 0x85: 528}
A_LAW |= {0xB5: 1056, 0xA5: 2112, 0xAA: 4032, 0x2A: -4032}
MU_LAW = {0xFF: 0, 0x7F: 0, 0xFE: 2, 0x7E: -2, 0xF0: 30, 0xEF: 33, 0xDF: 99, 0xCF: 231, 0xBF: 495, 0xAF: 1023}
MU_LAW |= {0x9F: 2079, 0x8F: 4191, 0x80: 8031, 0x00: -8031}


def packet(payload: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(payload, np.uint8)[None]


def level(codec: str, payload: bytes) -> float:
    return dbov(float(powers(codec, packet(payload))[0]))


class TestG711:
    @pytest.mark.parametrize(("codec", "table"), [("PCMA", A_LAW), ("PCMU", MU_LAW)])
    def test_a_byte_stands_for_the_value_of_the_table(self, codec: str, table: dict[int, int]) -> None:
        assert {code: linear(codec, code) for code in table} == table

    @pytest.mark.parametrize("codec", ["PCMA", "PCMU"])
    def test_values_are_symmetrical_and_rise_with_their_codes(self, codec: str) -> None:
        mask = 0x55 if codec == "PCMA" else 0x7F
        rising = [linear(codec, (code | 0x80) ^ mask) for code in range(128)]
        assert rising == sorted(set(rising))
        assert [linear(codec, code ^ mask) for code in range(128)] == [-value for value in rising]

    @pytest.mark.parametrize(("codec", "expected"), [("PCMU", -6.045), ("PCMA", -6.015)])
    def test_the_digital_milliwatt(self, codec: str, expected: float) -> None:
        """0 dBm0 is 3.17 or 3.14 dB below the largest sine, and that 3.01 dB below the square wave.

        The standard counts from the outermost decision value, RFC 6464 from the largest output.
        """
        capacity, decision, output = {"PCMU": (3.17, 8159, 8031), "PCMA": (3.14, 4096, 4032)}[codec]
        by_the_book = -capacity - 10 * math.log10(2) + 20 * math.log10(decision / output)
        assert level(codec, MILLIWATT[codec] * 20) == pytest.approx(expected, abs=0.001)
        assert level(codec, MILLIWATT[codec] * 20) == pytest.approx(by_the_book, abs=0.01)


class TestRfc6464:
    @pytest.mark.parametrize(("codec", "wave"), [("PCMU", b"\x00\x80"), ("PCMA", b"\x2a\xaa")])
    def test_the_loudest_square_wave_is_0_dbov(self, codec: str, wave: bytes) -> None:
        assert level(codec, wave * 80) == 0

    @pytest.mark.parametrize(("codec", "silence"), [("PCMU", b"\xff\x7f"), ("PCMA", b"\xd5\x55")])
    def test_digital_silence_is_minus_127(self, codec: str, silence: bytes) -> None:
        """A-law has no zero: its smallest values either way are silence."""
        for payload in (silence[:1] * 160, silence[1:] * 160, silence * 80):
            assert level(codec, payload) == DIGITAL_SILENCE_DBOV == -127

    @pytest.mark.parametrize(("codec", "step"), [("PCMU", b"\xfe"), ("PCMA", b"\xd4")])
    def test_a_single_smallest_step_in_the_longest_packet_is_no_silence(self, codec: str, step: bytes) -> None:
        silence = b"\xff" if codec == "PCMU" else b"\xd5"
        assert level(codec, silence * 1439 + step) > -127

    def test_every_power_has_its_level_and_the_least_is_minus_127(self) -> None:
        assert (dbov(0.0), dbov(1e-20), dbov(1.0), dbov(1.0000001)) == (-127, -127, 0, 0)
        assert dbov(1e-6) == pytest.approx(-60)


class TestRfc3389:
    def test_comfort_noise_names_its_level(self) -> None:
        """The first byte is the level in −dBov; its highest bit must be ignored; 127 is silence."""
        named = comfort_noise_powers(np.array([0, 40, 0x80 | 40, 127], np.uint8))
        assert [dbov(power) for power in named.tolist()] == pytest.approx([0, -40, -40, -127])


def test_a_packet_is_active_above_minus_60() -> None:
    assert active(np.array([0.0, 0.99e-6, 1.01e-6, 1.0])).tolist() == [False, False, True, True]


@given(st.sampled_from(["PCMA", "PCMU"]), st.lists(st.binary(min_size=80, max_size=80), min_size=1, max_size=8))
def test_a_batch_has_the_levels_of_its_packets_one_by_one(codec: str, payloads: list[bytes]) -> None:
    """The table against the plain mean of squares."""
    top = linear(codec, 0x80 if codec == "PCMU" else 0xAA)
    batch = powers(codec, np.frombuffer(b"".join(payloads), np.uint8).reshape(-1, 80))
    for power, payload in zip(batch.tolist(), payloads, strict=True):
        plain = sum(linear(codec, byte) ** 2 for byte in payload) / 80 / top**2
        assert power == pytest.approx(plain, rel=1e-5) or {linear(codec, byte) ** 2 for byte in payload} <= {0, 1}


class TestSampling:
    def test_one_packet_in_eight_is_looked_at_without_a_period_also_over_the_wrap(self) -> None:
        assert int(SAMPLED.sum()) == len(SAMPLED) * SAMPLED_SHARE == 8192
        gaps = np.diff(np.flatnonzero(np.tile(SAMPLED, 2)))
        assert set(gaps.tolist()) == {5, 8, 13}
        for period in range(2, 200):
            shares = [SAMPLED[phase::period].mean() for phase in range(period)]
            assert max(shares) < 0.25, period

    def test_any_ten_seconds_of_a_call_have_their_eighth(self) -> None:
        counted = np.convolve(np.tile(SAMPLED, 2), np.ones(500, int), "valid")
        assert (int(counted.min()), int(counted.max())) == (62, 65)


class TestSummary:
    def test_counters_become_levels(self) -> None:
        told = summarise(energy=1e-3 * 160 + 0.1 * 80, samples=240, loudest=0.1, packets=2, active_packets=2)
        assert told is not None
        assert told.mean_dbov == pytest.approx(10 * math.log10((1e-3 * 160 + 0.1 * 80) / 240))
        assert told.loudest_dbov == pytest.approx(-10)
        assert (told.active_ratio, told.packets) == (1.0, 2)

    def test_nothing_looked_at_has_no_level(self) -> None:
        assert summarise(energy=0.0, samples=0, loudest=0.0, packets=0, active_packets=0) is None


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the standard library lost its decoder of G.711")
@given(st.sampled_from(["PCMU", "PCMA"]), st.binary(min_size=160, max_size=160))
def test_levels_are_those_of_another_decoder(codec: str, payload: bytes) -> None:
    """The standard library's C code decodes to 16 bits and takes the root mean square."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop
    decode, top = (audioop.ulaw2lin, 4 * 8031) if codec == "PCMU" else (audioop.alaw2lin, 8 * 4032)
    samples = struct.unpack("160h", decode(payload, 2))
    plain = math.sqrt(math.fsum(sample**2 for sample in samples) / 160)
    assert abs(audioop.rms(decode(payload, 2), 2) - plain) < 1, "it rounds down"
    assert level(codec, payload) == pytest.approx(20 * math.log10(plain / top), abs=1e-4)

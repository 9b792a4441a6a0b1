"""The E-model of ITU-T G.107 (06/2015): transmission rating R and mean opinion score of narrow-band speech.

Owns the formulas with their defaults; must not know where the figures come from. Packet loss is in per cent here and
nowhere else, times are in milliseconds, levels in dB, as the Recommendation writes them.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Final

from bridge_monitor.domain.values import dataclass


@dataclass(frozen=True, slots=True)
class CodecImpairment:
    """A codec's equipment impairment factor and its robustness to random loss (G.113 Appendix I)."""

    ie: float
    bpl: float


G711: Final = CodecImpairment(0, 4.3)
G711_PLC: Final = CodecImpairment(0, 25.1)
"""G.711 with the packet loss concealment of its Appendix I, which room systems and soft clients have."""
G729A_VAD: Final = CodecImpairment(11, 19.0)

NARROW_BAND: Final = MappingProxyType({"PCMU": G711_PLC, "PCMA": G711_PLC, "G729": G729A_VAD})
"""By RTP encoding name. Opus and G.722 are not in it: the narrow-band scale has no place for them."""


@dataclass(frozen=True, slots=True)
class EModelInput:
    """The E-model's parameters, by G.107's symbols, with the defaults of its Table 2.

    Attributes:
        ta: Absolute delay, mouth to ear, ms.
        t: Mean one-way delay of the echo path, ms; 0 where no talker echo is assumed.
        tr: Round-trip delay of the four-wire loop, ms.
        ie: Equipment impairment factor of the codec.
        bpl: Packet-loss robustness factor of the codec.
        ppl: Random packet loss, per cent.
        burst_r: Burst ratio; 1 for random loss.
        advantage: A, what users forgive for the sake of access.
        slr: Send loudness rating.
        rlr: Receive loudness rating.
        stmr: Sidetone masking rating.
        lstr: Listener sidetone rating.
        ds: D-factor of the send side.
        telr: Talker echo loudness rating.
        wepl: Weighted echo path loss.
        qdu: Quantisation distortion units.
        nc: Circuit noise at the 0 dBr point, dBm0p.
        nfor: Noise floor at the receive side, dBmp.
        ps: Room noise at the send side, dB(A).
        pr: Room noise at the receive side, dB(A).
    """

    ta: float = 0.0
    t: float = 0.0
    tr: float = 0.0
    ie: float = 0.0
    bpl: float = 4.3
    ppl: float = 0.0
    burst_r: float = 1.0
    advantage: float = 0.0
    slr: float = 8.0
    rlr: float = 2.0
    stmr: float = 15.0
    lstr: float = 18.0
    ds: float = 3.0
    telr: float = 65.0
    wepl: float = 110.0
    qdu: float = 1.0
    nc: float = -70.0
    nfor: float = -64.0
    ps: float = 35.0
    pr: float = 35.0


def r_factor(given: EModelInput) -> float:
    """Return R = Ro − Is − Id − Ie,eff + A (G.107 equation 7-1)."""
    noise = _noise(given)
    ro = 15 - 1.5 * (given.slr + noise)
    sidetone = _sidetone_impairment(given)
    return (
        ro
        - _simultaneous_impairment(given, noise, ro, sidetone)
        - _delay_impairment(given, noise, ro, sidetone)
        - effective_equipment_impairment(given)
        + given.advantage
    )


def mos_from_r(r: float) -> float:
    """Return MOS-CQE of a rating (G.107 Annex B): 1 to 4.5."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6, 1.0)


def effective_equipment_impairment(given: EModelInput) -> float:
    """Return Ie,eff (G.107 equation 7-29)."""
    if given.ppl <= 0:
        return given.ie
    return given.ie + (95 - given.ie) * given.ppl / (given.ppl / given.burst_r + given.bpl)


def _noise(given: EModelInput) -> float:
    """Return No, the power sum of all noise, dBm0p (7-3 to 7-7)."""
    olr = given.slr + given.rlr
    send = given.ps - given.slr - given.ds - 100 + 0.004 * (given.ps - olr - given.ds - 14) ** 2
    effective_room = given.pr + 10 * math.log10(1 + 10 ** ((10 - given.lstr) / 10))
    receive = given.rlr - 121 + effective_room + 0.008 * (effective_room - 35) ** 2
    floor = given.nfor + given.rlr
    return 10 * math.log10(sum(10 ** (level / 10) for level in (given.nc, send, receive, floor)))


def _sidetone_impairment(given: EModelInput) -> float:
    """Return Ist (7-10, 7-11)."""
    stmr = -10 * math.log10(10 ** (-given.stmr / 10) + math.exp(-given.t / 4) * 10 ** (-given.telr / 10))
    return 12 * _knee((stmr - 13) / 6, 8) - 28 * _knee((stmr + 1) / 19.4, 35) - 13 * _knee((stmr - 3) / 33, 13) + 29


def _simultaneous_impairment(given: EModelInput, noise: float, ro: float, sidetone: float) -> float:
    """Return Is: too loud a connection, sidetone, quantising distortion (7-8 to 7-16)."""
    loudness = (given.slr + given.rlr + 0.2 * (64 + noise - given.rlr)) / 8
    too_loud = 20 * (_knee(loudness, 8) - loudness)
    q = 37 - 15 * math.log10(given.qdu)
    g = 1.07 + 0.258 * q + 0.0602 * q**2
    y = (ro - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    return too_loud + sidetone + 15 * math.log10(1 + 10**y + 10**z)


def _delay_impairment(given: EModelInput, noise: float, ro: float, sidetone: float) -> float:
    """Return Id: talker echo, listener echo, too long a delay (7-17 to 7-28)."""
    listener = ro - 10.5 * (given.wepl + 7) * math.pow(given.tr + 1, -0.25)
    listener_echo = listener / 2 + math.sqrt(listener**2 / 4 + 169)
    return _talker_echo(given, noise, sidetone) + listener_echo + absolute_delay_impairment(given.ta)


def _talker_echo(given: EModelInput, noise: float, sidetone: float) -> float:
    """Return Idte (7-18 to 7-23); below 1 ms an echo is sidetone."""
    if given.t < 1:
        return 0.0
    terv = given.telr - 40 * math.log10((1 + given.t / 10) / (1 + given.t / 150)) + 6 * math.exp(-0.3 * given.t**2)
    if given.stmr < 9:
        terv += sidetone / 2
    difference = -1.5 * (noise - given.rlr) - (80 + 2.5 * (terv - 14))
    echo = (difference / 2 + math.sqrt(difference**2 / 4 + 100) - 1) * (1 - math.exp(-given.t))
    return math.hypot(echo, sidetone) if given.stmr > 20 else echo


def absolute_delay_impairment(ta: float) -> float:
    """Return Idd (7-27) for an absolute delay in ms, at the default delay sensitivity."""
    if ta <= 100:
        return 0.0
    x = math.log2(ta / 100)
    return 25 * (_knee(x, 6) - 3 * _knee(x / 3, 6) + 2)


def _knee(x: float, order: int) -> float:
    """Return (1 + x^n)^(1/n): 1 for small x, x for large, the shape of half of G.107's formulas."""
    return math.pow(1 + math.pow(x, order), 1 / order)

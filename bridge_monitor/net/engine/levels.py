"""How loud the rooms' own audio is, from one packet in eight.

Owns the counters of level per row: sums of squares, never samples. Our own echo is passed over.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bridge_monitor.net.engine.demux import Demux
from bridge_monitor.net.engine.keymap import NO_ROW
from bridge_monitor.net.engine.layout import Array, Layout
from bridge_monitor.rtp.level import (
    COMFORT_NOISE,
    COMFORT_NOISE_SAMPLES,
    SAMPLED,
    active,
    comfort_noise_powers,
    powers,
)
from bridge_monitor.rtp.packet import HeaderBatch

_CODECS: Final = {0: "PCMU", 8: "PCMA"}
_MEASURED: Final = np.isin(np.arange(128), [*_CODECS, COMFORT_NOISE])
"""By payload type. Whatever else comes, as video does, must cost nothing here."""


class Levels:
    """Measures every row.

    Args:
        layout: Where the rows' figures are kept.
        demux: Which streams are ours, and what each peer may send.
    """

    def __init__(self, layout: Layout, demux: Demux) -> None:
        self._layout = layout
        self._demux = demux

    def receive(self, data: Array, headers: HeaderBatch, rows: Array) -> None:
        """Measure what `SAMPLED` chooses of a batch, and all of its comfort noise, which is sparse.

        Which packets are looked at depends on their numbers alone, so neither on their time nor on their content. A
        packet received twice counts twice.

        Args:
            data: The datagrams, one a row.
            headers: Their headers.
            rows: The row each belongs to, or ``NO_ROW``.
        """
        places = np.flatnonzero(SAMPLED[headers.seq] | (headers.payload_type == COMFORT_NOISE))
        row = rows[places]
        theirs = headers.valid[places] & (row != NO_ROW) & (self._demux.own_ssrc[row] != headers.ssrc[places])
        theirs &= _MEASURED[headers.payload_type[places]]
        if not theirs.any():
            return  # nothing but echoes and video
        places = places[theirs]
        start, size, kind = headers.payload_start[places], headers.payload_bytes[places], headers.payload_type[places]
        # A payload type stands for one codec, so alike are packets of one codec, header and length: nearly always all.
        alike = kind << 32 | start << 16 | size
        for one in np.unique(alike).tolist():
            some = places[alike == one]
            self._measure(rows[some], data[some], one >> 32, one >> 16 & 0xFFFF, one & 0xFFFF)

    def _measure(self, rows: Array, data: Array, payload_type: int, start: int, size: int) -> None:
        """Count packets of one payload type whose payloads lie at one place."""
        if not size:
            return
        accepted = self._demux.accepted[rows, payload_type]
        if not accepted.all():
            rows, data = rows[accepted], data[accepted]
        if payload_type == COMFORT_NOISE:
            self._count(rows, comfort_noise_powers(data[:, start]), COMFORT_NOISE_SAMPLES)
        else:
            self._count(rows, powers(_CODECS[payload_type], data[:, start : start + size]), size)

    def _count(self, rows: Array, power: Array, samples: int) -> None:
        layout = self._layout
        layout.version[rows] |= 1
        np.add.at(layout.level_energy, rows, power * samples)
        np.maximum.at(layout.level_loudest, rows, power)
        np.add.at(layout.level_samples, rows, samples)
        np.add.at(layout.level_packets, rows, 1)
        np.add.at(layout.level_active, rows, active(power))
        layout.version[rows] = (layout.version[rows] | 1) + 1

"""RTCP of every row: our sender reports, and what the peers report of us.

Owns when a report is sent and what is remembered between reports; the wire form is `rtp.rtcp`'s, the arithmetic
`rtp.peer_reports`'. A row's call is short, so reports come sooner than RFC 3550 §6.2's five seconds.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bridge_monitor.errors import RtpSyntaxError
from bridge_monitor.net import mmsg
from bridge_monitor.net.engine.demux import Demux
from bridge_monitor.net.engine.keymap import NO_ROW
from bridge_monitor.net.engine.layout import Array, Count, Layout, Phase
from bridge_monitor.net.engine.plan import SHORT_SEND, EngineSettings, StreamPlan
from bridge_monitor.net.engine.ports import PortPair
from bridge_monitor.net.engine.receiving import RtcpDatagram
from bridge_monitor.net.engine.sending import NEVER, Sender, invalid_bit
from bridge_monitor.net.engine.video import VideoSender
from bridge_monitor.net.engine.video_plan import VIDEO_CLOCK_RATE, VideoPlan
from bridge_monitor.rtp.peer_reports import PeerReports
from bridge_monitor.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    SenderReport,
    SourceDescription,
    dlsr_from_ns,
    ntp_from_unix_ns,
    ntp_short,
    ntp_short_from_unix_ns,
    parse_compound,
)

_FIRST_AFTER_NS: Final = 1_000_000_000
_EVERY_NS: Final = 2_500_000_000
_KNOWN_AFTER_NS: Final = 2_000_000_000
_AT_ONCE: Final = 16
"""So many reports leave in a tick at most: media packets are due."""
_AUDIO_CLOCK_RATE: Final = 8000  # G.711
_SHORT_SEND: Final = invalid_bit(SHORT_SEND)

_REPORTS: Final = (SenderReport, ReceiverReport)

SentTap = Callable[[int, int, bytes], None]
ReceivedTap = Callable[[int, RtcpDatagram], None]


@dataclass(slots=True)
class _Session:
    """What one row remembers."""

    plan: StreamPlan | VideoPlan
    socket: socket.socket
    control: tuple[tuple[int, int, bytes], ...]
    destination: tuple[str, int]
    description: bytes
    peer: PeerReports
    lsr: int = 0
    lsr_arrival_ns: int = 0


class Reports:
    """RTCP of every row.

    Args:
        settings: How rows share sockets.
        layout: Where the rows' figures are kept.
        pairs: The sockets.
        demux: The tables.
        senders: What was sent of each row, of audio and of video.
        on_report: Is told of each row whose peer has reported.
        taps: Are given what is sent and received of captured rows.
    """

    def __init__(
        self,
        settings: EngineSettings,
        layout: Layout,
        pairs: Sequence[PortPair],
        demux: Demux,
        senders: tuple[Sender, VideoSender],
        *,
        on_report: Callable[[int], None],
        taps: tuple[SentTap, ReceivedTap],
    ) -> None:
        self._layout = layout
        self._pairs = pairs
        self._demux = demux
        self._sender, self._video = senders
        self._on_report = on_report
        self._tap_sent, self._tap_received = taps
        self._rows_per_pair = settings.rows_per_pair
        self._sessions: dict[int, _Session] = {}
        self.next_due: Array = np.full(settings.rows, NEVER, np.int64)

    def start(self, row: int, plan: StreamPlan | VideoPlan, now: int) -> None:
        """Begin a row's reports; ``now`` is CLOCK_MONOTONIC, ns."""
        pair = row // self._rows_per_pair
        control: list[tuple[int, int, bytes]] = []
        # A pair's first call decides on its sockets' own mark: audio, which has the more packets to save it on.
        if isinstance(plan, VideoPlan) or not self._sender.marks.suffice(pair, plan.dscp, plan.source_host):
            control.append((socket.IPPROTO_IP, socket.IP_TOS, struct.pack("=i", plan.dscp << 2)))
            if plan.source_host:
                source = socket.inet_aton(plan.source_host)
                control.append((socket.IPPROTO_IP, mmsg.IP_PKTINFO, struct.pack("=i4s4x", 0, source)))
        self._sessions[row] = _Session(
            plan=plan,
            socket=self._pairs[pair].rtcp,
            control=tuple(control),
            destination=(plan.remote_host, plan.rtcp_port),
            description=SourceDescription(((plan.ssrc, plan.cname),)).to_bytes(),
            peer=PeerReports(plan.first_seq, clock_rate=_clock_rate(plan)),
        )
        self.next_due[row] = now + _FIRST_AFTER_NS

    def stop(self, row: int, real_ns: int) -> PeerReports:
        """Say goodbye for the row (RFC 3550 §6.3.7), and return what its peer has reported."""
        session = self._sessions[row]
        self._send(row, session, real_ns, bye=True)
        self.next_due[row] = NEVER
        del self._sessions[row]
        return session.peer

    def peer(self, row: int) -> PeerReports:
        """Return what a row's peer has reported so far."""
        return self._sessions[row].peer

    def tick(self, now: int, real: Callable[[], int]) -> None:
        """Send the reports that are due.

        Args:
            now: CLOCK_MONOTONIC, ns.
            real: CLOCK_REALTIME, ns, read anew for each report: LSR rests on it.
        """
        for row in np.flatnonzero(self.next_due <= now)[:_AT_ONCE].tolist():
            self._send(row, self._sessions[row], real(), bye=False)
            self.next_due[row] = now + _EVERY_NS

    def receive(self, datagram: RtcpDatagram) -> None:
        """Take an RTCP datagram, whichever port it came to."""
        try:
            packets = parse_compound(datagram.data)
        except RtpSyntaxError:
            self._layout.counts[Count.UNMATCHED] += 1
            return
        reports = [packet for packet in packets if isinstance(packet, _REPORTS)]
        row = self._row_of(datagram, reports)
        if row == NO_ROW:
            self._layout.counts[Count.UNMATCHED] += 1
            return
        self._layout.counts[Count.RTCP_RECEIVED] += 1
        session = self._sessions[row]
        if session.plan.capture:
            self._tap_received(row, datagram)
        for report in reports:
            if isinstance(report, SenderReport):
                session.lsr = ntp_short(report.ntp)
                session.lsr_arrival_ns = datagram.arrival_ns
        blocks = [block for report in reports for block in report.blocks if block.ssrc == session.plan.ssrc]
        sent = int(self._layout.sent[row])
        arrival = ntp_short_from_unix_ns(datagram.arrival_ns)
        if any(session.peer.receive(block, packets_sent=sent, arrival_ntp_short=arrival) for block in blocks):
            self._on_report(row)
        elif reports and not blocks and self._should_know_us(row, session, datagram.arrival_ns):
            self._layout.silent_reports[row] += 1

    def _should_know_us(self, row: int, session: _Session, arrival_ns: int) -> bool:
        """Whether a report without a block on our stream means that the peer receives nothing of it.

        Once we have stopped sending, a peer that had reported leaves the block out too (§6.4).
        """
        going_on = self._layout.phase[row] == Phase.SENDING or not session.peer.packets_reported
        since = arrival_ns - int(self._layout.started_ns[row])
        return bool(going_on and self._layout.sent[row] > 0 and since >= _KNOWN_AFTER_NS)

    def _row_of(self, datagram: RtcpDatagram, reports: list[SenderReport | ReceiverReport]) -> int:
        """Return the row a datagram with these reports is for: by our SSRC in its blocks, else by its sender."""
        for report in reports:
            if self._demux.row_of_ssrc(datagram.pair, report.ssrc) != NO_ROW:
                return NO_ROW  # our own report, echoed
            for block in report.blocks:
                row = self._demux.row_of_ssrc(datagram.pair, block.ssrc)
                if row != NO_ROW:
                    return row
        for report in reports:
            return self._demux.row_of_peer(datagram.pair, datagram.source_ip, report.ssrc)
        return NO_ROW

    def _send(self, row: int, session: _Session, real_ns: int, *, bye: bool) -> None:
        data = self._compound(row, session, real_ns, bye=bye)
        try:
            session.socket.sendmsg((data,), session.control, socket.MSG_DONTWAIT, session.destination)
        except OSError:
            self._layout.invalid[row] |= _SHORT_SEND
            return
        self._layout.counts[Count.RTCP_SENT] += 1
        if session.plan.capture:
            self._tap_sent(row, real_ns, data)

    def _compound(self, row: int, session: _Session, real_ns: int, *, bye: bool) -> bytes:
        """Build SR (RR before anything was sent), SDES and, at the end, BYE."""
        plan = session.plan
        dlsr = dlsr_from_ns(real_ns - session.lsr_arrival_ns) if session.lsr else 0
        block = self._layout.reception.report_block(row, lsr=session.lsr, dlsr=dlsr)
        blocks = (block,) if block else ()
        sender: Sender | VideoSender = self._video if isinstance(plan, VideoPlan) else self._sender
        sent = int(self._layout.sent[row])
        report: SenderReport | ReceiverReport
        if not sent:
            report = ReceiverReport(plan.ssrc, blocks)
        else:
            # The timestamp of this very moment, not of the last packet (§6.4.1).
            sent_ns, timestamp = sender.last_packet(row)
            timestamp += (real_ns - sent_ns) * _clock_rate(plan) // 1_000_000_000
            report = SenderReport(
                ssrc=plan.ssrc,
                ntp=ntp_from_unix_ns(real_ns),
                timestamp=timestamp & 0xFFFFFFFF,
                packets=sent,
                octets=sender.octets(row),
                blocks=blocks,
            )
        # RFC 3550 §6.1 wants SR or RR first and an SDES with CNAME.
        data = report.to_bytes() + session.description
        return data + Goodbye((plan.ssrc,)).to_bytes() if bye else data


def _clock_rate(plan: StreamPlan | VideoPlan) -> int:
    return VIDEO_CLOCK_RATE if isinstance(plan, VideoPlan) else _AUDIO_CLOCK_RATE

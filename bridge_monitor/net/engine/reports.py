"""RTCP of every row: our sender reports, and what the peers report of us.

Owns when a report is sent and what is remembered between reports; the wire form is `rtp.rtcp`'s, the arithmetic
`rtp.peer_reports`'. A row's call is short, so reports come sooner than RFC 3550 §6.2's five seconds.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bridge_monitor.errors import RtpSyntaxError
from bridge_monitor.net import mmsg
from bridge_monitor.net.engine.demux import Demux
from bridge_monitor.net.engine.keymap import NO_ROW
from bridge_monitor.net.engine.layout import Count, Layout, Phase
from bridge_monitor.net.engine.plan import SHORT_SEND, EngineSettings, StreamPlan
from bridge_monitor.net.engine.ports import PortPair
from bridge_monitor.net.engine.sending import Sender, invalid_bit
from bridge_monitor.net.engine.video import VideoSender
from bridge_monitor.net.engine.video_plan import VIDEO_CLOCK_RATE, VideoPlan
from bridge_monitor.rtp.compound import Report, read_reports, report_bytes
from bridge_monitor.rtp.peer_reports import PeerReports
from bridge_monitor.rtp.rtcp import (
    Goodbye,
    SourceDescription,
    dlsr_from_ns,
    ntp_from_unix_ns,
    ntp_short,
    ntp_short_from_unix_ns,
)

_FIRST_AFTER_NS: Final = 1_000_000_000
_EVERY_NS: Final = 2_500_000_000
_KNOWN_AFTER_NS: Final = 2_000_000_000
_AT_ONCE: Final = 16
"""So many reports leave in a tick at most: media packets are due."""
_AUDIO_CLOCK_RATE: Final = 8000  # G.711
_DONTWAIT: Final = int(socket.MSG_DONTWAIT)
_GOODBYE: Final = Goodbye((0,)).to_bytes()[:4]
_SHORT_SEND: Final = invalid_bit(SHORT_SEND)
_SENT, _RECEIVED, _UNMATCHED = int(Count.RTCP_SENT), int(Count.RTCP_RECEIVED), int(Count.UNMATCHED)

SentTap = Callable[[int, int, bytes], None]
ReceivedTap = Callable[[int, mmsg.Datagram], None]


@dataclass(slots=True)
class _Session:
    """What one row remembers."""

    plan: StreamPlan | VideoPlan
    sender: Sender | VideoSender
    clock_rate: int
    socket: socket.socket
    control: list[tuple[int, int, bytes]]
    destination: tuple[str, int]
    description: bytes
    peer: PeerReports
    due: int
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
        # Times at which rows report for the first time, and again: each a line in order of time.
        self._first: deque[tuple[int, int]] = deque()
        self._later: deque[tuple[int, int]] = deque()

    def start(self, row: int, plan: StreamPlan | VideoPlan, now: int) -> None:
        """Begin a row's reports; ``now`` is CLOCK_MONOTONIC, ns."""
        pair = row // self._rows_per_pair
        video = isinstance(plan, VideoPlan)
        control: list[tuple[int, int, bytes]] = []
        # A pair's first call decides on its sockets' own mark: audio, which has the more packets to save it on.
        if video or not self._sender.marks.suffice(pair, plan.dscp, plan.source_host):
            control.append((socket.IPPROTO_IP, socket.IP_TOS, struct.pack("=i", plan.dscp << 2)))
            if plan.source_host:
                source = socket.inet_aton(plan.source_host)
                control.append((socket.IPPROTO_IP, mmsg.IP_PKTINFO, struct.pack("=i4s4x", 0, source)))
        clock_rate = VIDEO_CLOCK_RATE if video else _AUDIO_CLOCK_RATE
        description = _description_of(plan.cname)
        self._sessions[row] = _Session(
            plan=plan,
            sender=self._video if video else self._sender,
            clock_rate=clock_rate,
            socket=self._pairs[pair].rtcp,
            control=control,
            destination=(plan.remote_host, plan.rtcp_port),
            description=description[:4] + plan.ssrc.to_bytes(4, "big") + description[8:],
            peer=PeerReports(plan.first_seq, clock_rate=clock_rate),
            due=now + _FIRST_AFTER_NS,
        )
        self._first.append((now + _FIRST_AFTER_NS, row))

    def stop(self, row: int, real_ns: int) -> PeerReports:
        """Say goodbye for the row (RFC 3550 §6.3.7), and return what its peer has reported."""
        session = self._sessions.pop(row)
        session.description += _GOODBYE + session.plan.ssrc.to_bytes(4, "big")
        self._send(row, session, real_ns)
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
        left = _AT_ONCE
        for line in (self._first, self._later):
            while left and line and line[0][0] <= now:
                due, row = line.popleft()
                session = self._sessions.get(row)
                if session is None or session.due != due:
                    continue  # of a call that is over
                left -= 1
                self._send(row, session, real())
                session.due = now + _EVERY_NS
                self._later.append((session.due, row))

    def receive(self, pair: int, datagram: mmsg.Datagram) -> None:
        """Take an RTCP datagram that came to a pair of local ports, to whichever of them."""
        try:
            reports = read_reports(datagram.data)
        except RtpSyntaxError:
            self._layout.counts[_UNMATCHED] += 1
            return
        row = self._row_of(pair, datagram.src_ip, reports)
        if row == NO_ROW:
            self._layout.counts[_UNMATCHED] += 1
            return
        self._layout.counts[_RECEIVED] += 1
        session = self._sessions[row]
        if session.plan.capture:
            self._tap_received(row, datagram)
        for report in reports:
            if report.ntp is not None:
                session.lsr = ntp_short(report.ntp)
                session.lsr_arrival_ns = datagram.arrival_ns
        ours = session.plan.ssrc
        blocks = [block for report in reports for block in report.blocks if block.ssrc == ours]
        sent = self._layout.sent.item(row)
        arrival = ntp_short_from_unix_ns(datagram.arrival_ns)
        if any(session.peer.receive(block, packets_sent=sent, arrival_ntp_short=arrival) for block in blocks):
            self._on_report(row)
        elif reports and not blocks and self._should_know_us(row, session, datagram.arrival_ns):
            self._layout.silent_reports[row] += 1

    def _should_know_us(self, row: int, session: _Session, arrival_ns: int) -> bool:
        """Whether a report without a block on our stream means that the peer receives nothing of it.

        Once we have stopped sending, a peer that had reported leaves the block out too (§6.4).
        """
        layout = self._layout
        going_on = layout.phase.item(row) == Phase.SENDING or not session.peer.packets_reported
        since = arrival_ns - layout.started_ns.item(row)
        return going_on and layout.sent.item(row) > 0 and since >= _KNOWN_AFTER_NS

    def _row_of(self, pair: int, source_ip: int, reports: list[Report]) -> int:
        """Return the row a datagram with these reports is for: by our SSRC in its blocks, else by its sender."""
        for report in reports:
            if self._demux.row_of_ssrc(pair, report.ssrc) != NO_ROW:
                return NO_ROW  # our own report, echoed
            for block in report.blocks:
                row = self._demux.row_of_ssrc(pair, block.ssrc)
                if row != NO_ROW:
                    return row
        for report in reports:
            return self._demux.row_of_peer(pair, source_ip, report.ssrc)
        return NO_ROW

    def _send(self, row: int, session: _Session, real_ns: int) -> None:
        """Send SR (RR before anything was sent), SDES (RFC 3550 §6.1 wants both) and, at the end, BYE."""
        data = self._report(row, session, real_ns) + session.description
        try:
            if session.control:
                session.socket.sendmsg((data,), session.control, _DONTWAIT, session.destination)
            else:
                session.socket.sendto(data, _DONTWAIT, session.destination)
        except OSError:
            self._layout.invalid[row] |= _SHORT_SEND
            return
        self._layout.counts[_SENT] += 1
        if session.plan.capture:
            self._tap_sent(row, real_ns, data)

    def _report(self, row: int, session: _Session, real_ns: int) -> bytes:
        """Return a row's report as it stands."""
        dlsr = dlsr_from_ns(real_ns - session.lsr_arrival_ns) if session.lsr else 0
        block = self._layout.reception.report_block(row, lsr=session.lsr, dlsr=dlsr)
        packets = self._layout.sent.item(row)
        sent = None
        if packets:
            # The timestamp of this very moment, not of the last packet (§6.4.1).
            sent_ns, timestamp = session.sender.last_packet(row)
            timestamp += (real_ns - sent_ns) * session.clock_rate // 1_000_000_000
            sent = ntp_from_unix_ns(real_ns), timestamp, packets, session.sender.octets(row)
        return report_bytes(session.plan.ssrc, sent, block)


@lru_cache(maxsize=16)
def _description_of(cname: str) -> bytes:
    """Return the SDES of SSRC 0: most calls have one CNAME."""
    return SourceDescription(((0, cname),)).to_bytes()

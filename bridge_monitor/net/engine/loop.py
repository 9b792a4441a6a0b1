"""The engine's process: one loop that sends, receives, and sees each call to its end.

Owns time and the life of rows; what is sent and counted is its parts' business. Ends at once when the parent is gone.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from bridge_monitor.errors import LocalProtocolError
from bridge_monitor.net import mmsg
from bridge_monitor.net.engine import wire
from bridge_monitor.net.engine.cards import CardTable
from bridge_monitor.net.engine.demux import Demux
from bridge_monitor.net.engine.layout import Array, Count, Layout, Phase
from bridge_monitor.net.engine.plan import CLOCK_STEP, ENGINE_STALLED, CapturedPacket, EngineSettings, StreamPlan
from bridge_monitor.net.engine.ports import PortPair
from bridge_monitor.net.engine.receiving import Receiver
from bridge_monitor.net.engine.reports import Reports
from bridge_monitor.net.engine.sending import NEVER, Sender, invalid_bit
from bridge_monitor.net.engine.video import VideoSender
from bridge_monitor.net.engine.video_plan import VIDEO_CLOCK_RATE, VideoPlan
from bridge_monitor.rtp.frames import count_own_of_size, summarise, summarise_own
from bridge_monitor.rtp.report import VideoSummary

_LONGEST_SLEEP_NS: Final = 10_000_000
_LONGEST_WAY_NS: Final = 5_000_000_000
_IDLE_SECONDS: Final = 1.0
_CPU_EVERY_NS: Final = 100_000_000
_CAPTURES_WAITING: Final = 20_000
_AT_ONCE: Final = 16
"""So many calls begin, and so many end, in a tick at most: others' packets are due. The rest waits for the next one."""
_VIDEO_AT_ONCE: Final = 4
"""Of those that end so many with video: to judge its frames takes a millisecond or two."""

_TELL: Final = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_ENGINE_STALLED: Final = invalid_bit(ENGINE_STALLED)
_CLOCK_STEP: Final = invalid_bit(CLOCK_STEP)

Clocks = tuple[Callable[[], int], Callable[[], int]]


class Engine:
    """The loop.

    Args:
        settings: How it is built.
        memory: `Layout.size` bytes that the parent maps too.
        channel: SEQPACKET socket to the parent.
        pairs: The pool of ports.
        clocks: CLOCK_MONOTONIC and CLOCK_REALTIME, ns.
    """

    def __init__(
        self,
        settings: EngineSettings,
        memory: memoryview,
        channel: socket.socket,
        pairs: list[PortPair],
        *,
        clocks: Clocks = (time.monotonic_ns, time.time_ns),
    ) -> None:
        self._clocks = clocks
        self._monotonic = clocks[0]
        self._settings = settings
        self._channel = channel
        self._pairs = pairs
        self._outbox = wire.Outbox()
        self._ended: list[bytes] = []
        self._stall_ns = round(settings.stall_limit_seconds * 1e9)
        self._step_ns = round(settings.clock_step_seconds * 1e9)
        self._layout = Layout(settings.rows, memory)
        self._demux = Demux(settings.rows, settings.rows_per_pair)
        self._sender = Sender(settings, self._layout, pairs, tap=self._tap_sent_rtp, clock=clocks[0])
        self._video = VideoSender(settings, self._layout, pairs, tap=self._tap_sent_rtp, clock=clocks[0])
        self._reports = Reports(
            settings,
            self._layout,
            pairs,
            self._demux,
            (self._sender, self._video),
            on_report=self._reported,
            taps=(self._tap_sent_rtcp, self._tap_received_rtcp),
        )
        self._receiver = Receiver(
            settings, self._layout, pairs, self._demux, on_rtcp=self._reports.receive, tap=self._tap_received_rtp
        )
        self._plans: dict[int, StreamPlan | VideoPlan] = {}
        self._generations: dict[int, int] = {}
        self._deadline: Array = np.full(settings.rows, NEVER, np.int64)
        self._next_deadline = NEVER  # none is before that
        self._commands = select.poll()
        self._commands.register(channel, select.POLLIN)
        # Not epoll, which is told of each datagram as it comes: here they are asked for twenty milliseconds' worth.
        self._poll = select.poll()
        for one in (channel, *(sock for pair in pairs for sock in (pair.rtp, pair.rtcp))):
            self._poll.register(one, select.POLLIN)
        self._offset = clock_offset(clocks)
        self._last_tick = clocks[0]()
        self._next_cpu = 0
        self._next_read = 0
        self._read_every_ns = round(settings.read_seconds * 1e9)
        self._half_tick_ns = round(settings.tick_seconds * 5e8)
        self._parent_gone = False

    def run(self) -> None:
        """Work until the parent closes its end or dies."""
        self._outbox.append(wire.encode({"event": "ready", "ports": [pair.port for pair in self._pairs]}))
        self._flush()
        while not self._parent_gone:
            self.tick(self._wait())

    def tick(self, timeout: float = 0) -> None:
        """Do all that is due; with a ``timeout`` (seconds) wait so long at most for something to read first."""
        if timeout:
            self._poll.poll(timeout * 1000)
        now = self._monotonic()
        self._look_at_clocks(now)
        for row in [*self._sender.tick(now, self._offset), *self._video.tick(now, self._offset)]:
            plan = self._plans[row]
            self._layout.phase[row] = Phase.TAIL
            # On a long way the last packets are still out when the ordinary tail ends: late is not lost.
            # A clock that was stepped makes round trips of any length, hence the bounds.
            way = min(max(0, self._layout.echo.greatest_rtt_ns(row)), _LONGEST_WAY_NS)
            self._wait_for(row, now + round(plan.tail_seconds * 1e9) + way)
        commands = self._read_commands()
        # A row's figures hold what came up to its end, so the sockets are read before one ends.
        if now >= self._next_read or commands or self._next_deadline <= now:
            self._receiver.read(sorted([fd for fd, _ in self._poll.poll(0)]))
            # Between two ticks: what the last one sent may be back, and the next one isn't held up.
            self._next_read = now + self._read_every_ns - (now - self._half_tick_ns) % self._read_every_ns
        self._reports.tick(now, self._real)
        if self._next_deadline <= now:
            for row in self._overdue(now):
                self._time_passed(row, now)
            self._next_deadline = int(self._deadline.min())
        for command in commands:
            self._obey(*command)
        self._flush()
        self._last_tick = now

    # --- time --------------------------------------------------------------------------------------------------------

    def _wait(self) -> float:
        """Sleep until something is due; return how long arrivals may be waited for besides, in seconds."""
        if not self._plans:
            return _LONGEST_SLEEP_NS / 1e9 if self._outbox else _IDLE_SECONDS
        now = self._monotonic()
        due = min(self._sender.earliest, self._video.next_due, self._next_deadline, self._next_read)
        due = min(due, now + _LONGEST_SLEEP_NS)
        if due > now:
            time.sleep((due - now) / 1e9)
        return 0

    def _real(self) -> int:
        return self._monotonic() + self._offset

    def _look_at_clocks(self, now: int) -> None:
        """Notice what makes figures untrue: this process did not run, or CLOCK_REALTIME was set."""
        offset = clock_offset(self._clocks)
        stepped = abs(offset - self._offset) > self._step_ns
        self._offset = offset
        stalled = now - self._last_tick > self._stall_ns
        if self._plans and (stepped or stalled):
            rows = list(self._plans)
            if stepped:
                self._layout.counts[Count.CLOCK_STEPS] += 1
                self._layout.invalid[rows] |= _CLOCK_STEP
            if stalled:
                self._layout.counts[Count.STALLS] += 1
                self._layout.invalid[rows] |= _ENGINE_STALLED
                self._sender.skip_overdue(now)
                self._video.skip_overdue(now)
        if now >= self._next_cpu:
            self._layout.counts[Count.CPU_NS] = time.process_time_ns()
            self._next_cpu = now + _CPU_EVERY_NS

    # --- a row's life ------------------------------------------------------------------------------------------------

    def begin(self, row: int, generation: int, plan: StreamPlan | VideoPlan, reserved_ns: int) -> None:
        """Begin a call's stream on a row that is not up."""
        now = self._monotonic()
        if not self._plans:
            self._last_tick = now  # an idle engine's long sleep is no stall
        layout = self._layout
        layout.version[row] |= 1
        layout.reset(row, plan.first_seq)
        layout.phase[row] = Phase.SENDING
        layout.started_ns[row] = self._real()
        layout.version[row] += 1
        self._plans[row] = plan
        self._generations[row] = generation
        self._receiver.captured[row] = plan.capture
        self._demux.add(
            row,
            ssrc=plan.ssrc,
            source=mmsg.ip_number(plan.remote_host) << 16 | plan.rtp_port,
            accepted=plan.accepted_payload_types,
        )
        if isinstance(plan, VideoPlan):
            layout.reception.reset(row, VIDEO_CLOCK_RATE)
            self._receiver.frames.start(row)
            self._video.start(row, plan, now)
        else:
            self._sender.start(row, plan, now)
        self._reports.start(row, plan, now)
        self._receiver.begin(row, reserved_ns)

    def _wait_for(self, row: int, deadline: int) -> None:
        """See to a row again at ``deadline``."""
        self._deadline[row] = deadline
        self._next_deadline = min(self._next_deadline, deadline)

    def _overdue(self, now: int) -> list[int]:
        """Return rows whose present wait is over, as many as may be seen to at once."""
        rows: list[int] = np.flatnonzero(self._deadline <= now)[:_AT_ONCE].tolist()
        video = [row for row in rows if isinstance(self._plans[row], VideoPlan)]
        return [row for row in rows if row not in video[_VIDEO_AT_ONCE:]] if video else rows

    def _time_passed(self, row: int, now: int) -> None:
        """A row's present wait is over."""
        plan = self._plans[row]
        layout = self._layout
        echoed = layout.echo.received(row) > 0 and not plan.expect_report
        if layout.phase.item(row) == Phase.TAIL and not echoed and not self._covered(row):
            layout.phase[row] = Phase.AWAITING_REPORT
            self._wait_for(row, now + round(max(0.0, plan.report_wait_seconds - plan.tail_seconds) * 1e9))
            return
        self._finish(row)

    def _reported(self, row: int) -> None:
        if self._layout.phase.item(row) == Phase.AWAITING_REPORT and self._covered(row):
            self._finish(row)

    def _covered(self, row: int) -> bool:
        """Whether the peer's last report covers enough of what was sent."""
        wanted: float = self._layout.sent.item(row) * self._plans[row].report_coverage
        return self._reports.peer(row).packets_reported >= wanted

    def _finish(self, row: int) -> None:
        """End a row's stream and tell the parent, who reads its figures then."""
        layout = self._layout
        layout.version[row] |= 1
        real = self._real()
        video = self._stop_sending(row)
        peer = self._reports.stop(row, real).summary()
        self._demux.remove(row, real)
        self._deadline[row] = NEVER
        self._receiver.captured[row] = False
        layout.ended_ns[row] = real
        layout.phase[row] = Phase.DONE
        layout.version[row] += 1
        del self._plans[row]
        self._ended.append(wire.encode_finished(row, self._generations[row], peer, video))

    def _stop_sending(self, row: int) -> VideoSummary | None:
        """Send no more of a row, and return what its pictures came to if it is one of video."""
        plan = self._plans[row]
        if not isinstance(plan, VideoPlan):
            self._sender.stop(row)
            return None
        self._video.stop(row)
        inbound, own = self._receiver.frames.stop(row)
        largest, large_sent = self._video.large_packets(row)
        return VideoSummary(
            frames_sent=int(self._video.frames[row]),
            inbound_frames=summarise(inbound),
            echoed_frames=summarise_own(own, plan.first_seq, self._video.frame_starts(row)),
            large_sent=large_sent,
            large_received=count_own_of_size(own, plan.first_seq, largest),
        )

    # --- the parent --------------------------------------------------------------------------------------------------

    def _read_commands(self) -> list[tuple[bytes, tuple[int, ...]]]:
        """Return what the parent has sent, each command with its open files; its end is noted."""
        commands: list[tuple[bytes, tuple[int, ...]]] = []
        # Mostly there is none, and to be told so by a failed read costs ten times as much.
        while len(commands) < _AT_ONCE and self._commands.poll(0):
            try:
                data, fds = wire.receive(self._channel)
            except BlockingIOError:
                break
            except ConnectionError:
                data, fds = b"", ()
            if not data:
                self._parent_gone = True
                break
            commands.append((data, fds))
        return commands

    def _obey(self, data: bytes, fds: tuple[int, ...]) -> None:
        begin = wire.decode_begin(data)
        if begin is not None:
            row, generation, reserved_ns, plan = begin
            if isinstance(plan, LocalProtocolError):
                refused = {"event": "refused", "row": row, "generation": generation, "reason": str(plan)}
                self._outbox.append(wire.encode(refused))
            else:
                self.begin(row, generation, plan, reserved_ns)
            return
        command = wire.decode(data)
        if command["op"] == "card":
            (fd,) = fds
            table = CardTable(fd, command["counts"])
            os.close(fd)
            self._video.load(table, command["bitrate_bps"], command["frames_per_second"])
            return
        row, generation = command["row"], command["generation"]
        if row in self._plans and self._generations[row] == generation:
            self._finish(row)

    def _flush(self) -> None:
        """Tell the parent what there is to tell: the ends of a tick together, as far as it takes them now."""
        for start in range(0, len(self._ended), wire.ENDS_AT_ONCE):
            self._outbox.append(b"".join(self._ended[start : start + wire.ENDS_AT_ONCE]))
        self._ended.clear()
        while self._outbox:
            try:
                self._channel.send(self._outbox[0], _TELL)
            except BlockingIOError:
                return
            except ConnectionError:
                self._parent_gone = True
                return
            self._outbox.popleft()

    # --- captures ----------------------------------------------------------------------------------------------------

    def _tap_sent_rtp(self, row: int, time_ns: int, data: bytes) -> None:
        plan = self._plans[row]
        remote = (plan.remote_host, plan.rtp_port)
        self._capture(row, remote, data, sent=True, rtcp=False, time_ns=time_ns, length=len(data))

    def _tap_sent_rtcp(self, row: int, time_ns: int, data: bytes) -> None:
        plan = self._plans[row]
        remote = (plan.remote_host, plan.rtcp_port)
        self._capture(row, remote, data, sent=True, rtcp=True, time_ns=time_ns, length=len(data))

    def _tap_received_rtp(self, row: int, remote: tuple[int, int], time_ns: int, data: bytes, length: int) -> None:
        source = (mmsg.ip_text(remote[0]), remote[1])
        self._capture(row, source, data, sent=False, rtcp=False, time_ns=time_ns, length=length)

    def _tap_received_rtcp(self, row: int, datagram: mmsg.Datagram) -> None:
        remote = (mmsg.ip_text(datagram.src_ip), datagram.src_port)
        self._capture(
            row, remote, datagram.data, sent=False, rtcp=True, time_ns=datagram.arrival_ns, length=len(datagram.data)
        )

    def _capture(
        self, row: int, remote: tuple[str, int], data: bytes, *, sent: bool, rtcp: bool, time_ns: int, length: int
    ) -> None:
        if len(self._outbox) >= _CAPTURES_WAITING:
            self._layout.counts[Count.CAPTURES_DROPPED] += 1
            return
        port = self._pairs[row // self._settings.rows_per_pair].port + rtcp
        packet = CapturedPacket(sent, rtcp, time_ns, port, *remote, data, length)
        self._outbox.append(wire.encode_capture(row, self._generations[row], packet))


def clock_offset(clocks: Clocks) -> int:
    """Return CLOCK_REALTIME − CLOCK_MONOTONIC in ns: of three readings the one least disturbed."""
    monotonic, real = clocks
    best, offset = NEVER, 0
    for _ in range(3):
        before = monotonic()
        at = real()
        after = monotonic()
        if after - before < best:
            best, offset = after - before, at - (before + after) // 2
        if best < 1000:
            break
    return offset

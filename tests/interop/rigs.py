"""Rigs for real peers: their processes, and our side of a call with everything about it noted in order.

Owns starting, waiting and ending by process id; must not judge: that is each test's to do.
"""

from __future__ import annotations

import asyncio
import csv
import math
import os
import re
import signal
import struct
import subprocess
import time
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from bridge_monitor.domain import Target
from bridge_monitor.net import clock
from bridge_monitor.net.engine import EngineSettings, MediaEngine
from bridge_monitor.net.sip_udp import SipStack
from bridge_monitor.probes.call import SipCall
from bridge_monitor.probes.profile import Profile, Route
from bridge_monitor.probes.shapes import CallSite, Equipment, Finished
from bridge_monitor.quality import Thresholds
from bridge_monitor.sip import NO_CREDENTIALS

SCENARIOS: Final = Path(__file__).parent / "scenarios"
BARESIP_CONTROL_PORT: Final = 4444
"""Of its ctrl_tcp module; each test's baresip has an address of its own."""
_LISTENING: Final = "0A"  # TCP_LISTEN, <net/tcp_states.h>
START_SECONDS: Final = 20.0
END_SECONDS: Final = 20.0


class PeerProcess:
    """A real program, begun by `start`; whatever becomes of the test, it is ended by its process id.

    Attributes:
        folder: Its working directory; the logs in it are shown if the test fails.
        environment: Its environment.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True)
        self.command = command
        self.folder = folder
        self.environment = dict(os.environ)
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "output.log").open("wb") as output:
            self._child = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    async def started(self, ready: Callable[[], bool]) -> None:
        """Start and wait until ``ready``."""
        self.start()
        await self.until(ready, "come up", START_SECONDS)

    async def until(self, reached: Callable[[], bool], what: str, seconds: float = END_SECONDS) -> None:
        """Wait for something of this process; fail if it ends before."""
        assert self._child is not None
        deadline = time.monotonic() + seconds
        while not reached():
            assert self._child.poll() is None, (
                f"{self.command[0]} has ended with {self._child.returncode}:\n{self.logs()}"
            )
            assert time.monotonic() < deadline, f"{self.command[0]} did not {what} in {seconds} s:\n{self.logs()}"
            await asyncio.sleep(0.02)

    async def ended(self, seconds: float = END_SECONDS) -> int:
        """Wait for its end and return its exit code."""
        assert self._child is not None
        deadline = time.monotonic() + seconds
        while (code := self._child.poll()) is None:
            assert time.monotonic() < deadline, f"{self.command[0]} has not ended in {seconds} s:\n{self.logs()}"
            await asyncio.sleep(0.02)
        return code

    def stop(self, patience: float = 3.0, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """End it: politely, then not, with its own children."""
        if self._child is None or self._child.poll() is not None:
            return
        self._child.send_signal(with_signal)
        try:
            self._child.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def logs(self) -> str:
        """Return what it wrote: the tails of its text files."""
        parts = [" ".join(self.command)]
        for path in sorted(self.folder.glob("*.log")):
            text = path.read_text("utf-8", "replace").strip()
            if text:
                parts.append(f"--- {path.name}\n{text[-6000:]}")
        return "\n".join(parts)


TONE_AMPLITUDE: Final = 8000


def write_tone(path: Path, seconds: int = 60, amplitude: int = TONE_AMPLITUDE) -> None:
    """Write a WAV file of 440 Hz, 8 kHz, 16 bit, mono."""
    second = b"".join(struct.pack("<h", int(amplitude * math.sin(2 * math.pi * 440 * n / 8000))) for n in range(8000))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(second * seconds)


def is_bound(host: str, port: int, protocol: str = "udp") -> bool:
    """Tell whether some process has this UDP address, or listens at this TCP one (proc(5), /proc/net)."""
    octets = "".join(f"{int(octet):02X}" for octet in reversed(host.split(".")))
    wanted = {f"{octets}:{port:04X}", f"00000000:{port:04X}"}
    rows = [row.split() for row in Path(f"/proc/net/{protocol}").read_text("ascii").splitlines()[1:]]
    return any(row[1] in wanted and (protocol == "udp" or row[3] == _LISTENING) for row in rows)


@dataclass(frozen=True)
class SoftClient:
    """A client that answers by itself, with a stream of its own."""

    process: PeerProcess
    uri: str


@dataclass(frozen=True)
class Room:
    """A sipp that plays one scenario on an address of its own."""

    process: PeerProcess
    host: str
    port: int
    rtp_port: int
    transport: str = "udp"

    @property
    def uri(self) -> str:
        return f"sip:room@{self.host}:{self.port}" + ("" if self.transport == "udp" else ";transport=tcp")

    async def is_content(self) -> bool:
        """Wait until sipp has ended; tell whether every call went as its scenario says and none is left up."""
        code = await self.process.ended()
        counts = self.statistics()
        return code == 0 and counts["FailedCall(C)"] == "0" and counts["CurrentCall"] == "0"

    def statistics(self) -> dict[str, str]:
        """Return the last line of sipp's own statistics by column."""
        with (self.process.folder / "statistics.csv").open(encoding="utf-8", newline="") as file:
            *_, last = csv.DictReader(file, delimiter=";")
        return last

    def received(self) -> list[str]:
        """Return the start lines of the messages that sipp received, in order."""
        text = self.messages().replace("\r", "")
        return re.findall(r"^(?:UDP|TCP) message received .*:\n\n(.*)$", text, re.MULTILINE)

    def methods(self) -> list[str]:
        """Return the methods of the requests that sipp received; those sent again and again count once."""
        methods = [line.split()[0] for line in self.received()]
        return [method for method, before in zip(methods, [None, *methods], strict=False) if method != before]

    def messages(self) -> str:
        """Return sipp's log of messages."""
        path = self.process.folder / "messages.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    async def until_it_has_received(self, method: str) -> None:
        """Wait for a request."""
        await self.process.until(
            lambda: any(line.startswith(f"{method} ") for line in self.received()), f"receive {method}"
        )


class StartRoom(Protocol):
    """Starts a sipp that plays a scenario and waits until it listens.

    Args of the call:
        scenario: Name of a file in ``scenarios``.
        options: More of sipp's options.
        calls: It ends after so many calls.
        port: Its SIP port; a free one unless given.
        keys: What stands for ``[name]`` in the scenario; ``{host}`` and ``{port}`` in it are those of its RTP. ``sdp``
            is G.711 unless given.
    """

    async def __call__(
        self, scenario: str, *options: str, calls: int = 1, port: int | None = None, **keys: str
    ) -> Room: ...


def description(host: str, rtp_port: int | str, *lines: str, formats: str = "0", media: Sequence[str] = ()) -> str:
    """Return the SDP of a room, for a scenario: sipp makes CRLF of its line ends.

    Args:
        host: Its address for media.
        rtp_port: Its port.
        lines: More lines of the audio stream.
        formats: Payload types.
        media: Further streams' lines.
    """
    head = ["v=0", f"o=room 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    return "\n".join([*head, f"m=audio {rtp_port} RTP/AVP {formats}", *lines, *media])


class RtpStream(NamedTuple):
    """One line of ``tshark -z rtp,streams``; jitters in seconds."""

    source_host: str
    source_port: int
    destination_host: str
    destination_port: int
    ssrc: int
    packets: int
    lost: int
    mean_jitter_seconds: float
    max_jitter_seconds: float


def tshark(path: Path, *arguments: str) -> str:
    """Return what tshark says of a capture file."""
    done = subprocess.run(["tshark", "-r", str(path), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rtp_streams(path: Path) -> list[RtpStream]:
    """Return tshark's figures of each RTP stream in a capture file, in order of time."""
    host, number, decimal = r"([\d.]+)", r"(\d+)", r"([\d.]+)"
    jitters = rf"{decimal} +{decimal} +{decimal}"
    line = re.compile(
        rf"^ *[\d.]+ +[\d.]+ +{host} +{number} +{host} +{number} +0x([0-9A-F]+) +\S+ +{number} +(-?\d+) \([-\d.]+%\)"
        rf" +{decimal} +{decimal} +{decimal} +{jitters}"
    )
    found = [match for text in tshark(path, "-q", "-z", "rtp,streams").splitlines() if (match := line.match(text))]
    return [
        RtpStream(
            one[1], int(one[2]), one[3], int(one[4]), int(one[5], 16), int(one[6]), int(one[7]),
            float(one[12]) / 1000, float(one[13]) / 1000,
        )
        for one in found
    ]  # fmt: skip


@dataclass
class JournalRecorder:
    """A journal in memory (`probes.shapes.Journal`): what was noted of which call, into the log of the line.

    Attributes:
        seconds: How long it takes to note an answer; the event loop stands still meanwhile.
    """

    log: list[str]
    seconds: float = 0.0
    entries: list[tuple[str, str]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)

    def opened(self, record: dict[str, Any]) -> None:
        self._note("opened", record)

    def confirmed(self, record: dict[str, Any]) -> None:
        time.sleep(self.seconds)
        self._note("confirmed", record)

    def closed(self, call_id: str) -> None:
        self.entries.append(("closed", call_id))
        self.log.append("closed")

    def _note(self, event: str, record: dict[str, Any]) -> None:
        assert record["state"] == ("early" if event == "opened" else "confirmed")
        self.entries.append((event, record["call_id"]))
        self.records.append(record)
        self.log.append(event)

    def of(self, call_id: str | None) -> list[str]:
        """Return what was noted of a call, in order."""
        return [event for event, noted in self.entries if noted == call_id]

    @property
    def open(self) -> set[str]:
        """Return the calls that somebody would still have to end."""
        opened = {call_id for event, call_id in self.entries if event != "closed"}
        return opened - {call_id for event, call_id in self.entries if event == "closed"}


class Line:
    """Our side: engine, sockets, journal and lag monitor, as the daemon has them.

    Attributes:
        log: Start lines of all SIP of the calls (``> INVITE …``, ``< SIP/2.0 …``) and journal entries, in order.
        phases: Names of the phases begun, in order.
    """

    def __init__(self, equipment: Equipment, journal: JournalRecorder) -> None:
        self.equipment = equipment
        self.journal = journal
        self.log = journal.log
        self.phases: list[str] = []

    @property
    def engine(self) -> MediaEngine:
        return self.equipment.engine

    @property
    def stack(self) -> SipStack:
        return self.equipment.stack

    def watch_lag(self) -> None:
        """Have the loop's lag measured from now on."""
        self.equipment.lag.start()

    def prepare(self, uri: str, *, route: Route | None = None, **wishes: Any) -> SipCall:
        """Return a call that is ready to run; ``wishes``: a `Profile`'s, ``tap``, ``capture``, ``credentials``."""
        tap = wishes.pop("tap", None)
        capture = wishes.pop("capture", False)
        credentials = wishes.pop("credentials", NO_CREDENTIALS)
        profile = Profile("interop", **{"duration_seconds": 1.0, **wishes})

        def watch(sent: bool, local: tuple[str, int], peer: tuple[str, int], data: bytes) -> None:  # noqa: FBT001 - a `WireTap` is positional
            start_line = data.partition(b"\r\n")[0].decode("utf-8", "replace")
            self.log.append(f"{'>' if sent else '<'} {start_line}")
            if tap is not None:
                tap(sent, local, peer, data)

        site = CallSite(Target(None, uri), profile, route or Route(), Thresholds(), credentials=credentials)
        return SipCall(
            site, self.equipment, tap=watch, capture=capture, progress=lambda phase, _seconds: self.phases.append(phase)
        )

    async def call(self, uri: str, *, route: Route | None = None, **wishes: Any) -> Finished:
        """Call a room and see the call to its end."""
        return await self.prepare(uri, route=route, **wishes).run()

    def calling(self, uri: str, **wishes: Any) -> asyncio.Task[Finished]:
        """Call a room in a task of its own."""
        return asyncio.get_running_loop().create_task(self.call(uri, **wishes))

    async def until_phase(self, phase: str, seconds: float = END_SECONDS) -> None:
        """Wait until a phase has begun or ended."""
        await self.until(lambda: phase in self.phases, seconds)

    async def until(self, reached: Callable[[], bool], seconds: float = END_SECONDS) -> None:
        """Wait for something of ours."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, f"not reached in {seconds} s; so far: {self.log}"
            await asyncio.sleep(0.01)

    def sent(self) -> list[str]:
        """Return the start lines that we sent, in order."""
        return [line[2:] for line in self.log if line.startswith("> ")]

    def methods(self) -> list[str]:
        """Return the methods that we sent, a repeated one once."""
        methods = [line.split()[0] for line in self.sent() if not line.startswith("SIP/2.0")]
        return list(dict.fromkeys(methods))

    @property
    def open_calls(self) -> tuple[str, ...]:
        """Return the calls that our user agents still have something to end of."""
        return tuple(call_id for udp in self.stack._agents.values() for call_id in udp.agent.open_calls)

    async def is_idle(self, seconds: float = END_SECONDS) -> bool:
        """Wait until no call of ours is open; tell whether the journal says the same."""
        left = await self.stack.drain(seconds)
        return left == 0 and not self.journal.open


async def open_line() -> tuple[Line, Callable[[], Any]]:
    """Bring up our side; return it, and what takes it down.

    Its lag monitor is not running: on a crowded test machine it would find every call invalid. `Line.watch_lag` starts
    it, and taking it down stops it.
    """
    log: list[str] = []
    journal = JournalRecorder(log)
    stack = SipStack("0.0.0.0", 0, on_closed=journal.closed)
    lag = clock.LoopLagMonitor()
    engine = await MediaEngine.start(
        # A crowded test machine must not make the figures invalid: lateness is for the engine's own tests.
        EngineSettings(
            rows=16, port_pairs=4, lateness_limit_seconds=1.0, stall_limit_seconds=5.0, clock_step_seconds=1.0
        )
    )

    async def close() -> None:
        await engine.close()
        await lag.stop()
        stack.close()

    return Line(Equipment(stack, engine, journal, lag), journal), close

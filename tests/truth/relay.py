"""Lines with an impaired relay on them, and what its book says of a call: the truth, in straight arithmetic.

Shares no code with the package. A packet's number is its place in the order in which its sender sent it, as the
relay's kernel saw it, so no sequence number is ever unwrapped here.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
FRONT_PORT, ROOM_PORT, OTHER_PORT = 10000, 11000, 10100  # where neither the kernel nor an engine picks ports
INTERVAL_NS = 20_000_000
PLAYOUT_NS = 60_000_000


class Packet(NamedTuple):
    """A line of the book: times in ns, CLOCK_REALTIME; ``before`` and ``after`` enclose the departure, 0 if dropped."""

    back: bool
    rtcp: bool
    caller: int
    arrival: int
    before: int
    after: int
    copy: int
    data: bytes

    @property
    def seq(self) -> int:
        return int.from_bytes(self.data[2:4], "big")

    @property
    def ssrc(self) -> int:
        return int.from_bytes(self.data[8:12], "big")


def compile_relay(folder: Path) -> Path:
    """Build the relay; return the program."""
    program = folder / "relay"
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(HERE / "relay.c")]
    subprocess.run(command, check=True)
    return program


class Line:
    """A relay at ``host`` and the rooms behind it. `book` ends them and returns what the relay wrote.

    Args:
        program: The relay.
        folder: Where its book is kept.
        host: Its address.
        room_host: The rooms' address.
        port: Its port.
    """

    def __init__(self, program: Path, folder: Path, host: str, room_host: str, port: int = FRONT_PORT) -> None:
        self._program, self._path = program, folder / f"{host}-{port}.log"
        self.host, self.room_host, self.port = host, room_host, port
        self._room_port = ROOM_PORT + 10 * (port - FRONT_PORT)
        self._processes: list[subprocess.Popen[str]] = []
        self._book: list[Packet] = []

    def _start(self, *command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        return process

    def start(
        self, *rooms: Sequence[Sequence[int]] | None, towards: str = "", back: str = "", other_from: int | None = None
    ) -> None:
        """Start the relay, and its rooms: segments of a `numbered_room`, or None for an echo."""
        started = []
        for number, segments in enumerate(rooms):
            script, more = ("echo_room.py", []) if segments is None else ("numbered_room.py", [json.dumps(segments)])
            where = (self.room_host, str(self._room_port + 2 * number))
            started.append(self._start(sys.executable, str(HERE / script), *where, *more))
        other = [] if other_from is None else [str(OTHER_PORT + self.port - FRONT_PORT), str(other_from)]
        front, room = (self.host, str(self.port)), (self.room_host, str(self._room_port))
        started.append(self._start(str(self._program), str(self._path), *front, *room, towards, back, *other))
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def end(self) -> None:
        """End relay and rooms, if they still run."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=10)

    def book(self) -> list[Packet]:
        """End relay and rooms, if they still run; return the relay's book."""
        if self._book:
            return self._book
        self.end()
        assert self._processes[-1].returncode == 0, "the relay failed"
        for line in self._path.read_text("ascii").splitlines():
            direction, kind, caller, arrival, before, after, copy, data = line.split()
            times = (int(arrival), int(before), int(after))
            head = (direction == "B", kind == "rtcp", int(caller))
            self._book.append(Packet(*head, *times, int(copy), bytes.fromhex(data)))
        return self._book


def numbers_of(packets: Iterable[Packet]) -> dict[tuple[int, int], int]:
    """Return SSRC and sequence number → place in the order of sending, of one sender's packets."""
    ordered = sorted((packet for packet in packets if not packet.copy), key=lambda packet: packet.arrival)
    numbers = {(packet.ssrc, packet.seq): number for number, packet in enumerate(ordered)}
    assert len(numbers) == len(ordered), "a sender used a sequence number twice"
    return numbers


class Arrival(NamedTuple):
    """A packet at its receiver: its number, and when, in ns."""

    number: int
    at: int


@dataclass(frozen=True)
class Heard:
    """What a receiver was given of one stream.

    Attributes:
        lowest: Least number.
        highest: Greatest number.
        received: Different packets.
        duplicates: Packets that came again.
        reordered: Packets, not counting those that came again, after one with a greater number (RFC 4737 §3).
        jitter_mean: Mean of RFC 3550 A.8's estimate after each packet but the first, seconds.
        jitter_max: Its greatest value.
        late: At least and at most so many came more than 60 ms later than the quickest until then, seen from when
            they were due: where half a millisecond decides, either is true.
        burst_ratio: Mean length of the runs of lost packets × the share received (G.107 §7), of the last packets;
            None without loss.
    """

    lowest: int
    highest: int
    received: int
    duplicates: int
    reordered: int
    jitter_mean: float
    jitter_max: float
    late: tuple[int, int]
    burst_ratio: float | None

    @property
    def expected(self) -> int:
        return self.highest - self.lowest + 1

    @property
    def lost(self) -> int:
        return self.expected - self.received


def heard(
    arrivals: Sequence[Arrival], due: dict[int, int] | None = None, ends: tuple[int, int] | None = None, last: int = 512
) -> Heard:
    """Reckon what a stream's receiver must have counted.

    Args:
        arrivals: In the order of arrival.
        due: When each number was sent, ns; None for a stream's own timestamps, 20 ms apart.
        ends: First and last number of what was sent, where the receiver knows it; None where it sees only what came.
        last: So many of the last packets are looked at for runs of losses.
    """
    seen: set[int] = set()
    firsts: list[Arrival] = []
    reordered = 0
    for arrival in arrivals:
        if arrival.number not in seen:
            reordered += bool(seen) and arrival.number < max(seen)
            seen.add(arrival.number)
            firsts.append(arrival)
    low, high = ends or (min(seen), max(seen))
    transits = [one.at - (due[one.number] if due else one.number * INTERVAL_NS) for one in firsts]
    jitter, jitters = 0.0, []
    for place in range(1, len(transits)):
        jitter += (abs(transits[place] - transits[place - 1]) - jitter) / 16
        jitters.append(jitter)
    late = [
        sum(transits[place] - min(transits[: place + 1]) > PLAYOUT_NS + margin for place in range(len(transits)))
        for margin in (500_000, -500_000)
    ]
    missing = [number not in seen for number in range(max(low, high + 1 - last), high + 1)]
    runs = sum(gone and not (place and missing[place - 1]) for place, gone in enumerate(missing))
    return Heard(
        lowest=low,
        highest=high,
        received=len(seen),
        duplicates=len(arrivals) - len(seen),
        reordered=reordered,
        jitter_mean=sum(jitters) / len(jitters) / 1e9,
        jitter_max=max(jitters) / 1e9,
        late=(late[0], late[1]),
        burst_ratio=sum(missing) / runs * (1 - sum(missing) / len(missing)) if runs else None,
    )


class Truth:
    """One call in a relay's book.

    Args:
        book: All of it.
        caller: Our RTP port.
        ssrc: Our SSRC.
    """

    def __init__(self, book: Iterable[Packet], caller: int, ssrc: int) -> None:
        mine = [packet for packet in book if packet.caller == caller]
        self._rtcp = [packet for packet in mine if packet.rtcp]
        rtp = [packet for packet in mine if not packet.rtcp]
        self.towards = [packet for packet in rtp if not packet.back and packet.ssrc == ssrc]
        self.back = [packet for packet in rtp if packet.back]
        self._ssrc = ssrc
        self.numbers = numbers_of(self.towards)
        self.sent_at = {self.numbers[ssrc, packet.seq]: packet.arrival for packet in self.towards if not packet.copy}

    @property
    def sent(self) -> int:
        """How many packets we sent."""
        return len(self.numbers)

    # --- an echo ------------------------------------------------------------------------------------------------------

    def echo(self) -> Heard:
        """Return what came back of what we sent."""
        return heard(self._echoes(), self.sent_at, (0, self.sent - 1), last=1024)

    def _echoes(self) -> list[Arrival]:
        own = [packet for packet in self.back if packet.before and packet.ssrc == self._ssrc]
        return [Arrival(self.numbers[self._ssrc, packet.seq], packet.before) for packet in own]

    def round_trips(self) -> list[float]:
        """Return the round-trip times of what came back, the first copy of each, in seconds, ascending."""
        first: dict[int, int] = {}
        for number, at in self._echoes():
            first.setdefault(number, at)
        return sorted((at - self.sent_at[number]) / 1e9 for number, at in first.items())

    # --- a room's own stream ------------------------------------------------------------------------------------------

    def segment(self, ssrc: int, first: int = 0, count: int | None = None) -> Heard:
        """Return what reached us of the stream with this SSRC, of ``count`` packets sent from the ``first`` on."""
        stream = [packet for packet in self.back if packet.ssrc == ssrc]
        numbers = numbers_of(stream)
        came = [Arrival(numbers[ssrc, packet.seq], packet.before) for packet in stream if packet.before]
        end = len(numbers) if count is None else first + count
        return heard([one for one in came if first <= one.number < end])

    # --- reports ------------------------------------------------------------------------------------------------------

    def last_report(self, ended_ns: int) -> tuple[int, tuple[int, int]]:
        """Return what the room's last report until ``ended_ns`` must say.

        Returns:
            How many of our packets it covers, from the first sent; and the bounds of how many of them it counts as
            lost: after A.3, since the first received, duplicates netted. They differ only if a packet arrived within
            the milliseconds in which the report was made.
        """
        said = [report for report in self._reports() if report.packet.before < ended_ns]
        last = said[-1]
        highest = self.numbers[self._ssrc, last.highest & 0xFFFF]
        known = [
            (self.numbers[self._ssrc, packet.seq], packet.before, packet.after)
            for packet in self.towards
            if packet.before
        ]
        first = known[0][0]
        expected = highest - first + 1
        made = last.packet.arrival
        surely = sum(number <= highest and after < made - 5_000_000 for number, _, after in known)
        perhaps = sum(number <= highest and before < made for number, before, _ in known)
        assert surely + 5 >= perhaps
        return highest + 1, (max(0, expected - perhaps), max(0, expected - surely))

    def report_round_trips(self, ended_ns: int) -> list[float]:
        """Return the round-trip times of reports that answer one of ours (RFC 3550 §6.4.1), in seconds, ascending."""
        sent = {}
        for packet in self._rtcp:
            if not packet.back and packet.data[1] == 200:
                sent[int.from_bytes(packet.data[10:14], "big")] = packet.arrival
        answers = [report for report in self._reports() if report.lsr and report.packet.before < ended_ns]
        return sorted((one.packet.before - sent[one.lsr]) / 1e9 - one.dlsr / 65536 for one in answers)

    def _reports(self) -> list[Block]:
        """Return the room's report blocks on our stream, in order of departure."""
        blocks = [Block.of(packet) for packet in self._rtcp if packet.back and packet.data[0] & 31]
        return sorted((block for block in blocks if block.ssrc == self._ssrc), key=lambda block: block.packet.before)

    def our_last_block(self) -> Block:
        """Return the block of our own last report, that with BYE."""
        ours = [packet for packet in self._rtcp if not packet.back and packet.data[0] & 31]
        return Block.of(max(ours, key=lambda packet: packet.arrival))


@dataclass(frozen=True)
class Block:
    """A report's first block (RFC 3550 §6.4), and the datagram it came in."""

    packet: Packet
    ssrc: int
    lost: int
    highest: int
    lsr: int
    dlsr: int

    @classmethod
    def of(cls, packet: Packet) -> Block:
        start = 28 if packet.data[1] == 200 else 8
        ssrc, lost, highest, _jitter, lsr, dlsr = struct.unpack_from("!IIIIII", packet.data, start)
        lost = (lost & 0xFFFFFF) - ((lost & 0x800000) << 1)
        return cls(packet, ssrc, lost, highest, lsr, dlsr)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile, interpolated between neighbours."""
    place = share * (len(ordered) - 1)
    below = int(place)
    return ordered[below] + (ordered[min(below + 1, len(ordered) - 1)] - ordered[below]) * (place - below)


def plan_of(line: Line, ssrc: int, **changes: Any) -> dict[str, Any]:
    """Return the facts of a stream of ours to a line, as `StreamPlan` takes them."""
    facts: dict[str, Any] = {
        "remote_host": line.host,
        "rtp_port": line.port,
        "rtcp_port": line.port + 1,
        "payload_type": 0,
        "codec": "PCMU",
        "accepted_payload_types": (0,),
        "ssrc": ssrc,
        "first_seq": 1000,
        "first_timestamp": 5000,
        "duration_seconds": 4.0,
    }
    return {**facts, **changes}

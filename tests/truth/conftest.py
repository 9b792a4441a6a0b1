"""Two namespaces with a cable between them, and the kernel's own count of what is dropped on it; lines with a relay."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.rigs import own_network
from tests.truth.relay import FRONT_PORT, Line, compile_relay

HERE = Path(__file__).parent
OUR_HOST, ROOM_HOST, ROOM_PORT, TALKER_PORT = "10.77.0.1", "10.77.0.2", 40000, 40002
Loss = int | list[tuple[int, int]]
Packets = dict[int, set[int]]
_numbers = itertools.count()


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@pytest.fixture(autouse=True)
def _untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What measures here runs as it does in the field: tracing takes time between a look at the clock and a packet."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


class Cable:
    """Our namespace and the room's, 10.77.0.1 and 10.77.0.2."""

    def __init__(self) -> None:
        mark = f"{os.getpid():x}{next(_numbers):x}"
        self.ours, self.room = f"bm-o-{mark}", f"bm-r-{mark}"
        self.our_interface, self.room_interface = f"o{mark}", f"r{mark}"
        self._processes: list[subprocess.Popen[str]] = []
        self._made: list[str] = []

    def many_rooms(self) -> None:
        """Let the room's end answer for all of 10.78.0.0/16."""
        _run("ip", "-n", self.room, "route", "add", "local", "10.78.0.0/16", "dev", "lo")
        _run("ip", "-n", self.ours, "route", "add", "10.78.0.0/16", "via", ROOM_HOST)

    def lay(self) -> None:
        for name in (self.ours, self.room):
            _run("ip", "netns", "add", name)
            self._made.append(name)
        ends = ((self.ours, self.our_interface, OUR_HOST), (self.room, self.room_interface, ROOM_HOST))
        _run("ip", "-n", self.ours, "link", "add", ends[0][1], "type", "veth", "peer", "name", ends[1][1])
        _run("ip", "-n", self.ours, "link", "set", ends[1][1], "netns", self.room)
        for name, interface, host in ends:
            _run("ip", "-n", name, "addr", "add", f"{host}/24", "dev", interface)
            _run("ip", "-n", name, "link", "set", interface, "up")
            _run("ip", "-n", name, "link", "set", "lo", "up")

    def remove(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for name in self._made:
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def start(self, namespace: str, *command: str) -> subprocess.Popen[str]:
        """Start a program in one of the namespaces; it is killed in the end if it still runs."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._processes.append(process)
        return process

    def start_room(self, script: str, *arguments: object, port: int = ROOM_PORT) -> subprocess.Popen[str]:
        """Start a far end and wait until it listens."""
        command = [sys.executable, str(HERE / script), ROOM_HOST, str(port), *map(str, arguments)]
        process = self.start(self.room, *command)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def capture(self, namespace: str, interface: str, pattern: str, path: Path) -> subprocess.Popen[str]:
        """Start dumpcap and wait until it listens."""
        process = self.start(namespace, "dumpcap", "-q", "-i", interface, "-f", pattern, "-w", str(path))
        assert process.stderr is not None
        assert any(line.startswith("File:") for line in process.stderr)
        return process

    def filter(self, namespace: str, rules: str) -> None:
        """Load nftables rules."""
        _run("ip", "netns", "exec", namespace, "nft", "-f", "-", text=rules)

    def narrow(self, mtu: int) -> None:
        """Make the room's end drop longer packets without a word, as a misconfigured tunnel does."""
        _run("ip", "-n", self.room, "link", "set", self.room_interface, "mtu", str(mtu))

    def drop(self, *, towards: Loss, back: Loss, spare: tuple[int, ...] = ()) -> None:
        """Drop RTP on its way to the room and back; the kernel counts it and notes each packet's SSRC and number.

        A loss is either so many parts of a thousand, at random, or the ranges of sequence numbers that are lost.
        Sequence numbers in ``spare`` always pass.
        """
        # Bits 80–95 of the transport header and what follows: behind UDP's 8 bytes, the sequence number.
        spared = f"@th,80,16 != {{ {', '.join(map(str, spare))} }}" if spare else ""
        sides = {"towards": ("prerouting", "dport", towards), "back": ("output", "sport", back)}
        rules = "table inet truth {\n"
        for name, (hook, end, loss) in sides.items():
            ranges = "" if isinstance(loss, int) else ", ".join(map(_range, loss))
            chosen = f"@th,80,16 {{ {ranges} }}" if ranges else f"numgen random mod 1000 < {loss or 0}"
            rules += f"""
                counter {name} {{ }}
                set lost_{name} {{ typeof @th,128,32 . @th,80,16; flags dynamic; size 1048576; }}
                chain {name} {{
                    type filter hook {hook} priority 0
                    udp {end} {{ {ROOM_PORT}, {TALKER_PORT} }} {spared} {chosen} counter name {name} \
                        add @lost_{name} {{ @th,128,32 . @th,80,16 }} drop
                }}"""
        self.filter(self.room, rules + "\n}")

    def dropped(self) -> tuple[int, int]:
        """Return the kernel's counts, towards the room and back."""
        counts = {one["counter"]["name"]: one["counter"]["packets"] for one in self._listed() if "counter" in one}
        return counts["towards"], counts["back"]

    def dropped_packets(self) -> tuple[Packets, Packets]:
        """Return which packets the kernel dropped, towards the room and back: the numbers of each SSRC."""
        noted = {one["set"]["name"]: one["set"].get("elem", []) for one in self._listed() if "set" in one}
        sides: list[Packets] = []
        for name in ("towards", "back"):
            lost: Packets = {}
            for element in noted[f"lost_{name}"]:
                ssrc, number = element["concat"]
                lost.setdefault(ssrc, set()).add(number)
            sides.append(lost)
        return sides[0], sides[1]

    def _listed(self) -> list[dict[str, Any]]:
        told = _run("ip", "netns", "exec", self.room, "nft", "-j", "list", "table", "inet", "truth")
        listed: list[dict[str, Any]] = json.loads(told)["nftables"]
        return listed

    def cut_early(self) -> None:
        """Have the kernel cut UDP_SEGMENT's entries before our cable's end, so that all that count see packets."""
        _run("ip", "-n", self.ours, "link", "set", self.our_interface, "gso_max_segs", "1")

    def udp_sent(self) -> int:
        """Return how many datagrams our side's processes gave to the kernel, one for each entry it was to cut."""
        told = _run("ip", "netns", "exec", self.ours, "cat", "/proc/net/snmp")
        titles, values = [line.split() for line in told.splitlines() if line.startswith("Udp:")]
        return int(dict(zip(titles, values, strict=True))["OutDatagrams"])

    def sent_bytes(self) -> tuple[int, int]:
        """Return packets and bytes (with 14 of Ethernet's each) that our interface has sent."""
        (link,) = json.loads(_run("ip", "-n", self.ours, "-j", "-s", "link", "show", self.our_interface))
        return link["stats64"]["tx"]["packets"], link["stats64"]["tx"]["bytes"]

    def call_video(self, card: Path, **changes: Any) -> subprocess.Popen[str]:
        """Start a video stream of ours to the room, of a card in a file."""
        facts: dict[str, Any] = {
            "remote_host": ROOM_HOST,
            "rtp_port": ROOM_PORT,
            "rtcp_port": ROOM_PORT + 1,
            "payload_type": 96,
            "accepted_payload_types": [96],
            "ssrc": 0x12345678,
            "first_seq": 65400,
            "first_timestamp": 2**32 - 90_000,
            "duration_seconds": 4.0,
        }
        return self.start(
            self.ours, sys.executable, str(HERE / "video_caller.py"), json.dumps({**facts, **changes}), str(card)
        )

    def call(self, **changes: Any) -> subprocess.Popen[str]:
        """Start a stream of ours to the room."""
        return self.start(self.ours, sys.executable, str(HERE / "caller.py"), json.dumps(plan(**changes)))

    def calls(self, job: Path, plans: list[dict[str, Any]], *before: str, **settings: Any) -> subprocess.Popen[str]:
        """Start many streams of one engine; ``job`` is a file to tell the caller of them, ``before`` precedes it."""
        job.write_text(json.dumps({"settings": settings, "plans": [plan(**changes) for changes in plans]}), "ascii")
        return self.start(self.ours, *before, sys.executable, str(HERE / "callers.py"), str(job))


def plan(**changes: Any) -> dict[str, Any]:
    """Return a stream of ours to the room."""
    return {
        "remote_host": ROOM_HOST,
        "rtp_port": ROOM_PORT,
        "rtcp_port": changes.get("rtp_port", ROOM_PORT) + 1,
        "payload_type": 0,
        "codec": "PCMU",
        "accepted_payload_types": [0],
        "ssrc": 0x12345678,
        "first_seq": 65400,
        "first_timestamp": 2**32 - 8000,
        "duration_seconds": 5.0,
        **changes,
    }


def _range(numbers: tuple[int, int]) -> str:
    first, last = numbers
    return f"{first}-{last}" if first != last else str(first)


def finish(process: subprocess.Popen[str], seconds: float = 60) -> str:
    """Return what a program printed, once it ended well."""
    out, error = process.communicate(timeout=seconds)
    assert process.returncode == 0, error
    return out


@pytest.fixture
def cable() -> Iterator[Cable]:
    laid = Cable()
    try:
        laid.lay()
        yield laid
    finally:
        laid.remove()


@pytest.fixture
def report_of() -> Any:
    """Return ``report_of(call)``: the report as plain values, once the stream is over."""
    return lambda process: json.loads(finish(process))


@pytest.fixture(scope="session")
def relay_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the relay, compiled."""
    return compile_relay(tmp_path_factory.mktemp("relay"))


@pytest.fixture
def network() -> Iterator[str]:
    """Return the first two bytes of loopback addresses that no other test has."""
    with own_network() as prefix:
        yield prefix


@pytest.fixture
def line(relay_program: Path, network: str, tmp_path: Path) -> Iterator[Callable[..., Line]]:
    """Return ``line(number, port)``: a relay's and its rooms' place on loopback; lines of one number share a host."""
    laid: list[Line] = []

    def lay(number: int, port: int = FRONT_PORT) -> Line:
        laid.append(Line(relay_program, tmp_path, f"{network}.{number}.1", f"{network}.{number}.2", port))
        return laid[-1]

    yield lay
    for one in laid:
        one.end()

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
from tests.truth.relay import Line, compile_relay

HERE = Path(__file__).parent
OUR_HOST, ROOM_HOST, ROOM_PORT = "10.77.0.1", "10.77.0.2", 40000
_numbers = itertools.count()


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Cable:
    """Our namespace and the room's, 10.77.0.1 and 10.77.0.2."""

    def __init__(self) -> None:
        mark = f"{os.getpid():x}{next(_numbers):x}"
        self.ours, self.room = f"bm-o-{mark}", f"bm-r-{mark}"
        self.our_interface, self.room_interface = f"o{mark}", f"r{mark}"
        self._processes: list[subprocess.Popen[str]] = []
        self._made: list[str] = []

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

    def start_room(self, script: str, *arguments: object) -> subprocess.Popen[str]:
        """Start a far end and wait until it listens."""
        command = [sys.executable, str(HERE / script), ROOM_HOST, str(ROOM_PORT), *map(str, arguments)]
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

    def narrow(self, mtu: int) -> None:
        """Make the room's end drop longer packets without a word, as a misconfigured tunnel does."""
        _run("ip", "-n", self.room, "link", "set", self.room_interface, "mtu", str(mtu))

    def drop(self, *, towards: int, back: int, spare: tuple[int, ...] = ()) -> None:
        """Drop RTP at random, in parts of a thousand, on its way to the room and back; count it exactly.

        Sequence numbers in ``spare`` always pass: a receiver can't know what it lost before its first and after its
        last packet.
        """
        # Bits 80–95 of the transport header and what follows: behind UDP's 8 bytes, the sequence number.
        spared = f"@th,80,16 != {{ {', '.join(map(str, spare))} }}" if spare else ""
        rules = f"""table inet truth {{
            counter towards {{ }}
            counter back {{ }}
            chain arriving {{
                type filter hook prerouting priority 0
                udp dport {ROOM_PORT} {spared} numgen random mod 1000 < {towards} counter name towards drop
            }}
            chain leaving {{
                type filter hook output priority 0
                udp sport {ROOM_PORT} {spared} numgen random mod 1000 < {back} counter name back drop
            }}
        }}"""
        _run("ip", "netns", "exec", self.room, "nft", "-f", "-", text=rules)

    def dropped(self) -> tuple[int, int]:
        """Return the kernel's counts, towards the room and back."""
        listed = json.loads(_run("ip", "netns", "exec", self.room, "nft", "-j", "list", "counters"))
        counts = {one["counter"]["name"]: one["counter"]["packets"] for one in listed["nftables"] if "counter" in one}
        return counts["towards"], counts["back"]

    def call(self, **changes: Any) -> subprocess.Popen[str]:
        """Start a stream of ours to the room."""
        plan: dict[str, Any] = {
            "remote_host": ROOM_HOST,
            "rtp_port": ROOM_PORT,
            "rtcp_port": ROOM_PORT + 1,
            "payload_type": 0,
            "codec": "PCMU",
            "accepted_payload_types": [0],
            "ssrc": 0x12345678,
            "first_seq": 65400,
            "first_timestamp": 2**32 - 8000,
            "duration_seconds": 5.0,
        }
        return self.start(self.ours, sys.executable, str(HERE / "caller.py"), json.dumps({**plan, **changes}))


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

    def lay(number: int, port: int = 40000) -> Line:
        laid.append(Line(relay_program, tmp_path, f"{network}.{number}.1", f"{network}.{number}.2", port))
        return laid[-1]

    yield lay
    for one in laid:
        one.end()

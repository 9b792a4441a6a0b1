"""Nations for tests of the whole: a configuration written to a folder, and the commands as processes.

Nothing of the daemon is imported: what is tested here is what an operator starts.
"""

from __future__ import annotations

import contextlib
import csv
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

COLUMNS = ("code", "name", "tier", "parent", "carrier", "endpoint", "probe", "attends_at", "via", "speaking")
CARRIERS = ("VNPT", "Viettel")
MEASURE = "COVERAGE_PROCESS_CONFIG"
"""Set by coverage for the processes it is to measure. Tracing costs a media process its pace."""
_MEASURED = os.environ.get(MEASURE)
_GUARD_PORT = 61_000  # as in the simulated nation's own tests: whoever holds it has the network


@contextlib.contextmanager
def own_network() -> Iterator[str]:
    """Hold the first two bytes of loopback addresses that nobody else has, not even another run beside this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guard:
        for number in range(os.getpid(), os.getpid() + 30):
            prefix = f"127.{222 + number % 30}"
            try:
                guard.bind((f"{prefix}.255.254", _GUARD_PORT))
            except OSError:
                continue
            yield prefix
            return
    raise RuntimeError("every network kept for whole nations is in use")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
    """Return a port that nobody had a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@dataclass
class Country:
    """A configuration to be written: provinces with communes below them, each room on an address of its own.

    Attributes:
        folder: Where the files go.
        network: First two bytes of all addresses.
        provinces: How many; their rooms are called as well.
        communes: How many below each.
        window: Seconds from now until the rehearsal begins and until it ends.
        conference: Seconds from now until the conference begins; it lasts three hours.
        profiles: ``probes:`` of ``bridge_monitor.yaml``.
        profile_of: Profiles of single sites; others have the first of all.
        settings: Put over the other keys of ``bridge_monitor.yaml``.
        event: Put over the keys of ``event.yaml``.
        more_sites: Rows of further sites.
    """

    folder: Path
    network: str
    provinces: int = 4
    communes: int = 29
    window: tuple[float, float] = (-600.0, 7200.0)
    conference: float = 4 * 3600.0
    profiles: Mapping[str, Any] = field(default_factory=lambda: {"short": {"duration": "2 s"}})
    profile_of: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    event: Mapping[str, Any] = field(default_factory=dict)
    more_sites: Sequence[Sequence[str]] = ()

    @property
    def state_dir(self) -> Path:
        """Where the commands keep their locks and journals."""
        return self.folder / "state"

    @property
    def codes(self) -> list[str]:
        """The codes of all rooms that are called."""
        rooms = []
        for province in range(1, self.provinces + 1):
            rooms.append(f"{province:02}")
            rooms += [f"{province:02}{commune:03}" for commune in range(1, self.communes + 1)]
        return rooms

    def endpoint(self, code: str) -> str:
        """Return a room's URI: unusual addresses, unusual ports, now and then none."""
        province, commune = int(code[:2]), int(code[2:] or 0)
        host = f"{self.network}.{province}.{commune % 250 + 1}"
        port = 5060 + commune // 250 + 7 * (commune % 5)
        return f"sip:{code}@{host}" + ("" if port == 5060 else f":{port}")

    def write(self) -> Path:
        """Write the four files; return their folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_sites()
        (self.folder / "contacts.csv").write_text(
            "scope,code,role,channel,address,registered_at\n"
            "province,01,Cán bộ trực,email,truc-bi-mat@example.org,2020-01-01 09:00\n",
            "utf-8",
        )
        self.write_event()
        self.write_settings()
        return self.folder

    def write_sites(self, left_out: Iterable[str] = ()) -> None:
        """Write ``sites.csv``, without some."""
        gone = set(left_out)
        with (self.folder / "sites.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            table.writerow(["00", "Trung ương", "central", "", "VNPT", "", "none", "", "", "yes"])
            for number, code in enumerate(self.codes):
                if code in gone:
                    continue
                tier, parent = ("province", "00") if len(code) == 2 else ("commune", code[:2])
                profile = self.profile_of.get(code, next(iter(self.profiles)))
                carrier = CARRIERS[number % len(CARRIERS)]
                table.writerow([code, f"Phòng {code}", tier, parent, carrier, self.endpoint(code), profile, "", "", ""])
            table.writerows(self.more_sites)

    def write_event(self) -> None:
        """Write ``event.yaml`` with dates around now."""
        opens, closes = (_moment(seconds) for seconds in self.window)
        event = {
            "title": "Hội nghị thử",
            "zone": "Asia/Ho_Chi_Minh",
            "rehearsals": [{"start": opens, "end": closes}],
            "guard": "10 min",
            "conference": {"start": _moment(self.conference), "end": _moment(self.conference + 3 * 3600)},
        }
        (self.folder / "event.yaml").write_text(yaml.safe_dump({**event, **self.event}, allow_unicode=True), "utf-8")

    def write_settings(self, **changes: Any) -> None:
        """Write ``bridge_monitor.yaml``: caps that don't hinder, intervals that call each room once."""
        settings = {
            "tiers": ["central", "province", "commune"],
            "probes": self.profiles,
            "caps": {
                "total": {"calls_per_second": 200, "calls_at_once": 400},
                "per_province": {"bandwidth": "1 Gbit/s"},
            },
            "intervals": {"default": "1 h", "retry": "1 h", "min_between_calls": "1 s"},
            "listen": {"http": "127.0.0.1:0", "state_dir": "state"},
        }
        for key, value in {**self.settings, **changes}.items():
            settings[key] = {**settings[key], **value} if isinstance(settings.get(key), dict) else value  # type: ignore[dict-item]
        (self.folder / "bridge_monitor.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), "utf-8")


def _moment(seconds_from_now: float) -> str:
    moment = datetime.now(UTC) + timedelta(seconds=seconds_from_now)
    return moment.isoformat(timespec="seconds")


class Command:
    """A command of the program as a process of its own, its output in files.

    Args:
        folder: Where the output goes.
        words: The command line after the program's name.
        measured: Whether coverage, if it is asked for, looks on; not where the pace matters.
        under: A command line that starts it (``setpriv …``).
    """

    def __init__(self, folder: Path, *words: str | Path, measured: bool = True, under: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.iterdir()))
        self.out, self.err = folder / f"{number}-{words[0]}.out", folder / f"{number}-{words[0]}.err"
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        environment.pop(MEASURE, None)
        if measured and _MEASURED is not None:
            environment[MEASURE] = _MEASURED
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*under, sys.executable, "-m", "bridge_monitor", *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                process_group=0,  # so that a signal reaches the command alone, as a service manager's does
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def printed(self) -> str:
        """Its output so far."""
        return self.out.read_text("utf-8")

    @property
    def told(self) -> str:
        """What it wrote to standard error so far."""
        return self.err.read_text("utf-8")

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Its output as JSON, an object a line."""
        return [json.loads(line) for line in self.printed.splitlines()]

    def log(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of its log with this event."""
        lines = [json.loads(line) for line in self.told.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def until(self, text: str, within: float = 30.0, *, told: bool = False) -> None:
        """Wait until its output holds a text.

        Raises:
            AssertionError: It ended or took too long.
        """
        deadline = time.monotonic() + within
        while text not in (self.told if told else self.printed):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no {text!r}; exit {self.process.poll()}\n{self.printed}\n{self.told}")
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, within: float = 30.0) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(within)

    def stop(self) -> None:
        """End it whatever it does: SIGTERM, then SIGKILL."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def children(self) -> list[int]:
        """The process ids of its living children."""
        try:
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("ascii")
        except OSError:
            return []
        return [int(pid) for pid in text.split()]

    @property
    def url(self) -> str:
        """Where a daemon listens, once it does."""
        self.until('"listening"', told=True)
        return str(self.log("listening")[0]["metrics"]).removesuffix("/metrics")


def get(url: str, path: str, method: str = "GET") -> tuple[int, str]:
    """Return status and text of an HTTP request to a daemon."""
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    """Wait for a process to end; tell whether it did."""
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True

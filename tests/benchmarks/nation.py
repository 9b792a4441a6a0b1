"""One run of a nation: simulator on one core, daemon on the other, watched from outside.

Owns the processes and what is read of them (processor time, memory); what a figure means is the benchmarks'.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import harness
from country import Country

_SAMPLE_SECONDS: Final = 0.25
_START_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 60.0


@dataclass
class Sample:
    """The daemon's use of the machine at a moment: processor time by process, and memory."""

    at: float
    main_cpu: float
    engine_cpu: float
    simulator_cpu: tuple[float, ...]
    pss_mb: float


@dataclass
class Run:
    """What one run showed.

    Attributes:
        results: First result of each site, see `nation_daemon.Notes.take`.
        samples: Taken while it ran.
        stalls: (when, seconds) the loop came back late, if it was watched.
        held: What scrapes held of the loop, see `held.Held`, if it was watched.
        engine: What the engine says of itself.
        simulators: Each simulator's own report.
    """

    results: dict[str, list[Any]]
    samples: list[Sample]
    stalls: list[list[float]]
    held: dict[str, Any]
    engine: dict[str, int]
    simulators: list[dict[str, Any]]

    @property
    def void(self) -> str:
        """Why the simulator says that this run proves nothing; empty if it was good."""
        return "; ".join(
            f"{', '.join(report['void_reasons'])} {report['own']}" for report in self.simulators if report["void"]
        )

    @property
    def began(self) -> float:
        """When the first call was started, POSIX seconds."""
        return float(min(result[0] for result in self.results.values()))

    def cores(self, start: float, end: float) -> tuple[float, float]:
        """Return the mean use of a core, main process and engine, between two moments."""
        times = [sample.at for sample in self.samples]
        first = self.samples[max(0, bisect.bisect_right(times, start) - 1)]
        last = self.samples[min(len(times) - 1, bisect.bisect_left(times, end))]
        span = last.at - first.at
        return (last.main_cpu - first.main_cpu) / span, (last.engine_cpu - first.engine_cpu) / span

    def simulator_cores(self) -> tuple[float, ...]:
        """Return the most of its core that the simulator used over some two seconds: SIP, media (of each of them)."""
        pairs = zip(self.samples, self.samples[8:], strict=False)
        a, b = max(pairs, key=lambda pair: sum(pair[1].simulator_cpu) - sum(pair[0].simulator_cpu))
        return tuple((y - x) / (b.at - a.at) for x, y in zip(a.simulator_cpu, b.simulator_cpu, strict=True))

    def busiest(self) -> tuple[float, float]:
        """Return the same of the daemon: main process and engine."""
        pairs = zip(self.samples, self.samples[8:], strict=False)
        a, b = max(pairs, key=lambda p: p[1].main_cpu + p[1].engine_cpu - p[0].main_cpu - p[0].engine_cpu)
        return (b.main_cpu - a.main_cpu) / (b.at - a.at), (b.engine_cpu - a.engine_cpu) / (b.at - a.at)

    @property
    def pss_mb(self) -> float:
        """The most memory all processes of the daemon had together."""
        return max(sample.pss_mb for sample in self.samples)


class Child:
    """A process that prints JSON lines."""

    def __init__(self, core: int, *words: str | Path, log: Path) -> None:
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), sys.executable, *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                process_group=0,
                text=True,
            )
        self._log = log
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def next(self, within: float) -> dict[str, Any] | None:
        """Return the next line, None if none comes in time; exit if the process is gone."""
        try:
            line = self._lines.get(timeout=within)
        except queue.Empty:
            return None
        if not line:
            sys.exit(f"scripts/bench: a process ended early:\n{self._log.read_text(errors='replace')[-2000:]}")
        told: dict[str, Any] = json.loads(line)
        return told

    def await_line(self, within: float) -> dict[str, Any]:
        """Return the next line; exit if none comes in time."""
        told = self.next(within)
        if told is None:
            sys.exit(f"scripts/bench: no answer in {within:.0f} s:\n{self._log.read_text(errors='replace')[-2000:]}")
        return told

    def end(self) -> dict[str, Any]:
        """Ask it to end and return its last line."""
        self.process.send_signal(signal.SIGTERM)
        told = self.await_line(_STOP_SECONDS)
        while "swept" in told:  # told just as it was asked to end
            told = self.await_line(_STOP_SECONDS)
        self.process.wait(_STOP_SECONDS)
        return told

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()


def run(
    country: Country,
    place: Path,
    *,
    within: float,
    watch: bool = False,
    meanwhile: Callable[[dict[str, Any]], None] | None = None,
) -> Run:
    """Simulate the nation and have the daemon call it once.

    Args:
        country: The nation.
        place: Folder for logs.
        within: Seconds after which the daemon is stopped, swept or not.
        watch: Whether the daemon notes its loop's stalls.
        meanwhile: Is called in a thread of its own with what the daemon told when it listened.
    """
    here = Path(__file__).resolve().parent
    with _children() as children:
        for number, folder in enumerate(country.simulated):
            simulator = Child(
                harness.FAR_CORE, "-m", "bridge_monitor", "simulate", "--config", folder, "--faults",
                country.faults, "--json", log=place / f"simulator-{number}.log",
            )  # fmt: skip
            children.append(simulator)
            simulator.await_line(_START_SECONDS)
        simulators = list(children)
        options = ["watch"] if watch else []
        daemon = Child(harness.NEAR_CORE, here / "nation_daemon.py", country.folder, *options, log=place / "daemon.log")
        children.append(daemon)
        listening = daemon.await_line(_START_SECONDS)
        thread = None
        if meanwhile is not None:
            thread = threading.Thread(target=meanwhile, args=(listening,), daemon=True)
            thread.start()
        samples = _sample_until_swept(daemon, listening["engine"], simulators, within)
        noted = daemon.end()
        reports = [simulator.end() for simulator in simulators]
        if thread is not None:
            thread.join(_STOP_SECONDS)
    return Run(noted["results"], samples, noted["stalls"], noted["held"], noted["engine"], reports)


@contextlib.contextmanager
def _children() -> Iterator[list[Child]]:
    children: list[Child] = []
    try:
        yield children
    finally:
        for child in reversed(children):
            child.kill()


def _sample_until_swept(daemon: Child, engine: int, simulators: list[Child], within: float) -> list[Sample]:
    pid, deadline = daemon.process.pid, time.monotonic() + within
    far = [pid for one in simulators for pid in (one.process.pid, *harness.children(one.process.pid))]
    samples: list[Sample] = []
    while time.monotonic() < deadline:
        at = time.time()
        memory = harness.pss_mb(pid) + harness.pss_mb(engine) if len(samples) % 4 == 0 else samples[-1].pss_mb
        theirs = tuple(harness.cpu_seconds(one) for one in far)
        samples.append(Sample(at, harness.cpu_seconds(pid), harness.cpu_seconds(engine), theirs, memory))
        if daemon.next(_SAMPLE_SECONDS) is not None:
            break
    return samples


def stay_away() -> None:
    """Keep this process off the daemon's core."""
    os.sched_setaffinity(0, {harness.FAR_CORE})

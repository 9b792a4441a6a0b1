"""What benchmarks share: C programs compiled on the spot, processor time by process, the far end, medians, a table.

Owns measuring; must not know what is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
CORES: Final = sorted(os.sched_getaffinity(0))
NEAR_CORE: Final = CORES[0]
FAR_CORE: Final = CORES[-1]
"""What is measured has a core, and the far end another, where there are two."""
PRIORITY: Final = 10
"""Real-time, and the same for all: above the engine's own, so that other tests on the machine don't make runs void."""
LATE_LIMIT_US: Final = 20_000
"""A far end that held a datagram longer than a packet interval was not there: the run is void."""


def say(text: str = "") -> None:
    """Print at once, so that a pipe's reader sees where a long run is."""
    print(text, flush=True)  # noqa: T201 (a benchmark prints)


def compile_c(name: str, directory: Path) -> Path:
    """Compile ``name``.c of this directory; exit with what to do if that is impossible."""
    compiler = shutil.which("gcc")
    if compiler is None:
        sys.exit("scripts/bench: gcc is not installed; as root: apt-get install gcc libc6-dev")
    program = directory / name
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, HERE / f"{name}.c"], check=True)
    return program


def pin(pid: int, core: int) -> None:
    """Keep a process, all its threads, on one core, and before what else may want it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(PRIORITY))


def cpu_seconds(pid: int) -> float:
    """Return the processor time all threads of a process have used, to the nanosecond (schedstat(5))."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total / 1e9


def free_port_pair() -> int:
    """Return an even UDP port that is free together with the next one."""
    for port in range(40000, 60000, 2):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for number in (port, port + 1):
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.bind(("0.0.0.0", number))
            return port
    sys.exit("scripts/bench: no two neighbouring UDP ports are free")


class Reflector:
    """Our own far end (reflector.c) on its own core; ``counts`` asks it what happened since the last time."""

    def __init__(self, program: Path, port: int, *options: str) -> None:
        self.port = port
        self._process = subprocess.Popen(
            [program, str(port), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        pin(self._process.pid, FAR_CORE)
        if self._line() != "ready\n":
            sys.exit("scripts/bench: the reflector did not start")

    def counts(self) -> dict[str, int]:
        """Return received, reflected, dropped and late_us since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        counts: dict[str, int] = json.loads(self._line())
        return counts

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@contextlib.contextmanager
def reflector(program: Path, *options: str) -> Iterator[Reflector]:
    """Run a reflector on free ports."""
    far = Reflector(program, free_port_pair(), *options)
    try:
        yield far
    finally:
        far.close()


def why_void(counts: Mapping[str, float]) -> str:
    """Return why a run with this far end proves nothing; an empty text if it was good."""
    if counts["dropped"]:
        return f"the reflector dropped {counts['dropped']}"
    if counts["late_us"] > LATE_LIMIT_US:
        return f"the reflector was {counts['late_us'] / 1000:.0f} ms late"
    return ""


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the ratio of two medians."""
    return round(statistics.median(over) / statistics.median(under), 3)


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table, the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    say(f"\n{title}\n")
    for number, row in enumerate(cells):
        say("  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))))
        if not number:
            say("  ".join("-" * width for width in widths))


def pss_mb(pid: int) -> float:
    """Return a process's proportional memory in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def c_loop(programs: Path, *, calls: int = 2000, tick_us: int = 5000, seconds: float = 4.0) -> dict[str, float]:
    """Run the bare loop once, both programs compiled into ``programs``; return what it and the far end tell."""
    with reflector(programs / "reflector") as far:
        arguments = [far.port, calls, tick_us, 500, round(seconds * 1000), 1]
        done = subprocess.run(
            ["taskset", "-c", str(NEAR_CORE), programs / "loop", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
        )
        counts = far.counts()
    told: dict[str, float] = json.loads(done.stdout)
    return {**told, "tick_late_us": told["late_us"], **counts}


def c_loop_rate(place: Path, runs: int = 3) -> int:
    """Return the bare loop's packets per CPU-second on this machine now: what an absolute figure stands beside."""
    for name in ("reflector", "loop"):
        compile_c(name, place)
    rates = []
    for _ in range(runs):
        told = c_loop(place, seconds=2.0)
        rates.append((told["sent"] + told["received"]) / told["cpu_seconds"])
    return round(statistics.median(rates))


def children(pid: int) -> list[int]:
    """Return the processes that a process has started itself."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found

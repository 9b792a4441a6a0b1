"""Entry of ``scripts/bench NAME``: finds the benchmark, runs it, prints its table and, last, one JSON line."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def names() -> list[str]:
    """Return the benchmarks there are: one module ``bench_NAME.py`` each."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def main(arguments: list[str]) -> int:
    """Run one benchmark; each has options of its own (``scripts/bench NAME --help``)."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=main.__doc__, add_help=False)
    parser.add_argument("name", choices=names(), nargs="?")
    known, rest = parser.parse_known_args(arguments)
    if known.name is None:
        print(f"usage: scripts/bench NAME [--help | options]\n\nNAME is one of: {', '.join(names())}")  # noqa: T201 (a command's answer)
        return 0 if {"-h", "--help"} & set(rest) else 2
    figures = importlib.import_module(f"bench_{known.name}").run(rest)
    print(json.dumps({"bench": known.name, "figures": figures}))  # noqa: T201 (a command's answer)
    return 0


if __name__ == "__main__":
    # A benchmark that is ended ends what it started, as one that is interrupted does.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))

"""A scraper that costs next to nothing, so that what is timed is the daemon and not its client.

``scraper.py``: for each ``host port`` on its standard input it scrapes once and prints one JSON line. A process of its
own: the benchmark's shares its interpreter with what samples memory. It parses no line, which a Prometheus does after
the last byte and not on the daemon's time.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator

_MOST_BYTES = 100_000_000
_AT_ONCE = 1 << 18
_SECONDS = 60.0


@contextlib.contextmanager
def _priority() -> Iterator[None]:
    """Have the priority of the simulator's media while reading: neither waits for the other's sleep to end."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield
        return
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def scrape(host: str, port: int, into: bytearray) -> dict[str, float]:
    """Scrape once and return the times (POSIX) of the request, the first and the last byte, and what came.

    Raises:
        ValueError: The answer is not a whole and good one.
    """
    room = memoryview(into)
    request = f"GET /metrics HTTP/1.1\r\nHost: {host}:{port}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
    with _priority(), socket.socket() as connection:
        connection.settimeout(_SECONDS)
        begin = first = end = time.time()
        connection.connect((host, port))
        connection.sendall(request.encode("ascii"))
        size = 0
        while count := connection.recv_into(room[size : size + _AT_ONCE]):
            end = time.time()
            first = first if size else end
            size += count
    head, _, _ = bytes(room[:4096]).partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    start = len(head) + 4
    if b"content-length" in fields:
        complete = size - start == int(fields[b"content-length"])
    else:
        complete = into[:size].endswith(b"\r\n0\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or not complete:
        raise ValueError(f"no whole scrape: {head[:200]!r}, {size - start} bytes")
    series = into.count(b"\n", start, size) - into.count(b"\n# ", start, size)
    sites = into.count(b"\nbridge_site_grade{", start, size)
    return {"begin": begin, "first": first, "end": end, "bytes": size - start, "series": series, "sites": sites}


def main() -> None:
    """Scrape whenever it is asked to."""
    into = bytearray(b"\1") * _MOST_BYTES  # its pages are there
    for line in sys.stdin:
        host, port = line.split()
        try:
            told: dict[str, float | str] = {**scrape(host, int(port), into)}
        except (OSError, ValueError) as error:
            told = {"failed": str(error)}
        print(json.dumps(told), flush=True)  # noqa: T201 (the benchmark reads it)


if __name__ == "__main__":
    main()

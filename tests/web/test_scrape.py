"""``/metrics`` over HTTP: the transfer, and what a scrape of the whole nation costs the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import http.client
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from bridge_monitor.web import Aggregates, Exporter, OwnHealth, create_app, scrape, serve
from tests.web.nation import (
    Client,
    Daemon,
    an_event,
    national_inventory,
    national_states,
    result_of,
    small_inventory,
    snapshot_of,
    state_of,
)

ROOMS = 11_363

# A coverage run traces every line; the bounds are for the program as it runs.
SLOWER = 4 if sys.gettrace() else 1


def stable_lines(text: str) -> list[str]:
    """The lines of the nation; ``process_*`` change from one moment to the next."""
    return [line for line in text.splitlines() if line.startswith("bridge_")]


class TestTransfer:
    async def test_the_exposition_comes_whole_with_its_content_type(self, client: Client, daemon: Daemon) -> None:
        daemon.snapshot = snapshot_of(small_inventory(), state_of(result_of()))
        response = await client.get("/metrics", headers={"Accept-Encoding": "identity"})
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "Content-Encoding" not in response.headers
        slices = Exporter().slices(daemon.snapshot, Aggregates().view(), OwnHealth(), an_event())
        assert stable_lines(await response.text()) == stable_lines(b"".join(slices).decode())

    @pytest.mark.parametrize(
        ("accepted", "packed"),
        [
            ("gzip", True),
            ("br, GZIP;q=0.5", True),
            ("deflate", False),
            ("gzip;q=0", False),
            ("gzip; q=0.000, identity", False),
            ("gzip;q=0.001", True),
            ("x-gzip-like", False),
            ("", False),
        ],
    )
    async def test_it_is_compressed_if_a_client_elsewhere_takes_gzip(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, accepted: str, *, packed: bool
    ) -> None:
        monkeypatch.setattr(scrape, "is_of_this_host", lambda _ours, _theirs: False)
        connection = http.client.HTTPConnection(str(client.host), client.port)  # reads the bytes as they are

        def get() -> tuple[str | None, bytes]:
            with contextlib.closing(connection):
                connection.request("GET", "/metrics", headers={"Accept-Encoding": accepted})
                response = connection.getresponse()
                return response.getheader("Content-Encoding"), response.read()

        encoding, body = await asyncio.to_thread(get)
        assert encoding == ("gzip" if packed else None)
        text = (gzip.decompress(body) if packed else body).decode()
        assert text.startswith("# HELP bridge_monitor_build_info")
        assert text.endswith("\n")

    async def test_it_is_not_compressed_for_a_client_on_this_host(self, client: Client) -> None:
        """No line is spared by it, and the calls need the processor."""
        response = await client.get("/metrics", headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in response.headers
        assert (await response.text()).startswith("# HELP bridge_monitor_build_info")

    @pytest.mark.parametrize(
        ("ours", "theirs", "here"),
        [
            ("127.0.0.1", "127.0.0.1", True),
            ("127.0.0.1", "127.9.9.9", True),
            ("::1", "::1", True),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.2", True),
            ("192.0.2.1", "192.0.2.1", True),
            ("192.0.2.1", "192.0.2.2", False),
            ("2001:db8::1", "2001:db8::2", False),
            ("fe80::1%eth0", "fe80::2%eth0", False),
        ],
    )
    def test_a_client_is_of_this_host_if_its_address_is(self, ours: str, theirs: str, *, here: bool) -> None:
        assert scrape.is_of_this_host(ours, theirs) is here

    async def test_more_scrapes_at_once_than_memory_is_kept_for_are_refused(self, nation: Daemon) -> None:
        """Each may hold a picture of its own; once one has ended, the next is answered."""
        server = await serve(create_app(nation.services()), "127.0.0.1", 0)

        def ask(connection: socket.socket) -> bytes:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
            return connection.recv(12)

        try:
            with contextlib.ExitStack() as idle:
                answers = []
                for _ in range(scrape.AT_ONCE + 1):
                    connection = idle.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
                    answers.append(await asyncio.to_thread(ask, connection))
            assert answers == [b"HTTP/1.1 200"] * scrape.AT_ONCE + [b"HTTP/1.1 503"]
            answer = b""
            async with asyncio.timeout(10):
                while answer != b"HTTP/1.1 200":  # until the server has seen that they are gone
                    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
                        answer = await asyncio.to_thread(ask, connection)
        finally:
            await server.stop()

    async def test_what_cannot_be_rendered_is_an_error_and_never_half_a_scrape(
        self, client: Client, daemon: Daemon
    ) -> None:
        """Prometheus counts the scrape as failed."""
        broken = dict(daemon.snapshot.states) | {"01001": object()}
        daemon.snapshot = snapshot_of(small_inventory())
        object.__setattr__(daemon.snapshot, "states", broken)
        assert (await client.get("/metrics")).status == 500

    async def test_a_connection_is_kept_for_the_next_scrape(self, client: Client) -> None:
        """As Prometheus does it: the answers, written past the HTTP server, say where they end."""
        with contextlib.closing(http.client.HTTPConnection(str(client.host), client.port)) as connection:

            def get(path: str) -> tuple[int, int | None, bytes]:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.length, response.read()

            for _ in range(3):
                status, length, body = await asyncio.to_thread(get, "/metrics")
                assert (status, length) == (200, len(body))
                assert body.startswith(b"# HELP bridge_monitor_build_info")
                used = connection.sock
                assert used is not None
                assert (await asyncio.to_thread(get, "/-/healthy"))[0] == 200
                assert connection.sock is used

    async def test_requests_that_came_together_are_answered_one_after_the_other(self, client: Client) -> None:
        """No answer is written into another."""
        wanted = b"GET /-/healthy HTTP/1.1\r\nHost: here\r\n\r\nGET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
        last = b"GET /-/healthy HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
        with socket.create_connection((str(client.host), client.port or 0), 10) as connection:
            connection.sendall(wanted + wanted + last)
            heads = (await asyncio.to_thread(read_all, connection)).split(b"HTTP/1.1 200 OK\r\n")
        assert [b"bridge_monitor_build_info" in head for head in heads] == [False, False, True, False, True, False]
        for head in heads[1:]:
            fields, _, body = head.partition(b"\r\n\r\n")
            assert f"Content-Length: {len(body)}".encode() in fields

    async def test_a_client_that_gives_up_costs_no_error(
        self, nation: Daemon, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = await serve(create_app(nation.services()), "127.0.0.1", 0)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
            assert (await reader.read(100)).startswith(b"HTTP/1.1 200 OK")
            writer.transport.abort()
        finally:
            await server.stop()  # waits for the request to end
        assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []

    async def test_a_client_that_does_not_read_is_cut_off(
        self, nation: Daemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It would hold a picture of the nation for as long as it likes."""
        monkeypatch.setattr(scrape, "LONGEST_SECONDS", 0.2)
        server = await serve(create_app(nation.services()), "127.0.0.1", 0)
        try:
            with socket.create_connection(("127.0.0.1", server.port)) as idle:
                idle.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
                idle.settimeout(10)
                received = await asyncio.to_thread(idle.recv, 1 << 16)
                await asyncio.sleep(0.5)
                received += await asyncio.to_thread(read_all, idle)
        finally:
            await server.stop()
        assert received.startswith(b"HTTP/1.1 200 OK")
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].split()[0])
        assert len(body) < length, "it is told that the rest never came"
        assert length > 30e6

    async def test_a_server_that_stops_waits_for_no_client_that_does_not_read(
        self, nation: Daemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Requests under way are given their time to end; then no thread writes any more."""
        monkeypatch.setattr("bridge_monitor.web.server._STOP_SECONDS", 0.2)
        server = await serve(create_app(nation.services()), "127.0.0.1", 0)
        with socket.create_connection(("127.0.0.1", server.port)) as idle:
            idle.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
            assert (await asyncio.to_thread(idle.recv, 12)) == b"HTTP/1.1 200"
            async with asyncio.timeout(5):
                await server.stop()
            idle.settimeout(5)
            assert len(await asyncio.to_thread(read_all, idle)) < 30e6


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


READER = """
import http.client, sys, time
print("ready", flush=True)
sys.stdin.readline()
started = time.perf_counter()
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("GET", "/metrics", headers={"Accept-Encoding": sys.argv[2]})
response = connection.getresponse()
total = 0
while data := response.read(1 << 18):
    total += len(data)
print(response.status, total, time.perf_counter() - started)
"""


class LoopWatch:
    """Asks the loop to wake it every millisecond, and keeps how late it did: wall time and own processor time."""

    def __init__(self) -> None:
        self.longest_wall = 0.0
        self.longest_busy = 0.0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            wall, busy = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            self.longest_wall = max(self.longest_wall, time.perf_counter() - wall)
            self.longest_busy = max(self.longest_busy, time.thread_time() - busy)


@pytest.fixture(scope="module")
def nation() -> Iterator[Daemon]:
    """Every room with all its figures; the garbage collector rests.

    A full collection over a nation of results takes tens of milliseconds, whoever allocates the object that sets it
    off: that stall belongs to the process, and is not what is measured here.
    """
    inventory = national_inventory()
    assert len(inventory) == ROOMS
    daemon = Daemon(snapshot_of(inventory, *national_states(inventory).values()))
    for site in inventory:
        result = daemon.snapshot.states[site.code].last
        assert result
        daemon.aggregates.observe(result, site, inventory)
    gc.disable()
    yield daemon
    gc.enable()


class TestTheWholeNation:
    def test_rendering_takes_a_fraction_of_a_second_and_a_few_milliseconds_at_a_time(self, nation: Daemon) -> None:
        """Measured in the thread's own processor time, so that a busy machine does not fail it.

        Kept text takes 0.05 s, and 2 ms for the longest slice; the bounds leave room for a slower processor.
        """
        exporter = Exporter()
        totals = []
        for _ in range(3):  # the first builds every row, the others find them
            longest = total = size = 0.0
            slices: Iterator[bytes] = iter(())
            more = True
            while more:
                before = time.thread_time()
                if total == 0:
                    slices = exporter.slices(nation.snapshot, nation.aggregates.view(), nation.health, an_event())
                text = next(slices, None)
                spent = time.thread_time() - before
                total, longest, size = total + spent, max(longest, spent), size + len(text or b"")
                more = text is not None
            totals.append(total)
            assert longest < 0.020 * SLOWER
        assert size > 30e6
        assert totals[0] < 1.2 * SLOWER
        assert min(totals[1:]) < 0.15 * SLOWER

    @pytest.mark.parametrize("coding", ["identity", "gzip"])
    async def test_a_scrape_by_another_process_leaves_the_loop_free(
        self, nation: Daemon, monkeypatch: pytest.MonkeyPatch, coding: str
    ) -> None:
        """The loop's own work between two wake-ups of another task stays short, whatever the client reads."""
        monkeypatch.setattr(scrape, "is_of_this_host", lambda _ours, _theirs: False)
        server = await serve(create_app(nation.services()), "127.0.0.1", 0)
        watch = LoopWatch()
        try:
            command = [sys.executable, "-c", READER, str(server.port), coding]
            for _ in range(2):
                reader = await asyncio.create_subprocess_exec(
                    *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
                )
                assert reader.stdout
                assert await reader.stdout.readline() == b"ready\n"
                async with watch.running():  # only now: starting a process stalls the loop by itself
                    output, _ = await reader.communicate(b"\n")
                status, size, seconds = output.split()
                assert int(status) == 200
                assert (int(size) > 30e6) == (coding == "identity")
                assert int(size) > 1e6
                print(  # noqa: T201 - the measured figures, shown with pytest -s
                    f"\n{coding}: {int(size) / 1e6:.1f} MB, last byte after {float(seconds):.2f} s, longest stall "
                    f"{watch.longest_wall * 1e3:.0f} ms wall, {watch.longest_busy * 1e3:.0f} ms busy"
                )
        finally:
            await server.stop()
        assert watch.longest_busy < 0.020 * SLOWER

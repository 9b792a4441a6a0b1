from __future__ import annotations

import asyncio
import os
import time
import uuid
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.net import clock
from bridge_monitor.net.clock import Chance, LoopLagMonitor


def test_posix_and_nanoseconds_are_the_same_clock() -> None:
    before = time.time()
    assert before <= clock.posix_now() <= clock.posix_now_ns() / 1e9 + 1e-3
    assert clock.utc(0.0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_ids_sort_by_time_and_differ() -> None:
    ids = [clock.new_id(float(second)) for second in range(5)]
    assert ids == sorted(ids)
    assert len({clock.new_id(1.0) for _ in range(100)}) == 100
    assert uuid.UUID(ids[0]).version == 7


def test_tokens_are_64_bits_and_differ() -> None:
    tokens = {clock.token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 16 and int(token, 16) >= 0 for token in tokens)


def test_random_bits_stay_in_their_width() -> None:
    assert all(0 <= clock.random_bits(16) < 1 << 16 for _ in range(100))
    seen = [clock.random_bits(31) for _ in range(2000)]
    assert max(seen) < 1 << 31
    assert max(seen) >= 1 << 30 > min(seen)


class TestChance:
    def test_no_byte_is_given_twice(self) -> None:
        """Also across the end of what was fetched at a time."""
        fetched = []

        def source(count: int) -> bytes:
            fetched.append(len(fetched).to_bytes(2, "big") * (count // 2))
            return fetched[-1]

        chance = Chance(source)
        given = [chance.take(6) for _ in range(1500)]
        assert given == [number.to_bytes(2, "big") * 3 for number in (0, 1, 2) for _ in range(4096 // 6)][:1500]

    def test_a_forked_child_has_random_bytes_of_its_own(self) -> None:
        clock.token()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, clock.token().encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read().decode() != clock.token()


def test_worst_lag_is_that_since_the_moment_asked() -> None:
    monitor = LoopLagMonitor()
    monitor.note(1.0, 0.9)
    monitor.note(2.0, 0.01)
    monitor.note(3.0, 0.3)
    monitor.note(4.0, 0.0)
    assert monitor.worst_since(0.0) == 0.9
    assert monitor.worst_since(1.5) == 0.3
    assert monitor.worst_since(3.5) == 0.0
    assert monitor.last == 0.0


def test_what_was_read_late_counts_as_lag() -> None:
    monitor = LoopLagMonitor()
    monitor.note_late(1.0, 0.7)
    monitor.note_late(2.0, 0.01)
    assert monitor.worst_since(0.5) == 0.7
    assert monitor.worst_since(1.5) == 0.0


@given(st.lists(st.floats(0.021, 1.0), max_size=30), st.integers(-1, 31))
def test_the_worst_is_the_greatest_of_all_since_then(lags: list[float], since: int) -> None:
    """Though only those are kept that no longer one has followed."""
    monitor = LoopLagMonitor()
    for at, lag in enumerate(lags):
        monitor.note(float(at), lag)
    assert monitor.worst_since(since) == max(lags[max(since, 0) :], default=0.0)


def test_what_is_long_past_is_forgotten() -> None:
    monitor = LoopLagMonitor(keep=10.0)
    for at in (0.0, 1.0, 20.0, 21.0):
        monitor.note(at, 1.0 - at / 100)
    assert len(monitor._late) == 2


async def test_a_blocked_loop_is_noticed() -> None:
    """Blocking the loop for 150 ms shows as a lag of at least 100 ms."""
    monitor = LoopLagMonitor(period=0.01)
    monitor.start()
    begin = asyncio.get_running_loop().time()
    await asyncio.sleep(0.03)
    time.sleep(0.15)  # noqa: ASYNC251 - blocking is what is tested
    await asyncio.sleep(0.03)
    await monitor.stop()
    await monitor.stop()
    assert monitor.worst_since(begin) >= 0.1

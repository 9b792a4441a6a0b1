"""`net.segments`: several packets in one entry arrive as packets of their own, whole and in order."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bridge_monitor.net import mmsg
from bridge_monitor.net.segments import MAX_PACKETS, REFUSALS, SegmentBatch

PAYLOAD = np.arange(64 * 100, dtype=np.uint32).view(np.uint8)
"""100 payloads of 256 bytes, no two alike."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as left,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as right,
    ):
        for sock in (left, right):
            sock.bind(("127.0.0.1", 0))
        right.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        right.settimeout(2)
        yield left, right


def batch_to(port: int, sizes: list[int], first: list[int], count: list[int]) -> SegmentBatch:
    """Return packets of the given payload sizes, in entries that begin at ``first`` and take ``count``."""
    batch = SegmentBatch(100, 4)
    batch.headers[: len(sizes)] = np.arange(len(sizes), dtype=np.uint32).view(np.uint8).reshape(-1, 4)
    batch.payload_address[: len(sizes)] = PAYLOAD.ctypes.data + 256 * np.arange(len(sizes))
    batch.payload_lengths[: len(sizes)] = sizes
    batch.line_up(np.array(first), np.array(count))
    entries = len(first)
    where: dict[str, Any] = {"dst_ip": mmsg.ip_number("127.0.0.1"), "dst_port": port, "src_ip": 0}
    batch.address(entries, tos=np.arange(entries) * 4 + 32, **where)
    return batch


def expected(number: int, size: int) -> bytes:
    return number.to_bytes(4, "little") + PAYLOAD[256 * number : 256 * number + size].tobytes()


def test_an_entry_s_packets_arrive_one_by_one_with_its_mark(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    sizes = [200, 200, 90, 50, 256, 256]
    batch = batch_to(right.getsockname()[1], sizes, [0, 3, 4], [3, 1, 2])
    assert batch.send(left.fileno(), 0, 3) == 3
    assert batch.failed == {}
    for number, (size, tos) in enumerate(zip(sizes, [32, 32, 32, 36, 40, 40], strict=True)):
        data, control, _, _ = right.recvmsg(2048, 64)
        assert data == expected(number, size)
        assert control[0][2][0] == tos


def test_as_many_packets_as_an_entry_may_have(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    batch = batch_to(right.getsockname()[1], [256] * MAX_PACKETS, [0], [MAX_PACKETS])
    assert batch.send(left.fileno(), 0, 1) == 1
    assert [right.recv(2048) for _ in range(MAX_PACKETS)] == [expected(number, 256) for number in range(MAX_PACKETS)]


def test_an_entry_that_is_refused_is_named_and_its_packets_go_one_by_one(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """A longer packet behind a shorter one is no mistake the kernel sees; no packets but one without checksum are."""
    left, right = pair
    left.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK: the kernel can't cut what has no checksum
    batch = batch_to(right.getsockname()[1], [200, 200, 90, 50], [0, 3], [3, 1])
    assert batch.send(left.fileno(), 0, 2) == 2
    assert list(batch.failed) == [0]
    assert batch.failed[0] in REFUSALS
    assert right.recv(2048) == expected(3, 50)
    assert batch.send_singly(left.fileno(), 0, 0, 3) == [0, 1, 2]
    assert [right.recv(2048) for _ in range(3)] == [expected(0, 200), expected(1, 200), expected(2, 90)]


def test_a_packet_that_is_refused_alone_is_left_out(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    batch = batch_to(right.getsockname()[1], [10, 10, 10], [0], [3])
    batch.payload_address[1] = 8  # nobody's memory
    with pytest.raises(OSError, match="Bad address"):
        batch.send_singly(left.fileno(), 0, 0, 3)
    batch.payload_address[1] = PAYLOAD.ctypes.data
    batch.payload_lengths[1] = 70_000
    assert batch.send_singly(left.fileno(), 0, 0, 3) == [0, 2]
    assert list(batch.failed.values()) == [errno.EMSGSIZE]


def test_a_full_send_buffer_is_not_now(pair: tuple[socket.socket, socket.socket], monkeypatch: Any) -> None:
    left, right = pair
    batch = batch_to(right.getsockname()[1], [10] * 4, [0, 1, 2, 3], [1] * 4)
    answers = iter([2, -errno.EINTR, -errno.EAGAIN])
    monkeypatch.setattr(mmsg, "send_entries", lambda *_: next(answers))
    assert batch.send(left.fileno(), 0, 4) == 2
    assert batch.failed == {}


def test_a_closed_socket_is_an_error() -> None:
    batch = batch_to(9, [10], [0], [1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        number = sock.fileno()
    with pytest.raises(OSError, match="Bad file descriptor"):
        batch.send(number, 0, 1)

"""What leaves by a thread: all of it, in order, whatever the kernel takes at a time; and how it is stopped."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.web.transfer import SEND_BYTES, StoppedError, Transfer, batches, without

PARTS = st.lists(st.binary(max_size=20), max_size=30)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection whose near end, as asyncio's are, doesn't block."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as far:
        near, _ = server.accept()
        near.setblocking(False)  # noqa: FBT003 (the standard library's signature)
        with near:
            yield near, far


@given(PARTS, st.integers(1, 50))
def test_batches_keep_every_byte_in_its_order(parts: list[bytes], size: int) -> None:
    """Each is as large as asked for, but the last, and no part is empty: the kernel would be asked for nothing."""
    made = list(batches(parts, size))
    assert b"".join(part for batch in made for part in batch) == b"".join(parts)
    assert all(batch and all(batch) for batch in made)
    assert all(sum(map(len, batch)) >= size for batch in made[:-1])
    assert all(sum(map(len, batch[:-1])) < size for batch in made)


def test_a_batch_has_no_more_parts_than_the_kernel_takes() -> None:
    """A thousand and twenty-four in one system call."""
    sizes = [len(batch) for batch in batches([b"a"] * 2500, SEND_BYTES)]
    assert max(sizes) <= 1024
    assert sum(sizes) == 2500


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=10), st.data())
def test_what_is_left_follows_what_was_sent(parts: list[bytes], data: st.DataObject) -> None:
    """The kernel may take any number of bytes."""
    whole = b"".join(parts)
    sent = data.draw(st.integers(0, len(whole)))
    left = without(parts, sent)
    assert b"".join(left) == whole[sent:]
    assert all(left)


def test_everything_arrives_though_the_reader_is_slow(pair: tuple[socket.socket, socket.socket]) -> None:
    """The kernel takes less than it is given, and nothing for a while."""
    near, far = pair
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 5000)
    parts = [bytes([number % 251]) * (number % 7000) for number in range(1500)]
    thread = threading.Thread(target=Transfer().send, args=(near, parts))
    thread.start()
    received = bytearray()
    while data := far.recv(50_000):  # the near end is closed when all is sent
        received += data
    thread.join(10)
    assert received == b"".join(parts)


def test_a_stopped_transfer_ends_though_nobody_reads(pair: tuple[socket.socket, socket.socket]) -> None:
    """Its thread is soon free again, and what it held is let go."""
    near, _ = pair
    transfer, ended = Transfer(), []

    def send() -> None:
        try:
            transfer.send(near, [bytes(1 << 20)] * 50)
        except StoppedError as error:
            ended.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    transfer.stop()
    thread.join(10)
    assert len(ended) == 1
    assert near.fileno() == -1


def test_a_reader_that_goes_is_an_error(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    far.close()
    with pytest.raises(ConnectionError):
        Transfer().send(near, [bytes(1 << 20)] * 50)


def test_packed_parts_are_one_gzip_stream() -> None:
    parts = [b"bridge_mos 4.4\n" * (number % 900) for number in range(300)]
    packed = Transfer().pack(parts)
    assert gzip.decompress(b"".join(packed)) == b"".join(parts)
    assert all(packed)


def test_packing_is_stopped_too() -> None:
    transfer = Transfer()
    transfer.stop()
    with pytest.raises(StoppedError):
        transfer.pack([b"text"])

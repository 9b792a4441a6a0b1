"""`net.mmsg` against the kernel's own socket interface on loopback."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from bridge_monitor.net import mmsg


@pytest.fixture(scope="module", autouse=True)
def _kernel_stamps_on_arrival() -> Iterator[None]:
    """The kernel switches stamping on a moment after the first socket asks; until then it stamps at the read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        mmsg.enable_timestamps(sock)
        batch = mmsg.RecvBatch(1, 8)
        for _ in range(10_000):
            sock.sendto(b"x", sock.getsockname())
            before = time.time_ns()
            assert batch.recv(sock.fileno()) == 1
            if batch.arrival_ns[0] <= before:
                break
        yield


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as left,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as right,
    ):
        for sock in (left, right):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(2)
        mmsg.enable_timestamps(right)
        yield left, right


def _drain(batch: mmsg.RecvBatch, sock: socket.socket, wanted: int) -> int:
    """Receive until ``wanted`` datagrams are in; loopback delivers them before the sender returns."""
    count = batch.recv(sock.fileno())
    assert count <= wanted
    return count


def test_columns_of_received_datagrams(pair: tuple[socket.socket, socket.socket]) -> None:
    """Each received datagram's bytes, length, source and kernel time stand in its own entry, in arrival order."""
    left, right = pair
    before = time.time_ns()
    for number in range(5):
        left.sendto(bytes([number]) * (number + 1), right.getsockname())
    after = time.time_ns()
    batch = mmsg.RecvBatch(8, 64)
    assert _drain(batch, right, 5) == 5
    assert batch.lengths[:5].tolist() == [1, 2, 3, 4, 5]
    assert batch.data[3, :4].tolist() == [3, 3, 3, 3]
    assert {mmsg.ip_text(ip) for ip in batch.src_ip[:5]} == {"127.0.0.1"}
    assert set(batch.src_port[:5].tolist()) == {left.getsockname()[1]}
    stamps = batch.arrival_ns[:5]
    assert before <= stamps[0] <= stamps[-1] <= after
    assert (np.diff(stamps) >= 0).all()
    assert not batch.truncated[:5].any()


def test_nothing_waiting_is_zero(pair: tuple[socket.socket, socket.socket]) -> None:
    batch = mmsg.RecvBatch(4, 64)
    assert batch.recv(pair[1].fileno()) == 0
    assert batch.fill(pair[1].fileno(), 4) == 0


def test_truncated_datagram_keeps_its_full_length(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    left.sendto(b"x" * 100, right.getsockname())
    left.sendto(b"y" * 16, right.getsockname())
    batch = mmsg.RecvBatch(4, 16)
    assert _drain(batch, right, 2) == 2
    assert batch.lengths[:2].tolist() == [100, 16]
    assert batch.truncated[:2].tolist() == [True, False]


def test_without_timestamps_the_arrival_is_zero() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as left,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as right,
    ):
        right.bind(("127.0.0.1", 0))
        batch = mmsg.RecvBatch(4, 16)
        mmsg.enable_timestamps(right)
        left.sendto(b"a", right.getsockname())
        assert batch.recv(right.fileno()) == 1
        assert batch.arrival_ns[0] > 0
        right.setsockopt(socket.SOL_SOCKET, mmsg.SO_TIMESTAMPNS, 0)
        left.sendto(b"a", right.getsockname())
        assert batch.recv(right.fileno()) == 1
        assert batch.arrival_ns[0] == 0


def test_pktinfo_tells_the_local_address_and_sends_from_it() -> None:
    """One socket bound to all addresses can answer each datagram from the very address it was sent to."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("0.0.0.0", 0))
        client.bind(("127.0.0.1", 0))
        client.settimeout(2)
        mmsg.enable_timestamps(server)
        mmsg.enable_pktinfo(server)
        port = server.getsockname()[1]
        for host in ("127.1.2.3", "127.4.5.6"):
            client.sendto(host.encode(), (host, port))
        received = mmsg.RecvBatch(4, 32, pktinfo=True)
        assert received.recv(server.fileno()) == 2
        assert [mmsg.ip_text(ip) for ip in received.dst_ip[:2]] == ["127.1.2.3", "127.4.5.6"]
        assert (received.arrival_ns[:2] > 0).all()
        answer = mmsg.SendBatch(4, 32, pktinfo=True)
        answer.data[:2] = received.data[:2]
        answer.lengths[:2] = received.lengths[:2]
        answer.dst_ip[:2] = received.src_ip[:2]
        answer.dst_port[:2] = received.src_port[:2]
        answer.src_ip[:2] = received.dst_ip[:2]
        assert answer.send(server.fileno(), 2) == 2
        for host in ("127.1.2.3", "127.4.5.6"):
            assert client.recvfrom(64) == (host.encode(), (host, port))


def test_pktinfo_and_drop_count_together() -> None:
    """A drop count among the control messages moves the others, and all are still found."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        mmsg.enable_timestamps(server)
        mmsg.enable_overflow_count(server)
        mmsg.enable_pktinfo(server)
        for _ in range(50):
            client.sendto(b"z" * 1000, server.getsockname())
        batch = mmsg.RecvBatch(64, 1000, pktinfo=True)
        kept = batch.recv(server.fileno())
        assert 0 < kept < 50
        client.sendto(b"after", server.getsockname())
        assert batch.recv(server.fileno()) == 1
        assert batch.overflow == 50 - kept
        assert batch.drops[0] == 50 - kept
        assert mmsg.ip_text(batch.dst_ip[0]) == "127.0.0.1"
        assert batch.arrival_ns[0] > 0


def test_datagrams_one_by_one_are_what_the_columns_say(pair: tuple[socket.socket, socket.socket]) -> None:
    """Also one that is longer than was kept; `datagram` takes a single one of a batch that was parsed."""
    left, right = pair
    before = time.time_ns()
    for text in (b"first", b"", b"x" * 40, b"last"):
        left.sendto(text, right.getsockname())
    batch = mmsg.RecvBatch(8, 32)
    assert batch.fill(right.fileno()) == 4
    found = batch.datagrams(4)
    assert [one.data for one in found] == [b"first", b"", b"x" * 32, b"last"]
    assert {(mmsg.ip_text(one.src_ip), one.src_port) for one in found} == {left.getsockname()}
    assert before <= found[0].arrival_ns <= found[-1].arrival_ns <= time.time_ns()
    for text in (b"again", b"y" * 40):
        left.sendto(text, right.getsockname())
    assert batch.fill(right.fileno()) == 2
    found = batch.datagrams(2)
    # The kernel's structures still hold what came; only how much room there was has been written over.
    batch._headers["controllen"][:2] = mmsg._STAMP_SPACE
    batch.parse(2)
    assert [batch.datagram(place) for place in (0, 1)] == found


def test_datagrams_one_by_one_tell_what_was_dropped() -> None:
    """With a drop count, or without a time, control messages lie elsewhere; the next batch is received as before."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        mmsg.enable_timestamps(server)
        mmsg.enable_overflow_count(server)
        for _ in range(50):
            client.sendto(b"z" * 1000, server.getsockname())
        batch = mmsg.RecvBatch(64, 1000)
        kept = batch.fill(server.fileno())
        assert len(batch.datagrams(kept)) == kept < 50
        for _ in range(2):
            client.sendto(b"after", server.getsockname())
            (one,) = batch.datagrams(batch.fill(server.fileno()))
            assert (one.data, one.drops) == (b"after", 50 - kept)
            assert one.arrival_ns > 0
        server.setsockopt(socket.SOL_SOCKET, mmsg.SO_TIMESTAMPNS, 0)
        client.sendto(b"untimed", server.getsockname())
        (one,) = batch.datagrams(batch.fill(server.fileno()))
        assert (one.data, one.arrival_ns, one.drops) == (b"untimed", 0, 50 - kept)


def test_several_sockets_in_one_batch(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    mmsg.enable_timestamps(left)
    left.sendto(b"to right", right.getsockname())
    right.sendto(b"to left", left.getsockname())
    batch = mmsg.RecvBatch(8, 32)
    first = batch.fill(left.fileno())
    second = batch.fill(right.fileno(), first)
    batch.parse(first + second)
    assert (first, second) == (1, 1)
    assert bytes(batch.data[0, : batch.lengths[0]]) == b"to left"
    assert bytes(batch.data[1, : batch.lengths[1]]) == b"to right"


def test_sends_from_the_callers_array_without_copying(pair: tuple[socket.socket, socket.socket]) -> None:
    """What stands in the caller's array at the time of the send is what travels; rows go in the order asked."""
    left, right = pair
    whole = np.zeros((4, 8), np.uint8)
    batch = mmsg.SendBatch(4, 8, data=whole)
    batch.dst_ip[:] = mmsg.ip_number("127.0.0.1")
    batch.dst_port[:] = right.getsockname()[1]
    whole[:, 0] = [10, 11, 12, 13]
    batch.lengths[:] = [8, 2, 8, 3]
    assert batch.send_rows(left.fileno(), np.array([3, 1])) == 2
    assert right.recv(64) == bytes([13, 0, 0])
    assert right.recv(64) == bytes([11, 0])
    assert batch.send(left.fileno(), 1, start=2) == 1
    assert right.recv(64) == bytes([12]) + bytes(7)


def test_one_tail_serves_many_headers(pair: tuple[socket.socket, socket.socket]) -> None:
    """Each entry's own header is followed by a payload that lies once in memory, with the entry's type of service."""
    left, right = pair
    right.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    payload = np.frombuffer(b"silence", np.uint8)
    batch = mmsg.SendBatch(2, 2, tos=True, tails=True)
    batch.data[:] = [[1, 2], [3, 4]]
    batch.dst_ip[:] = mmsg.ip_number("127.0.0.1")
    batch.dst_port[:] = right.getsockname()[1]
    batch.tail_address[:] = payload.ctypes.data
    batch.tail_lengths[:] = [7, 3]
    batch.tos[:] = [46 << 2, 34 << 2]
    batch.gather(np.array([0, 1]))
    assert batch.send_gathered(left.fileno(), 1, start=1) == 1
    assert batch.send_gathered(left.fileno(), 1) == 1
    # By the kernel's own count of control messages: the timestamp comes first, then the type of service.
    first, second = right.recvmsg(64, 128), right.recvmsg(64, 128)
    assert (first[0], second[0]) == (b"\x03\x04sil", b"\x01\x02silence")
    assert [entry[1][-1] for entry in (first, second)] == [
        (socket.IPPROTO_IP, socket.IP_TOS, bytes([34 << 2])),
        (socket.IPPROTO_IP, socket.IP_TOS, bytes([46 << 2])),
    ]


def test_gathered_entries_keep_their_type_of_service(pair: tuple[socket.socket, socket.socket]) -> None:
    """Entries leave in the order they were lined up in, each with its own mark, or the socket's if it has none."""
    left, right = pair
    right.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    left.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 8 << 2)
    batch = mmsg.SendBatch(3, 2, tos=True)
    batch.data[:] = [[1, 2], [3, 4], [5, 6]]
    batch.dst_ip[:] = mmsg.ip_number("127.0.0.1")
    batch.dst_port[:] = right.getsockname()[1]
    batch.tos[:] = [46 << 2, 34 << 2, 46 << 2]
    batch.control_lengths[2] = 0
    batch.gather(np.array([0, 1, 2]))
    assert batch.send_gathered(left.fileno(), 1, start=1) == 1
    assert batch.send_gathered(left.fileno(), 1) == 1
    assert batch.send_gathered(left.fileno(), 1, start=2) == 1
    # By the kernel's own count of control messages: the timestamp comes first, then the type of service.
    came = [right.recvmsg(64, 128) for _ in range(3)]
    assert [entry[0] for entry in came] == [b"\x03\x04", b"\x01\x02", b"\x05\x06"]
    assert [entry[1][-1] for entry in came] == [
        (socket.IPPROTO_IP, socket.IP_TOS, bytes([dscp << 2])) for dscp in (34, 46, 8)
    ]


def test_source_address_and_type_of_service_together() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        batch = mmsg.SendBatch(1, 4, pktinfo=True, tos=True)
        batch.dst_ip[0] = mmsg.ip_number("127.0.0.1")
        batch.dst_port[0] = receiver.getsockname()[1]
        batch.src_ip[0] = mmsg.ip_number("127.9.9.9")
        batch.tos[0] = 46 << 2
        assert batch.send(sender.fileno(), 1) == 1
        data, control, _, source = receiver.recvmsg(16, 64)
        assert (data, source[0]) == (bytes(4), "127.9.9.9")
        assert control == [(socket.IPPROTO_IP, socket.IP_TOS, bytes([46 << 2]))]


def test_a_refused_entry_is_skipped_and_told(pair: tuple[socket.socket, socket.socket]) -> None:
    """A datagram that the kernel refuses (port 0) doesn't hold up those behind it."""
    left, right = pair
    batch = mmsg.SendBatch(3, 8)
    batch.dst_ip[:] = mmsg.ip_number("127.0.0.1")
    batch.dst_port[:] = [right.getsockname()[1], 0, right.getsockname()[1]]
    batch.data[:, 0] = [1, 2, 3]
    assert batch.send(left.fileno(), 3) == 3
    assert batch.failed == [1]
    assert [right.recv(64)[0], right.recv(64)[0]] == [1, 3]


def test_a_full_send_buffer_ends_the_batch_early() -> None:
    """The count returned stops where the kernel took no more; nothing blocks."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        batch = mmsg.SendBatch(1000, 2048)
        batch._headers["namelen"] = 0  # a connected pair: the only loopback whose buffer fills at once
        batch._headers["name"] = 0
        sent = batch.send(left.fileno(), 1000)
        assert 0 < sent < 1000


def test_a_closed_socket_is_an_error() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fd = sock.fileno()
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        mmsg.SendBatch(1, 8).send(fd, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        mmsg.RecvBatch(1, 8).recv(fd)


def test_a_wrong_array_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8 of shape"):
        mmsg.SendBatch(2, 8, data=np.zeros((2, 9), np.uint8))


def test_buffers_and_dont_fragment_are_set() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        granted = mmsg.set_buffers(sock, 100_000)
        assert min(granted) >= 100_000
        mmsg.enable_dont_fragment(sock)
        assert sock.getsockopt(socket.IPPROTO_IP, mmsg.IP_MTU_DISCOVER) == mmsg.IP_PMTUDISC_PROBE


def test_buffers_without_the_right_to_force_them() -> None:
    """Where the forced option is forbidden the plain one is asked for."""
    asked: list[int] = []

    class Plain:
        def setsockopt(self, _level: int, option: int, _value: int) -> None:
            if option in {mmsg.SO_RCVBUFFORCE, mmsg.SO_SNDBUFFORCE}:
                raise PermissionError
            asked.append(option)

        def getsockopt(self, _level: int, option: int) -> int:
            return option

    assert mmsg.set_buffers(Plain(), 1) == (socket.SO_RCVBUF, socket.SO_SNDBUF)  # type: ignore[arg-type]
    assert asked == [socket.SO_RCVBUF, socket.SO_SNDBUF]

"""What this machine dropped and when: the kernel's texts, rises between samples, and whom they touch."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bridge_monitor.net import host_drops, netlink
from bridge_monitor.net.host_drops import (
    REASONS,
    DropCounts,
    HostDrops,
    KernelCounters,
    Rise,
    parse_conntrack_stat,
    parse_snmp,
    parse_softnet_stat,
    rises,
)

# As a kernel (6.18) shows them; figures changed.
SOFTNET = """\
0e6c287d 0000000a 00000004 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
0e47b7fc 00000001 00000003 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000000
"""
SNMP = """\
Ip: Forwarding DefaultTTL InReceives
Ip: 1 64 5
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 0 2 0 4 7 36 0 0 0
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
UdpLite: 0 0 0 0 0 99 0 0 0
"""
CONNTRACK = """\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error
00000003  00000000 00000000 00000000 0000000f 00000000 00000000 00000000 00000000 00000002 0000000a 00000001 00000000
00000003  00000000 00000000 00000000 0000000f 00000000 00000000 00000000 00000000 00000000 00000001 00000000 00000000
"""


class TestTexts:
    def test_a_full_backlog_is_the_second_column_of_each_cpu(self) -> None:
        assert parse_softnet_stat(SOFTNET) == 11

    def test_what_was_dropped_behind_a_sockets_back_is_told_by_name_and_of_udp_alone(self) -> None:
        assert parse_snmp(SNMP) == 36
        assert parse_snmp(SNMP.replace("SndbufErrors", "Other")) == 0

    def test_the_connection_tables_losses_are_told_by_name(self) -> None:
        assert parse_conntrack_stat(CONNTRACK) == 2 + 10 + 1 + 1
        assert parse_conntrack_stat(CONNTRACK.replace("early_drop", "other")) == 13

    @pytest.mark.parametrize("text", [SOFTNET, SNMP, CONNTRACK])
    def test_cut_off_anywhere_they_raise_nothing(self, text: str) -> None:
        for length in range(len(text)):
            part = text[:length]
            assert min(parse_softnet_stat(part), parse_snmp(part), parse_conntrack_stat(part)) >= 0

    @given(st.text(max_size=200))
    def test_other_texts_raise_nothing(self, text: str) -> None:
        for parse in (parse_softnet_stat, parse_snmp, parse_conntrack_stat):
            assert isinstance(parse(text), int)


QUIET = DropCounts({1: 5, 2: 0}, {2: 7}, 1, 2, 3)


class TestRises:
    def test_what_stays_the_same_is_no_rise(self) -> None:
        assert rises(QUIET, QUIET, 0.0, 1.0) == []

    @pytest.mark.parametrize(
        ("after", "rise"),
        [
            (replace(QUIET, interfaces={1: 6, 2: 0}), Rise(0.0, 1.0, "interface_drops", 1)),
            (replace(QUIET, queues={2: 8}), Rise(0.0, 1.0, "queue_drops", 2)),
            (replace(QUIET, backlog=2), Rise(0.0, 1.0, "interface_drops", None)),
            (replace(QUIET, send_buffer=3), Rise(0.0, 1.0, "queue_drops", None)),
            (replace(QUIET, connections=4), Rise(0.0, 1.0, "conntrack_full", None)),
        ],
    )
    def test_each_counter_has_its_reason_and_its_place(self, after: DropCounts, rise: Rise) -> None:
        assert rises(QUIET, after, 0.0, 1.0) == [rise]

    def test_an_interface_that_is_new_or_was_made_anew_did_not_drop_all_that_at_once(self) -> None:
        assert rises(QUIET, replace(QUIET, interfaces={1: 4, 2: 0, 3: 99}, queues={}), 0.0, 1.0) == []


class Counters:
    """Counters that a test sets; 192.0.2.1 is on interface 1, 192.0.2.2 on 2."""

    def __init__(self) -> None:
        self.counts = QUIET
        self.reads = 0
        self.closed = False

    def read(self) -> DropCounts:
        self.reads += 1
        return self.counts

    def interface_of(self, host: str) -> int | None:
        return {"192.0.2.1": 1, "192.0.2.2": 2}.get(host)

    def close(self) -> None:
        self.closed = True


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.counters = Counters()
        self.drops = HostDrops(self.counters, lambda: self.now)  # type: ignore[arg-type]

    def later(self, now: float, **counts: object) -> None:
        """Let the time be so late, and counters have risen since the last look."""
        self.now = now
        self.counters.counts = replace(self.counters.counts, **counts)  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    return World()


class TestCalls:
    def test_a_call_is_touched_by_what_rose_on_its_own_interface(self, world: World) -> None:
        world.later(1.0, interfaces={1: 6, 2: 0})
        assert world.drops.reasons_since(0.5, "192.0.2.1") == ("interface_drops",)
        assert world.drops.reasons_since(0.5, "192.0.2.2") == ()

    def test_what_has_no_interface_touches_every_call_and_an_unknown_address_stands_for_all(self, world: World) -> None:
        world.later(1.0, connections=9, queues={2: 8})
        assert world.drops.reasons_since(0.5, "192.0.2.1") == ("conntrack_full",)
        assert world.drops.reasons_since(0.5, "192.0.2.2") == ("queue_drops", "conntrack_full")
        assert world.drops.reasons_since(0.5, "") == ("queue_drops", "conntrack_full")

    def test_what_rose_before_its_start_does_not_touch_it(self, world: World) -> None:
        world.later(1.0, connections=9)
        world.drops.look()
        world.later(2.0)
        assert world.drops.reasons_since(1.5, "192.0.2.1") == ()
        assert world.drops.reasons_since(0.9, "192.0.2.1") == ("conntrack_full",)

    def test_what_rose_since_the_last_look_is_seen_at_its_end(self, world: World) -> None:
        world.drops.look()
        world.later(0.4, send_buffer=99)
        assert world.drops.reasons_since(0.1, "192.0.2.1") == ("queue_drops",)

    def test_hundreds_that_end_at_once_share_a_look(self, world: World) -> None:
        world.now = 1.0
        before = world.counters.reads
        for _ in range(100):
            world.drops.reasons_since(0.5, "192.0.2.1")
        assert world.counters.reads == before + 1

    def test_reasons_are_those_of_the_table(self, documented_invalid_reasons: list[dict[str, str]]) -> None:
        assert set(REASONS) <= {row["reason"] for row in documented_invalid_reasons}

    async def test_it_looks_by_itself_until_it_is_stopped(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(host_drops, "_PERIOD_SECONDS", 0.01)
        world.later(0.5, connections=9)
        with capture_logs() as logs:
            world.drops.start()
            async with asyncio.timeout(5.0):
                while not logs:  # noqa: ASYNC110 - a log tells nobody
                    await asyncio.sleep(0.01)
            await world.drops.stop()
        assert logs[0]["reasons"] == ["conntrack_full"]
        assert world.counters.closed


class TestKernel:
    def test_this_kernel_s_counters_are_read(self) -> None:
        counters = KernelCounters()
        counts = counters.read()
        loopback = counters.interface_of("127.0.0.1")
        counters.close()
        assert loopback in counts.interfaces
        assert counts.backlog == parse_softnet_stat(Path("/proc/net/softnet_stat").read_text("ascii"))
        assert counters.interface_of("127.0.0.1") is None  # closed: it knows nothing any more

    def test_without_netlink_or_files_nothing_has_been_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused() -> None:
            raise OSError("no such family")

        monkeypatch.setattr(netlink, "NetlinkSocket", refused)
        monkeypatch.setattr(host_drops, "Path", lambda name: Path("/nonexistent" + name))
        assert KernelCounters().read() == DropCounts()

    def test_a_dump_that_fails_is_asked_for_again_and_told_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> bytes:
            raise OSError("gone")

        counters = KernelCounters()
        with capture_logs() as logs:
            with monkeypatch.context() as broken:
                broken.setattr(netlink.NetlinkSocket, "dump", fail)
                assert counters.read().interfaces == {}
                assert counters.read().interfaces == {}
            assert counters.interface_of("127.0.0.1") in counters.read().interfaces
        counters.close()
        assert [line["event"] for line in logs] == ["drops_not_told"]

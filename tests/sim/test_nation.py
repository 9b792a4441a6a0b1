"""A whole nation on real sockets, called by a caller written by hand."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest

from bridge_monitor.domain import Inventory, Site
from bridge_monitor.errors import ConfigError, LocalFaultError
from bridge_monitor.rtp.rtcp import ReceiverReport, SenderReport, parse_compound
from bridge_monitor.sim import (
    CodecStage,
    Direction,
    Fault,
    FaultKind,
    FaultPlan,
    Nation,
    NationReport,
    NationSettings,
    OwnFaults,
    ReflectorSettings,
    SiteTruth,
)
from bridge_monitor.sim.board import LATENESS_EDGES_NS
from tests.sim.rigs import Caller, NewCaller

QUICK = ReflectorSettings(queue_capacity=4096, rtcp_interval_seconds=0.2)
# A busy machine may stop a test for a second; that is not what these tests are about.
CALM = NationSettings(media=QUICK, stop_seconds=0.2, loop_lag_limit_seconds=60.0)


@contextlib.asynccontextmanager
async def running(
    inventory: Inventory, *faults: Fault, settings: NationSettings | None = None, seed: int = 1
) -> AsyncIterator[Nation]:
    nation = Nation(inventory, FaultPlan(faults, seed), settings or CALM)
    await nation.start()
    try:
        yield nation
    finally:
        await nation.stop()


def room_of(nation: Nation, code: str) -> tuple[str, int]:
    return next((site.host, site.port) for site in nation.sites if site.code == code)


def truth_of(nation: Nation, code: str) -> SiteTruth:
    return nation.report().sites[code]


async def test_every_room_answers_on_its_own_address(small_nation: Inventory, new_caller: NewCaller) -> None:
    async with running(small_nation) as nation:
        callers = [(site, new_caller()) for site in nation.sites]
        assert await asyncio.gather(*(caller.call((site.host, site.port)) for site, caller in callers)) == [200] * 23
        assert nation.report().dialogs_open == 23
        for site, caller in callers:
            assert caller.remote_rtp[0] == site.host
            caller.stream(10)
        for _, caller in callers:
            assert [packet.sequence_number for packet in await caller.hear(10)] == list(range(10))
            assert caller.sources == {caller.remote_rtp}
        for site, caller in callers:
            assert await caller.hang_up((site.host, site.port)) == 200
        report = nation.report()
    assert (report.dialogs_open, report.packets, report.strays, report.calls_outside_window) == (0, 230, 0, 0)
    for truth in report.sites.values():
        sip = truth.sip
        assert (sip.invited, sip.answered, sip.acknowledged, sip.ended_by_caller, sip.most_calls_up) == (1, 1, 1, 1, 1)
        assert (truth.received, truth.sent, truth.calls_up) == (10, 10, 0)
    assert report.own.lateness is not None
    assert report.own.lateness.samples >= 230


async def test_a_lossy_room_s_truth_is_exact(small_nation: Inventory, caller: Caller) -> None:
    fault = Fault(FaultKind.LOSS, sites=("01000",), rate=0.2)
    async with running(small_nation, fault) as nation:
        room = room_of(nation, "01000")
        await caller.call(room)
        heard = 0
        for first in range(0, 1000, 100):
            caller.stream(100, first=first)
            await asyncio.sleep(0.005)
            heard += len(caller.heard())
        await caller.hang_up(room)
        caller.stream(7, first=1000)
        await asyncio.sleep(0.1)
        heard += len(caller.heard())
        truth = truth_of(nation, "01000")
    assert truth.received == 1000
    assert heard == truth.sent == 1000 - truth.dropped_to_room - truth.dropped_from_room
    assert abs(truth.dropped_to_room - 200) < 51  # 4 standard errors
    assert abs(truth.dropped_from_room - 160) < 47
    assert truth.after_bye == 7
    assert truth.active_faults == truth.planned_faults == (fault,)


class TestFaultsOnTheWire:
    """Each kind as a caller meets it; the rest of their conduct is tested in virtual time."""

    async def test_dead_rooms_are_refused_by_the_kernel_and_come_back(
        self, small_nation: Inventory, new_caller: NewCaller
    ) -> None:
        fault = Fault(FaultKind.DEAD, sites=("01000",), end=1.5)
        async with running(small_nation, fault) as nation:
            room = room_of(nation, "01000")
            caller = new_caller()
            caller.sip.connect(room)
            caller.sip.send(b"OPTIONS")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.get_running_loop().sock_recv(caller.sip, 100)
            assert nation.faults_at("01000", 1.4) == (fault,)
            assert nation.faults_at("01000", 1.5) == nation.faults_at("01001", 0.5) == ()
            await asyncio.sleep(1.55)
            assert await new_caller().call(room) == 200

    async def test_a_room_that_dies_in_a_call_leaves_no_dialog(self, small_nation: Inventory, caller: Caller) -> None:
        async with running(small_nation, Fault(FaultKind.DEAD, sites=("01000",), begin=1.0)) as nation:
            await caller.call(room_of(nation, "01000"))
            assert truth_of(nation, "01000").dialogs_open == 1
            await asyncio.sleep(1.1)
            truth = truth_of(nation, "01000")
        assert (truth.dialogs_open, truth.sip.cut_off, len(truth.active_faults)) == (0, 1, 1)

    async def test_silent_rooms_swallow_everything(self, small_nation: Inventory, caller: Caller) -> None:
        async with running(small_nation, Fault(FaultKind.SILENT, sites=("01000",))) as nation:
            caller.send(caller.request("OPTIONS", "sip:x"), room_of(nation, "01000"))
            with pytest.raises(TimeoutError):
                await caller.receive(within=0.2)

    @pytest.mark.parametrize(("kind", "status"), [(FaultKind.BUSY, 486), (FaultKind.DECLINED, 603)])
    async def test_refusing_rooms_are_acknowledged_and_quiet_after_that(
        self, small_nation: Inventory, caller: Caller, kind: FaultKind, status: int
    ) -> None:
        async with running(small_nation, Fault(kind, sites=("01000",))) as nation:
            assert await caller.call(room_of(nation, "01000")) == status
            with pytest.raises(TimeoutError):
                await caller.receive(within=0.7)  # a refusal is repeated after 0.5 s without ACK

    async def test_a_slow_room_rings_first(self, small_nation: Inventory, caller: Caller) -> None:
        async with running(small_nation, Fault(FaultKind.SLOW_ANSWER, sites=("01000",), seconds=0.3)) as nation:
            loop = asyncio.get_running_loop()
            begun = loop.time()
            assert await caller.call(room_of(nation, "01000")) == 200
            assert 0.3 <= loop.time() - begun < 5.0

    async def test_a_malformed_answer_is_no_sip(self, small_nation: Inventory, caller: Caller) -> None:
        async with running(small_nation, Fault(FaultKind.MALFORMED_SIP, sites=("01000",))) as nation:
            room = room_of(nation, "01000")
            caller.send(caller.request("INVITE", "sip:x@y", body=caller.offer()), room)
            text, source = await caller.receive()
        assert source == room
        assert not text.split(" ")[1].isdigit()

    async def test_a_bye_may_stay_unanswered(self, small_nation: Inventory, caller: Caller) -> None:
        async with running(small_nation, Fault(FaultKind.BYE_UNANSWERED, sites=("01000",))) as nation:
            room = room_of(nation, "01000")
            await caller.call(room)
            caller.send(caller.request("BYE", "sip:x", cseq=2, to_tag=caller.tag), room)
            with pytest.raises(TimeoutError):
                await caller.receive(within=0.2)
            assert truth_of(nation, "01000").sip.ended_by_caller == 1

    async def test_no_media_means_neither_rtp_nor_rtcp(self, small_nation: Inventory, caller: Caller) -> None:
        async with running(small_nation, Fault(FaultKind.NO_MEDIA, sites=("01000",))) as nation:
            await caller.call(room_of(nation, "01000"))
            caller.stream(5)
            with pytest.raises(TimeoutError):
                await caller.reported(within=0.5)
            truth = truth_of(nation, "01000")
        assert caller.heard() == []
        assert (truth.received, truth.dropped_to_room, truth.sent, truth.rtcp_sent) == (5, 5, 0, 0)

    async def test_one_way_in_sends_and_says_that_it_hears_nothing(
        self, small_nation: Inventory, caller: Caller
    ) -> None:
        async with running(small_nation, Fault(FaultKind.ONE_WAY_IN, sites=("01000",))) as nation:
            await caller.call(room_of(nation, "01000"))
            caller.stream(5)
            assert 0x1234 not in {packet.ssrc for packet in await caller.hear(3)}
            report = parse_compound(await caller.reported())[0]
        assert isinstance(report, SenderReport)
        assert report.blocks == ()

    async def test_one_way_out_reports_what_it_hears_and_sends_nothing(
        self, small_nation: Inventory, caller: Caller
    ) -> None:
        async with running(small_nation, Fault(FaultKind.ONE_WAY_OUT, sites=("01000",))) as nation:
            await caller.call(room_of(nation, "01000"))
            caller.stream(5)
            report = parse_compound(await caller.reported())[0]
            assert nation.report().sites["01000"].dropped_from_room == 5
        assert isinstance(report, ReceiverReport)
        assert [(block.ssrc, block.highest_sequence) for block in report.blocks] == [(0x1234, 4)]
        assert caller.heard() == []

    async def test_a_foreign_codec_may_come_in_the_stream_alone(self, small_nation: Inventory, caller: Caller) -> None:
        fault = Fault(FaultKind.WRONG_CODEC, sites=("01000",), stage=CodecStage.STREAM)
        async with running(small_nation, fault) as nation:
            await caller.call(room_of(nation, "01000"))
            assert "RTP/AVP 0 8" in caller.answer
            assert {packet.payload_type for packet in await caller.hear(2)} == {9}

    async def test_the_odd_port_is_none_that_the_answer_names(self, small_nation: Inventory, caller: Caller) -> None:
        async with running(small_nation, Fault(FaultKind.UNEXPECTED_PORT, sites=("01000",))) as nation:
            await caller.call(room_of(nation, "01000"))
            caller.stream(3)
            await caller.hear(3)
        ((host, port),) = caller.sources
        assert host == caller.remote_rtp[0]
        assert port != caller.remote_rtp[1]

    async def test_delayed_packets_come_later_and_doubled_ones_twice(
        self, small_nation: Inventory, caller: Caller
    ) -> None:
        faults = (
            Fault(FaultKind.DELAY, sites=("01000",), seconds=0.3),
            Fault(FaultKind.DUPLICATION, sites=("01000",), rate=1.0, combine=True),
        )
        async with running(small_nation, *faults) as nation:
            await caller.call(room_of(nation, "01000"))
            loop = asyncio.get_running_loop()
            begun = loop.time()
            caller.stream(3)
            assert len(await caller.hear(6)) == 6
            assert 0.3 <= loop.time() - begun < 5.0

    async def test_a_fault_may_begin_in_the_middle_of_a_call(self, small_nation: Inventory, caller: Caller) -> None:
        fault = Fault(FaultKind.LOSS, sites=("01000",), rate=1.0, direction=Direction.TO_ROOM, begin=1.0)
        async with running(small_nation, fault) as nation:
            await caller.call(room_of(nation, "01000"))
            caller.stream(5)
            assert len(await caller.hear(5)) == 5
            await asyncio.sleep(1.1)
            caller.stream(5, first=5)
            await asyncio.sleep(0.1)
            assert caller.heard() == []
            assert truth_of(nation, "01000").dropped_to_room == 5


async def test_a_share_of_rooms_sends_streams_of_its_own(small_nation: Inventory, caller: Caller) -> None:
    settings = NationSettings(own_stream_share=0.5, media=QUICK, stop_seconds=0.2)
    async with running(small_nation, settings=settings, seed=5) as nation:
        streaming = [site.code for site in nation.sites if nation.sends_own_stream(site.code)]
        assert 3 < len(streaming) < 20
        again = Nation(small_nation, FaultPlan(seed=5), settings)
        assert streaming == [site.code for site in again.sites if again.sends_own_stream(site.code)]
        await caller.call(room_of(nation, streaming[0]))
        caller.stream(4)
        packets = await caller.hear(5)
        assert len({packet.ssrc for packet in packets}) == 1
        assert 0x1234 not in {packet.ssrc for packet in packets}
        report = parse_compound(await caller.reported())[0]
        assert isinstance(report, SenderReport)
        assert report.packets > 0


class TestStop:
    async def test_open_calls_are_ended_by_bye(self, small_nation: Inventory, caller: Caller) -> None:
        nation = Nation(small_nation, settings=NationSettings(stop_seconds=5.0))
        await nation.start()
        room = room_of(nation, "01000")
        await caller.call(room)
        stopping = asyncio.create_task(nation.stop())
        text, _ = await caller.receive()
        assert text.startswith("BYE ")
        headers = "\r\n".join(
            line for line in text.split("\r\n") if line.startswith(("Via", "From", "To", "Call-ID", "CSeq"))
        )
        caller.send(f"SIP/2.0 200 OK\r\n{headers}\r\nContent-Length: 0\r\n\r\n", room)
        async with asyncio.timeout(2.0):
            await stopping
        report = nation.report()
        assert (report.dialogs_open, report.sites["01000"].sip.given_up) == (0, 1)
        assert nation.report().seconds == report.seconds

    async def test_a_caller_that_does_not_agree_is_not_waited_for(
        self, small_nation: Inventory, caller: Caller
    ) -> None:
        async with running(small_nation) as nation:
            await caller.call(room_of(nation, "01000"))
        assert nation.report().dialogs_open == 1

    async def test_stopping_twice_or_before_the_start_is_nothing(self, small_nation: Inventory) -> None:
        nation = Nation(small_nation, settings=CALM)
        await nation.stop()
        await nation.start()
        await nation.stop()
        await nation.stop()
        assert not nation.report().void


class TestRefusals:
    def test_an_inventory_without_simulated_rooms_is_a_mistake(self) -> None:
        with pytest.raises(ConfigError, match=r"no site has a sip: endpoint in 127\.0\.0\.0/8"):
            Nation(Inventory([Site("00", "", "central", endpoint="sip:room@192.0.2.1")], ("central",)))

    def test_two_rooms_at_one_address_and_port_are_a_mistake(self) -> None:
        sites = [Site(code, "", "central", endpoint="sip:127.0.0.1") for code in ("00", "01", "02")]
        with pytest.raises(ConfigError) as caught:
            Nation(Inventory(sites, ("central",)))
        assert [problem.what for problem in caught.value.problems] == [
            "sites 00 and 01 both have 127.0.0.1:5060",
            "sites 00 and 02 both have 127.0.0.1:5060",
        ]

    async def test_an_address_in_use_leaves_nothing_behind(self, caller: Caller) -> None:
        host, port = caller.address
        nation = Nation(Inventory([Site("00", "", "central", endpoint=f"sip:{host}:{port}")], ("central",)))
        with pytest.raises(LocalFaultError, match="Address already in use"):
            await nation.start()

    async def test_a_nation_that_was_not_started_has_nothing_to_report(self, small_nation: Inventory) -> None:
        with pytest.raises(LocalFaultError, match="has not been started"):
            Nation(small_nation).report()


class TestVoid:
    async def test_a_dead_media_process_makes_the_run_void(self, small_nation: Inventory) -> None:
        async with running(small_nation) as nation:
            assert nation.report().void_reasons == ()
            assert nation._media is not None
            assert nation._media._process is not None
            os.kill(nation._media._process.pid, signal.SIGKILL)
            await nation._media._process.wait()
            assert nation.report().void_reasons == ("media_process_died",)
        assert nation.report().void
        assert nation.report().void_reasons == ("media_process_died",)

    @pytest.mark.parametrize(
        ("own", "reasons"),
        [
            (OwnFaults(0, 0, 0, 0, 0, 0, None, 0.1), ()),
            (OwnFaults(1, 1, 0, 0, 0, 0, None, 0.1), ("sip_overflow", "sip_unsent")),
            (OwnFaults(0, 0, 1, 1, 1, 0, None, 0.1), ("media_overflow", "media_unsent", "delay_queue_full")),
            (OwnFaults(0, 0, 0, 0, 0, 1, None, 61.0), ("media_late", "loop_lag")),
        ],
    )
    async def test_own_drops_and_lateness_make_the_run_void(
        self, small_nation: Inventory, own: OwnFaults, reasons: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with running(small_nation) as nation:
            monkeypatch.setattr(nation, "_own_faults", lambda _media: own)
            report = nation.report()
            assert isinstance(report, NationReport)
            assert (report.void_reasons, report.void) == (reasons, bool(reasons))

    async def test_lateness_is_counted_from_the_limit_on(self, small_nation: Inventory) -> None:
        async with running(small_nation) as nation:
            assert nation._media is not None
            board = nation._media.board
            board.lateness[:] = 0
            board.lateness[0] = 2000  # up to 0.1 ms
            edge = int((LATENESS_EDGES_NS <= 20_000_000).sum())
            board.lateness[edge - 1] = 1  # up to 20 ms: in time
            board.lateness[edge] = 2
            assert (nation.report().own.late_packets, nation.report().void) == (2, False)
            board.lateness[edge] = 3
            assert nation.report().void_reasons == ("media_late",)

    async def test_a_blocked_loop_is_noticed(self, small_nation: Inventory) -> None:
        settings = NationSettings(loop_lag_limit_seconds=0.05, stop_seconds=0.1)
        async with running(small_nation, settings=settings) as nation:
            await asyncio.sleep(0.06)
            asyncio.get_running_loop().call_soon(time.sleep, 0.2)
            await asyncio.sleep(1.1)
            assert nation.report().own.loop_lag_seconds > 0.1
            assert "loop_lag" in nation.report().void_reasons

"""sipp answers and echoes: the whole way from INVITE to the figures, against a peer that we didn't write."""

from __future__ import annotations

import pytest

from bridge_monitor.domain import Grade, MediaMode, Outcome, RttSource
from bridge_monitor.probes.profile import Route
from tests.interop.rigs import Line, StartRoom, description

pytestmark = pytest.mark.peer("sipp")


class TestEcho:
    async def test_a_room_that_echoes_is_reached_and_good(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("ring_and_answer", "-rtp_echo")
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert (result.sip.status, result.invalid) == (200, ())
        assert await room.is_content()
        assert await line.is_idle()

    async def test_every_packet_is_counted_once(self, line: Line, start_room: StartRoom) -> None:
        """Nothing is lost on loopback: the counts are exact, and what an echo can't tell is null."""
        room = await start_room("answer", "-rtp_echo")
        finished = await line.call(room.uri, duration_seconds=1.5)
        (media,) = finished.result.media
        assert (media.mode, media.codec, media.unexpected_source) == (MediaMode.ECHO, "PCMU", False)
        assert media.round_trip.packets_sent == media.round_trip.packets_received == 75
        assert (media.round_trip.packets_lost, media.round_trip.loss_ratio) == (0, 0.0)
        assert (media.inbound.packets_received, media.inbound.packets_lost, media.inbound.loss_ratio) == (
            75,
            None,
            None,
        )
        assert (media.inbound.duplicates, media.inbound.reordered) == (0, 0)
        assert (media.outbound.packets_sent, media.outbound.packets_reported) == (75, None)
        stats = line.engine.stats()
        assert (stats.rtp_sent, stats.rtp_received, stats.unmatched) == (75, 75, 0)

    async def test_delay_and_quality_are_those_of_loopback(self, line: Line, start_room: StartRoom) -> None:
        """Without loss and below 100 ms of delay, R is G.107's for G.711 (93.2) and MOS 4.41."""
        room = await start_room("answer", "-rtp_echo")
        finished = await line.call(room.uri)
        (media,) = finished.result.media
        rtt = media.rtt_seconds
        assert (rtt.source, rtt.samples) == (RttSource.ECHO, 50)
        assert 0 < rtt.min <= rtt.median <= rtt.p95 <= rtt.max
        assert rtt.median < 0.1
        late = finished.stream.echo.late
        assert late or media.r_factor == pytest.approx(93.2, abs=0.05)
        assert late or media.mos == pytest.approx(4.41, abs=0.005)
        assert 0 <= media.inbound.jitter_seconds <= media.inbound.jitter_max_seconds

    async def test_each_phase_of_the_call_is_timed(self, line: Line, start_room: StartRoom) -> None:
        """100 comes at once, 180 after 150 ms, 200 after 200 ms more."""
        room = await start_room("ring_and_answer", "-rtp_echo")
        result = (await line.call(room.uri)).result
        phases = result.phases
        assert list(phases) == ["resolve", "connect", "tls", "trying", "ringing", "answer", "first_rtp", "bye"]
        assert [phase for phase, seconds in phases.items() if seconds is None] == ["connect", "tls"]
        assert phases["ringing"] >= 0.12
        assert phases["answer"] >= 0.16
        assert phases["first_rtp"] < 1.0
        assert result.duration_seconds >= sum(seconds or 0.0 for seconds in phases.values())

    async def test_the_room_may_choose_the_other_law(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("answer", "-rtp_echo", sdp=description("{host}", "{port}", "a=sendrecv", formats="8"))
        (media,) = (await line.call(room.uri)).result.media
        assert (media.codec, media.round_trip.packets_received) == ("PCMA", 50)

    async def test_packets_of_a_video_s_size_come_back_too(self, line: Line, start_room: StartRoom) -> None:
        """Counted apart: they say something of the path's MTU, not of loss."""
        room = await start_room("answer", "-rtp_echo")
        finished = await line.call(room.uri, duration_seconds=0.5, large_packets=4)
        assert finished.result.outcome is Outcome.REACHED
        echo = finished.stream.echo
        assert (echo.sent, echo.received, echo.large_sent, echo.large_received) == (25, 25, 4, 4)

    async def test_a_room_that_takes_no_long_packets_is_sent_none(self, line: Line, start_room: StartRoom) -> None:
        sdp = description("{host}", "{port}", "a=maxptime:40")
        room = await start_room("answer", "-rtp_echo", sdp=sdp)
        finished = await line.call(room.uri, duration_seconds=0.5, large_packets=4)
        assert finished.stream.large_sent == 0
        assert finished.result.grade is Grade.GOOD


class TestRoutes:
    async def test_a_province_s_proxy_is_asked_and_the_room_named_in_the_request_line(
        self, line: Line, start_room: StartRoom
    ) -> None:
        """The proxy is a preloaded Route (RFC 3261 §8.1.2); what follows goes where the answer's Contact says."""
        proxy = await start_room("answer", "-rtp_echo")
        room = "sip:room@192.0.2.77"
        result = (await line.call(room, route=Route(proxy=proxy.uri), duration_seconds=0.3)).result
        assert result.outcome is Outcome.REACHED
        assert await proxy.is_content()
        assert proxy.received()[0] == f"INVITE {room} SIP/2.0"
        assert f"Route: <{proxy.uri};lr>" in proxy.messages()
        assert f"ACK {proxy.uri} SIP/2.0" in proxy.received()

    async def test_a_proxy_that_is_named_as_loose_router_is_named_once(self, line: Line, start_room: StartRoom) -> None:
        proxy = await start_room("refuse", status="404 Not Found", extra="Server: sipp")
        await line.call("sip:room@192.0.2.77", route=Route(proxy=f"{proxy.uri};lr"))
        assert await proxy.is_content()
        assert f"Route: <{proxy.uri};lr>\r" in proxy.messages() or f"Route: <{proxy.uri};lr>\n" in proxy.messages()

    async def test_the_source_address_of_a_carrier_is_the_call_s(
        self, line: Line, start_room: StartRoom, host: str
    ) -> None:
        """Signalling leaves from it, and the offer names it for media."""
        source = "127.0.0.77"
        room = await start_room("answer", "-rtp_echo")
        finished = await line.call(room.uri, route=Route(source=source, dscp=10), duration_seconds=0.3)
        assert finished.result.outcome is Outcome.REACHED
        assert host != source
        assert await room.is_content()
        assert f"Via: SIP/2.0/UDP {source}:" in room.messages()
        assert f"c=IN IP4 {source}" in finished.evidence.offer

    async def test_a_source_address_that_is_not_ours_is_our_fault(self, line: Line) -> None:
        result = (await line.call("sip:room@127.0.0.1:9", route=Route(source="192.0.2.250"))).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.LOCAL_FAULT, "no_way_out", Grade.INVALID)
        assert result.call_id is None

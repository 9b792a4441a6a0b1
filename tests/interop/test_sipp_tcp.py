"""sipp over TCP: calls from INVITE to BYE on one connection, and every way a connection can fail."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from bridge_monitor.daemon.orphans import end_orphans
from bridge_monitor.domain import Grade, Outcome
from bridge_monitor.net.sip_udp import SipUdp
from bridge_monitor.sdp import audio_offer
from bridge_monitor.sip import Answered, SipUri, StreamAddress
from tests.interop.rigs import Line, StartRoom

pytestmark = pytest.mark.peer("sipp")


def connections(line: Line) -> list[object]:
    """Return the connections that our user agents have."""
    return [one for udp in line.stack._agents.values() if udp._streams for one in udp._streams._open.values()]


class TestCalls:
    async def test_a_room_over_tcp_is_reached_and_good(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("ring_and_answer", "-rtp_echo", transport="tcp")
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert (result.sip.status, result.invalid) == (200, ())
        assert result.phases["connect"] is not None
        assert result.phases["tls"] is None
        assert await room.is_content()
        assert await line.is_idle()

    async def test_everything_goes_over_tcp_and_says_so(self, line: Line, start_room: StartRoom) -> None:
        """§18.1.1: Via names the transport; not one datagram was seen by the room."""
        room = await start_room("answer", "-rtp_echo", transport="tcp")
        finished = await line.call(room.uri)
        assert [method for method in room.methods() if method.isupper()] == ["INVITE", "ACK", "BYE"]
        assert "UDP message" not in room.messages()
        requests = [step.text for step in finished.evidence.ladder if step.sent]
        assert len(requests) == 3
        assert all("Via: SIP/2.0/TCP 127." in text for text in requests)
        assert ";transport=tcp>" in requests[0]

    async def test_calls_to_one_place_share_its_connection(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("answer", "-rtp_echo", transport="tcp", calls=5)
        results = await asyncio.gather(*(line.call(room.uri) for _ in range(5)))
        assert {finished.result.outcome for finished in results} == {Outcome.REACHED}
        assert len(connections(line)) == 1
        assert await room.is_content()

    async def test_a_refusal_is_acknowledged_on_the_connection(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("refuse", transport="tcp", status="486 Busy Here", extra="Server: full house")
        result = (await line.call(room.uri)).result
        assert result.outcome is Outcome.BUSY
        assert await room.is_content()
        assert room.methods() == ["INVITE", "ACK"]

    async def test_a_room_that_only_rings_gets_its_cancel(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("ring_only", transport="tcp")
        result = (await line.call(room.uri, answer_timeout_seconds=0.7)).result
        assert (result.outcome, result.reason) == (Outcome.NO_ANSWER, "rings")
        assert await room.is_content()
        assert await line.is_idle()

    async def test_silence_is_a_timeout_and_nothing_is_repeated(self, line: Line, start_room: StartRoom) -> None:
        """§17.1.1.2: no timer A over TCP."""
        room = await start_room("options_silent", transport="tcp")
        result = (await line.call(room.uri, kind="sip-options", answer_timeout_seconds=1.2)).result
        assert (result.outcome, result.reason) == (Outcome.TIMEOUT, None)
        assert line.sent() == [f"OPTIONS {room.uri} SIP/2.0"]


class TestConnections:
    async def test_nobody_listening_is_unreachable(self, line: Line, host: str) -> None:
        result = (await line.call(f"sip:room@{host}:9;transport=tcp")).result
        assert (result.outcome, result.reason, result.grade) == (
            Outcome.UNREACHABLE,
            "connection_refused",
            Grade.FAILED,
        )
        assert (result.call_id, result.phases["connect"]) == (None, None)
        assert line.sent() == []

    async def test_a_connection_that_nobody_takes_is_a_timeout(self, line: Line, host: str) -> None:
        """A listener whose queue is full answers no SYN, like a firewall that drops them."""
        with socket.create_server((host, 0), backlog=0) as full:
            address = full.getsockname()
            waiting = [socket.socket() for _ in range(4)]
            try:
                for one in waiting:
                    one.setblocking(False)  # noqa: FBT003 - the standard library's signature
                    one.connect_ex(address)
                await asyncio.sleep(0.1)
                uri = f"sip:room@{address[0]}:{address[1]};transport=tcp"
                result = (await line.call(uri, answer_timeout_seconds=1.0)).result
            finally:
                for one in waiting:
                    one.close()
        assert (result.outcome, result.reason) == (Outcome.TIMEOUT, "connect_timeout")
        assert line.sent() == []

    async def test_a_broken_connection_is_made_anew_by_the_next_call(self, line: Line, start_room: StartRoom) -> None:
        room = await start_room("answer", "-rtp_echo", transport="tcp")
        assert (await line.call(room.uri)).result.outcome is Outcome.REACHED
        assert await room.is_content()  # it has ended, and with it its connection
        again = await start_room("answer", "-rtp_echo", transport="tcp", port=room.port)
        result = (await line.call(again.uri)).result
        assert (result.outcome, result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert await again.is_content()

    async def test_a_room_that_dies_while_it_rings_is_unreachable(self, line: Line, start_room: StartRoom) -> None:
        """The connection breaks; the CANCEL finds nobody at that port any more."""
        room = await start_room("ring_only", transport="tcp")
        call = line.calling(room.uri)
        await line.until_phase("answer")
        room.process.stop()
        result = (await call).result
        assert (result.outcome, result.reason) == (Outcome.UNREACHABLE, "connection_lost")
        assert await line.is_idle()


class TestOrphans:
    async def test_a_call_of_a_process_that_died_is_ended_over_tcp(self, start_room: StartRoom) -> None:
        """What the journal kept suffices: the heir connects anew and sends the BYE there."""
        # Else sipp gives a call up with the connection that began it. Its answer to the BYE goes nowhere all the same.
        room = await start_room("answer", "-reconnect_close", "false", "-max_reconnect", "5", transport="tcp")
        dead = SipUdp("127.0.0.1", 0)
        address = StreamAddress(room.host, room.port)
        offer = audio_offer(host="127.0.0.1", rtp_port=40000, session_id=1).to_bytes()
        call_id = dead.agent.invite(SipUri.parse(room.uri), address, offer, dead.now(), answer_timeout=10.0)
        channel = dead.open_channel(call_id)
        dead.flush()
        assert isinstance(await channel.next_event(20.0), Answered)
        dead.agent.acknowledge(call_id, dead.now())
        dead.flush()
        record = dead.agent.dialog_record(call_id)
        assert record is not None
        await room.until_it_has_received("ACK")
        dead.close()
        ended: list[str] = []
        await end_orphans([json.loads(json.dumps(record.to_dict()))], ended.append, 10.0)
        assert ended == [call_id]
        await room.until_it_has_received("BYE")
        assert room.methods() == ["INVITE", "ACK", "BYE"]


class TestLargeRequests1811:
    """§18.1.1: what is larger than 1,300 bytes goes over TCP, or over UDP where there is none."""

    async def test_a_room_with_tcp_gets_it_over_tcp(
        self, line: Line, start_room: StartRoom, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bridge_monitor.probes.signalling.DATAGRAM_LIMIT", 300)
        monkeypatch.setattr("bridge_monitor.probes.signalling._SMALL_OFFER", 0)
        room = await start_room("answer", "-rtp_echo", transport="tcp")
        result = (await line.call(f"sip:room@{room.host}:{room.port}")).result
        assert (result.outcome, result.grade) == (Outcome.REACHED, Grade.GOOD)
        assert result.phases["connect"] is not None
        assert await room.is_content()

    async def test_a_room_without_gets_it_over_udp_and_is_not_asked_again(
        self, line: Line, start_room: StartRoom, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bridge_monitor.probes.signalling.DATAGRAM_LIMIT", 300)
        monkeypatch.setattr("bridge_monitor.probes.signalling._SMALL_OFFER", 0)
        room = await start_room("answer", "-rtp_echo", calls=2)
        first, second = [(await line.call(room.uri)).result for _ in range(2)]
        assert (first.outcome, second.outcome) == (Outcome.REACHED, Outcome.REACHED)
        assert line.phases.count("connect") == 1
        assert first.phases["connect"] is None
        assert await room.is_content()

"""A call's channel: what ends a wait, and what the ladder keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge_monitor.net.alarms import Alarms
from bridge_monitor.net.channel import CallChannel
from bridge_monitor.sip import Ended


@pytest.fixture
async def channel() -> AsyncIterator[CallChannel]:
    """Return a channel that nothing comes to by itself."""
    alarms = Alarms()
    yield CallChannel(0.0, None, alarms)
    alarms.close()


class TestWaiting:
    async def test_what_else_it_waits_for_ends_the_wait(self, channel: CallChannel) -> None:
        """An event that has come goes first; then whatever is done already is not waited for."""
        other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, other.set_result, None)
        assert await channel.next_event(20.0, unless=other) is None
        assert other.done()
        channel.tell(ended := Ended("nobody's", "remote", 0.0))
        assert await channel.next_event(20.0, unless=other) is ended
        assert await channel.next_event(20.0, unless=other) is None

    async def test_a_long_patience_outlasts_a_shorter_one_before_it(self, channel: CallChannel) -> None:
        """Its timer is the earlier wait's, which goes off too early and is set anew."""
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, channel.tell, Ended("nobody's", "remote", 0.0))
        assert await channel.next_event(0.05) is not None
        began = loop.time()
        assert await channel.next_event(0.15) is None
        assert loop.time() - began >= 0.149

    async def test_a_wait_that_is_broken_off_loses_no_event(self, channel: CallChannel) -> None:
        waiting = asyncio.ensure_future(channel.next_event(20.0))
        await asyncio.sleep(0)
        channel.tell(ended := Ended("nobody's", "remote", 0.0))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert await channel.next_event(20.0) is ended


class TestLadder:
    def test_no_more_than_200_messages_are_kept(self) -> None:
        channel = CallChannel(0.0, None, Alarms())
        for number in range(250):
            channel.note(1.0, sent=True, peer=("127.0.0.1", 5060), data=f"OPTIONS {number} SIP/2.0\r\n\r\n".encode())
        assert len(channel.ladder) == 200

    def test_a_start_line_without_end_is_cut(self) -> None:
        channel = CallChannel(0.0, None, Alarms())
        channel.note(1.0, sent=False, peer=("127.0.0.1", 5060), data=b"\xff" * 5000)
        assert len(channel.ladder[0].start_line) == 200

    def test_the_ladder_of_an_earlier_attempt_comes_first(self) -> None:
        """Each step as it was, and one that passes again in the second attempt is told so."""
        first, second = (CallChannel(10.0, None, Alarms()) for _ in range(2))
        first.note(10.5, sent=True, peer=("127.0.0.1", 5060), data=b"INVITE sip:a SIP/2.0\r\n\r\n")
        second.follow(first)
        second.note(11.0, sent=True, peer=("127.0.0.2", 5062), data=b"INVITE sip:b SIP/2.0\r\n\r\n")
        second.note(11.5, sent=True, peer=("127.0.0.2", 5062), data=b"INVITE sip:b SIP/2.0\r\n\r\n")
        one, two = "INVITE sip:a SIP/2.0", "INVITE sip:b SIP/2.0"
        assert [(step.at_seconds, step.peer, step.start_line, step.retransmission) for step in second.ladder] == [
            (0.5, "127.0.0.1:5060", one, False),
            (1.0, "127.0.0.2:5062", two, False),
            (1.5, "127.0.0.2:5062", two, True),
        ]
        assert second.ladder[0].text == f"{one}\r\n\r\n"

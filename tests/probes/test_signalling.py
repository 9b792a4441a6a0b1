"""The SIP side of a call, in orders of messages that no real peer can be made to send."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bridge_monitor.domain import Grade, Outcome, Target
from bridge_monitor.errors import LocalProtocolError, PortsExhaustedError
from bridge_monitor.net.engine import Leg
from bridge_monitor.probes import signalling
from bridge_monitor.probes.call import SipCall
from bridge_monitor.probes.profile import Profile, Route
from bridge_monitor.probes.shapes import CallSite
from bridge_monitor.probes.signalling import Signalling
from bridge_monitor.probes.story import Story
from bridge_monitor.quality import Thresholds
from bridge_monitor.sip import Ended, Rejected, SipUri, TimedOut
from bridge_monitor.sip.location import Hop
from tests.interop.rigs import Line
from tests.probes.rooms import Room, header

NewRoom = Callable[[], Awaitable[Room]]


def caller_of(request: str) -> tuple[str, int]:
    """Return where a request came from."""
    host, _, port = header(request, "Via").split()[1].partition(";")[0].partition(":")
    return host, int(port)


@pytest.fixture
async def dialog(line: Line) -> Signalling:
    """Return a call's SIP side that has done nothing yet."""
    site = CallSite(Target(None, "sip:room@127.0.0.1"), Profile("p"), Route(), Thresholds())
    return Signalling(site, line.equipment, Story(line.equipment.now()), None)


class TestHangingUp:
    async def test_a_bye_of_the_room_s_that_crosses_ours_ends_the_call_as_well(self, line: Line, room: Room) -> None:
        """Its answer to our BYE never comes, since it has ended the call already: it is not unanswered."""
        room.answers()
        room.script["BYE"] = lambda _request: [room.request(room.requests[0], "BYE")]
        room.script["INVITE"] = lambda request: [room.response(request, "200 OK", body=room.sdp())]
        call = line.calling(room.uri, duration_seconds=0.2)
        await room.until(lambda: bool(room.responses))
        bye = room.requests[-1]
        room.send(room.response(bye, "481 Call/Transaction Does Not Exist"), caller_of(bye))
        result = (await call).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert room.responses[0].startswith("SIP/2.0 200")
        assert await line.is_idle()

    @pytest.mark.parametrize("status", ["401 Unauthorized", "407 Proxy Authentication Required"])
    async def test_a_bye_that_wants_an_account_which_we_lack_leaves_the_room_in_the_call(
        self, line: Line, room: Room, status: str
    ) -> None:
        """It was answered, and yet the room may believe the call is still up: its technician is told the same."""
        room.answers()
        room.script["BYE"] = lambda request: [room.response(request, status)]
        result = (await line.call(room.uri, duration_seconds=0.2)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, "bye_unanswered", Grade.GOOD)
        assert await line.is_idle()

    async def test_a_room_that_hangs_up_just_before_our_bye_gets_none(
        self, line: Line, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The media had ended already: that call was whole, and there is nothing left to end."""
        room.answers()
        listen = SipCall._listen

        async def listen_until_the_bye(call: SipCall) -> None:
            await listen(call)
            invite = room.requests[0]
            room.send(room.request(invite, "BYE"), caller_of(invite))
            await room.until(lambda: bool(room.responses))

        monkeypatch.setattr(SipCall, "_listen", listen_until_the_bye)
        result = (await line.call(room.uri, duration_seconds=0.2)).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.REACHED, None, Grade.GOOD)
        assert "BYE" not in room.methods
        assert await line.is_idle()

    async def test_another_session_offered_while_our_bye_waits_does_not_end_the_wait(
        self, line: Line, room: Room
    ) -> None:
        """Such an event closes nothing; the answer to our BYE does."""
        room.answers()
        room.script["BYE"] = lambda _request: []
        call = line.calling(room.uri, duration_seconds=0.2)
        await room.until_it_has("ACK")
        invite = room.requests[0]
        changed = room.sdp().replace("room 1 1", "room 1 2")
        room.send(room.request(invite, "INVITE", body=changed), caller_of(invite))
        await room.until_it_has("BYE")
        room.send(room.request(invite, "ACK", body=""), caller_of(invite))
        bye = room.requests[-1]
        room.send(room.response(bye, "200 OK"), caller_of(bye))
        result = (await call).result
        assert (result.outcome, result.reason) == (Outcome.REACHED, None)
        assert result.phases["bye"] is not None


class TestRedirects:
    async def test_what_can_t_be_called_is_passed_over(self, line: Line, room: Room, new_room: NewRoom) -> None:
        """No URI at all, UDP where TLS is asked for, another transport, IPv6: the next is taken (§8.1.3.4)."""
        target = await new_room()
        target.script["INVITE"] = lambda request: [target.response(request, "486 Busy Here")]
        contacts = [
            "<mailto:room@example.invalid>",
            f"<sips:room@127.0.0.1:{target.port};transport=udp>",
            f"<{target.uri};transport=WS>",
            f"<sip:room@[::1]:{target.port}>",
            f"<{target.uri};transport=UDP>",
        ]
        room.script["INVITE"] = lambda request: [
            room.response(request, "302 Moved Temporarily", *(f"Contact: {one}" for one in contacts))
        ]
        result = (await line.call(room.uri)).result
        assert result.outcome is Outcome.BUSY
        assert [request.split()[1] for request in target.requests[:1]] == [f"{target.uri};transport=UDP"]

    async def test_where_nobody_is_there_the_next_target_is_called(
        self, line: Line, room: Room, new_room: NewRoom, free_udp_port: Callable[[str], int]
    ) -> None:
        """No such name, then a closed port (§8.1.3.4); who refuses is there, and has the last word."""
        refusing, last = await new_room(), await new_room()
        refusing.script["INVITE"] = lambda request: [refusing.response(request, "404 Not Found")]
        nobody = f"sip:room@127.0.0.1:{free_udp_port('127.0.0.1')}"
        contacts = ["<sip:room@gone.invalid>", f"<{nobody}>", f"<{refusing.uri}>", f"<{last.uri}>"]
        room.script["INVITE"] = lambda request: [
            room.response(request, "300 Multiple Choices", *(f"Contact: {one}" for one in contacts))
        ]
        result = (await line.call(room.uri)).result
        assert result.sip is not None
        assert result.sip.status == 404
        assert not last.requests
        assert await line.is_idle()

    async def test_targets_that_lead_nowhere_are_tried_three_times(
        self, line: Line, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many there are; the last one's failure is the call's."""
        contacts = [f"Contact: <sip:room@gone{number}.invalid>" for number in range(9)]
        room.script["INVITE"] = lambda request: [room.response(request, "300 Multiple Choices", *contacts)]
        asked: list[str] = []
        locate = line.equipment.names.locate

        async def noted(uri: SipUri) -> tuple[Hop, ...]:
            asked.append(uri.host)
            return await locate(uri)

        monkeypatch.setattr(line.equipment.names, "locate", noted)
        result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason) == (Outcome.NAME_NOT_FOUND, "no_such_name")
        assert asked == ["gone0.invalid", "gone1.invalid", "gone2.invalid"]
        assert await line.is_idle()

    async def test_where_a_redirect_can_t_be_followed_for_want_of_ports_nothing_is_left_to_take_back(
        self, line: Line, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first call is closed, the second was never begun: nothing is waited for."""
        monkeypatch.setattr(signalling, "_CANCEL_PATIENCE", 3600.0)
        room.script["INVITE"] = lambda request: [
            room.response(request, "302 Moved Temporarily", f"Contact: <sip:other@127.0.0.1:{room.port}>")
        ]
        reserve, reserved = line.engine.reserve, []

        def reserve_once(remote_host: str) -> Leg:
            if reserved:
                raise PortsExhaustedError("no row is left")
            reserved.append(reserve(remote_host))
            return reserved[0]

        monkeypatch.setattr(line.engine, "reserve", reserve_once)
        async with asyncio.timeout(20.0):
            result = (await line.call(room.uri)).result
        assert (result.outcome, result.reason) == (Outcome.LOCAL_FAULT, "ports_exhausted")
        assert await line.is_idle()


class TestSending:
    async def test_a_datagram_that_the_kernel_refuses_is_our_fault(self, line: Line) -> None:
        """A broadcast address: sending there is not allowed, and no room has said a word (DESIGN rule 2)."""
        result = (await line.call("sip:room@255.255.255.255", route=Route(source="127.0.0.1"))).result
        assert (result.outcome, result.reason, result.grade) == (Outcome.LOCAL_FAULT, "eacces", Grade.INVALID)
        assert await line.is_idle()

    async def test_an_old_fault_of_ours_is_not_taken_for_a_new_one(
        self, line: Line, free_udp_port: Callable[[str], int]
    ) -> None:
        """Sending failed here once; now it works, and nobody listens there."""
        destination = ("127.0.0.1", free_udp_port("127.0.0.1"))
        udp = line.stack.towards(destination)
        udp.local_errors[destination] = "enetunreach"
        result = (await line.call(f"sip:room@127.0.0.1:{destination[1]}")).result
        assert (result.outcome, result.reason) == (Outcome.UNREACHABLE, "icmp")


class TestPhases:
    async def test_ringing_without_trying_is_one_phase_less(self, line: Line, room: Room) -> None:
        """180 may come first; more of them change nothing."""
        room.script["INVITE"] = lambda request: [
            room.response(request, "180 Ringing"),
            room.response(request, "100 Trying"),
            room.response(request, "183 Session Progress"),
            room.response(request, "200 OK", body=room.sdp()),
        ]
        room.script["BYE"] = lambda request: [room.response(request, "200 OK")]
        result = (await line.call(room.uri, duration_seconds=0.2)).result
        assert result.phases["trying"] is None
        assert result.phases["ringing"] is not None
        assert result.phases["answer"] is not None
        assert result.outcome is Outcome.REACHED


class TestWhatCannotBe:
    """Orders that the user agent never takes; should one come, a room is not accused and nothing hangs."""

    async def test_a_step_before_its_time_is_a_bug_of_ours(self, dialog: Signalling) -> None:
        with pytest.raises(LocalProtocolError, match="no socket yet"):
            _ = dialog.host
        with pytest.raises(LocalProtocolError, match="no socket yet"):
            dialog.acknowledge()
        with pytest.raises(LocalProtocolError, match="no channel yet"):
            await dialog.until_hung_up(asyncio.get_running_loop().create_future(), changed=lambda _event: None)
        with pytest.raises(LocalProtocolError, match="no destination yet"):
            _ = dialog._towards
        await dialog.reach(SipUri.parse("sip:room@127.0.0.1"))
        with pytest.raises(LocalProtocolError, match="nothing was sent yet"):
            dialog.acknowledge()

    async def test_there_is_nothing_to_abandon_before_anything_was_sent(self, dialog: Signalling) -> None:
        await dialog.abandon()
        await dialog.reach(SipUri.parse("sip:room@127.0.0.1"))
        await dialog.abandon()
        dialog.leave()
        assert dialog.ladder == ()

    @pytest.mark.parametrize(
        ("event", "outcome"),
        [
            (Ended("id", "remote", 0.0), Outcome.UNAVAILABLE),
            (TimedOut("id", 0.0), Outcome.TIMEOUT),
            (None, Outcome.TIMEOUT),
            (Rejected("id", 302, "Moved", None, (), 0.0), Outcome.UNAVAILABLE),
        ],
    )
    async def test_an_end_before_the_answer_has_its_outcome(
        self, dialog: Signalling, event: Ended | TimedOut | Rejected | None, outcome: Outcome
    ) -> None:
        dialog._fail(event)
        assert dialog._story.verdict.outcome is outcome

    async def test_a_call_that_is_closed_is_not_waited_for(
        self, line: Line, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The room has refused while our task was being cancelled: no CANCEL, no waiting."""
        monkeypatch.setattr(signalling, "_CANCEL_PATIENCE", 3600.0)
        room.script["INVITE"] = lambda request: [room.response(request, "486 Busy Here")]
        call = line.calling(room.uri)
        await room.until_it_has("ACK")
        call.cancel()
        async with asyncio.timeout(20.0):
            result = (await call).result
        assert result.outcome in (Outcome.CANCELLED, Outcome.BUSY)
        assert "CANCEL" not in room.methods

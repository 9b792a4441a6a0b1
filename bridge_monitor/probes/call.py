"""One SIP test call, from name to BYE: the order of things.

Owns the call's course; must not judge it (`probes.judge`) nor know the protocols' insides (`probes.signalling`, `net`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from bridge_monitor.domain import Advisory, Evidence, Grade, MediaResult, Outcome, ProbeResult
from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import clock
from bridge_monitor.net.channel import WireTap
from bridge_monitor.net.engine import CapturedPacket, StreamPlan, VideoPlan
from bridge_monitor.net.engine.plan import SOCKET_OVERFLOW
from bridge_monitor.net.names import NameNotFoundError
from bridge_monitor.net.sip_streams import NotConnectedError
from bridge_monitor.probes.advice import advise
from bridge_monitor.probes.judge import Verdict, judge_answered, judge_connection
from bridge_monitor.probes.legs import Legs
from bridge_monitor.probes.media import media_result
from bridge_monitor.probes.shapes import CallSite, Equipment, Finished
from bridge_monitor.probes.signalling import Signalling
from bridge_monitor.probes.story import Progress, Story, quiet
from bridge_monitor.rtp.level import COMFORT_NOISE
from bridge_monitor.sdp import (
    AudioAnswer,
    NegotiationFailure,
    SessionDescription,
    VideoAnswer,
    audio_offer,
    negotiate_audio,
    negotiate_video,
    offer_video,
)
from bridge_monitor.sip import Answered, SessionChanged, SipUri

LAG_LIMIT_SECONDS: Final = 0.5
"""A set-up judged by a loop that was this late says nothing of the room."""

_BAD: Final = frozenset({Grade.DEGRADED, Grade.FAILED})
_LARGE_PACKET_MS: Final = 160  # 1,280 bytes of G.711
_ON_HOLD: Final = "0.0.0.0"  # noqa: S104 - compared with, never bound to (RFC 3264 §8.4)
_TAKES_VIDEO: Final = frozenset({"sendrecv", "recvonly"})
_NOT_AGREED: Final = {"wrong_codec": Outcome.WRONG_CODEC, "malformed": Outcome.PROTOCOL_ERROR}


class SipCall:
    """One test call to one site.

    Args:
        site: Whom to call and how.
        equipment: The shared sockets, engine and journal.
        tap: Is given each SIP datagram of the call.
        capture: Whether the media engine keeps the call's packets for `net.pcap`.
        progress: Is told of each phase.
    """

    def __init__(
        self,
        site: CallSite,
        equipment: Equipment,
        *,
        tap: WireTap | None = None,
        capture: bool = False,
        progress: Progress = quiet,
    ) -> None:
        self._site = site
        self._equipment = equipment
        self._capture = capture
        self._story = Story(equipment.now(), progress)
        self._signalling = Signalling(site, equipment, self._story, tap)
        self._legs = Legs(equipment.engine, capture=capture)
        self._offered: SessionDescription | None = None
        self._agreed_video: VideoAnswer | None = None
        self._picture_unknown = False

    async def run(self) -> Finished:
        """Place the call and see it to its end.

        Cancelling the task ends the call (CANCEL or BYE, bounded in time) and still returns a result, ``cancelled``:
        a call that was up has been up, and its site deserves to know.
        """
        started_at = clock.posix_now()
        story = self._story
        try:
            await self._place()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            story.conclude(Outcome.CANCELLED)
            await self._break_off()
        except NameNotFoundError as error:
            story.conclude(Outcome.NAME_NOT_FOUND, error.reason)
        except NotConnectedError as error:
            story.conclude(*judge_connection(error.reason))
        except LocalFaultError as error:
            story.conclude(Outcome.LOCAL_FAULT, error.reason)
            await self._break_off()
        except Exception:
            # Our bug; the call is ended all the same before it is told.
            await self._break_off()
            raise
        finally:
            self._signalling.leave()
            packets = self._legs.put_down()
        return self._finish(started_at, packets)

    async def _place(self) -> None:
        profile = self._site.profile
        if profile.has_video:
            # Before anybody is called: it may have to be encoded first.
            card = await self._equipment.cards.of(*profile.video_rate)
            self._equipment.engine.load_card(card)
        target: SipUri | Answered | None = SipUri.parse(self._site.target.uri)
        while isinstance(target, SipUri):
            try:
                await self._signalling.reach(target)
                if profile.kind == "sip-options":
                    await self._signalling.ask_options(target)
                    return
                target = await self._signalling.invite(target, self._offer)
            except (NameNotFoundError, NotConnectedError):
                # A redirect may have named others as well (RFC 3261 §8.1.3.4).
                target = self._signalling.redirects.another()
                if target is None:
                    raise
        if target is not None and self._offered is not None:
            await self._converse(self._offered, target)

    def _offer(self, remote_host: str) -> bytes:
        """Return our description for a call to this address, and remember it; rows are held for its streams."""
        profile = self._site.profile
        leg = self._legs.reserve(remote_host, with_video=profile.has_video)
        offer = audio_offer(
            host=self._signalling.host,
            rtp_port=leg.rtp_port,
            rtcp_port=leg.rtcp_port,
            codecs=profile.codecs,
            session_id=clock.random_bits(31),
        )
        if video := self._legs.video:
            offer = offer_video(
                offer, rtp_port=video.rtp_port, rtcp_port=video.rtcp_port, bitrate_bps=profile.video_bps
            )
        self._offered = offer
        self._story.offer = offer.to_bytes()
        return self._story.offer

    async def _converse(self, offer: SessionDescription, answered: Answered) -> None:
        story = self._story
        self._signalling.acknowledge()
        acknowledged_ns = clock.posix_now_ns()
        story.answer = answered.sdp
        audio = await self._negotiate(offer, answered)
        if audio is None:
            await self._signalling.bye()
            return
        story.codec = audio.codec
        video = await self._negotiate_video(offer, answered)
        story.begin("first_rtp", self._equipment.now())
        self._legs.begin(self._stream_plan(audio), self._video_plan(video) if video else None)
        await self._listen()
        story.stream, story.video = stream, _ = await self._legs.heard()
        if stream.first_rtp_ns is not None:
            story.set("first_rtp", max(0.0, (stream.first_rtp_ns - acknowledged_ns) / 1e9))
        await self._signalling.bye()
        story.media = self._figures()
        story.verdict = judge_answered(
            stream,
            story.media,
            self._site.thresholds,
            setup_seconds=story.setup_seconds,
            bye_answered=story.bye_answered,
            hung_up=story.hung_up,
            earlier=self._site.earlier,
            video=story.video,
        )

    async def _negotiate(self, offer: SessionDescription, answered: Answered) -> AudioAnswer | None:
        """Return what was agreed on, its host an IPv4 address; None if nothing was, which is then concluded."""
        story = self._story
        audio = negotiate_audio(offer, answered.sdp)
        if isinstance(audio, NegotiationFailure):
            story.conclude(_NOT_AGREED.get(audio.reason, Outcome.NOT_ACCEPTABLE), audio.reason)
            return None
        if audio.host == _ON_HOLD or audio.direction == "inactive":
            # Nothing may be sent (RFC 3264 §8.4), and whatever went to 0.0.0.0 would come back to ourselves.
            story.conclude(Outcome.NOT_ACCEPTABLE, "media_rejected")
            return None
        try:
            host = await self._equipment.names.address(audio.host)  # a name is allowed there (RFC 8866 §5.7)
        except NameNotFoundError:
            story.conclude(Outcome.PROTOCOL_ERROR, "media_address")
            return None
        return audio if host == audio.host else replace(audio, host=host)

    async def _negotiate_video(self, offer: SessionDescription, answered: Answered) -> VideoAnswer | None:
        """Return what was agreed on for video, its host an IPv4 address; None if nothing of ours may go there.

        A room without video is a room all the same: then the call goes on with audio alone.
        """
        if self._legs.video is None:
            return None
        video = negotiate_video(offer, answered.sdp)
        if isinstance(video, NegotiationFailure) or video.host == _ON_HOLD:
            return None
        if video.direction not in _TAKES_VIDEO:
            self._picture_unknown = video.direction == "sendonly"  # it may send one that nobody here looks at
            return None
        self._agreed_video = video
        try:
            host = await self._equipment.names.address(video.host)
        except NameNotFoundError:
            return None
        return replace(video, host=host)

    def _stream_plan(self, audio: AudioAnswer) -> StreamPlan:
        profile, route = self._site.profile, self._site.route
        large = profile.large_packets if (audio.maxptime_ms or _LARGE_PACKET_MS) >= _LARGE_PACKET_MS else 0
        return StreamPlan(
            remote_host=audio.host,
            rtp_port=audio.rtp_port,
            rtcp_port=audio.rtcp_port,
            payload_type=audio.payload_type,
            codec=audio.codec,
            # Rooms send comfort noise in their pauses whether or not it was offered.
            accepted_payload_types=(*audio.accepted_payload_types, COMFORT_NOISE),
            ssrc=clock.random_bits(32),
            first_seq=clock.random_bits(16),
            first_timestamp=clock.random_bits(32),
            duration_seconds=profile.duration_seconds,
            large_packets=large,
            tone=profile.tone,
            dscp=profile.dscp_audio if route.dscp is None else route.dscp,
            capture=self._capture,
        )

    def _video_plan(self, video: VideoAnswer) -> VideoPlan:
        profile, route = self._site.profile, self._site.route
        return VideoPlan(
            remote_host=video.host,
            rtp_port=video.rtp_port,
            rtcp_port=video.rtcp_port,
            payload_type=video.payload_type,
            # A plain echo sends the room's number back to us.
            accepted_payload_types=tuple(dict.fromkeys((*video.accepted_payload_types, video.payload_type))),
            ssrc=clock.random_bits(32),
            first_seq=clock.random_bits(16),
            first_timestamp=clock.random_bits(32),
            duration_seconds=profile.duration_seconds,
            bitrate_bps=profile.video_bps,
            frames_per_second=profile.video_fps,
            dscp=profile.dscp_video if route.dscp is None else route.dscp,
            capture=self._capture,
        )

    async def _listen(self) -> None:
        """Wait for the streams' end; a BYE from the room ends them early."""
        with self._legs.over() as over:
            await self._signalling.until_hung_up(unless=over, changed=self._session_changed)

    def _session_changed(self, event: SessionChanged) -> None:
        """Send no more video to a room that puts it off or elsewhere: what it misses then, no line has lost."""
        agreed = self._agreed_video
        if agreed is None:
            return
        now = negotiate_video(event.answer, event.offer)
        if isinstance(now, NegotiationFailure) or now.direction not in _TAKES_VIDEO or _way(now) != _way(agreed):
            self._agreed_video = None
            self._picture_unknown = True
            self._legs.drop_video()

    async def _break_off(self) -> None:
        self._legs.stop()
        await self._signalling.abandon()
        # What was measured until then is still told.
        if heard := await self._legs.heard_at_last():
            self._story.stream, self._story.video = heard

    def _figures(self) -> tuple[MediaResult, ...]:
        story = self._story
        if story.stream is None:
            return ()
        audio = media_result(story.stream, codec=story.codec)
        return (audio, media_result(story.video, codec="H264", kind="video")) if story.video else (audio,)

    def _finish(self, started_at: float, packets: tuple[CapturedPacket, ...]) -> Finished:
        story, equipment = self._story, self._equipment
        verdict = story.verdict or Verdict(Outcome.LOCAL_FAULT, "no_verdict", Grade.INVALID)
        invalid = [reason for stream in (story.stream, story.video) if stream for reason in stream.invalid]
        if equipment.lag.worst_since(story.started) > LAG_LIMIT_SECONDS:
            invalid.append("loop_lag")
        if equipment.stack.has_overflowed_since(story.started):
            invalid.append(SOCKET_OVERFLOW)
        if verdict.outcome is Outcome.LOCAL_FAULT:
            invalid.append(verdict.reason or "local_fault")
        if equipment.drops is not None and verdict.grade in _BAD:
            # The machine's counters, not this call's: they excuse what is bad, and take nothing from what was good.
            invalid += equipment.drops.reasons_since(story.started, self._signalling.left_from)
        result = ProbeResult(
            id=clock.new_id(started_at),
            target=self._site.target,
            kind=self._site.profile.kind,
            profile=self._site.profile.name,
            vantage=equipment.vantage,
            call_id=story.call_id,
            started_at=clock.utc(started_at),
            duration_seconds=equipment.now() - story.started,
            outcome=verdict.outcome,
            reason=verdict.reason,
            grade=Grade.INVALID if invalid and verdict.grade is not Grade.UNTESTED else verdict.grade,
            phases=dict(story.phases),
            sip=story.status,
            media=story.media or self._figures(),
            invalid=tuple(dict.fromkeys(invalid)),
            advisories=() if invalid else self._advisories(verdict),
            hops=self._signalling.hops,
            tls=story.tls,
        )
        return Finished(result, lambda: self._evidence(result.id), story.stream, packets, story.video)

    def _evidence(self, result_id: str) -> Evidence:
        offer, answer = (
            None if description is None else description.decode("utf-8", "replace")
            for description in (self._story.offer, self._story.answer)
        )
        return Evidence(result_id, self._site.target.site, self._signalling.ladder, offer, answer)

    def _advisories(self, verdict: Verdict) -> tuple[Advisory, ...]:
        stream = self._story.stream
        if stream is None:
            return ()
        lasted = verdict.outcome is Outcome.REACHED and verdict.reason != "hung_up"
        expected = lasted and self._site.profile.has_video and not self._picture_unknown
        return advise(stream, self._story.video, video_expected=expected)


def _way(video: VideoAnswer) -> tuple[str, int, int, int]:
    """Return where and under which number a room takes our video."""
    return video.host, video.rtp_port, video.rtcp_port, video.payload_type

"""How a site is called: named profiles, and the overrides of a province or carrier.

Owns these two settings and what follows from them (how long and how wide a call can be); must not read files (`config`
parses into them) nor place calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from types import MappingProxyType
from typing import Final

from bridge_monitor.domain.values import dataclass
from bridge_monitor.quality import Thresholds
from bridge_monitor.sip import TlsSettings

REPORT_WAIT_SECONDS: Final = 15.0
"""The longest a call without an echo goes on until the room's report covers the stream (DESIGN rule 6)."""

LATE_ANSWER_SECONDS: Final = 32.0
"""64·T1 (RFC 3261 §17.1.1.2, §9.1): so long an INVITE given up may still be answered; the answer is ended at once."""

TEARDOWN_SECONDS: Final = 5.0
"""BYE and the wait for its answer, with a little for what is still on its way."""

CARD_PATIENCE_SECONDS: Final = 30.0
"""So long a call waits for its test card before it gives up; a card takes a second or two, and is made once."""

_USUAL_OVERHEAD_SECONDS: Final = 3.0
_LARGE_PACKET_SECONDS: Final = 0.16  # 1280 bytes of G.711 stand for 160 ms
_G711_BPS: Final = 80_000.0  # 50 packets a second of 160 bytes and 40 bytes of IP, UDP and RTP headers
_VIDEO_PEAK: Final = 1.1  # an IDR picture each two seconds: some seconds hold more than their share, the next ones less
_OPTIONS_BPS: Final = 8_000.0  # one request of less than 1,000 bytes, spread over a second

CALLABLE_SCHEMES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"sip": frozenset({"sip", "sips"}), "sip-options": frozenset({"sip", "sips"})}
)
"""Kinds of profile, and the URI schemes each can call in this version."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How a test call is made and graded.

    Attributes:
        name: Its name in ``probes:``.
        kind: ``sip`` (a whole call with media) or ``sip-options`` (one OPTIONS request; never makes a site good).
        duration_seconds: How long media is sent.
        answer_timeout_seconds: How long an answer is waited for before silence is judged.
        codecs: Names of the RTP payload formats offered, the preferred first (RFC 3551 §6).
        large_packets: How many packets of a video's size end the stream, with DF set; 0 for none.
        tone: True for an audible tone instead of digital silence.
        video_bps: What video takes on the line beside the audio, headers of RTP, UDP and IP included; 0 for none.
        video_fps: Its frames a second.
        dscp_audio: DSCP of the audio (RFC 4594: EF).
        dscp_video: DSCP of the video (RFC 4594: AF41).
        dscp_signalling: DSCP of SIP (RFC 4594: CS3).
        thresholds: Limits by name of tier; ``default`` for the tiers not named.
    """

    name: str
    kind: str = "sip"
    duration_seconds: float = 10.0
    answer_timeout_seconds: float = 10.0
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    large_packets: int = 0
    tone: bool = False
    video_bps: int = 0
    video_fps: int = 25
    dscp_audio: int = 46
    dscp_video: int = 34
    dscp_signalling: int = 24
    thresholds: Mapping[str, Thresholds] = field(default_factory=lambda: MappingProxyType({"default": Thresholds()}))

    def thresholds_for(self, tier: str) -> Thresholds:
        """Return the limits that calls to sites of this tier are graded by."""
        return self.thresholds.get(tier) or self.thresholds.get("default") or Thresholds()

    @property
    def stream_seconds(self) -> float:
        """How long media is sent, the large packets included."""
        if self.kind == "sip-options":
            return 0.0
        return self.duration_seconds + self.large_packets * _LARGE_PACKET_SECONDS

    @property
    def longest_call_seconds(self) -> float:
        """The longest a call can be up: its test card, set-up, then media and its report or a late answer, teardown.

        No call is started that could still be up outside a window (`schedule.Plannable`).
        """
        if self.kind == "sip-options":
            return self.answer_timeout_seconds
        before = CARD_PATIENCE_SECONDS if self.has_video else 0.0
        # Video is over when audio is: it is sent no longer, and waits for its report as long.
        afterwards = max(self.stream_seconds + REPORT_WAIT_SECONDS, LATE_ANSWER_SECONDS)
        return before + self.answer_timeout_seconds + afterwards + TEARDOWN_SECONDS

    @property
    def usual_call_seconds(self) -> float:
        """How long a call to a good room takes, for estimates: a little set-up, media, the last report or echo."""
        return self.stream_seconds + _USUAL_OVERHEAD_SECONDS

    @property
    def has_video(self) -> bool:
        """Whether its calls offer video."""
        return self.kind == "sip" and self.video_bps > 0

    @property
    def video_rate(self) -> tuple[int, int]:
        """Rate and pace of its video, by which test cards are kept."""
        return self.video_bps, self.video_fps

    @property
    def bandwidth_bps(self) -> float:
        """What a call takes on the line in its fullest second, in bit/s each way, IP headers included.

        `schedule.Plannable`: caps count it.
        """
        if self.kind == "sip-options":
            return _OPTIONS_BPS
        return _G711_BPS + self.video_bps * _VIDEO_PEAK


@dataclass(frozen=True, slots=True)
class Route:
    """What the way to a province or over a carrier asks for; None keeps what the profile or the system says.

    Attributes:
        proxy: SIP URI of the outbound proxy (RFC 3261 §8.1.2).
        dscp: DSCP of signalling and media.
        source: Local address that calls leave from.
        tls: What a peer must show over TLS, and what we show it.
    """

    proxy: str | None = None
    dscp: int | None = None
    source: str | None = None
    tls: TlsSettings | None = None


@dataclass(frozen=True, slots=True)
class TlsBook:
    """What TLS peers must show, and what we show them: a site's word goes before its province's and its carrier's.

    Attributes:
        default: Where nobody says otherwise.
        sites: By code of the site.
    """

    default: TlsSettings = field(default_factory=TlsSettings)
    sites: Mapping[str, TlsSettings] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, site: str, route: Route) -> Route:
        """Return the site's overrides with what holds for it."""
        tls = self.sites.get(site) or route.tls or self.default
        return route if tls == (route.tls or _USUAL_TLS) else replace(route, tls=tls)


_USUAL_TLS: Final = TlsSettings()

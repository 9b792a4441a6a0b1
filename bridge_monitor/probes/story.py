"""What one call has met so far, and how long each of its phases took.

Owns the notes of a call in progress; must not act on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bridge_monitor.domain import Grade, MediaResult, Outcome, SipStatus, TlsResult
from bridge_monitor.probes.judge import Verdict, grade_of
from bridge_monitor.rtp.report import StreamReport

PHASES: Final = ("resolve", "connect", "tls", "trying", "ringing", "answer", "first_rtp", "bye")
"""Phases of a SIP call, in order; a result gives the seconds each took, None where it was not reached."""

Progress = Callable[[str, float | None], None]
"""Called with a phase's name and its seconds (None when it begins)."""


def quiet(_phase: str, _seconds: float | None) -> None:
    """Show no progress."""


@dataclass(slots=True)
class Story:
    """One call's notes. Times are the loop's monotonic seconds.

    Attributes:
        started: When the call began.
        progress: Is told of each phase.
        phases: Seconds each phase took.
        status: The last SIP response of interest.
        call_id: The Call-ID, once something was sent.
        invited: When the first INVITE was sent.
        setup_seconds: From the INVITE to the 200, redirects included.
        verdict: The end of it.
        stream: What the media engine counted of the audio.
        video: The same of the video; None if the call has none.
        media: Their figures, once they were judged.
        codec: The audio codec agreed on.
        offer: Our description.
        answer: The room's.
        bye_answered: Whether our BYE got a response.
        hung_up: Whether the room ended the call.
        tls: What was agreed on over TLS.
    """

    started: float
    progress: Progress = quiet
    phases: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(PHASES))
    status: SipStatus | None = None
    call_id: str | None = None
    invited: float | None = None
    setup_seconds: float | None = None
    verdict: Verdict | None = None
    stream: StreamReport | None = None
    video: StreamReport | None = None
    media: tuple[MediaResult, ...] = ()
    codec: str = ""
    offer: bytes | None = None
    answer: bytes | None = None
    bye_answered: bool = True
    hung_up: bool = False
    tls: TlsResult | None = None
    _mark: float = 0.0

    def begin(self, phase: str, at: float) -> None:
        """Note that a phase begins."""
        self._mark = at
        self.progress(phase, None)

    def end(self, phase: str, at: float) -> None:
        """Note that a phase has ended; what follows begins then."""
        self.set(phase, max(0.0, at - self._mark))
        self._mark = at

    def set(self, phase: str, seconds: float) -> None:
        """Note how long a phase took, by another clock."""
        self.phases[phase] = seconds
        self.progress(phase, seconds)

    def conclude(self, outcome: Outcome, reason: str | None = None) -> None:
        """Note an end other than a call that was reached; its grade follows from the outcome."""
        self.verdict = Verdict(outcome, reason, grade_of(outcome, reason))

    def conclude_options(self) -> None:
        """Note that OPTIONS was answered, which alone never makes a site good."""
        self.verdict = Verdict(Outcome.REACHED, "options_only", Grade.UNTESTED)

"""What a failed call leaves behind for the person who mends it: the SIP ladder, descriptions, timing, RTP summary.

Owns the shape; secrets and payloads are already removed by whoever fills it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LadderStep:
    """One SIP message of a call.

    Attributes:
        at_seconds: Seconds since the call's start.
        sent: True if we sent it.
        peer: ``address:port`` of the other side.
        start_line: Its first line.
        text: The whole message as text.
        retransmission: True if the same message had passed before.
    """

    at_seconds: float
    sent: bool
    peer: str
    start_line: str
    text: str
    retransmission: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything kept of one call, by its result's id."""

    result_id: str
    site: str | None
    ladder: tuple[LadderStep, ...]
    offer: str | None = None
    answer: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form: JSON types only."""
        return asdict(self)

"""Session descriptions (RFC 8866) and the offer/answer model (RFC 3264) for audio. Level 1.

Owns reading, writing and negotiating descriptions; must not open ports or choose them: they are passed in.
"""

from bridge_monitor.sdp.description import (
    Connection,
    MediaDescription,
    Origin,
    SessionDescription,
    parse,
)
from bridge_monitor.sdp.negotiation import (
    AudioAnswer,
    NegotiationFailure,
    answer_audio,
    audio_offer,
    negotiate_audio,
    reanswer_audio,
)

__all__ = [
    "AudioAnswer",
    "Connection",
    "MediaDescription",
    "NegotiationFailure",
    "Origin",
    "SessionDescription",
    "answer_audio",
    "audio_offer",
    "negotiate_audio",
    "parse",
    "reanswer_audio",
]

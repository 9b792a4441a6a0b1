"""Session descriptions (RFC 8866) and the offer/answer model (RFC 3264) for audio and video. Level 1.

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
from bridge_monitor.sdp.video import VideoAnswer, answer_video, negotiate_video, offer_video, reanswer, settle

__all__ = [
    "AudioAnswer",
    "Connection",
    "MediaDescription",
    "NegotiationFailure",
    "Origin",
    "SessionDescription",
    "VideoAnswer",
    "answer_audio",
    "answer_video",
    "audio_offer",
    "negotiate_audio",
    "negotiate_video",
    "offer_video",
    "parse",
    "reanswer",
    "reanswer_audio",
    "settle",
]

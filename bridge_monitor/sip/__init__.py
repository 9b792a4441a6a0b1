"""SIP (RFC 3261), sans I/O: messages, transactions, dialogs and one user agent. Level 2.

Owns the signalling of test calls; must not touch sockets, clocks or randomness: `now`, bytes and tokens are passed in.
"""

from bridge_monitor.sip.addresses import DATAGRAM_LIMIT, DEFAULT_PORTS, StreamAddress, TlsSettings, is_stream
from bridge_monitor.sip.agent import UserAgent
from bridge_monitor.sip.dialog import DialogRecord
from bridge_monitor.sip.digest import NO_CREDENTIALS, Credential, Credentials
from bridge_monitor.sip.events import (
    Acknowledged,
    Address,
    Answered,
    ByeCompleted,
    Challenged,
    ConnectionLost,
    Ended,
    Event,
    Invited,
    NoFinalAnswer,
    OptionsAnswered,
    ProtocolViolated,
    Provisional,
    Rejected,
    SessionChanged,
    TimedOut,
    TransportFailed,
)
from bridge_monitor.sip.login import Trouble
from bridge_monitor.sip.message import Message, Request, Response, parse_message
from bridge_monitor.sip.uri import SipUri
from bridge_monitor.sip.writing import respond, response_destination

__all__ = [
    "DATAGRAM_LIMIT",
    "DEFAULT_PORTS",
    "NO_CREDENTIALS",
    "Acknowledged",
    "Address",
    "Answered",
    "ByeCompleted",
    "Challenged",
    "ConnectionLost",
    "Credential",
    "Credentials",
    "DialogRecord",
    "Ended",
    "Event",
    "Invited",
    "Message",
    "NoFinalAnswer",
    "OptionsAnswered",
    "ProtocolViolated",
    "Provisional",
    "Rejected",
    "Request",
    "Response",
    "SessionChanged",
    "SipUri",
    "StreamAddress",
    "TimedOut",
    "TlsSettings",
    "TransportFailed",
    "Trouble",
    "UserAgent",
    "is_stream",
    "parse_message",
    "respond",
    "response_destination",
]

"""The reference responder: a small echo room for callers of the world outside. Level 5.

Owns its calls, their bounds and its sockets; the media are those of a simulated room without faults (`sim`), so that
there is one reflector in the project.
"""

from bridge_monitor.responder.room import EchoRoom, Tally
from bridge_monitor.responder.service import Responder, Status
from bridge_monitor.responder.settings import ResponderSettings

__all__ = ["EchoRoom", "Responder", "ResponderSettings", "Status", "Tally"]

"""The error hierarchy, whole.

Owns every exception class of the package; must not import anything of it. A failed call is never an exception but a
`domain.ProbeResult` (see `docs/outcomes.md`): what is raised is the operator's mistake, a peer's unreadable bytes on
their way to the one place that turns them into an outcome, or our own bug.

::

    BridgeMonitorError
    ├── ConfigError              the operator's files, every problem of them at once
    ├── RefusedError             a call that must not be placed now: window, guard, cap, slot
    ├── LocalFaultError          this machine's fault, never a room's
    │   ├── PortsExhaustedError  no local port or row left in the media engine
    │   ├── EngineDiedError      the media engine's process ended
    │   ├── CardError            the picture that video calls show can't be made here
    │   └── ResolverError        our DNS servers don't answer, or not us
    ├── RemoteProtocolError      a peer sent what the protocol forbids
    │   ├── SipSyntaxError       RFC 3261 §25
    │   ├── SdpSyntaxError       RFC 8866 §9
    │   └── RtpSyntaxError       RFC 3550 §5, §6
    └── LocalProtocolError       we tried what the protocol forbids: a bug of ours
"""

from __future__ import annotations

from dataclasses import dataclass


class BridgeMonitorError(Exception):
    """Anything this package raises on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in one configuration file, and its mend.

    Attributes:
        file: The file as the operator named it.
        line: Line number from 1; 0 where the file as a whole is meant.
        what: What is wrong.
        mend: What to write instead.
        warning: True if the file can be used all the same.
    """

    file: str
    line: int
    what: str
    mend: str
    warning: bool = False

    def __str__(self) -> str:
        """Return ``file:line: what; mend``."""
        return f"{self.file}:{self.line}: {self.what}; {self.mend}"


class ConfigError(BridgeMonitorError):
    """The operator's files can't be used; carries every problem of every file.

    Attributes:
        problems: All problems found, in file and line order.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class RefusedError(BridgeMonitorError):
    """A call must not be placed now; nothing was sent.

    Attributes:
        reason: snake_case reason, as in ``ProbeResult.reason`` (``outside_window``, ``site_in_call``, …).
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class LocalFaultError(BridgeMonitorError):
    """This machine's fault: the call says nothing of the room.

    Attributes:
        reason: snake_case reason, as in ``ProbeResult.reason`` and ``ProbeResult.invalid``.
    """

    reason = "no_way_out"


class PortsExhaustedError(LocalFaultError):
    """No local port or row is left for another call's media."""

    reason = "ports_exhausted"


class EngineDiedError(LocalFaultError):
    """The media engine's process ended while the call was up."""

    reason = "media_engine_died"


class CardError(LocalFaultError):
    """The test card of a rate can't be encoded here, or not in time."""

    reason = "test_card"


class ResolverError(LocalFaultError):
    """No DNS server of ours has answered a question about a name, which says nothing of the name.

    Attributes:
        reason: ``resolver_timeout``, ``resolver_unreachable``, ``resolver_refused`` or ``resolver_failed``.
    """

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"{host}: {reason}")
        self.reason = reason


class RemoteProtocolError(BridgeMonitorError):
    """A peer sent what the protocol forbids."""


class SipSyntaxError(RemoteProtocolError):
    """Bytes that are no SIP message (RFC 3261 §25)."""


class SdpSyntaxError(RemoteProtocolError):
    """Bytes that are no session description (RFC 8866 §9)."""


class RtpSyntaxError(RemoteProtocolError):
    """Bytes that are no RTP or RTCP packet (RFC 3550 §5, §6)."""


class LocalProtocolError(BridgeMonitorError):
    """We tried what the protocol forbids: a bug of ours."""

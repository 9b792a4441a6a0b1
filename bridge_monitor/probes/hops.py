"""The addresses that one request can go to, and what became of those that were tried (RFC 3263 §4.3).

Owns the order, and how long each may be silent; must not send, nor judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge_monitor.domain import TriedHop
from bridge_monitor.net.names import Names
from bridge_monitor.sip.location import Hop

LEAST_SHARE_SECONDS: Final = 1.0
"""Of the answer time-out: in it a request is sent twice."""


class Hops:
    """The way of one request from address to address.

    Args:
        names: Is told of those that fail.
        hops: Where it can go, best first.
        seconds: How long it may take in all, from the first one on.
        named: Whether they came of a name; else there is but one, and nothing is noted of it.
    """

    __slots__ = ("_deadline", "_heard", "_names", "_spare", "_transport", "current", "named", "seconds", "tried")

    def __init__(self, names: Names, hops: Sequence[Hop], *, seconds: float, named: bool) -> None:
        self._names = names
        self._spare = hops[1:]
        self._deadline: float | None = None
        self._heard = False
        self._transport: str | None = None
        self.current = hops[0]
        self.seconds = seconds
        self.named = named
        self.tried: tuple[TriedHop, ...] = ()

    def begin(self, now: float) -> float:
        """Note that the request is sent to the current one; return how many seconds are left for a final answer."""
        self._heard = False
        if self._deadline is None:
            self._deadline = now + self.seconds
            return self.seconds
        return max(0.0, self._deadline - now)

    def patience(self, now: float, otherwise: float) -> float:
        """Return how long the current one may be silent: its share of what is left; ``otherwise`` if it is the last."""
        left = (self._deadline or now) - now
        if not self._spare or self._heard or left < 2 * LEAST_SHARE_SECONDS:
            return otherwise
        return max(LEAST_SHARE_SECONDS, left / (len(self._spare) + 1))

    def note_answer(self) -> None:
        """Note that the current one has answered, whatever it said."""
        if self.named and not self._heard:
            self._names.note_alive(self.current)
            self._note(None)
        self._heard = True

    def note_failure(self, reason: str, now: float, *, retry_after: float | None = None, ours: bool = False) -> bool:
        """Note that the current one has failed; return whether there is another one to turn to, now the current one.

        Args:
            reason: Why: ``timeout``, ``icmp``, ``status_503``, or an error of this machine.
            now: The time.
            retry_after: Seconds after which it wants to be asked again.
            ours: Whether it is this machine's fault: then nothing is held against the host.
        """
        if self.named:
            if not ours:
                self._names.note_failed(self.current, reason, retry_after)
            self._note(reason)
        if not self._spare or self._deadline is None or now >= self._deadline:
            return False
        self.current, *self._spare = self._spare
        self._transport = None
        return True

    def note_transport(self, transport: str) -> None:
        """Note that the request goes to the current one over another transport than the name said."""
        self._transport = transport

    @property
    def is_silent(self) -> bool:
        """Whether the current one has not said a word."""
        return not self._heard

    def _note(self, failed: str | None) -> None:
        hop = self.current
        earlier = self.tried[:-1] if self._heard else self.tried  # it has answered before it failed
        self.tried = (*earlier, TriedHop(self._transport or hop.transport, hop.host, hop.port, failed))

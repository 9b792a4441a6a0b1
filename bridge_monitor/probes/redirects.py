"""Where a redirect may lead a call on (RFC 3261 §8.1.3.4).

Owns which targets were called already and how many are followed; must not send.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip import DEFAULT_PORTS, Rejected, SipUri, TransportFailed

_MAX_REDIRECTS: Final = 3


class Redirects:
    """The targets of one call."""

    def __init__(self) -> None:
        self._called: set[str] = set()
        self._left: list[SipUri] = []
        self._secure = False

    def note_called(self, uri: SipUri) -> None:
        """Note that this one is called now."""
        self._called.add(str(uri))
        self._secure = uri.scheme == "sips"

    def target_after(self, event: Rejected | TransportFailed) -> SipUri | None:
        """Return whom to call after that: a redirect's best target, or where there is nobody, the next of the last."""
        if isinstance(event, Rejected):
            if not 300 <= event.status < 400:
                return None  # somebody was there and has spoken
            targets = map(_parsed, event.contacts)
            self._left = [target for target in targets if target is not None and self._is_callable(target)]
        return self.another()

    def another(self) -> SipUri | None:
        """Return the last redirect's next target that was not called yet, unless there were too many."""
        while self._left and len(self._called) <= _MAX_REDIRECTS:
            target = self._left.pop(0)
            if str(target) not in self._called:
                return target
        return None

    def _is_callable(self, uri: SipUri) -> bool:
        """Tell whether this version can call it, over IPv4; ``sips`` is left for nothing else."""
        return (
            uri.transport in DEFAULT_PORTS
            and not uri.host.startswith("[")
            and (uri.scheme == "sips" or not self._secure)
        )


def _parsed(contact: str) -> SipUri | None:
    try:
        return SipUri.parse(contact)
    except SipSyntaxError:
        return None

"""Where a redirect may lead a call on (RFC 3261 §8.1.3.4).

Owns which targets were called already and how many are followed; must not send.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip import DEFAULT_PORTS, Rejected, SipUri

_MAX_REDIRECTS: Final = 3


class Redirects:
    """The targets of one call."""

    def __init__(self) -> None:
        self._called: set[str] = set()
        self._secure = False

    def note_called(self, uri: SipUri) -> None:
        """Note that this one is called now."""
        self._called.add(str(uri))
        self._secure = uri.scheme == "sips"

    def target_of(self, event: Rejected) -> SipUri | None:
        """Return the first target that can be called and was not yet, unless there were too many."""
        if not 300 <= event.status < 400 or len(self._called) > _MAX_REDIRECTS:
            return None
        for contact in event.contacts:
            try:
                target = SipUri.parse(contact)
            except SipSyntaxError:
                continue
            if self._is_callable(target) and str(target) not in self._called:
                return target
        return None

    def _is_callable(self, uri: SipUri) -> bool:
        """Tell whether this version can call it, over IPv4; ``sips`` is left for nothing else."""
        return (
            uri.transport in DEFAULT_PORTS
            and not uri.host.startswith("[")
            and (uri.scheme == "sips" or not self._secure)
        )

"""Who is registered as technical contact, for what, by which channel, since when.

Roles, not persons: the roster is kept out of metrics, logs and results.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ContactScope(StrEnum):
    """What a contact answers for."""

    PROVINCE = "province"
    CARRIER = "carrier"


@dataclass(frozen=True, slots=True)
class Contact:
    """One line of the roster.

    Attributes:
        scope: Whether ``code`` is a province's site code or a carrier's name.
        code: The province or carrier.
        role: Role of the contact ("Cán bộ kỹ thuật trực").
        channel: ``email``, ``webhook`` or ``phone``.
        address: Address in that channel.
        registered_at: When the registration arrived; None if it hasn't.
    """

    scope: ContactScope
    code: str
    role: str
    channel: str
    address: str
    registered_at: datetime | None

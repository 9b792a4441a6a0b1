"""Every message about the operator's files, in English and Vietnamese: the one catalogue.

Owns that each key stands for one message; must not find problems. Each entry says what is wrong and how to mend it.
Texts are `str.format` patterns; the facts they name are given by `config.problems.Problems.add`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge_monitor.config import messages_credentials, messages_documents, messages_tables
from bridge_monitor.config.message import Message
from bridge_monitor.domain.wording import Lang

DID_YOU_MEAN: Final[Mapping[Lang, str]] = MappingProxyType(
    {"en": "did you mean '{guess}'? Else ", "vi": "có phải ý là '{guess}'? Nếu không, "}
)

CATALOGUE: Final[Mapping[str, Message]] = MappingProxyType(
    messages_tables.MESSAGES | messages_documents.MESSAGES | messages_credentials.MESSAGES
)
"""All messages by key. Each key has a bad fixture of its name under ``tests/config/bad``."""

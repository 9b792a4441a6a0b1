"""Challenges and accounts of the tests, and the server's own look at an answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bridge_monitor.domain import Secret
from bridge_monitor.sip import Credential, Credentials, Request
from bridge_monitor.sip.digest import Challenge, compute

if TYPE_CHECKING:
    from tests.sip.conftest import Sent

WORD: Final = "Circle of Life"


def accounts(*realms: str) -> Credentials:
    return {realm: Credential(realm, f"at-{realm}", Secret(f"{WORD} {realm}")) for realm in realms}


def challenge(realm: str = "room", nonce: str = "n1", *, proxy: bool = False, more: str = ', qop="auth"') -> str:
    return f'{"Proxy" if proxy else "WWW"}-Authenticate: Digest realm="{realm}", nonce="{nonce}"{more}'


def answers(sent: Sent, field: str = "authorization") -> list[dict[str, str]]:
    """Return the parameters of each Authorization of a request."""
    found = []
    for value in sent.message.get_all(field):
        assert value.startswith("Digest ")
        pairs = re.findall(r'(\w+)=(?:"([^"]*)"|([^,]*))', value)
        found.append({name: quoted or plain for name, quoted, plain in pairs})
    return found


def is_right(sent: Sent, field: str = "authorization") -> bool:
    """Tell, as a server does, whether a request's only answer is that of the account."""
    (given,) = answers(sent, field)
    request = sent.message
    assert isinstance(request, Request)
    assert given["uri"] == request.uri
    known = Challenge(given["realm"], given["nonce"], given.get("algorithm", ""), qop="qop" in given)
    credential = accounts(given["realm"])[given["realm"]]
    expected = compute(
        known, credential, request.method, given["uri"], count=given.get("nc", ""), cnonce=given.get("cnonce", "")
    )
    return given["response"] == expected and given["username"] == credential.user

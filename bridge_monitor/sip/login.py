"""Answering the challenges to one request, 401 of a room and 407 of proxies, in several realms (RFC 3261 §22.2, §22.3).

Owns which challenge is answered again and when to stop; must not know the request's transaction: `ask` alone sends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from bridge_monitor.sip.client_transactions import ClientTransaction, RequestPlan
from bridge_monitor.sip.core import Core
from bridge_monitor.sip.digest import Challenge, Credential, Credentials, answer, choose, read_challenges
from bridge_monitor.sip.events import Address
from bridge_monitor.sip.message import Response

CHALLENGES: Final = (401, 407)
"""Statuses that ask for credentials."""

MAX_ANSWERS: Final = 5
"""So often one request is sent again at most: a few realms, a stale nonce or two; a server that always finds its
nonce stale is not waited for."""


class Trouble(StrEnum):
    """Why a challenge isn't answered."""

    NO_CREDENTIALS = "no_credentials"
    """There are none for a realm that asks."""
    REFUSED = "credentials_refused"
    """They were sent, and asked for again."""
    UNSUPPORTED = "challenge_unsupported"
    """No challenge in it that we can answer: another scheme, algorithm or quality of protection, or none at all."""


@dataclass(slots=True)
class _Answered:
    """A challenge that is being answered, for as long as its nonce holds.

    Attributes:
        challenge: The challenge.
        credential: Whose account answers it.
        cnonce: Our nonce.
        uses: How often its nonce was used.
    """

    challenge: Challenge
    credential: Credential
    cnonce: str
    uses: int = 0


class Login:
    """The credentials of one request, and of those that follow it in its dialog.

    Args:
        credentials: Our accounts.
        token: Returns a fresh random token, for client nonces.
        earlier: That of an earlier request to the same peers: its challenges are answered unasked (§22.2), and may be
            challenged once more each.

    Attributes:
        answered: What is answered in each request, by kind of server (True: proxy) and realm.
    """

    def __init__(self, credentials: Credentials, token: Callable[[], str], earlier: Login | None = None) -> None:
        self._credentials = credentials
        self._token = token
        self.answered: dict[tuple[bool, str], _Answered] = {} if earlier is None else earlier.answered
        self._asked: set[tuple[bool, str]] = set()
        self._answers = 0

    def take(self, response: Response) -> Trouble | None:
        """Take a 401 or 407; return None if the request is to be sent again with `lines`, else why that is no use.

        Credentials that a challenge has just refused aren't sent again, unless only their nonce was stale (§22.1).
        """
        proxy = response.status == 407
        challenges = choose(read_challenges(response.get_all("proxy-authenticate" if proxy else "www-authenticate")))
        fresh = refused = lacking = False
        for realm, challenge in challenges.items():
            credential = self._credentials.get(realm)
            if credential is None:
                lacking = True
            elif (proxy, realm) in self._asked and not challenge.stale:
                refused = True
            else:
                fresh = True
                self._asked.add((proxy, realm))
                self.answered[proxy, realm] = _Answered(challenge, credential, self._token())
        self._answers += 1
        if fresh and not refused and self._answers <= MAX_ANSWERS:
            return None
        if lacking:
            return Trouble.NO_CREDENTIALS
        return Trouble.REFUSED if challenges else Trouble.UNSUPPORTED

    def lines(self, method: str, uri: str) -> tuple[str, ...]:
        """Return the header lines that answer every challenge so far; each use of a nonce counts (``nc``)."""
        found = []
        for (proxy, _), known in self.answered.items():
            known.uses += 1
            value = answer(known.challenge, known.credential, method, uri, uses=known.uses, cnonce=known.cnonce)
            found.append(f"{'Proxy-' if proxy else ''}Authorization: {value}")
        return tuple(found)


def ask(
    core: Core,
    plan: RequestPlan,
    login: Login | None,
    *,
    contact: str | None = None,
    extra: tuple[str, ...] = (),
    on_final: Callable[[Response, float], None],
    on_failure: Callable[[str, float], None],
    now: float,
) -> None:
    """Send a request other than INVITE, and again with credentials as long as challenges ask for them.

    Args:
        core: The user agent's shared state.
        plan: The request's fields.
        login: Answers challenges; None lets them pass for final.
        contact: Value of its Contact, or None.
        extra: Further whole header lines.
        on_final: Called with the final response that counts.
        on_failure: As a `ClientTransaction`'s.
        now: The time.
    """

    def receive(response: Response, _source: Address, at: float) -> None:
        if response.status < 200:
            return
        if login is not None and response.status in CHALLENGES and login.take(response) is None:
            again = renewed(core, plan)
            ask(core, again, login, contact=contact, extra=extra, on_final=on_final, on_failure=on_failure, now=at)
        else:
            on_final(response, at)

    authorization = login.lines(plan.method, plan.uri) if login is not None else ()
    request = plan.to_bytes(contact=contact, extra=(*authorization, *extra))
    ClientTransaction(core, plan, request, on_response=receive, on_failure=on_failure).start(now)


def renewed(core: Core, plan: RequestPlan) -> RequestPlan:
    """Return the fields of a request sent again on account of a challenge: a new branch, the next CSeq (§22.2)."""
    branch = core.new_branch()
    return replace(plan, branch=branch, via=core.via(branch, plan.destination), cseq=plan.cseq + 1)

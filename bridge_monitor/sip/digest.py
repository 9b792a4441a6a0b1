"""Digest (RFC 3261 §22.4, RFC 7616, RFC 8760): what a challenge says, and what answers it.

Owns reading, choosing, computing and writing; must not know requests or how often something was tried: a client nonce
and the count of a nonce's uses are passed in. Challenges are read as rooms write them: wrong quotes are no matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bridge_monitor.domain import Secret
from bridge_monitor.sip.grammar import WHITESPACE, is_token, quote, unquote

Hash = Callable[[bytes], str]


def _md5(data: bytes) -> str:
    # Digest's own choice of hash, not ours: some systems allow it only if told that no security rests on it.
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sha512_256(data: bytes) -> str:
    # SHA-512/256 has initial values of its own (FIPS 180-4 §5.3.6.2): it is no SHA-512 cut short.
    return hashlib.new("sha512_256", data).hexdigest()


ALGORITHMS: Final[Mapping[str, Hash]] = MappingProxyType({"MD5": _md5, "SHA-256": _sha256, "SHA-512-256": _sha512_256})
"""Hash algorithms (RFC 7616 §6.1), each also in its ``-sess`` form."""

_SESSION: Final = "-SESS"
_FIRST_ALGORITHM: Final = "MD5"  # where a challenge names none (RFC 7616 §3.3)


@dataclass(frozen=True, slots=True)
class Credential:
    """An account at a realm.

    Attributes:
        realm: The realm as its challenges name it; case matters.
        user: The name of the account.
        password: Its password.
    """

    realm: str
    user: str
    password: Secret


Credentials = Mapping[str, Credential]
"""By realm."""

NO_CREDENTIALS: Final[Credentials] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that can be answered (RFC 7616 §3.3).

    Attributes:
        realm: Whose accounts it asks for.
        nonce: The server's nonce.
        algorithm: Name of the algorithm as written; empty if none was.
        qop: Whether the server offers quality of protection ``auth``; else RFC 2069's form answers it.
        opaque: What is to be returned as it is; None if nothing was sent.
        stale: The credentials were right and their nonce too old: a new answer needs no new credentials.
    """

    realm: str
    nonce: str
    algorithm: str = ""
    qop: bool = True
    opaque: str | None = None
    stale: bool = False


def read_challenges(values: Iterable[str]) -> list[Challenge]:
    """Return the challenges that can be answered, topmost first.

    Passed over are other schemes (§22: an unknown one is ignored), algorithms and qualities of protection that aren't
    ours, and what lacks a realm or a nonce.

    Args:
        values: Values of WWW-Authenticate or Proxy-Authenticate. More than one challenge in a value, which RFC 3261
            §20.27 forbids and HTTP allows, are read as HTTP has them.
    """
    found = (_challenge(scheme, parameters) for value in values for scheme, parameters in _split_challenges(value))
    return [challenge for challenge in found if challenge is not None]


def choose(challenges: Iterable[Challenge]) -> dict[str, Challenge]:
    """Return the challenge to answer by realm: of each realm the topmost that we can (RFC 8760 §2.4)."""
    chosen: dict[str, Challenge] = {}
    for challenge in challenges:
        chosen.setdefault(challenge.realm, challenge)
    return chosen


def answer(challenge: Challenge, credential: Credential, method: str, uri: str, *, uses: int, cnonce: str) -> str:
    """Return the value of Authorization or Proxy-Authorization.

    Args:
        challenge: What it answers.
        credential: The account.
        method: The request's method.
        uri: Its Request-URI.
        uses: How often the challenge's nonce has been used, this time included (``nc``).
        cnonce: Our nonce; the same for all uses of one challenge, since ``-sess`` rests on the first (RFC 7616 §3.4.2).
    """
    count = f"{uses:08x}"
    fields = [
        f"username={quote(credential.user)}",
        f"realm={quote(challenge.realm)}",
        f"nonce={quote(challenge.nonce)}",
        f"uri={quote(uri)}",
        f'response="{compute(challenge, credential, method, uri, count=count, cnonce=cnonce)}"',
    ]
    if challenge.algorithm:
        fields.append(f"algorithm={challenge.algorithm}")
    if challenge.qop:
        fields.append(f"cnonce={quote(cnonce)}, qop=auth, nc={count}")
    if challenge.opaque is not None:
        fields.append(f"opaque={quote(challenge.opaque)}")
    return "Digest " + ", ".join(fields)


def compute(challenge: Challenge, credential: Credential, method: str, uri: str, *, count: str, cnonce: str) -> str:
    """Return the ``response`` of RFC 7616 §3.4.1; without ``qop`` that of RFC 2069 §2.1.2 (RFC 3261 §22.4)."""
    name = (challenge.algorithm or _FIRST_ALGORITHM).upper()
    hashed = ALGORITHMS[name.removesuffix(_SESSION)]

    def digest(*parts: str) -> str:
        return hashed(":".join(parts).encode("utf-8", "surrogateescape"))

    first = digest(credential.user, challenge.realm, credential.password.reveal())
    if name.endswith(_SESSION):
        first = digest(first, challenge.nonce, cnonce)
    second = digest(method, uri)
    if challenge.qop:
        return digest(first, challenge.nonce, count, cnonce, "auth", second)
    return digest(first, challenge.nonce, second)


def _challenge(scheme: str, parameters: Mapping[str, str]) -> Challenge | None:
    if scheme.lower() != "digest" or "realm" not in parameters or not parameters.get("nonce"):
        return None
    algorithm = parameters.get("algorithm", "")
    name = (algorithm or _FIRST_ALGORITHM).upper()
    qualities = [quality.strip(WHITESPACE).lower() for quality in parameters.get("qop", "").split(",")]
    qop = "auth" in qualities
    if name.removesuffix(_SESSION) not in ALGORITHMS or not (qop or qualities == [""]):
        return None
    if name.endswith(_SESSION) and not qop:
        return None  # it needs our nonce, which RFC 2069's form can't carry
    return Challenge(
        realm=parameters["realm"],
        nonce=parameters["nonce"],
        algorithm=algorithm,
        qop=qop,
        opaque=parameters.get("opaque"),
        stale=parameters.get("stale", "").lower() == "true",
    )


def _split_challenges(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each challenge of a value: its scheme, and its parameters by name in lower case; a first one counts."""
    scheme, parameters = "", dict[str, str]()
    for part in _split_at_commas(value):
        head, equals, text = part.partition("=")
        *before, name = head.split() or [""]
        if before or (not equals and is_token(name)):
            if scheme:
                yield scheme, parameters
            scheme, parameters = (before or [name])[0], {}
        if equals:
            parameters.setdefault(name.lower(), _content(text.strip(WHITESPACE)))
    if scheme:
        yield scheme, parameters


def _content(text: str) -> str:
    if text[:1] == '"' and (len(text) < 2 or text[-1] != '"'):
        return text[1:]  # not closed
    return unquote(text)


def _split_at_commas(value: str) -> Iterator[str]:
    """Yield what stands between commas outside quoted strings; one that isn't closed takes all the rest."""
    start, index, quoted = 0, 0, False
    while index < len(value):
        character = value[index]
        if quoted and character == "\\":
            index += 1
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            yield value[start:index]
            start = index + 1
        index += 1
    yield value[start:]

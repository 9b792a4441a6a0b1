"""RFC 4475, the torture messages: a valid one parses whole, an invalid one is refused, none upsets the user agent.

The corpus isn't part of the repository. Its folder (MANIFEST.tsv and the .dat files) is named by the environment
variable BRIDGE_MONITOR_RFC4475; without it, it is looked for beside the repository.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip import Answered, Request, Response, UserAgent, parse_message
from bridge_monitor.sip.message import scan_message

BESIDE = Path(__file__).parents[2] / ".." / "shared" / "conformance" / "rfc4475"
CORPUS = Path(os.environ.get("BRIDGE_MONITOR_RFC4475") or BESIDE)
HERE, THERE = ("192.0.2.1", 5060), ("192.0.2.9", 5070)
MESSAGES = 49


@dataclass(frozen=True)
class Torture:
    """One line of the manifest."""

    file: str
    verdict: str
    digest: str

    @property
    def data(self) -> bytes:
        return (CORPUS / self.file).read_bytes()


def read_manifest() -> list[Torture]:
    manifest = CORPUS / "MANIFEST.tsv"
    if not manifest.is_file():
        return []
    with manifest.open(encoding="utf-8", newline="") as lines:
        return [Torture(row["file"], row["class"], row["sha256"]) for row in csv.DictReader(lines, delimiter="\t")]


ALL = read_manifest()


def of(*verdicts: str) -> list[object]:
    chosen = [torture for torture in ALL if torture.verdict in verdicts]
    return [pytest.param(torture, id=torture.file) for torture in chosen]


def test_the_corpus_is_there_and_whole() -> None:
    """Skipped by name where the corpus is missing; in CI that is a failure."""
    if not ALL:
        reason = f"the corpus of RFC 4475 is not in {CORPUS}: set BRIDGE_MONITOR_RFC4475"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    assert len(ALL) == MESSAGES
    for torture in ALL:
        assert hashlib.sha256(torture.data).hexdigest() == torture.digest


@pytest.mark.parametrize("torture", of("valid"))
class TestValid311:
    def test_parses_whole(self, torture: Torture) -> None:
        """The strict parser takes it, and what it writes again says the same."""
        message = parse_message(torture.data, strict=True)
        again = parse_message(message.to_bytes(), strict=True)
        assert (again.start_line(), again.body) == (message.start_line(), message.body)
        kept = {name: values for name, values in message.headers.items() if name != "content-length"}
        assert {name: values for name, values in again.headers.items() if name != "content-length"} == kept


@pytest.mark.parametrize("torture", of("invalid-syntax"))
class TestInvalid312:
    def test_is_refused(self, torture: Torture) -> None:
        """SipSyntaxError, and nothing else."""
        with pytest.raises(SipSyntaxError):
            parse_message(torture.data, strict=True)


@pytest.mark.parametrize("torture", of("app-layer(well-formed)", "backcompat(accept)", "txn-layer"))
class TestHigherLayers:
    def test_is_read_unless_a_field_that_routes_it_is_wrong(self, torture: Torture) -> None:
        """§3.3: well-formed, so the parser takes it; only missing or repeated single fields make it unusable."""
        if torture.file in ("insuf.dat", "multi01.dat", "mcl01.dat"):
            with pytest.raises(SipSyntaxError):
                parse_message(torture.data, strict=True)
        else:
            parse_message(torture.data, strict=True)


@pytest.mark.parametrize("torture", of(*{torture.verdict for torture in ALL}))
class TestUserAgent:
    def test_answers_requests_properly_and_responses_never(self, torture: Torture) -> None:
        """A malformed request gets 400 or nothing, a response no call of ours asked for nothing; no dialog is left."""
        counter = itertools.count()
        agent = UserAgent(local=HERE, token=lambda: f"t{next(counter)}")
        agent.receive_datagram(torture.data, THERE, 0.0)
        sent = [scan_message(data) for data, _ in agent.datagrams_to_send()]
        try:
            received: Request | Response | None = scan_message(torture.data)
        except SipSyntaxError:
            received = None
        if isinstance(received, Request):
            assert len(sent) <= 1
            for answer in sent:
                assert isinstance(answer, Response)
                assert answer.get("call-id") == received.get("call-id")
                assert answer.status >= 200
                if torture.verdict == "invalid-syntax" and _fails(torture.data):
                    assert answer.status == 400
        else:
            assert sent == []
        assert agent.open_calls == ()
        while (timer := agent.get_timer()) is not None:
            agent.handle_timer(timer)
        assert not agent._core.servers
        while (event := agent.next_event()) is not None:
            assert not isinstance(event, Answered)

    @pytest.mark.parametrize("answering", [True, False])
    def test_truncated_at_every_byte(self, torture: Torture, *, answering: bool) -> None:
        """Nothing is raised, wherever the message is cut, and answers go nowhere but back."""
        counter = itertools.count()
        agent = UserAgent(local=HERE, token=lambda: f"t{next(counter)}", answering=answering)
        data = torture.data
        for length in range(0, len(data), 1 if len(data) < 1000 else 7):
            agent.receive_datagram(data[:length], THERE, 0.0)
        assert all(destination[0] == THERE[0] for _, destination in agent.datagrams_to_send())


def _fails(data: bytes) -> bool:
    """Return whether the lenient parser, which decides for a call, refuses the message."""
    try:
        parse_message(data)
    except SipSyntaxError:
        return True
    return False

"""A planted secret is in nothing that the program writes, while a real room (sipp) finds it used rightly."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.interop.rigs import SCENARIOS, PeerProcess, description
from tests.system.rigs import Command, Country, get

WORD = "mot-mat-khau-rat-dai"
OTHER_WORD = "mot-mat-khau-khac"
ROOM = "01"
REALM = "hop.example"
CALLS = 5

Run = Callable[..., Said]
Start = Callable[..., Command]

pytestmark = pytest.mark.peer("sipp")


@pytest.fixture
def guarded(tmp_path: Path, network: str) -> Country:
    """Return a country of one room, with an account for it whose secret is in a file beside the configuration."""
    made = Country(tmp_path / "country", network, provinces=1, communes=0, profiles={"short": {"duration": "1 s"}})
    account = {"realm": REALM, "user": "kiemtra", "provinces": [ROOM], "file": "secrets/hop"}
    made.settings = {"credentials": [account]}
    made.write()
    (made.folder / "secrets").mkdir(mode=0o700)
    keep(made, WORD)
    return made


def keep(country: Country, word: str) -> None:
    path = country.folder / "secrets" / "hop"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(word + "\n")


@pytest.fixture
def room(tmp_path: Path, network: str) -> Iterator[PeerProcess]:
    """Start a sipp at the room's address that lets in who has the account, and looks at each answer."""
    host, rtp_port = f"{network}.1.1", 40_000
    command = ["sipp", "-sf", "scenario.xml", "-i", host, "-p", "5060", "-mi", host, "-mp", str(rtp_port), "-rtp_echo"]
    command += ["-nostdin", "-m", str(CALLS), "-timeout", "100s", "-trace_msg", "-message_file", "messages.log"]
    process = PeerProcess(command, tmp_path / "sipp")
    text = (SCENARIOS / "challenge.xml").read_text("utf-8")
    for name, value in {
        "challenge": f'401 Unauthorized\nWWW-Authenticate: Digest realm="{REALM}", nonce="n", qop="auth"',
        "user": "kiemtra",
        "password": WORD,
        "sdp": description(host, rtp_port, "a=rtpmap:0 PCMU/8000"),
    }.items():
        text = text.replace(f"[{name}]", value)
    (process.folder / "scenario.xml").write_text(text, "utf-8")
    process.start()
    yield process
    process.stop()
    print(process.logs())  # noqa: T201 - shown by pytest if the test failed


def until(condition: Callable[[], bool], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def test_nothing_that_the_program_writes_has_the_secret_or_what_betrays_it(
    bridge_monitor: Run, start: Start, guarded: Country, room: PeerProcess, tmp_path: Path
) -> None:
    """Commands, their JSON, ladder and capture; then a daemon: its log, pages, evidence, journals and a reload."""
    config = ("--config", guarded.folder)
    written = [
        bridge_monitor("check-config", guarded.folder, *options) for options in ((), ("--json",), ("--lang", "vi"))
    ]
    written.append(bridge_monitor("sites", "show", ROOM, *config, "--json"))
    assert [said.code for said in written] == [0] * 4
    assert f"SIP account: realm {REALM}, user kiemtra, for provinces 01; its secret from a file" in written[0].out
    assert f"Tài khoản SIP: realm {REALM}, tên kiemtra, dùng cho tỉnh 01; mật khẩu từ tệp riêng" in written[2].out
    assert REALM in written[3].out

    written.append(bridge_monitor("probe", ROOM, *config, "--trace"))
    assert written[-1].code == 0, written[-1]
    time.sleep(1.1)  # min_between_calls
    capture = tmp_path / "call.pcap"
    written.append(bridge_monitor("probe", ROOM, *config, "--json", "--trace", "--pcap", capture, "--pcap-payload"))
    assert written[-1].objects[0]["outcome"] == "reached"
    assert 'response="****' in written[-1].err

    daemon = start("run", *config)
    url = daemon.url
    pages = [_once(lambda: get(url, "/metrics")[1], f'bridge_probe_success{{site="{ROOM}"')]
    pages += [get(url, path)[1] for path in ("/", f"/api/v1/sites/{ROOM}/evidence")]
    time.sleep(1.1)
    pages.append(get(url, f"/probe?target={ROOM}&module=short&debug=true")[1])
    assert 'outcome="reached"' in pages[-1]

    keep(guarded, OTHER_WORD)
    daemon.send(signal.SIGHUP)
    until(lambda: len(daemon.log("reloaded")) == 1)
    time.sleep(1.1)
    pages.append(get(url, f"/probe?target={ROOM}&module=short&debug=true")[1])
    assert 'reason="forbidden"' in pages[-1], "the secret is read anew: sipp finds this one wrong"
    pages.append(get(url, f"/api/v1/sites/{ROOM}/evidence")[1])
    assert "response=" in pages[-1]
    daemon.send(signal.SIGTERM)
    assert daemon.end() == 0

    seen = (room.folder / "messages.log").read_text("utf-8")
    betraying = set(re.findall(r'(?:response|cnonce)="([^"]+)"', seen)) | {WORD, OTHER_WORD}
    assert len(betraying) >= 2 + 3 * CALLS - 1
    everything = [said.out + said.err for said in written] + pages
    everything += [
        path.read_bytes().decode("latin-1")
        for path in tmp_path.rglob("*")
        if path.is_file() and path.parent.name not in {"sipp", "secrets"}
    ]
    assert len(everything) >= 20
    found = [(word, text[:200]) for word in betraying for text in everything if word in text]
    assert found == []


def _once(read: Callable[[], str], wanted: str) -> str:
    until(lambda: wanted in read())
    return read()

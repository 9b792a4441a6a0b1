from __future__ import annotations

import io
import json
import signal
import socket
from collections import Counter
from collections.abc import Callable

import pytest
from rich.console import Console

from bridge_monitor.cli import responder
from bridge_monitor.cli.responder import ResponderWish, read_wish, status_line
from bridge_monitor.errors import LocalFaultError
from bridge_monitor.responder import Status, Tally
from tests.cli.conftest import Said
from tests.system.rigs import Command, free_port

Run = Callable[..., Said]


class TestRun:
    def test_it_answers_a_probe_and_ends_by_sigterm(
        self, bridge_monitor: Run, network: str, start: Callable[..., Command], tmp_path: object
    ) -> None:
        host = f"{network}.0.7"
        port = free_port(socket.SOCK_DGRAM, host)
        command = start("responder", "--listen", f"{host}:{port}", "--allow", "127.0.0.0/8", "--calls", "2")
        command.until('"responding"', told=True)
        said = bridge_monitor(
            *("probe", f"sip:echo@{host}:{port}", "--any-target", "--duration", "0.5", "--json"),
            *("--state-dir", str(tmp_path)),
        )
        (result,) = said.objects
        assert (said.code, result["outcome"], result["media"][0]["mode"]) == (0, "reached", "echo")
        command.until('"call_ended"', told=True)
        command.send(signal.SIGTERM)
        assert command.end() == 0
        ended = command.log("call_ended")[-1]
        assert (ended["by"], ended["packets"]) == ("caller", 25)
        assert command.log("anybody_may_call") == []

    def test_its_time_can_be_bounded(self, bridge_monitor: Run, network: str) -> None:
        said = bridge_monitor("responder", "--listen", f"{network}.0.8:5060", "--duration", "0.3", "--lang", "en")
        assert said.code == 0
        assert "0 calls up; 0 answered" in said.err
        assert "anybody_may_call" in said.err

    def test_an_address_of_another_machine_is_a_local_fault(self, bridge_monitor: Run) -> None:
        said = bridge_monitor("responder", "--listen", "192.0.2.77:5060")
        assert said.code == 3
        assert "192.0.2.77:5060" in said.err

    def test_it_says_so_when_its_media_process_has_died(
        self, bridge_monitor: Run, network: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bridge_monitor.responder.service.Responder.alive", False)
        said = bridge_monitor("responder", "--listen", f"{network}.0.9:5060")
        assert said.code == 3
        assert "media process has ended" in said.err


class TestTerminal:
    def test_it_shows_one_line_that_lives(
        self, bridge_monitor: Run, network: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=120)
        monkeypatch.setattr(responder, "messages", lambda: console)
        said = bridge_monitor("responder", "--listen", f"{network}.0.10:5060", "--duration", "0.3", "--lang", "vi")
        assert said.code == 0
        assert "0 cuộc gọi; đã trả lời 0" in screen.getvalue()

    def test_piped_it_logs_how_it_fares_now_and_then(
        self, bridge_monitor: Run, network: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(responder, "_TOLD_SECONDS", 0.1)
        monkeypatch.setattr(responder, "_REDRAW_SECONDS", 0.05)
        said = bridge_monitor("responder", "--listen", f"{network}.0.11:5060", "--duration", "0.5")
        lines = [json.loads(line) for line in said.err.splitlines() if line.startswith("{")]
        status = next(line for line in lines if line["event"] == "status")
        assert (status["calls_up"], status["answered"], status["late_seconds"]) == (0, 0, None)


class TestWords:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--listen", "0.0.0.0:5060"), "--listen: 0.0.0.0:5060"),
            (("--listen", "127.0.0.1:5060", "--media-ports", "5"), "--media-ports: 5"),
            (("--listen", "127.0.0.1:5060", "--media-ports", "40000-40009"), "they need 41 ports"),
            (("--listen", "127.0.0.1:5060", "--advertise", "me"), "--advertise: me"),
            (("--listen", "127.0.0.1:5060", "--allow", "10.0.0.1/8"), "--allow: 10.0.0.1/8"),
        ],
    )
    def test_what_cannot_be_used_is_refused_with_its_mend(
        self, bridge_monitor: Run, words: tuple[str, ...], told: str
    ) -> None:
        said = bridge_monitor("responder", *words)
        assert said.code == 3
        assert told in said.err

    def test_it_listens_where_others_see_this_machine_or_on_loopback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(responder, "source_address_towards", lambda _far: "198.51.100.7")
        assert (read_wish(ResponderWish(), "en").host, read_wish(ResponderWish(), "en").port) == ("198.51.100.7", 5060)

        def no_route(_far: tuple[str, int]) -> str:
            raise LocalFaultError("no route")

        monkeypatch.setattr(responder, "source_address_towards", no_route)
        assert read_wish(ResponderWish(), "en").host == "127.0.0.1"

    def test_the_status_names_what_was_lost_here(self) -> None:
        tally = Tally(answered=1200, busy=1, ended=Counter({"caller": 1199}))
        line = status_line(Status(1, tally, 60000, 0, 3, 4, 0.0015), "vi").plain
        assert "1 cuộc gọi; đã trả lời 1.200" in line
        assert "1.5 ms" in line
        assert "7 gói" in line
        assert "lost in this machine" not in status_line(Status(1, tally, 60000, 0, 0, 0, None), "en").plain

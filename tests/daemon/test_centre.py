from __future__ import annotations

import dataclasses
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge_monitor.config import Configuration
from bridge_monitor.daemon.centre import CallCentre, CentreSettings, default_state_dir, open_centre
from bridge_monitor.daemon.ledger import Ledger, open_journals
from bridge_monitor.domain import Outcome, Target
from bridge_monitor.errors import LocalFaultError, RefusedError
from bridge_monitor.net.dns_client import DnsSettings
from bridge_monitor.net.sip_udp import SipUdp
from bridge_monitor.probes import Profile, Route
from bridge_monitor.probes.reference import Reference
from bridge_monitor.probes.shapes import CallSite
from bridge_monitor.quality import Thresholds
from bridge_monitor.schedule import Caps, CapSet
from bridge_monitor.sim import Fault, FaultKind
from bridge_monitor.sip import Answered, DialogRecord, SipUri
from tests.daemon.conftest import StartNation
from tests.system.rigs import Country

BRIEF = Profile("brief", duration_seconds=0.4)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Return a UDP port of 127.0.0.1 that is in use."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        yield other.getsockname()[1]


def site(country: Country, code: str, profile: Profile = BRIEF) -> CallSite:
    return CallSite(Target(code, country.endpoint(code)), profile, Route(), Thresholds())


class TestSettings:
    def test_the_daemon_takes_what_the_configuration_says(self, configuration: Configuration, tmp_path: Path) -> None:
        listen = dataclasses.replace(
            configuration.listen, sip_host="127.0.0.9", sip_port=5066, rtp_ports=(20000, 29999), state_dir=tmp_path
        )
        dns = DnsSettings((("192.0.2.53", 53),), 2.0)
        configuration = dataclasses.replace(configuration, listen=listen, dns=dns, vantage="hanoi")
        assert CentreSettings.of(configuration, None) == CentreSettings(
            state_dir=tmp_path,
            vantage="hanoi",
            calls_at_once=400,
            sip_host="127.0.0.9",
            sip_port=5066,
            media_host="127.0.0.9",
            rtp_ports=(20000, 29999),
            dns=dns,
            title=configuration.event.title,
            alone=True,
        )

    def test_a_command_by_hand_leaves_the_daemon_its_sip_port(self, configuration: Configuration) -> None:
        configuration = dataclasses.replace(
            configuration, listen=dataclasses.replace(configuration.listen, sip_port=5066)
        )
        settings = CentreSettings.of(configuration, Path("/elsewhere"), by_hand=True)
        assert (settings.sip_port, settings.alone, settings.state_dir) == (0, False, Path("/elsewhere"))

    def test_without_a_cap_every_site_fits_into_the_engine(self, configuration: Configuration) -> None:
        configuration = dataclasses.replace(configuration, caps=CapSet(total=Caps(), per_province=Caps()))
        assert CentreSettings.of(configuration, None).calls_at_once == len(configuration.inventory)

    def test_media_come_to_every_address_where_a_route_has_a_source_of_its_own(
        self, configuration: Configuration
    ) -> None:
        configuration = dataclasses.replace(
            configuration,
            listen=dataclasses.replace(configuration.listen, sip_host="127.0.0.9"),
            provinces={"01": Route(source="127.0.0.8")},
        )
        assert CentreSettings.of(configuration, None).media_host == "0.0.0.0"

    @pytest.mark.parametrize(
        ("ports", "calls", "pairs"),
        [(None, 400, 32), (None, 4, 8), ((20000, 29999), 400, 32), ((20000, 20079), 400, 10), ((20001, 20004), 400, 1)],
    )
    def test_a_process_takes_a_quarter_of_a_small_range(
        self, ports: tuple[int, int] | None, calls: int, pairs: int
    ) -> None:
        """The other processes of this host want ports as well, and so many pairs at most are of use."""
        engine = CentreSettings(state_dir=Path(), rtp_ports=ports, calls_at_once=calls).engine
        assert (engine.port_pairs, engine.port_range, engine.rows) == (pairs, ports, calls + 4)

    def test_the_calls_to_the_reference_have_rows_of_their_own(self, configuration: Configuration) -> None:
        reference = Reference({"a": "sip:echo@192.0.2.7", "b": "sip:echo@192.0.2.8"})
        rows = [
            CentreSettings.of(dataclasses.replace(configuration, reference=one), Path()).engine.rows
            for one in (Reference(), reference)
        ]
        assert rows[1] - rows[0] == 4

    def test_video_of_sites_and_of_the_reference_has_rows_and_cards_of_its_own(
        self, configuration: Configuration
    ) -> None:
        """Profiles that no site has cost nothing but a few rows for calls by hand."""
        name = next(site.probe or "" for site in configuration.inventory.testable())
        video = Profile("video", video_bps=1_000_000)
        bystander = dataclasses.replace(configuration, profiles={**configuration.profiles, "other": video})
        assert CentreSettings.of(bystander, Path()).video == frozenset()
        used = dataclasses.replace(configuration, profiles={**configuration.profiles, name: video})
        settings = CentreSettings.of(used, Path())
        assert (settings.video, settings.engine.rows) == ({(1_000_000, 25)}, 2 * settings.calls_at_once)
        reference = Reference({"a": "sip:echo@192.0.2.7"}, dataclasses.replace(video, video_fps=30))
        settings = CentreSettings.of(dataclasses.replace(configuration, reference=reference), Path())
        assert settings.video == {(1_000_000, 30)}

    @pytest.mark.parametrize(
        ("variables", "root", "expected"),
        [
            ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}, True, "/var/lib/a"),
            ({"XDG_STATE_HOME": "/x"}, True, "/var/lib/bridge_monitor"),
            ({"XDG_STATE_HOME": "/x"}, False, "/x/bridge_monitor"),
            ({"HOME": "/h"}, False, "/h/.local/state/bridge_monitor"),
        ],
    )
    def test_the_state_directory_is_systemds_the_systems_or_the_users(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str, *, root: bool
    ) -> None:
        for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
        assert default_state_dir() == Path(expected)


class TestCalls:
    async def test_a_call_is_placed_and_watched(
        self, country: Country, start_nation: StartNation, centre: CallCentre
    ) -> None:
        nation = await start_nation()
        seen: list[str] = []
        heard: list[bytes] = []
        finished = await centre.place_watched(
            site(country, "01001"),
            tap=lambda _sent, _local, _peer, data: heard.append(data[:6]),
            capture=True,
            progress=lambda phase, seconds: seen.append(phase) if seconds is not None else None,
        )
        assert finished.result.outcome is Outcome.REACHED
        assert seen[-1] == "bye"
        assert heard[0] == b"INVITE"
        assert len(finished.packets) > 20
        assert nation.report().dialogs_open == 0
        assert (await centre.place(site(country, "01002"))).packets == ()

    async def test_media_use_the_configured_ports_only(self, country: Country, start_nation: StartNation) -> None:
        await start_nation()
        low = 61_100 + os.getpid() % 100 * 40  # above the ephemeral ports, and not those of a run beside this one
        ports = (low, low + 39)
        settings = CentreSettings(state_dir=country.state_dir, sip_host="127.0.0.1", rtp_ports=ports)
        async with open_centre(settings) as centre:
            finished = await centre.place_watched(site(country, "01001"), capture=True)
        used = {packet.local_port for packet in finished.packets}
        assert used
        assert all(low <= port <= low + 39 for port in used)


class TestOrphans:
    async def _leave_up(self, country: Country, code: str, *, acknowledged: bool = True) -> None:
        """Call a room and die with the call up: its dialog stands in the journal, and nobody says BYE."""
        ledger = Ledger(open_journals(country.state_dir))
        udp = SipUdp("127.0.0.1", 0)
        uri = SipUri.parse(country.endpoint(code))
        offer = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
        call_id = udp.agent.invite(uri, (uri.host, uri.port or 5060), offer, udp.now(), answer_timeout=5.0)
        channel = udp.open_channel(call_id)
        early = udp.agent.dialog_record(call_id)
        assert early is not None
        ledger.opened(early.to_dict())
        udp.flush()
        while not isinstance(await channel.next_event(5.0), Answered):
            pass
        record = udp.agent.dialog_record(call_id)
        assert record is not None
        if acknowledged:
            ledger.confirmed(record.to_dict())
            udp.agent.acknowledge(call_id, udp.now())
            udp.flush()
        udp.close()
        ledger.close()

    async def test_calls_of_a_killed_process_are_ended_before_anything_else(
        self, country: Country, start_nation: StartNation
    ) -> None:
        nation = await start_nation()
        country.state_dir.mkdir(parents=True)
        await self._leave_up(country, "01001")
        await self._leave_up(country, "01002")
        assert nation.report().dialogs_open == 2
        async with open_centre(CentreSettings(state_dir=country.state_dir)) as centre:
            assert nation.report().dialogs_open == 0
            assert centre.orphans_ended == 2
        async with open_centre(CentreSettings(state_dir=country.state_dir)) as centre:
            assert centre.orphans_ended == 0

    @pytest.mark.parametrize("port_taken", [False, True])
    async def test_a_call_that_was_answered_in_the_moment_of_death_is_ended_as_well(
        self, country: Country, start_nation: StartNation, monkeypatch: pytest.MonkeyPatch, *, port_taken: bool
    ) -> None:
        """The room repeats its 200 to the dead process's address: whoever ends the call has to listen there.

        If somebody else has that address by now, the room gives up by itself, after 64*T1 (RFC 3261 §13.3.1.4).
        """
        if port_taken:
            monkeypatch.setattr("bridge_monitor.daemon.centre._HAND_ORPHAN_PATIENCE", 1.0)
        nation = await start_nation()
        country.state_dir.mkdir(parents=True)
        await self._leave_up(country, "01001", acknowledged=False)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            if port_taken:
                ledger = Ledger(open_journals(country.state_dir))
                other.bind(("127.0.0.1", int(ledger.orphans()[0]["invite_via"].split(":")[1].split(";")[0])))
                ledger.close()
            async with open_centre(CentreSettings(state_dir=country.state_dir)) as centre:
                assert centre.orphans_ended == (0 if port_taken else 1)
                assert nation.report().dialogs_open == (1 if port_taken else 0)

    async def test_a_call_from_an_address_that_is_no_more_is_ended_from_another(
        self, country: Country, start_nation: StartNation
    ) -> None:
        nation = await start_nation()
        country.state_dir.mkdir(parents=True)
        await self._leave_up(country, "01001")
        journal = country.state_dir / "calls-0.journal"
        journal.write_text(journal.read_text("ascii").replace("UDP 127.0.0.1:", "UDP 192.0.2.1:"), "ascii")
        async with open_centre(CentreSettings(state_dir=country.state_dir)) as centre:
            assert (centre.orphans_ended, nation.report().dialogs_open) == (1, 0)

    async def test_a_room_that_does_not_answer_delays_a_command_by_hand_a_little_and_once(
        self, country: Country, start_nation: StartNation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bridge_monitor.daemon.centre._HAND_ORPHAN_PATIENCE", 1.0)
        monkeypatch.setattr("bridge_monitor.daemon.centre._DRAIN_PATIENCE", 0.1)
        await start_nation(Fault(FaultKind.BYE_UNANSWERED, sites=("01001",)))
        country.state_dir.mkdir(parents=True)
        await self._leave_up(country, "01001")
        started = time.monotonic()
        async with open_centre(CentreSettings(state_dir=country.state_dir)) as centre:
            assert time.monotonic() - started >= 1.0
            assert centre.orphans_ended == 0
        started = time.monotonic()
        async with open_centre(CentreSettings(state_dir=country.state_dir)):
            assert time.monotonic() - started < 1.0

    @pytest.mark.parametrize("damage", ["all but its Call-ID is gone", "no address to send to"])
    async def test_a_damaged_record_is_told_of_and_passed_over(self, country: Country, damage: str) -> None:
        country.state_dir.mkdir(parents=True)
        ledger = Ledger(open_journals(country.state_dir))
        record = dict.fromkeys(DialogRecord.__slots__, "x") | {"state": "early", "destination": ["hue.example", 5060]}
        ledger.opened((record if "address" in damage else {}) | {"call_id": "torn"})
        ledger.close()
        with capture_logs() as logs:
            async with open_centre(CentreSettings(state_dir=country.state_dir)) as centre:
                assert centre.orphans_ended == 0
        assert ("orphan_not_ended", "torn") in [(line["event"], line.get("call_id")) for line in logs]
        assert open_journals_left(country) == []

    async def test_a_bye_that_nobody_answered_is_tried_once_more_by_the_next_start(
        self, country: Country, start_nation: StartNation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bridge_monitor.probes.signalling.BYE_PATIENCE_SECONDS", 0.7)
        monkeypatch.setattr("bridge_monitor.daemon.centre._DRAIN_PATIENCE", 0.1)
        nation = await start_nation(Fault(FaultKind.BYE_UNANSWERED, sites=("01001",)))
        async with open_centre(CentreSettings(state_dir=country.state_dir)) as centre:
            finished = await centre.place(site(country, "01001"))
        assert finished.result.reason == "bye_unanswered"
        assert centre.left_to_journal == 1
        assert len(open_journals_left(country)) == 1
        assert nation.report().dialogs_open == 0  # it took the BYE, and only kept silent


def open_journals_left(country: Country) -> list[str]:
    ledger = Ledger(open_journals(country.state_dir))
    left = [str(record["call_id"]) for record in ledger.orphans()]
    ledger.close()
    return left


class TestFaultsOfThisMachine:
    async def _fault(self, settings: CentreSettings) -> str:
        with pytest.raises(LocalFaultError) as caught:
            async with open_centre(settings):
                pytest.fail("opened all the same")
        return str(caught.value)

    async def test_a_state_directory_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        told = await self._fault(CentreSettings(state_dir=tmp_path / "file" / "state"))
        assert "can't be made (Not a directory)" in told
        assert "--state-dir" in told

    async def test_a_state_directory_that_may_not_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Root may write everywhere, so the system's answer is put in its mouth."""
        monkeypatch.setattr(os, "access", lambda _path, _mode: False)
        told = await self._fault(CentreSettings(state_dir=tmp_path))
        assert "may not write" in told

    async def test_a_lock_file_that_cannot_be_opened(self, tmp_path: Path) -> None:
        (tmp_path / "sites.lock.00").mkdir()
        assert "sites.lock.00: the lock can't be kept: Is a directory" in await self._fault(
            CentreSettings(state_dir=tmp_path)
        )

    async def test_a_daemons_lock_that_cannot_be_opened(self, tmp_path: Path) -> None:
        (tmp_path / "daemon.lock").mkdir()
        told = await self._fault(CentreSettings(state_dir=tmp_path, alone=True))
        assert "daemon.lock: the lock can't be kept: Is a directory" in told

    async def test_a_journal_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "calls-0.journal").write_text("somebody's notes")
        assert "is no dialog journal" in await self._fault(CentreSettings(state_dir=tmp_path))
        assert (tmp_path / "calls-0.journal").read_text() == "somebody's notes"

    async def test_a_sip_port_that_is_taken(self, tmp_path: Path, taken_port: int) -> None:
        settings = CentreSettings(state_dir=tmp_path, sip_host="127.0.0.1", sip_port=taken_port)
        told = await self._fault(settings)
        assert f"SIP can't have 127.0.0.1:{taken_port}: Address already in use" in told

    async def test_a_sip_port_that_is_taken_on_the_address_most_calls_leave_from(
        self, tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_route(_destination: tuple[str, int]) -> str:
            raise LocalFaultError("no route")

        monkeypatch.setattr("bridge_monitor.daemon.centre.source_address_towards", no_route)
        told = await self._fault(CentreSettings(state_dir=tmp_path, sip_port=taken_port))
        assert f"SIP can't have 0.0.0.0:{taken_port}" in told

    async def test_a_simulated_room_on_the_same_port_is_no_hindrance(
        self, tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bridge_monitor.daemon.centre.source_address_towards", lambda _far: "127.0.0.1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as room:
            room.bind((f"{network}.9.9", 0))
            settings = CentreSettings(state_dir=tmp_path, sip_port=room.getsockname()[1])
            async with open_centre(settings) as centre:
                assert centre.orphans_ended == 0

    async def test_an_address_of_another_machine(self, tmp_path: Path) -> None:
        told = await self._fault(CentreSettings(state_dir=tmp_path, sip_host="192.0.2.1"))
        assert "Cannot assign requested address" in told
        assert "listen.sip" in told

    async def test_media_ports_that_are_all_taken(self, tmp_path: Path, free_udp_port: Callable[[str], int]) -> None:
        port = free_udp_port("127.0.0.1") & ~1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("0.0.0.0", port))
            told = await self._fault(CentreSettings(state_dir=tmp_path, rtp_ports=(port, port + 1)))
        assert "only 0 of 1 RTP/RTCP port pairs are free" in told

    async def test_a_second_daemon_with_the_same_state_directory_is_refused(self, tmp_path: Path) -> None:
        settings = CentreSettings(state_dir=tmp_path, alone=True)
        async with open_centre(settings):
            with pytest.raises(RefusedError) as caught:
                async with open_centre(settings):
                    pytest.fail("opened all the same")
            assert caught.value.reason == "daemon_running"
            async with open_centre(CentreSettings(state_dir=tmp_path)) as by_hand:
                assert by_hand.settings.alone is False
        async with open_centre(settings) as again:
            assert again.orphans_ended == 0

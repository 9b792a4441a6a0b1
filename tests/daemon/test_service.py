from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import select
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from bridge_monitor.config import Configuration
from bridge_monitor.daemon.centre import CallCentre
from bridge_monitor.daemon.control import daemon_slot
from bridge_monitor.daemon.service import Service, narrowed
from bridge_monitor.domain import Evidence, Grade, LadderStep, Outcome, SiteGrade, Window
from bridge_monitor.errors import Problem, RefusedError, ResolverError
from bridge_monitor.net import clock
from bridge_monitor.net.testcard import Card
from bridge_monitor.probes.book import CallBook
from bridge_monitor.probes.reference import Reference
from bridge_monitor.probes.runner import PlaceCall
from bridge_monitor.probes.shapes import CallSite, Finished, refused
from bridge_monitor.sim import Fault, FaultKind
from bridge_monitor.sip import SipUri
from bridge_monitor.web import Server
from tests.daemon.conftest import StartNation
from tests.system.rigs import Country

Load = Callable[[], Configuration]


@asynccontextmanager
async def running(service: Service, country: Country) -> AsyncIterator[Server]:
    """Run a service; return where it listens."""
    listening: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(
        service.run(state_dir=country.state_dir, http=("127.0.0.1", 0), on_listening=listening.set_result)
    )
    await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield listening.result()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def get(server: Server, path: str, method: str = "GET") -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.request(method, server.url + path) as response:
        return response.status, await response.text()


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.02)


def swept(service: Service) -> bool:
    return service.plan.progress().finished_at is not None


def placed_as(outcome: Outcome, grade: Grade, invalid: tuple[str, ...] = ()) -> PlaceCall:
    """Return a way to place calls that places none: each ends like this."""

    async def place(site: CallSite) -> Finished:
        finished = refused(site, "pretended", vantage="centre")
        return dataclasses.replace(
            finished, result=dataclasses.replace(finished.result, outcome=outcome, grade=grade, invalid=invalid)
        )

    return place


class TestCalling:
    async def test_every_room_is_called_and_what_was_found_is_exported(
        self, country: Country, configuration: Configuration, centre: CallCentre, start_nation: StartNation
    ) -> None:
        nation = await start_nation(Fault(FaultKind.DEAD, sites=("01001",)))
        # A measurement that this machine spoils is tried again at once.
        intervals = dataclasses.replace(configuration.intervals, retry=0.2, min_between_calls=0.0, retries=10)
        service = Service(dataclasses.replace(configuration, intervals=intervals), centre)
        told: list[str | None] = []
        service.on_result = lambda finished: told.append(finished.result.target.site)

        def grades() -> dict[str, SiteGrade]:
            return {code: service.store.states()[code].grade for code in country.codes}

        async with running(service, country) as server:
            await until(lambda: swept(service) and SiteGrade.UNTESTED not in grades().values())
            _, metrics = await get(server, "/metrics")
            status, evidence = await get(server, "/api/v1/sites/01001/evidence")
            assert (await get(server, "/-/ready"))[0] == 200
        assert sorted(set(filter(None, told))) == country.codes
        assert grades() == dict.fromkeys(country.codes, SiteGrade.GOOD) | {"01001": SiteGrade.FAILED}
        assert re.search(r'^bridge_probe_success\{[^}]*site="01001"[^}]*\} 0$', metrics, re.MULTILINE)
        assert re.search(r'^bridge_probe_success\{[^}]*site="01002"[^}]*\} 1$', metrics, re.MULTILINE)
        assert status == 200
        assert "INVITE sip:01001@" in evidence
        assert nation.report().dialogs_open == 0

    async def test_a_call_that_is_up_refuses_a_probe_and_is_ended_with_the_service(
        self, country: Country, configuration: Configuration, centre: CallCentre, start_nation: StartNation
    ) -> None:
        nation = await start_nation()
        profiles = {name: dataclasses.replace(p, duration_seconds=60.0) for name, p in configuration.profiles.items()}
        configuration = dataclasses.replace(narrowed(configuration, frozenset({"01"})), profiles=profiles)
        service = Service(configuration, centre)
        async with running(service, country) as server:
            await until(lambda: nation.report().dialogs_open == 1)
            status, text = await get(server, "/probe?target=01")
            assert (status, "site_in_call" in text) == (503, True)
            assert (await get(server, "/probe?target=01002"))[0] == 400
            assert service.snapshot().calls_in_flight == 1
        assert nation.report().dialogs_open == 0

    async def test_a_hand_call_in_flight_is_ended_with_the_service(
        self, configuration: Configuration, centre: CallCentre, start_nation: StartNation
    ) -> None:
        nation = await start_nation()
        profiles = {"short": dataclasses.replace(configuration.profiles["short"], duration_seconds=60.0)}
        service = Service(dataclasses.replace(configuration, profiles=profiles), centre)
        probing = asyncio.ensure_future(service.probe("01", "short"))
        await until(lambda: nation.report().dialogs_open == 1)
        assert service.runner.in_flight == 1
        await service.runner.stop()
        result, _ = await probing
        assert result.outcome is Outcome.CANCELLED
        with pytest.raises(RefusedError, match="stopping"):
            await service.probe("02", "short")
        assert nation.report().dialogs_open == 0

    async def test_outside_a_window_nobody_is_called(
        self, country: Country, configuration: Configuration, centre: CallCentre
    ) -> None:
        event = configuration.event
        later = tuple(Window(window.end, event.conference.start) for window in event.rehearsals)
        configuration = dataclasses.replace(configuration, event=dataclasses.replace(event, rehearsals=later))
        service = Service(configuration, centre)
        async with running(service, country) as server:
            status, text = await get(server, "/probe?target=01001")
            assert (status, "outside_window" in text) == (503, True)
            assert service.runner.in_flight == 0
            _, metrics = await get(server, "/metrics")
        assert re.search(r'^bridge_event_phase\{phase="before"\} 1$', metrics, re.MULTILINE)

    async def test_invalid_measurements_are_told_in_one_line_not_in_hundreds(
        self, country: Country, configuration: Configuration, centre: CallCentre
    ) -> None:
        service = Service(configuration, centre, place=placed_as(Outcome.REACHED, Grade.INVALID, ("loop_lag",)))
        with capture_logs() as logs:
            async with running(service, country):
                await until(lambda: any(line["event"] == "measurements_invalid" for line in logs))
        told = [line["reasons"] for line in logs if line["event"] == "measurements_invalid"]
        assert told == [{"loop_lag": len(country.codes)}]


def finished_as(configuration: Configuration, code: str, outcome: Outcome, grade: Grade) -> Finished:
    """Return a result of a room as a hand command tells it."""
    book = CallBook(configuration.inventory, configuration.profiles, {}, {})
    finished = refused(book.look_up(configuration.inventory[code]), "pretended", vantage="centre")
    return dataclasses.replace(finished, result=dataclasses.replace(finished.result, outcome=outcome, grade=grade))


class TestHandCommands:
    async def test_a_result_told_over_the_control_socket_is_kept_with_its_evidence(
        self, country: Country, configuration: Configuration, centre: CallCentre
    ) -> None:
        configuration = dataclasses.replace(
            configuration, intervals=dataclasses.replace(configuration.intervals, min_between_calls=0.0)
        )
        service = Service(configuration, centre, place=placed_as(Outcome.REACHED, Grade.GOOD))
        told = finished_as(configuration, "01001", Outcome.TIMEOUT, Grade.FAILED).result
        evidence = Evidence(told.id, "01001", (LadderStep(0.0, True, "127.0.0.1:5060", "INVITE", "INVITE …"),))  # noqa: FBT003 - a step's own order
        async with running(service, country):
            await until(lambda: swept(service))
            async with daemon_slot(country.state_dir, "01001") as slot:
                assert slot is not None
                assert service.plan.reserve("01001", clock.posix_now()) == "site_in_call"
                assert await slot.tell(told, evidence)
            await until(lambda: service.plan.calls_in_flight == 0)
            kept = service.store.latest("01001")
            assert kept is not None
            assert (kept.id, kept.outcome) == (told.id, Outcome.TIMEOUT)
            assert service.store.evidence("01001") == evidence

    async def test_a_slot_given_back_unused_leaves_the_site_as_it_was(
        self, country: Country, configuration: Configuration, centre: CallCentre
    ) -> None:
        configuration = dataclasses.replace(
            configuration, intervals=dataclasses.replace(configuration.intervals, min_between_calls=0.0)
        )
        service = Service(configuration, centre, place=placed_as(Outcome.REACHED, Grade.GOOD))
        async with running(service, country):
            await until(lambda: swept(service))
            before = service.store.latest("01001")
            await asyncio.sleep(0.05)  # the cap keeps calls 5 ms apart, and the sweep's last one was just now
            async with daemon_slot(country.state_dir, "01001"):
                assert service.plan.calls_in_flight == 1
            await until(lambda: service.plan.calls_in_flight == 0)
            assert service.store.latest("01001") is before

    async def test_a_bad_result_told_by_hand_waits_for_the_reference_and_is_kept_when_the_service_ends(
        self, country: Country, configuration: Configuration, centre: CallCentre, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def for_ever(_site: CallSite) -> Finished:
            await asyncio.Event().wait()
            raise AssertionError

        monkeypatch.setattr(centre, "place", for_ever)
        configuration = dataclasses.replace(configuration, reference=Reference({"a": "sip:echo@192.0.2.7"}))
        service = Service(configuration, centre, place=placed_as(Outcome.REACHED, Grade.GOOD))
        bad = finished_as(configuration, "01001", Outcome.TIMEOUT, Grade.FAILED)
        good = finished_as(configuration, "01002", Outcome.REACHED, Grade.GOOD)
        async with running(service, country):
            await until(lambda: swept(service))
            bad = dataclasses.replace(
                bad, result=dataclasses.replace(bad.result, started_at=clock.utc(clock.posix_now()))
            )
            service._keep_by_hand(good.result, good.evidence)
            service._keep_by_hand(bad.result, bad.evidence)
            assert service.store.latest("01002") is good.result
            await asyncio.sleep(0.05)
            assert service.store.latest("01001") is not bad.result
        assert service.store.latest("01001") is bad.result

    async def test_another_daemons_control_socket_is_respected(
        self, country: Country, configuration: Configuration, centre: CallCentre
    ) -> None:
        service = Service(configuration, centre, place=placed_as(Outcome.REACHED, Grade.GOOD))
        async with running(service, country):
            with pytest.raises(RefusedError):
                await Service(configuration, centre).run(
                    state_dir=country.state_dir, http=("127.0.0.1", 0), on_listening=lambda _server: None
                )


class TestReload:
    async def test_sites_come_and_go_and_the_others_keep_what_is_known(
        self, country: Country, load: Load, centre: CallCentre
    ) -> None:
        country.write_sites(left_out=["01003"])
        service = Service(load(), centre, load=load, place=placed_as(Outcome.REACHED, Grade.GOOD))
        async with running(service, country) as server:
            await until(lambda: swept(service))
            first = service.store.latest("01001")
            country.write_sites(left_out=["01002"])
            status, _ = await get(server, "/-/reload", "POST")
            assert status == 200
            assert "01002" not in service.inventory
            assert service.store.latest("01001") == first
            await until(lambda: service.store.latest("01003") is not None)
            _, metrics = await get(server, "/metrics")
        assert 'site="01003"' in metrics
        assert 'site="01002"' not in metrics

    async def test_a_broken_configuration_changes_nothing_and_is_told_of(
        self, country: Country, load: Load, centre: CallCentre
    ) -> None:
        service = Service(load(), centre, load=load, place=placed_as(Outcome.REACHED, Grade.GOOD))
        before = service.inventory
        country.write_settings(tiers=["central"])
        with capture_logs() as logs:
            async with running(service, country) as server:
                status, text = await get(server, "/-/reload", "POST")
                _, metrics = await get(server, "/metrics")
                country.write_settings()
                assert (await get(server, "/-/reload", "POST"))[0] == 200
        assert (status, "bridge_monitor.yaml:" in text) == (500, True)
        assert "bridge_monitor_config_last_reload_successful 0" in metrics
        assert service.health.config_last_reload_successful
        assert service.inventory is not before
        problems = [line["problem"] for line in logs if line["event"] == "configuration"]
        assert problems
        assert all(problem in text for problem in problems)

    async def test_warnings_are_returned_and_logged(self, load: Load, centre: CallCentre) -> None:
        warning = Problem("event.yaml", 3, "in the past", "give the coming dates", warning=True)
        service = Service(load(), centre, load=lambda: dataclasses.replace(load(), warnings=(warning,)))
        with capture_logs() as logs:
            assert await service.reload() == (warning,)
        assert ("warning", str(warning)) in [(line["log_level"], line.get("problem")) for line in logs]
        assert service.health.config_last_reload_successful

    async def test_reloads_come_one_after_the_other(self, load: Load, centre: CallCentre) -> None:
        """The later one must not be overtaken, or the older files would stay in use."""
        at_once, most = 0, 0
        lock = threading.Lock()

        def slowly() -> Configuration:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            fresh = load()
            with lock:
                at_once -= 1
            return fresh

        service = Service(load(), centre, load=slowly)
        assert await asyncio.gather(*(service.reload() for _ in range(4))) == [()] * 4
        assert most == 1

    async def test_another_title_and_other_rates_of_video_are_ready_for_the_next_call(
        self, country: Country, load: Load, centre: CallCentre, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The cards are made as at the start, so that no call has to wait for its own."""
        made: list[tuple[str, int, int]] = []

        def encode(*card: Any) -> Card:
            made.append(card)
            return Card(*card, (b"picture",))

        monkeypatch.setattr(centre.equipment.cards, "_encode", encode)
        service = Service(load(), centre, load=load)
        title = load().event.title
        country.profiles = {"room": {"media": {"video": "256 kbit/s"}}}
        country.write()
        assert await service.reload() == ()
        await centre.equipment.cards.of(256_000, 25)
        assert made == [(title, 256_000, 25)]

    async def test_names_are_looked_up_by_the_newest_settings(
        self, country: Country, load: Load, centre: CallCentre
    ) -> None:
        """A server that doesn't answer is given up after the new time limit."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            service = Service(load(), centre, load=load)
            country.write_settings(dns={"servers": [f"127.0.0.1:{deaf.getsockname()[1]}"], "timeout": "500 ms"})
            assert await service.reload() == ()
            with pytest.raises(ResolverError, match="resolver_timeout"):
                await centre.equipment.names.locate(SipUri.parse("sip:hue.example:5060"))
            assert select.select([deaf], [], [], 0)[0] == [deaf]

    async def test_without_files_there_is_nothing_to_reload(
        self, configuration: Configuration, centre: CallCentre
    ) -> None:
        service = Service(configuration, centre)
        assert await service.reload() == ()
        assert service.inventory is configuration.inventory

    async def test_verdicts_turn_by_the_newest_confirmation(
        self, country: Country, load: Load, centre: CallCentre
    ) -> None:
        service = Service(load(), centre, load=load)
        service._sink(finished_as(load(), "01001", Outcome.REACHED, Grade.GOOD))
        service._sink(finished_as(load(), "01001", Outcome.TIMEOUT, Grade.FAILED))
        assert service.store.states()["01001"].grade is SiteGrade.GOOD
        country.write_settings(confirmation={"bad_of": 1, "window": 2, "good_in_row": 1})
        assert await service.reload() == ()
        service._sink(finished_as(load(), "01001", Outcome.REACHED, Grade.GOOD))
        service._sink(finished_as(load(), "01001", Outcome.TIMEOUT, Grade.FAILED))
        assert service.store.states()["01001"].grade is SiteGrade.FAILED


def test_narrowing_leaves_the_tree_and_lets_only_the_chosen_be_called(configuration: Configuration) -> None:
    chosen = narrowed(configuration, frozenset({"01002"}))
    assert [site.code for site in chosen.inventory.testable()] == ["01002"]
    assert len(chosen.inventory) == len(configuration.inventory)
    assert chosen.inventory.province_of("01001") == "01"

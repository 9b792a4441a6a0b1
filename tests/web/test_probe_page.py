"""``/probe``: who may be called, what is answered, what is refused."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from bridge_monitor.domain import Advisory, Grade, Outcome, ProbeResult, RoundTrip, SipStatus, Site
from bridge_monitor.errors import RefusedError
from bridge_monitor.web import create_app
from bridge_monitor.web.probe_page import probe_exposition
from tests.web.nation import (
    STARTED,
    Client,
    Daemon,
    echo_stream,
    evidence_of,
    result_of,
    rtcp_stream,
    small_inventory,
    snapshot_of,
)


def values_of(text: str) -> dict[str, float]:
    """Each series as its name and, where it has one, the label that tells it apart."""
    values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            apart = [sample.labels[name] for name in ("direction", "phase", "reason") if name in sample.labels]
            values[":".join([sample.name, *apart])] = sample.value
    return values


async def get_status(client: Client, path: str) -> int:
    """Return the status alone, as a coroutine that a task can run."""
    return (await client.get(path)).status


class TestCall:
    async def test_a_site_is_called_by_its_own_profile_unless_another_is_named(
        self, client: Client, daemon: Daemon
    ) -> None:
        for query in ("target=01001", "target=01001&module=options"):
            response = await client.get(f"/probe?{query}")
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert daemon.probed == [("01001", "standard"), ("01001", "options")]

    async def test_the_answer_is_this_result_s_exposition(self, client: Client, daemon: Daemon) -> None:
        failed = result_of(outcome=Outcome.DECLINED, grade=Grade.FAILED, media=(), sip=SipStatus(603, "Decline"))
        daemon.answer = lambda _code, _profile: failed
        response = await client.get("/probe?target=01001")
        text = await response.text()
        assert response.status == 200, "a call that failed is an answer"
        assert values_of(text)["bridge_probe_success"] == 0
        assert 'outcome="declined",reason="",grade="failed",sip_status="603"' in text
        assert 'site="01001",tier="district",province="01"' in text

    async def test_debug_shows_result_ladder_descriptions_and_metrics(self, client: Client, daemon: Daemon) -> None:
        result = result_of()
        daemon.answer = lambda _code, _profile: result
        daemon.left_behind = evidence_of(result)
        response = await client.get("/probe?target=01001&debug=true")
        text = await response.text()
        plain, _, rest = text.removeprefix("# Result\n").partition("\n\n# SIP ladder\n")
        assert ProbeResult.from_dict(json.loads(plain)) == result
        ladder, _, rest = rest.partition("\n\n# Offer\n")
        assert ladder.splitlines() == [
            "    0.000 s ──▶ 127.1.0.1:5060  INVITE sip:room@127.1.0.1 SIP/2.0",
            "    0.500 s ──▶ 127.1.0.1:5060  INVITE sip:room@127.1.0.1 SIP/2.0 (retransmission)",
            "    0.600 s ◀── 127.1.0.1:5060  SIP/2.0 603 Decline",
        ]
        assert rest.startswith("v=0")
        assert "bridge_probe_success{" in rest.partition("# Metrics\n")[2]

    async def test_debug_says_so_where_no_message_was_seen(self, client: Client) -> None:
        text = await (await client.get("/probe?target=01001&debug=1")).text()
        assert "# SIP ladder\n(no SIP message was seen)\n" in text


class TestExposition:
    def test_a_valid_result_shows_its_figures_as_gauges(self) -> None:
        """A single call has nothing to count on from: there is no counter, whose rate would mean nothing."""
        text = probe_exposition(result_of(), 'site="01001"')
        values = values_of(text)
        assert values["bridge_probe_success"] == 1
        assert values["bridge_probe_last_run_timestamp_seconds"] == STARTED.timestamp()
        assert values["bridge_probe_phase_seconds:answer"] == 0.4
        assert values["bridge_rtp_loss_ratio:outbound"] == 0.0104
        assert values["bridge_probe_rtp_packets:inbound"] == 500
        assert values["bridge_probe_rtp_packets_lost:outbound"] == 5
        assert "counter" not in text

    def test_advisories_and_the_level_they_rest_on_are_shown(self) -> None:
        silent = result_of(media=(rtcp_stream(audio_level_dbov=-127.0),), advisories=(Advisory.SILENT_ROOM,))
        text = probe_exposition(silent, 'site="01001"')
        assert 'bridge_site_advisory{site="01001",advisory="silent_room"} 1\n' in text
        assert 'bridge_audio_level_dbov{site="01001"} -127.0\n' in text

    def test_an_invalid_result_shows_why_and_no_figure(self) -> None:
        values = values_of(probe_exposition(result_of(invalid=("loop_lag", "late_pacing")), 'site="01001"'))
        assert set(values) == {
            "bridge_probe_result_info:",
            "bridge_probe_last_run_timestamp_seconds",
            "bridge_probe_invalid:loop_lag",
            "bridge_probe_invalid:late_pacing",
        }

    @pytest.mark.parametrize("grade", [Grade.BUSY, Grade.UNTESTED])
    def test_a_result_that_is_no_verdict_has_no_success(self, grade: Grade) -> None:
        result = result_of(grade=grade, media=(), sip=None, reason="rings")
        text = probe_exposition(result, 'site="01001"')
        assert "bridge_probe_success{" not in text
        assert 'reason="rings"' in text
        assert 'sip_status=""' in text

    def test_an_echo_has_a_round_trip_alone(self) -> None:
        stream = echo_stream(round_trip=RoundTrip(500, 500, 0, 0.0))
        values = values_of(probe_exposition(result_of(media=(rtcp_stream(kind="video"), stream)), 'site="01001"'))
        assert values["bridge_probe_rtp_packets_lost:round_trip"] == 0
        assert "bridge_probe_rtp_packets:inbound" not in values


class TestBadRequest:
    @pytest.mark.parametrize(
        ("query", "told"),
        [
            ("", "'target' is missing"),
            ("target=", "'target' is missing"),
            ("target=99", "no site has the code '99'; only sites of the inventory"),
            ("target=sip:someone@198.51.100.1", "only sites of the inventory can be called"),
            ("target=01001&module=nothing", "no profile is named 'nothing'; known are: options, standard"),
            ("target=01001&module=", "no profile is named ''"),
            ("target=0100102", "attends at '01001'"),
            ("target=00", "can't be tested from here"),
            ("target=01001&debug=maybe", "must be true or false, not 'maybe'"),
            ("target=01001&count=5", "unknown parameter 'count'; known are: target, module, debug, lang"),
            ("target=01001&target=01", "'target' is given more than once"),
            ("target=99&lang=vi", "không có điểm cầu nào mang mã '99'"),
        ],
    )
    async def test_it_is_answered_with_400_and_the_mend_and_calls_nobody(
        self, client: Client, daemon: Daemon, query: str, told: str
    ) -> None:
        response = await client.get(f"/probe?{query}")
        text = await response.text()
        assert (response.status, told in text, text.endswith("\n")) == (400, True, True), text
        assert daemon.probed == []

    async def test_a_site_with_probe_none_is_not_called_even_by_a_profile(self) -> None:
        site = Site("01002", "Đống Đa", "district", "01", endpoint="sip:room@127.1.0.2", probe=None)
        daemon = Daemon(snapshot_of(small_inventory([site])))
        async with TestClient(TestServer(create_app(daemon.services()))) as client:
            response = await client.get("/probe?target=01002&module=standard")
            assert response.status == 400
            assert "its probe is none" in await response.text()
        assert daemon.probed == []

    async def test_head_places_no_call(self, client: Client, daemon: Daemon) -> None:
        assert (await client.head("/probe?target=01001")).status == 405
        assert daemon.probed == []


class TestRefused:
    async def test_a_call_that_must_not_be_placed_now_is_503_with_the_reason(
        self, client: Client, daemon: Daemon
    ) -> None:
        def refuse(_code: str, _profile: str) -> ProbeResult:
            raise RefusedError("outside_window", "the next rehearsal window opens on 27 June at 14:00")

        daemon.answer = refuse
        response = await client.get("/probe?target=01001")
        assert response.status == 503
        assert (
            await response.text()
            == "the call is refused now (outside_window): the next rehearsal window opens on 27 June at 14:00\n"
        )

    @pytest.mark.parametrize(("reason", "told"), [("site_in_call", "(site_in_call)"), (None, "(refused)")])
    async def test_a_result_that_says_refused_is_503_too(
        self, client: Client, daemon: Daemon, reason: str | None, told: str
    ) -> None:
        refused = result_of(outcome=Outcome.REFUSED, grade=Grade.UNTESTED, reason=reason)
        daemon.answer = lambda _code, _profile: refused
        response = await client.get("/probe?target=01001")
        assert (response.status, told in await response.text()) == (503, True)

    async def test_calls_by_hand_are_limited_and_the_limit_is_given_back(self, daemon: Daemon) -> None:
        """Also by a call that was refused or failed."""
        answered, asked = asyncio.Event(), asyncio.Event()

        async def slow(code: str, _profile: str) -> tuple[ProbeResult, None]:
            asked.set()
            await answered.wait()
            if code == "01":
                raise RefusedError("cap", "full")
            return result_of(code), None

        daemon.probes_at_once = 1
        async with TestClient(TestServer(create_app(daemon.services(probe=slow)))) as client:
            for code, status in (("01", 503), ("01001", 200)):
                answered.clear()
                asked.clear()
                first = asyncio.create_task(get_status(client, f"/probe?target={code}"))
                await asked.wait()
                second = await client.get("/probe?target=0100101")
                assert second.status == 503
                assert "too_many_probes" in await second.text()
                answered.set()
                assert await first == status


class TestOtherSites:
    @pytest.mark.parametrize("fetch_site", ["cross-site", "same-site"])
    async def test_a_page_of_another_site_may_not_place_calls(
        self, client: Client, daemon: Daemon, fetch_site: str
    ) -> None:
        """Any page open in a browser on this host could point an image at it."""
        response = await client.get("/probe?target=01001", headers={"Sec-Fetch-Site": fetch_site})
        assert response.status == 403
        assert daemon.probed == []

    @pytest.mark.parametrize("fetch_site", ["none", "same-origin"])
    async def test_a_person_with_a_browser_may(self, client: Client, daemon: Daemon, fetch_site: str) -> None:
        response = await client.get("/probe?target=01001", headers={"Sec-Fetch-Site": fetch_site})
        assert (response.status, len(daemon.probed)) == (200, 1)

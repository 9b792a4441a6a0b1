"""Liveness, readiness, reload, evidence, and what isn't there."""

from __future__ import annotations

import pytest

from bridge_monitor.errors import ConfigError, Problem
from tests.web.nation import Client, Daemon, evidence_of, result_of

WRONG = Problem("sites.csv", 12, "parent '99' is not in the list", "name an existing site")
PAST = Problem("event.yaml", 3, "the window is in the past", "give it a later end", warning=True)


class TestLiveness:
    async def test_healthy_as_long_as_it_answers_and_ready_once_the_daemon_is(
        self, client: Client, daemon: Daemon
    ) -> None:
        daemon.is_ready = False
        assert (await client.get("/-/healthy")).status == 200
        waiting = await client.get("/-/ready")
        assert (waiting.status, "not ready" in await waiting.text()) == (503, True)
        daemon.is_ready = True
        ready = await client.get("/-/ready", headers={"Accept-Language": "vi"})
        assert (ready.status, await ready.text()) == (200, "sẵn sàng\n")


class TestReload:
    async def test_a_new_configuration_is_200_with_its_warnings(self, client: Client, daemon: Daemon) -> None:
        daemon.problems = (PAST,)
        response = await client.post("/-/reload")
        assert response.status == 200
        assert await response.text() == (
            "the new configuration is in use\nevent.yaml:3: the window is in the past; give it a later end (warning)\n"
        )
        assert daemon.reloads == 1

    @pytest.mark.parametrize("raised", [False, True], ids=["returned", "raised"])
    async def test_a_wrong_one_is_500_with_every_problem(self, client: Client, daemon: Daemon, *, raised: bool) -> None:
        if raised:
            daemon.reload_error = ConfigError((WRONG, PAST))
        else:
            daemon.problems = (WRONG, PAST)
        response = await client.post("/-/reload")
        assert response.status == 500
        assert (await response.text()).splitlines() == [
            "the configuration has problems; the old one stays in use:",
            "sites.csv:12: parent '99' is not in the list; name an existing site",
            "event.yaml:3: the window is in the past; give it a later end (warning)",
        ]

    async def test_it_takes_a_post(self, client: Client, daemon: Daemon) -> None:
        response = await client.get("/-/reload")
        assert (response.status, response.headers["Allow"], daemon.reloads) == (405, "POST", 0)

    async def test_a_page_of_another_site_may_not_ask_for_it(self, client: Client, daemon: Daemon) -> None:
        response = await client.post("/-/reload", headers={"Sec-Fetch-Site": "cross-site", "Accept-Language": "vi-VN"})
        assert (response.status, daemon.reloads) == (403, 0)
        assert "không được yêu cầu" in await response.text()

    async def test_reading_is_open_to_any_page_s_link(self, client: Client) -> None:
        assert (await client.get("/-/healthy", headers={"Sec-Fetch-Site": "cross-site"})).status == 200


class TestEvidence:
    async def test_what_the_last_failure_left_is_json(self, client: Client, daemon: Daemon) -> None:
        evidence = evidence_of(result_of())
        daemon.kept["01001"] = evidence
        response = await client.get("/api/v1/sites/01001/evidence")
        plain = evidence.to_dict()
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.json() == {"site": "01001", "evidence": plain | {"ladder": list(plain["ladder"])}}

    @pytest.mark.parametrize(("code", "error"), [("99", "unknown_site"), ("01001", "no_evidence")])
    async def test_nothing_there_is_404_with_the_reason(self, client: Client, code: str, error: str) -> None:
        response = await client.get(f"/api/v1/sites/{code}/evidence")
        assert response.status == 404
        told = await response.json()
        assert told["error"] == error
        assert len(told["message"]) > 10


class TestOtherPaths:
    @pytest.mark.parametrize("path", ["/metric", "/api/v1/sites", "/-/quit", "/api/v1/sites//evidence"])
    async def test_a_path_that_isn_t_there_is_404(self, client: Client, path: str) -> None:
        assert (await client.get(path)).status == 404

    async def test_no_answer_is_guessed_at_by_a_browser(self, client: Client) -> None:
        assert (await client.get("/-/healthy")).headers["X-Content-Type-Options"] == "nosniff"
